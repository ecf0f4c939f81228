"""What the pool and a worker say to each other: frames of a JSON header and raw bytes.

What belongs here: the form of a frame. What does not: what is said (`messages`), and pipes (`process`, `child`).

Nothing is ever unpickled. The side that reads checks every size, since a parser that was taken over may say anything. Texts
travel as UTF-8 in which lone surrogates pass, so that every text comes back exactly.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

FRAME = struct.Struct(">4sIQ")
"""Before each message: the mark, and the lengths of header and body."""
MARK = b"DFA1"
MAX_HEADER = 64_000_000
MAX_TEXT = 100_000_000
"""Bytes of a document's text at most, in UTF-8."""


class MalformedMessage(Exception):
    """What came is no message, or not the one that was asked for."""


def pack(header: Mapping[str, Any], body_length: int = 0) -> bytes:
    """Write the beginning of a message; the body follows it as it is."""
    said = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return FRAME.pack(MARK, len(said), body_length) + said


def lengths(frame: bytes, max_body: int) -> tuple[int, int]:
    """Read the lengths of header and body.

    Raises:
        MalformedMessage: It is no frame, or one larger than allowed.
    """
    mark, header, body = FRAME.unpack(frame)
    if mark != MARK or header > MAX_HEADER or body > max_body:
        raise MalformedMessage(f"mark {mark!r}, header {header}, body {body}")
    return header, body


def header_of(said: bytes) -> dict[str, Any]:
    """Read a header."""
    try:
        header = json.loads(said.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("the header is no JSON") from error
    if not isinstance(header, dict):
        raise MalformedMessage("the header is no object")
    return header
