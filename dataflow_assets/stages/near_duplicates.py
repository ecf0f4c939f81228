"""Near duplicates: whether two texts say the same in nearly the same words.

What belongs here: the words of a text, the hashes by which likely pairs are found (MinHash over runs of words, in bands), and
the verdict on a pair. What does not: which pairs are looked at, and which document of a group stays (`warehouse`).

The verdict is careful, since a document that is taken for a duplicate is not searched: nearly all runs of five words must be
shared, and what differs may hold no number, no name of code, no negation and no link. So translations stay, and so do pages
of two versions that differ in a version, a price or a "not".
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Shingles = NDArray[np.uint64]

CODE_VERSION = 1
"""Another number finds the likely pairs anew, and judges all pairs again."""

SHINGLE = 5
"""Words of a run. Broder (1997), "On the resemblance and containment of documents", uses 10, most of its successors 4 to 9."""
MIN_WORDS = 40
"""Shorter texts are never near duplicates: one word is much of what they say."""
BANDS, ROWS = 16, 8
"""A pair with 90 % of its runs shared is found with a chance of 1 - (1 - 0.9^8)^16 = 0.9999, one with 50 % with 0.06."""

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0eff"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")
"""Scripts that put no spaces between words count by the character."""
_TOKEN = re.compile(r"\S+")
_SUBSTANCE = re.compile(r"\d|[_@#$€£¥%=<>{}\\/]|\w[.:]\w|[a-z][A-Z]")
"""What marks a number, a name of code, a path, a link, an address or a sum."""
_NEGATIONS = frozenset(
    """
    no not none never nor neither without cannot can't don't doesn't didn't won't isn't aren't wasn't shouldn't mustn't
    nicht kein keine keinen keiner nie niemals ohne ne pas non jamais sans aucun aucune ni nunca sin ningún ninguna não nem sem
    niet geen nooit zonder inte ingen aldrig ikke aldri не нет никогда без ei
    """.split()
)
_EDGES = re.compile(r"^\W+|\W+$")


def shingles(text: str) -> Shingles:
    """Give the distinct hashes of a text's runs of five words, sorted; none for a short text."""
    import numpy as np

    words = _WORD.findall(text.casefold())
    if len(words) < MIN_WORDS:
        return np.empty(0, np.uint64)
    known = {word: zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in set(words)}
    hashes = _mixed(np.fromiter(map(known.__getitem__, words), np.uint64, len(words)))
    rows = len(hashes) - SHINGLE + 1
    runs = np.zeros(rows, np.uint64)
    with np.errstate(over="ignore"):
        for place in range(SHINGLE):
            runs = runs * np.uint64(0x100000001B3) + hashes[place : place + rows]
    return np.unique(_mixed(runs))


def bands(runs: Shingles) -> list[int]:
    """Hash runs of words into bands: texts that share one are looked at; none for a short text.

    Returns:
        `BANDS` signed 64-bit numbers.
    """
    import numpy as np

    if not len(runs):
        return []
    lowest = np.full(BANDS * ROWS, np.iinfo(np.uint64).max, np.uint64)
    odd, shift = _permutations()
    with np.errstate(over="ignore"):
        for start in range(0, len(runs), 4096):
            block = runs[start : start + 4096]
            lowest = np.minimum(lowest, (block[None, :] * odd[:, None] + shift[:, None]).min(axis=1))
        rows = lowest.reshape(BANDS, ROWS)
        joined = np.arange(1, BANDS + 1, dtype=np.uint64)
        for place in range(ROWS):
            joined = _mixed(joined * np.uint64(0x9E3779B97F4A7C15) + rows[:, place])
    return [int(value) for value in joined.view(np.int64)]


def similarity(one: Shingles, other: Shingles) -> float:
    """Give the share of runs that two texts have in common (Jaccard), from 0 to 1."""
    import numpy as np

    if not len(one) or not len(other):
        return 0.0
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


def differ_in_substance(one: str, other: str) -> bool:
    """Say whether what only one of two texts holds is more than wording: numbers, names of code, links, negations."""
    mine, theirs = Counter(_TOKEN.findall(one)), Counter(_TOKEN.findall(other))
    loose: Counter[str] = Counter()
    for sign, counted in ((1, mine - theirs), (-1, theirs - mine)):
        for token, count in counted.items():
            loose[_EDGES.sub("", token)] += sign * count  # punctuation and markup around a word are no substance
    return any(count and (_SUBSTANCE.search(word) or word.casefold() in _NEGATIONS) for word, count in loose.items())


def _mixed(values: Any) -> Any:
    """Spread hashes over 64 bits (the finaliser of SplitMix64)."""
    import numpy as np

    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def _permutations() -> tuple[Any, Any]:
    import numpy as np

    seeds = _mixed(np.arange(1, 2 * BANDS * ROWS + 1, dtype=np.uint64))
    return seeds[::2] | np.uint64(1), seeds[1::2]
