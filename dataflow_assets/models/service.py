"""What is the same with every service that is asked over HTTP.

What belongs here: what a status means, how long a service asks to wait, and that a client belongs to one event loop. What does
not: what a service's own errors and messages mean (its adapter), and what is done about a failure (`models.asking`).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Generic, TypeVar

from dataflow_assets.models.base import Failure

Client = TypeVar("Client")

_SURROGATES = re.compile("[\ud800-\udfff]")


def kind_of_status(status: int) -> Failure:
    """Say what kind of failure an HTTP status is, where it alone tells."""
    kinds: dict[int, Failure] = {
        401: "credential", 403: "credential", 402: "payment", 408: "server", 409: "server", 413: "too_large",
        429: "throttled", 503: "overloaded", 529: "overloaded",
    }  # fmt: skip
    if status in kinds:
        return kinds[status]
    if status >= 500:
        return "server"
    return "invalid" if status >= 400 else "garbled"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how many seconds a service asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date.

    Args:
        headers: Of the answer; looking a name up must not depend on its case.
    """
    if (milliseconds := number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    said = headers.get("retry-after")
    if (seconds := number(said)) is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(said or "").timestamp() - time.time())
    except (ValueError, OverflowError, TypeError):
        return None


def seconds_until(moment: str | None) -> float | None:
    """Say how far off a moment is that is written as RFC 3339 has it; a past one is 0 off."""
    try:
        at = dt.datetime.fromisoformat(moment or "")
    except ValueError:
        return None
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).timestamp() - time.time())


def number(said: str | None) -> float | None:
    """Read a number that is finite and not negative; None for anything else."""
    try:
        value = float(said or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def count(said: object) -> int:
    """Read a number of tokens; 0 where it is none."""
    return said if isinstance(said, int) and not isinstance(said, bool) and said > 0 else 0


def encodable(text: str) -> str:
    """Replace lone surrogates, which no request can carry."""
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)


class PerLoop(Generic[Client]):
    """Keeps one client for each event loop, since connections belong to the loop that they were opened in.

    Args:
        make: Makes a client; called within the loop.
        close: Closes one.
    """

    def __init__(self, make: Callable[[], Client], close: Callable[[Client], Awaitable[object]]) -> None:
        self._make, self._close = make, close
        self._clients: dict[asyncio.AbstractEventLoop, Client] = {}

    def get(self) -> Client:
        """Give the running loop's client; clients of loops that are closed are forgotten."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            for other in [other for other in list(self._clients) if other.is_closed()]:
                self._clients.pop(other, None)
            client = self._clients[loop] = self._make()
        return client

    async def close(self) -> None:
        """Close the running loop's client and forget it."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await self._close(client)
