"""PDF becomes Markdown with its pages as sections.

What belongs here: the way from a file to a `Reading`: which pages have text, which text is believed, and what is said
where there is none. What does not: the parser (`pdf_file`, `pdf_lines`), the rules of structure (`pdf_text`), OCR (`ocr`).

A text layer can be broken: a font whose map of characters is missing or wrong gives control characters and private
ones, and no library can know better. Such a page counts as a page without text, so that OCR or a model's eyes take it;
where neither is set, what is there is kept, with a finding.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pypdfium2 as pdfium

from dataflow_assets.errors import ReadError
from dataflow_assets.records import Finding
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.pages import join_pages, page_list
from dataflow_assets.stages.readers.pdf_file import attachments, notes_of, open_pdf, properties
from dataflow_assets.stages.readers.pdf_lines import Line, page_lines
from dataflow_assets.stages.readers.pdf_text import Sizes, markdown, words_of

MAX_PAGES = 10_000
_MAX_CHARACTERS = 50_000_000
_HEAD = 1_024
"""Bytes at a file's start in which it says that it is made for the web."""
_LINEARIZED = re.compile(rb"/Linearized\b[^>]{0,300}?/L\s{0,9}(\d{1,12})\b")
_TAIL = 4_096
"""Bytes at a file's end in which its last mark must stand."""
_BROKEN_SHARE = 0.3
"""Share of a page's characters that are no writing, from which its text layer is taken for broken."""
_HEADING = re.compile(r"^# (.{3,200})$", re.MULTILINE)


def read_pdf(item: Item) -> Reading:
    """Read a PDF; raises ReadError where it is damaged, protected, or has no text at all."""
    with open_pdf(item.content, item.passwords) as document:
        return _read(document, item)


def _read(document: pdfium.PdfDocument, item: Item) -> Reading:
    count = len(document)
    if not count:
        raise ReadError("The PDF is damaged: it has no page; replace the file.")
    if count > MAX_PAGES:
        raise ReadError(f"The PDF has {count} pages, more than {MAX_PAGES}; split it into several files.")
    pages, notes, damaged = _pages(document, count)
    sizes = Sizes(pages.values())
    known = words_of(line.text for lines in pages.values() for line in lines)
    texts = {number: markdown(lines, sizes, known) for number, lines in pages.items()}
    broken = [number for number, text in texts.items() if is_broken(text)]
    without = [number for number in range(1, count + 1) if number in broken or not _has_text(texts.get(number, ""))]
    read_by_ocr: dict[int, str] = {}
    failed = ""
    if without and item.settings.ocr == "tesseract":
        try:
            read_by_ocr = _recognised(item, without)
        except ReadError as error:
            if not any(map(_has_text, texts.values())) and item.settings.vision is None:
                raise
            failed = str(error)
        texts |= {number: text for number, text in read_by_ocr.items() if text.strip() or number in broken}
        without = [number for number in without if not _has_text(read_by_ocr.get(number, ""))]
    unread: dict[str, Any] = {}
    if without and item.settings.vision is not None:
        unread["unreadable"] = {
            str(number): len(texts[number].strip("\n").rstrip()) for number in broken if number in without
        }
        unread["no_text"] = _nothing(count, bool(broken), item)
    for number, beside in notes.items():
        texts[number] = "\n\n".join(filter(None, (texts.get(number, ""), *beside)))
    text, sections = join_pages(sorted(texts.items()))
    if not unread and (not text.strip() or (broken and len(without) == count and not notes)):
        raise ReadError(_nothing(count, bool(broken), item))
    findings = _findings([number for number in broken if number in without], damaged, item.content)
    if failed:
        message = f"{page_list(without).capitalize()} could not be read by OCR. {failed}"
        advice = "Do what it says; then change a setting of the library, such as a tag, to have it read again."
        findings = (*findings, Finding("ocr_failed", "warning", message, "text", str(len(without)), advice))
    said = properties(document)
    heading = _HEADING.search(text[: sections[0].end]) if sections else None
    metadata: dict[str, Any] = {key: said[key] for key in ("authors", "date", "description") if key in said}
    metadata |= {"pages": count, "pages_without_text": without, **unread}
    if attached := attachments(document):
        metadata["attachments"] = attached
    if read_by_ocr:
        metadata["pages_by_ocr"] = sorted(number for number, text in read_by_ocr.items() if _has_text(text))
    return Reading(
        text=text,
        markup="markdown",
        title=said.get("title") or (heading[1] if heading else None),
        tags=tuple(said.get("tags", ())),
        sections=sections,
        metadata=metadata,
        findings=findings,
    )


def _pages(document: pdfium.PdfDocument, count: int) -> tuple[dict[int, list[Line]], dict[int, list[str]], list[int]]:
    """Give the lines, and what stands beside them, of each page that has any, and the pages that cannot be loaded."""
    formenv = None
    if document.get_formtype() != 0:
        document.init_forms()
        formenv = document.formenv
    pages: dict[int, list[Line]] = {}
    notes: dict[int, list[str]] = {}
    damaged = []
    characters = 0
    for number in range(1, count + 1):
        try:
            page = document[number - 1]
        except pdfium.PdfiumError:
            damaged.append(number)
            continue
        try:
            lines = page_lines(page)
            said = notes_of(page, formenv)
        except pdfium.PdfiumError:
            damaged.append(number)
            continue
        finally:
            page.close()
        if lines:
            pages[number] = lines
        # A form field that the page shows anyway is in its text already.
        shown = " ".join(" ".join(line.text for line in lines).split())
        if said := [note for note in dict.fromkeys(said) if note.partition(": ")[2] not in shown]:
            notes[number] = said
        characters += len(shown)
        if characters > _MAX_CHARACTERS:
            raise ReadError(f"The PDF has more than {_MAX_CHARACTERS:,} characters; split it into several files.")
    if len(damaged) == count:
        raise ReadError("The PDF is damaged: none of its pages can be read; replace the file, or repair it.")
    return pages, notes, damaged


def is_broken(text: str) -> bool:
    """Tell whether a page's text is no writing: its font lacks the map from glyphs to characters, or has a wrong one."""
    written = [character for character in text if not character.isspace()]
    if len(written) < 10:
        return False
    wrong = sum(
        1 for character in written if unicodedata.category(character) in ("Co", "Cn", "Cc") or character == "\ufffd"
    )
    if wrong > _BROKEN_SHARE * len(written):
        return True
    cid = text.count("(cid:")
    return cid * 6 > _BROKEN_SHARE * len(written)


def _has_text(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _recognised(item: Item, numbers: list[int]) -> dict[int, str]:
    from dataflow_assets.stages.readers.ocr import recognise
    from dataflow_assets.stages.readers.page_images import FOR_OCR, page_images

    images = page_images(item.content, "application/pdf", numbers, item.passwords, limits=FOR_OCR)
    return dict(recognise(images, item.settings.ocr_languages))


def _nothing(count: int, broken: bool, item: Item) -> str:
    """Say why there is no text. Where a model is to read the pages, who shows them to it adds what became of that."""
    if _cut_off(item.content):
        return "The PDF is damaged: it is cut off, and what is left of its pages has no text; replace the file."
    if item.settings.vision is not None:
        which = "its fonts do not say which characters they show" if broken else _images(count)
        return f"The PDF has no readable text: {which}." if broken else f"The PDF has no text: {which}, or blank."
    if item.settings.ocr == "tesseract":
        pages = "page" if count == 1 else f"{count} pages"
        return f"The PDF has no text, and OCR found none in the image of its {pages} either."
    if broken:
        return (
            "The PDF has no readable text: its fonts do not say which characters they show; set reading.ocr to tesseract "
            "to have its pages read as images."
        )
    return f"The PDF has no text: {_images(count)}, or blank; set reading.ocr to tesseract to have them read."


def _cut_off(content: bytes) -> bool:
    """Say whether a file's end is missing. One made for the web has an end of its first page too, and says its own length."""
    length = _LINEARIZED.search(content[:_HEAD])
    if length is not None and int(length[1]) > len(content) + _TAIL:
        return True
    tail = content[-_TAIL:]
    return b"startxref" not in tail and b"%%EOF" not in tail


def _images(count: int) -> str:
    return "its page is an image such as a scan" if count == 1 else f"its {count} pages are images such as scans"


def _findings(broken: list[int], damaged: list[int], content: bytes) -> tuple[Finding, ...]:
    """Pages that are blank or images are no finding: `pages_without_text` names them."""
    found = []
    if _cut_off(content):
        message = "The PDF is cut off: its end is missing. What could be recovered was read."
        found.append(Finding("truncated", "warning", message, "text", "", "Replace the file."))
    if broken:
        message = f"The text of {page_list(broken)} is not readable: a font does not say which characters it shows."
        advice = "Set reading.ocr to tesseract."
        found.append(Finding("broken_text_layer", "warning", message, "text", str(len(broken)), advice))
    if damaged:
        message = f"Damaged and left out: {page_list(damaged)}."
        found.append(Finding("damaged_pages", "warning", message, "text", str(len(damaged)), "Replace the file."))
    return tuple(found)
