"""How many calls are in flight at once.

What belongs here: one number that follows what the service shows. What does not: how many calls a minute are allowed
(`models.pace`), which all processes share.
"""

from __future__ import annotations

import asyncio
import time

from dataflow_assets.models.question import Manners


class Gate:
    """How many calls are in flight at once: one until the first answer, then more while the service is content.

    Doubles with every round of answers until the service is not content for the first time, then grows by one a round and
    halves with every sign of overload, as TCP does.
    """

    def __init__(self, manners: Manners) -> None:
        self._manners = manners
        self._limit = 1.0
        self._open = False
        self._slow = False
        self._active = 0
        self._shrunk_at = 0.0
        self._waiting: list[asyncio.Future[None]] = []
        self.peak = 0

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return max(1, int(self._limit))

    async def __aenter__(self) -> None:
        while self._active >= self.limit:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        self._active += 1
        self.peak = max(self.peak, self._active)

    async def __aexit__(self, *_: object) -> None:
        self._active -= 1
        self._let_in()

    def grow(self) -> None:
        """Note an answer."""
        if not self._open:
            self._open = True
            self._limit = float(self._manners.concurrency)
        elif self._active >= self.limit:  # more room is of use only where there is none
            self._limit += 1.0 / self._limit if self._slow else 1.0
        self._limit = min(self._limit, float(self._manners.max_concurrency))
        self._let_in()

    def shrink(self) -> None:
        """Note that the service is overloaded, or does not answer in time."""
        if time.monotonic() - self._shrunk_at > 1.0:
            self._limit = max(1.0, self._limit / 2)
            self._slow, self._shrunk_at = True, time.monotonic()

    def _let_in(self) -> None:
        room = self.limit - self._active
        while self._waiting and room > 0:
            turn = self._waiting.pop(0)
            if not turn.done():
                turn.set_result(None)
                room -= 1
