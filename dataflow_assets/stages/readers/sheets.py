"""Spreadsheets become a heading for each sheet and Markdown tables.

What belongs here: opening workbooks (Excel's formats and OpenDocument), how a cell reads to a person, and where the
tables of a sheet begin and end (`sheet_regions`). What does not: how a table is written (`markdown_table`).

calamine (Rust) reads all five formats alike, with typed cells and merged ranges; kreuzberg uses it too, and gives
neither dates nor merged cells nor separate tables. It holds a sheet as a full rectangle, so one cell in the last corner
of a sheet would take 500 GB: the extents are looked up beforehand, and so is what a zip file unpacks to.

Sheets that are hidden are content too. Formulas are given as the values that were last computed.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Sequence
from typing import Any

import python_calamine

from dataflow_assets.errors import ReadError
from dataflow_assets.records import Finding
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.protected import without_protection
from dataflow_assets.stages.readers.sheet_package import WorkbookFacts, facts_of
from dataflow_assets.stages.readers.sheet_regions import Grid, sheet_text

_MAX_MERGED = 2_000
"""Cells of one merged range that get its value; a range over whole columns is formatting."""
_MAX_CELLS = 2_500_000
"""Cells of a sheet's rectangle that are unpacked."""


def read_sheets(item: Item) -> Reading:
    """Read a workbook; raises ReadError where it is damaged, protected by a password or too large."""
    content = without_protection(item.content, item.passwords, "spreadsheet")
    facts = facts_of(content, item.name)
    try:
        workbook = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
    except python_calamine.PasswordError as error:
        raise ReadError(_locked(item)) from error
    except Exception as error:
        raise ReadError(
            f"The spreadsheet {item.name} is damaged or truncated and cannot be read ({_short(error)}); save it again."
        ) from error
    parts: list[str] = []
    findings: list[Finding] = []
    charts = dict(facts.charts)
    for sheet in workbook.sheets_metadata:
        try:
            text = "\n\n".join(filter(None, (_read_sheet(workbook, sheet.name, facts), *charts.pop(sheet.name, ()))))
        except ReadError as error:
            findings.append(_left_out(sheet.name, str(error)))
            continue
        except Exception as error:
            findings.append(_left_out(sheet.name, f"It is damaged ({_short(error)})."))
            continue
        if text:
            parts.append(f"## {_name(sheet.name)}\n\n{text}\n")
    if not parts and findings:
        raise ReadError(f"No sheet of {item.name} could be read. {findings[0].message}")
    if not parts:
        raise ReadError(f"The spreadsheet {item.name} has no text: all its sheets are empty; exclude the file.")
    return Reading(
        text="\n".join(parts),
        markup="markdown",
        title=facts.title,
        metadata={**facts.metadata, "sheets": [_name(sheet.name) for sheet in workbook.sheets_metadata]},
        findings=tuple(findings),
    )


def _read_sheet(workbook: Any, name: str, facts: WorkbookFacts) -> str:
    rows, columns = facts.extents.get(name, (0, 0))
    if rows * columns > _MAX_CELLS:
        raise ReadError(f"Its cells span {rows} rows and {columns} columns, too many; delete the cells far out.")
    sheet = workbook.get_sheet_by_name(name)
    if sheet.start is None:
        return ""
    top, left = sheet.start
    grid: Grid = [[as_people_see(value) for value in row] for row in sheet.to_python(skip_empty_area=True)]
    merged = [
        (first[0] - top, first[1] - left, last[0] - top, last[1] - left)
        for first, last in sheet.merged_cell_ranges or ()
    ]
    return sheet_text(grid, _fill_merged(grid, merged))


def _fill_merged(grid: Grid, ranges: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Give every cell of a merged range its value, so that each row says all that a person sees in it."""
    filled = []
    for top, left, bottom, right in ranges:
        if not (0 <= top < len(grid) and 0 <= left < len(grid[top]) and (value := grid[top][left])):
            continue
        bottom, right = min(bottom, len(grid) - 1), min(right, len(grid[top]) - 1)
        if (bottom - top + 1) * (right - left + 1) > _MAX_MERGED:
            continue
        for row in grid[top : bottom + 1]:
            row[left : right + 1] = [value] * (right + 1 - left)
        filled.append((top, left, bottom, right))
    return filled


def as_people_see(value: Any) -> str:
    """Write a cell's value: 1 and not 1.0, dates in ISO's form, durations as hours."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, dt.time):
        return value.isoformat(timespec="seconds")
    if isinstance(value, dt.timedelta):
        seconds = round(value.total_seconds())
        sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
        return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return "" if value is None else str(value)


def _name(name: str) -> str:
    return " ".join(name.split()) or "Sheet"


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _locked(item: Item) -> str:
    return (
        f"The spreadsheet {item.name} is protected by a password, and workbooks of its kind cannot be opened with those "
        "of reading.passwords; save it without the password, or exclude it."
    )


def _left_out(name: str, why: str) -> Finding:
    return Finding(
        validator="sheet",
        severity="error",
        message=f"The sheet {_name(name)!r} was left out. {why}",
        field="text",
        value=_name(name)[:120],
        suggestion="Open the workbook, mend or shorten that sheet, and save it again.",
    )
