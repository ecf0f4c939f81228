"""Worker processes that documents are given to, and what becomes of a document whose worker died.

What belongs here: how many work at once, what is held in memory meanwhile, the order of the results, and second tries. What does not: a single process (`process`), and the
sentences that a person reads (`verdicts`).

Documents that are read keep their order; archives are unpacked, and pages drawn, beside them, by workers of their own.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from dataflow_assets.errors import DataflowError, ReadError
from dataflow_assets.records import ReadDocument
from dataflow_assets.source_settings import ArchiveSettings
from dataflow_assets.stages.unpack import Member
from dataflow_assets.workers.driver import IN_WORK, Driver, Job, ReadTask
from dataflow_assets.workers.frames import MalformedMessage, pack
from dataflow_assets.workers.process import Worker, WorkerGone
from dataflow_assets.workers.verdicts import Allowed, Outcome, member_of, picture_of, refusal_of, verdict_on

__all__ = ["Outcome", "ReadTask", "WorkerPool"]

_MAX_WAITING = 128
_UNPACKED_PER_SECOND = 4_000_000
"""For each so many bytes that come out of an archive it may take a second longer."""
_SECONDS_PER_PAGE = 2.0
"""For each page that was drawn a document may take so much longer."""
_MAX_PICTURE = 8_000_000
_DEATHS = 3
"""After so many of its pages ended a worker, no more of a document's pages are drawn."""


class WorkerPool:
    """Parses documents in processes that may die.

    A context manager. No process is started before there is something to do; at the end all are ended.

    Args:
        workers: Processes at once.
        memory_mb: What a worker may take above what it had when it was started.
        timeout_seconds: How long one document may take.
        recycle_after: Documents after which a worker is replaced by a fresh one.
        folder: Where the workers' own folders are made; they are removed at the end.
        held_bytes: Bytes of documents in work at most, and of results that wait for those before them.
        answers: The module that the workers ask what to do; another one in tests, which must see a parser misbehave.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        memory_mb: int = 400,
        timeout_seconds: float = 20,
        recycle_after: int = 1_000,
        folder: Path,
        held_bytes: int = 64_000_000,
        answers: str = "dataflow_assets.workers.answers",
    ) -> None:
        self.workers = workers
        self.limits = Allowed(memory_mb, timeout_seconds)
        self.recycle_after = recycle_after
        self._folder = folder
        self._answers = answers
        self._held_bytes = held_bytes
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._results = threading.Condition(self._lock)
        self._pending: deque[Job] = deque()
        self._drivers: list[Driver] = []
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

        Twice as many as there are workers are in work at once, of `held_bytes` together (a larger one alone);
        results wait for those before them, as many bytes again. `tasks` is asked for the next one by whoever asks for the next result.

        Raises:
            DataflowError: No worker can be started.
        """
        source = iter(tasks)
        hand: deque[Job] = deque()
        following: Job | None = None
        ended = False
        try:
            while True:
                while not ended and self._takes_more(hand):
                    if following is None:
                        task = next(source, None)
                        if task is None:
                            ended = True
                            break
                        following = Job(task, len(task.content))
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
        asked = pack({
            "do": "unpack", "path": str(path.absolute()), "name": name, "media_type": media_type,
            "settings": settings.model_dump_json(), "max_member_bytes": max_member_bytes, "passwords": list(passwords),
        })  # fmt: skip
        worker = self._spare_worker()
        given = False
        while True:
            fresh = worker.asked == 0
            try:
                for member in self._members(worker, asked, max_member_bytes):
                    given = True
                    yield member
                return
            except (WorkerGone, MalformedMessage) as error:
                if given or fresh or (isinstance(error, WorkerGone) and error.cause == "time"):
                    raise verdict_on(error, self.limits, "Unpacking") from error
            worker = self.start_worker()  # what an earlier archive left behind may be to blame

    def _members(self, worker: Worker, asked: bytes, max_member_bytes: int) -> Iterator[Member]:
        sound, waited, received = False, 0.0, 0
        try:
            worker.say(asked)
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
                    refusal = refusal_of(message, self.limits, "Unpacking")
                    sound = message.kind == "error"
                    raise refusal
                yield member_of(message)
        finally:
            self._give_back(worker, sound)

    def page_images(
        self, content: bytes, media_type: str, pages: Sequence[int], passwords: Sequence[str] = ()
    ) -> Iterator[tuple[int, bytes | ReadError]]:
        """Draw pages for a model's eyes, one after the other, as `stages.readers.page_images` does.

        Args:
            content: The bytes of a PDF or of a picture.
            media_type: `application/pdf` or `image/...`.
            pages: Numbers, from 1, in order. One that the document does not have is passed over.
            passwords: Passwords to try.

        Yields:
            The number of a page, and its picture as PNG, or why it cannot be drawn.

        Raises:
            DataflowError: No worker can be started.
        """
        left, deaths = list(pages), 0
        while left:
            worker = self._spare_worker()
            fresh = worker.asked == 0
            try:
                for page, picture in self._pictures(worker, content, media_type, left, passwords):
                    left = left[left.index(page) + 1 :]
                    fresh = True  # this document's own pages are to blame for what comes next
                    yield page, picture
                return
            except (WorkerGone, MalformedMessage) as error:
                if not fresh and not (isinstance(error, WorkerGone) and error.cause == "time"):
                    continue  # what an earlier document left behind may be to blame
                deaths += 1
                verdict = verdict_on(error, self.limits, "Drawing a page")
            except ReadError as error:
                verdict, deaths = error, _DEATHS
            for page in left if deaths >= _DEATHS else left[:1]:
                yield page, verdict
            left = [] if deaths >= _DEATHS else left[1:]

    def _pictures(
        self, worker: Worker, content: bytes, media_type: str, pages: Sequence[int], passwords: Sequence[str]
    ) -> Iterator[tuple[int, bytes | ReadError]]:
        asked = {"do": "images", "media_type": media_type, "pages": list(pages), "passwords": list(passwords)}
        sound, waited, awaited = False, 0.0, list(pages)
        try:
            worker.say(pack(asked, len(content)), content)
            while True:
                began = time.monotonic()
                allowed = self.limits.timeout_seconds + _SECONDS_PER_PAGE * (len(pages) - len(awaited))
                message = worker.hear(began + allowed - waited, max_body=_MAX_PICTURE)
                waited += time.monotonic() - began
                if message.kind == "end":
                    sound = True
                    return
                if message.kind != "picture":
                    refusal = refusal_of(message, self.limits, "Drawing a page")
                    sound = message.kind == "error"
                    raise refusal
                page, picture = picture_of(message, awaited)
                awaited = awaited[awaited.index(page) + 1 :]
                yield page, picture
        finally:
            self._give_back(worker, sound)

    def _spare_worker(self) -> Worker:
        """Give a worker that is not among those that read."""
        with self._lock:
            worker = self._unpackers.pop() if self._unpackers else None
        if worker is None or worker.grown > self.half_the_memory:
            if worker is not None:
                worker.close()
            worker = self.start_worker()
        return worker

    def _give_back(self, worker: Worker, sound: bool) -> None:
        with self._lock:
            kept = sound and not self._closing and worker.asked < self.recycle_after
            if kept:
                self._unpackers.append(worker)
        if not kept:
            worker.close()

    @property
    def half_the_memory(self) -> int:
        """Bytes by which a worker may have grown when it is given the next document."""
        return self.limits.memory_mb << 19

    def _takes_more(self, hand: deque[Job]) -> bool:
        with self._lock:
            unfinished = _unfinished(hand)
            waiting = sum(job.result_size for job in hand if job.done)
        return unfinished < IN_WORK * self.workers and len(hand) < _MAX_WAITING and waiting < self._held_bytes

    def _has_room(self, hand: deque[Job], size: int) -> bool:
        with self._lock:
            busy = sum(job.size for job in hand if not job.done)
        return not busy or busy + size <= self._held_bytes

    def _submit(self, job: Job) -> None:
        with self._lock:
            if self._closing:
                raise DataflowError("The worker pool is closed.")
            self._pending.append(job)
            if self._idle:
                self._work.notify()
                return
            if len(self._drivers) < self.workers:
                driver = Driver(self)
                self._drivers.append(driver)
                driver.start()
                return
            drivers = tuple(self._drivers)
        for driver in drivers:
            driver.wake()

    def take(self, has: int, most: int) -> list[Job] | None:
        """Give a driver its next jobs; wait where it has none. None at the end."""
        with self._lock:
            if not has and most:
                self._idle += 1
                while not self._pending and not self._closing:
                    self._work.wait()
                self._idle -= 1
            if self._closing:
                return None
            taken: list[Job] = []
            # A second one only where nobody else is free for it.
            while self._pending and has + len(taken) < most and (has + len(taken) == 0 or not self._idle):
                taken.append(self._pending.popleft())
            return taken

    def finish(self, job: Job, outcome: Outcome | DataflowError, size: int = 0) -> None:
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


def _unfinished(hand: deque[Job]) -> int:
    return sum(not job.done for job in hand)
