"""Kept answers: bounded, and never a reason to fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.serving.cache import MemoryCache


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60))))
def test_memory_stays_within_its_bounds_and_gives_what_was_kept_last(puts: list[tuple[int, int]]) -> None:
    cache = MemoryCache(5, 200)
    last: dict[str, bytes] = {}
    for key, length in puts:
        if length <= 20:
            last[str(key)] = b"x" * length
        cache.put(str(key), b"x" * length)
    kept = {key: found for key in map(str, range(10)) if (found := cache.get(key)) is not None}
    assert len(kept) <= 5
    assert sum(map(len, kept.values())) <= 200
    assert all(last[key] == found for key, found in kept.items())


def test_what_was_asked_for_lately_stays() -> None:
    cache = MemoryCache(2, 1000)
    cache.put("a", b"1")
    cache.put("b", b"2")
    cache.get("a")
    cache.put("c", b"3")
    assert [cache.get(key) for key in "abc"] == [b"1", None, b"3"]


@pytest.mark.parametrize(("entries", "size"), [(0, 1000), (10, 0)])
def test_nothing_is_kept_where_nothing_may_be(entries: int, size: int) -> None:
    cache = MemoryCache(entries, size)
    cache.put("a", b"1")
    assert cache.get("a") is None
