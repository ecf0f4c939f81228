"""Compressed streams, unpacked forward and in bounded blocks.

What belongs here: gzip, bzip2, xz, lzma and Zstandard, each as many streams in a row as there are. What does not: what is
in them.

A stream that ends too early, or is followed by something else than zeros, is damaged: what is left of a file that was cut
must never look whole.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from dataflow_assets.stages.archives.limits import Limits, damaged

if TYPE_CHECKING:
    from dataflow_assets.stages.archives.limits import Readable

_BLOCK = 1 << 16
_MEMORY = 256_000_000
"""Bytes that one decompressor may take; `xz -9` needs 65 million."""


class Decompressor(Protocol):
    """What the decompressors of the standard library have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without more data."""

    @property
    def unused_data(self) -> bytes:
        """What follows the stream."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Give at most so many bytes."""


class _Gzip:
    """zlib's decompressor in the form of the others."""

    def __init__(self, window: int = 31) -> None:
        self._object = zlib.decompressobj(window)

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def needs_input(self) -> bool:
        return not self._object.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._object.decompress(self._object.unconsumed_tail + data, max_length)


def _zstandard() -> Decompressor:
    from backports.zstd import ZstdDecompressor

    made: Decompressor = ZstdDecompressor()
    return made


def _deflate64() -> Decompressor:
    return _Deflate64()


class _Deflate64:
    """inflate64's decompressor in the form of the others; what it makes of one block of input is bounded."""

    def __init__(self) -> None:
        from inflate64 import Inflater

        self._object = Inflater()
        self._made = b""
        self._waiting = b""

    @property
    def eof(self) -> bool:
        return bool(self._object.eof) and not self._made

    @property
    def needs_input(self) -> bool:
        return not self._made and not self._waiting

    @property
    def unused_data(self) -> bytes:
        return b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        self._waiting += data
        if not self._made and self._waiting and not self._object.eof:
            given, self._waiting = self._waiting[:4096], self._waiting[4096:]
            self._made = self._object.inflate(given)
        if self._object.eof:
            self._waiting = b""
        found, self._made = self._made[:max_length], self._made[max_length:]
        return found


DECOMPRESSORS: dict[str, Callable[[], Decompressor]] = {
    "gzip": _Gzip,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY),
    "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, _MEMORY),
    "zstandard": _zstandard,
    "deflate": lambda: _Gzip(-15),
    "deflate64": _deflate64,
}
_ONE_STREAM = frozenset(("lzma", "deflate", "deflate64"))


class Unpacked:
    """What a compressed file holds, to be read forward once.

    Args:
        file: The compressed file.
        kind: One of `DECOMPRESSORS`.
        limits: Where what comes out is counted.
        name: The file, for sentences.
    """

    def __init__(self, file: Readable, kind: str, limits: Limits, name: str) -> None:
        self._file = file
        self._kind = kind
        self._limits = limits
        self._name = name
        self._decompressor = DECOMPRESSORS[kind]()
        self._ended = False

    def read(self, size: int, /) -> bytes:
        """Give at most so many bytes, as many wherever there are; none at the end.

        Raises:
            ReadError: The file is damaged, or a limit is broken.
        """
        blocks = []
        while size > 0 and (block := self._some(size)):
            blocks.append(block)
            size -= len(block)
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def _some(self, size: int) -> bytes:
        while not self._ended:
            data = b""
            if self._decompressor.eof:
                data = self._following()
                if self._ended:
                    break
            elif self._decompressor.needs_input:
                data = self._file.read(_BLOCK)
                if not data:
                    raise damaged(self._name, "it is truncated, its end is missing")
            try:
                block = self._decompressor.decompress(data, size)
            except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError) as error:
                raise damaged(
                    self._name, f"its compressed data is broken ({str(error)[:80] or 'no reason'})"
                ) from error
            except Exception as error:
                if type(error).__name__ != "ZstdError":
                    raise
                raise damaged(self._name, "its compressed data is broken") from error
            if block:
                self._limits.count_bytes(len(block))
                return block
        return b""

    def _following(self) -> bytes:
        """Begin the next stream, where one follows, and give its first bytes."""
        data = self._decompressor.unused_data
        while not data.strip(b"\0"):
            data = self._file.read(_BLOCK)
            if not data:
                self._ended = True
                return b""
        if self._kind in _ONE_STREAM:
            raise damaged(self._name, "something follows its end")
        self._decompressor = DECOMPRESSORS[self._kind]()
        return data.lstrip(b"\0")
