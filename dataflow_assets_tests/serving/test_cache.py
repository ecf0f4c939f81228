"""Kept answers: bounded, and never a reason to fail."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.serving.cache import MemoryCache, RedisCache, open_cache


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


def test_nothing_is_kept_where_nothing_may_be() -> None:
    cache = MemoryCache(0, 1000)
    cache.put("a", b"1")
    assert cache.get("a") is None


class FakeRedis:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.calls = 0
        self.broken = False

    def get(self, key: str) -> bytes | None:
        self.calls += 1
        if self.broken:
            raise ConnectionError("redis://user:password@host is gone")
        return self.kept.get(key)

    def set(self, key: str, value: bytes, ex: int) -> None:
        self.calls += 1
        assert ex > 0
        self.kept[key] = value


def test_homes_that_share_a_redis_do_not_share_answers() -> None:
    client = FakeRedis()
    one, other = RedisCache(client, "/home/one"), RedisCache(client, "/home/other")
    one.put("a", b"1")
    assert one.get("a") == b"1"
    assert other.get("a") is None


def test_a_redis_that_is_gone_is_left_alone_for_a_while(caplog: Any) -> None:
    client = FakeRedis()
    cache = RedisCache(client, "x")
    client.broken = True
    assert [cache.get("a") for _ in range(5)] == [None] * 5
    assert client.calls == 1
    assert "password" not in caplog.text


def test_an_address_that_is_none_is_refused_without_being_quoted() -> None:
    pytest.importorskip("redis")
    with pytest.raises(ConfigurationError) as error:
        open_cache("nonsense:password", entries=1, size=1, space="x")
    assert "password" not in str(error.value)
