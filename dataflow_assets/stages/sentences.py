"""Where sentences and lines begin inside of a block that is too large for one chunk, and how strong each beginning is.

What belongs here: places within one block, found by what stands around them. What does not: blocks (`stages.markup`), and
which places become boundaries (`stages.pieces`).

Many texts have no blank lines between paragraphs: they came from PDFs, transcripts or data sets, and a line is a paragraph.
There a new line behind a long line, or before a line that reads like a title, is as good as a blank line; a new line
between lines of a usual width only wraps the text. Texts without capitals have sentences too, but a full stop before a
small letter may as well end an abbreviation: such places are weaker, and only looked for in a sentence that is too long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

Place: TypeAlias = tuple[int, int, bool]
"""A position, the strength of the boundary there, and whether it may be no seam of the tokenizer."""

PARAGRAPH: Final = 20
"""A line that is a paragraph, or a title."""
AFTER_BLANK: Final = 7
LINE: Final = 6
CLAUSE: Final = 5
"""A full stop or semicolon before a small letter."""
WRAPPED: Final = 3

TITLE_LENGTH: Final = 80
"""A title has at most so many characters."""
_UNWRAPPED = 120
"""A line of more characters was not broken to fit a page or a screen."""

_SENTENCE = re.compile(
    r"[.!?…。！？](?:(?<=[。！？])[」』）”’]*+(\s*+)"
    r"|(?<!\bDr.)(?<!\bMr.)(?<!\bMrs.)(?<!\bMs.)(?<!\bSt.)(?<!\bvs.)(?<!\bcf.)(?<!\be\.g.)(?<!\bi\.e.)"
    r"[)\]\"'”’»*_`]*+(\s++)(?![a-z]))"
)
_CLAUSE = re.compile(r"(?<=[a-z0-9)%]{3})[.!?;][)\]\"'”’»]*+( )(?=[a-z(])")
_LINES = re.compile(r"\n((?:[^\S\n]*+\n)*+)([^\S\n]*+)")
"""Takes blank lines and all; if it looked ahead instead, it would look again from each of many blank lines."""
_NOT_SPACE = "\x1c\x1d\x1e\x1f"
"""White space to Python, not to the tokenizer."""
_SAID = re.compile(r"[.!?…;,:。！？](?=\s)|[.!?…;,:。！？][)\]\"'”’»*_`]{0,3}\Z")


def sentences(flat: str, start: int, end: int) -> Iterator[Place]:
    """Find where sentences begin between two positions of a text that has one kind of newline."""
    for match in _SENTENCE.finditer(flat, start, end):
        space = match[1] if match[1] is not None else match[2]
        after = match.end()
        if after >= end:
            return
        if "\n" in space:
            at = flat.rfind("\n", match.start(), after) + 1
            yield at, _strength_of_line(flat, start, at, end), False
        elif space:
            yield after - len(space), LINE, space[0] in _NOT_SPACE
        else:
            yield after, LINE, True


def clauses(flat: str, start: int, end: int) -> Iterator[Place]:
    """Find where sentences may begin with a small letter."""
    for match in _CLAUSE.finditer(flat, start, end):
        yield match.start(1), CLAUSE, False


def lines(flat: str, start: int, end: int, strength: int) -> Iterator[Place]:
    """Find where lines begin; those behind blank lines are stronger where `strength` is `LINE`."""
    for match in _LINES.finditer(flat, start, end):
        if match.end() < end:
            yield match.end(1), AFTER_BLANK if match[1] and strength == LINE else strength, False


def reads_like_title(text: str) -> bool:
    """Whether a line is short and begins as a title does, and nothing in it ends a sentence or a part of one."""
    text = text.strip()
    return (
        0 < len(text) <= TITLE_LENGTH
        and "\n" not in text
        and not text[0].islower()
        and any(character.isalpha() for character in text)
        and not _SAID.search(text)
    )


def _strength_of_line(flat: str, start: int, at: int, end: int) -> int:
    before = max(start, flat.rfind("\n", start, max(start, at - 1)) + 1)
    if at - before > _UNWRAPPED:
        return PARAGRAPH
    stop = flat.find("\n", at, min(end, at + TITLE_LENGTH + 1))
    return PARAGRAPH if stop >= 0 and reads_like_title(flat[at:stop]) else LINE
