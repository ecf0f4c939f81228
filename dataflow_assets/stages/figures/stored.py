"""The way of figures to JSON and back.

What belongs here: any frozen record as plain values, and any record made of such values again, each checked against the type of
its field. What does not: what the records are (`records`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints


def plain(value: Any) -> Any:
    """Give a value as JSON can say it; a number that is not finite becomes 0."""
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return 0.0
    return value


@cache
def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record)


def restored(kind: Any, value: Any, path: str) -> Any:
    """Make a value of a type from what `plain` gave.

    Args:
        kind: The type, as a field is annotated with it.
        value: Plain values, or what claims to be such.
        path: Where the value stands, for the error.

    Raises:
        ValueError: The value has another type; the message begins with where it stands.
    """
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return None if value is None else restored(next(arg for arg in args if arg is not type(None)), value, path)
    if is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ValueError(f"{path} is not an object")
        hints = _hints(cast(type, kind))
        return cast(Any, kind)(
            **{name: restored(hints[name], value[name], f"{path}.{name}") for name in hints if name in value}
        )
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{path} is not a list")
        return tuple(restored(args[0], item, f"{path}[{place}]") for place, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ValueError(f"{path} is not an object")
        return {str(key): restored(args[1], item, f"{path}.{key}") for key, item in value.items()}
    if origin is Literal:
        if value not in args:
            raise ValueError(f"{path} is not one of {', '.join(map(str, args))}")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{path} is not of type {kind.__name__}")
    return value
