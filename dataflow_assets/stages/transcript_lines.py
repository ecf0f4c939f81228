"""The lines of a log, and what every kind of log says with them.

What belongs here: turning the bytes of a log into numbered JSON values, and the record of what one line says. What does
not: what a value means (`stages.transcript_formats`), which conversation a line belongs to, and the form that
conversations are stored in (`stages.transcripts`).

Logs are written by programs that are killed and resumed. A line may be cut, begin with the NULs that a crash leaves, or be
followed by the next one without a newline between them. None of that ends the reading of the other lines.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

_NO_NEWLINE = re.compile(rb"[^\n]+")
_SPACE = re.compile(r"[ \t\r\n]*")
_PLAIN_NAME = re.compile("[!-~]{1,200}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_ENTRY = re.compile(r'\{"(?:parentUuid|type|summary|sessionId|uuid)"')
"""How a line of Claude Code may begin."""
_TRIES = 20
_decode = json.JSONDecoder(strict=False).raw_decode
_MAX_NAME = 200
_MAX_VALUES = 100
_MAX_TROUBLE = 100


@dataclass(slots=True)
class Said:
    """One message."""

    text: str
    role: str
    time: str | None = None
    id: str | None = None
    reply_to: str | None = None


@dataclass(slots=True)
class Line:
    """What one line says."""

    number: int
    messages: list[Said] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    """What it holds that is not taken."""
    trouble: list[tuple[str, str]] = field(default_factory=list)
    """What cannot be read: a sentence, and what stands there."""
    conversation: str | None = None
    id: str | None = None
    parent: str | None = None
    """The id of the line that it follows, also where neither has a message."""
    leaf: str | None = None
    """The id of the line that it sums up; such a line begins no conversation."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What it says of its conversation: `title`, `cwd`, `project`, `git_branch`, `model`."""

    def tell(self, says: str, value: str) -> None:
        """Name what cannot be read: what goes on "Line 7 ...", and what stands there."""
        if len(self.trouble) < _MAX_TROUBLE:
            self.trouble.append((says, value))


Interpreter: TypeAlias = Callable[[Any, Line], None]
"""Adds to a line what a JSON value of it says."""


def lines_of(content: bytes, interpret: Interpreter) -> Iterator[Line]:
    """Read the lines of a log, blank ones left out; numbers count from 1.

    Args:
        content: The log's bytes: UTF-8, or UTF-16 with a mark.
        interpret: What a value of a line means.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        content = content.decode("utf-16", "replace").encode("utf-8", "surrogatepass")
    number, before = 1, 0
    for match in _NO_NEWLINE.finditer(content):
        number += content.count(b"\n", before, match.start())
        before = match.start()
        raw = match[0]
        if not raw.isspace():
            line = Line(number)
            for value in _values(raw, line):
                try:
                    interpret(value, line)
                except RecursionError:
                    line.tell("is nested too deeply", shown(raw.decode("utf-8", "replace")))
            yield line


def _values(raw: bytes, line: Line) -> Iterator[Any]:
    """The JSON values that stand on a line: one, where all is well."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "replace")
        line.tell("has bytes that are no UTF-8; U+FFFD stands in their place", shown(text))
    text = text.removeprefix("\ufeff")  # files that were joined have marks in their middle
    if text.startswith("\0"):
        text = text.lstrip("\0")
        line.tell("begins with NUL characters, which a crash leaves behind", "")
    position = _after_space(text, 0)
    values = 0
    while position < len(text):
        values += 1
        if values > _MAX_VALUES:
            line.tell(f"holds more than {_MAX_VALUES} entries; the others are not read", "")
            return
        try:
            value, position = _decode(text, position)
        except (ValueError, RecursionError) as error:
            line.tell(_why(error, len(text)), shown(text[position : position + _MAX_NAME]))
            saved = _next_entry(text, position + 1)
            if saved is not None:
                yield saved
            return
        yield value
        position = _after_space(text, position)


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _next_entry(text: str, start: int) -> Any:
    """The whole entry that was written behind a cut one, on the same line."""
    for tried, match in enumerate(_ENTRY.finditer(text, start)):
        if tried == _TRIES:
            return None
        try:
            value, end = _decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        if _after_space(text, end) == len(text) and ("uuid" in value or "leafUuid" in value):
            return value
    return None


def _why(error: Exception, length: int) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if not isinstance(error, json.JSONDecodeError):
        return "holds a number that is too long"
    if error.msg.startswith("Unterminated string") or error.pos >= length:
        return "is cut off: its JSON has no end"
    return f"is no JSON from character {error.pos + 1} on ({error.msg.lower()})"


def shown(text: str) -> str:
    """Shorten a text to what a finding quotes, on one line."""
    return _UNPRINTABLE.sub(" ", _SURROGATE.sub("\ufffd", text[:100]))


def name_of(value: Any) -> str | None:
    """Give a short text or a number as a name on one line; None for what is none."""
    if value is None:
        return None
    if type(value) is str and _PLAIN_NAME.fullmatch(value):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    said = str(value) if isinstance(value, str | float) or abs(value) < 10**40 else ""
    said = " ".join(_UNPRINTABLE.sub(" ", _SURROGATE.sub("\ufffd", said[:_MAX_NAME])).split())
    return said or None


def time_of(value: Any) -> str | None:
    """Give a time in ISO 8601: as it stands if it is, and from seconds or milliseconds since 1970; None for others."""
    if isinstance(value, str):
        said = value.strip()[:64]
        if not said.isdecimal() or not said.isascii():
            try:
                dt.datetime.fromisoformat(said)
            except ValueError:
                return None
            return said
        value = int(said)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    milliseconds = abs(value) > 1e11
    try:
        at = dt.datetime.fromtimestamp(value / 1000 if milliseconds else value, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return None
    exact = "milliseconds" if at.microsecond else "seconds"
    return at.replace(tzinfo=None).isoformat(timespec=exact) + "Z"


def add_message(line: Line, text: str, role: str, time: Any) -> None:
    """Add a message to a line, or count it where it is empty."""
    if not text:
        line.kinds.append("empty message")
        return
    if _SURROGATE.search(text):
        text = _SURROGATE.sub("\ufffd", text)
        line.tell("holds half of a character; U+FFFD stands in its place", shown(text))
    said_at = time_of(time)
    if said_at is None and time not in (None, ""):
        line.kinds.append("time that is not ISO 8601")
    line.messages.append(Said(text, role, said_at, line.id, line.parent))
