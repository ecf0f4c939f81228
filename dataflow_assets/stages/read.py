"""Read: the bytes of one document become its text and what is known of it.

What belongs here: choosing the readers, and what is found the same way in every format: title, language, type, tags.
What does not: formats (`readers`), and any verdict on the text (`validate`).

The text of plain, Markdown and reStructuredText documents is the decoded source without its front matter, character for
character, since people look for a chunk in their own file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dataflow_assets.errors import ReadError
from dataflow_assets.media_types import UNKNOWN, media_type_of
from dataflow_assets.records import ReadDocument
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.settings_base import DocType
from dataflow_assets.stages.classify import find_doc_type, find_tags
from dataflow_assets.stages.language import UNDETERMINED, detect, language_code
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.names import (
    language_hint,
    last_part,
    readable_name,
)
from dataflow_assets.stages.readers.registry import READERS, Reader, readers_for
from dataflow_assets.stages.readers.sniff import sniff

__all__ = ["CODE_VERSION", "READERS", "media_type_of", "read_document"]

CODE_VERSION = 2
"""Part of the stage's fingerprint: another number reads every document again."""

_HEAD = 4_096
_MAX_TITLE = 300
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\ufeff]+")
_HEADING = re.compile(r"^# (.{3,200})$", re.MULTILINE)
_LANGUAGE_FOLDER = re.compile("[a-z]{2}(?:[-_](?:[a-z]{2}|han[st]))?")
_GENERIC = frozenset((UNKNOWN, "text/plain", "application/binary", ""))
"""Media types that say less than the file's name does."""


def read_document(
    content: bytes, *, source_uri: str, media_type: str, settings: ReadingSettings, passwords: Sequence[str] = ()
) -> ReadDocument:
    """Turn the bytes of one document into text.

    Args:
        content: All of its bytes; none gives an empty text.
        source_uri: Where it lies at its source; the last part of it is its name.
        media_type: What the source says, or the name suggests, the bytes are; parameters such as `charset` are heard.
        settings: What the catalog knows of the library's documents.
        passwords: Passwords that may open it.

    Raises:
        ReadError: The bytes are no text, or no reader could read them; the message is the reason for its rejection.
    """
    item = _item(content, source_uri, media_type, settings, passwords)
    stated = item.media_type
    reader, reading = _read(item) if content else (None, Reading(text="", markup="text"))
    name = item.name
    title = (
        _one_line(_text_of(reading.front_matter.get("title")))
        or _one_line(reading.title or "")
        or _one_line(readable_name(name))
    )
    decoded = item.__dict__.get("decoded") if content else item.decoded  # a reader of binary formats decodes nothing
    metadata = {
        **({"encoding": decoded.encoding.replace("_", "-")} if decoded else {}),
        "media_type": stated,
        **({"reader": reader.name} if reader else {}),
        **_known(reading.front_matter),
        **reading.metadata,
    }
    if reading.front_matter:
        metadata["front_matter"] = reading.front_matter
    return ReadDocument(
        title=title,
        doc_type=_doc_type(settings, reading, source_uri, title),
        language=_language(settings, reading, name, source_uri),
        text=reading.text,
        markup=reading.markup,
        tags=find_tags(settings.tags, reading.front_matter, source_uri=source_uri, own=reading.tags),
        sections=reading.sections,
        metadata=metadata,
        findings=(*(decoded.findings if decoded else ()), *reading.findings),
    )


def described(document: ReadDocument, *, source_uri: str, settings: ReadingSettings, titled: bool) -> ReadDocument:
    """Find title, type and language of a document once more, whose text came later than its reader.

    Args:
        document: With its whole text.
        source_uri: Where it lies at its source.
        settings: What the catalog knows of the library's documents.
        titled: Whether it had text before, which its title came from.
    """
    title, name = document.title, last_part(source_uri)
    if not titled and title == _one_line(readable_name(name)):
        end = document.sections[0].end if document.sections else len(document.text)
        heading = _HEADING.search(document.text[:end])
        title = (_one_line(heading[1]) if heading else "") or title
    reading = Reading(text=document.text, markup=document.markup, language=document.language)
    return replace(
        document,
        title=title,
        doc_type=_doc_type(settings, reading, source_uri, title) if document.doc_type == "other" else document.doc_type,
        language=_language(settings, reading, name, source_uri),
    )


def is_trusted(content: bytes, *, source_uri: str, media_type: str, settings: ReadingSettings) -> bool:
    """Tell whether a document is read by parsers of our own alone, so that it needs no process of its own."""
    item = _item(content, source_uri, media_type, settings, ())
    return not content or all(reader.trusted for reader in readers_for(item.media_type))


def _item(
    content: bytes, source_uri: str, media_type: str, settings: ReadingSettings, passwords: Sequence[str]
) -> Item:
    name = last_part(source_uri)
    stated, _, parameters = media_type.partition(";")
    stated = stated.strip().lower()
    if stated in _GENERIC:
        stated = named if (named := media_type_of(name)) != UNKNOWN else stated or UNKNOWN
    charset = re.search(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", parameters[:200], re.IGNORECASE)
    encoding = settings.encoding or (charset[1] if charset else None)
    return Item(content, name, sniff(content, stated), encoding, settings, tuple(passwords))


def _read(item: Item) -> tuple[Reader, Reading]:
    """Try the readers that claim the format, one after the other."""
    reasons: list[str] = []
    for reader in readers_for(item.media_type):
        try:
            return reader, reader.read(item)
        except ReadError as error:
            reasons.append(str(error))
        except Exception as error:
            reasons.append(f"The reader {reader.name} failed: {type(error).__name__}: {str(error)[:200]}.")
    if not reasons:
        raise ReadError(f"There is no reader for {item.media_type}; exclude the file, or convert it to text.")
    raise ReadError(" ".join(dict.fromkeys(reasons)))


def _doc_type(settings: ReadingSettings, reading: Reading, source_uri: str, title: str) -> DocType:
    if settings.doc_type is not None:
        return settings.doc_type
    return find_doc_type(reading.front_matter, source_uri=source_uri, title=title, head=reading.text[:_HEAD])


def _language(settings: ReadingSettings, reading: Reading, name: str, source_uri: str) -> str:
    """The catalog's word is final; what the document says holds unless the text plainly says otherwise."""
    if settings.language is not None:
        return settings.language
    detected = detect(reading.text)
    said = (
        next(
            (code for key in ("lang", "language", "locale") if (code := language_code(reading.front_matter.get(key)))),
            None,
        )
        or language_code(reading.language)
        or language_code(language_hint(name))
    )
    if said is not None and (not detected.sure or said in detected.others):
        return said
    if not detected.sure:
        for part in source_uri.lower().split("/")[:-1]:
            folder = language_code(part) if _LANGUAGE_FOLDER.fullmatch(part) else None
            if folder is not None and (folder in detected.others or detected.language == UNDETERMINED):
                return folder
    return detected.language


def _known(front_matter: Mapping[str, Any]) -> dict[str, Any]:
    """Take what other stages ask for by one name from the names that people give it."""
    known = {}
    for name, keys in {"authors": ("authors", "author"), "date": ("date", "ms.date", "published", "updated")}.items():
        value = next((front_matter[key] for key in keys if front_matter.get(key)), None)
        if value is not None:
            known[name] = value
    return known


def _text_of(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _one_line(text: str) -> str:
    return " ".join(_UNPRINTABLE.sub(" ", text[: 4 * _MAX_TITLE]).split())[:_MAX_TITLE]
