"""Ignore files: patterns that lie beside the files that they leave out, as `.gitignore` does.

What belongs here: what the lines of such a file mean, and which of several files decides. What does not: reading them
(`files`), and the patterns of the catalog (`patterns`), whose expressions are used here too.

The meaning is git's:

- a pattern without a `/`, but for one at its end, is matched against the name alone, at any depth; any other against the
  path below the folder that the ignore file lies in;
- `*` and `?` stand for no `/`, `[...]` for one character of a set; `**` as a whole part stands for any number of folders;
- a `/` at the end: folders only; a `!` at the start: what was left out is taken again; a backslash takes away the meaning of
  the character behind it; `#` starts a comment;
- the last line that matches decides; an ignore file deeper down decides before those above it;
- what lies in a folder that is left out cannot be taken again.

The lines are written by strangers: no pattern takes exponential time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dataflow_assets.sources.patterns import part_expression, path_expression

MAX_BYTES = 512 * 1024
"""A larger ignore file is none that a person wrote."""
_MAX_LINE = 4096
"""No path is longer, so no longer pattern matches one."""
_CLASSES = {
    "alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "upper": "A-Z", "lower": "a-z", "space": r" \t\n\r\f\v",
    "blank": r" \t", "punct": r"!-/:-@\[-`{-~", "xdigit": "0-9A-Fa-f", "cntrl": r"\x00-\x1f\x7f", "print": " -~",
    "graph": "!-~",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Rule:
    matches: re.Pattern[str]
    ignores: bool
    only_folders: bool
    name_alone: bool


class IgnoreRules:
    """What the ignore files of one folder say.

    Args:
        folder: The folder, as a path that ends in `/`; nothing for the source's own.
        texts: What the files hold; a later one decides before an earlier.
    """

    def __init__(self, folder: str, texts: Iterable[str]) -> None:
        self._folder = folder
        self._rules = [rule for text in texts for rule in _rules(text)]
        self._rules.reverse()

    def verdict(self, path: str, *, is_folder: bool) -> bool | None:
        """Say whether something below the folder is left out; None where no line matches it."""
        below = path[len(self._folder) :]
        name = below.rpartition("/")[2]
        for rule in self._rules:
            if (is_folder or not rule.only_folders) and rule.matches.match(name if rule.name_alone else below):
                return rule.ignores
        return None


def is_ignored(above: Sequence[IgnoreRules], path: str, *, is_folder: bool) -> bool:
    """Say whether ignore files leave something out.

    Args:
        above: The rules of the folders that it lies in, the outermost first.
        path: Its path below the source's folder.
        is_folder: Whether it is a folder.
    """
    for rules in reversed(above):
        verdict = rules.verdict(path, is_folder=is_folder)
        if verdict is not None:
            return verdict
    return False


def _rules(text: str) -> Iterator[_Rule]:
    for line in text.removeprefix("\ufeff").split("\n"):
        line = _trimmed(line.removesuffix("\r"))
        if not line or line.startswith("#") or len(line) > _MAX_LINE:
            continue
        negated = line.startswith("!")
        pattern = line[negated:]
        only_folders = pattern.endswith("/")
        pattern = pattern.removesuffix("/")
        name_alone = "/" not in pattern
        parts = pattern.removeprefix("/").split("/")
        expressions = [None if _is_any(part) and not name_alone else _part(part) for part in parts]
        # Neighbouring ** say the same as one.
        wanted = [
            each for n, each in enumerate(expressions) if each is not None or not n or expressions[n - 1] is not None
        ]
        if pattern and "" not in wanted:
            expression = re.compile(path_expression(wanted, hidden=True) + r"\Z", re.DOTALL)
            yield _Rule(expression, not negated, only_folders, name_alone)


def _trimmed(line: str) -> str:
    """Take the spaces off the end of a line, but for one that a backslash stands before."""
    bare = line.rstrip(" ")
    backslashes = len(bare) - len(bare.rstrip("\\"))
    return line[: len(bare) + 1] if backslashes % 2 and len(bare) < len(line) else bare


def _is_any(part: str) -> bool:
    return len(part) > 1 and not part.strip("*")


def _part(part: str) -> str:
    """Write the expression for one part of a path; one that matches nothing where the part means nothing."""
    pieces = [""]
    at = 0
    while at < len(part):
        char = part[at]
        at += 1
        if char == "*":
            pieces.append("")
        elif char == "?":
            pieces[-1] += "[^/]"
        elif char == "\\":
            if at == len(part):
                return "(?!)"
            pieces[-1] += re.escape(part[at])
            at += 1
        elif char == "[":
            one, at = _set(part, at)
            if not at:
                return "(?!)"
            pieces[-1] += one
        else:
            pieces[-1] += re.escape(char)
    return part_expression(pieces) if part else ""


def _set(part: str, at: int) -> tuple[str, int]:
    """Write the expression for a set that begins before a position; gives the position behind it, 0 where it has no end."""
    negated = part[at : at + 1] in ("!", "^")
    at += negated
    inside, first, low = "", True, ""
    while at < len(part) and (part[at] != "]" or first):
        first = False
        if part.startswith("[:", at) and (end := part.find(":]", at + 2)) > 0:
            name = part[at + 2 : end]
            if name not in _CLASSES:
                return "", 0
            inside, low, at = inside + _CLASSES[name], "", end + 2
            continue
        if part[at] == "-" and low and at + 1 < len(part) and part[at + 1] != "]":
            high, at = _char(part, at + 1)
            inside += f"{re.escape(low)}-{re.escape(high)}" if low <= high else ""
            low = ""
            continue
        low, at = _char(part, at)
        inside += re.escape(low)
    if at >= len(part):
        return "", 0
    if not inside:
        return ("[^/]" if negated else "(?!)"), at + 1
    return f"(?!/)[{'^' if negated else ''}{inside}]", at + 1


def _char(part: str, at: int) -> tuple[str, int]:
    """Give the character of a set at a position, and the position behind it."""
    if part[at] == "\\" and at + 1 < len(part):
        return part[at + 1], at + 2
    return part[at], at + 1
