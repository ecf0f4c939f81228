"""The runs that were asked for, in the home's `serving/runs.sqlite`, and the events that asked for them.

What belongs here: noting a wish so that no crash loses it, joining wishes for one library, and what became of each. What does
not: doing the work (`run_keeper`).

A library has at most one run that waits. Whoever asks meanwhile joins it, so that 50 events make one run; what is asked while
a run is at work waits for the next one, since nobody knows what the first has read already.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dataflow_assets.errors import WarehouseError
from dataflow_assets.processes import alive, identity_of_this_process
from dataflow_assets.sqlite_files import FILE_FAILURES

KEPT_RUNS = 1_000
"""Ended runs that are remembered."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run_id VARCHAR PRIMARY KEY, library VARCHAR NOT NULL, status VARCHAR NOT NULL, asked_by VARCHAR NOT NULL,
    requests INTEGER NOT NULL, asked_at DOUBLE NOT NULL, due_at DOUBLE NOT NULL, started_at DOUBLE, ended_at DOUBLE,
    message VARCHAR, outcome VARCHAR, process VARCHAR);
CREATE UNIQUE INDEX IF NOT EXISTS one_waits ON runs (library) WHERE status = 'waiting';
CREATE TABLE IF NOT EXISTS events (
    signer VARCHAR NOT NULL, event_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, received_at DOUBLE NOT NULL,
    PRIMARY KEY (signer, event_id));
"""
_COLUMNS = (
    "run_id", "library", "status", "asked_by", "requests", "asked_at", "due_at", "started_at", "ended_at", "message", "outcome",
)  # fmt: skip

RunStatus = Literal["waiting", "running", "ok", "failed"]


@dataclass(frozen=True, slots=True)
class AskedRun:
    """A run that was asked for."""

    run_id: str
    library: str
    status: RunStatus
    asked_by: Literal["request", "event"]
    """Who asked first."""
    requests: int
    """How many wishes it answers."""
    asked_at: float
    due_at: float
    started_at: float | None
    ended_at: float | None
    message: str | None
    outcome: dict[str, Any] | None
    """What `dataflow run --json` said of the library."""


class RunBook:
    """The book of a home; safe for threads and processes.

    Args:
        home: The home.
        clock: Seconds since 1970.
    """

    def __init__(self, home: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = home / "serving" / "runs.sqlite"
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def ask(self, library: str) -> AskedRun:
        """Ask for a run now, or join the one that waits."""
        with self._writing() as book:
            return self._join(book, library, "request", quiet=0.0, longest=0.0)

    def ask_by_event(
        self, library: str, signer: str, event_id: str, *, quiet: float, longest: float
    ) -> tuple[AskedRun, bool]:
        """Ask for a run once a library's events have calmed down.

        Args:
            library: The library.
            signer: Who signed the event.
            event_id: The signer's own id of it.
            quiet: Seconds without an event after which the run is due.
            longest: Seconds after the first event at which it is due in any case.

        Returns:
            The run, and whether the event is new; one that was here before changes nothing.
        """
        with self._writing() as book:
            before = book.execute(
                "SELECT run_id FROM events WHERE signer = ? AND event_id = ?", (signer, event_id)
            ).fetchone()
            if before is not None:
                known = self._find(book, before[0])
                if known is not None:
                    return known, False
            run = self._join(book, library, "event", quiet=quiet, longest=longest)
            book.execute(
                "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?)", (signer, event_id, run.run_id, self._clock())
            )
            return run, True

    def forget_events(self, older_than: float) -> None:
        """Forget the ids of events that came so many seconds ago; their time stamps are refused by then."""
        with self._writing() as book:
            book.execute("DELETE FROM events WHERE received_at < ?", (self._clock() - older_than,))

    def take(self) -> AskedRun | None:
        """Take the run that is due for longest, and mark it as running in this process; None where none is due.

        A run whose process is no more waits again: its wish was not met. A library is worked on by one run at a time.
        """
        with self._writing() as book:
            for run_id, library, process in book.execute(
                "SELECT run_id, library, process FROM runs WHERE status = 'running'"
            ).fetchall():
                if not alive(process or ""):
                    self._put_back(book, run_id, library)
            due = book.execute(
                "SELECT run_id FROM runs WHERE status = 'waiting' AND due_at <= ? "
                "AND library NOT IN (SELECT library FROM runs WHERE status = 'running') ORDER BY due_at LIMIT 1",
                (self._clock(),),
            ).fetchone()
            if due is None:
                return None
            book.execute(
                "UPDATE runs SET status = 'running', started_at = ?, process = ? WHERE run_id = ?",
                (self._clock(), identity_of_this_process(), due[0]),
            )
            return self._find(book, due[0])

    def end(self, run_id: str, status: Literal["ok", "failed"], message: str | None, outcome: Any) -> None:
        """Note what became of a run."""
        with self._writing() as book:
            book.execute(
                "UPDATE runs SET status = ?, message = ?, outcome = ?, ended_at = ? WHERE run_id = ?",
                (status, message, json.dumps(outcome) if outcome else None, self._clock(), run_id),
            )
            book.execute(
                "DELETE FROM runs WHERE ended_at IS NOT NULL AND run_id NOT IN "
                "(SELECT run_id FROM runs WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT ?)",
                (KEPT_RUNS,),
            )

    def put_back(self, run_id: str) -> None:
        """Have a run that was stopped wait for the next service."""
        with self._writing() as book:
            found = self._find(book, run_id)
            if found is not None and found.status == "running":
                self._put_back(book, run_id, found.library)

    def find(self, run_id: str) -> AskedRun | None:
        """Give a run; None where there is none."""
        with self._writing() as book:
            return self._find(book, run_id)

    def runs(self, libraries: Sequence[str], limit: int) -> list[AskedRun]:
        """Give the latest runs of libraries, the newest first."""
        with self._writing() as book:
            rows = book.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM runs WHERE library IN (SELECT value FROM json_each(?)) "  # noqa: S608
                "ORDER BY asked_at DESC, run_id LIMIT ?",
                (json.dumps(list(libraries)), limit),
            ).fetchall()
        return [_run(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Count the runs by status."""
        with self._writing() as book:
            return dict(book.execute("SELECT status, count(*) FROM runs GROUP BY 1").fetchall())

    def _join(self, book: sqlite3.Connection, library: str, asked_by: str, *, quiet: float, longest: float) -> AskedRun:
        now = self._clock()
        waiting = book.execute(
            "SELECT run_id, asked_at, due_at FROM runs WHERE library = ? AND status = 'waiting'", (library,)
        ).fetchone()
        if waiting is None:
            run_id = secrets.token_hex(16)
            book.execute(
                "INSERT INTO runs (run_id, library, status, asked_by, requests, asked_at, due_at) "
                "VALUES (?, ?, 'waiting', ?, 1, ?, ?)",
                (run_id, library, asked_by, now, now + min(quiet, longest)),
            )
        else:
            run_id, asked_at, due_at = waiting
            # A person's wish is due at once; an event waits for the next one, but not for ever.
            due = now if asked_by == "request" else max(due_at, min(now + quiet, asked_at + longest))
            if due_at <= now:
                due = due_at
            book.execute("UPDATE runs SET requests = requests + 1, due_at = ? WHERE run_id = ?", (due, run_id))
        found = self._find(book, run_id)
        assert found is not None  # noqa: S101 - written in this transaction
        return found

    @staticmethod
    def _put_back(book: sqlite3.Connection, run_id: str, library: str) -> None:
        waits = book.execute("SELECT 1 FROM runs WHERE library = ? AND status = 'waiting'", (library,)).fetchone()
        if waits:  # somebody asked again meanwhile: that run does what this one did not
            book.execute(
                "UPDATE runs SET status = 'failed', ended_at = started_at, "
                "message = 'It was stopped before it ended; a later run of the library does the rest.' WHERE run_id = ?",
                (run_id,),
            )
        else:
            book.execute(
                "UPDATE runs SET status = 'waiting', started_at = NULL, process = NULL WHERE run_id = ?", (run_id,)
            )

    @staticmethod
    def _find(book: sqlite3.Connection, run_id: str) -> AskedRun | None:
        row = book.execute(f"SELECT {', '.join(_COLUMNS)} FROM runs WHERE run_id = ?", (run_id,)).fetchone()  # noqa: S608
        return _run(row) if row is not None else None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the book for one transaction.

        Raises:
            WarehouseError: The file cannot be used.
        """
        with self._lock:
            try:
                connection = self._opened()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
            except FILE_FAILURES as error:
                raise WarehouseError(
                    f"The service's book of runs, {self._path}, cannot be used: {error}. Free some space or make it writable. "
                    "Where it is damaged, stop the service and remove the file: runs that were asked for and have not begun are "
                    "to be asked for again."
                ) from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=30, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_SCHEMA)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _run(row: Sequence[Any]) -> AskedRun:
    said = dict(zip(_COLUMNS, row, strict=True))
    said["outcome"] = json.loads(said["outcome"]) if said["outcome"] else None
    return AskedRun(**said)
