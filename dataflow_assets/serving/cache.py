"""Answers that were given before: in memory, bounded, or in Redis.

A key names the question and every published state that it was answered from, so nothing is ever removed for being old: what a
run changed has another key. What is no longer asked for falls out by itself.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import threading
import time
from collections import OrderedDict
from typing import Any, Protocol

from dataflow_assets.errors import ConfigurationError

REDIS_SECONDS = 3600
REDIS_PAUSE = 30.0
"""How long Redis is left alone after it failed, so that no request waits for it."""

log = logging.getLogger(__name__)


class AnswerCache(Protocol):
    """Where answers are kept. It may forget any at any time, and never fails."""

    def get(self, key: str) -> bytes | None:
        """Give the answer kept under a key."""

    def put(self, key: str, answer: bytes) -> None:
        """Keep an answer."""


class MemoryCache:
    """Answers in this process; those asked for least lately are forgotten first.

    Args:
        entries: How many at most.
        size: How many bytes they may take together.
    """

    def __init__(self, entries: int, size: int) -> None:
        self._entries, self._size = entries, size
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """Give the answer kept under a key."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: str, answer: bytes) -> None:
        """Keep an answer, unless it would take more than a tenth of the room."""
        if not self._entries or len(answer) > self._size // 10:
            return
        with self._lock:
            self._bytes += len(answer) - len(self._kept.pop(key, b""))
            self._kept[key] = answer
            while len(self._kept) > self._entries or self._bytes > self._size:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= len(gone)


class RedisCache:
    """Answers in Redis, for several services; where it fails, nothing is kept for a while.

    Args:
        client: What speaks to Redis: `get(key)` and `set(key, value, ex=seconds)`.
        space: Begins every key; another home has another one.
    """

    def __init__(self, client: Any, space: str) -> None:
        self._client = client
        self._space = f"dataflow:{hashlib.sha256(space.encode()).hexdigest()[:16]}:"
        self._paused_until = 0.0

    def get(self, key: str) -> bytes | None:
        """Give the answer kept under a key."""
        found = self._ask(lambda: self._client.get(self._space + key))
        return found if isinstance(found, bytes) else None

    def put(self, key: str, answer: bytes) -> None:
        """Keep an answer for an hour."""
        self._ask(lambda: self._client.set(self._space + key, answer, ex=REDIS_SECONDS))

    def _ask(self, call: Any) -> Any:
        if time.monotonic() < self._paused_until:
            return None
        try:
            return call()
        except Exception as error:
            # Whatever ails Redis, the question can be answered without it. The message may quote the address: it stays here.
            self._paused_until = time.monotonic() + REDIS_PAUSE
            log.warning("Redis does not answer (%s); answers are not kept for %g s.", type(error).__name__, REDIS_PAUSE)
            return None


def open_cache(redis_url: str | None, *, entries: int, size: int, space: str) -> AnswerCache:
    """Open the cache that the settings name.

    Raises:
        ConfigurationError: Redis is named, and its client is not installed, or the address is none.
    """
    if redis_url is None:
        return MemoryCache(entries, size)
    try:
        redis: Any = importlib.import_module("redis")  # an extra: only who names a Redis needs its client
    except ImportError:
        raise ConfigurationError(
            "DATAFLOW_REDIS_URL is set, and the package redis is not installed: pip install redis"
        ) from None
    try:
        client = redis.Redis.from_url(redis_url, socket_timeout=0.25, socket_connect_timeout=0.25)
    except ValueError:
        raise ConfigurationError(
            "DATAFLOW_REDIS_URL is no address of Redis, such as redis://localhost:6379/0"
        ) from None
    return RedisCache(client, space)
