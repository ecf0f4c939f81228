"""How often a key may ask: a bucket of requests that refills as time passes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Rates:
    """The buckets of all keys. A full one holds a minute's requests.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, name: str, per_minute: int) -> float:
        """Take one request out of a key's bucket.

        Returns:
            0 where there was one; else the seconds until there will be, and nothing was taken.
        """
        now = self._clock()
        with self._lock:
            left, at = self._left.get(name, (float(per_minute), now))
            left = min(float(per_minute), left + (now - at) * per_minute / 60)
            if left >= 1:
                self._left[name] = (left - 1, now)
                return 0.0
            self._left[name] = (left, now)
        return (1 - left) * 60 / per_minute
