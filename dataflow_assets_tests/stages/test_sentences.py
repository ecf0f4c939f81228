from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.stages.sentences import CLAUSE, LINE, PARAGRAPH, clauses, lines, reads_like_title, sentences

LONG = "This line is much longer than a page is wide, so nobody broke it to fit one, and it is a paragraph of its own, which ends."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Materials and Methods", True), (" = = Early life = = ", True), ("3 Results", True), ("Overview\n", True),
        ("", False), ("   ", False), ("2003 10 18", False), ("it goes on", False), ("It ends here.", False),
        ("Name: value", False), ("See this, and that", False), ("Said (so).", False), ("x" * 81, False), ("Two\nLines", False),
        ("Version 3.11 notes", True),
    ],
)  # fmt: skip
def test_what_reads_like_a_title(text, expected):
    assert reads_like_title(text) is expected


def test_a_new_line_behind_a_long_line_or_before_a_title_is_strong():
    text = f"{LONG}\nNext one. Wrapped\nhere. It ends.\nA Title\nAnd what it heads. More."
    found = {text[at : at + 9]: strength for at, strength, _ in sentences(text, 0, len(text))}
    assert found["Next one."] == PARAGRAPH
    assert found["A Title\nA"] == PARAGRAPH
    assert found[" Wrapped\n"] == found[" It ends."] == found[" More."] == LINE
    assert "And what " not in found


def test_clauses_begin_behind_words_and_numbers_not_behind_initials():
    text = "it rose by 2017. the company grew; also the u.s. part (i.e. all of it) did."
    assert [(text[at:].split()[0], strength) for at, strength, _ in clauses(text, 0, len(text))] == [
        ("the", CLAUSE), ("also", CLAUSE),
    ]  # fmt: skip


@given(
    st.lists(st.sampled_from(["Word", "a", ". ", "\n", "\n\n", " ", "Title", "。", "x; y", "!)", "é", "\x1c"])).map(
        "".join
    )
)
def test_places_rise_and_lie_inside(text):
    for found in (sentences(text, 0, len(text)), clauses(text, 0, len(text)), lines(text, 0, len(text), LINE)):
        places = [at for at, _, _ in found]
        assert places == sorted(set(places))
        assert all(0 < at < len(text) for at in places)


def test_hostile_texts_take_no_longer_than_they_are():
    for text in (
        ". " * 200_000,
        ".\n" * 200_000,
        "a.\n" * 200_000,
        ".)" * 200_000,
        "x" * 400_000 + ".\nA",
        "\n " * 200_000,
    ):
        for found in (sentences(text, 0, len(text)), clauses(text, 0, len(text)), lines(text, 0, len(text), LINE)):
            assert sum(1 for _ in found) <= len(text)
