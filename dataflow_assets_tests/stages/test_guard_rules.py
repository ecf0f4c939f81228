"""The guard's rules one by one, and what holds for any text and any proposal."""

import re
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_assets.stages.guard import edit_distance, edits_between, judge, keep_good_edits, protected_pieces

PROSE = (
    'The server listens on port 8080 and does not accept 10 MB. See `foo_bar("x")` and https://example.com/a-b or mail '
    "me@example.org. Run pip install --upgrade on v1.2.3, then ask Alice about <b>teh</b> &amp; more. It will recieve "
    "the data without errors within five seconds since 2024-05-01. Set the langauge in src/conf/site.toml, see "
    "[the pages](other.md#langauge) and :ref:`the langauge`."
)
LINE = "We say that it {} here, and that is a long line of text about nothing much at all."


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("recieve", "receive"), ("the langauge in", "the language in"), ("on port", "on the port"),
        ("errors within", "errors, within"),
    ],
)  # fmt: skip
def test_a_language_model_may_mend_words_and_little_things(old: str, new: str) -> None:
    proposal = PROSE.replace(old, new, 1)
    verdict = judge(PROSE, proposal)
    assert (verdict.text, verdict.accepted, verdict.reason) == (proposal, True, None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("8080", "8081"), ("8080", "-8080"), ("8080 ", "8080, 9090 "), ("10 MB", "10 GB"), ("2024-05-01", "2024-01-05"),
        ("v1.2.3", "v1.2.4"), ('"x"', "'x'"), ("foo_bar", "foobar"), ("example.com", "exmaple.com"),
        ("https://", "http://"), ("me@example", "you@example"), ("--upgrade", "--update"), ("--upgrade", "-upgrade"),
        ("src/conf", "src/config"), ("other.md#langauge", "other.md#language"), ("`the langauge`", "`the language`"),
        (":ref:", ":doc:"), ("<b>", "<i>"), ("<b>teh</b>", "teh"), ("&amp;", "&"), ("Alice", "Alicia"),
        ("Alice", "alice"), ("does not accept", "does accept"), ("not accept", "now accept"), ("without", "with"),
        ("does not", "does also not"), ("five seconds", "four seconds"), ("seconds", "minutes"), ("accept", "except"),
        ("more. It", "less. It"), ("port 8080 and", "port 8080 or"), ("The server listens on", "Der Server lauscht an"),
        ("listens on", "is listening at"), ("since 2024-05-01.", "since 2024-05-01. Note: I fixed it."),
        ("the data", "the data (sic)"), ("the data", "`the data`"), ("the data", "**the data**"),
        ("the data", "the\ndata"), ("the data", "the\u202e data"), ("listens", "LISTENS"), ("listens", "li5tens"),
        ("data", "データ"), (" It will recieve the data without errors within five seconds since", " Since"),
    ],
)  # fmt: skip
def test_what_a_language_model_may_not_change(old: str, new: str) -> None:
    assert old in PROSE
    verdict = judge(PROSE, PROSE.replace(old, new, 1), max_change=1.0)
    assert (verdict.text, verdict.accepted) == (PROSE, False)
    assert verdict.reason


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("known", "unknown"), ("valid", "invalid"), ("import", "export"), ("encode", "decode"), ("increase", "decrease"),
        ("useful", "useless"), ("minimum", "maximum"), ("inner", "outer"), ("knwon", "unknown"), ("now", "not"),
        ("can't", "can"), ("isn't", "is"), ("before", "after"), ("nonempty", "empty"), ("hour", "four"), ("all", "any"),
        ("asynchronous", "synchronous"), ("millimetre", "kilometre"), ("enable", "disable"),
    ],
)  # fmt: skip
def test_a_word_never_becomes_one_that_says_something_else(one: str, other: str) -> None:
    assert not judge(LINE.format(one), LINE.format(other)).accepted
    assert not judge(LINE.format(other), LINE.format(one)).accepted


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("udnerstand", "understand"), ("unecessary", "unnecessary"), ("enviroment", "environment"), ("addded", "added"),
        ("wihtout", "without"), ("doesnt", "doesn't"), ("indentifier", "identifier"), ("teh", "the"), ("thier", "their"),
        ("alot", "a lot"), ("can not", "cannot"), ("seperately", "separately"), ("unkown", "unknown"),
        ("secnods", "seconds"), ("asyncronous", "asynchronous"), ("a a", "a"),
    ],
)  # fmt: skip
def test_a_misspelt_word_is_mended(wrong: str, right: str) -> None:
    verdict = judge(LINE.format(wrong), LINE.format(right))
    assert verdict.accepted, verdict.reason


@pytest.mark.parametrize(
    "code",
    [
        "```\nrecieve teh\n```", "~~~ python\nrecieve\n\nteh\n~~~", "> ```\n> recieve\n> ```", "- ```\n  recieve\n  ```",
        ".. code-block:: python\n\n    recieve = teh\n\n    more_recieve", "Like this::\n\n    recieve teh",
        ">>> print('recieve')", "<pre>recieve\nteh</pre>", "<code>recieve</code>", "`` recieve ` teh ``",
        "`recieve\nteh`", "[recieve]: recieve.html", ".. _recieve: there", ".. include:: recieve.txt", "|recieve|",
        "## Title { #recieve }", "$recieve + teh$", 'width="recieve teh"',
        "Use recieve() and user.recieve and recieve-1 and Recieve_all and getRecieve and RECIEVE.",
        "@recieve #recieve ~/recieve /recieve \\recieve %recieve recieve=1 a::recieve a->recieve recieve->b recieve:teh",
        "![image](recieve.png 'recieve')  [x][recieve]  <recieve@example.org>", "We asked Mr Recieve.",
    ],
)  # fmt: skip
def test_code_in_any_shape_is_left_alone(code: str) -> None:
    text = f"Here we recieve what is there.\n\n{code}\n\nAnd here we recieve some more text, and so on and so forth.\n"
    proposal = text.replace("RECIEVE", "RECEIVE").replace("Recieve", "Receive").replace("recieve", "receive")
    verdict = keep_good_edits(text, proposal.replace("teh", "the"))
    assert (verdict.text, verdict.accepted) == (text.replace("we recieve", "we receive"), True)


def test_spans_that_only_the_document_shows_are_left_alone() -> None:
    text = "recieve the code\nrecieve the prose, which is a good deal longer than that"
    proposal = text.replace("recieve", "receive")
    assert keep_good_edits(text, proposal, [(0, 16)]).text == "recieve" + proposal[7:]
    whole = keep_good_edits(text, proposal, [(0, 10_000)])
    assert (whole.text, whole.accepted) == (text, True)
    assert keep_good_edits(text, proposal, [(-5, 0), (9, 3), (70_000, 80_000)]).text == proposal
    assert not judge(text, proposal, [(0, 16)]).accepted


def test_good_edits_stand_where_others_break_a_rule() -> None:
    text = "We recieve what is not there, and it is a line of some length."
    mended = text.replace("recieve", "receive")
    assert keep_good_edits(text, mended.replace("not there", "there")).text == mended
    refused = keep_good_edits(text, text.replace("not there", "there"))
    assert (refused.accepted, refused.text) == (False, text)
    assert "meaning" in (refused.reason or "")


def test_an_edit_that_changes_a_piece_from_outside_is_left_out() -> None:
    text = "We recieve a thing. Some more text, that is long enough for this."
    mended = text.replace("recieve", "receive")
    assert keep_good_edits(text, mended.replace("thing. Some", "thing Some")).text == mended  # it makes a name of Some


def test_the_size_of_the_change_is_bounded() -> None:
    text = "teh thier wich " * 5
    proposal = text.replace("teh", "the").replace("thier", "their").replace("wich", "which")
    for verdict in (judge(text, proposal, max_change=0.05), keep_good_edits(text, proposal, max_change=0.05)):
        assert not verdict.accepted
        assert "5%" in (verdict.reason or "")
    assert judge(text, proposal, max_change=0.5).accepted
    assert not judge(text, text * 2, max_change=0.5).accepted
    assert not judge(text, "", max_change=0.5).accepted


@pytest.mark.parametrize(
    "unit", ["a", "`", "` `` ", "](", "<a", "<code>", ":a", "{", "$a", '="', "a_", "|a ", "```\n", "Ab "]
)
def test_time_grows_with_the_text_and_not_with_its_square(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        started = time.process_time()
        judge(text, text[: size // 3] + "x" + text[size // 3 : -9] + "y" + text[-9:])
        return time.process_time() - started

    assert seconds(64_000) < 30 * seconds(8_000) + 0.2  # a square would be 64 times


WORDS = st.sampled_from(
    "the server does not recieve receive 8080 10 MB kB `a_b` `c d` https://a.b/c Alice alice without with no un known "
    "unknown <b> </b> &amp; --opt x.y 2024-01-01 \n \n\n ``` , . - ' isn't is a an five minutes seconds [l](t.md) | # "
    ":ref:`z` 日本語 É ß \u0301 \ud800 \x00 = ( ) foo() a->b teh langauge language".split(" ")
)
TEXTS = st.lists(WORDS, max_size=25).map(" ".join) | st.lists(WORDS, max_size=25).map("".join) | st.text(max_size=60)
FACTS = [
    re.compile(pattern)
    for pattern in (
        r"\d+(?:[.,:/-]\d+)*", r"https?:[^\s<>\"')\]]+", r"(?<=\]\()[^)\s]+", r"``[^`]+``|`[^`\n]+`",
        r"</?[A-Za-z][^<>]*>", r"&#?\w+;", r"\w+_\w*", r"[A-Z]{2,}", r"(?<!\w)--?[a-z][\w-]+", r"\w+->\w+",
        r"(?i)\b(?:not|no|never|without|cannot)\b|n't\b", r"\n",
    )
]  # fmt: skip


@st.composite
def proposals(draw: st.DrawFn) -> tuple[str, str]:
    """A text, and the same text with some of its parts replaced."""
    text = draw(TEXTS)
    proposal = text
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(proposal)))
        end = draw(st.integers(start, min(len(proposal), start + 12)))
        proposal = proposal[:start] + draw(WORDS | st.text(max_size=3)) + proposal[end:]
    return text, proposal


@settings(max_examples=300, deadline=None)
@given(proposals())
def test_what_is_accepted_keeps_every_fact(case: tuple[str, str]) -> None:
    text, proposal = case
    for verdict in (judge(text, proposal, max_change=1), keep_good_edits(text, proposal, max_change=1)):
        for fact in FACTS:
            assert Counter(fact.findall(verdict.text)) == Counter(fact.findall(text))


@settings(max_examples=300, deadline=None)
@given(proposals(), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=3))
def test_protected_pieces_stand_in_order_in_what_is_accepted(
    case: tuple[str, str], spans: list[tuple[int, int]]
) -> None:
    text, proposal = case
    verdict = keep_good_edits(text, proposal, spans, max_change=1)
    at = 0
    for start, end in protected_pieces(text, spans):
        assert 0 <= start < end <= len(text)
        found = verdict.text.find(text[start:end], at)
        assert found >= at
        at = found + end - start


@settings(max_examples=300, deadline=None)
@given(proposals())
def test_judging_twice_changes_nothing(case: tuple[str, str]) -> None:
    text, proposal = case
    kept = keep_good_edits(text, proposal, max_change=1)
    assert keep_good_edits(text, kept.text, max_change=1).text == kept.text
    assert judge(text, kept.text, max_change=1).accepted


@settings(max_examples=300, deadline=None)
@given(proposals() | st.tuples(TEXTS, TEXTS))
def test_edits_turn_the_one_text_into_the_other(case: tuple[str, str]) -> None:
    text, proposal = case
    parts, at = [], 0
    for edit in edits_between(text, proposal):
        assert at <= edit.start <= edit.end
        parts += [text[at : edit.start], edit.new]
        at = edit.end
    assert "".join([*parts, text[at:]]) == proposal


def test_edits_are_few_in_a_long_text_in_which_nothing_is_unique() -> None:
    words = " ".join(f"word{n % 50} teh" for n in range(20_000)).split(" ")
    text = " ".join(words)
    words[7] = words[20_001] = words[-1] = "the"
    words.insert(30_000, "more")
    assert sum(len(edit.new) for edit in edits_between(text, " ".join(words))) < 200


@given(st.text("abc", max_size=8), st.text("abc", max_size=8), st.integers(0, 8))
def test_edit_distance_is_a_capped_distance(one: str, other: str, limit: int) -> None:
    full = edit_distance(one, other, limit=20)
    assert full == edit_distance(other, one, limit=20)
    assert (full == 0) == (one == other)
    assert abs(len(one) - len(other)) <= full <= max(len(one), len(other))
    assert edit_distance(one, other, limit=limit) == min(full, limit + 1)


@pytest.mark.parametrize(("name", "other"), [("Alice", "Alicia"), ("Bob", "Rob"), ("Smyth", "Smith"), ("Will", "Well")])
def test_what_begins_a_sentence_may_be_a_name(name: str, other: str) -> None:
    text = f"It is done. {name} sends the letter."
    assert keep_good_edits(text, text.replace(name, other)).text == text


def test_a_misspelt_common_word_at_the_start_is_mended() -> None:
    text = "It is done. Teh letter is sent."
    assert keep_good_edits(text, text.replace("Teh", "The")).text == text.replace("Teh", "The")
