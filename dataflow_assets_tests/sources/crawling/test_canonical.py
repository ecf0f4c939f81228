from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.sources.crawling.canonical import roots_of

PAGES = "abcdefg"


@given(st.fixed_dictionaries({page: st.sampled_from([None, *PAGES]) for page in PAGES}), st.permutations(PAGES))
def test_nothing_is_lost_and_the_order_does_not_count(named: dict[str, str | None], order: list[str]) -> None:
    named = {page: None if target == page else target for page, target in named.items()}
    roots = roots_of(named)
    assert roots.keys() == named.keys()
    assert all(roots[root] == root for root in roots.values())
    assert all(roots[page] == page for page, target in named.items() if target is None)
    assert all(roots[page] == roots[target] for page, target in named.items() if target is not None)
    assert roots_of({page: named[page] for page in order}) == roots


def test_of_a_circle_the_first_stays() -> None:
    assert roots_of({"c": "a", "a": "b", "b": "c", "z": "c", "n": None}) == {
        "a": "a", "b": "a", "c": "a", "z": "a", "n": "n",
    }  # fmt: skip


def test_a_long_chain_is_followed() -> None:
    named: dict[str, str | None] = {f"{n:05}": f"{n + 1:05}" for n in range(50_000)} | {"50000": None}
    assert set(roots_of(named).values()) == {"50000"}
