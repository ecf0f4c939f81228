"""The pace: how many requests and tokens a minute all processes of a home send to one model together.

What belongs here: one small file for each model, under a lock of the kernel's, in which every call reserves its place in time
before it is made. What does not: how many calls one run has in flight (`models.asking`).

Places are spread evenly at a little less than what is allowed, so that no burst runs into a limit whose window nobody knows,
and so that four processes share what one would have. What is allowed is what the settings say, else what the service said
with its last answer, else what is known of its base tier. A refusal for too many requests makes everybody wait, and lowers
the pace until the service has been content for a while.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dataflow_assets.models.base import Allowance

SHARE = 0.97
"""Of what is allowed, so much is used: clocks differ, and calls overtake each other on their way."""
BURST_SECONDS = 0.5
"""Calls may be so much ahead of their place, since timers are late now and then."""
LONGEST_WAIT = 60.0
"""Seconds that a service's wish to wait is honoured at most; more is asked for again."""
EASING = 0.8
"""A refusal multiplies the pace by this, at most once in `EASING_SECONDS`."""
EASING_SECONDS = 2.0
RECOVERY_SECONDS = 10.0
"""After each such time without a refusal the pace grows by a tenth."""
SLOWEST = 0.05


class Pace:
    """Reserves places in time for calls to one model.

    Args:
        folder: Where the home keeps its locks.
        name: Whom the calls go to: provider and model.
        requests_per_minute: What the settings allow; None takes what the service says.
        tokens_per_minute: The same for tokens sent.
        base_requests: What is known of the service's base tier, where it says nothing.
        base_tokens: The same for tokens sent.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        base_requests: float | None = None,
        base_tokens: float | None = None,
    ) -> None:
        self._path = folder / f"pace-{hashlib.sha256(name.encode()).hexdigest()[:12]}.json"
        self._name = name
        self._set = (requests_per_minute, tokens_per_minute)
        self._base = (base_requests, base_tokens)

    def reserve(self, tokens: float) -> float:
        """Reserve the next place for a call.

        Args:
            tokens: What it sends, about.

        Returns:
            The time (seconds since the epoch) at which it may be made.
        """
        now = time.time()
        with self._state() as state:
            ease = self._ease(state, now)
            place = max(now, state["pause"])
            requests = self._set[0] or state["requests_per_minute"] or self._base[0]
            allowed = self._set[1] or state["tokens_per_minute"] or self._base[1]
            if requests:
                place = max(place, state["next_request"] - BURST_SECONDS)
                spacing = 60.0 / (requests * SHARE * ease)
                state["next_request"] = max(state["next_request"], now, state["pause"]) + spacing
            if allowed:
                place = max(place, state["next_token"] - BURST_SECONDS)
                taken = 60.0 * tokens / (allowed * SHARE * ease)
                state["next_token"] = max(state["next_token"], now, state["pause"]) + taken
            return float(place)

    def held_up(self, place: float) -> bool:
        """Say whether everybody was told to wait for longer since a place was reserved."""
        with self._state() as state:
            return bool(state["pause"] > max(place, time.time()))

    def learn(self, allowance: Allowance) -> None:
        """Take in what the service said of its limits."""
        if allowance.requests_per_minute is None and allowance.input_tokens_per_minute is None:
            return
        with self._state() as state:
            state["requests_per_minute"] = allowance.requests_per_minute or state["requests_per_minute"]
            state["tokens_per_minute"] = allowance.input_tokens_per_minute or state["tokens_per_minute"]
            if allowance.requests_left == 0:
                # Somebody else uses the same key: wait for the next free request rather than for a refusal.
                state["pause"] = max(
                    state["pause"], time.time() + 60.0 / max(1.0, state["requests_per_minute"] or 60.0)
                )

    def refused(self, seconds: float) -> None:
        """Have everybody wait: the service said that it was too much."""
        now = time.time()
        with self._state() as state:
            ease = self._ease(state, now)
            state["pause"] = max(state["pause"], now + min(seconds, LONGEST_WAIT))
            if now - state["refused_at"] > EASING_SECONDS:
                state["ease"] = max(SLOWEST, ease * EASING)
                state["refused_at"] = now

    def _ease(self, state: dict[str, Any], now: float) -> float:
        periods = max(0.0, (now - state["refused_at"]) // RECOVERY_SECONDS)
        return float(min(1.0, state["ease"] * 1.1 ** min(periods, 60.0)))

    @contextmanager
    def _state(self) -> Iterator[dict[str, Any]]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            state = _START | _read(descriptor) | {"name": self._name}
            horizon = time.time() + 600.0  # a clock that was set back must not stop everything
            for name in ("pause", "next_request", "next_token", "refused_at"):
                state[name] = min(state[name], horizon)
            yield state
            said = json.dumps(state).encode()
            os.pwrite(descriptor, said, 0)
            os.ftruncate(descriptor, len(said))
        finally:
            os.close(descriptor)


_START: dict[str, Any] = {
    "next_request": 0.0,
    "next_token": 0.0,
    "pause": 0.0,
    "refused_at": 0.0,
    "ease": 1.0,
    "requests_per_minute": None,
    "tokens_per_minute": None,
}


def _read(descriptor: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(descriptor, 4096, 0) or b"{}")
    except ValueError:
        return {}  # a process died while it wrote: the pace starts anew
    return {name: found[name] for name in _START if name in found} if isinstance(found, dict) else {}
