"""What the pool and a worker say to each other: frames of a JSON header and raw bytes.

What belongs here: the form of a frame, and documents and members of archives in that form. What does not: pipes
(`process`, `child`).

Nothing is ever unpickled. The side that reads checks every size and every type, since a parser that was taken over may say
anything. Texts travel as UTF-8 in which lone surrogates pass, so that every text comes back exactly.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar, cast, get_args

from dataflow_assets.records import Finding, ReadDocument, Section
from dataflow_assets.settings import DocType, Severity

FRAME = struct.Struct(">4sIQ")
"""Before each message: the mark, and the lengths of header and body."""
MARK = b"DFA1"
MAX_HEADER = 64_000_000
MAX_TEXT = 100_000_000
"""Bytes of a document's text at most, in UTF-8."""

_MARKUPS = frozenset(("text", "markdown", "rst", "messages"))
_SECTION = tuple(field.name for field in fields(Section))
_FINDING = tuple(field.name for field in fields(Finding))
_T = TypeVar("_T")


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


def document_to_message(document: ReadDocument) -> tuple[dict[str, Any], bytes]:
    """Give a document's header and its text as the body."""
    header = {
        "title": document.title,
        "doc_type": document.doc_type,
        "language": document.language,
        "markup": document.markup,
        "tags": list(document.tags),
        "sections": [[getattr(section, name) for name in _SECTION] for section in document.sections],
        "metadata": document.metadata,
        "findings": [[getattr(finding, name) for name in _FINDING] for finding in document.findings],
    }
    return header, document.text.encode("utf-8", "surrogatepass")


def document_from_message(header: Mapping[str, Any], body: bytes) -> ReadDocument:
    """Give back the document.

    Raises:
        MalformedMessage: It is none: something is missing, of another type, or out of bounds.
    """
    try:
        text = body.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise MalformedMessage("the text is no UTF-8") from error
    doc_type, markup = _typed(header, "doc_type", str), _typed(header, "markup", str)
    if doc_type not in get_args(DocType) or markup not in _MARKUPS:
        raise MalformedMessage("unknown doc_type or markup")
    return ReadDocument(
        title=_typed(header, "title", str),
        doc_type=cast(DocType, doc_type),
        language=_typed(header, "language", str),
        text=text,
        markup=markup,
        tags=tuple(_strings(_typed(header, "tags", list))),
        sections=_sections(_typed(header, "sections", list), len(text)),
        metadata=_typed(header, "metadata", dict),
        findings=tuple(map(_finding, _typed(header, "findings", list))),
    )


def text_in(header: Mapping[str, Any], key: str, limit: int = 4_000) -> str:
    """Give a text of a header, shortened."""
    return _typed(header, key, str)[:limit]


def _typed(header: Mapping[str, Any], key: str, kind: type[_T]) -> _T:
    value = header.get(key)
    if not isinstance(value, kind):
        raise MalformedMessage(f"{key} is no {kind.__name__}")
    return value


def _strings(values: Sequence[Any]) -> list[str]:
    if not all(isinstance(value, str) for value in values):
        raise MalformedMessage("a text is none")
    return list(values)


def _sections(rows: Sequence[Any], length: int) -> tuple[Section, ...]:
    found = []
    for row in rows:
        if not isinstance(row, list) or len(row) != len(_SECTION):
            raise MalformedMessage("a section is none")
        start, end, page, *said = row
        if type(start) is not int or type(end) is not int or not 0 <= start <= end <= length:
            raise MalformedMessage("a section lies outside the text")
        if page is not None and type(page) is not int:
            raise MalformedMessage("a page is no number")
        if not all(value is None or isinstance(value, str) for value in said):
            raise MalformedMessage("what a section says is no text")
        found.append(Section(start, end, page, *said))
    return tuple(found)


def _finding(row: Any) -> Finding:
    if not isinstance(row, list) or len(row) != len(_FINDING):
        raise MalformedMessage("a finding is none")
    said: dict[str, Any] = dict(zip(_FINDING, _strings(row), strict=True))
    if said["severity"] not in get_args(Severity):
        raise MalformedMessage("a finding's severity is none")
    return Finding(**said)
