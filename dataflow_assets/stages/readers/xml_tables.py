"""Tables of XML vocabularies: rows of `tr` and `td`, of `row` and `entry`.

What belongs here: cells that reach over others. What does not: how a table is written (`markdown_table`).
"""

from __future__ import annotations

from typing import Any

from dataflow_assets.stages.readers.markdown_table import write_table
from dataflow_assets.stages.readers.xml_inline import local, spaced
from dataflow_assets.stages.readers.xml_vocabulary import CELLS, ROWS


def table_text(node: Any) -> str:
    """Write the rows of a table as Markdown; a cell that reaches over others stands in each of them."""
    rows: list[list[str]] = []
    hanging: dict[int, tuple[int, str]] = {}
    for each in node.iter():
        if local(each) not in ROWS:
            continue
        row: list[str] = []
        for child in each:
            if local(child) not in CELLS:
                continue
            _fill(row, hanging)
            value = spaced(child)
            width = _span(child.get("colspan"))
            down = _span(child.get("rowspan")) or _span(child.get("morerows")) + 1
            for _ in range(max(width, 1)):
                if down > 1:
                    hanging[len(row)] = (down - 1, value)
                row.append(value)
        _fill(row, hanging)
        rows.append(row)
    return write_table(rows[0], rows[1:]) if rows else ""


def _fill(row: list[str], hanging: dict[int, tuple[int, str]]) -> None:
    """Put in the values of cells above that reach down."""
    while (place := len(row)) in hanging:
        left, value = hanging.pop(place)
        if left > 1:
            hanging[place] = left - 1, value
        row.append(value)


def _span(value: str | None) -> int:
    return min(int(value), 100) if value and value.isdecimal() and len(value) < 6 else 0
