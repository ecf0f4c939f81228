"""Which texts are taken for nearly the same, and which are not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.stages.near_duplicates import BANDS, bands, differ_in_substance, shingles, similarity, substance

WORDS = """the library is refreshed every night and whatever has changed since then comes back with its corrected text while the
rest stays as it was because nobody wants to pay for a text that was read before and which says the same as yesterday""".split()


def prose(seed: int, words: int = 400) -> list[str]:
    chosen = random.Random(seed)
    return [chosen.choice(WORDS) + ("." if place % 12 == 11 else "") for place in range(words)]


def alike(one: str, other: str) -> float:
    return similarity(shingles(one), shingles(other))


def test_a_text_is_like_itself_whatever_its_spaces_case_and_punctuation() -> None:
    text = " ".join(prose(1))
    other = text.upper().replace(" ", "\n").replace(".", "!")
    assert alike(text, other) == 1.0
    assert not differ_in_substance(text, text.replace(".", "!"))
    assert bands(shingles(text)) == bands(shingles(other))


def test_one_word_of_four_hundred_keeps_texts_alike_and_another_text_is_not() -> None:
    words = prose(1)
    changed = [*words[:200], "indeed", *words[201:]]
    assert alike(" ".join(words), " ".join(changed)) > 0.9
    assert set(bands(shingles(" ".join(words)))) & set(bands(shingles(" ".join(changed))))
    assert alike(" ".join(words), " ".join(prose(2))) < 0.1


@pytest.mark.parametrize(
    ("one", "other", "substance"),
    [
        ("costs 5.00 a month", "costs 6.00 a month", True),
        ("version 1.2 of it", "version 1.3 of it", True),
        ("call read_text here", "call read_bytes here", True),
        ("call readText here", "call readBytes here", True),
        ("you must do it", "you must not do it", True),
        ("das ist erlaubt", "das ist nicht erlaubt", True),
        ("see https://a.example/x", "see https://a.example/y", True),
        ("ask bob@example.org", "ask amy@example.org", True),
        ("a fine day", "a nice day", False),
        ("in **bold** words", "in bold words", False),
        ("the first, the last", "the last, the first", False),
        ("costs 5.00.", "costs 5.00", False),
        ("Version 2", "(Version 2)", False),
        ("it costs $5 a day", "it costs €5 a day", True),
        ("if a < b then", "if a >= b then", True),
        ("written in C++ here", "written in C here", True),
        ("it takes three days", "it takes five days", True),
        ("open on Monday", "open on Tuesday", True),
        ("to enable the cache", "to disable the cache", True),
        ("this is possible today", "this is impossible today", True),
        ("shipped to Germany only", "shipped to France only", True),
        ("shipped to Germany and France", "shipped to Germany", False),
        ("an apple is round, the apple falls", "a pear is round, the pear falls", True),
        ("an apple is round and sweet", "a pear is round and sweet", False),
        ("the infor-\nmation is here", "the information is here", False),
        ("well-known words", "well-\nknown words", False),
        ("ここに入れます", "ここに入れません", True),
        ("可以使用", "不可以使用", True),
        ("Ein schöner Tag", "Ein schöner Tag, sagt man", False),
    ],
)
def test_what_is_more_than_wording(one: str, other: str, substance: bool) -> None:
    assert differ_in_substance(one, other) is substance
    assert differ_in_substance(other, one) is substance


ARTICLE = "\n\n".join(" ".join(prose(seed, 90)) for seed in range(20, 30))
LICENCE = " ".join(prose(40, 250))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (ARTICLE, "We use cookies to make this site better. Accept or decline.\n\n" + ARTICLE, True),
        (ARTICLE, ARTICLE + "\n\nThank you for reading, and come back soon.", True),
        ("Home, news and weather\n\n" + ARTICLE, "Start, archive and search\n\n" + ARTICLE, True),
        (ARTICLE, "\n".join(ARTICLE[at : at + 60] for at in range(0, len(ARTICLE), 60)).replace(" \n", "\n"), False),
        (ARTICLE, "\n".join(ARTICLE.split(" ")), True),
        (ARTICLE, ARTICLE.replace("library", "li-\nbrary").replace("refreshed", "refre-\n  shed"), True),
        (ARTICLE, "> " + ARTICLE.replace("\n\n", "\n>\n> "), True),
        (ARTICLE + "\n\n© 2024 the paper", ARTICLE + "\n\n© 2025 the paper", False),
        ("Copyright 2020 Ann Archer\n\n" + LICENCE, "Copyright 2024 Ann Archer\n\n" + LICENCE, False),
        ("Copyright by Ann Archer\n\n" + LICENCE, "Copyright by Bob Butcher\n\n" + LICENCE, False),
        (f"## 1.2.0\n\n{ARTICLE}", f"## 1.2.1\n\n{ARTICLE}", False),
        (f"Create a widget.\n{ARTICLE}\nThe widget is made.", f"Create a gadget.\n{ARTICLE}\nThe gadget is made.", False),
    ],
    ids=["cookies", "footer", "header", "cut words", "line breaks", "hyphens", "quoted", "years", "licence years",
         "licence holders", "changelogs", "a template"],
)  # fmt: skip
def test_kinds_of_copies(one: str, other: str, same: bool) -> None:
    assert (alike(one, other) >= 0.9 and not differ_in_substance(one, other)) is same
    if same:
        assert substance(one) == substance(other)
        assert set(bands(shingles(one), substance(one))) & set(bands(shingles(other), substance(other)))


@given(st.text(max_size=300), st.text(max_size=300))
def test_only_texts_of_the_same_substance_are_looked_at(one: str, other: str) -> None:
    assert differ_in_substance(one, other) == differ_in_substance(other, one)
    assert not differ_in_substance(one, one)
    if substance(one) != substance(other):
        assert differ_in_substance(one, other)


@pytest.mark.parametrize(
    "block", ["!", "a!", "-", "-\n", " ", "\t", "\u00ad", "a-", "a- ", "“", "_", "不", "a'", "<", "#", "\ud800", "é́"]
)
def test_hostile_texts_take_linear_time(block: str) -> None:
    text = block * (400_000 // len(block)) + "x"
    assert not differ_in_substance(text, text)
    assert len(bands(shingles(text))) in (0, BANDS)


def test_a_translation_is_not_alike() -> None:
    english, german = " ".join(prose(3)), " ".join(word[::-1] for word in prose(3))
    assert alike(english, german) == 0.0


def test_scripts_without_spaces_count_by_the_character() -> None:
    text = "図書館は毎晩更新され変わらなかったものは二度と読まれることがありません" * 12
    chosen = random.Random(5)
    text = "".join(chosen.sample(text, len(text)))
    other = text[:200] + "新" + text[200:]
    assert alike(text, other) > 0.9


@pytest.mark.parametrize("text", ["", " ", "a few words only", "\ud800 " * 10, "\x00" * 1000])
def test_a_short_text_has_no_near_duplicates(text: str) -> None:
    assert bands(shingles(text)) == []
    assert alike(text, text) == 0.0


@given(st.text(max_size=3000))
def test_any_text_has_bands_or_none(text: str) -> None:
    assert len(bands(shingles(text))) in (0, BANDS)


def test_likely_pairs_are_found() -> None:
    """Pairs of which nine tenths of the runs are shared are found; the chance to miss one is 0.0001."""
    found = 0
    for seed in range(60):
        words = prose(seed, 1000)
        changed = list(words)
        for place in range(100, 900, 90):
            changed[place] = "otherwise"
        one, other = shingles(" ".join(words)), shingles(" ".join(changed))
        assert similarity(one, other) > 0.88
        found += bool(set(bands(one)) & set(bands(other)))
    assert found >= 59
