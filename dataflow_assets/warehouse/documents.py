"""The document store: fetched bytes, compressed, under their SHA-256, so that a new reader or setting fetches nothing again.

    documents/ab/abcdef...     one file for identical bytes, whoever fetched them

A file appears whole or not at all. Whoever adds bytes holds a shared lock until the rows that name them are stored; sweeping
takes the lock alone, or leaves it for another time, so it never removes what is about to be named.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from dataflow_assets.errors import DocumentMissing

LEVEL = 3
MAX_BYTES = 1_000_000_000
"""What a stored document may unpack to."""


class DocumentStore:
    """The bytes of a home's documents.

    Args:
        folder: Where they lie; made when something is put.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = folder.parent / "locks" / "documents.lock"

    def put(self, content: bytes) -> str:
        """Keep bytes, and give their hash. Call it inside `writing`."""
        name = hashlib.sha256(content).hexdigest()
        path = self._path(name)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{name}.{os.getpid()}-{threading.get_ident()}.tmp")
            temporary.write_bytes(self._compressor.compress(content))
            temporary.replace(path)
        return name

    def get(self, name: str) -> bytes:
        """Give the bytes with this hash.

        Raises:
            DocumentMissing: There is no sound copy of them.
        """
        try:
            content = bytes(self._decompressor.decompress(self._path(name).read_bytes(), max_output_size=MAX_BYTES))
        except FileNotFoundError as error:
            raise DocumentMissing(f"The document store has no bytes under {name}.") from error
        except Exception as error:
            raise DocumentMissing(f"The document store cannot unpack {name} ({type(error).__name__}).") from error
        if hashlib.sha256(content).hexdigest() != name:
            self._path(name).unlink(missing_ok=True)  # or the next fetch would find it and keep it
            raise DocumentMissing(f"The bytes that the document store has under {name} are damaged.")
        return content

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep sweepers out while bytes are put that no row names yet."""
        with self._held(fcntl.LOCK_SH):
            yield

    def sweep(self, named: AbstractSet[str]) -> int | None:
        """Remove the bytes that no row names, and what killed processes left.

        Args:
            named: The hashes to keep. Read them after the rows are stored.

        Returns:
            How many files were removed; None if somebody is writing, and nothing was.
        """
        try:
            with self._held(fcntl.LOCK_EX | fcntl.LOCK_NB):
                unnamed = [path for path in self._folder.glob("??/*") if path.name not in named]
                unnamed += list(self._folder.glob("??/.*.tmp"))
                for path in unnamed:
                    path.unlink(missing_ok=True)
                return len(unnamed)
        except BlockingIOError:
            return None

    @contextmanager
    def _held(self, operation: int) -> Iterator[None]:
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, operation)
            yield
        finally:
            os.close(descriptor)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    @cached_property
    def _compressor(self) -> Any:
        import zstandard

        return zstandard.ZstdCompressor(level=LEVEL)

    @cached_property
    def _decompressor(self) -> Any:
        import zstandard

        return zstandard.ZstdDecompressor()
