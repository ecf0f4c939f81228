"""Lines of pages become Markdown: headings by size and weight, paragraphs by distance, lists by their bullets, tables.

What belongs here: the rules, on lines that could come from anywhere. What does not: PDFium (`pdf_lines`).

The rules only add marks: line breaks stay where the page has them, and no word is moved or dropped. A word that is
broken at the end of a line is put together, since nobody finds `infor-` and `mation`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from dataflow_assets.stages.readers.markdown_table import write_table
from dataflow_assets.stages.readers.pdf_lines import BROKEN, Line
from dataflow_assets.stages.readers.pdf_tables import find_tables

_LARGER = 1.15
"""A heading's size against the body's."""
_MAX_HEADING = 200
_MAX_BOLD_HEADING = 100
_MAX_HEADINGS = 0.25
"""Share of the lines that may be headings by size; a poster is no list of headings."""
_FEW = 3
"""Headings that any page may have."""
_LEVELS = 4
_APART = 1.6
"""Distance of two lines, in sizes, from which a paragraph ends between them."""
_BULLET = re.compile("^[•‣⁃◦▪▫●○■□♦\u27a2\u2756\uf0b7\uf0a7\uf0d8·]\\s*(?=\\S)")
_NUMBERED = re.compile(r"^(?:\(?\d{1,3}[.)]|\(?[a-z][.)]|[-*+])\s+\S")
_MARKS = re.compile(r"^(#{1,6}\s|```|~~~|>|={2,}\s*$|-{2,}\s*$)")
"""What Markdown would take for a mark at the beginning of a line."""
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\uffff\ud800-\udfff]")
_LEADER = re.compile(r"\s?(?:\.\s?){6,}")
"""The dots between a title and its page in a table of contents."""
_HYPHENED = re.compile(f"(\\w*){BROKEN}[\r\n ]*(\\w*)")
_WORD = re.compile(r"\w+(?:-\w+)*")
_SENTENCE_END = tuple(".,;:!?")


class Sizes:
    """What sizes mean in one document: the body's, and the levels of those that are larger."""

    def __init__(self, pages: Iterable[Sequence[Line]]) -> None:
        characters: Counter[float] = Counter()
        lines: Counter[float] = Counter()
        bold = total = 0
        for page in pages:
            for line in page:
                if line.size > 0:
                    length = len(line.text.strip())
                    characters[_rounded(line.size)] += length
                    lines[_rounded(line.size)] += 1
                    total += length
                    bold += length * line.bold
        self.body = max(characters, key=lambda size: (characters[size], -size)) if characters else 0.0
        larger = sorted((size for size in characters if size > _LARGER * self.body), reverse=True)
        if sum(lines[size] for size in larger) > max(_FEW, _MAX_HEADINGS * sum(lines.values())):
            larger = []
        # Sizes within a tenth of each other are one level.
        self.levels: dict[float, int] = {}
        level, before = 0, 0.0
        for size in larger:
            if not before or size < 0.92 * before:
                level, before = min(level + 1, _LEVELS), size
            self.levels[size] = level
        self.lowest = min(level + 1, _LEVELS + 1)
        self.bold_means = bold <= 0.3 * total

    def heading(self, line: Line) -> int:
        """Give the level of the heading that a line is by its size; 0 where it is none."""
        text = line.text.strip()
        if len(text) > _MAX_HEADING or not any(character.isalpha() for character in text):
            return 0
        return self.levels.get(_rounded(line.size), 0)


def markdown(lines: Sequence[Line], sizes: Sizes, known: frozenset[str] = frozenset()) -> str:
    """Write one page.

    Args:
        lines: Its lines, in reading order.
        sizes: What sizes mean in the document.
        known: The document's words, as `words_of` gives them.
    """
    blocks: list[str] = []
    paragraph: list[str] = []
    heading: list[str] = []
    level, before = 0, None

    def close() -> None:
        if paragraph:
            blocks.append("\n".join(paragraph))
            paragraph.clear()
        if heading:
            blocks.append("#" * level + " " + " ".join(heading))
            heading.clear()

    tables = find_tables(lines)
    passed = 0
    for index, line in enumerate(lines):
        if index < passed:
            continue
        if (table := tables.get(index)) is not None:
            close()
            header, *rows = [[_clean(cell, known) for cell in row] for row in table.rows]
            blocks.append(write_table(header, rows))
            passed, before = table.end, None
            continue
        text = _clean(line.text, known)
        if not text:
            close()
            before = None
            continue
        rank = sizes.heading(line)
        if not rank and _bold_heading(lines, index, before, sizes):
            rank = sizes.lowest
        if rank:
            continued = heading and rank == level and before is not None and _near(before, line)
            if not continued or sum(map(len, heading)) + len(text) > _MAX_HEADING:
                close()
            level = rank
            heading.append(text)
        else:
            if heading or (paragraph and before is not None and not _together(before, line, text, paragraph[0])):
                close()
            bullet = _BULLET.sub("- ", text, count=1)
            paragraph.append(bullet if bullet != text else _MARKS.sub(r"\\\1", text, count=1))
        before = line
    close()
    return "\n\n".join(blocks)


def words_of(texts: Iterable[str]) -> frozenset[str]:
    """Collect the words that stand within lines, in lower case; those with a hyphen whole and in their parts."""
    found: set[str] = set()
    for text in texts:
        for word in _WORD.findall(_HYPHENED.sub(" ", text) if BROKEN in text else text):
            lowered = word.lower()
            found.add(lowered)
            if "-" in lowered:
                found.update(lowered.split("-"))
    return frozenset(found)


def _clean(text: str, known: frozenset[str]) -> str:
    if BROKEN in text:
        text = _HYPHENED.sub(lambda found: _joined(found[1], found[2], known), text)
    text = _LEADER.sub(" ... ", text) if "...." in text or ". . ." in text else text
    return _ODD.sub("", text.replace("\xa0", " ").replace("\t", " ").replace("\xad", "")).strip()


def _joined(first: str, second: str, known: frozenset[str]) -> str:
    """Whether the hyphen belongs to the word is told by how the document writes it, and its parts, elsewhere."""
    one, two = first.lower(), second.lower()
    if not first or not first[-1].isalpha() or not second[:1].islower() or f"{one}-{two}" in known:
        return f"{first}-{second}"
    if one + two not in known and len(one) > 2 and len(two) > 2 and one in known and two in known:
        return f"{first}-{second}"
    return first + second


def _bold_heading(lines: Sequence[Line], index: int, before: Line | None, sizes: Sizes) -> bool:
    """A short bold line that stands apart from what is above, and has text below that is not bold."""
    line = lines[index]
    text = line.text.strip()
    if not (line.bold and sizes.bold_means and 0.95 * sizes.body <= line.size and 3 <= len(text) <= _MAX_BOLD_HEADING):
        return False
    if text.endswith(_SENTENCE_END) or sum(character.isalpha() for character in text) < 0.5 * len(text):
        return False
    below = lines[index + 1] if index + 1 < len(lines) else None
    if below is None or below.bold or not below.text.strip() or below.size > 1.05 * line.size:
        return False
    return before is None or _distance(before, line) > 1.25 * line.size


def _together(before: Line, line: Line, text: str, first: str) -> bool:
    """Whether two lines belong to one paragraph or list."""
    if not before.size or not line.size:
        return True
    if abs(before.size - line.size) > 0.12 * max(before.size, line.size):
        return False
    # Items of a list may stand further apart than the lines of a paragraph.
    listed = bool((_BULLET.match(text) or _NUMBERED.match(text)) and _NUMBERED.match(first))
    return _near(before, line) or (listed and 0 < _distance(before, line) < 2 * _APART * line.size)


def _near(before: Line, line: Line) -> bool:
    distance = _distance(before, line)
    return -0.5 * line.size < distance <= _APART * max(before.size, line.size, 0.1)


def _distance(before: Line, line: Line) -> float:
    """How far a line's foot lies below the foot of the one before; negative where it lies above, as in the next column."""
    return before.last_foot - line.foot


def _rounded(size: float) -> float:
    return round(size * 2) / 2
