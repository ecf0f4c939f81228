"""Answers that were given before: in memory, bounded, or in Redis.

A key names the question and every published state that it was answered from, so nothing is ever removed for being old: what a
run changed has another key. What is no longer asked for falls out by itself.

Redis is shared with others. What is kept there is named and sealed with a secret of the home: another home finds nothing, and
what others wrote in the place of an answer is none.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import logging
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.home import exclusively

REDIS_SECONDS = 3600
REDIS_TIMEOUT = 0.25
REDIS_MOST = 8 << 20
"""An answer with more bytes is not sent to Redis."""
SECRET_BYTES = 32
SEAL_BYTES = 32
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
    """Answers in Redis, for several services of one home; where it fails, nothing is kept for a while.

    Args:
        client: What speaks to Redis: `get(key)` and `set(key, value, ex=seconds)`.
        secret: The home's; who does not have it can neither find an answer nor make one up.
        clock: Seconds that only grow.
    """

    def __init__(self, client: Any, secret: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._secret, self._clock = client, secret, clock
        self._paused_until = 0.0

    def get(self, key: str) -> bytes | None:
        """Give the answer kept under a key."""
        name = self._name(key)
        found = self._ask(lambda: self._client.get(name))
        if not isinstance(found, bytes):
            return None
        seal, answer = found[:SEAL_BYTES], found[SEAL_BYTES:]
        return answer if hmac.compare_digest(seal, self._seal(name, answer)) else None

    def put(self, key: str, answer: bytes) -> None:
        """Keep an answer for an hour."""
        if len(answer) <= REDIS_MOST:
            name = self._name(key)
            self._ask(lambda: self._client.set(name, self._seal(name, answer) + answer, ex=REDIS_SECONDS))

    def _name(self, key: str) -> str:
        return f"dataflow:{hmac.new(self._secret, key.encode(), hashlib.sha256).hexdigest()}"

    def _seal(self, name: str, answer: bytes) -> bytes:
        return hmac.new(self._secret, name.encode() + b"\n" + answer, hashlib.sha256).digest()

    def _ask(self, call: Callable[[], Any]) -> Any:
        if self._clock() < self._paused_until:
            return None
        try:
            return call()
        except Exception as error:
            if str(error).startswith("WRONGTYPE"):  # somebody else's value; Redis is well
                return None
            # Whatever ails Redis, the question can be answered without it. The message may quote the address: it stays here.
            self._paused_until = self._clock() + REDIS_PAUSE
            log.warning("Redis does not answer (%s); answers are not kept for %g s.", type(error).__name__, REDIS_PAUSE)
            return None


def secret_of(home: Path) -> bytes:
    """Give the secret of a home; it is made once, for all services, and is for its owner alone.

    Raises:
        ConfigurationError: It cannot be read, or not be made.
    """
    path = home / "serving" / "answers.secret"
    try:
        with exclusively(path.with_suffix(".lock")):
            found = path.read_bytes() if path.exists() else b""
            if len(found) != SECRET_BYTES:
                found, draft = secrets.token_bytes(SECRET_BYTES), path.with_suffix(".new")
                descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(found)
                draft.replace(path)
            return found
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror}), and Redis is not used without it: let the service read and write there."
        ) from error


def open_cache(
    redis_url: str | None, *, entries: int, size: int, home: Path, clock: Callable[[], float] = time.monotonic
) -> AnswerCache:
    """Open the cache that the settings name.

    Args:
        redis_url: Redis; answers are kept in memory where none is named.
        entries: Answers that memory holds at most.
        size: Bytes that they may take together.
        home: The home.
        clock: Seconds that only grow.

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
    # A connection that Redis closed is opened once more at once; the client itself would try for many seconds.
    retry = redis.retry.Retry(redis.backoff.NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    try:
        client = redis.Redis.from_url(
            redis_url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT, retry=retry
        )
    except ValueError:
        raise ConfigurationError(
            "DATAFLOW_REDIS_URL is no address of Redis, such as redis://localhost:6379/0"
        ) from None
    return RedisCache(client, secret_of(home), clock)
