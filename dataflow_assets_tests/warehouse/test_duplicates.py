"""Which text of a group stays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.warehouse.duplicates import kept_texts, pair

names = st.sampled_from("abcdefgh")
pairs = st.lists(
    st.tuples(names, names).filter(lambda both: both[0] != both[1]).map(lambda both: pair(*both)), max_size=14
)


@given(pairs, st.permutations("abcdefgh"))
def test_a_text_stands_for_another_only_where_the_two_are_alike(alike: list[tuple[str, str]], order: list[str]) -> None:
    places = {name: place for place, name in enumerate(order)}
    found = kept_texts(alike, places, lambda one, other: 0.95 if pair(one, other) in alike else 0.0)
    for text, (kept, share) in found.items():
        assert share == 0.95
        assert pair(text, kept) in alike
        assert kept not in found
        assert places[kept] < places[text]
    stay = [name for name in order if name not in found]
    assert not any(pair(one, other) in alike for one in stay for other in stay if one != other)


@given(pairs, st.permutations("abcdefgh"), st.randoms())
def test_the_order_in_which_pairs_were_found_does_not_matter(
    alike: list[tuple[str, str]], order: list[str], chance: object
) -> None:
    places = {name: place for place, name in enumerate(order)}

    def judged(one: str, other: str) -> float:
        return 0.95 if pair(one, other) in alike else 0.0

    shuffled = list(alike)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert kept_texts(alike, places, judged) == kept_texts(shuffled, places, judged)


def test_a_chain_of_small_differences_does_not_make_its_ends_the_same() -> None:
    found = kept_texts([("a", "b"), ("b", "c")], {"a": 0, "b": 1, "c": 2}, lambda x, y: 0.95 if "b" in (x, y) else 0.0)
    assert found == {"b": ("a", 0.95)}


def test_a_text_that_went_away_is_left_out() -> None:
    assert kept_texts([("a", "b")], {"b": 0}, lambda x, y: 1.0) == {}
