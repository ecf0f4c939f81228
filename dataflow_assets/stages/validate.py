"""Validate: the checks on a document's text, its score, and the verdict.

What belongs here: what one document shows on its own. What does not: duplicates, which take the whole library to see
and are decided in the warehouse by `text_hash`; and reading (`read`).

A text that cannot be written as UTF-8 (lone surrogates) is rejected, and stored with U+FFFD in the places of the
surrogates: same length, so positions hold, and a person can look at what was wrong. `text_hash` is the stored text's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from dataflow_assets.records import Finding, ReadDocument, ValidatedDocument, sections_json, text_hash
from dataflow_assets.settings import ValidationSettings
from dataflow_assets.settings_base import Severity
from dataflow_assets.stages.readers.front_matter import json_value
from dataflow_assets.stages.readers.names import last_part, readable_name

CODE_VERSION = 2
"""Part of the stage's fingerprint: another number validates every document again."""

PENALTIES: Mapping[Severity, float] = {"critical": 0.5, "error": 0.3, "warning": 0.1}
"""What a finding takes off the score of 1."""

_MAX_METADATA = 65_536
"""Characters of the metadata's JSON."""
_MAX_VALUE = 120
_RUN = 11
"""A character repeated more than 10 times in a row."""
_STRIDE = 3
_SURROGATE = re.compile("[\ud800-\udfff]")
_REPEATED_SAMPLE = re.compile(r"(.)\1\1", re.DOTALL)
_ASCII_SPACES = " \n\t\r\v\f\x1c\x1d\x1e\x1f"
_OTHER_SPACES = (
    "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_SENTENCE_END = re.compile(r"[.!?…](?=[\"'”’»)\]*_`]{0,4}(?:\s|\Z))|[。！？｡।؟۔]")
_SENTENCES = 3
_SENTENCES_FROM = 500


def validate_document(
    *,
    library: str,
    document_id: str,
    source_uri: str,
    read: ReadDocument | None,
    failure: str | None,
    settings: ValidationSettings,
    input_hash: str,
    waiting: bool = False,
) -> ValidatedDocument:
    """Judge one document.

    Args:
        library: Its library.
        document_id: Its id.
        source_uri: Where it lies at its source.
        read: What its reader made of it; None where it could not be fetched or read.
        failure: Why not; rejects the document with this reason.
        settings: The limits.
        input_hash: Hash of what the row is made from.
        waiting: Whether pages of it are left to be read by another run.

    Returns:
        The row, `valid` or `rejected`; an error or worse rejects.
    """
    text: str | None = None
    metadata: dict[str, Any] = {}
    findings: list[Finding] = []
    if not document_id.strip():
        findings.append(
            Finding(
                "document_id", "error", "The document has no id.", "document_id", "", "Mend the source that listed it."
            )
        )
    if failure is not None or read is None:
        findings.append(_unreadable(failure or "The document was not read.", source_uri))
    if read is not None:
        text = read.text
        metadata.update(read.metadata)
        encodable = _encodable(text)
        if encodable is not text:
            findings.append(_not_encodable(text))
            text = encodable
        quality = content_quality(text)
        metadata["content_quality"] = quality
        findings.extend(read.findings)
        findings.extend(_text_findings(text, quality, settings))
    issues = tuple(_clean(finding) for finding in findings)
    against = [finding for finding in issues if finding.severity in ("critical", "error")]
    return ValidatedDocument(
        library=library,
        document_id=document_id,
        uri=_encodable(source_uri),
        title=_encodable(read.title) if read else readable_name(last_part(source_uri)),
        doc_type=read.doc_type if read else "other",
        language=_encodable(read.language) if read else "und",
        tags=tuple(map(_encodable, read.tags)) if read else (),
        markup=read.markup if read else "text",
        text=text,
        text_hash=None if text is None else text_hash(text),
        sections=sections_json(read.sections) if read else None,
        character_count=len(text or ""),
        token_count=_tokens(text) if text else 0,
        quality_score=quality_score(issues),
        status="rejected" if against else "valid",
        reason=_sentence(against) if against else None,
        duplicate_of=None,
        issues=issues,
        metadata=_json(metadata),
        input_hash=input_hash,
        waiting=waiting,
    )


def quality_score(findings: tuple[Finding, ...]) -> float:
    """Score findings: 1 less the penalties, not below 0."""
    return max(0.0, round(1.0 - sum(PENALTIES[finding.severity] for finding in findings), 4))


def content_quality(text: str) -> float:
    """Rate a text as text, from 1 (as good as it gets) down to 0.

    Whitespace over half of the characters takes 0.3; a character more than 10 times in a row 0.2; opening and closing
    brackets whose numbers differ by more than 10 % of the greater 0.2; fewer than 3 ends of sentences in a text of
    more than 500 characters 0.3.
    """
    quality = 1.0
    if _whitespace(text) * 2 > len(text):
        quality -= 0.3
    if _has_run(text):
        quality -= 0.2
    opening, closing = (sum(map(text.count, brackets)) for brackets in ("([{", ")]}"))
    if abs(opening - closing) > 0.1 * max(opening, closing):
        quality -= 0.2
    if len(text) > _SENTENCES_FROM and not _has_sentences(text):
        quality -= 0.3
    return round(quality, 4)


def _text_findings(text: str, quality: float, settings: ValidationSettings) -> Iterator[Finding]:
    count = len(text)
    if not text or text.isspace():
        yield Finding(
            "has_text",
            "critical",
            "The document has no text.",
            "text",
            repr(text[:20]),
            "Fill it, or exclude it from the library.",
        )
    if count < settings.min_characters:
        yield Finding(
            "min_characters",
            "warning",
            f"The text is shorter than {settings.min_characters} characters.",
            "text",
            str(count),
            "Join it with a related document, or lower validation.min_characters.",
        )
    if count > settings.max_characters:
        yield Finding(
            "max_characters",
            settings.too_long,
            f"The text is longer than {settings.max_characters} characters.",
            "text",
            str(count),
            "Split it, or raise validation.max_characters.",
        )
    if quality < settings.min_content_quality:
        yield Finding(
            "content_quality",
            "warning",
            f"The content quality is below {settings.min_content_quality:g}.",
            "metadata.content_quality",
            f"{quality:g}",
            "Look whether the text is prose; exclude dumps, tables of numbers and broken conversions.",
        )


def _unreadable(failure: str, source_uri: str) -> Finding:
    return Finding(
        "readable", "critical", failure, "source_uri", source_uri, "Mend the document at its source, or exclude it."
    )


def _not_encodable(text: str) -> Finding:
    places = _SURROGATE.findall(text)
    return Finding(
        "encoding",
        "error",
        f"{len(places)} characters of the text are halves of surrogate pairs and cannot be encoded.",
        "text",
        f"U+{ord(places[0]):04X}",
        "Repair the document's encoding at its source.",
    )


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text)
    return text


def _clean(finding: Finding) -> Finding:
    value = _encodable(finding.value)
    return Finding(
        finding.validator,
        finding.severity,
        _encodable(finding.message),
        finding.field,
        value if len(value) <= _MAX_VALUE else value[: _MAX_VALUE - 1] + "…",
        _encodable(finding.suggestion),
    )


def _sentence(findings: list[Finding]) -> str:
    """Join messages into one sentence, with semicolons between."""
    said = list(dict.fromkeys(finding.message.strip().rstrip(".") for finding in findings))
    return "; ".join(said[:1] + [_lower_first(message) for message in said[1:]]) + "."


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:] if message[1:2].islower() or message[1:2] == " " else message


def _tokens(text: str) -> int:
    from dataflow_assets.stages.tokens import count_tokens

    return count_tokens(text)


def _whitespace(text: str) -> int:
    """Count whitespace; one pass per kind is ten times as fast as one pass in Python."""
    spaces = _ASCII_SPACES if text.isascii() else _ASCII_SPACES + _OTHER_SPACES
    return sum(map(text.count, spaces))


def _has_run(text: str) -> bool:
    """Look for a run of 11. It shows as three equal characters in every third one: a third of the text to search."""
    for found in _REPEATED_SAMPLE.finditer(text[::_STRIDE]):
        start = found.start() * _STRIDE
        window = text[max(0, start - _RUN) : start + 2 * _RUN]
        if found[1] * _RUN in window:
            return True
    return False


def _has_sentences(text: str) -> bool:
    ends = _SENTENCE_END.finditer(text)
    return all(next(ends, None) is not None for _ in range(_SENTENCES))


def _json(metadata: Mapping[str, Any]) -> str:
    """Write metadata as JSON that every parser takes: sorted keys, no NaN, no lone surrogate, of bounded size."""
    plain: dict[str, Any] = json_value(metadata)
    said = _dumps(plain)
    if len(said) <= _MAX_METADATA:
        return said
    left_out = []
    sizes = sorted(((len(_dumps(value)) + len(key), key) for key, value in plain.items()), reverse=True)
    excess = len(said) - _MAX_METADATA + 4_096
    for size, key in sizes:
        if excess <= 0:
            break
        del plain[key]
        left_out.append(key[:80])
        excess -= size
    return _dumps({**plain, "left_out": sorted(left_out)[:40]})


def _dumps(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
