"""A conversation's text is what was said, and its sections say by whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import ReadError
from dataflow_assets.records import sections_json, sections_of
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.stages.read import is_trusted, read_document
from dataflow_assets.stages.transcript_lines import Said
from dataflow_assets.stages.transcripts import ONE, Conversation, Trouble, written


def document(conversation: Conversation):  # type: ignore[no-untyped-def]
    return read_document(
        written([conversation]), source_uri="logs/s.jsonl!/abc", media_type=ONE, settings=ReadingSettings()
    )


@given(
    said=st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
            st.sampled_from(["user", "assistant", "Ann B."]),
            st.none() | st.just("2025-06-14T10:00:00Z"),
        ),
        max_size=8,
    )
)
def test_a_section_is_a_message(said: list[tuple[str, str, str | None]]) -> None:
    messages = [
        Said(text, role, time, f"m{i}", f"m{i - 1}" if i else None) for i, (text, role, time) in enumerate(said)
    ]
    made = document(Conversation(messages=messages))
    assert [made.text[section.start : section.end] for section in made.sections] == [text for text, _, _ in said]
    assert [(section.role, section.said_at) for section in made.sections] == [(role, time) for _, role, time in said]
    assert [section.reply_to for section in made.sections] == [message.reply_to for message in messages]
    assert sections_of(sections_json(made.sections)) == made.sections


def test_what_is_known_of_a_conversation_is_kept() -> None:
    made = document(
        Conversation(
            "abc",
            "How to fish",
            [Said("Hi", "user")],
            [Trouble(7, "Line 7 is no JSON.", "{{")],
            {"messages": 1, "models": ["m"]},
        )
    )
    assert (made.title, made.doc_type, made.markup) == ("How to fish", "message", "messages")
    assert made.metadata["models"] == ["m"]
    (finding,) = made.findings
    assert (finding.validator, finding.severity, finding.message, finding.value) == (
        "transcript_line", "warning", "Line 7 is no JSON.", "{{",
    )  # fmt: skip


def test_a_conversation_without_a_title_is_called_like_its_file() -> None:
    made = document(Conversation())
    assert (made.text, made.sections, made.title) == ("", (), "abc")


def test_it_is_read_without_a_process_of_its_own() -> None:
    content = written([Conversation("a", None, [Said("x", "user")])])
    assert is_trusted(content, source_uri="a", media_type=ONE, settings=ReadingSettings())


def test_bytes_that_only_claim_to_be_a_conversation_are_refused() -> None:
    with pytest.raises(ReadError, match="damaged"):
        read_document(b'{"type": "user"}\n', source_uri="a.jsonl", media_type=ONE, settings=ReadingSettings())
