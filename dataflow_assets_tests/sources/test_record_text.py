from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.sources.record_text import MEDIA_TYPE, parse_template, record_bytes, value_text
from dataflow_assets.stages.read import read_document
from dataflow_assets.stages.readers.front_matter import split_front_matter


def fill(template: str, values: dict[str, Any]) -> str | None:
    return parse_template(template).fill(values.get)


def test_places_are_filled_and_braces_are_written_twice() -> None:
    assert fill("# {title}\n\n{{x}} {n}", {"title": "A {b}", "n": 3}) == "# A {b}\n\n{x} 3"


def test_a_missing_value_is_nothing_and_a_record_without_any_has_no_text() -> None:
    assert fill("{a}|{b}", {"a": "x"}) == "x|"
    assert fill("Title: {a} {b}", {"a": None, "b": "  "}) is None
    assert fill("only words", {}) == "only words"
    assert fill("{n}", {"n": 0}) == "0"


@pytest.mark.parametrize("template", ["{", "}", "a {b", "{}", "{ }", "{a}}", "{a{b}}"])
def test_a_template_that_cannot_be_meant_is_refused(template: str) -> None:
    with pytest.raises(ConfigurationError, match=r"source\.text"):
        parse_template(template)


@pytest.mark.parametrize("place", ["a.__class__", "a!r", "a:>10", "0", "a[0]", "__import__('os')"])
def test_nothing_in_a_place_is_executed(place: str) -> None:
    asked: list[str] = []
    parse_template(f"{{{place}}}").fill(lambda name: asked.append(name))  # type: ignore[func-returns-value]
    assert asked == [place]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (1.0, "1"),
        (1.5, "1.5"),
        (float("inf"), "inf"),
        (Decimal("1.50"), "1.50"),
        (dt.datetime(2026, 1, 2, 3, 4), "2026-01-02T03:04:00"),
        (b"abc", "abc"),
        (b"\xff\x00", "ff00"),
        (["a", 1, None], "a, 1"),
        ([{"a": "é"}], '[{"a": "é"}]'),
        ({"a": [1]}, '{"a": [1]}'),
    ],
)
def test_values_are_written_as_people_read_them(value: Any, text: str) -> None:
    assert value_text(value) == text


def test_a_value_nested_too_deep_to_be_written_is_cut() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    assert value_text(value).startswith("[[")


plain = st.text(max_size=60) | st.integers() | st.booleans() | st.none() | st.dates() | st.floats(allow_nan=False)
values = plain | st.lists(plain, max_size=4) | st.dictionaries(st.text(max_size=10), plain, max_size=3)
lines = st.lists(st.sampled_from(["---", "...", "+++", "a: b", "- x", "", "  y", "\x85", "\u2028---"])).map("\n".join)


@given(st.text() | lines, st.text() | lines, st.dictionaries(st.text(max_size=20), values | lines, max_size=5))
def test_nothing_breaks_out_of_the_front_matter(title: str, body: str, metadata: dict[str, Any]) -> None:
    content = record_bytes(title, body, metadata)
    front_matter, text, findings = split_front_matter(content.decode())
    assert findings == ()
    assert text == body.replace("\0", "\ufffd")
    assert front_matter.keys() <= {"title"} | {key.replace("\0", "\ufffd") for key in metadata}
    if title.split():
        assert front_matter["title"] == " ".join(title.split()).replace("\0", "\ufffd")[:500]
    for key, value in metadata.items():
        if isinstance(value, str) and value and key != "title" and key.isprintable():
            assert front_matter[key] == value.replace("\0", "\ufffd")


def test_the_markdown_reader_takes_title_and_metadata_from_it() -> None:
    content = record_bytes(
        "Yes",
        "Body: text\n",
        {"date": dt.date(2026, 1, 2), "authors": ["A. B.", "C"], "tags": ["x"], "url": "https://h/p"},
    )
    document = read_document(content, source_uri="https://h/p", media_type=MEDIA_TYPE, settings=ReadingSettings())
    assert (document.title, document.text) == ("Yes", "Body: text\n")
    assert document.metadata["authors"] == ["A. B.", "C"]
    assert document.metadata["date"] == "2026-01-02"
    assert "x" in document.tags


def test_metadata_too_long_to_be_read_is_cut_and_the_longest_left_out() -> None:
    metadata = {"big": [{"k": "x" * 4_000}] * 300, "long": "y" * 100_000, "short": "z"}
    front_matter, text, findings = split_front_matter(record_bytes("T", "B", metadata).decode())
    assert (text, findings) == ("B", ())
    assert front_matter["short"] == "z"
    assert front_matter["long"].startswith("yyy")
    assert "big" not in front_matter


def test_what_no_text_can_hold_is_replaced() -> None:
    assert record_bytes(None, "a\0b\ud800c", {}) == "---\n---\na\ufffdb\ufffdc".encode()
