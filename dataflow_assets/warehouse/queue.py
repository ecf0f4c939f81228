"""The queue in front of the warehouse: a fair, cross-process lock with readers and writers.

DuckDB lets one process write a file, and refuses everybody else at once. Connections here are short, so they stand in a
queue instead: who waits longest is next, readers go in together, and nobody fails because somebody else was quicker. The
kernel drops the lock of a killed process.

`flock` alone would let a stream of readers starve a writer. So everybody first passes a turnstile, which a waiting writer
holds closed behind itself.
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dataflow_assets.errors import WarehouseBusy, WarehouseError


class QueueLock:
    """A lock that processes and threads queue for.

    Args:
        path: The lock file; the turnstile lies beside it. Both are created, and never deleted: a lock on a deleted file
            excludes nobody.
        timeout: Seconds to wait before `WarehouseBusy`.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self._path = path
        self._turnstile = path.with_name(path.name + ".turnstile")
        self._timeout = timeout
        self._mine = threading.local()

    @contextmanager
    def hold(self, *, exclusive: bool) -> Iterator[None]:
        """Wait for the turn, and hold the lock for the length of the block.

        Raises:
            WarehouseBusy: The turn did not come in time; the message names who holds the lock.
            WarehouseError: This thread holds the lock already, and would wait for itself.
        """
        if getattr(self._mine, "holding", False):
            raise WarehouseError(
                "This thread already has a connection to the warehouse open. Close it before the next one is opened."
            )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + self._timeout
        turnstile = self._acquire(self._turnstile, fcntl.LOCK_EX, deadline)
        try:
            lock = self._acquire(self._path, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, deadline)
        finally:
            os.close(turnstile)
        self._mine.holding = True
        try:
            yield
        finally:
            self._mine.holding = False
            os.close(lock)

    def _acquire(self, path: Path, operation: int, deadline: float) -> int:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._wait(descriptor, operation, deadline)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _wait(self, descriptor: int, operation: int, deadline: float) -> int:
        # Only a blocking flock keeps the kernel's order of arrival, and it knows no time-out: a thread waits for us.
        settled = threading.Lock()
        done = threading.Event()
        state = {"abandoned": False}

        def wait() -> None:
            fcntl.flock(descriptor, operation)
            with settled:
                done.set()
                if state["abandoned"]:
                    os.close(descriptor)

        threading.Thread(target=wait, name="warehouse-queue", daemon=True).start()
        if done.wait(max(0.0, deadline - time.monotonic())):
            return descriptor
        with settled:
            if done.is_set():
                return descriptor
            state["abandoned"] = True
        raise WarehouseBusy(
            f"The warehouse was in use for more than {self._timeout:g} seconds by {self._holders()}. "
            "Wait for it to end, or stop it, and run the command again."
        )

    def _holders(self) -> str:
        """Name the processes that hold the lock, from the kernel's table where there is one."""
        names = [describe_process(pid) for pid in lock_holders(self._path)]
        return ", ".join(names) or "another process"


def lock_holders(path: Path) -> list[int]:
    """Give the ids of the processes that hold a `flock` on a file (Linux only; empty elsewhere)."""
    try:
        inode = path.stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    held = []
    for line in lines:
        words = line.split()
        if "->" not in words and len(words) > 5 and words[1] == "FLOCK" and words[5].rsplit(":", 1)[-1] == str(inode):
            held.append(int(words[4]))
    return sorted({pid for pid in held if pid > 0})


def describe_process(pid: int) -> str:
    """Name a process for a person: its id and its command line, shortened."""
    if pid == os.getpid():
        words = [os.path.basename(sys.argv[0] or "python"), *sys.argv[1:]]
    else:
        try:
            words = [w.decode("utf-8", "replace") for w in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if w]
        except OSError:
            words = []
    command = " ".join(words)
    if len(command) > 80:
        command = command[:77] + "..."
    return f"process {pid} ({command})" if command else f"process {pid}"
