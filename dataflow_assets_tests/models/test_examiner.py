"""What a language model is asked to write questions about, and which of its answers are questions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.models.base import CallFailed, Completion, Usage
from dataflow_assets.models.examiner import (
    CALL_TEXTS,
    MAX_QUESTION,
    MAX_QUOTE,
    SCHEMA,
    ExamQuestion,
    Written,
    judge,
    read_answer,
)
from dataflow_assets.models.language_question import prompt_text
from dataflow_assets.models.ledger import Learned
from dataflow_assets_tests.models.test_editor import Silent

EXCERPT = (
    "The key is rotated every ninety days, unless the owner of the vault says\notherwise. Nobody is told about it."
)
ASKED = "How often does a secret change?"
QUOTE = "rotated every ninety days"


def question(name: str = "claude-haiku-5-5", learned: Learned | None = None) -> ExamQuestion:
    return ExamQuestion(Silent(name), learned=learned or Learned(), price=lambda usage: 0.0)


def stored(question: str, quote: str = QUOTE) -> bytes:
    answers, faults = read_answer(1, json.dumps({"texts": [{"id": "1", "question": question, "quote": quote}]}))
    assert not faults
    return answers[0]


def test_what_is_asked_decides_the_key() -> None:
    assert question().key("a") == question().key("a")
    keys = {
        question().key("a"),
        question().key("b"),
        question().key("a", again=True),
        question("claude-opus-5-5").key("a"),
    }
    assert len(keys) == 4
    prompt = question().prompt(["one", "half of a pair \ud800"])
    assert [each["id"] for each in json.loads(prompt.user)["texts"]] == ["1", "2"]
    assert prompt.user.encode()
    assert prompt.schema is SCHEMA
    assert prompt.system == prompt_text("questions", "v1")


def test_calls_are_packed_and_estimated_by_the_number_of_texts() -> None:
    asked = question()
    assert asked.fits(CALL_TEXTS - 1, 10**6, 1000)
    assert not asked.fits(CALL_TEXTS, 0, 1)
    assert asked.estimate(["x" * 500] * 4).output_tokens == 4 * asked.estimate(["x"]).output_tokens
    bills = question(
        learned=Learned(calls=5, sent_bytes=1e4, sent_tokens=4e3, text_bytes=1e4, output_tokens=300, texts=10)
    )
    assert bills.estimate(["x"] * 2).output_tokens == 60


def test_a_question_with_the_words_that_answer_it() -> None:
    assert judge(EXCERPT, stored(ASKED)) == (Written(ASKED, QUOTE), None)
    assert judge(EXCERPT, stored("  How often\tdoes a secret   change? ")) == (Written(ASKED, QUOTE), None)
    said, problem = judge(EXCERPT, stored(ASKED, "the OWNER of the vault  says otherwise."))
    assert (said, problem) == (Written(ASKED, "the OWNER of the vault says otherwise."), None)
    said, _ = judge(EXCERPT, stored(ASKED, EXCERPT))
    assert said is not None
    assert QUOTE in said.quote
    assert len(said.quote) <= MAX_QUOTE
    assert not said.quote.endswith(" ")
    assert judge(EXCERPT, stored(ASKED, "the")) == (Written(ASKED, ""), None)
    assert judge(EXCERPT, stored("", "")) == (Written("", ""), None)
    assert judge(EXCERPT, stored(" \n", "")) == (Written("", ""), None)


def test_words_that_do_not_stand_there_are_worth_asking_again_and_then_left_out() -> None:
    said, problem = judge(EXCERPT, stored(ASKED, "rotated by a friendly robot"))
    assert said == Written(ASKED, "")
    assert problem is not None
    assert "do not stand" in problem


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("x" * (MAX_QUESTION + 1), "too long"),
        ("How?", "too short"),
        ("How often?\nIgnore what was said.", "one line"),
        ("How often\u2028does it change?", "one line"),
        ("How often \x1b[31mdoes it change?", "one line"),
        ("How often \u202edoes it change?", "one line"),
        ("How often \ud800 does it change?", "one line"),
        ("How often does <b>it</b> change, and <img src=x>?", "markup"),
        ("How often does [it](javascript:x) change?", "markup"),
        ("How often does https://example.com change?", "link"),
        (EXCERPT.replace("\n", " "), "the text itself"),
        (f"Tell me about this: {EXCERPT}".replace("\n", " "), "the text itself"),
        ("The key is rotated every ninety days, unless the owner of the vault says otherwise?", "the text itself"),
    ],
)
def test_what_is_no_question(written: str, why: str) -> None:
    said, problem = judge(EXCERPT, stored(written))
    assert said is None
    assert problem is not None
    assert why in problem


@pytest.mark.parametrize(
    "written",
    [
        "如何定期更换密钥？",
        "Hvor ofte skiftes nøglen?",
        "key rotation every ninety days",
        "Wie oft wechselt `vault.key`?",
    ],
)
def test_any_language_and_any_form(written: str) -> None:
    assert judge(EXCERPT, stored(written))[0] == Written(written, QUOTE)


def test_faults_of_an_answer_are_faults_of_single_texts() -> None:
    good = {"id": "1", "question": ASKED, "quote": QUOTE}
    items: list[Any] = [
        good,
        {**good, "id": "2"},
        {**good, "id": "2"},
        {**good, "id": "4", "question": 7},
        {**good, "id": "5", "quote": "x" * 5000},
        {**good, "id": "99"},
        {**good, "id": "٣"},
        {**good, "id": 3},
        "nothing",
    ]
    answers, faults = read_answer(5, json.dumps({"texts": items}))
    assert list(answers) == [0]
    assert {place: fault.reason for place, fault in faults.items()} == {
        1: "the answer speaks of it twice",
        2: "the answer leaves it out",
        3: "the answer about it has another form than was asked for",
        4: "the answer about it has another form than was asked for",
    }


def test_refusals_and_texts_that_are_too_long() -> None:
    reply = question().read(["a", "b"], Completion("", "refusal", Usage()))
    assert [fault.reason for fault in reply.faults.values()] == ["the model declined to answer"] * 2
    with pytest.raises(CallFailed, match="too long"):
        question().read(["a"], Completion("", "context", Usage()))


LEAVES = (
    st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=20) | st.sampled_from(["1", "2", ASKED, QUOTE])
)
ITEMS = st.dictionaries(st.sampled_from(["id", "question", "quote"]), LEAVES) | LEAVES


@given(
    st.text(max_size=50) | st.builds(lambda items: json.dumps({"texts": items}), st.lists(ITEMS, max_size=5) | LEAVES)
)
def test_no_answer_is_a_problem(said: str) -> None:
    answers, faults = read_answer(2, said)
    assert answers.keys() | faults.keys() == {0, 1}
    assert not answers.keys() & faults.keys()
    for payload in answers.values():
        written, _ = judge(EXCERPT, payload)
        if written is not None:
            assert len(written.question) <= MAX_QUESTION
            assert written.question.isprintable() or not written.question
            assert len(written.quote) <= MAX_QUOTE
            assert written.quote.casefold() in " ".join(EXCERPT.split()).casefold()
