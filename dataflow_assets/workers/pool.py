"""Worker processes that documents are given to, and what becomes of a document whose worker died.

What belongs here: how many work at once, what is held in memory meanwhile, the order of the results, and second tries. What does not: a single process (`process`), and the
sentences that a person reads (`verdicts`).

One thread for each worker gives it its next document while it still works on the one before, so that it never waits for
whoever takes the results.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from dataflow_assets.errors import DataflowError, ReadError
from dataflow_assets.records import ReadDocument
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.source_settings import ArchiveSettings
from dataflow_assets.stages.unpack import Member
from dataflow_assets.workers.messages import MalformedMessage, pack
from dataflow_assets.workers.process import Worker, WorkerGone
from dataflow_assets.workers.verdicts import Allowed, Outcome, member_of, outcome_of, refusal_of, verdict_on

_IN_WORK = 2
"""Documents that a worker has: the one that it parses, and the next one."""
_MAX_BYTES = 64_000_000
"""Bytes of documents in work, and of results that wait for those before them."""
_MAX_WAITING = 128
_UNPACKED_PER_SECOND = 4_000_000
"""For each so many bytes that come out of an archive it may take a second longer."""


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
class _Job:
    task: ReadTask | None
    size: int
    tries: int = 0
    outcome: Outcome | None = None
    failure: DataflowError | None = None
    result_size: int = 0
    done: bool = False


class WorkerPool:
    """Parses documents in processes that may die.

    A context manager. No process is started before there is something to do; at the end all are ended.

    Args:
        workers: Processes at once.
        memory_mb: What a worker may take above what it had when it was started.
        timeout_seconds: How long one document may take.
        recycle_after: Documents after which a worker is replaced by a fresh one.
        folder: Where the workers' own folders are made; they are removed at the end.
        answers: The module that the workers ask what to do; another one in tests, which must see a parser misbehave.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        memory_mb: int = 400,
        timeout_seconds: float = 20,
        recycle_after: int = 200,
        folder: Path,
        answers: str = "dataflow_assets.workers.answers",
    ) -> None:
        self.workers = workers
        self.limits = Allowed(memory_mb, timeout_seconds)
        self.recycle_after = recycle_after
        self._folder = folder
        self._answers = answers
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._results = threading.Condition(self._lock)
        self._pending: deque[_Job] = deque()
        self._drivers: list[_Driver] = []
        self._idle = 0
        self._closing = False
        self._unpackers: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all workers, at once. May be called again; the pool takes nothing more."""
        with self._lock:
            self._closing = True
            self._pending.clear()
            self._work.notify_all()
            self._results.notify_all()
            drivers, self._drivers = self._drivers, []
            unpackers, self._unpackers = self._unpackers, []
        for driver in drivers:
            driver.wake()
        for driver in drivers:
            driver.join()
        for worker in unpackers:
            worker.close()

    def read_all(self, tasks: Iterable[ReadTask]) -> Iterator[tuple[ReadTask, Outcome]]:
        """Read documents, in the order in which they come.

        Twice as many as there are workers are in work at once, of 64 MB together (a larger one alone); results wait for those
        before them, up to 64 MB of them. `tasks` is asked for the next one by whoever asks for the next result.

        Raises:
            DataflowError: No worker can be started.
        """
        source = iter(tasks)
        hand: deque[_Job] = deque()
        following: _Job | None = None
        ended = False
        try:
            while True:
                while not ended and self._takes_more(hand):
                    if following is None:
                        task = next(source, None)
                        if task is None:
                            ended = True
                            break
                        following = _Job(task, len(task.content))
                    if not self._has_room(hand, following.size):
                        break
                    self._submit(following)
                    hand.append(following)
                    following = None
                if not hand:
                    return
                with self._lock:
                    unfinished = _unfinished(hand)
                    while not hand[0].done and _unfinished(hand) == unfinished:
                        if self._closing:
                            raise DataflowError("The worker pool was closed while it was reading.")
                        self._results.wait()
                    if not hand[0].done:
                        continue
                    job = hand.popleft()
                if job.failure is not None:
                    raise job.failure
                task, outcome = job.task, job.outcome
                job.task = job.outcome = None
                if task is None or outcome is None:
                    raise AssertionError("a job that is done has both")
                yield task, outcome
                del job, task, outcome
        finally:
            with self._lock:
                for left in hand:
                    with contextlib.suppress(ValueError):
                        self._pending.remove(left)

    def unpack(
        self,
        path: Path,
        *,
        name: str,
        media_type: str = "",
        settings: ArchiveSettings,
        max_member_bytes: int,
        passwords: Sequence[str] = (),
    ) -> Iterator[Member]:
        """Unpack an archive, member by member, as `stages.unpack.unpack` does.

        Args:
            path: A file that holds the archive.
            name: What the archive is called, which may say what it is.
            media_type: What it is said to be.
            settings: The limits.
            max_member_bytes: A larger member is one with a problem.
            passwords: Passwords to try.

        Raises:
            ReadError: The archive cannot be unpacked whole; what came before does not count.
            DataflowError: No worker can be started.
        """
        with self._lock:
            worker = self._unpackers.pop() if self._unpackers else None
        if worker is None:
            worker = self.start_worker()
        header = {
            "do": "unpack", "path": str(path.absolute()), "name": name, "media_type": media_type,
            "settings": settings.model_dump_json(), "max_member_bytes": max_member_bytes, "passwords": list(passwords),
        }  # fmt: skip
        sound = False
        try:
            worker.say(pack(header))
            waited, received = 0.0, 0
            while True:
                began = time.monotonic()
                allowed = self.limits.timeout_seconds + received / _UNPACKED_PER_SECOND
                message = worker.hear(began + allowed - waited, max_body=max_member_bytes)
                waited += time.monotonic() - began
                received += len(message.body)
                if message.kind == "end":
                    sound = True
                    return
                if message.kind != "member":
                    sound = message.kind == "error"
                    raise refusal_of(message, self.limits, "Unpacking")
                yield member_of(message)
        except (WorkerGone, MalformedMessage) as error:
            raise verdict_on(error, self.limits, "Unpacking") from error
        finally:
            with self._lock:
                kept = sound and not self._closing and worker.answered < self.recycle_after
                if kept:
                    self._unpackers.append(worker)
            if not kept:
                worker.close()

    def _takes_more(self, hand: deque[_Job]) -> bool:
        with self._lock:
            unfinished = _unfinished(hand)
            waiting = sum(job.result_size for job in hand if job.done)
        return unfinished < _IN_WORK * self.workers and len(hand) < _MAX_WAITING and waiting < _MAX_BYTES

    def _has_room(self, hand: deque[_Job], size: int) -> bool:
        with self._lock:
            busy = sum(job.size for job in hand if not job.done)
        return not busy or busy + size <= _MAX_BYTES

    def _submit(self, job: _Job) -> None:
        with self._lock:
            if self._closing:
                raise DataflowError("The worker pool is closed.")
            self._pending.append(job)
            if self._idle:
                self._work.notify()
                return
            if len(self._drivers) < self.workers:
                driver = _Driver(self)
                self._drivers.append(driver)
                driver.start()
                return
            drivers = tuple(self._drivers)
        for driver in drivers:
            driver.wake()

    def take(self, has: int, most: int) -> list[_Job] | None:
        """Give a driver its next jobs; wait where it has none. None at the end."""
        with self._lock:
            if not has and most:
                self._idle += 1
                while not self._pending and not self._closing:
                    self._work.wait()
                self._idle -= 1
            if self._closing:
                return None
            taken: list[_Job] = []
            # A second one only where nobody else is free for it.
            while self._pending and has + len(taken) < most and (has + len(taken) == 0 or not self._idle):
                taken.append(self._pending.popleft())
            return taken

    def finish(self, job: _Job, outcome: Outcome | DataflowError, size: int = 0) -> None:
        """Take a job's result."""
        with self._lock:
            if isinstance(outcome, ReadDocument | ReadError):
                job.outcome = outcome
            else:
                job.failure = outcome
            job.result_size = size
            job.done = True
            self._results.notify_all()

    def start_worker(self) -> Worker:
        """Start a worker; raises DataflowError."""
        return Worker(self._folder, memory_mb=self.limits.memory_mb, answers=self._answers)


class _Driver(threading.Thread):
    """Gives one worker its documents, and replaces it."""

    def __init__(self, pool: WorkerPool) -> None:
        super().__init__(name="parsing", daemon=True)
        self._pool = pool
        self._jobs: deque[_Job] = deque()
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
        worker, most = self._worker, _IN_WORK
        if worker is not None:
            most = min(most, self._pool.recycle_after - worker.answered)
            if worker.grown > self._pool.limits.memory_mb << 19:  # half of it
                most = 0
            if most <= 0 and not self._jobs:
                self._drop_worker()
                most = _IN_WORK
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


def _unfinished(hand: deque[_Job]) -> int:
    return sum(not job.done for job in hand)
