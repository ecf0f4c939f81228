"""Patterns of paths: `*` and `?` stay within a name, `**` crosses folders, `[...]` is one of a set.

A pattern matches the whole path below the source's root. What begins with a dot is hidden and is matched only by a pattern
part that begins with a dot, so that `**/*` does not take `.git` along.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache


class PathPatterns:
    """Says which paths a source takes.

    Args:
        include: A path is taken if one of them matches it,
        exclude: and none of these. A folder that one of them matches, as `drafts/**` does, is not entered.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._include = [_parts(pattern) for pattern in include]
        self._exclude = [_parts(pattern) for pattern in exclude]

    def takes(self, path: Sequence[str]) -> bool:
        """Say whether the file with these path parts is taken."""
        return any(_matches(pattern, path, hidden=False) for pattern in self._include) and not any(
            _matches(pattern, path, hidden=True) for pattern in self._exclude
        )

    def enters(self, path: Sequence[str]) -> bool:
        """Say whether a folder may hold a file that is taken."""
        return any(_may_hold(pattern, path) for pattern in self._include) and not any(
            pattern[-1] == "**" and _matches(pattern, [*path, "x"], hidden=True) for pattern in self._exclude
        )


def _parts(pattern: str) -> tuple[str, ...]:
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    return tuple(part for i, part in enumerate(parts) if part != "**" or i == 0 or parts[i - 1] != "**") or ("**",)


def _matches(pattern: Sequence[str], path: Sequence[str], *, hidden: bool) -> bool:
    # States of an automaton: the set of pattern positions that the parts read so far lead to. Linear in both.
    states = _closed({0}, pattern)
    for part in path:
        following = set()
        for state in states:
            if state == len(pattern):
                continue
            if pattern[state] == "**":
                if hidden or not part.startswith("."):
                    following.add(state)
            elif _name_matches(pattern[state], part, hidden):
                following.add(state + 1)
        states = _closed(following, pattern)
        if not states:
            return False
    return len(pattern) in states or (len(pattern) - 1 in states and pattern[-1] == "**" and bool(path))


def _may_hold(pattern: Sequence[str], path: Sequence[str]) -> bool:
    states = _closed({0}, pattern)
    for part in path:
        following = set()
        for state in states:
            if state == len(pattern):
                continue
            if pattern[state] == "**":
                if not part.startswith("."):
                    following.add(state)
            elif _name_matches(pattern[state], part, False):
                following.add(state + 1)
        states = _closed(following, pattern)
    return any(state < len(pattern) for state in states)


def _closed(states: set[int], pattern: Sequence[str]) -> set[int]:
    """Add the states that `**` reaches without reading anything."""
    closed = set(states)
    for state in sorted(states):
        while state < len(pattern) and pattern[state] == "**":
            state += 1
            closed.add(state)
    return closed


def _name_matches(pattern: str, name: str, hidden: bool) -> bool:
    if name.startswith(".") and not hidden and not pattern.startswith("."):
        return False
    return _compiled(pattern).fullmatch(name) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    said, i = "", 0
    while i < len(pattern):
        character = pattern[i]
        i += 1
        if character == "*":
            # Lazy; names are at most 255 bytes, which bounds what backtracking can cost.
            rest = pattern[i:].lstrip("*")
            i = len(pattern) - len(rest)
            said += ".*?" if rest else ".*"
        elif character == "?":
            said += "."
        elif character == "[" and (end := pattern.find("]", i + 1)) > 0:
            inner = pattern[i:end].replace("\\", r"\\").replace("[", r"\[").replace("&", r"\&").replace("~", r"\~").replace("|", r"\|")
            said += f"[{'^' + inner[1:] if inner.startswith(('!', '^')) else inner}]"
            i = end + 1
        else:
            said += re.escape(character)
    try:
        return re.compile(said, re.DOTALL)
    except re.error:
        return re.compile(re.escape(pattern))
