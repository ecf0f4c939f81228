"""Answers kept in Redis: shared by the services of one home, by nobody else, and never a reason to fail or to wait."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from fakeredis import TcpFakeServer
from starlette.testclient import TestClient

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.serving.cache import REDIS_MOST, REDIS_PAUSE, RedisCache, open_cache
from dataflow_assets.serving.keys import KeyStore
from dataflow_assets_tests.serving.worlds import World, bearer


class Server:
    """A Redis on loopback that can die and come back empty, as one that was started anew does."""

    def __init__(self) -> None:
        self.port = 0
        self.start()

    def start(self) -> None:
        self._server = TcpFakeServer(("127.0.0.1", self.port))
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def die(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def seen_by_others(self) -> redis.Redis:
        return redis.Redis(port=self.port)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.die()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(server: Server, home: Path, clock: Any = None) -> RedisCache:
    found = open_cache(server.url, entries=1, size=1, home=home, **({"clock": clock} if clock else {}))
    assert isinstance(found, RedisCache)
    return found


def test_services_of_one_home_share_answers_and_no_other_home_has_them(server: Server, tmp_path: Path) -> None:
    one, same, other = (opened(server, tmp_path / home) for home in ("a", "a", "b"))
    answer = b"\x00\xff\r\n" * 1000
    one.put("key", answer)
    assert [cache.get("key") for cache in (one, same, other)] == [answer, answer, None]
    (name,) = server.seen_by_others().keys()
    assert 0 < server.seen_by_others().ttl(name) <= 3600
    secret = tmp_path / "a" / "serving" / "answers.secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_home_that_lies_at_the_same_place_elsewhere_finds_nothing(server: Server, tmp_path: Path) -> None:
    opened(server, tmp_path).put("key", b"ours")
    (tmp_path / "serving" / "answers.secret").unlink()  # as on another machine, or in another container
    assert opened(server, tmp_path).get("key") is None


def test_what_others_wrote_is_no_answer(server: Server, tmp_path: Path) -> None:
    cache, others = opened(server, tmp_path), server.seen_by_others()
    for key in ("one", "two", "three", "four"):
        cache.put(key, key.encode())
        if key == "one":
            (first,) = others.keys()
            sealed = others.get(first)
            assert isinstance(sealed, bytes)
    named = others.keys()
    for name in named:
        others.set(name, b'{"query": "x", "results": []}')
    assert [cache.get(key) for key in ("one", "two")] == [None, None]
    for name in named:
        others.set(name, sealed)  # an answer of ours, to another question
    assert [cache.get(key) for key in ("one", "two")] == [b"one", None]
    others.set(first, sealed[:-1])
    assert cache.get("one") is None
    for name in named:
        others.delete(name)
        others.lpush(name, "x")
    assert cache.get("one") is None
    cache.put("one", b"again")  # the others' values were no reason to leave Redis alone
    assert cache.get("one") == b"again"


def test_a_redis_that_dies_is_left_alone_for_a_while_and_used_when_it_is_back(
    server: Server, tmp_path: Path, caplog: Any
) -> None:
    clock = Clock()
    cache = opened(server, tmp_path, clock)
    cache.put("key", b"1")
    server.die()
    for _ in range(5):
        assert cache.get("key") is None
        cache.put("key", b"2")
    assert len(caplog.records) == 1
    server.start()
    cache.put("key", b"3")
    assert server.seen_by_others().dbsize() == 0  # it is not asked before its time
    clock.now = REDIS_PAUSE
    cache.put("key", b"4")
    assert cache.get("key") == b"4"


def test_a_redis_that_was_restarted_between_two_questions_is_used_at_once(server: Server, tmp_path: Path) -> None:
    cache = opened(server, tmp_path)
    cache.put("key", b"1")
    server.die()
    server.start()
    cache.put("key", b"2")
    assert cache.get("key") == b"2"


def test_what_is_too_large_is_not_sent(server: Server, tmp_path: Path) -> None:
    opened(server, tmp_path).put("key", b"x" * (REDIS_MOST + 1))
    assert server.seen_by_others().dbsize() == 0


def test_an_address_that_is_none_is_refused_without_being_quoted(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        open_cache("nonsense:password", entries=1, size=1, home=tmp_path)
    assert "password" not in str(error.value)


def test_a_password_stays_out_of_the_log(tmp_path: Path, caplog: Any) -> None:
    cache = open_cache("redis://user:password@127.0.0.1:1/0", entries=1, size=1, home=tmp_path)
    assert cache.get("key") is None
    assert caplog.records
    assert "password" not in caplog.text


def test_a_deleted_document_is_in_no_answer_of_any_service(world: World, server: Server) -> None:
    _, token = KeyStore(world.home).add("one", libraries=["fruit"])
    _, wider = KeyStore(world.home).add("other", libraries=None)

    def ask(client: TestClient, key: str = token) -> tuple[str, list[str]]:
        answer = client.get("/v1/search?query=cellar+harvest+sun", headers=bearer(key))
        assert answer.status_code == 200
        assert answer.json()["took_ms"] > 0
        return answer.headers["x-cache"], sorted(result["title"] for result in answer.json()["results"])

    asking = {"require_key": True, "redis_url": server.url}
    with world.serving(**asking) as first, world.serving(**asking) as second:
        before = ["apples", "pears", "plums"]
        assert [ask(client) for client in (first, second)] == [("miss", before), ("hit", before)]
        assert ask(second, wider) == ("miss", [*before[:1], "merger", *before[1:]])
        world.publish("fruit", {"pears": "# Pears\n\nPears ripen after the harvest, in a warm room."})
        assert [ask(client) for client in (second, first)] == [("miss", ["pears"]), ("hit", ["pears"])]
        server.die()
        assert ask(first) == ("miss", ["pears"])
