"""Office documents become Markdown: Word, PowerPoint, OpenDocument, RTF and EPUB.

What belongs here: which part of the house reads which format, what is checked before any parser sees the bytes, and what is
added where a parser leaves something out. What does not: the formats themselves (`docx_parts`, `pptx`, `ppt`, `odf`, `epub`), kreuzberg
(`kreuzberg_text`), workbooks (`sheets`).

Word documents, RTF and the old format of Word are read by kreuzberg, which is quick and keeps lists, tables and formulas.
It leaves out headers, footers and comments of Word documents: they are added. Where it fails on one, or loses more than a
few of its words, the plain conversion of `docx_parts` stands in.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.docx_parts import beside_blocks, body_blocks, main_part
from dataflow_assets.stages.readers.epub import read_epub
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.kreuzberg_text import extract
from dataflow_assets.stages.readers.odf import read_odf
from dataflow_assets.stages.readers.package import Package
from dataflow_assets.stages.readers.pages import join_pages
from dataflow_assets.stages.readers.ppt import slides_of
from dataflow_assets.stages.readers.pptx import read_pptx
from dataflow_assets.stages.readers.protected import without_protection

_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_PPT = "application/vnd.ms-powerpoint"
_EPUB = "application/epub+zip"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_RTF = b"{\\rtf"
_KEPT = 0.97
"""Share of a Word document's letters and digits that its conversion must keep."""
_MAX_SAID = 2_000
_HEADING = re.compile(r"^# (.{1,300})$", re.MULTILINE)
_SPLIT = re.compile(r"\w+")
_MASTER = re.compile(
    r"^[#\- ]*Click to edit (?:the )?(?:Master (?:title|text|subtitle) styles?|title text format|outline text format)\s*"
    r"(?:(?:Second|Third|Fourth|Fifth|Sixth|Seventh|Eighth|Ninth) (?:level|outline level)\s*)*", re.IGNORECASE | re.MULTILINE
)  # fmt: skip
"""What every old presentation says on the master of its slides, and on none of them."""


def read_office(item: Item) -> Reading:
    """Read an office document; raises ReadError where it is damaged, protected, or has no text."""
    media_type = item.media_type
    what = "presentation" if "presentation" in media_type or "powerpoint" in media_type else "document"
    content = without_protection(item.content, item.passwords, what)
    if content is not item.content:
        item = replace(item, content=content)
    if content.startswith(_RTF):
        if not content.rstrip(b"\0\r\n\t \x1a").endswith(b"}"):
            raise ReadError("The document is damaged: it is truncated before its end; replace the file.")
        return _by_kreuzberg(item, "application/rtf", "document")
    if content.startswith(_OLE):
        if "PowerPoint Document".encode("utf-16-le") in content:
            return _read_ppt(item)
        return _by_kreuzberg(item, "application/msword", "document")
    if "opendocument" in media_type:
        return read_odf(item)
    if media_type == _EPUB:
        return read_epub(item)
    if what == "presentation":
        return read_pptx(item)
    return _read_docx(item)


def _read_docx(item: Item) -> Reading:
    package = Package(item.content, "document")
    main = main_part(package)
    plain = "\n\n".join(body_blocks(package, main))
    try:
        text, _ = extract(item.content, _WORD, "document")
    except ReadError:
        text = ""
    if _share_kept(plain, text) < _KEPT:
        text = plain + "\n"
    beside = []
    said = Counter(_words(text))
    for kind, block in beside_blocks(package, main):
        words = Counter(_words(block))
        # Notes that the conversion has already are not said twice.
        if block not in beside and (kind in ("header", "comments") or words - said):
            beside.append(block)
    if beside:
        text = text.rstrip("\n") + "\n\n" + "\n\n".join(beside) + "\n"
    if not text.strip():
        if package.xml(main) is None:
            raise ReadError("The document is damaged (truncated or corrupt): its text is missing; replace the file.")
        raise ReadError("The document has no text: it holds images only, or is blank.")
    return _reading(text, package.properties())


def _read_ppt(item: Item) -> Reading:
    try:
        slides = slides_of(item.content)
    except ValueError:
        slides = []
    text, sections = join_pages((number, slide.text) for number, slide in enumerate(slides, 1))
    fallback = _by_kreuzberg(item, _PPT, "presentation")
    if not text.strip():
        return fallback
    with_text = {section.page for section in sections}
    return replace(
        fallback,
        text=text,
        title=fallback.title or next((slide.title for slide in slides if slide.title), None),
        sections=sections,
        metadata={
            **fallback.metadata,
            "pages": len(slides),
            "pages_without_text": [number for number in range(1, len(slides) + 1) if number not in with_text],
        },
    )


def _by_kreuzberg(item: Item, media_type: str, what: str) -> Reading:
    text, said = extract(item.content, media_type, what)
    if media_type == _PPT:
        text = _MASTER.sub("", text)
    if not text.strip():
        raise ReadError(f"The {what} has no text: it holds images only, or is blank.")
    known: dict[str, Any] = {}
    if isinstance(title := said.get("title"), str) and title.strip():
        known["title"] = title
    if isinstance(authors := said.get("authors"), list):
        known["authors"] = [str(author)[:300] for author in authors[:50] if str(author).strip()]
    date = said.get("modified_at") or said.get("created_at")
    if isinstance(date, str) and re.match(r"\d{4}-\d\d-\d\d", date):
        known["date"] = date[:10]
    if isinstance(subject := said.get("subject"), str) and subject.strip():
        known["description"] = subject[:_MAX_SAID]
    return _reading(text, known)


def _reading(text: str, said: dict[str, Any]) -> Reading:
    heading = _HEADING.search(text[:20_000])
    known = {key: value for key, value in said.items() if value and key in ("authors", "date", "description")}
    return Reading(
        text=text,
        markup="markdown",
        title=said.get("title") or (heading[1].strip("*_ ") if heading else None),
        language=said.get("language"),
        tags=tuple(said.get("tags", ())),
        metadata=known,
    )


def _share_kept(plain: str, text: str) -> float:
    """By letters: where words of a formula or of a box begin and end is a matter of opinion."""
    wanted = Counter(character for character in plain if character.isalnum())
    total = wanted.total()
    return (wanted & Counter(text)).total() / total if total else 1.0


def _words(text: str) -> list[str]:
    return _SPLIT.findall(text.replace("_", " "))
