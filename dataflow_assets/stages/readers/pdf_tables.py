"""Tables in the lines of a PDF's page: cells that stand below each other with wide gaps between them.

What belongs here: finding them, on lines that could come from anywhere. What does not: PDFium (`pdf_lines`), and how a table is
written (`markdown_table`).

A PDF knows no tables, only where letters stand. What is taken for one is certain rather than complete: at least three lines
that follow each other, of short cells in which each stands below another and none reaches into two columns. The words and their
order stay those of the lines, so a mistake costs some bars and no word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dataflow_assets.stages.readers.pdf_lines import Cell, Line

_ROWS = 3
_LEVEL = 0.2
"""Difference of the feet of two lines that stand side by side, in sizes."""
_LONG = 40
"""Characters of a cell on the average, from which on it is prose in columns."""
_APART = 3.0
"""Distance of two rows, in sizes."""
_CLOSE = 1.35
"""Distance of two lines of one cell, in sizes."""
_ALIKE = 0.15


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a page's lines `start` to `end` (exclusive)."""

    start: int
    end: int
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class _Row:
    """The lines `start` to `end` of a page, side by side; `line` is the last of them."""

    start: int
    end: int
    line: Line
    cells: tuple[Cell, ...]


def find_tables(lines: Sequence[Line]) -> dict[int, Table]:
    """Find the tables of a page, by the line that each begins with."""
    rows = _rows(lines)
    found: dict[int, Table] = {}
    start = 0
    while start < len(rows):
        end = start + 1
        if len(rows[start].cells) > 1:
            columns = [(cell.left, cell.right) for cell in rows[start].cells]
            while end < len(rows) and _follows(rows[end - 1].line, rows[end].line):
                widened = _fit(columns, rows[end].cells)
                if widened is None:
                    break
                columns, end = widened, end + 1
            while end > start + 1 and len(rows[end - 1].cells) < 2:
                end -= 1  # what stands alone below is no row
            table = _table(rows[start:end], columns)
            if table is not None:
                found[table.start] = table
                start = end
                continue
        start += 1
    return found


def _rows(lines: Sequence[Line]) -> list[_Row]:
    """Put lines together that stand side by side: PDFium ends a line where a gap is very wide."""
    rows: list[_Row] = []
    for place, line in enumerate(lines):
        before = rows[-1] if rows else None
        beside = (
            before is not None
            and before.cells
            and line.cells
            and abs(before.line.last_foot - line.foot) <= _LEVEL * line.size
            and before.cells[-1].right <= line.cells[0].left
        )
        if before is not None and beside:
            rows[-1] = _Row(before.start, place + 1, line, before.cells + line.cells)
        else:
            rows.append(_Row(place, place + 1, line, line.cells))
    return rows


def _follows(above: Line, line: Line) -> bool:
    if not line.cells or not above.size or not line.size:
        return False
    alike = abs(above.size - line.size) <= _ALIKE * max(above.size, line.size)
    return alike and 0 < above.last_foot - line.foot <= _APART * line.size


def _fit(columns: Sequence[tuple[float, float]], cells: Sequence[Cell]) -> list[tuple[float, float]] | None:
    """Widen columns by the cells of a row; None where a cell reaches into two, or two stand in one."""
    widened = list(columns)
    taken: set[int] = set()
    for cell in cells:
        touched = [place for place, (left, right) in enumerate(columns) if cell.left < right and left < cell.right]
        if len(touched) > 1 or not taken.isdisjoint(touched):
            return None
        if touched:
            taken.update(touched)
            left, right = widened[touched[0]]
            widened[touched[0]] = min(left, cell.left), max(right, cell.right)
        else:
            widened.append((cell.left, cell.right))
    widened.sort()
    if any(left < before for (_, before), (left, _) in pairwise(widened)):
        return None
    return widened


def _table(lines: Sequence[_Row], columns: Sequence[tuple[float, float]]) -> Table | None:
    cells = [cell for line in lines for cell in line.cells]
    several = sum(len(line.cells) > 1 for line in lines)
    if several < max(_ROWS, len(lines) / 2) or sum(len(cell.text) for cell in cells) > _LONG * len(cells):
        return None
    rows: list[list[str]] = []
    for number, line in enumerate(lines):
        row = [""] * len(columns)
        for cell in line.cells:
            place = next(
                place for place, (left, right) in enumerate(columns) if cell.left < right and left < cell.right
            )
            row[place] = cell.text
        if rows and _continues(lines[number - 1].line, line.line, rows[-1], row):
            rows[-1] = [f"{above} {below}".strip() for above, below in zip(rows[-1], row, strict=True)]
        else:
            rows.append(row)
    return Table(lines[0].start, lines[-1].end, tuple(tuple(row) for row in _merged(rows)))


def _continues(above: Line, line: Line, before: Sequence[str], row: Sequence[str]) -> bool:
    """Whether a line is the rest of a cell of the row above: one cell, not in the first column, close below another."""
    places = [place for place, text in enumerate(row) if text]
    close = above.last_foot - line.foot <= _CLOSE * line.size
    return close and len(places) == 1 and places[0] > 0 and bool(before[places[0]]) and bool(before[0])


def _merged(rows: list[list[str]]) -> list[list[str]]:
    """Put columns together that no row has both of: a title on the left of its column, numbers on the right."""
    place = 0
    while rows and place + 1 < len(rows[0]):
        if any(row[place] and row[place + 1] for row in rows):
            place += 1
        else:
            rows = [[*row[:place], row[place] or row[place + 1], *row[place + 2 :]] for row in rows]
    return rows
