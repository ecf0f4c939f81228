"""Doing the runs that were asked for: each as `dataflow run LIBRARY`, in a process of its own, through Dagster.

The process is the same that a person starts, so its run stands in the Dagster UI beside all others, waits for another run of
the library, and can be killed at any point. The service itself never imports Dagster.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dataflow_assets.serving.run_book import AskedRun, RunBook

LOOK_SECONDS = 0.5
STOP_SECONDS = 8.0
KILL_SECONDS = 4.0
FORGET_EVERY = 600
NICENESS = 10
"""Runs of a service step back behind its questions: at 10 the kernel gives them a tenth where both want the same core."""
_CLEAN = (
    f"import os, signal, sys; os.nice({NICENESS}); "
    "[signal.signal(each, signal.SIG_DFL) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]; "
    "signal.pthread_sigmask(signal.SIG_SETMASK, ()); os.execv(sys.argv[1], sys.argv[1:])"
)
"""A process inherits which signals are ignored or blocked. A service that was started with SIGTERM ignored must not start runs
that cannot be told to stop; nothing else in a process with threads can set this right for its children, nor how nice they are."""

log = logging.getLogger(__name__)


class RunKeeper:
    """Threads that do what the book asks for.

    Args:
        book: The book.
        home: The home.
        catalog: The catalog file.
        jobs: Runs at a time.
        remember_events: Seconds for which ids of events are kept.
        command: What is run for a library; its first word is a path.
    """

    def __init__(
        self,
        book: RunBook,
        *,
        home: Path,
        catalog: Path,
        jobs: int,
        remember_events: float,
        command: Callable[[str], list[str]] | None = None,
    ) -> None:
        self._book = book
        self._environment = {**os.environ, "DATAFLOW_HOME": str(home), "DATAFLOW_CATALOG": str(catalog)}
        self._progress = home / "serving"
        self._remember = remember_events
        self._command = command or (lambda name: [sys.executable, "-m", "dataflow_assets.cli", "run", name, "--json"])
        self._stopping = threading.Event()
        self._wake = threading.Condition()
        self._working: dict[str, subprocess.Popen[bytes]] = {}
        self._threads = [threading.Thread(target=self._work, name=f"run-{n}", daemon=True) for n in range(jobs)]

    def start(self) -> None:
        """Start to look for work."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Say that a run was asked for."""
        with self._wake:
            self._wake.notify_all()

    def stop(self) -> None:
        """Stop; a run at work is told to, and waits in the book for the next service."""
        self._stopping.set()
        self.wake()
        # A run that is not done in time is killed: what it stored is whole, and the next one goes on from there.
        for told, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
            for process in list(self._working.values()):
                process.send_signal(told)
            until = time.monotonic() + seconds
            for thread in self._threads:
                if thread.is_alive():
                    thread.join(max(0.0, until - time.monotonic()))

    def progress(self, run_id: str) -> dict[str, Any] | None:
        """Tell what a run is doing: `partition`, `stage`, `done`, `total`; None where nothing is known."""
        try:
            found = json.loads(self._progress_file(run_id).read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _progress_file(self, run_id: str) -> Path:
        return self._progress / f"{run_id}.progress.json"

    def _work(self) -> None:
        looks = 0
        while not self._stopping.is_set():
            try:
                if looks % FORGET_EVERY == 0:
                    self._book.forget_events(self._remember)
                run = self._book.take()
                if run is not None:
                    self._do(run)
            except Exception:
                # Nothing that one run did may end the thread that all others wait for.
                log.exception("A run that was asked for could not be done.")
                run = None
            looks += 1
            if run is None:
                with self._wake:
                    self._wake.wait(LOOK_SECONDS)

    def _do(self, run: AskedRun) -> None:
        progress = self._progress_file(run.run_id)
        # Files, not pipes: a pipe that nobody empties would stop the run.
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
                [sys.executable, "-ISc", _CLEAN, *self._command(run.library)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=errors,
                env={**self._environment, "DATAFLOW_PROGRESS": str(progress)},
                # Ctrl-C in a terminal stops the service, which then says what becomes of the run.
                start_new_session=True,
            )
            self._working[run.run_id] = process
            if self._stopping.is_set():
                process.send_signal(signal.SIGTERM)
            try:
                status = process.wait()
            finally:
                self._working.pop(run.run_id, None)
                progress.unlink(missing_ok=True)
            if self._stopping.is_set() and status != 0:
                self._book.put_back(run.run_id)
                return
            ok, message, outcome = _told(run.library, status, _tail(said), _tail(errors))
        self._book.end(run.run_id, "ok" if ok else "failed", message, outcome)


def _tail(file: Any) -> bytes:
    file.seek(0)
    return bytes(file.read(1 << 20))


def _told(library: str, status: int, said: bytes, errors: bytes) -> tuple[bool, str | None, Mapping[str, Any] | None]:
    """Say how a run went, from what its process left."""
    try:
        outcome = json.loads(said)["libraries"][library]
        return outcome["status"] == "ok", outcome["message"], outcome
    except (ValueError, KeyError, TypeError):
        lines = errors.decode("utf-8", "replace").strip().splitlines()
        return False, (lines[-1][:2000] if lines else f"Its process ended with status {status}."), None
