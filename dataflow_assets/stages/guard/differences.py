"""The differences between two texts, token by token.

What belongs here: which edits turn one text into another, few where the texts are alike, in a time that grows with the texts
and not with their square. What does not: whether an edit may stand (`rules`).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from dataflow_assets.stages.guard.edits import Edit

TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|[\w]+|[^\S\n]+|.", re.DOTALL)
"""A word, other letters and digits, a gap, or any other character."""
SMALL_TABLE = 4096
"""Pairs of tokens up to which the best alignment of a stretch is computed."""
MAX_DEPTH = 12
REACH = 16
"""How many tokens on either side may differ in one place, where nothing is unique."""
LIKENESS = 8
"""How many tokens in a row must be the same then."""
MAX_STEPS = 2000
"""How many differences are looked for in this way."""


def edits_between(original: str, proposal: str) -> list[Edit]:
    """List the edits that turn one text into another, in order; few where the texts are alike.

    Tokens that occur once on both sides hold the alignment (patience diff), and again inside the stretches between
    them. What cannot be aligned in reasonable time is one edit, which is then judged as such.
    """
    old, new = TOKEN.findall(original), TOKEN.findall(proposal)
    edits: list[Edit] = []
    old_at, new_at, i = 0, 0, 0
    for low, high, new_low, new_high in _hunks(old, new):
        same = sum(map(len, old[i:low]))
        removed, added = "".join(old[low:high]), "".join(new[new_low:new_high])
        old_at, new_at = old_at + same, new_at + same
        edits.append(Edit(old_at, old_at + len(removed), added))
        old_at, new_at, i = old_at + len(removed), new_at + len(added), high
    return edits


Hunk: TypeAlias = tuple[int, int, int, int]


def _hunks(old: Sequence[str], new: Sequence[str]) -> list[Hunk]:
    hunks: list[Hunk] = []
    stack: list[tuple[int, int, int, int, int]] = [(0, len(old), 0, len(new), 0)]
    while stack:
        a, b, c, d, depth = stack.pop()
        while a < b and c < d and old[a] == new[c]:
            a, c = a + 1, c + 1
        while a < b and c < d and old[b - 1] == new[d - 1]:
            b, d = b - 1, d - 1
        if a == b and c == d:
            continue
        if a == b or c == d:
            hunks.append((a, b, c, d))
            continue
        if b - a == d - c:
            differing = [k for k in range(b - a) if old[a + k] != new[c + k]]
            if 2 * len(differing) <= b - a or b - a == 1:
                hunks += [(a + k, a + k + 1, c + k, c + k + 1) for k in differing]
                continue
        if (b - a) * (d - c) <= SMALL_TABLE:
            hunks += _table(old, new, a, b, c, d)
            continue
        anchors = _anchors(old[a:b], new[c:d]) if depth < MAX_DEPTH else []
        if not anchors:
            hunks += _step_by_step(old, new, a, b, c, d)
            continue
        i, j = a, c
        for x, y in [*((a + x, c + y) for x, y in anchors), (b, d)]:
            if x > i or y > j:
                stack.append((i, x, j, y, depth + 1))
            i, j = x + 1, y + 1
    hunks.sort()
    return hunks


def _anchors(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Pair the tokens that occur once on both sides, in the longest run that keeps both orders."""
    counts, others = Counter(old), Counter(new)
    places = {token: j for j, token in enumerate(new) if others[token] == 1}
    pairs = [(i, places[token]) for i, token in enumerate(old) if counts[token] == 1 and token in places]
    tails: list[int] = []
    ends: list[int] = []
    before = [-1] * len(pairs)
    for n, (_, j) in enumerate(pairs):
        k = bisect_left(tails, j)
        before[n] = ends[k - 1] if k else -1
        tails[k : k + 1] = [j]
        ends[k : k + 1] = [n]
    chain = []
    n = ends[-1] if ends else -1
    while n >= 0:
        chain.append(pairs[n])
        n = before[n]
    chain.reverse()
    return chain


def _step_by_step(old: Sequence[str], new: Sequence[str], a: int, b: int, c: int, d: int) -> list[Hunk]:
    """Align a long stretch in which nothing is unique: after each difference, take up again at the nearest likeness."""
    hunks: list[Hunk] = []
    i, j = a, c
    while i < b and j < d:
        if old[i] == new[j]:
            i, j = i + 1, j + 1
            continue
        for shift in range(1, 2 * REACH + 1) if len(hunks) < MAX_STEPS else ():
            for skip in range(max(0, shift - REACH), min(shift, REACH) + 1):
                x, y = i + skip, j + shift - skip
                if old[x : min(x + LIKENESS, b)] == new[y : min(y + LIKENESS, d)] and (x < b) == (y < d):
                    hunks.append((i, x, j, y))
                    i, j = x, y
                    break
            else:
                continue
            break
        else:
            return [*hunks, (i, b, j, d)]
    if i < b or j < d:
        hunks.append((i, b, j, d))
    return hunks


def _table(old: Sequence[str], new: Sequence[str], a: int, b: int, c: int, d: int) -> Iterator[Hunk]:
    """Align a short stretch by its longest common subsequence."""
    rows, columns = b - a, d - c
    longest = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            longest[i][j] = (
                longest[i + 1][j + 1] + 1 if old[a + i] == new[c + j] else max(longest[i + 1][j], longest[i][j + 1])
            )
    i = j = 0
    first = (0, 0)
    while i < rows and j < columns:
        if old[a + i] == new[c + j]:
            if (i, j) != first:
                yield a + first[0], a + i, c + first[1], c + j
            i, j = i + 1, j + 1
            first = (i, j)
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
    if first != (rows, columns):
        yield a + first[0], b, c + first[1], d
