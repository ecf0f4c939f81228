"""Copying a shard's folder without filling the holes of its files: a new shard says 100 MB and occupies 1."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_COPY_BYTES: Final = 1 << 20


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder; the target must not be there."""
    target.mkdir()
    for entry in os.scandir(source):
        if entry.is_dir(follow_symlinks=False):
            copy_tree(Path(entry.path), target / entry.name)
        else:
            _copy_file(Path(entry.path), target / entry.name)


def _copy_file(source: Path, target: Path) -> None:
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(reading).st_size
            os.ftruncate(writing, size)
            for start, end in extents(reading, size):
                position = start
                while position < end:
                    piece = os.pread(reading, min(_COPY_BYTES, end - position), position)
                    if not piece:
                        break
                    os.pwrite(writing, piece, position)
                    position += len(piece)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Give the parts of a file that hold data, from and to, in bytes."""
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, position
