"""Comma-separated values, in whatever dialect, become a Markdown table.

What belongs here: finding the delimiter and the quote, and splitting into cells. What does not: how a table is written
(`markdown_table`), and the encoding (`decoding`).

The standard library splits; its `Sniffer` takes minutes on long lines and guesses letters as delimiters, so the dialect is
chosen here: of the delimiters that people use, the one with which most lines of the beginning have the same number of
cells. A file that is called a table and plainly is none (prose with commas) is left to the plain text reader.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from dataflow_assets.errors import ReadError
from dataflow_assets.records import Finding
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.markdown_table import cell, write_table

_DELIMITERS = ",;\t|"
_HEAD = 65_536
"""Characters that the dialect is found in."""
_LINES = 200
_MAX_CELL = 1_000_000
"""Characters of one cell; a quote that never closes takes the rest of the file in."""
_BATCH = 5_000
"""Rows that are written at a time."""
_SWALLOWED = 5_000
"""Characters of a cell from which on a quote too many has swallowed the rows after it."""
_STATED = re.compile(r"\A\ufeff?sep=(?P<delimiter>[^\r\n\"'\w])\r?\n")
"""The line in which Excel is told the delimiter."""
_PROSE = re.compile(r"\w+(?:,|;)? \w+(?:,|;)? \w+(?:,|;)? \w+(?:,|;)? \w+")
_SAME = 0.8
"""Share of the lines that must have as many cells as most have, or the text is no table."""


def read_table(item: Item) -> Reading:
    """Read delimited values; a text without rows and columns stays the text it is."""
    text = item.decoded.text
    delimiter, escape, start = find_dialect(
        text, prefer="\t" if item.media_type == "text/tab-separated-values" else ","
    )
    if delimiter is None:
        return Reading(text=text, markup="text")
    findings: tuple[Finding, ...] = ()
    try:
        blocks, columns = _write(_split(text[start:], delimiter, escape), odd=bool(text.count('"') % 2))
    except csv.Error:
        blocks, columns = _write(line.split(delimiter) for line in text[start:].splitlines())
        findings = (_unclosed(),)
    if not columns:
        return Reading(text=text, markup="text")
    table = "\n\n".join(filter(None, blocks))
    if not table:
        raise ReadError(f"The table {item.name} has no text: all its cells are empty; exclude the file.")
    return Reading(text=f"{table}\n", markup="markdown", findings=findings, metadata={"columns": columns})


def _write(rows: Iterator[list[str]], *, odd: bool = False) -> tuple[list[str], int]:
    """Write rows as Markdown, some thousand at a time, so that they are never all in memory.

    Args:
        rows: The header, titles above it, and all that follows.
        odd: Whether there is a quote too many; then a cell that swallowed others raises `csv.Error`.

    Returns:
        Blocks, and the columns of the widest row; none where there are no two rows.
    """
    blocks: list[str] = []
    batch = list(islice(rows, _BATCH))
    if len(batch) < 2:
        return [], 0
    while len(batch) > 2 and sum(map(bool, batch[0])) == 1 and sum(map(bool, batch[1])) > 1:
        blocks.append(cell("".join(batch.pop(0))))
    header = batch.pop(0)
    columns = len(header)
    while batch:
        if odd and any(len(value) > _SWALLOWED for row in batch for value in row):
            raise csv.Error("a quote is never closed")
        columns = max(columns, *map(len, batch))
        blocks.append(write_table(header, batch))
        batch = list(islice(rows, _BATCH))
    return blocks, columns


def find_dialect(text: str, prefer: str = ",") -> tuple[str | None, str | None, int]:
    """Find how a table is written.

    Args:
        text: All of it.
        prefer: The delimiter that decides between equals.

    Returns:
        The delimiter, None where the text is no table (a delimiter that does not occur for a table of one column); the
        escape character, None where quotes are doubled as they should be; and where the first row begins.
    """
    if stated := _STATED.match(text):
        return stated["delimiter"], _escape(text[:_HEAD]), stated.end()
    head = text[:_HEAD]
    if len(text) > _HEAD:
        head = head[: max(head.rfind("\n"), head.rfind("\r")) + 1] or head
    escape = _escape(head)
    best: tuple[float, float, str] | None = None
    for delimiter in sorted(_DELIMITERS, key=lambda each: each != prefer):
        if delimiter not in head:
            continue
        try:
            widths = [len(row) for row in _limited(_split(head, delimiter, escape)) if any(row)]
        except csv.Error:
            widths = [line.count(delimiter) + 1 for line in head.splitlines()[:_LINES] if line.strip()]
        usual, times = Counter(widths).most_common(1)[0] if widths else (1, 0)
        if not widths or (usual == 1 and len(widths) > 1):
            continue
        score = times / len(widths)
        if best is None or (round(score, 1), min(usual, 50)) > (best[0], best[1]):
            best = round(score, 1), min(usual, 50), delimiter
    lines = [line for line in head.splitlines()[:_LINES] if line.strip()]
    if best is None:
        return (None if not lines or _is_prose(lines) else prefer), escape, 0
    return (best[2] if best[0] >= _SAME or not _is_prose(lines) else None), escape, 0


def _is_prose(lines: list[str]) -> bool:
    return sum(bool(_PROSE.search(line[:500])) for line in lines) > len(lines) / 3


def _limited(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    for _, row in zip(range(_LINES), rows, strict=False):
        yield row


def _escape(head: str) -> str | None:
    return "\\" if '\\"' in head and '\\""' not in head else None


def _split(text: str, delimiter: str, escape: str | None) -> Iterator[list[str]]:
    csv.field_size_limit(_MAX_CELL)
    return csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        doublequote=escape is None,
        escapechar=escape,
        skipinitialspace=delimiter != "\t",
    )


def _unclosed() -> Finding:
    return Finding(
        validator="table",
        severity="warning",
        message="A quote is never closed; the quotes were taken as they stand.",
        field="text",
        value="",
        suggestion='Close the quotes in the file, or double those that belong to a cell ("").',
    )
