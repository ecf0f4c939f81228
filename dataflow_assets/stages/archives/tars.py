"""Tar archives, as they are or out of a compressed stream.

What belongs here: the members of a tar in their order. What does not: decompression (`streams`).

Python's `tarfile` takes a file that was cut between two members for a whole one. Here an archive ends with a block of zeros,
as every program writes it, or it is damaged.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.archives.limits import Entry, Limits, Readable, damaged

if TYPE_CHECKING:
    from typing import IO

_BLOCK = 512
_SKIP = 1 << 20
_MAX_HEADER = 1 << 24
"""Bytes that one header, such as a list of extended attributes, may have."""
_KINDS = {
    tarfile.SYMTYPE: "is a link: it is not followed.",
    tarfile.LNKTYPE: "is a link: it is not followed.",
    tarfile.CHRTYPE: "is a device, not a file: it is not read.",
    tarfile.BLKTYPE: "is a device, not a file: it is not read.",
    tarfile.FIFOTYPE: "is a named pipe (FIFO), not a file: it is not read.",
}


def is_tar(head: bytes) -> bool:
    """Tell whether bytes begin with a header of a tar, by its checksum."""
    block = head[:_BLOCK]
    if len(block) < _BLOCK or not block.strip(b"\0"):
        return False
    try:
        stated = int(block[148:156].strip(b"\0 "), 8)
    except ValueError:
        return False
    return stated == sum(block) - sum(block[148:156]) + 8 * ord(" ")


def tar_entries(stream: Readable, limits: Limits, name: str) -> Iterator[Entry]:
    """Give the members.

    Args:
        stream: The tar, to be read forward; it counts its bytes itself.
        limits: The limits.
        name: The archive, for sentences.
    """
    file = _Forward(stream, name)
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", file), mode="r:", encoding="utf-8") as tar:
            while (info := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it keeps all, and nobody asks
                if not info.isdir():
                    limits.count_member()
                    yield _entry(tar, info, limits)
    except tarfile.TarError as error:
        raise damaged(name, f"it is truncated or broken ({str(error)[:80]})") from error
    if file.last != bytes(_BLOCK):
        raise damaged(name, "it is truncated or broken, the block that ends it is missing")
    while stream.read(_SKIP):
        pass  # what follows is checked, and counted, too


def _entry(tar: tarfile.TarFile, info: tarfile.TarInfo, limits: Limits) -> Entry:
    if not info.isreg():
        return Entry(info.name, problem=_KINDS.get(info.type, "is no file: it is not read."))
    if info.size > limits.max_member_bytes:
        return Entry(info.name, problem=limits.too_large(info.size))
    opened = tar.extractfile(info)
    if opened is None:
        return Entry(info.name, problem="is no file: it is not read.")
    with opened:
        content = limits.read_member(opened, counted=not info.issparse())
    if content is None or len(content) != info.size:
        return Entry(info.name, problem="does not have the bytes that its header tells of.")
    return Entry(info.name, content)


class _Forward:
    """A file for `tarfile` that is only ever read forward.

    Attributes:
        last: What was read last.
    """

    def __init__(self, stream: Readable, name: str) -> None:
        self._stream = stream
        self._name = name
        self._position = 0
        self.last = b""

    def read(self, size: int) -> bytes:
        if size > _MAX_HEADER:
            raise damaged(self._name, f"a header of it claims to have {size:,} bytes")
        self.last = self._stream.read(size)
        self._position += len(self.last)
        return self.last

    def seek(self, position: int, *_: Any) -> int:
        if position < self._position:
            raise ReadError(f"{self._name} cannot be read backwards.")
        while self._position < position:
            skipped = len(self._stream.read(min(_SKIP, position - self._position)))
            if not skipped:
                break
            self._position += skipped
        return self._position

    def tell(self) -> int:
        return self._position
