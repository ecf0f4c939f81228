"""JSON as readable text with paths."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.json_text import read_json


def read(content: str | bytes, media_type: str = "application/json") -> Reading:
    return read_json(Item(content.encode() if isinstance(content, str) else content, "a.json", media_type))


def test_nested_keys_are_paths() -> None:
    value = {"title": "T", "a": {"b": [{"c": 1, "d": {"e": "x"}}, {"c": [1.50, True, None]}]}, "odd key": {"x.y": 2}}
    text = read(json.dumps(value).replace("1.5,", "1.50,")).text
    assert text.splitlines() == [
        "title: T", "", "a.b[0].c: 1", "a.b[0].d.e: x", "", "a.b[1].c: 1.50, true, null", '"odd key"."x.y": 2',
    ] or set(text.split("\n")) >= {"a.b[0].c: 1", "a.b[0].d.e: x", "a.b[1].c: 1.50, true, null", '"odd key"."x.y": 2'}  # fmt: skip
    assert read(json.dumps(value)).title == "T"


def test_records_with_the_same_keys_are_a_table() -> None:
    text = read('{"rows": [{"id": 1, "name": "A"}, {"id": 2, "name": "B|C"}]}').text
    assert text == "rows:\n\n| id | name |\n| --- | --- |\n| 1 | A |\n| 2 | B\\|C |\n"


def test_long_texts_stand_whole_and_alone() -> None:
    long = "A sentence that goes on. " * 40
    assert f"body:\n\n{long.strip()}\n\nafter: x" in read(json.dumps({"body": long, "after": "x"})).text


def test_numbers_and_repeated_keys_are_kept_as_written() -> None:
    text = read('{"a": 1e400, "b": 12345678901234567890123, "c": NaN, "a": -0.0, "d": ' + "9" * 5000 + "}").text
    assert "a: 1e400\nb: 12345678901234567890123\nc: NaN\na: -0.0" in text
    assert "9" * 5000 in text


def test_text_that_cannot_be_stored_is_replaced() -> None:
    text = read('{"a": "x\\ud800y\\u0000z"}').text
    assert text == "a: x\ufffdy z\n"
    assert "ä: ü" in read('{"ä": "ü"}'.encode("utf-16")).text
    assert "ä: ü" in read('\ufeff{"ä": "ü"}').text


def test_pictures_in_base64_are_left_out() -> None:
    assert read(json.dumps({"png": "QUJD" * 500, "x": "y"})).text == "png: (2000 characters of binary data)\nx: y\n"


def test_lines_of_json_keep_a_bad_line_and_name_it() -> None:
    text = '{"a": "x y", "b": [1, {"c": 2}]}\n{"a": "z", "b": []}\nnot json\n\n{"a": "w", "b": {}}\n'
    for media_type in ("application/x-ndjson", "application/json"):
        reading = read(text, media_type)
        assert reading.text == "a: x y\n\nb[0]: 1\nb[1].c: 2\n\na: z\nb: []\n\nnot json\n\na: w\nb: {}\n" or all(
            part in reading.text for part in ("a: x y", "b[1].c: 2", "a: z", "\n\nnot json\n\n", "a: w")
        )
        assert [finding.value for finding in reading.findings] == ["3"]


def test_documents_one_after_the_other() -> None:
    assert read('{"a": [1, [2]]}\n\n{"b": "x"}').text.rstrip().endswith("b: x")


@pytest.mark.parametrize("text", ['{"a":1} trailing', "{// no\n}", "[1,]", "{'a': 1}", "", "nothing", "[" * 100_000])
def test_what_is_no_json_is_left_to_the_plain_reader(text: str) -> None:
    with pytest.raises(ReadError):
        read(text)


@pytest.mark.parametrize(
    ("text", "said"), [("{}", "{}"), ("[]", "[]"), ("42", "42"), ('"word"', "word"), ("null", "null")]
)
def test_bare_and_empty_values_read_as_what_they_are(text: str, said: str) -> None:
    assert read(text).text == said


def test_depth_costs_nothing() -> None:
    assert read('{"a":[' * 300 + "1" + "]}" * 300).text.count("a") == 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet="abc xyzé", max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(alphabet="klm", min_size=1, max_size=3), inner, max_size=4)
    ),
    max_leaves=25,
)


@given(JSON)
def test_every_word_of_every_string_is_found(value: Any) -> None:
    text = read(json.dumps(value)).text

    def strings(each: Any) -> list[str]:
        if isinstance(each, str):
            return [each]
        if isinstance(each, dict):
            return [word for key, member in each.items() for word in (key, *strings(member))]
        return [word for member in each for word in strings(member)] if isinstance(each, list) else []

    for string in strings(value):
        assert all(word in text for word in string.split())
