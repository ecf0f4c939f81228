"""Windows over a text's tokens, as full as they get, of which neighbours share some.

What belongs here: where the strategy `tokens` cuts, and the places at which any strategy may cut without tokenising again.
What does not: the structure of the text (`stages.pieces`), and how tokens are counted (`stages.tokens`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from typing import TypeAlias

from dataflow_assets.stages.tokens import SEAM, count_tokens, token_ends

Span: TypeAlias = tuple[int, int, int, int]
"""Start and end of a chunk, its tokens, and how many of them the chunk before has too."""

BLANK = re.compile(r"\s*+")


def begin_of(text: str) -> int:
    """Start of the first line that is not blank; the length of a text without one."""
    blank = BLANK.match(text)
    end = blank.end() if blank else 0
    if end == len(text):
        return end
    return max(text.rfind("\n", 0, end), text.rfind("\r", 0, end)) + 1


_ENOUGH = 0.94
"""A window, and what it shares with the next, is full enough with this share of what is allowed."""
_STEPS = 12


class _Seamless(Exception):
    """There is no seam where one is needed."""


def by_tokens(text: str, most: int, overlap: int, count: Callable[[str], int]) -> list[Span]:
    """Windows of about as many tokens as are allowed, of which neighbours share about as many as is asked for."""
    if count is not count_tokens:
        try:
            return _by_counting(text, most, overlap, count)
        except _Seamless:
            pass
    return _by_encoding(text, most, overlap, count)


def _by_counting(text: str, most: int, overlap: int, count: Callable[[str], int]) -> list[Span]:
    """Windows from seam to seam, found by guessing where the tokens end and counting what lies between guesses.

    Every part of the text is counted about once, which is faster than to encode it and to add up where tokens end.

    Raises:
        _Seamless: There are no seams near enough, as in Chinese without punctuation.
    """
    stop = len(text.rstrip())
    start = begin_of(text)
    rate = 4.0
    """Characters per token, as of late."""
    tokens = shared = 0
    spans: list[Span] = []
    here = start
    """Up to where the window that begins at `start` has been counted."""

    def go(limit: int) -> int:
        """Move `here` to where about `limit` tokens are counted, at most; give how many."""
        nonlocal here, rate
        begin, counted = here, 0
        for step in range(_STEPS):
            missing = limit - counted
            if here >= stop or (step and missing <= limit * (1 - _ENOUGH)):
                return counted
            guess = min(stop, here + max(8, int(missing * rate * (0.97 if step else 0.9))))
            end, found = (stop, True) if guess == stop else _seam_before(text, guess, here + 1)
            if not found:
                raise _Seamless
            more = count(text[here:end])
            while more > missing:
                excess = max(2, int((end - here) * (more - missing) / more * 1.05))
                shorter, found = _seam_before(text, end - excess, here)
                if shorter <= here:
                    return counted
                if not found:
                    raise _Seamless
                more -= count(text[shorter:end])
                end = shorter
            counted += more
            here = end
            rate = max(0.5, (end - begin) / counted)
        return counted

    while True:
        tokens = shared + go(most - overlap - shared)
        following = here
        share = go(min(overlap, most - tokens)) if overlap else 0
        tokens += share
        if here >= stop or not tokens:
            break
        if following <= start:
            raise _Seamless
        spans.append((start, here, tokens, shared))
        start, shared = following, share
    if not tokens:
        raise _Seamless
    spans.append((start, stop, tokens, shared))
    return spans


def _by_encoding(text: str, most: int, overlap: int, count: Callable[[str], int]) -> list[Span]:
    """Windows over the tokens whose ends are moved to seams, so that a window's tokens are those of its text."""
    exact = count is not count_tokens and len(text) <= 1_000_000
    ends = token_ends(text).data  # a look at one of its items costs a third of what NumPy takes
    stop = len(text.rstrip())
    spans: list[Span] = []
    start, before_end, sound = begin_of(text), 0, True
    first = bisect_right(ends, start)
    before_tokens = 0
    total = len(ends)
    while start < stop:
        if first + most >= total:
            end, cut_soundly = stop, False
            seam, found = _seam_before(text, stop - 1, start + 1)
            if found and sound and exact:
                tokens = bisect_right(ends, seam) - first + count(text[seam:stop])
                if tokens <= most:
                    shared = before_tokens - first if before_tokens >= 0 else count(text[start:before_end])
                    spans.append((start, stop, tokens, shared if before_end > start else 0))
                    break
        else:
            end, cut_soundly = _seam_before(text, ends[first + most - 1], start + 1)
            end = min(end, stop)
        if cut_soundly and sound and exact:
            last = bisect_right(ends, end)
            tokens = last - first
        else:
            tokens = count(text[start:end])
            last = bisect_right(ends, end)
        while tokens > most:
            end, cut_soundly = _seam_before(
                text, end - max(1, (end - start) * (tokens - most) // (2 * tokens)), start + 1
            )
            tokens = count(text[start:end])
            last = bisect_right(ends, end)
        shared = 0
        if before_end > start:
            both_sound = sound and exact and before_tokens >= 0
            shared = before_tokens - first if both_sound else count(text[start:before_end])
        if text[start:end].strip():
            spans.append((start, end, tokens, shared))
        if end >= stop:
            break
        before_end, before_tokens = end, last if cut_soundly else -1
        following, following_sound = end, cut_soundly
        if overlap and last - overlap > first:
            following, following_sound = _seam_after(text, ends[last - overlap - 1], end)
            # Tokens of the whole text are those of what is shared only between seams.
            while not (following_sound and cut_soundly and exact) and count(text[following:end]) > overlap:
                following, following_sound = end - (end - following) // 2, False
                if whole_character(text, following) < following:
                    following += 1
            if following <= start or text[following:end].isspace():
                following, following_sound = end, cut_soundly
        start, sound = following, following_sound
        first = bisect_right(ends, start)
    return spans


_NEAR = 48
_FAR = 600


def _seam_before(text: str, position: int, least: int) -> tuple[int, bool]:
    """The last seam at or before a position, or the position, and whether it is a seam."""
    low = max(least, position - _NEAR)
    space = text.rfind(" ", low, position + 1)
    if space > low and "!" <= text[space - 1] <= "~":
        return space, True
    for width in (_NEAR, _FAR):
        found = -1
        for match in SEAM.finditer(text, max(least, position - width), position + 1):
            found = match.start()
        if found >= 0:
            return found, True
    return max(least, whole_character(text, position)), False


def _seam_after(text: str, position: int, end: int) -> tuple[int, bool]:
    """The first seam at or after a position and before an end, or the position, and whether it is a seam."""
    space = text.find(" ", position, min(end, position + _NEAR))
    if space > 0 and "!" <= text[space - 1] <= "~":
        return space, True
    match = SEAM.search(text, position, min(end, position + _FAR))
    return (match.start(), True) if match else (whole_character(text, position), False)


def whole_character(text: str, position: int) -> int:
    """The position, or the one before where it is inside of a surrogate pair."""
    inside = (
        0 < position < len(text)
        and "\udc00" <= text[position] <= "\udfff"
        and "\ud800" <= text[position - 1] <= "\udbff"
    )
    return position - 1 if inside else position
