"""JSON and lines of JSON become readable text with paths.

What belongs here: one document and one per line, as `path.to[0].key: value` lines, tables for records that share their
keys, and long texts as paragraphs. What does not: chat logs (`transcript`) and notebooks (`notebook`), which are JSON
that means something.

Numbers are kept as they are written, since parsing would round them; keys that stand twice are kept twice. What is no
JSON after all, or nested deeper than any data is, stays the text it is: the plain text reader takes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from dataflow_assets.errors import ReadError
from dataflow_assets.records import Finding
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.markdown_table import write_table

_LARGEST = 15_000_000
"""Characters of one document that are parsed; its values take about 15 times as much memory."""
_BATCH = 500
"""Lines that are parsed and written at a time."""
_LONG = 200
"""Characters of a string from which on it is a paragraph of its own."""
_BINARY = re.compile(r"(?:data:[\w.+/-]{0,100};base64,)?[A-Za-z0-9+/_-]{500,}={0,2}")
_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_PLAIN_KEY = re.compile(r"[^\s.\[\]:\"]{1,200}")
_COLUMNS = 12
"""Columns that a table of records has at most; wider records are written one after the other."""
_SHARED = 0.6
"""Share of the cells of a table that must be filled."""
_CELL = 80
"""Characters of a record's value from which on the records are no table."""
_MAX_FINDINGS = 20


_LINES_TYPES = frozenset(("application/x-ndjson", "application/jsonl"))


class _Object(list[tuple[str, Any]]):
    """The members of a JSON object in their order, keys that stand twice included."""


def read_json(item: Item) -> Reading:
    """Read JSON, or lines of JSON; raises ReadError for what is neither."""
    source = item.decoded.text
    if item.media_type in _LINES_TYPES and (reading := _read_lines(source)) is not None:
        return reading
    if len(source) > _LARGEST:
        raise ReadError(f"The JSON of {item.name} has more than {_LARGEST} characters, too many to parse.")
    try:
        values, whole = _parse(source)
        if not whole:
            if (reading := _read_lines(source)) is not None:
                return reading
            raise ValueError("something stands behind the first value")
    except RecursionError as error:
        raise ReadError(f"The JSON of {item.name} is nested too deeply to be read as data.") from error
    except ValueError as error:
        raise ReadError(f"The text of {item.name} is no JSON: {str(error)[:160]}.") from error
    value = values[0] if len(values) == 1 else values
    if not isinstance(value, list) or not value:
        return Reading(text=_clean(value) if isinstance(value, str) else source, markup="text")
    text = "\n\n".join(_blocks(value))
    if not text:
        return Reading(text=source, markup="text")
    own = dict(value) if isinstance(value, _Object) else {}
    title = next((own[key] for key in ("title", "name") if isinstance(own.get(key), str)), None)
    return Reading(text=f"{text}\n", markup="markdown", title=title)


class _Written(str):
    """A number, `true`, `null`: a value that is no string, as it is written."""

    __slots__ = ()


def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_Object, parse_int=_Written, parse_float=_Written, parse_constant=_Written, strict=False
    )


def _parse(source: str) -> tuple[list[Any], bool]:
    """Parse one value, or several that stand one after the other; tell whether that was all of the text."""
    decoder = _decoder()
    values: list[Any] = []
    position = _skip(source, 0)
    while position < len(source):
        try:
            value, position = decoder.raw_decode(source, position)
        except ValueError:
            if not values:
                raise
            return values, False
        values.append(value)
        position = _skip(source, position)
    if not values:
        raise ValueError("it is empty")
    return values, True


_SPACE = re.compile(r"[\s\ufeff\x00\x1e]*")


def _skip(source: str, position: int) -> int:
    found = _SPACE.match(source, position)
    return found.end() if found else position


def _read_lines(source: str) -> Reading | None:
    """Read a value from each line; a line that is none is kept as it stands. None where most are none."""
    decoder = _decoder()
    parts: list[str] = []
    batch: list[Any] = []
    bad: list[int] = []
    sound = 0
    for number, line in enumerate(source.split("\n"), 1):
        line = line.strip("\ufeff\x00\x1e \t\r")
        if not line:
            continue
        try:
            value = decoder.decode(line)
            sound += isinstance(value, list)
        except (ValueError, RecursionError):
            value = line
            bad.append(number)
            if len(bad) > sound + _MAX_FINDINGS:
                return None
        if isinstance(value, str) or len(batch) >= _BATCH:
            parts += _blocks(batch)
            batch.clear()
        if isinstance(value, str):
            parts.append(_said(value))
        else:
            batch.append(value)
    if len(bad) >= sound:
        return None
    parts += _blocks(batch)
    return Reading(
        text="\n\n".join(part for part in parts if part) + "\n",
        markup="markdown",
        findings=tuple(_bad_line(number, len(bad)) for number in bad[:_MAX_FINDINGS]),
    )


def _blocks(value: Any) -> Iterator[str]:
    """Write a value as blocks of lines, without recursion, so that depth costs nothing."""
    if not value:
        return
    lines: list[str] = []
    stack: list[tuple[str, Any]] = [("", value)]

    def out() -> Iterator[str]:
        if lines:
            yield "\n".join(lines)
            lines.clear()

    while stack:
        path, each = stack.pop()
        if isinstance(each, _Object):
            if not each and path:
                lines.append(f"{path}: {{}}")
            stack.extend((_join(path, key), member) for key, member in reversed(each))
        elif isinstance(each, list):
            if table := _table(each):
                yield from out()
                yield f"{path}:\n\n{table}" if path else table
            elif (listed := _short_list(each)) is not None:
                lines.append(f"{path}: {listed}" if path else listed)
            else:
                records = any(isinstance(member, list) for member in each)
                for number in range(len(each) - 1, -1, -1):
                    place = f"{path}[{number}]" if path or not isinstance(each[number], _Object) else ""
                    stack.append((place, each[number]))
                    if records:
                        stack.append(("", _BREAK))
        elif each is _BREAK:
            yield from out()
        else:
            said = _said(each)
            if len(said) > _LONG or "\n" in said:
                yield from out()
                yield f"{path}:\n\n{said}" if path else said
            else:
                lines.append(f"{path}: {said}" if path else said)
    yield from out()


_BREAK = object()
"""Stands on the stack where a block ends."""


def _join(path: str, key: str) -> str:
    name = _clean(key) if _PLAIN_KEY.fullmatch(key) else json.dumps(_clean(key), ensure_ascii=False)
    return f"{path}.{name}" if path else name


def _said(value: Any) -> str:
    if isinstance(value, str):
        text = _clean(value).strip()
        return (
            text
            if isinstance(value, _Written) or len(text) < 500
            else _BINARY.sub(lambda found: f"({len(found[0])} characters of binary data)", text)
        )
    return {None: "null", True: "true", False: "false"}.get(value, str(value))


def _clean(text: str) -> str:
    return _CONTROLS.sub(" ", _SURROGATES.sub("\ufffd", text)) if not text.isascii() or _CONTROLS.search(text) else text


def _short_list(values: list[Any]) -> str | None:
    """Write a list of short values in one line, None where it is not one."""
    if any(isinstance(value, list) for value in values):
        return None
    said = [_said(value) for value in values]
    if sum(map(len, said)) + 2 * len(said) > 2 * _LONG or any("\n" in value for value in said):
        return None
    return ", ".join(said) if said else "[]"


def _table(values: list[Any]) -> str | None:
    """Write records with the same few keys and short values as a table, None where they are not that."""
    if len(values) < 2 or not all(isinstance(value, _Object) and value for value in values):
        return None
    columns: dict[str, None] = {}
    filled = 0
    for record in values:
        for key, value in record:
            if isinstance(value, list) or (isinstance(value, str) and (len(value) > _CELL or "\n" in value)):
                return None
            columns[key] = None
            filled += 1
        if len(columns) > _COLUMNS or len({key for key, _ in record}) < len(record):
            return None
    if filled < _SHARED * len(columns) * len(values):
        return None
    rows = ({key: _said(value) for key, value in record} for record in values)
    return write_table([_clean(key) for key in columns], [[row.get(key, "") for key in columns] for row in rows])


def _bad_line(number: int, count: int) -> Finding:
    return Finding(
        validator="json",
        severity="warning",
        message=f"Line {number} is no JSON and was kept as it stands ({count} such lines).",
        field="text",
        value=str(number),
        suggestion="Mend the line, or remove it.",
    )
