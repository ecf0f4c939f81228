"""Rows become Markdown tables that can be cut anywhere.

What belongs here: writing rows, whatever they were read from. What does not: reading them, or finding where a table
begins.

A long table is written in blocks of about 3,000 characters, each with the header again, so that a chunk of any block
says what its columns are. A table whose header alone would fill such a block is written as records instead, a line for
each cell that holds something: repeated above a few rows, the header would be most of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

BLOCK = 3_000
"""Characters that a block has at most, unless one row alone is longer."""
_WIDE = 1_000
"""Characters of a header from which on rows are written as records."""
_LABEL = 200
"""Characters of a column's name that stand before each cell of a record."""
_BREAKS = re.compile(r"[\s\x00-\x08\x0e-\x1f]*[\r\n\x0b\x0c\x85\u2028\u2029][\s\x00-\x08\x0e-\x1f]*")


def cell(value: str) -> str:
    """Give a value as it stands in a cell: on one line, no bar that would end the cell."""
    value = value.strip()
    if not value.isalnum():
        value = _BREAKS.sub(" ", value).replace("|", "\\|")
    return value


def write_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table.

    Args:
        header: The names of the columns; a row with more cells gives the rest columns without a name.
        rows: The rows below it; those without any content are left out.

    Returns:
        Markdown without white space around it: one block, or several with an empty line between.
    """
    names = [cell(name) for name in header]
    kept = [cells for row in rows if any(cells := [cell(value) for value in row])]
    width = max([len(names), *map(len, kept)])
    while width and not any(row[width - 1 : width] not in ([], [""]) for row in (names, *kept)):
        width -= 1
    if not width:
        return ""
    names = names[:width] + [""] * (width - len(names))
    if sum(map(len, names)) + 3 * width > _WIDE:
        return "\n\n".join(_records(names, kept))
    return "\n\n".join(_blocks(names, kept))


def _blocks(names: list[str], rows: list[list[str]]) -> Iterator[str]:
    width = len(names)
    head = f"{_line(names)}\n|{' --- |' * width}"
    block: list[str] = [head]
    size = len(head)
    for row in rows:
        line = _line(row[:width] + [""] * (width - len(row)))
        if size + len(line) >= BLOCK and len(block) > 1:
            yield "\n".join(block)
            block = [head]
            size = len(head)
        block.append(line)
        size += len(line) + 1
    yield "\n".join(block)


def _records(names: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Write each row as a list of its cells with the names of their columns; without rows, the names."""
    if not rows:
        yield "\n".join(f"- {name}" for name in names if name)
    labels = [f"{name[:_LABEL]}: " if name else "" for name in names]
    for name in names:
        if len(name) > _LABEL:
            yield name
    for row in rows:
        yield "\n".join(f"- {label}{value}" for label, value in zip(labels, row, strict=False) if value)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
