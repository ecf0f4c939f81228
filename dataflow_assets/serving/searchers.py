"""Searching in processes of their own, so that all cores answer: the engine and the ranking hold the interpreter's lock.

What belongs here: handing a question over and taking its answer, as bytes. What does not: who asks, what was kept from before,
what is counted; that stays in the one process that all requests come to.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from dataflow_assets.errors import DataflowError
from dataflow_assets.search.api import Search, open_search

LOOK_SECONDS = 2.0

log = logging.getLogger(__name__)


def answer(search: Search, question: Mapping[str, Any]) -> tuple[bytes, dict[str, str] | None]:
    """Answer a question.

    Args:
        search: Who answers.
        question: The arguments of `Search.search`.

    Returns:
        The answer as JSON without the time that it took, and the published states that it was read from; None where it must not
        be kept, since a note says that something was amiss, which may have passed by the next time.
    """
    found = search.search(**question)
    said = {
        "query": found.query,
        "mode": found.mode,
        "results": found.results,
        "notes": found.notes,
        "understood": found.understood,
    }
    return to_json(said, inf_nan_mode="null"), None if found.notes else dict(found.publications)


def warm_up(search: Search) -> None:
    """Open what every question needs, so that the first one does not wait for it."""
    with suppress(DataflowError):
        search.search("ready", top_k=1)


class Searchers:
    """Processes that answer questions; where they are gone, the questions are answered here.

    Args:
        search: Answers here.
        home: The home.
        catalog: The catalog file.
        processes: How many; 0 answers everything here.
        seconds: How long one answer may take.
    """

    def __init__(self, search: Search, home: Path, catalog: Path, *, processes: int, seconds: float) -> None:
        self._search = search
        self._seconds = seconds
        self._pool: ProcessPoolExecutor | None = None
        if processes:
            # Never forked: this process has threads, and the engine does too.
            self._pool = ProcessPoolExecutor(
                processes,
                multiprocessing.get_context("spawn"),
                initializer=_open,
                initargs=(home, catalog, os.getpid()),
            )

    def warm_up(self) -> None:
        """Wait until questions can be answered at once."""
        warm_up(self._search)
        self.answer({"text": "ready", "top_k": 1}, quietly=True)

    def answer(self, question: Mapping[str, Any], *, quietly: bool = False) -> tuple[bytes, dict[str, str] | None]:
        """Answer a question; see `answer` above."""
        pool = self._pool
        if pool is not None:
            try:
                return pool.submit(_answer, dict(question)).result(self._seconds)
            except BrokenProcessPool:
                self._pool = None
                log.error("The processes that search are gone; questions are answered by the service itself.")
            except DataflowError:
                if quietly:
                    return b"", None
                raise
        return (b"", None) if quietly else answer(self._search, question)

    def pids(self) -> list[int]:
        """Name the processes by their ids."""
        return list(self._pool._processes) if self._pool is not None else []

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


_here: list[Search] = []


def _open(home: Path, catalog: Path, parent: int) -> None:
    """Begin a process that searches."""
    # Ctrl-C reaches all processes of a terminal; the service says when it is over.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    _here.append(open_search(home, catalog))
    warm_up(_here[0])


def _follow(parent: int) -> None:
    """End with the service, however it ended."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)


def _answer(question: Mapping[str, Any]) -> tuple[bytes, dict[str, str] | None]:
    return answer(_here[0], question)
