"""The guard: what a corrector may never change, whoever proposes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.model_settings import CorrectionSettings
from dataflow_assets.models.typos import TyposCorrector
from dataflow_assets.records import text_hash
from dataflow_assets.stages.correct import ChunkText, correct_chunks
from dataflow_assets.stages.guard import judge

TEXT = "The server does not recieve more than 15 requests per second from Alice Smith at https://example.org/api."


def test_a_mended_word_is_accepted() -> None:
    verdict = judge(TEXT, TEXT.replace("recieve", "receive"), max_change=0.2)
    assert verdict.accepted
    assert "receive" in verdict.text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("15", "50"),
        ("does not", "does"),
        ("https://example.org/api", "https://example.com/api"),
        ("Alice Smith", "Alice Smyth"),
        ("second", "minute and then waits for a very long time before it answers anybody at all"),
        (TEXT, "Der Server bekommt nicht mehr als 15 Anfragen je Sekunde."),
        (".", ". Note: I have corrected the spelling for you."),
    ],
)
def test_what_changes_the_sense_is_refused(old: str, new: str) -> None:
    verdict = judge(TEXT, TEXT.replace(old, new, 1), max_change=0.2)
    assert not verdict.accepted
    assert verdict.reason
    assert verdict.text == TEXT


def test_code_is_left_alone() -> None:
    text = "Call `recieve()` and then\n\n```\nrecieve = 1\n```\n\nwith teh flag."
    assert not judge(text, text.replace("recieve()", "receive()"), max_change=0.5).accepted
    assert not judge(text, text.replace("recieve =", "receive ="), max_change=0.5).accepted
    assert not judge("a recieve b", "a receive b", [(2, 9)], max_change=0.9).accepted


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_refused_proposal_leaves_the_text(original: str, proposal: str) -> None:
    verdict = judge(original, proposal, max_change=0.2)
    assert verdict.text == (proposal if verdict.accepted else original)
    assert verdict.accepted or verdict.reason


def chunk(text: str, *protected: int) -> ChunkText:
    return ChunkText("l", text_hash(text)[:32], "d", text, text_hash(text), protected, "hash")


def test_the_stage_mends_and_leaves_code_alone() -> None:
    settings = CorrectionSettings(model="local")
    mended, clean, code = correct_chunks(
        [chunk("We recieve teh letters."), chunk("We receive the letters."), chunk("recieve", 0, 7)],
        corrector=TyposCorrector(),
        settings=settings,
    )
    assert (mended.status, mended.corrected_text) == ("corrected", "We receive the letters.")
    assert (clean.status, clean.corrected_text) == ("unchanged", None)
    assert code.corrected_text is None


@pytest.mark.parametrize("text", ["", "\0", "\ud800 recieve", "a" * 100_000, "recieve\r\nteh\u2028", "\n" * 1000])
def test_any_text_comes_back(text: str) -> None:
    (proposal,) = TyposCorrector().mend([text])
    assert len(proposal) <= len(text) + 10


def test_proposals_are_in_order() -> None:
    texts = ["We recieve one.", "We receive two.", "", "It is wierd\nthat we recieve three."]
    assert TyposCorrector().mend(texts) == [
        "We receive one.", "We receive two.", "", "It is weird\nthat we receive three."
    ]  # fmt: skip
