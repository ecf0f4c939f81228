"""The block of settings at the top of a page: YAML between `---` lines, TOML between `+++` lines.

What belongs here: finding the block and reading it safely. What does not: what its keys mean (`stages.read`).

A block that is no front matter, or that cannot be read, stays in the text, so that nothing is lost. YAML is hostile
until proven otherwise: aliases make a few lines into gigabytes and nesting overflows the C parser's stack, so blocks
with either are refused before they are loaded, and a block is at most 64 kB.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from dataflow_assets.records import Finding

LIMIT = 65_536
"""Characters that a block may have."""
_TOML_LIMIT = 8_192
"""Characters for TOML, whose parser takes quadratic time and space: 40 kB of one dotted key took 6.5 s and 1.5 GB."""
_DEPTH = 20
_OPENING = {"---": re.compile(r"---[ \t]*\r?\n"), "+++": re.compile(r"\+\+\+[ \t]*\r?\n")}
_CLOSING = {
    "---": re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.MULTILINE),
    "+++": re.compile(r"^\+\+\+[ \t]*(?:\r?\n|\Z)", re.MULTILINE),
}
_PLAIN_LINE = re.compile(r"(?:[\w.-]+:(?!\S)[^\n]*|[ \t]{0,8}- (?![-?])[^\n]*|[ \t]*#[^\n]*|[ \t\r]*)(?:\n|\Z)")
_SIMPLE_LINE = re.compile(
    r"(?P<key>[A-Za-z][\w.-]*):[ \t]+(?:"
    r"\"(?P<quoted>[^\"\\\n\t]*)\""
    r"|(?P<list>\[(?:\"[^\"\\\n\t]*\"(?:, ?\"[^\"\\\n\t]*\")*)\])"
    r"|(?P<plain>[A-Za-z](?:[A-Za-z0-9 ,.()/&+_'\"<>=!?@;|*-]|:(?=[A-Za-z0-9:]))*|\d{1,2}/\d{1,2}/\d{4}"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r")[ ]*\r?\n"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
_YAML_WORDS = frozenset(("yes", "no", "true", "false", "on", "off", "null", "y", "n"))
"""Words that YAML 1.1 takes for booleans or nothing; `y` and `n` in some parsers."""
_SURROGATES = re.compile("[\ud800-\udfff\0]")


def split_front_matter(text: str) -> tuple[Mapping[str, Any], str, tuple[Finding, ...]]:
    """Take the front matter off a text.

    Args:
        text: The decoded document.

    Returns:
        Its keys and JSON values, the text after the block unchanged, and what was wrong with it. A block that cannot be
        read is left in the text.
    """
    fence = text[:3]
    opening = _OPENING[fence].match(text) if fence in _OPENING else None
    if opening is None:
        return {}, text, ()
    closing = _CLOSING[fence].search(text, opening.end(), opening.end() + LIMIT)
    if closing is None:
        return {}, text, ()
    block = text[opening.end() : closing.start()]
    try:
        values = _toml(block) if fence == "+++" else _yaml(block)
    except Exception as error:
        return {}, text, (_unreadable(block, error),)
    if values is None:
        return {}, text, ()
    return json_value(values), text[closing.end() :], ()


def json_value(value: Any, depth: int = _DEPTH) -> Any:
    """Turn any value that YAML, TOML or a reader may give into one that every JSON parser takes, deterministically."""
    if depth == 0:
        return "..."
    if isinstance(value, str):
        return value if value.isascii() and "\0" not in value else _SURROGATES.sub("\ufffd", value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else hex(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {_key(key): json_value(each, depth - 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(each, depth - 1) for each in value]
    if isinstance(value, set | frozenset):
        return sorted((json_value(each, depth - 1) for each in value), key=repr)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return _SURROGATES.sub("\ufffd", str(value))


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str(json_value(key))
    plain = json_value(key)
    return plain if isinstance(plain, str) else repr(plain)


def _toml(block: str) -> dict[str, Any]:
    import tomllib

    if len(block) > _TOML_LIMIT:
        raise ValueError(f"it has more than {_TOML_LIMIT} characters")
    return tomllib.loads(block.replace("\r\n", "\n"))


def _yaml(block: str) -> dict[Any, Any] | None:
    """Load a block; None where it is no mapping, such as prose between two thematic breaks."""
    if (simple := _simple_yaml(block)) is not None:
        return simple
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if not _is_plain(block):
        depth = 0
        for event in yaml.parse(block, Loader=loader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("aliases (*name) are not allowed")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _DEPTH:
                raise ValueError(f"it is nested more than {_DEPTH} levels deep")
    values = yaml.load(block, Loader=loader)  # noqa: S506  # CSafeLoader and SafeLoader are safe
    if values is None:
        return {}
    return values if isinstance(values, dict) else None


def _simple_yaml(block: str) -> dict[Any, Any] | None:
    """Load a block of strings and lists of strings, as most are, in a tenth of the parser's time; None if it is not."""
    if not block.isascii() or _CONTROLS.search(block):
        return None
    values: dict[Any, Any] = {}
    position = 0
    while position < len(block):
        line = _SIMPLE_LINE.match(block, position)
        if line is None or line["key"].lower() in _YAML_WORDS:
            return None
        position = line.end()
        if (plain := line["plain"]) is not None:
            plain = plain.rstrip()
            if plain.lower() in _YAML_WORDS:
                return None
            values[line["key"]] = plain
        elif (quoted := line["quoted"]) is not None:
            values[line["key"]] = quoted
        else:
            values[line["key"]] = json.loads(line["list"])
    return values


def _is_plain(block: str) -> bool:
    """Tell whether a block can hold neither aliases nor deep nesting, which nearly every one shows at a glance."""
    if "*" in block or block.count("[") + block.count("{") > _DEPTH:
        return False
    position = 0
    while position < len(block):
        line = _PLAIN_LINE.match(block, position)
        if line is None or line.end() == position:
            return False
        position = line.end()
    return True


def _unreadable(block: str, error: Exception) -> Finding:
    why = " ".join(str(getattr(error, "problem", None) or error).split())[:200] or type(error).__name__
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + 2}" if mark is not None else ""
    return Finding(
        validator="front_matter",
        severity="warning",
        message=f"The front matter cannot be read{where} and was left in the text: {why}.",
        field="metadata",
        value=block[:120],
        suggestion="Mend the block between the fences at the top of the document, or remove it.",
    )
