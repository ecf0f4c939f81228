"""A PDF file, opened with whatever password fits, and what it says of itself.

What belongs here: opening, passwords, properties, form fields and comments of pages. What does not: turning the lines of
a page into text (`pdf_lines`, `pdf_text`), and drawing pages (`page_images`).

The parser is PDFium, by pypdfium2: Chromium's, so it opens and repairs what people can look at. It is the engine of
several other libraries too; those that offer Markdown guess headings in the middle of sentences and cells in running
text, and put spaces into Korean words, which is why the structure is found here, from what PDFium says of each line.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from dataflow_assets.errors import ReadError

_NAMELESS = re.compile(
    r"untitled\W*|unspecified|unknown|no title|title|document\d*|powerpoint[- ]pr.sentation|slide \d+|"
    r"microsoft (?:word|powerpoint|excel) - .*|.*\.(?:docx?|pptx?|xlsx?|odt|odp|ods|rtf|tex|dvi|indd|qxd|pdf|txt|html?|cdr|ai|pmd|fm|png|jpe?g|gif|tiff?|bmp|svg|heic|webp)",
    re.IGNORECASE,
)  # fmt: skip
"""Titles that programs give, not people."""
_CATALOG = re.compile(rb"(\d{1,7}) {1,9}(\d{1,5}) {1,9}obj\s{0,9}<<[^<>]{0,300}/Type\s{0,9}/Catalog\b")
_NOBODY = frozenset(("anonymous", "unknown", "user", "admin", "administrator", "author", "default", "none", ""))
_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?")
_COMMENTS = frozenset(
    (
        raw.FPDF_ANNOT_TEXT, raw.FPDF_ANNOT_FREETEXT, raw.FPDF_ANNOT_HIGHLIGHT, raw.FPDF_ANNOT_STRIKEOUT,
        raw.FPDF_ANNOT_UNDERLINE, raw.FPDF_ANNOT_CARET,
    )
)  # fmt: skip
_MAX_NOTES = 500
"""Fields and comments of one page that are read."""
_MAX_ATTACHED = 100
_MAX_NOTE = 10_000


@contextmanager
def open_pdf(content: bytes, passwords: Sequence[str] = ()) -> Iterator[pdfium.PdfDocument]:
    """Open a file; the empty password and then each of `passwords` is tried.

    Raises:
        ReadError: It is damaged, or protected by a password that is not among these.
    """
    document = _opened(content, passwords)
    try:
        yield document
    finally:
        document.close()


def _opened(content: bytes, passwords: Sequence[str], *, repaired: bool = False) -> pdfium.PdfDocument:
    """PDFium finds the objects of a file that was cut off, but not the first of them without the end that names it."""
    for password in (None, *passwords):
        try:
            return pdfium.PdfDocument(content, password=password)
        except pdfium.PdfiumError as error:
            code = getattr(error, "err_code", None)
            if code == raw.FPDF_ERR_SECURITY:
                raise ReadError(
                    "The PDF is protected by a kind of encryption that cannot be read; save it without protection."
                ) from None
            if code != raw.FPDF_ERR_PASSWORD:
                if not repaired and (root := _CATALOG.search(content)):
                    trailer = b"\ntrailer << /Root %b %b R >>\n" % (root[1], root[2])
                    return _opened(content + trailer, passwords, repaired=True)
                raise ReadError(
                    "The PDF is damaged (truncated, or no PDF at all); replace the file, or repair it."
                ) from None
        except (ValueError, UnicodeError):  # a password that cannot be handed over fits nothing
            continue
    tried = f"none of the {len(passwords)} given opens it" if passwords else "none is given"
    raise ReadError(
        f"The PDF is protected by a password, and {tried}; name the environment variable that holds it in "
        "reading.passwords."
    )


def properties(document: pdfium.PdfDocument) -> dict[str, Any]:
    """Give what the file says of itself: `title`, `authors`, `date`, `description`, `tags`; what it does not say is left out."""
    said = {}
    for key in ("Title", "Author", "Subject", "Keywords", "CreationDate", "ModDate"):
        try:
            said[key] = " ".join(document.get_metadata_value(key).replace("\0", "").split())[:2_000]
        except (pdfium.PdfiumError, UnicodeError, AssertionError):
            said[key] = ""
    found: dict[str, Any] = {}
    if said["Title"] and not _NAMELESS.fullmatch(said["Title"]):
        found["title"] = said["Title"][:300]
    authors = [name.strip() for name in re.split(r";|, (?=\S+ \S)| and ", said["Author"]) if name.strip()]
    if authors := [name for name in authors if name.lower() not in _NOBODY]:
        found["authors"] = authors[:50]
    if (date := iso_date(said["CreationDate"]) or iso_date(said["ModDate"])) is not None:
        found["date"] = date
    if said["Subject"] and said["Subject"].lower() not in ("unspecified", "none"):
        found["description"] = said["Subject"]
    if tags := [tag.strip() for tag in re.split("[,;]", said["Keywords"]) if tag.strip()]:
        found["tags"] = tags[:30]
    return found


def iso_date(said: str) -> str | None:
    """Turn a PDF's date, such as `D:20240822125427Z`, into `2024-08-22`; None where there is none."""
    found = _DATE.match(said)
    if not found:
        return None
    year, month, day = (int(part or 1) for part in found.groups())
    try:
        return dt.date(year, month, day).isoformat()
    except ValueError:
        return None


def attachments(document: pdfium.PdfDocument) -> list[str]:
    """Give the names of the files that a PDF carries."""
    names = []
    for index in range(min(document.count_attachments(), _MAX_ATTACHED)):
        try:
            names.append(" ".join(str(document.get_attachment(index).get_name()).split())[:300])
        except (pdfium.PdfiumError, UnicodeError, AssertionError):
            continue
    return [name for name in names if name]


def notes_of(page: pdfium.PdfPage, formenv: pdfium.PdfFormEnv | None) -> list[str]:
    """Give what stands on a page beside its text: the values of form fields, and people's comments, a line each."""
    notes: list[str] = []
    count = raw.FPDFPage_GetAnnotCount(page)
    for index in range(min(count, _MAX_NOTES)):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            kind = raw.FPDFAnnot_GetSubtype(annotation)
            if kind == raw.FPDF_ANNOT_WIDGET and formenv is not None:
                notes.extend(_field(annotation, formenv))
            elif kind in _COMMENTS and (text := _string(raw.FPDFAnnot_GetStringValue, annotation, b"Contents")):
                author = _string(raw.FPDFAnnot_GetStringValue, annotation, b"T")
                notes.append(f"Comment by {author}: {text}" if author else f"Comment: {text}")
        finally:
            raw.FPDFPage_CloseAnnot(annotation)
    return notes


def _field(annotation: Any, formenv: pdfium.PdfFormEnv) -> Iterator[str]:
    kind = raw.FPDFAnnot_GetFormFieldType(formenv, annotation)
    if kind not in (raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX):
        return
    if value := _string(raw.FPDFAnnot_GetFormFieldValue, formenv, annotation):
        name = _string(raw.FPDFAnnot_GetFormFieldAlternateName, formenv, annotation) or _string(
            raw.FPDFAnnot_GetFormFieldName, formenv, annotation
        )
        yield f"{name}: {value}" if name else value


def _string(function: Any, *arguments: Any) -> str:
    """Call a function that fills a buffer with UTF-16, and give its text on one line."""
    size = function(*arguments, None, 0)
    if size <= 2:
        return ""
    size = min(size, 2 * _MAX_NOTE)
    buffer = ctypes.create_string_buffer(size)
    if function(*arguments, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), size) > size:
        return ""
    return " ".join(buffer.raw.decode("utf-16-le", "ignore").replace("\0", "").split())
