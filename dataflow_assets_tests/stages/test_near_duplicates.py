"""Which texts are taken for nearly the same, and which are not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.stages.near_duplicates import BANDS, bands, differ_in_substance, shingles, similarity

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
    ],
)
def test_what_is_more_than_wording(one: str, other: str, substance: bool) -> None:
    assert differ_in_substance(one, other) is substance
    assert differ_in_substance(other, one) is substance


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
