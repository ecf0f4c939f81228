"""The checks on a document, its score, and the verdict."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.records import Finding, ReadDocument, ValidatedDocument, text_hash, to_arrow
from dataflow_assets.settings import ValidationSettings
from dataflow_assets.stages.validate import content_quality, quality_score, validate_document

pytestmark = pytest.mark.filterwarnings("ignore:open_binary is deprecated:DeprecationWarning")
"""The tokenizer's package says it while it is imported."""

SENTENCES = "The first sentence is here. The second one follows it! Is there a third? There is, and it ends the text."
READ = ReadDocument(title="T", doc_type="guide", language="en", text=SENTENCES, markup="markdown", tags=("a",))


def validate(
    text: str | None = SENTENCES,
    *,
    failure: str | None = None,
    document_id: str = "d1",
    settings: dict[str, object] | None = None,
    **more: object,
) -> ValidatedDocument:
    read = None if text is None else replace(READ, text=text, **more)  # type: ignore[arg-type]
    return validate_document(
        library="lib",
        document_id=document_id,
        source_uri="docs/my-page.md",
        read=read,
        failure=failure,
        settings=ValidationSettings.model_validate(settings or {}),
        input_hash="h",
    )


def names(row: ValidatedDocument) -> list[tuple[str, str]]:
    return [(finding.validator, finding.severity) for finding in row.issues]


def test_a_sound_document_is_valid() -> None:
    row = validate()
    assert (row.status, row.reason, row.issues, row.quality_score) == ("valid", None, (), 1.0)
    assert (row.text, row.text_hash, row.character_count) == (SENTENCES, text_hash(SENTENCES), len(SENTENCES))
    assert 15 < row.token_count < 40
    assert (row.title, row.doc_type, row.language, row.tags, row.markup) == ("T", "guide", "en", ("a",), "markdown")
    assert json.loads(row.metadata) == {"content_quality": 1.0}
    assert (row.duplicate_of, row.input_hash) == (None, "h")


@pytest.mark.parametrize("text", ["", " \n\t ", "\u3000\n"])
def test_no_text_rejects(text: str) -> None:
    row = validate(text)
    assert row.status == "rejected"
    assert row.reason == "The document has no text."
    assert ("has_text", "critical") in names(row)
    assert row.quality_score == 0.4


def test_a_failure_rejects_with_its_reason() -> None:
    row = validate(None, failure="The file is a directory.")
    assert (row.status, row.reason, row.text, row.text_hash) == ("rejected", "The file is a directory.", None, None)
    assert (row.character_count, row.token_count, row.quality_score) == (0, 0, 0.5)
    assert (row.title, row.doc_type, row.language, row.metadata) == ("my page", "other", "und", "{}")
    assert validate(None).reason == "The document was not read."


@pytest.mark.parametrize(
    ("length", "expected"),
    [(99, [("min_characters", "warning")]), (100, []), (1_000_000, []), (1_000_001, [("max_characters", "warning")])],
)
def test_lengths(length: int, expected: list[tuple[str, str]]) -> None:
    row = validate((SENTENCES * (length // len(SENTENCES) + 1))[:length])
    assert names(row) == expected
    assert row.status == "valid"
    assert row.quality_score == (0.9 if expected else 1.0)


def test_a_setting_makes_length_an_error() -> None:
    row = validate(settings={"min_characters": 0, "max_characters": 50, "too_long": "error"})
    assert row.status == "rejected"
    assert row.reason == "The text is longer than 50 characters."
    assert row.quality_score == 0.7


def test_a_missing_id_rejects_and_reasons_are_joined() -> None:
    row = validate("", document_id=" ")
    assert ("document_id", "error") in names(row)
    assert row.reason == "The document has no id; the document has no text."
    assert row.quality_score == 0.1


def test_lone_surrogates_reject_and_the_stored_text_can_be_written() -> None:
    row = validate(SENTENCES + "\ud800 and \udfff", title="a\ud800", tags=("b\udc00",), metadata={"k\ud800": "v\udc00"})
    assert ("encoding", "error") in names(row)
    assert row.status == "rejected"
    assert row.text == SENTENCES + "\ufffd and \ufffd"
    assert row.text_hash == text_hash(row.text)
    assert (row.title, row.tags) == ("a\ufffd", ("b\ufffd",))
    to_arrow(ValidatedDocument, [row])


def test_the_readers_findings_count() -> None:
    warning = Finding("front_matter", "warning", "It cannot be read.", "metadata", "x" * 5000, "Mend it.")
    error = Finding("encoding", "error", "3 places could not be decoded.", "text", "\ud800", "Save it as UTF-8.")
    row = validate(findings=(warning, error))
    assert row.status == "rejected"
    assert row.reason == "3 places could not be decoded."
    assert row.quality_score == 0.6
    assert len(row.issues[0].value) == 120
    to_arrow(ValidatedDocument, [row])


def test_every_finding_says_what_to_do() -> None:
    rows = [
        validate("", document_id=""),
        validate(SENTENCES + "\ud800", settings={"min_characters": 0, "max_characters": 9}),
        validate(None, failure="No."),
        validate("(" * 600 + " " * 700, settings={"min_content_quality": 0.9}),
    ]
    findings = [finding for row in rows for finding in row.issues]
    assert {finding.validator for finding in findings} == {
        "document_id", "has_text", "min_characters", "encoding", "max_characters", "readable", "content_quality",
    }  # fmt: skip
    assert all(
        finding.message.endswith(".") and finding.suggestion.endswith(".") and finding.field for finding in findings
    )


@pytest.mark.parametrize(
    ("text", "quality"),
    [
        (SENTENCES, 1.0),
        ("a b c ", 1.0),
        ("a  ", 0.7),
        ("\u3000\u2003\xa0ab", 0.7),
        ("x" * 10, 1.0),
        ("x" * 11, 0.8),
        ("ab" + "-" * 11 + "cd", 0.8),
        ("ab" + "-" * 10 + "cd" + "-" * 10, 1.0),
        ("(" * 9 + "x" + ")" * 10, 1.0),
        ("([{" + "x" + "}])", 1.0),
        ("(a(b", 0.8),
        ("(]" * 9 + "(", 1.0),
        ("(]" * 8 + "(", 0.8),
        ("word " * 100, 1.0),
        ("word " * 101, 0.7),
        ("word " * 101 + "A. B.", 0.7),
        ("word " * 101 + "A. B. C.", 1.0),
        ("word " * 101 + "1.2.3.4", 0.7),
        ("言葉" * 255 + "。です。ます。", 1.0),
        (" " * 700 + "(" * 20, 0.0),
    ],
)
def test_content_quality(text: str, quality: float) -> None:
    assert content_quality(text) == quality


@given(
    st.text(alphabet="ab", max_size=40),
    st.sampled_from("ab-é"),
    st.integers(0, 14),
    st.text(alphabet="ab", max_size=40),
)
def test_runs_are_found_wherever_they_begin(before: str, character: str, count: int, after: str) -> None:
    text = before + character * count + after
    assert content_quality(text) == (0.8 if longest_run(text) > 10 else 1.0)


def longest_run(text: str) -> int:
    longest = run = 0
    for one, previous in zip(text, "\0" + text, strict=False):
        run = run + 1 if one == previous else 1
        longest = max(longest, run)
    return longest


def test_low_content_quality_warns() -> None:
    row = validate(" " * 700 + "(" * 20)
    assert ("content_quality", "warning") in names(row)
    assert row.status == "valid"
    assert json.loads(row.metadata)["content_quality"] == 0.0


@pytest.mark.parametrize(
    ("severities", "score"), [("", 1.0), ("w", 0.9), ("ew", 0.6), ("cc", 0.0), ("cccc", 0.0), ("wwwwwwwwwww", 0.0)]
)
def test_score(severities: str, score: float) -> None:
    kinds = {"w": "warning", "e": "error", "c": "critical"}
    findings = tuple(Finding("v", kinds[s], "m", "f", "", "s") for s in severities)  # type: ignore[arg-type]
    assert quality_score(findings) == score


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), _VALUES, max_size=5))
def test_metadata_is_always_json_and_the_same(metadata: dict[str, object]) -> None:
    said = validate(metadata=metadata).metadata
    said.encode()
    assert json.loads(said, parse_constant=lambda _: pytest.fail("not JSON"))["content_quality"] == 1.0
    assert validate(metadata=dict(reversed(metadata.items()))).metadata == said


def test_metadata_is_bounded_and_says_what_was_left_out() -> None:
    said = validate(metadata={"big": "x" * 200_000, "small": 1, "deep": [[[]]], "many": list(range(100_000))}).metadata
    assert len(said) <= 65_536
    assert json.loads(said) == {"content_quality": 1.0, "small": 1, "deep": [[[]]], "left_out": ["big", "many"]}


@given(st.text(max_size=400), st.booleans())
def test_any_text_becomes_a_row_that_can_be_stored(text: str, surrogate: bool) -> None:
    row = validate(text + "\ud800" * surrogate)
    assert row.character_count == len(text) + surrogate == len(row.text or "")
    assert (row.status == "rejected") == (row.reason is not None)
    to_arrow(ValidatedDocument, [row])
