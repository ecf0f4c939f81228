"""How the key of a row is written, and read again.

What belongs here: the values that can be keys, their text for people, and their text for identity. What does not: tables
and statements (`sql`).

The identity says of which type a value is, so that it can be given back to the database as it came, by a process that never
saw the row. Whole numbers are written alike whatever type they have in the database, so that a column that becomes wider
renames nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import re
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote, unquote

_WHOLE = re.compile(r"-?[0-9]{1,400}\Z")
_NUMBER = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?\Z")
_MAX_SHOWN = 160

_READ: dict[str, Callable[[str], Any]] = {
    "s": lambda text: unquote(text, errors="surrogatepass"),
    "number": Decimal,
    "float": float,
    "bool": "true".__eq__,
    "datetime": dt.datetime.fromisoformat,
    "date": dt.date.fromisoformat,
    "time": dt.time.fromisoformat,
    "uuid": uuid.UUID,
    "hex": bytes.fromhex,
}


class NoKey(ValueError):
    """A value that cannot identify a row."""


def write_key(values: Sequence[Any]) -> str:
    """Write the identity of a row.

    Raises:
        NoKey: A value is NULL, or of a type that is none for keys.
    """
    return "/".join(_write(value) for value in values)


def read_key(key: str) -> tuple[Any, ...]:
    """Give the values of an identity back.

    Raises:
        ValueError: It is none.
    """
    return tuple(_read(part) for part in key.split("/"))


def show_key(values: Sequence[Any], *, typeless: bool = False) -> str:
    """Write a key for people, different for different keys.

    Args:
        values: The key.
        typeless: Whether one column can hold both the number 5 and the text 5.
    """
    return "/".join(_show(value, typeless) for value in values)


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return f"bool.{'true' if value else 'false'}"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal) and value.is_finite():
        whole = value == value.to_integral_value()
        return str(int(value)) if whole and value.adjusted() < 300 else f"number.{_shortest(value)}"
    if isinstance(value, float) and math.isfinite(value):
        return f"float.{value + 0.0!r}"  # never -0.0
    if isinstance(value, str):
        return "s." + quote(value, safe=" ", errors="surrogatepass")
    if isinstance(value, dt.datetime):
        utc = value.astimezone(dt.UTC) if value.tzinfo is not None else value
        return f"datetime.{utc.isoformat()}"
    if isinstance(value, dt.date):
        return f"date.{value.isoformat()}"
    if isinstance(value, dt.time):
        return f"time.{value.isoformat()}"
    if isinstance(value, uuid.UUID):
        return f"uuid.{value}"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"hex.{bytes(value).hex()}"
    raise NoKey(f"values of the type {type(value).__name__}")


def _shortest(value: Decimal) -> Decimal:
    """Take the zeros off a number's end; `normalize` would round it."""
    sign, digits, exponent = value.as_tuple()
    kept = list(digits)
    while len(kept) > 1 and kept[-1] == 0:
        kept.pop()
    return Decimal((sign, tuple(kept), int(exponent) + len(digits) - len(kept)))


def _read(part: str) -> Any:
    if _WHOLE.match(part):
        return int(part)
    kind, dot, text = part.partition(".")
    if not dot or kind not in _READ:
        raise ValueError(f"{part[:80]!r} is no key")
    try:
        return _READ[kind](text)
    except ArithmeticError as error:
        raise ValueError(f"{part[:80]!r} is no key") from error


def _show(value: Any, typeless: bool) -> str:
    if not isinstance(value, str):
        written = _write(value)
        kind, dot, text = written.partition(".")
        return text if dot and kind in _READ else written
    shown = "".join(
        char if char.isprintable() and char not in "%/\\'" else quote(char, safe="", errors="surrogatepass")
        for char in value[: 4 * _MAX_SHOWN]
    )
    if len(shown) > _MAX_SHOWN:
        shown = f"{shown[:_MAX_SHOWN]}~{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
    if typeless and _NUMBER.match(value):
        return f"'{shown}'"
    return shown or "%"
