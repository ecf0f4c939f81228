"""Which stretches of documents somebody is asked to write questions about."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.stages.excerpts import MAX_CHARACTERS, MOST, Excerpt, choose, excerpts, in_order

PARAGRAPHS = [f"The valve number {n} opens when the pressure of boiler {n} rises. " * 4 for n in range(30)]


def test_they_are_parts_of_the_text_and_none_overlaps_another() -> None:
    text = "\n\n".join(PARAGRAPHS)
    found = excerpts(text, 10)
    assert len(found) == len(set(found)) == 10
    places = sorted((text.index(one), text.index(one) + len(one)) for one in found)
    assert all(end <= start for (_, end), (start, _) in pairwise(places))
    assert excerpts(text, 4) == found[:4]
    assert len(excerpts(text, 1000)) <= MOST


def test_an_edit_changes_only_what_it_touches() -> None:
    text = "\n\n".join(PARAGRAPHS)
    before = excerpts(text, 30)
    after = excerpts(text.replace("The valve number 7 opens", "An old pump starts"), 30)
    assert len(set(before) - set(after)) == len(set(after) - set(before)) == 1
    moved = excerpts("A new first line stands here.\n\n" + text, 30)
    assert set(before) - set(moved) <= {PARAGRAPHS[0].strip()}


def test_long_blocks_are_asked_about_in_part_and_short_ones_together() -> None:
    (one,) = excerpts(" ".join(f"Sentence {n} of a long paragraph tells of matter {n}." for n in range(400)), 1)
    assert one.startswith("Sentence ")
    assert 800 < len(one) <= MAX_CHARACTERS
    lines = "\n\n".join(f"**user**: line {n} of a talk" for n in range(40))
    assert "\n\n" in excerpts(lines, 1)[0]
    assert excerpts("This page is short and says that the shop opens at nine.", 3) == [
        "This page is short and says that the shop opens at nine."
    ]
    assert excerpts("Too short.", 3) == excerpts("", 3) == excerpts("- - -\n\n" * 100, 3) == []
    assert excerpts("每天早上九点商店开门。" * 5, 1)


@given(st.text(st.sampled_from("ab.。 \n\t\r`<\u2028\ud800日"), max_size=3000), st.integers(1, 60))
def test_whatever_the_text_is(text: str, count: int) -> None:
    found = excerpts(text * 3, count)
    assert len(found) <= min(count, MOST)
    assert all(one and one == one.strip() and len(one) <= MAX_CHARACTERS and one in text * 3 for one in found)


def test_one_of_each_document_then_a_second_one() -> None:
    found = {"a": ["a1", "a2", "both"], "b": ["b1"], "c": ["both", "c1"], "d": []}
    chosen = choose(found, 10)
    assert sorted(one.text for one in chosen[:3]) == ["a1", "b1", "c1"]
    assert chosen[3:] == [Excerpt("a", "a2")]
    assert [one.document_id for one in chosen[:3]] == [name for name in in_order("cab") if name in "abc"]
    shuffled = list(found.items())
    random.Random(1).shuffle(shuffled)
    assert choose(dict(shuffled), 2) == chosen[:2]


@given(
    st.dictionaries(
        st.text("abcdef", min_size=1, max_size=4), st.lists(st.text("xyz", min_size=1), max_size=4), min_size=1
    )
)
def test_a_document_that_goes_moves_no_other_question(found: dict[str, list[str]]) -> None:
    found = {name: [f"{name} {text}" for text in dict.fromkeys(texts)] for name, texts in found.items()}
    gone = min(found)
    count = len(found)
    before = choose(found, count)
    after = choose({name: texts for name, texts in found.items() if name != gone}, count)
    assert {one for one in before if one.document_id != gone} <= set(after)


def test_prose_comes_before_code_and_lists_of_links() -> None:
    links = "\n".join(f"- [page {n}](https://example.com/docs/{n}/index.html)" for n in range(20))
    text = "\n\n".join([links, *PARAGRAPHS[:3], links.replace("docs", "api")])
    assert set(excerpts(text, 3)) == {paragraph.strip() for paragraph in PARAGRAPHS[:3]}
    assert len(excerpts(text, 10)) > 3
