"""The thread that gives one worker its documents.

What belongs here: sending, hearing, replacing the worker, and the second try of a document whose worker died. What does not:
which documents, and in which order results are given (`pool`).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from dataflow_assets.errors import DataflowError
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.workers.frames import MalformedMessage, pack
from dataflow_assets.workers.process import Worker, WorkerGone
from dataflow_assets.workers.verdicts import Allowed, Outcome, outcome_of, verdict_on

IN_WORK = 2
"""Documents that a worker has: the one that it parses, and the next one."""


@dataclass(frozen=True, slots=True)
class ReadTask:
    """One document to be read."""

    key: str
    """What the caller knows it by."""
    content: bytes = field(repr=False)
    source_uri: str
    media_type: str
    settings: ReadingSettings
    passwords: tuple[str, ...] = field(default=(), repr=False)


@dataclass(eq=False, slots=True)
class Job:
    """A task on its way."""

    task: ReadTask | None
    size: int
    tries: int = 0
    outcome: Outcome | None = None
    failure: DataflowError | None = None
    result_size: int = 0
    done: bool = False


class Employer(Protocol):
    """What a driver asks of its pool."""

    limits: Allowed
    recycle_after: int

    @property
    def half_the_memory(self) -> int:
        """Bytes by which a worker may have grown when it is given the next document."""

    def take(self, has: int, most: int) -> list[Job] | None:
        """Give the next jobs, up to `most` together with those it has; wait where it has none. None at the end."""

    def finish(self, job: Job, outcome: Outcome | DataflowError, size: int = 0) -> None:
        """Take a job's result and its size."""

    def start_worker(self) -> Worker:
        """Start a worker; raises DataflowError."""


class Driver(threading.Thread):
    """Gives one worker its documents, and replaces it.

    It gives the next document while the worker still works on the one before, so that the worker never waits for whoever
    takes the results.
    """

    def __init__(self, pool: Employer) -> None:
        super().__init__(name="parsing", daemon=True)
        self._pool = pool
        self._jobs: deque[Job] = deque()
        self._sent = 0
        self._deadline = 0.0
        self._worker: Worker | None = None
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)

    def wake(self) -> None:
        """Say that there is something to do, or to be ended."""
        with contextlib.suppress(OSError):
            os.write(self._waker, b".")

    def run(self) -> None:
        """Work until the pool is closed."""
        try:
            while self._take():
                self._step()
        except BaseException as error:
            # A fault of ours: whoever waits must hear of it.
            for job in self._jobs:
                self._pool.finish(job, DataflowError(f"The worker pool failed: {type(error).__name__}: {error}."))
            raise
        finally:
            self._drop_worker()
            os.close(self._woken)
            os.close(self._waker)

    def _take(self) -> bool:
        worker, most = self._worker, IN_WORK
        if worker is not None:
            most = min(most, self._pool.recycle_after - worker.answered)
            if worker.grown > self._pool.half_the_memory:
                most = 0
            if most <= 0 and not self._jobs:
                self._drop_worker()
                most = IN_WORK
        taken = self._pool.take(len(self._jobs), max(most, 0))
        if taken is None:
            return False
        self._jobs.extend(taken)
        return True

    def _step(self) -> None:
        if not self._jobs:
            return
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)
        try:
            if self._worker is None:
                self._worker = self._pool.start_worker()
                self._sent = 0
        except DataflowError as error:
            while self._jobs:
                self._pool.finish(self._jobs.popleft(), error)
            return
        worker, job = self._worker, self._jobs[0]
        fresh = worker.answered == 0
        try:
            self._send(worker)
            message = worker.listen(self._deadline, wake=self._woken)
            if message is None:
                return
            outcome = outcome_of(message, self._pool.limits)
            if message.kind == "memory":
                raise WorkerGone("memory")
        except (WorkerGone, MalformedMessage) as error:
            self._drop_worker()
            job.tries += 1
            # What an earlier document left behind may be to blame: it is tried once more, first in a fresh process.
            if job.tries == 1 and not fresh and not (isinstance(error, WorkerGone) and error.cause == "time"):
                return
            outcome, message = verdict_on(error, self._pool.limits), None
        self._jobs.popleft()
        self._sent = max(0, self._sent - 1)
        self._deadline = time.monotonic() + self._pool.limits.timeout_seconds
        self._pool.finish(job, outcome, len(message.body) if message is not None else 0)

    def _send(self, worker: Worker) -> None:
        if self._sent == 0:
            self._deadline = time.monotonic() + self._pool.limits.timeout_seconds
        while self._sent < len(self._jobs):
            task = self._jobs[self._sent].task
            if task is None:
                raise AssertionError("a job in work has its task")
            header = {
                "do": "read", "source_uri": task.source_uri, "media_type": task.media_type,
                "settings": task.settings.model_dump_json(), "passwords": list(task.passwords),
            }  # fmt: skip
            worker.say(pack(header, len(task.content)), task.content)
            self._sent += 1

    def _drop_worker(self) -> None:
        worker, self._worker, self._sent = self._worker, None, 0
        if worker is not None:
            worker.close()
