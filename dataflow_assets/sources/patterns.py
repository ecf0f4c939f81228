"""Patterns of files, as `include` and `exclude` take them.

A pattern is matched against the whole path below the source's folder, part by part:

- `*` stands for any characters of one part, `?` for one, `[abc]`, `[a-z]` and `[!a-z]` for one of, or not of, a set;
- `**` as a whole part stands for any number of folders, also none: `**/*.md` takes `intro.md` too, and `drafts/**` all
  that lies below `drafts`, at any depth;
- a `/` at the end stands for `/**`; a `/` or `./` at the start stands for nothing;
- capitals count.

In `include`, no wildcard stands for the dot that a hidden name starts with: `**/*` leaves out `.git/config`, and
`.github/**` or `**/.env` take what they name. In `exclude`, wildcards stand for that dot too.

Patterns become regular expressions in which no piece is tried in more than one place without need (atomic groups), so
that no pattern takes exponential time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MAX_NESTED = 50
"""Longer patterns look into every folder: groups nest here, and their number is limited."""
_PART = "[^/]+"
_SEEN_PART = r"(?!\.)[^/]+"


class Patterns:
    """Says which paths of a source are taken, and which folders have to be looked into for that.

    Args:
        include: Patterns of which one must match.
        exclude: Patterns of which none may match.
    """

    def __init__(self, include: Iterable[str], exclude: Iterable[str]) -> None:
        takes = [_parts(pattern) for pattern in include]
        leaves = [_parts(pattern) for pattern in exclude]
        self._take = _OneOf(_whole(parts, hidden=False) for parts in takes)
        self._leave = _OneOf(_whole(parts, hidden=True) for parts in leaves)
        self._enter = _OneOf(_leading(parts) for parts in takes)
        # What ends in ** leaves out everything below the folders that match what stands before it.
        self._skip = _OneOf(_whole(parts[:-1], hidden=True) for parts in leaves if len(parts) > 1 and parts[-1] == "**")
        self._skip_all = ["**"] in leaves

    def takes(self, path: str) -> bool:
        """Say whether a file is taken.

        Args:
            path: Its path below the source's folder, parts joined with `/`.
        """
        return self._take(path) and not self._leave(path)

    def enters(self, folder: str) -> bool:
        """Say whether something below a folder might be taken."""
        return self._enter(folder) and not self._skip_all and not self._skip(folder)


class _OneOf:
    """Says whether one of several expressions matches the whole of a path."""

    def __init__(self, expressions: Iterable[str]) -> None:
        self._matches = [re.compile(rf"(?:{expression})\Z", re.DOTALL).match for expression in expressions]

    def __call__(self, path: str) -> bool:
        for match in self._matches:  # noqa: SIM110 - any() with a generator takes three times as long for each file
            if match(path):
                return True
        return False


def _parts(pattern: str) -> list[str]:
    if pattern.endswith("/"):
        pattern += "**"
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    # Neighbouring ** say the same as one.
    return [part for n, part in enumerate(parts) if not (part == "**" and n and parts[n - 1] == "**")]


def _whole(parts: list[str], *, hidden: bool) -> str:
    """Write the expression for a whole path."""
    return path_expression([None if part == "**" else _part(part, hidden=hidden) for part in parts], hidden=hidden)


def path_expression(parts: Iterable[str | None], *, hidden: bool) -> str:
    """Write the expression for a whole path from those of its parts.

    Between two `**` the first place that fits is as good as any other, so nothing is tried again behind it; only what
    follows the last `**` has to reach the end.

    Args:
        parts: Expressions; None for `**`.
        hidden: Whether `**` stands for hidden folders too.
    """
    folder = f"(?:{_PART if hidden else _SEEN_PART}/)"
    runs: list[list[str]] = [[]]
    for part in parts:
        if part is None:
            runs.append([])
        else:
            runs[-1].append(part)
    if len(runs) == 1:
        return "/".join(runs[0]) or "(?!)"
    first, *middle, last = runs
    expression = "".join(f"{part}/" for part in first)
    for run in middle:
        expression += "(?>" + folder + "*?" + "".join(f"{part}/" for part in run) + ")"
    if last:
        return expression + folder + "*?" + "/".join(last)
    return expression + folder + "*+" + (_PART if hidden else _SEEN_PART)


def _leading(parts: list[str]) -> str:
    """Write the expression for the folders that may hold, at any depth, what a pattern matches."""
    if len(parts) > _MAX_NESTED:
        return ".+"
    expression, closing = "", ""
    for n, part in enumerate(parts[:-1] if parts[-1:] != ["**"] else parts):
        separator = "/" if n else ""
        if part == "**":
            names_hidden = any(later.startswith((".", "[.")) for later in parts[n + 1 :])
            folder = _PART if names_hidden else _SEEN_PART
            expression += f"(?:{folder}(?:/{folder})*)?" if not n else f"(?:/{folder})*"
            break
        expression += f"(?:{separator}{_part(part, hidden=False)}"
        closing = (")?" if n else ")") + closing
    return (expression + closing) or "(?!)"


def _part(part: str, *, hidden: bool) -> str:
    """Write the expression for one part of a path."""
    pieces, wildcard_first = _pieces(part)
    guard = r"(?!\.)" if wildcard_first and not hidden else ""
    return part_expression(pieces, guard)


def part_expression(pieces: list[str], guard: str = "") -> str:
    """Write the expression for one part of a path from what stands between its stars."""
    if len(pieces) == 1:
        return guard + pieces[0]
    first, *middle, last = pieces
    # The first place where a middle piece fits is as good as any other.
    inner = "".join(f"(?>[^/]*?{piece})" for piece in middle if piece)
    # A lone * needs one character at least: no part of a path is empty.
    least = "(?=[^/])" if not any(pieces) else ""
    return f"{guard}{least}{first}{inner}[^/]*{last}"


def _pieces(part: str) -> tuple[list[str], bool]:
    """Cut a part at its stars, and say whether it starts with a wildcard."""
    pieces = [""]
    at = 0
    while at < len(part):
        char = part[at]
        if char == "*":
            pieces.append("")
        elif char == "?":
            pieces[-1] += "[^/]"
        elif char == "[" and (end := part.find("]", at + (3 if part[at + 1 : at + 2] == "!" else 2))) > 0:
            pieces[-1] += _set(part[at + 1 : end])
            at = end
        else:
            pieces[-1] += re.escape(char)
        at += 1
    return pieces, part[:1] in ("*", "?") or pieces[0].startswith("(?!/)")


def _set(content: str) -> str:
    """Write the expression for what stands in brackets."""
    negated = content.startswith("!")
    chars = content[negated:]
    single, ranges = "", ""
    at = 0
    while at < len(chars):
        if chars[at + 1 : at + 2] == "-" and at + 2 < len(chars):
            if chars[at] <= chars[at + 2]:
                ranges += f"{re.escape(chars[at])}-{re.escape(chars[at + 2])}"
            at += 3
        else:
            single += re.escape(chars[at])
            at += 1
    if not single + ranges:
        return "(?!/)[^/]" if negated else "(?!)"
    return f"(?!/)[{'^' if negated else ''}{single}{ranges}]"
