"""Tables of web pages: cells that span rows are repeated in each of them, and long tables are cut.

What belongs here: what makes each row, and each part of a table, understandable by itself, before and after the conversion to
Markdown. What does not: the conversion (`html`).

A Markdown table has no spanning cells: the converter leaves the places empty, so that "January" would have lost its year. The
source is changed by its tags alone, in one pass; tables whose tags are too wild stay as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

_TAG = re.compile(
    r"<(?P<close>/?)(?P<name>table|tr|td|th)\b(?P<rest>[^<>]*)>|<!--|-->|</?(?:script|style)\b", re.IGNORECASE
)
_ROWSPAN = re.compile(r"\browspan\s{0,9}=\s{0,9}[\"']?\s{0,9}(\d{1,6})[\"']?", re.IGNORECASE)
_COLSPAN = re.compile(r"\bcolspan\s{0,9}=\s{0,9}[\"']?\s{0,9}(\d{1,6})", re.IGNORECASE)
_INLINE = re.compile(r"</?(?:b|strong|i|em|span|a|p|br|sup|sub)\b[^<>]*>", re.IGNORECASE)
_LONGEST = 300
"""Characters of a cell that is repeated; longer ones are texts, not keys."""
_MOST_COLUMNS = 200
_GROWTH = 200_000
"""Characters that all repetitions may add."""
_DEEPEST = 20
_BLOCK = 3_000
"""Characters of a part of a table."""
_WIDE = 1_000
"""Characters of a header from which on it is not repeated: it would be most of the text."""
_RULE = re.compile(r"\|(?:\s?:?-+:?\s?\|)+\s*")


@dataclass
class _Table:
    """A table that is open."""

    column: int = 0
    waiting: dict[int, tuple[int, str, str]] = field(default_factory=dict)
    """Column -> rows still to fill, element, content."""
    cell: tuple[int, int, int, str, int] | None = None
    """The open cell that spans rows: start of its tag, end of its tag, column, element, rows."""


def fill_rows(source: str) -> str:
    """Repeat the cells of a page's tables that span rows in each of their rows."""
    if "rowspan" not in source.lower():
        return source
    edits: list[tuple[int, int, str]] = []
    tables: list[_Table] = []
    silent = False
    left = _GROWTH
    for tag in _TAG.finditer(source):
        name = (tag["name"] or "").lower()
        if not name:
            silent = tag[0] != "-->" and tag[0][1] != "/"
            continue
        if silent:
            continue
        if name == "table":
            if not tag["close"]:
                tables.append(_Table())
            elif tables:
                tables.pop()
            if len(tables) > _DEEPEST:
                return source
            continue
        if not tables:
            continue
        table = tables[-1]
        _end_cell(table, source, tag.start(), edits, left)
        if name == "tr":
            if tag["close"]:
                left -= _fill(table, tag.start(), edits, left)
            table.column = 0
        elif not tag["close"]:
            left -= _fill(table, tag.start(), edits, left)
            rows = int(found[1]) if (found := _ROWSPAN.search(tag["rest"])) else 1
            columns = int(found[1]) if (found := _COLSPAN.search(tag["rest"])) else 1
            if rows > 1 and columns == 1 and table.column < _MOST_COLUMNS:
                table.cell = (tag.start(), tag.end(), table.column, name, rows)
            table.column += min(columns, _MOST_COLUMNS)
    return _edited(source, edits)


def _end_cell(table: _Table, source: str, end: int, edits: list[tuple[int, int, str]], left: int) -> None:
    """Remember a cell that spans rows, now that its content is known, and take the span off its tag."""
    if table.cell is None:
        return
    start, inner, column, name, rows = table.cell
    table.cell = None
    content = source[inner:end].strip()
    if content and len(content) <= min(_LONGEST, left) and "<" not in _INLINE.sub("", content):
        table.waiting[column] = (rows - 1, name, content)
        edits.append((start, inner, _ROWSPAN.sub("", source[start:inner])))


def _fill(table: _Table, place: int, edits: list[tuple[int, int, str]], left: int) -> int:
    """Repeat the cells that reach into this place; gives how many characters that took."""
    added = 0
    while table.column in table.waiting and added < left:
        rows, name, content = table.waiting.pop(table.column)
        if rows > 1:
            table.waiting[table.column] = (rows - 1, name, content)
        cell = f"<{name}>{content}</{name}>"
        edits.append((place, place, cell))
        added += len(cell)
        table.column += 1
    return added


def _edited(source: str, edits: list[tuple[int, int, str]]) -> str:
    edits.sort(key=lambda edit: edit[0])
    pieces: list[str] = []
    position = 0
    for start, end, new in edits:
        pieces += [source[position:start], new]
        position = end
    pieces.append(source[position:])
    return "".join(pieces)


def cut_tables(text: str) -> str:
    """Cut the long tables of a Markdown text into parts of about 3,000 characters that repeat the header."""
    if "\n| -" not in text and "\n|-" not in text and "\n|:" not in text and "\n| :" not in text:
        return text
    lines = text.split("\n")
    cut: list[str] = []
    header: list[str] = []
    size = 0
    fence = ""
    for line, following in pairwise([*lines, ""]):
        opens = not header and not fence and line.startswith("|") and len(line) <= _WIDE
        if opens and _RULE.fullmatch(following):
            header, size = [line, following], 0
        elif header and not line.startswith("|"):
            header = []
        mark = line.lstrip(" ")[:3]
        if not fence and mark in ("```", "~~~"):
            fence = mark
        elif fence and line.strip().startswith(fence) and not line.strip(" `~"):
            fence = ""
        above = sum(map(len, header)) + 2
        if header and size + len(line) > _BLOCK and size > above:
            cut += ["", *header]
            size = above
        cut.append(line)
        size += len(line) + 1
    return "\n".join(cut)
