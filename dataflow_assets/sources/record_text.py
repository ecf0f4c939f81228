"""Records become documents: templates, and the Markdown with front matter that a row, an answer or an entry is stored as.

What belongs here: filling a template, and writing the bytes. What does not: where values come from, which every source
knows for itself, and reading the bytes again, which the Markdown reader does.

A template holds text and `{places}`; what stands in a place is looked up by whoever fills the template, as a column's name
or as a path. Nothing is executed: no attributes, no format specifications, no conversions. `{{` and `}}` are braces.

All values are hostile: they may not end the front matter, become its keys, or make it so long that it is not read.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.stages.readers.front_matter import LIMIT, json_value

MEDIA_TYPE = "text/markdown"
"""What `record_bytes` gives."""

_PART = re.compile(r"\{\{|\}\}|\{(?P<place>[^{}]*)\}|[{}]")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_MAX_TITLE = 500
_MAX_VALUE = 4_000
_MAX_BLOCK = LIMIT - 2_048
_MAX_ENTRIES = 200
_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Template:
    """A text with places to fill."""

    pieces: tuple[tuple[bool, str], ...]
    """Whether it is a place, and the text or what stands in the place."""

    @property
    def places(self) -> tuple[str, ...]:
        """What stands in the places, in their order."""
        return tuple(piece for is_place, piece in self.pieces if is_place)

    def fill(self, look_up: Callable[[str], Any]) -> str | None:
        """Fill the places.

        Args:
            look_up: Gives the value of a place; None where there is none.

        Returns:
            The text. None where the template has places and there is nothing to stand in any of them.
        """
        parts: list[str] = []
        found = not self.places
        for is_place, piece in self.pieces:
            if is_place:
                piece = value_text(look_up(piece))
                found = found or bool(piece.strip())
            parts.append(piece)
        return "".join(parts) if found else None


def parse_template(text: str, *, setting: str = "text") -> Template:
    """Parse a template.

    Args:
        text: The template.
        setting: The setting that holds it, for the message.

    Raises:
        ConfigurationError: A brace stands alone, or a place is empty.
    """
    pieces: list[tuple[bool, str]] = []
    position = 0
    for part in _PART.finditer(text):
        pieces.append((False, text[position : part.start()]))
        position = part.end()
        if part[0] in ("{{", "}}"):
            pieces.append((False, part[0][0]))
        elif part["place"] is not None and part["place"].strip():
            pieces.append((True, part["place"].strip()))
        else:
            raise ConfigurationError(
                f"source.{setting}: {part[0]!r} at character {part.start() + 1} of the template names nothing. Write "
                "{name} for a value, and {{ or }} for a brace."
            )
    pieces.append((False, text[position:]))
    return Template(tuple(piece for piece in pieces if piece[1]))


def value_text(value: Any) -> str:
    """Write a value as people read it: texts as they are, nothing as nothing, lists of plain values with commas."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.hex()
    if isinstance(value, float):
        return repr(value)[:-2] if value.is_integer() and math.fabs(value) < 1e15 else repr(value)
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, list | tuple) and not any(isinstance(each, list | tuple | Mapping) for each in value):
        return ", ".join(text for each in value if (text := value_text(each)))
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):
        return str(json.dumps(json_value(value), ensure_ascii=False))


def record_bytes(title: str | None, body: str, metadata: Mapping[str, Any] | None = None) -> bytes:
    """Write a record as Markdown with front matter.

    The body stands there byte for byte, but for NULs and lone surrogates, which no text can hold: a replacement character
    stands in their places. There is always a front matter, so that a body that begins like one is not taken for it.

    Args:
        title: The title, if there is one.
        body: The text.
        metadata: What else is known: `date`, `authors`, `tags`, `url` and others. Nothing, and empty values, are left out;
            long values are cut, and the longest left out, where the block would become too long to be read.
    """
    values: dict[str, Any] = {}
    if title and (line := " ".join(title.split())):
        values["title"] = _storable(line[:_MAX_TITLE])
    for key, value in _first(metadata or {}):
        plain = _cut(json_value(_plain(value), _DEPTH))
        if plain is not None and plain != "" and plain != [] and plain != {}:
            values.setdefault(_storable(str(key))[:100], plain)
    block = _dump(values)
    while len(block) > _MAX_BLOCK:
        del values[max(values, key=lambda name: len(_dump({name: values[name]})))]
        block = _dump(values)
    return f"---\n{block}---\n{_storable(body)}".encode()


def _first(metadata: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return list(metadata.items())[:_MAX_ENTRIES]


def _plain(value: Any) -> Any:
    """Turn what databases give, and `json_value` does not know, into plain values."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and abs(value) < 2**63 else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return value_text(value)
    return value


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _MAX_VALUE else value[: _MAX_VALUE - 3] + "..."
    if isinstance(value, list):
        return [_cut(each) for each in value[:_MAX_ENTRIES]]
    if isinstance(value, dict):
        return {str(key)[:100]: _cut(each) for key, each in _first(value)}
    return value


def _storable(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes a value that stands in several places anew each time: the reader refuses aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dump(values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    dumped: str = yaml.dump(
        dict(values), Dumper=_Dumper, allow_unicode=True, sort_keys=False, default_flow_style=False, width=2**20
    )
    return dumped
