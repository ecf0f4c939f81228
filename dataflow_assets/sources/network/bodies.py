"""Bodies of answers, read block by block up to a limit.

What belongs here: taking off the compression that HTTP put on, never more at once than a block. What does not: files that
are compressed themselves, which are documents or archives.

Only gzip and deflate are asked for and taken: their blocks can be unpacked in bounded pieces, while a few bytes of
others unpack to gigabytes in one step.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

ACCEPTED = "gzip, deflate"
BLOCK_BYTES = 1 << 16


class BodyDamaged(Exception):
    """A body does not unpack, or ends too early; the message says what it is."""


class EncodingUnknown(Exception):
    """A body is packed in a way that was not asked for; the message names it."""


def unpacked(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Take the compression off a body.

    Args:
        blocks: The body as it came.
        encoding: Its `content-encoding`; nothing and `identity` leave it as it is.

    Raises:
        EncodingUnknown: It is packed in another way than was asked for, or in several.
        BodyDamaged: It does not unpack, or ends too early.
    """
    named = encoding.strip().lower()
    if named in ("", "identity"):
        yield from blocks
    elif named in ("gzip", "x-gzip", "deflate"):
        yield from _inflated(blocks, named)
    else:
        raise EncodingUnknown(named[:40])


def write_whole(to: Path, blocks: Iterable[bytes]) -> None:
    """Write a body to a file, which is complete afterwards, or not there."""
    try:
        with to.open("wb") as file:
            for block in blocks:
                file.write(block)
    except BaseException:
        to.unlink(missing_ok=True)
        raise


def _inflated(blocks: Iterable[bytes], named: str) -> Iterator[bytes]:
    unpack = None
    ended = False
    for block in blocks:
        while block:
            if unpack is None:
                if ended and not block.startswith(b"\x1f"):
                    return  # padding behind the last member
                unpack = zlib.decompressobj(_window(block, named))
            try:
                piece = unpack.decompress(block, BLOCK_BYTES)
            except zlib.error as error:
                raise BodyDamaged("does not unpack") from error
            if piece:
                yield piece
            if unpack.eof:
                block, unpack, ended = unpack.unused_data, None, True
                if named == "deflate":
                    return
            else:
                block = unpack.unconsumed_tail
    if unpack is not None:
        raise BodyDamaged("ends too early")


def _window(start: bytes, named: str) -> int:
    """Say how the packed data begin: servers send `deflate` with zlib's header, as they should, or without."""
    if named != "deflate":
        return zlib.MAX_WBITS | 16
    wrapped = start[0] & 0x0F == 8 and (len(start) < 2 or (start[0] << 8 | start[1]) % 31 == 0)
    return zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS
