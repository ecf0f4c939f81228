"""The word diff that a sample of a correction is made of.

What belongs here: telling two texts apart as a person reads them, a few changes with a little of what stands around them. What
does not: the edits that the guard judges (`stages.guard`), which must be all of them and exact.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from dataflow_assets.stages.figures.records import DiffKind, DiffSegment

_MAX_CHANGES = 4
_CONTEXT = 60
_MAX_SEGMENT = 240
_MAX_WORDS = 800
_MAX_DEPTH = 4
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


def word_diff(before: str, after: str) -> tuple[DiffSegment, ...]:
    """Tell two texts apart word by word, showing a few changes with a little of what stands around them.

    Lines are matched first and words only within lines that differ; where that is much, words that occur once in both texts
    are matched before the others. So the time stays near linear, also for a paragraph of thousands of words in one line; a
    passage of many hundred words without any in common is shown as replaced.

    Returns:
        At most `_MAX_CHANGES` changes in their context; empty for equal texts.
    """
    if before == after:
        return ()
    raw: list[tuple[DiffKind, str]] = []
    old_lines, new_lines = before.splitlines(keepends=True), after.splitlines(keepends=True)
    for tag, a, b, c, d in _opcodes(old_lines, new_lines):
        old, new = "".join(old_lines[a:b]), "".join(new_lines[c:d])
        if tag == "equal":
            raw.append(("same", old))
            continue
        old_words, new_words = _WORDS.findall(old), _WORDS.findall(new)
        for kind, e, f, g, h in _opcodes(old_words, new_words):
            if kind == "equal":
                raw.append(("same", "".join(old_words[e:f])))
                continue
            raw.append(("gone", "".join(old_words[e:f])))
            raw.append(("new", "".join(new_words[g:h])))
    return _excerpt(_joined(raw))


def _opcodes(old: Sequence[str], new: Sequence[str], depth: int = 0) -> list[tuple[str, int, int, int, int]]:
    """Match two sequences, their equal ends first; what is long between them, around the words that occur once in both."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    found: list[tuple[str, int, int, int, int]] = [("equal", 0, head, 0, head)] if head else []
    if max(len(middle_old), len(middle_new)) <= _MAX_WORDS:
        matcher = difflib.SequenceMatcher(None, middle_old, middle_new, autojunk=False)
        within: Sequence[tuple[str, int, int, int, int]] = matcher.get_opcodes()
    else:
        within = _around_anchors(middle_old, middle_new, depth)
    found.extend((tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in within)
    if tail:
        found.append(("equal", len(old) - tail, len(old), len(new) - tail, len(new)))
    return found


def _around_anchors(old: Sequence[str], new: Sequence[str], depth: int) -> list[tuple[str, int, int, int, int]]:
    anchors = _anchors(old, new) if depth < _MAX_DEPTH else []
    if not anchors:
        return [("replace", 0, len(old), 0, len(new))]
    found: list[tuple[str, int, int, int, int]] = []
    start, begin = 0, 0
    for at, to in [*anchors, (len(old), len(new))]:
        if at > start or to > begin:
            inner = _opcodes(old[start:at], new[begin:to], depth + 1)
            found.extend((tag, a + start, b + start, c + begin, d + begin) for tag, a, b, c, d in inner)
        if at < len(old):
            found.append(("equal", at, at + 1, to, to + 1))
        start, begin = at + 1, to + 1
    return found


def _anchors(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Give the places of what occurs exactly once in both sequences, as many as stand in the same order ("patience" diff)."""
    once_old, once_new = _once(old), _once(new)
    pairs = [(at, once_new[word]) for word, at in once_old.items() if word in once_new]
    ends: list[int] = []
    chosen: list[int] = []
    before: list[int] = []
    for number, (_, to) in enumerate(pairs):
        place = bisect_left(ends, to)
        before.append(chosen[place - 1] if place else -1)
        if place == len(ends):
            ends.append(to)
            chosen.append(number)
        else:
            ends[place], chosen[place] = to, number
    longest: list[tuple[int, int]] = []
    number = chosen[-1] if chosen else -1
    while number >= 0:
        longest.append(pairs[number])
        number = before[number]
    return longest[::-1]


def _once(words: Sequence[str]) -> dict[str, int]:
    counts = Counter(words)
    return {word: at for at, word in enumerate(words) if counts[word] == 1}


def _joined(raw: Sequence[tuple[DiffKind, str]]) -> list[tuple[DiffKind, str]]:
    joined: list[tuple[DiffKind, str]] = []
    for kind, text in raw:
        if not text:
            continue
        if joined and joined[-1][0] == kind:
            joined[-1] = (kind, joined[-1][1] + text)
        else:
            joined.append((kind, text))
    return joined


def _excerpt(segments: Sequence[tuple[DiffKind, str]]) -> tuple[DiffSegment, ...]:
    shown: list[DiffSegment] = []
    changes, last = 0, len(segments) - 1
    for place, (kind, text) in enumerate(segments):
        if kind != "same":
            # A word that is replaced is one change of two segments.
            changes += not (kind == "new" and place > 0 and segments[place - 1][0] == "gone")
            if changes > _MAX_CHANGES:
                shown.append(DiffSegment("cut"))
                break
            shown.append(DiffSegment(kind, text if len(text) <= _MAX_SEGMENT else text[: _MAX_SEGMENT - 1] + "…"))
            continue
        before = _start(text) if place > 0 else ""
        after = _end(text) if place < last else ""
        if len(before) + len(after) >= len(text):
            shown.append(DiffSegment("same", text))
            continue
        shown.extend(
            part
            for part in (DiffSegment("same", before), DiffSegment("cut"), DiffSegment("same", after))
            if part.kind == "cut" or part.text
        )
    return tuple(shown)


def _start(text: str) -> str:
    """Give what follows a change: a few words, not beyond the paragraph."""
    if len(text) > _CONTEXT:
        text = text[:_CONTEXT]
        text = text[: max(text.rfind(" "), text.rfind("\n")) + 1] or text
    return text.split("\n\n", 1)[0]


def _end(text: str) -> str:
    """Give what leads to a change: a few words, not from before the paragraph."""
    if len(text) > _CONTEXT:
        text = text[-_CONTEXT:]
        gap = min((place for place in (text.find(" "), text.find("\n")) if place >= 0), default=-1)
        text = text[gap + 1 :] or text
    return text.rsplit("\n\n", 1)[-1]
