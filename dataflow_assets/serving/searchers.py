"""Searching in processes of their own, so that all cores answer: the engine and the ranking hold the interpreter's lock.

What belongs here: handing a question over and taking its answer, as bytes. What does not: who asks, what was kept from before,
what is counted; that stays in the one process that all requests come to.

Each process has a pipe, and the thread that wants an answer writes and reads it itself: the queues and threads of Python's
executor cost as much processor as a third of a search.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from dataflow_assets.errors import DataflowError, SearchIndexError
from dataflow_assets.search.api import Search, open_search

LOOK_SECONDS = 2.0
STARTING_SECONDS = 60.0
TRIES = 2
"""Processes that a question is given to before it is answered here."""

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


class _Gone(Exception):
    """A process ended before it answered."""


class _Worker:
    """One process that answers, for one thread at a time."""

    def __init__(self, home: Path, catalog: Path) -> None:
        # Never forked: this process has threads, and the engine does too.
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self.process = context.Process(target=_serve, args=(there, home, catalog, os.getpid()), daemon=True)
        self.process.start()
        there.close()

    def answer(self, question: bytes, seconds: float) -> Any:
        """Give what the process answers.

        Raises:
            _Gone: It ended.
            TimeoutError: It took too long, and was ended.
        """
        try:
            self._here.send_bytes(question)
            if not self._here.poll(seconds):
                self.close(wait=False)
                raise TimeoutError
            # What comes through the pipe was written by our own code.
            answered, said = pickle.loads(self._here.recv_bytes())  # noqa: S301
        except (EOFError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            self.close(wait=False)
            raise _Gone from None
        if not answered:
            raise said
        return said

    def close(self, *, wait: bool = True) -> None:
        """End the process."""
        if not wait:
            self.process.kill()
        self._here.close()
        self.process.join(5)


class Searchers:
    """Processes that answer questions; where none can be had, the questions are answered here.

    Args:
        search: Answers here.
        home: The home.
        catalog: The catalog file.
        processes: How many; 0 answers everything here.
        seconds: How long one answer may take.
    """

    def __init__(self, search: Search, home: Path, catalog: Path, *, processes: int, seconds: float) -> None:
        self._search = search
        self._home, self._catalog = home, catalog
        self._seconds = seconds
        self._processes = processes
        self._workers: list[_Worker] = []
        # The one that answered last is asked first: what it needs is still in the caches of its core.
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._closed = False

    def warm_up(self) -> None:
        """Wait until questions can be answered at once."""
        warm_up(self._search)
        while len(self._workers) < self._processes:
            self._add()
        taken = [self._idle.get() for _ in range(self._processes)]
        for worker in taken:
            with suppress(_Gone, TimeoutError, DataflowError):
                worker.answer(_packed({"text": "ready", "top_k": 1}), STARTING_SECONDS)
            self._idle.put(worker)

    def answer(self, question: Mapping[str, Any]) -> tuple[bytes, dict[str, str] | None]:
        """Answer a question; see `answer` above.

        Raises:
            TimeoutError: It took too long.
        """
        if self._processes and not self._workers:
            self._add()
        until = time.monotonic() + self._seconds
        for _ in range(TRIES if self._processes else 0):
            try:
                worker = self._idle.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise TimeoutError from None
            try:
                found: tuple[bytes, dict[str, str] | None] = worker.answer(
                    _packed(question), max(0.0, until - time.monotonic())
                )
            except _Gone:
                self._replace(worker)
                continue
            except TimeoutError:
                self._replace(worker)
                raise
            except BaseException:
                self._idle.put(worker)
                raise
            self._idle.put(worker)
            return found
        return answer(self._search, question)

    def pids(self) -> list[int]:
        """Name the processes by their ids."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            self._closed = True
            workers, self._workers = self._workers, []
        for worker in workers:
            worker.close()

    def _add(self) -> None:
        with self._lock:
            if self._closed or len(self._workers) >= self._processes:
                return
            worker = _Worker(self._home, self._catalog)
            self._workers.append(worker)
        self._idle.put(worker)

    def _replace(self, worker: _Worker) -> None:
        """Have another process in the place of one that ended."""
        with self._lock:
            if worker not in self._workers:
                return
            self._workers.remove(worker)
        log.error("A process that searches ended; another one takes its place.")
        self._add()


def _packed(question: Mapping[str, Any]) -> bytes:
    return pickle.dumps(dict(question), pickle.HIGHEST_PROTOCOL)


def _serve(pipe: Connection, home: Path, catalog: Path, parent: int) -> None:
    """Answer until the service is gone."""
    # Ctrl-C reaches all processes of a terminal; the service says when it is over.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    with open_search(home, catalog) as search, suppress(EOFError, OSError):
        warm_up(search)
        while True:
            question = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from the service
            pipe.send_bytes(pickle.dumps(_outcome(search, question), pickle.HIGHEST_PROTOCOL))


def _outcome(search: Search, question: Mapping[str, Any]) -> tuple[bool, Any]:
    """Answer, or say what was raised; an error that the service has no word for stays in this process's log."""
    try:
        return True, answer(search, question)
    except DataflowError as error:
        return False, error
    except Exception:
        log.exception("A question could not be answered.")
        return False, SearchIndexError("The question could not be answered.")


def _follow(parent: int) -> None:
    """End with the service, however it ended."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)
