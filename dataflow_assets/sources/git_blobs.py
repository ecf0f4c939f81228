"""Reading blobs by their ids.

What belongs here: one process of git that is kept and asked for one blob after the other. What does not: whether a blob is
here at all (`git_mirror`), and how git is run (`git_program`).

A blob's id is a hash of its bytes, so what a damaged repository gives is never taken for the document.
"""

from __future__ import annotations

import hashlib
import os
import re
import select
import subprocess
import threading
from collections.abc import Callable

from dataflow_assets.sources.git_program import Git, GitFailed, end, pipes

OBJECT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")


class BlobReader:
    """Reads blobs by their ids, with one process of git that is kept; safe for threads.

    Args:
        git: How git is called.
        view: Gives the variables by which git reads the objects.
    """

    def __init__(self, git: Git, view: Callable[[], dict[str, str]]) -> None:
        self._git, self._view = git, view
        self._answers: _Answers | None = None
        self._lock = threading.Lock()

    def read(self, blob: str, limit: int) -> tuple[int, bytes | None] | None:
        """Read a blob.

        Args:
            blob: Its id.
            limit: Larger blobs are not read.

        Returns:
            Its size and its bytes; the size alone where it is larger than the limit; None where it is not here.

        Raises:
            GitFailed: It cannot be read, or is not what its id says.
        """
        with self._lock:
            try:
                answers = self._started()
                answers.ask(blob.encode() + b"\n")
                header = answers.line().split()
                if header[1:] == [b"missing"]:
                    return None
                if len(header) != 3 or header[1] != b"blob":
                    raise GitFailed(f"the object {blob} is damaged, or no file")
                size = int(header[2])
                if size > limit:
                    self._stop()  # what it is about to write is not wanted
                    return size, None
                content = answers.exactly(size + 1)[:-1]
            except (OSError, ValueError) as error:
                self._stop()
                raise GitFailed(f"the object {blob} could not be read") from error
            except BaseException:
                self._stop()
                raise
        kind = hashlib.sha1 if len(blob) == 40 else hashlib.sha256
        if kind(b"blob %d\0" % size + content, usedforsecurity=False).hexdigest() != blob:
            raise GitFailed(f"the object {blob} is damaged")
        return size, content

    def close(self) -> None:
        """End the process; the next read starts another."""
        with self._lock:
            self._stop()

    def _started(self) -> _Answers:
        if self._answers is None or self._answers.process.poll() is not None:
            self._stop()
            process = self._git.start(
                "cat-file", "--batch", at=self._view(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._answers = _Answers(process, self._git.timeout)
        return self._answers

    def _stop(self) -> None:
        if self._answers is not None:
            end(self._answers.process)
            self._answers = None


class _Answers:
    """What a process of git writes, waited for no longer than allowed.

    Args:
        process: Started with pipes.
        timeout: Seconds that it may be silent.
    """

    def __init__(self, process: subprocess.Popen[bytes], timeout: float) -> None:
        self.process, self._timeout = process, timeout
        self._stdin, self._stdout = pipes(process)
        self._poll = select.poll()
        self._poll.register(self._stdout, select.POLLIN | select.POLLHUP)
        self._read = bytearray()

    def ask(self, question: bytes) -> None:
        self._stdin.write(question)
        self._stdin.flush()

    def line(self) -> bytes:
        while (at := self._read.find(b"\n")) < 0:
            self._more()
        return self._taken(at + 1)

    def exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more()
        return self._taken(size)

    def _taken(self, size: int) -> bytes:
        taken = bytes(self._read[:size])
        del self._read[:size]
        return taken

    def _more(self) -> None:
        if not self._poll.poll(1000 * self._timeout):
            raise GitFailed(f"git was silent for {self._timeout:g} seconds and was ended", ended_here=True)
        block = os.read(self._stdout.fileno(), 1 << 18)
        if not block:
            raise GitFailed("git ended before its answer did")
        self._read += block
