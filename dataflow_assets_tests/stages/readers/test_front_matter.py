"""The block at the top of a page, kind and hostile."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.stages.readers.front_matter import json_value, split_front_matter


def test_kinds_of_values() -> None:
    block = (
        "---\n"
        "text: plain words\n"
        'quoted: "with: colon"\n'
        'list: ["a", "b"]\n'
        "flag: yes\n"
        "number: 1.5\n"
        "nan: .nan\n"
        "day: 2024-01-02\n"
        "nested: {a: {b: [1]}}\n"
        "1: key\n"
        "huge: 123456789012345678901234567890\n"
        "raw: !!binary aGk=\n"
        "---\n"
    )
    values, rest, findings = split_front_matter(block + "Body")
    assert (rest, findings) == ("Body", ())
    assert values == {
        "text": "plain words", "quoted": "with: colon", "list": ["a", "b"], "flag": True, "number": 1.5, "nan": "nan",
        "day": "2024-01-02", "nested": {"a": {"b": [1]}},
        "1": "key", "huge": hex(123456789012345678901234567890), "raw": "6869",
    }  # fmt: skip


_SCALAR = st.text(alphabet="aZ09 .:#'\"-&*!?@/[]{},|>%yesno", max_size=12)


@given(st.lists(st.tuples(st.sampled_from(["a", "title", "ms.date", "no", "x-y"]), _SCALAR), min_size=1, max_size=4))
def test_the_quick_way_says_what_yaml_says(lines: list[tuple[str, str]]) -> None:
    block = "".join(f"{key}: {value}\n" for key, value in lines)
    values, rest, findings = split_front_matter(f"---\n{block}---\nBody")
    try:
        expected = yaml.load(block, Loader=yaml.CSafeLoader)
    except Exception:
        assert findings
        assert rest == f"---\n{block}---\nBody"
        return
    if rest == "Body":
        assert values == json_value(expected)
    else:
        assert "*" in block or "---" in block or "..." in block or "&" in block


@pytest.mark.parametrize(
    "block",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
        "a: " + "[" * 30_000,
        "a:\n" + "".join(" " * i + "- \n" for i in range(60)) + " " * 60 + "- x",
        "- " * 30_000,
        "a: " + "{a: " * 3_000,
        "a: [unclosed",
        "a: b: c",
        "? [1]\n: x",
        "a: !!python/object/apply:os.system [ls]",
        "a: 2020-99-99",
        "a: " + "9" * 10_000,
        "\tx: 1",
    ],
)
def test_a_block_that_cannot_be_read_stays_with_a_warning(block: str) -> None:
    text = f"---\n{block}\n---\nBody"
    values, rest, findings = split_front_matter(text)
    assert values == {}
    assert rest == text
    assert [(finding.validator, finding.severity) for finding in findings] == [("front_matter", "warning")]


@pytest.mark.parametrize("block", ["a = [" * 3_000, "a." * 20_000 + "b = 1", "a = ", "a = 1\na = 2"])
def test_toml_that_cannot_be_read_stays_with_a_warning(block: str) -> None:
    text = f"+++\n{block}\n+++\nBody"
    assert split_front_matter(text)[1] == text
    assert split_front_matter(text)[2][0].severity == "warning"


def test_an_empty_block_and_one_that_ends_the_file() -> None:
    assert split_front_matter("---\n---\nBody") == ({}, "Body", ())
    assert split_front_matter("---\na: b\n---") == ({"a": "b"}, "", ())


def test_a_block_beyond_the_limit_is_text() -> None:
    text = "---\n" + "a: b\n" * 50_000 + "---\nBody"
    assert split_front_matter(text) == ({}, text, ())


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner),
    max_leaves=15,
)


@given(_ANY)
def test_every_value_becomes_json_that_stays_the_same(value: object) -> None:
    plain = json_value(value)
    said = json.dumps(plain, allow_nan=False, ensure_ascii=False)
    said.encode()
    assert json.loads(said) == plain
    assert json_value(plain) == plain
