"""7z archives.

What belongs here: the members of a 7z, one after the other. `py7zr` pushes what it unpacks into writers, so it works in a
thread of its own that waits until a member was taken: no more than one is held. What does not: any path on disk.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import BinaryIO

import py7zr
from py7zr.exceptions import PasswordRequired
from py7zr.io import Py7zIO, WriterFactory

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.archives.limits import Entry, Limits, damaged, protected


class _Abandoned(Exception):
    """Nobody takes the members any more."""


def seven_zip_entries(file: BinaryIO, limits: Limits, name: str) -> Iterator[Entry]:
    """Give the members.

    Raises:
        ReadError: It is damaged or protected, or a limit is broken.
    """
    failed: Exception | None = None
    for password in limits.passwords or (None,):
        file.seek(0)
        locked, given = True, False
        try:
            with py7zr.SevenZipFile(file, "r", password=password) as archive:
                locked = archive.needs_password()
                if locked and password is None:
                    raise protected(name, tried=False)
                for entry in _entries(archive, limits, name):
                    given = given or bool(entry.content)
                    yield entry
                return
        except PasswordRequired as error:
            raise protected(name, tried=False) from error
        except (ReadError, MemoryError):
            raise
        except Exception as error:
            failed = error
            if given or not locked:
                break
    else:
        # With a wrong password what comes out is broken, and a broken archive looks the same.
        if limits.passwords:
            raise protected(name, tried=True) from failed
    raise damaged(name, f"it is truncated or broken ({type(failed).__name__})") from failed


def _entries(archive: py7zr.SevenZipFile, limits: Limits, name: str) -> Iterator[Entry]:
    files = [info for info in archive.list() if not info.is_directory]
    # What `py7zr` unpacks is what the sizes say, in blocks of many megabytes, so they are counted before.
    for info in files:
        limits.count_member()
        limits.count_bytes(info.uncompressed)
    links = {info.filename for info in files if info.is_symlink}
    handed = _Handing(limits)
    worker = threading.Thread(target=handed.run, args=(archive,), name="7z", daemon=True)
    worker.start()
    try:
        while isinstance(entry := handed.entries.get(), Entry):
            yield Entry(entry.name, problem="is a link: it is not followed.") if entry.name in links else entry
        if entry is not None:
            raise entry
    finally:
        handed.abandon()
        worker.join()


class _Handing(WriterFactory):
    """Hands members over, one at a time, to whoever takes them from `entries`; at the end None, or what went wrong."""

    def __init__(self, limits: Limits) -> None:
        self.entries: queue.Queue[Entry | Exception | None] = queue.Queue(maxsize=1)
        self._limits = limits
        self._abandoned = False

    def run(self, archive: py7zr.SevenZipFile) -> None:
        """Unpack all."""
        try:
            archive.extractall(factory=self)
            self.put(None)
        except _Abandoned:
            return
        except Exception as error:
            with contextlib.suppress(_Abandoned):
                self.put(error)

    def create(self, filename: str) -> Py7zIO:
        """Make the writer of one member."""
        return _Writer(filename, self, self._limits)

    def put(self, entry: Entry | Exception | None) -> None:
        """Hand something over."""
        while not self._abandoned:
            with contextlib.suppress(queue.Full):
                self.entries.put(entry, timeout=0.1)
                return
        raise _Abandoned

    def abandon(self) -> None:
        """Say that nobody takes anything any more."""
        self._abandoned = True


class _Writer(Py7zIO):
    """Takes one member's bytes."""

    def __init__(self, name: str, handed: _Handing, limits: Limits) -> None:
        self._name = name
        self._handed = handed
        self._limits = limits
        self._blocks: list[bytes] = []
        self._size = 0
        self._closed = False

    def write(self, block: bytes | bytearray) -> int:
        self._size += len(block)
        if self._size > self._limits.max_member_bytes:
            self._blocks.clear()
        else:
            self._blocks.append(bytes(block))
        return len(block)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._size > self._limits.max_member_bytes:
            self._handed.put(Entry(self._name, problem=self._limits.too_large(self._size)))
        else:
            self._handed.put(Entry(self._name, b"".join(self._blocks)))
        self._blocks.clear()

    def read(self, size: int | None = None) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def flush(self) -> None:
        return

    def size(self) -> int:
        return self._size
