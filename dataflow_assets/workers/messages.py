"""Documents in the form in which a worker gives them.

What belongs here: a document as a header and a body, and the way back, on which every type and every bound is checked. What
does not: frames (`frames`), and what an answer means (`verdicts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar, cast, get_args

from dataflow_assets.records import Finding, ReadDocument, Section
from dataflow_assets.settings_base import DocType, Severity
from dataflow_assets.workers.frames import MalformedMessage

_MARKUPS = frozenset(("text", "markdown", "rst", "messages"))
_SECTION = tuple(field.name for field in fields(Section))
_FINDING = tuple(field.name for field in fields(Finding))
_T = TypeVar("_T")


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
