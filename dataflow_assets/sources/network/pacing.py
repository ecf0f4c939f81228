"""How often one host is asked.

What belongs here: places in time for requests to each host, and pauses that a host asks for. What does not: how many
requests are under way at once, and what is done about a failure (`sources.http`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LONGEST_WAIT = 60.0
"""Seconds that a host's wish to wait is honoured at most; it can wish again."""


class HostPace:
    """Spreads the requests to each host evenly; safe for threads.

    Args:
        per_second: Requests a second to one host at most; None for as many as come.
        sleep: Waits for some seconds.
        clock: Tells the time in seconds, from any moment.
    """

    def __init__(
        self,
        per_second: float | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spacing = 1 / per_second if per_second else 0.0
        self._sleep, self._clock = sleep, clock
        self._slower: dict[str, float] = {}
        self._next: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait(self, host: str) -> None:
        """Wait for the next place in time at a host."""
        with self._lock:
            now = self._clock()
            place = max(now, self._next.get(host, 0.0))
            self._next[host] = place + max(self._spacing, self._slower.get(host, 0.0))
        if place > now:
            self._sleep(place - now)

    def slow(self, host: str, seconds: float) -> None:
        """Leave at least so many seconds between requests to a host from now on, 60 at most."""
        with self._lock:
            self._slower[host] = min(max(0.0, seconds), LONGEST_WAIT)

    def pause(self, host: str, seconds: float) -> None:
        """Ask a host nothing for some seconds, 60 at most: it said so."""
        with self._lock:
            until = self._clock() + min(max(0.0, seconds), LONGEST_WAIT)
            self._next[host] = max(until, self._next.get(host, 0.0))
