"""The document store: fetched bytes, compressed, each under the hash of what it is.

What belongs here: putting, getting and sweeping of bytes. What does not: which bytes are still named by a row (the
caller of `sweep` asks the tables).

A blob is `ab/cdef...`: the SHA-256 of the bytes, cut after two digits. It is a Zstandard frame that records the size,
so `zstd -d` opens it. A blob is written beside its place and renamed, so it is there whole or not at all; it is not
forced to the disk: after a power cut `get` says what is damaged, and it is fetched again.

Whoever puts bytes does so in a block of `writing`, which lasts until a row names them; a sweep waits for nobody and
does nothing while somebody writes. So no bytes are swept between the moment they are put and the moment they are named.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dataflow_assets.errors import DocumentMissing, WarehouseError

if TYPE_CHECKING:
    import zstandard

LEVEL = 3
"""Zstandard's level. 12.6 MB in 2,559 files took 0.06 s and 4.0 MB; at level 1 0.04 s and 4.1 MB, at 6 0.24 s and 3.8."""

_BLOCK = 131_072
_HASH = re.compile(r"[0-9a-f]{64}\Z")
_BLOB = re.compile(r"[0-9a-f]{62}\Z")
_FOLDER = re.compile(r"[0-9a-f]{2}\Z")
_UNFINISHED = ".tmp-"


class DocumentStore:
    """The bytes of all documents of a home.

    Args:
        folder: Where the blobs lie; made when something is put.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = folder / "lock"
        self._mutex = threading.Lock()
        self._writers = 0
        self._descriptor = -1
        self._made = 0
        self._mine = threading.local()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep sweeps away for the length of the block: from the first `put` until rows name the bytes.

        Blocks may nest, and any number of processes may be in one.
        """
        with self._mutex:
            if self._writers == 0:
                self._descriptor = self._open_lock()
                try:
                    fcntl.flock(self._descriptor, fcntl.LOCK_SH)
                except BaseException:
                    os.close(self._descriptor)
                    raise
            self._writers += 1
        try:
            yield
        finally:
            with self._mutex:
                self._writers -= 1
                if self._writers == 0:
                    os.close(self._descriptor)

    def put(self, content: bytes) -> str:
        """Store bytes, in a block of `writing`. Bytes that are there already are not written again.

        Returns:
            Their SHA-256, in hexadecimal.

        Raises:
            WarehouseError: They cannot be stored, for want of space or of permission.
        """
        if not self._writers:
            raise RuntimeError(
                "DocumentStore.put belongs in a block of DocumentStore.writing: a sweep could take the bytes"
            )
        content_hash = hashlib.sha256(content).hexdigest()
        path = self._path(content_hash)
        if path.exists():
            return content_hash
        frame = self._compressor().compress(content)
        with self._mutex:
            self._made += 1
            unfinished = path.with_name(f"{_UNFINISHED}{os.getpid()}-{id(self)}-{self._made}")
        try:
            try:
                self._write(unfinished, frame)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._write(unfinished, frame)
            os.replace(unfinished, path)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink()
            raise WarehouseError(
                f"A document cannot be stored in {self._folder}: {error.strerror or error}. "
                "Make room, or make the folder writable, and run again."
            ) from error
        return content_hash

    def get(self, content_hash: str) -> bytes:
        """Give the bytes with a hash.

        Raises:
            DocumentMissing: They are not there, or what is there is not them. It is removed then, for `put` to write
            anew.
        """
        import zstandard

        try:
            frame = self._path(content_hash).read_bytes()
        except FileNotFoundError as error:
            raise DocumentMissing(
                f"The document store {self._folder} has no bytes {content_hash}. Run again: they are fetched again."
            ) from error
        except OSError as error:
            raise DocumentMissing(
                f"The document store {self._folder} cannot read the bytes {content_hash}: {error.strerror or error}. "
                "Make the home readable, and run again."
            ) from error
        try:
            size = zstandard.frame_content_size(frame)
            # A block of 4 bytes can stand for 128 KiB at most: a damaged header cannot ask for more memory than that.
            if not 0 <= size <= _BLOCK * (len(frame) // 4 + 1):
                raise self._damaged(content_hash)
            content = zstandard.ZstdDecompressor().decompress(frame, max_output_size=size) if size else b""
        except zstandard.ZstdError as error:
            raise self._damaged(content_hash) from error
        if hashlib.sha256(content).hexdigest() != content_hash:
            raise self._damaged(content_hash)
        return content

    def has(self, content_hash: str) -> bool:
        """Say whether there are bytes with a hash; only `get` sees whether they are sound."""
        return self._path(content_hash).exists()

    def sweep(self, keep: Callable[[], Collection[str]]) -> int | None:
        """Remove the blobs that nothing names, and what killed processes left unfinished.

        Args:
            keep: Gives the hashes that are named. It is asked once nobody can put any more: asked earlier, it would not
                know what was put and named in between.

        Returns:
            How many blobs were removed; None where somebody is writing, and nothing was done.
        """
        if not self._folder.is_dir():
            return 0
        descriptor = self._open_lock()
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            named = keep()
            named = named if isinstance(named, set | frozenset) else set(named)
            return sum(self._sweep_folder(folder, named) for folder in self._folders())
        finally:
            os.close(descriptor)

    def _sweep_folder(self, folder: Path, named: Collection[str]) -> int:
        removed = 0
        with os.scandir(folder) as entries:
            for entry in entries:
                blob = _BLOB.match(entry.name) is not None
                if (blob and folder.name + entry.name not in named) or entry.name.startswith(_UNFINISHED):
                    with suppress(FileNotFoundError):
                        os.unlink(entry.path)
                    removed += blob
        return removed

    def _folders(self) -> list[Path]:
        with os.scandir(self._folder) as entries:
            return [Path(entry.path) for entry in entries if _FOLDER.match(entry.name) and entry.is_dir()]

    def _path(self, content_hash: str) -> Path:
        if not _HASH.match(content_hash):
            raise ValueError(f"{content_hash!r} is not a SHA-256 in hexadecimal")
        return self._folder / content_hash[:2] / content_hash[2:]

    def _open_lock(self) -> int:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise WarehouseError(
                f"The document store {self._folder} cannot be used: {error.strerror or error}. "
                "Make the home writable, or set DATAFLOW_HOME to a folder that is."
            ) from error

    def _compressor(self) -> zstandard.ZstdCompressor:
        """Give this thread's compressor: it takes long to make, and no two threads may use one."""
        import zstandard

        if not hasattr(self._mine, "compressor"):
            self._mine.compressor = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True)
        compressor: zstandard.ZstdCompressor = self._mine.compressor
        return compressor

    @staticmethod
    def _write(path: Path, frame: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            view = memoryview(frame)
            while view:
                view = view[file.write(view) :]

    def _damaged(self, content_hash: str) -> DocumentMissing:
        with suppress(OSError):
            self._path(content_hash).unlink()  # or `put` would take it for sound
        return DocumentMissing(
            f"The bytes {content_hash} in the document store {self._folder} were damaged. "
            "Run again: they are fetched again."
        )
