"""Spelling: whether one word may stand in the place of another.

What belongs here: how far two spellings are apart, and which near ones are other words all the same. What does not: lists of
words and what they say (`words`), and edits of more than a word (`rules`).
"""

from __future__ import annotations

import re
import unicodedata

from dataflow_assets.stages.guard.words import (
    CONTRACTED,
    NEGATIONS,
    OPPOSITES,
    PREFIXES,
    TRUE_WORDS,
    bare_word,
    common_words,
    meaning,
)

_ROMAN = re.compile("[ivx]{2,}")
_OF = re.compile(r"['’]s\Z|s['’]?\Z")
_SHORTENED = re.compile(r"[^\W\d_]+(?:n['’]t|['’](?:s|re|ve|ll|d|m))")


def edit_distance(one: str, other: str, *, limit: int) -> int:
    """Count the letters to insert, delete, replace or swap with their neighbour; `limit + 1` where it is more.

    The restricted Damerau-Levenshtein distance.
    """
    short = min(len(one), len(other))
    head = next((k for k in range(short) if one[k] != other[k]), short)
    tail = next((k for k in range(short - head) if one[-1 - k] != other[-1 - k]), short - head)
    one, other = one[head : len(one) - tail], other[head : len(other) - tail]
    if not one or not other or abs(len(one) - len(other)) > limit:
        return min(max(len(one), len(other)), limit + 1)
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, x in enumerate(one, 1):
        row = [i]
        for j, y in enumerate(other, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == other[j - 2] and one[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
        before, last = last, row
    return min(last[-1], limit + 1)


def word_breaks(one: str, other: str) -> str | None:
    """Name the rule that one word in the place of another breaks."""
    if one[0].isupper() != other[0].isupper() or other[1:] != other[1:].lower():
        return "capitals would change"
    old, new = bare_word(one).lower(), bare_word(other).lower()
    if not {*map(_script, other)} <= {"", *map(_script, one)}:
        return "letters of another script would come"
    if old == new:
        same = one.replace("’", "'") == other.replace("’", "'") or _OF.sub("", one) == _OF.sub("", other)
        come = one.isalpha() and _SHORTENED.fullmatch(other) and meaning(one) in (None, "not")
        return None if same or come else "an apostrophe would change"
    if (len(old) == 1 or len(new) == 1) and {old, new} != {"a", "an"} or _ROMAN.fullmatch(old) or _ROMAN.fullmatch(new):
        return "the meaning would change"
    length = max(len(old), len(new))
    limit = 1 if length <= 4 else 2 if length <= 8 else 3
    distance = edit_distance(old, new, limit=limit)
    if distance > limit:
        return "a word would be replaced by another"
    if one[0].isupper() and (old in common_words() or new not in common_words()):
        # What begins a sentence may be a name: Bob must not become Rob.
        return "a word that may be a name would change"
    was, becomes = meaning(one), meaning(other)
    if becomes == "not" and new not in CONTRACTED and new != "cannot":
        return "the meaning would change"
    if becomes is not None and old in TRUE_WORDS:
        return "the meaning would change"
    if was != becomes:
        swapped = sorted(old) == sorted(new)
        negates = was in NEGATIONS or becomes in NEGATIONS
        slip = was is None and distance == 1 and (length >= 5 or (swapped and not negates))
        if not slip:
            return "the meaning would change"
    if frozenset((old, new)) in OPPOSITES or old.endswith("less") != new.endswith("less") and distance > 1:
        return "the meaning would change"
    return "the meaning would change" if _prefix_flips(old, new, distance) else None


def _script(letter: str) -> str:
    return "" if letter in "'’" else "LATIN" if letter.isascii() else unicodedata.name(letter, "?").partition(" ")[0]


def _prefix_flips(old: str, new: str, distance: int) -> bool:
    """Tell whether two words are the same but for their prefixes, such as unknown and known, import and export."""
    olds = ["", *(p for p in PREFIXES if old.startswith(p))]
    news = ["", *(p for p in PREFIXES if new.startswith(p))]
    for p in olds:
        for q in news:
            nested = p and q and (p.startswith(q) or q.startswith(p))
            if p != q and not nested and min(len(old) - len(p), len(new) - len(q)) >= 3:
                rest = edit_distance(old[len(p) :], new[len(q) :], limit=distance - 1)
                if rest < distance and rest <= max(0, distance - max(len(p), len(q))):
                    return True
    return False
