"""Where the tables of a sheet are.

What belongs here: cutting a grid of cells along its empty rows and columns. What does not: opening workbooks (`sheets`).

People put several tables on one sheet with gaps between, a title above, a remark below. A gap between rows ends a table
unless what follows goes on in the same columns with figures, as a table does that was given some air; a gap between
columns ends it unless both sides begin and end in the same rows and only one column is empty, or one side is a lone
column beside the other, such as running numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from dataflow_assets.stages.readers.markdown_table import cell, write_table

Grid: TypeAlias = list[list[str]]
"""Rows of cells; an empty cell is an empty string."""
Box: TypeAlias = tuple[int, int, int, int]
"""Top, left, bottom, right; all inclusive."""

_FIGURE = re.compile(r"[-+(]?[^\w\s]?\s?\d[\d.,:/\s-]*[^\w\s]?\)?")
_PROSE = 200
"""Characters of a cell from which on a lone column is prose and not a table."""
_DEPTH = 40
"""Cuts within cuts; a table in the gaps of a table in the gaps of a table needs three."""


def sheet_text(grid: Grid, merged: Sequence[Box] = ()) -> str:
    """Write all tables of a sheet as Markdown, from top to bottom and from left to right."""
    if not grid:
        return ""
    box = (0, 0, len(grid) - 1, max(map(len, grid)) - 1)
    wide = {(top, left): right for top, left, _, right in merged}
    return "\n\n".join(filter(None, (_region(grid, each, wide) for each in _cut(grid, box, _DEPTH))))


def _cut(grid: Grid, box: Box, depth: int) -> Iterator[Box]:
    trimmed = _trim(grid, box)
    if trimmed is None:
        return
    top, left, bottom, right = trimmed
    bands = _bands(grid, trimmed) if depth else [(top, bottom)]
    if len(bands) > 1:
        for first, last in bands:
            yield from _cut(grid, (first, left, last, right), depth - 1)
        return
    groups = _groups(grid, trimmed) if depth else [(left, right)]
    if len(groups) > 1:
        for first, last in groups:
            yield from _cut(grid, (top, first, bottom, last), depth - 1)
        return
    yield trimmed


def _trim(grid: Grid, box: Box) -> Box | None:
    top, left, bottom, right = box
    spans = [(number, span) for number in range(top, bottom + 1) if (span := _span(grid[number], left, right))]
    if not spans:
        return None
    return spans[0][0], min(span[0] for _, span in spans), spans[-1][0], max(span[1] for _, span in spans)


def _span(row: list[str], left: int, right: int) -> tuple[int, int] | None:
    """Give the first and the last column of a row that hold something."""
    filled = [number for number, value in enumerate(row[left : right + 1], left) if value]
    return (filled[0], filled[-1]) if filled else None


def _bands(grid: Grid, box: Box) -> list[tuple[int, int]]:
    """Cut at empty rows."""
    top, left, bottom, right = box
    bands: list[tuple[int, int]] = []
    columns: tuple[int, int] | None = None
    empty = True
    for number in range(top, bottom + 1):
        span = _span(grid[number], left, right)
        if span is None:
            empty = True
            continue
        if not empty:
            columns = (min(columns[0], span[0]), max(columns[1], span[1])) if columns else span
            bands[-1] = bands[-1][0], number
        elif (
            columns == span
            and bands
            and bands[-1][1] == number - 2
            and span[0] < span[1]
            and any(map(_FIGURE.fullmatch, grid[number][span[0] : span[1] + 1]))
        ):
            bands[-1] = bands[-1][0], number
        else:
            bands.append((number, number))
            columns = span
        empty = False
    return bands


def _groups(grid: Grid, box: Box) -> list[tuple[int, int]]:
    """Cut at empty columns."""
    top, left, bottom, right = box
    used = [False] * (right - left + 1)
    for number in range(top, bottom + 1):
        for place, value in enumerate(grid[number][left : right + 1]):
            if value:
                used[place] = True
    if all(used):
        return [(left, right)]
    groups: list[tuple[int, int]] = []
    for place, filled in enumerate(used, left):
        if not filled:
            continue
        if groups and groups[-1][1] == place - 1:
            groups[-1] = groups[-1][0], place
        else:
            groups.append((place, place))
    joined = groups[:1]
    for group in groups[1:]:
        before = joined[-1]
        if _belong(grid, box, before, group):
            joined[-1] = before[0], group[1]
        else:
            joined.append(group)
    return joined


def _belong(grid: Grid, box: Box, one: tuple[int, int], other: tuple[int, int]) -> bool:
    first, second = _rows(grid, box, one), _rows(grid, box, other)
    if one[0] == one[1]:
        return second[0] <= first[0] and first[1] <= second[1]
    if other[0] == other[1]:
        return first[0] <= second[0] and second[1] <= first[1]
    return other[0] - one[1] == 2 and first == second


def _rows(grid: Grid, box: Box, columns: tuple[int, int]) -> tuple[int, int]:
    trimmed = _trim(grid, (box[0], columns[0], box[2], columns[1]))
    return (trimmed[0], trimmed[2]) if trimmed else (0, -1)


def _region(grid: Grid, box: Box, wide: dict[tuple[int, int], int]) -> str:
    top, left, bottom, right = box
    rows = [grid[number][left : right + 1] for number in range(top, bottom + 1)]
    before: list[str] = []
    while rows:
        filled = [value for value in rows[0] if value]
        lone = len(filled) == 1 and right > left or (wide.get((top, left), -1) >= right > left)
        if not lone:
            break
        before.append(cell(filled[0]))
        rows.pop(0)
        top += 1
    used = [any(row[place : place + 1] not in ([], [""]) for row in rows) for place in range(right - left + 1)]
    rows = [[value for value, kept in zip(row, used, strict=False) if kept] for row in rows]
    if sum(used) == 1 and (len(rows) == 1 or any(len(row[0]) > _PROSE for row in rows if row)):
        return "\n\n".join([*before, *(row[0] for row in rows if row and row[0])])
    table = write_table(rows[0], rows[1:]) if rows else ""
    return "\n\n".join([*before, *([table] if table else ())])
