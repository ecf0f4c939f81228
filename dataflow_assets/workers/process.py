"""The parent's side of one worker process: starting, asking, hearing, watching, killing.

What belongs here: a process, its two pipes, what it may take, and what became of it. What does not: which document is given
to whom and what happens after a failure (`pool`).
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from dataflow_assets.errors import DataflowError
from dataflow_assets.workers.confinement import children_of
from dataflow_assets.workers.frames import FRAME, MAX_TEXT, MalformedMessage, header_of, lengths

_START_SECONDS = 120.0
_TICK_SECONDS = 0.025
"""How often memory and time are looked at while a worker works."""
_END_SECONDS = 3.0
_BLOCK = 1 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "TESSDATA_PREFIX", "SYSTEMROOT")
_ONE_THREAD = {
    # There are as many workers as are to be busy at once; and fewer threads make memory foreseeable.
    "OMP_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1", "OPENBLAS_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1",
    "TOKIO_WORKER_THREADS": "1", "MALLOC_ARENA_MAX": "2",
}  # fmt: skip
_ROOT = str(Path(__file__).parents[2])
_START = "import sys; sys.path.append(sys.argv[1]); from dataflow_assets.workers.child import main; main()"


class WorkerGone(Exception):
    """The worker is no more, and what it was asked has no answer.

    Attributes:
        cause: `crash`, `killed` (by the system or a person), `memory`, `time` or `malformed`.
        detail: The signal's name, or what was wrong.
    """

    def __init__(self, cause: Literal["crash", "killed", "memory", "time", "malformed"], detail: str = "") -> None:
        self.cause = cause
        self.detail = detail
        super().__init__(f"{cause} {detail}")


@dataclass(frozen=True, slots=True)
class Message:
    """What a worker said."""

    header: dict[str, Any]
    body: bytes

    @property
    def kind(self) -> str:
        """What kind of message it is."""
        said = self.header.get("kind")
        return said if isinstance(said, str) else ""


class Worker:
    """A process that parses.

    Args:
        folder: Where its own folder is made.
        memory_mb: What it may take above what it had when it was ready.
        answers: The module whose `ready` and `answer` it calls.

    Attributes:
        asked: How many questions it was asked.
        answered: How many messages it has answered with.
    """

    def __init__(self, folder: Path, *, memory_mb: int, answers: str) -> None:
        self.asked = self.answered = 0
        self._most = memory_mb << 20
        self._outgoing: deque[memoryview] = deque()
        self._incoming = _Incoming()
        self._closed = False
        self._watched = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="worker-", dir=folder.absolute()))
        own = self._folder / "own"
        own.mkdir(mode=0o700)
        with (self._folder / "start.log").open("w+b") as log:
            self._process = self._start(own, log, memory_mb, answers)
            if self._process.stdin is None or self._process.stdout is None:
                raise AssertionError("the pipes were asked for")
            self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
            os.set_blocking(self._to, False)
            os.set_blocking(self._from, False)
            self._baseline = 0
            try:
                if self.hear(time.monotonic() + _START_SECONDS).kind != "ready":
                    raise WorkerGone("malformed", "it did not say that it is ready")
            except WorkerGone as gone:
                self.close()
                log.seek(0)
                last = log.read(100_000).decode("utf-8", "replace").strip().splitlines()[-1:]
                reason = f"{gone.detail or gone.cause}: {' '.join(last)[:300]}"
                raise DataflowError(f"A process for parsing was started and ended at once ({reason}).") from gone
        self._baseline = self._resident()
        self.answered = 0

    @property
    def grown(self) -> int:
        """Resident memory above what the worker had when it was ready, in bytes."""
        return max(0, self._resident() - self._baseline)

    def say(self, head: bytes, body: bytes = b"") -> None:
        """Ask something. It is sent as fast as the worker takes it, while somebody listens."""
        self.asked += 1
        self._outgoing.append(memoryview(head))
        if body:
            self._outgoing.append(memoryview(body))
        with contextlib.suppress(WorkerGone):
            self._send()

    def hear(self, deadline: float, *, max_body: int = MAX_TEXT) -> Message:
        """Wait for the next message.

        Raises:
            WorkerGone: It died, or had to be killed.
        """
        while True:
            message = self.listen(deadline, max_body=max_body)
            if message is not None:
                return message

    def listen(self, deadline: float, *, wake: int | None = None, max_body: int = MAX_TEXT) -> Message | None:
        """Wait for the next message, for a tick, or until somebody writes to `wake`; None where nothing came.

        Raises:
            WorkerGone: It died, or had to be killed, since it said something odd, took too much memory, or was not done
                at the deadline (of the clock `time.monotonic`).
        """
        try:
            message = self._incoming.take(max_body)
            if message is not None:
                self.answered += 1
                return message
            poll = select.poll()
            poll.register(self._from, select.POLLIN)
            if self._outgoing:
                poll.register(self._to, select.POLLOUT)
            if wake is not None:
                poll.register(wake, select.POLLIN)
            happened = dict(poll.poll(1_000 * _TICK_SECONDS))
            if happened.get(self._to):
                self._send()
            if happened.get(self._from):
                self._receive()
                message = self._incoming.take(max_body)
        except MalformedMessage as error:
            self.close()
            raise WorkerGone("malformed", str(error)) from error
        if message is not None:
            self.answered += 1
            return message
        now = time.monotonic()
        if now - self._watched >= _TICK_SECONDS:
            self._watched = now
            self._look(now, deadline)
        return None

    def close(self) -> None:
        """End the worker, at once, and everything that it started. May be called again."""
        if self._closed:
            return
        self._closed = True
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(_END_SECONDS)  # the keeper does it
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, own: Path, log: BinaryIO, memory_mb: int, answers: str) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-c", _START, _ROOT, answers, str(own), str(memory_mb)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                cwd=own,
                env=_environment(own),
                start_new_session=True,
            )
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise DataflowError(f"No process for parsing can be started: {error.strerror or error}.") from error

    def _look(self, now: float, deadline: float) -> None:
        if self._baseline and self._resident() - self._baseline > self._most:
            self.close()
            raise WorkerGone("memory")
        if now > deadline:
            self.close()
            raise WorkerGone("time")

    def _send(self) -> None:
        while self._outgoing:
            try:
                sent = os.write(self._to, self._outgoing[0][:_BLOCK])
            except BlockingIOError:
                return
            except OSError:
                self._outgoing.clear()  # the other pipe says that it is gone
                return
            rest = self._outgoing.popleft()[sent:]
            if rest:
                self._outgoing.appendleft(rest)

    def _receive(self) -> None:
        try:
            block = os.read(self._from, _BLOCK)
        except BlockingIOError:
            return
        if block:
            self._incoming.add(block)
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        status = self._process.poll()
        self.close()
        said = _status(status)
        raise WorkerGone("killed" if said == "SIGKILL" else "crash", said)

    def _resident(self) -> int:
        """Give the resident memory of everything below the keeper, in bytes; 0 where the system does not tell."""
        total, waiting = 0, children_of(self._process.pid)
        while waiting:
            process = waiting.pop()
            with contextlib.suppress(OSError, IndexError, ValueError):
                total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
            waiting += children_of(process)
        return total


class _Incoming:
    """Bytes that became no message yet."""

    def __init__(self) -> None:
        self._blocks: deque[bytes] = deque()
        self._size = 0
        self._expected: tuple[int, int] | None = None

    def add(self, block: bytes) -> None:
        self._blocks.append(block)
        self._size += len(block)

    def take(self, max_body: int) -> Message | None:
        """Give the next message that is whole."""
        if self._expected is None:
            if self._size < FRAME.size:
                return None
            self._expected = lengths(self._cut(FRAME.size), max_body)
        header, body = self._expected
        if self._size < header + body:
            return None
        self._expected = None
        return Message(header_of(self._cut(header)), self._cut(body))

    def _cut(self, length: int) -> bytes:
        self._size -= length
        if not length:
            return b""
        taken = []
        while length:
            block = self._blocks.popleft()
            if len(block) > length:
                self._blocks.appendleft(block[length:])
                block = block[:length]
            taken.append(block)
            length -= len(block)
        return taken[0] if len(taken) == 1 else b"".join(taken)


def _environment(own: Path) -> dict[str, str]:
    """Make the environment of a worker: nothing secret, and every folder its own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or (name.startswith("PYTHON") and name not in ("PYTHONSTARTUP", "PYTHONINSPECT"))
    }
    folders = ("HOME", "TMPDIR", "TMP", "TEMP", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
    return {**kept, **_ONE_THREAD, **dict.fromkeys(folders, str(own))}


def _status(code: int | None) -> str:
    """Say how a process ended."""
    if code is None:
        return "it closed its pipe"
    number = -code if code < 0 else code - 128
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"exit status {code}"
