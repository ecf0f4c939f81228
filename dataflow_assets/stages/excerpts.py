"""Excerpts of documents: which stretches of a library's text somebody is asked to write questions about; pure.

What belongs here: finding stretches that make sense by themselves, and choosing the same few in every run and home. What does
not: reading documents and asking (`flow.examiner`), and what is asked (`models.examiner`).

Excerpts are cut from the documents themselves and not from their chunks, so that a new chunker leaves them, and the questions
that were paid for, as they are. Which are taken follows from hashes: of an excerpt's own text within its document, of the
document's id among documents. So an edit changes the excerpts that it touches, a new document takes the place of one other,
and the rest stay.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from typing import Final

MIN_WEIGHT: Final = 160
"""Letters and digits of an excerpt, about 30 words: enough to tell something that can be asked for."""
SHORT_WEIGHT: Final = 40
"""A document that is shorter than an excerpt is one by itself, if it has so many."""
MAX_CHARACTERS: Final = 1_200
READ_CHARACTERS: Final = 200_000
"""Of a document so much is looked at, which bounds time and memory whatever it holds."""
MOST_SIGNS: Final = 0.12
"""Where a larger share of an excerpt is signs, it is code, a table or a list of links, and is taken after the others."""
MOST: Final = 50
"""Excerpts of one document."""
WIDE: Final = "\u2e80"
"""From here on a character says about as much as two letters: scripts of East Asia."""

_SENTENCE: Final = re.compile(r"[.!?]\s+|[。！？]|\n")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stretch of a document's text."""

    document_id: str
    text: str


def excerpts(text: str, count: int) -> list[str]:
    """Choose stretches of a document, none of which overlaps another.

    Args:
        text: The document's text.
        count: How many at most, and never more than `MOST`.

    Returns:
        Parts of the text, in an order that follows from what each of them says.
    """
    text = text[:READ_CHARACTERS]
    weights = [0, *accumulate((2 if c >= WIDE else 1) if c.isalnum() else 0 for c in text)]
    if weights[-1] < MIN_WEIGHT:
        return [_cut(text, 0, len(text)).strip()] if weights[-1] >= SHORT_WEIGHT else []
    signs = [0, *accumulate(not (c.isalnum() or c.isspace()) for c in text)]
    blocks = _blocks(text)
    ends = [end for _, end in blocks]
    ranked = []
    for start in _starts(text, blocks):
        enough = bisect_left(weights, weights[start] + MIN_WEIGHT)
        if enough - start > MAX_CHARACTERS or enough > ends[-1]:
            continue  # hardly any writing, or nearly the end
        found = _cut(text, start, ends[bisect_left(ends, enough)])
        end = start + len(found)
        digest = sha256(found.encode("utf-8", "replace")).digest()
        ranked.append((signs[end] - signs[start] > MOST_SIGNS * len(found), digest, start, end))
    taken: dict[bytes, tuple[int, int]] = {}
    for _, digest, start, end in sorted(ranked):
        if len(taken) >= min(count, MOST):
            break
        if digest not in taken and all(end <= other or start >= beyond for other, beyond in taken.values()):
            taken[digest] = start, end
    return [text[start:end].strip() for start, end in taken.values()]


def choose(found: Mapping[str, Sequence[str]], count: int) -> list[Excerpt]:
    """Choose among the excerpts of documents: one of each document, then a second one of each, and so on.

    What stands in several documents asks for none of them, and is left out.

    Args:
        found: Document id -> its excerpts, in their order.
        count: How many to choose at most.
    """
    owners = Counter(text for texts in found.values() for text in set(texts))
    ranked = [
        (rank, sha256(document_id.encode()).digest(), Excerpt(document_id, text))
        for document_id, texts in found.items()
        for rank, text in enumerate(text for text in texts if owners[text] == 1)
    ]
    ranked.sort(key=lambda item: item[:2])
    return [excerpt for *_, excerpt in ranked[:count]]


def in_order(document_ids: Iterable[str]) -> list[str]:
    """Put documents into the order in which `choose` prefers them."""
    return sorted(document_ids, key=lambda document_id: sha256(document_id.encode()).digest())


def _cut(text: str, start: int, end: int) -> str:
    """Give a stretch, cut between two words where it is too long."""
    found = text[start:end]
    if len(found) <= MAX_CHARACTERS:
        return found
    found = found[:MAX_CHARACTERS]
    words = found.rsplit(None, 1)[0]
    return words if len(words) > MAX_CHARACTERS // 2 else found


def _blocks(text: str) -> list[tuple[int, int]]:
    """Give where blocks begin and end: lines without an empty one between them."""
    blocks: list[tuple[int, int]] = []
    at, inside = 0, False
    for line in text.split("\n"):
        end = at + len(line)
        if not line.strip():
            inside = False
        elif inside:
            blocks[-1] = (blocks[-1][0], end)
        else:
            blocks.append((at, end))
            inside = True
        at = end + 1
    return blocks


def _starts(text: str, blocks: Iterable[tuple[int, int]]) -> Iterable[int]:
    """Give where an excerpt may begin: where a block does, and in a long one where a line or a sentence does."""
    for start, end in blocks:
        yield start
        if end - start > MAX_CHARACTERS:
            yield from (mark.end() for mark in _SENTENCE.finditer(text, start, end) if mark.end() < end)
