"""The lines of a PDF's page, as PDFium gives them, with what is needed to see structure: place, size, weight.

What belongs here: the calls. What does not: what lines make a heading or a paragraph (`pdf_text`), so that the rules are
tested without a file.

The text of a page comes in one call; place and size are asked for two characters of each line, which keeps a page of
60 lines below a millisecond.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from statistics import median

import pypdfium2 as pdfium
import pypdfium2.raw as raw

_ALEF_LAM = re.compile("[\u0622\u0623\u0625\u0627]\u0644")
_VERTICAL = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Scripts that are written from top to bottom too."""
_SHORT = 3
BROKEN = "\ufffe"
"""What PDFium writes for a hyphen at the end of a line, instead of the hyphen and the line's end."""
_SPACE = re.compile(r"\s+")
_GAP = 1.1
"""Width of a gap, in sizes, from which on it parts cells; a space takes a quarter, in justified lines up to one half."""
_WORDS = 60
_FORCE_BOLD = 1 << 18
_BOLD_WEIGHT = 600


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of a line that wide gaps set apart."""

    text: str
    left: float
    right: float


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a page; lengths are in points, and 0 where PDFium does not say."""

    text: str
    size: float = 0.0
    """Height of its font."""
    foot: float = 0.0
    """Of its first character, above the foot of the page."""
    last_foot: float = 0.0
    """Of its last one, which lies lower where a broken word was put together."""
    bold: bool = False
    column: float | None = None
    """Where a line that runs from top to bottom stands; None for others."""
    cells: tuple[Cell, ...] = ()
    """Its parts, from left to right; none where they cannot be told."""


def page_lines(page: pdfium.PdfPage) -> list[Line]:
    """Give the lines of a page in the order of its text; U+FFFE stands where a word is broken at the end of a line."""
    textpage = page.get_textpage()
    try:
        text = _mended(textpage, _text(textpage))
        if not text.strip():
            return []
        offset = max(0, raw.FPDFText_GetTextIndexFromCharIndex(textpage, 0))
        lines = []
        for written in text.split("\n"):
            content = written.rstrip("\r")
            lines.append(_line(textpage, content, offset))
            offset += _units(written) + 1
        return _in_order(lines)
    finally:
        textpage.close()


def _in_order(lines: list[Line]) -> list[Line]:
    """Put the columns of a page of vertical writing in their order, from right to left."""
    long = [line for line in lines if len(line.text.strip()) > _SHORT]
    columns = [line for line in long if line.column is not None and _VERTICAL.search(line.text)]
    if len(columns) < 3 or len(columns) < 0.8 * len(long):
        return lines
    ordered: list[Line] = []
    tier: list[Line] = []
    for line in sorted((line for line in lines if line.column is not None), key=lambda line: -line.foot):
        # A page may have several rows of columns, one below the other.
        if tier and line.foot < median(above.last_foot for above in tier):
            ordered += _from_right(tier)
            tier = []
        tier.append(line)
    ordered += _from_right(tier)
    return ordered + [Line(line.text) for line in lines if line.column is None and line.text.strip()]


def _from_right(tier: list[Line]) -> list[Line]:
    """Without places, which say nothing about paragraphs in vertical writing."""
    return [Line(line.text) for line in sorted(tier, key=lambda line: -(line.column or 0.0))]


def _text(textpage: pdfium.PdfTextPage) -> str:
    try:
        return str(textpage.get_text_range())
    except AssertionError:  # characters outside the basic plane may not fit
        return str(textpage.get_text_bounded())


def _mended(textpage: pdfium.PdfTextPage, text: str) -> str:
    """Put the two letters of the Arabic ligature lam-alef in their order, which PDFium turns around with the line.

    Both letters have the box of the one glyph, which tells the ligature from the same two letters side by side.
    """
    if not _ALEF_LAM.search(text) or _units(text) != len(text):
        return text
    offset = max(0, raw.FPDFText_GetTextIndexFromCharIndex(textpage, 0))

    def mend(found: re.Match[str]) -> str:
        first, second = (_box(textpage, found.start() + offset + place) for place in (0, 1))
        return found[0][::-1] if first is not None and first == second else found[0]

    return _ALEF_LAM.sub(mend, text)


def _line(textpage: pdfium.PdfTextPage, content: str, offset: int) -> Line:
    stripped = content.strip()
    if not stripped:
        return Line(content)
    first = offset + _units(content[: len(content) - len(content.lstrip())])
    last = first + _units(stripped) - 1
    # A space between words may have no size.
    middle = first + len(stripped) // 2
    while middle < last and stripped[middle - first].isspace():
        middle += 1
    boxes = [_box(textpage, index) for index in (first, middle, last)]
    if any(box is None for box in boxes):
        return Line(content)
    known = [box for box in boxes if box is not None]
    column = _column(known)
    sizes = [top - bottom for bottom, top, *_ in known]
    return Line(
        content,
        size=sizes[1] if max(sizes) - min(sizes) <= 0.2 * max(sizes) else 0.0,
        foot=known[0][0],
        last_foot=known[2][0],
        bold=_bold(textpage, first) and _bold(textpage, last),
        column=column,
        cells=() if column is not None and len(stripped) > 1 else _cells(textpage, stripped, first, sizes[1]),
    )


def _cells(textpage: pdfium.PdfTextPage, text: str, first: int, size: float) -> tuple[Cell, ...]:
    """Cut a line where the gap between two words is far wider than a space."""
    if _units(text) != len(text) or BROKEN in text or "..." in text or ". . ." in text or text.count(" ") > _WORDS:
        return ()
    cuts = [0]
    edges: list[float] = []
    for space in _SPACE.finditer(text):
        before, after = _box(textpage, first + space.start() - 1), _box(textpage, first + space.end())
        if before is None or after is None or after[2] < before[3] - size:
            return ()  # not from left to right
        if after[2] - before[3] > _GAP * size:
            cuts.append(space.end())
            edges += [before[3], after[2]]
    start, end = _box(textpage, first), _box(textpage, first + len(text) - 1)
    if start is None or end is None:
        return ()
    edges = [start[2], *edges, end[3]]
    return tuple(
        Cell(text[cut:stop].strip(), edges[2 * place], edges[2 * place + 1])
        for place, (cut, stop) in enumerate(zip(cuts, [*cuts[1:], len(text)], strict=True))
    )


def _column(boxes: list[tuple[float, float, float, float]]) -> float | None:
    (_, top, left, right), _, (_, last_top, last_left, last_right) = boxes
    straight = abs(left + right - last_left - last_right) < 0.5 * (right - left)
    return left if straight and top >= last_top else None


def _box(textpage: pdfium.PdfTextPage, index: int) -> tuple[float, float, float, float] | None:
    """Bottom, top, left and right of the character at an index of the text."""
    place = raw.FPDFText_GetCharIndexFromTextIndex(textpage, index)
    box = raw.FS_RECTF()
    if place < 0 or not raw.FPDFText_GetLooseCharBox(textpage, place, box):
        return None
    return box.bottom, box.top, box.left, box.right


def _bold(textpage: pdfium.PdfTextPage, index: int) -> bool:
    place = raw.FPDFText_GetCharIndexFromTextIndex(textpage, index)
    flags = ctypes.c_int()
    name = ctypes.create_string_buffer(128)
    size = raw.FPDFText_GetFontInfo(textpage, place, name, 128, flags)
    if flags.value & _FORCE_BOLD or (0 < size <= 128 and b"bold" in name.value.lower()):
        return True
    return bool(raw.FPDFText_GetFontWeight(textpage, place) >= _BOLD_WEIGHT)


def _units(text: str) -> int:
    """Length in the 16-bit units that PDFium counts."""
    return len(text) if text.isascii() else len(text) + sum(character > "\uffff" for character in text)
