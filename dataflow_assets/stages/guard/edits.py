"""Edits: one difference between two texts, as everything in the guard passes it on.

What belongs here: the record, making the text that edits lead to, and showing an edit in a reason. What does not: finding the
edits (`differences`), and judging them (`rules`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]
"""Start and end in a text, end exclusive."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One difference between a text and a proposal: `original[start:end]` becomes `new`."""

    start: int
    end: int
    new: str


def applied(text: str, edits: Iterable[Edit]) -> str:
    """Make the text that edits lead to; they are in order, and none overlaps another."""
    parts, at = [], 0
    for edit in edits:
        parts += [text[at : edit.start], edit.new]
        at = edit.end
    return "".join([*parts, text[at:]])


def change(text: str, edit: Edit) -> str:
    """Show an edit for a reason: what would become what."""
    return f"{shown(text[edit.start : edit.end])} to {shown(edit.new)}"


def shown(piece: str) -> str:
    """Quote a piece for a reason, short and printable."""
    short = piece if len(piece) <= 40 else piece[:39] + "…"
    return '"' + "".join(c if unicodedata.category(c)[0] not in "CZ" or c == " " else "·" for c in short) + '"'
