"""The guard: what of a proposed text may stand.

What belongs here: the rules that hold whoever proposed the text, a spelling tool or a language model. What does not:
asking anybody for a proposal (`models`), and what becomes of a chunk (`stages.correct`).

The guard trusts no proposal. It compares the two texts token by token and judges each difference, an *edit*, by what is
allowed, not by what is forbidden: a word may become a word that is spelt almost the same, letters may be parted or
joined, a doubled word or an article may go, a small word may come, a comma may move. Whatever is not of these kinds is
refused, so a proposal that rewrites, translates or explains fails without anybody having foreseen it.

Inside *protected pieces* nothing may change at all: code, links, tags, identifiers, numbers, names. They are found in
the original and again in the result, and must be the same pieces in the same order, so that an edit beside a piece cannot
grow it, shrink it or make a new one.

Every step takes time in proportion to the text, with small factors, whatever the text is.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]
"""Start and end in a text, end exclusive."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may stand of a proposal."""

    text: str
    """The text that stands: with the accepted edits, or the original."""
    accepted: bool
    """Whether the proposal, or all of it that counts, was accepted. True where nothing was proposed."""
    reason: str | None
    """Why something was not accepted."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One difference between a text and a proposal: `original[start:end]` becomes `new`."""

    start: int
    end: int
    new: str


def judge(original: str, proposal: str, protected: Iterable[Span] = (), *, max_change: float = 0.2) -> Verdict:
    """Accept a proposal as a whole, or refuse it.

    For a proposer whose edits may depend on each other, such as a language model.

    Args:
        original: The text.
        proposal: What somebody would make of it.
        protected: Spans of the original in which nothing may change, besides those that the text itself shows.
        max_change: The largest share of the original's characters that may change.

    Returns:
        The proposal, or the original with the reason of the first edit that breaks a rule.
    """
    if proposal == original:
        return Verdict(original, True, None)
    too_long = _length_breaks(original, proposal, max_change)
    if too_long:
        return Verdict(original, False, too_long)
    pieces = _Pieces(original, protected)
    edits = edits_between(original, proposal)
    for edit in edits:
        reason = pieces.touched_by(edit) or _broken_rule(original, edit)
        if reason:
            return Verdict(original, False, reason)
    reason = _share_breaks(original, edits, max_change) or pieces.lost_by(edits)
    return Verdict(original, False, reason) if reason else Verdict(proposal, True, None)


def keep_good_edits(
    original: str, proposal: str, protected: Iterable[Span] = (), *, max_change: float = 0.2
) -> Verdict:
    """Accept those edits of a proposal that break no rule.

    For a proposer whose edits do not depend on each other and who knows nothing of code, such as a spelling tool. Edits
    that touch a protected piece are dropped as if they had not been proposed.

    Args:
        original: The text.
        proposal: What somebody would make of it.
        protected: Spans of the original in which nothing may change, besides those that the text itself shows.
        max_change: The largest share of the original's characters that may change.

    Returns:
        The text with the good edits. It is not accepted, and the original, where an edit broke a rule and none was good.
    """
    if proposal == original:
        return Verdict(original, True, None)
    pieces = _Pieces(original, protected)
    groups = [[edit] for edit in edits_between(original, proposal) if not pieces.touched_by(edit)]
    return _kept(original, pieces, groups, max_change)


def keep_good_replacements(
    original: str, replacements: Sequence[Edit], protected: Iterable[Span] = (), *, max_change: float = 0.2
) -> Verdict:
    """Accept those replacements that break no rule, each as a whole or not at all.

    For a proposer who names what to replace, such as a language model: a replacement that rewrites a sentence does not stand in
    part because some of its words could.

    Args:
        original: The text.
        replacements: What somebody would replace, in order, none overlapping another.
        protected: Spans of the original in which nothing may change, besides those that the text itself shows.
        max_change: The largest share of the original's characters that may change.

    Returns:
        The text with the good replacements. It is not accepted, and the original, where none was good.
    """
    groups: list[list[Edit]] = []
    for replacement in replacements:
        start, end, new = _whole_words(original, replacement)
        inner = edits_between(original[start:end], new)
        group = [Edit(start + edit.start, start + edit.end, edit.new) for edit in inner]
        if group and (not groups or groups[-1][-1].end <= group[0].start):
            groups.append(group)
    if not groups:
        return Verdict(original, True, None)
    return _kept(original, _Pieces(original, protected), groups, max_change)


_WORD_BEFORE = re.compile(r"[\w'’]+\Z")
_WORD_AFTER = re.compile(r"[\w'’]*")


def _whole_words(text: str, edit: Edit) -> tuple[int, int, str]:
    """Take the rest of the words along that a replacement begins or ends in or beside: words are judged whole."""
    before = _WORD_BEFORE.search(text[max(0, edit.start - _MAX_WORD) : edit.start])
    after = _WORD_AFTER.match(text, edit.end, edit.end + _MAX_WORD)
    head, tail = before[0] if before else "", after[0] if after else ""
    return edit.start - len(head), edit.end + len(tail), head + edit.new + tail


_REWRITES = ("too much would change", "words would be", "a word would be replaced", "the text would have")


def is_rewriting(verdict: Verdict) -> bool:
    """Say whether a proposal was refused for being another text, and not for a detail of it."""
    reason = verdict.reason or ""
    return not verdict.accepted and (reason.startswith(_REWRITES) or "characters would change" in reason)


def _refusal(original: str, pieces: _Pieces, edit: Edit) -> str | None:
    """Name what an edit breaks: that it is another text says more than that it touches a piece."""
    rule = _broken_rule(original, edit)
    return rule if rule is not None and rule.startswith(_REWRITES) else pieces.touched_by(edit) or rule


def _kept(original: str, pieces: _Pieces, groups: Sequence[Sequence[Edit]], max_change: float) -> Verdict:
    """Keep the groups of edits that break no rule, each as a whole."""
    good: list[Edit] = []
    reason = None
    for group in groups:
        broken = next((said for edit in group if (said := _refusal(original, pieces, edit))), None)
        if broken is None:
            good += group
        elif reason is None:
            reason = broken
    good, lost = _without_losses(pieces, good)
    reason = reason or lost
    share = _share_breaks(original, good, max_change)
    if share:
        return Verdict(original, False, share)
    if not good:
        return Verdict(original, reason is None, reason)
    return Verdict(_applied(original, good), True, None)


def protected_pieces(text: str, protected: Iterable[Span] = ()) -> list[Span]:
    """Find the spans of a text in which nothing may change: in order, not empty, merged where they overlap.

    Args:
        text: Markdown, reStructuredText, HTML, or plain text.
        protected: Further spans, such as code blocks that only the whole document shows. Those that are out of range
            are cut, those that are empty are ignored.
    """
    spans = [(max(0, start), min(end, len(text))) for start, end in protected]
    spans += _blocks(text)
    spans += _inline(text)
    spans += _tokens(text)
    merged: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


# ---- pieces ----

_FENCE = re.compile(r"[ \t>]*(?:[-*+][ \t]+)?(`{3,}|~{3,})")
_DIRECTIVE = re.compile(r"[ \t]*\.\.[ \t]+(?:\|[^|\n]{1,100}\|[ \t]+)?([\w+.:-]{1,60}?)::")
_TARGET = re.compile(r"[ \t]*(?:\.\.[ \t]+_|\[[^\]\n]{1,300}\]:)")
_OPTION = re.compile(r"[ \t]*:[\w-]{1,40}:")
_PROSE_DIRECTIVES = frozenset(
    "note warning tip hint important attention caution danger error admonition versionadded versionchanged deprecated "
    "seealso topic sidebar rubric epigraph change replace".split()
)


def _blocks(text: str) -> Iterator[Span]:
    """Find what whole lines are: fenced code, literal blocks, directives, link definitions, doctests."""
    at = 0
    fence: tuple[str, int] | None = None  # the fence that is open and where it opened
    literal: int | None = None  # the indentation of the line that announced a literal block
    for line in text.splitlines(keepends=True) if "\n" in text else [text]:
        start, at = at, at + len(line)
        if fence:
            close = line.strip().lstrip("> \t")
            if close.startswith(fence[0]) and not close.strip(fence[0][0]):
                yield fence[1], at
                fence = None
            continue
        body = line.lstrip(" \t")
        indent = len(line) - len(body)
        if literal is not None and body.strip():
            if indent > literal:
                yield start, at
                continue
            literal = None
        if not body.strip():
            continue
        opened = _FENCE.match(line)
        if opened and not (opened[1][0] == "`" and "`" in line[opened.end() :]):
            fence = (opened[1], start)
            continue
        directive = _DIRECTIVE.match(line)
        if directive:
            name = directive[1].lower()
            if name in _PROSE_DIRECTIVES:
                yield start, start + directive.end()
            else:
                yield start, at
                if "code" in name or name in (
                    "sourcecode",
                    "literalinclude",
                    "parsed-literal",
                    "math",
                    "raw",
                    "doctest",
                ):
                    literal = indent
            continue
        if body.startswith((">>> ", "... ", "$ ")) or _TARGET.match(line):
            yield start, at
        option = _OPTION.match(line)
        if option:
            yield start, start + option.end()
        if body.rstrip().endswith("::"):
            literal = indent
    if fence:
        yield fence[1], len(text)


_INLINE = re.compile(
    r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s<>\"'`]*[^\s<>\"'`.,;:!?()\[\]{}*]"  # an address, with all its marks
    r"|\]\([^()\n]*(?:\([^()\n]*\))?[^()\n]*\)?"  # the target of a Markdown link
    r"|\]\[[^\[\]\n]*\]"  # the label of one
    r"|</?[A-Za-z][^<>]*>"  # a tag
    r"|&\#?\w+;"  # an entity
    r"|(?::[\w.+-]{1,64}){1,4}:(?=`)"  # the name of a role
    r"|\|\w[\w .-]{0,60}\|"  # a substitution
    r"|->\w+"  # a member
    r"|\$?\{[^{}\n]*\}"  # an attribute list, a template's variable
    r"|%\([^()\n]{1,100}\)[#0 +-]{0,5}\d{0,5}(?:\.\d{1,5})?[A-Za-z]?"  # a placeholder
    r"|\w\(\)"  # a call
    r"|(?<=\d)[.,:](?=\d)"  # inside of a number
    r"|\$(?=[^\s$])[^$\n]{1,300}\$(?!\d)"  # a formula
    r"|=\s?(?:\"[^\"\n]*\"?|'[^'\n]*'?|[^\s\"']+)"  # a value
)
_BACKTICKS = re.compile(r"`+")
_SIMPLE_CODE = re.compile(r"``[^`]+``|`[^`\n]+`")
_TAG_NAME = re.compile(r"</?([A-Za-z][A-Za-z0-9]*)")
_CODE_TAGS = frozenset("code pre script style kbd samp var tt directive module highlight math svg textarea".split())


def _inline(text: str) -> Iterator[Span]:
    """Find code spans, targets of links, tags with the code between them, entities, roles and values."""
    opened: dict[str, int] = {}
    for match in _INLINE.finditer(text):
        yield match.span()
    for match in re.finditer(r"</?[A-Za-z][^<>]*>", text):
        name = _TAG_NAME.match(match[0])[1].lower()  # type: ignore[index]  # the pattern above begins alike
        if name not in _CODE_TAGS:
            continue
        if match[0].startswith("</"):
            start = opened.pop(name, None)
            if start is not None:
                yield start, match.end()
        elif not match[0].endswith("/>"):
            opened.setdefault(name, match.start())
    if "`" in text:
        yield from _code_spans(text)


def _code_spans(text: str) -> Iterator[Span]:
    for match in _SIMPLE_CODE.finditer(text):
        yield match.span()
    runs = [match.span() for match in _BACKTICKS.finditer(text)]
    paragraphs = [match.start() for match in re.finditer(r"\n[ \t]*\n", text)]
    same: dict[int, list[int]] = {}
    for number, (start, end) in enumerate(runs):
        same.setdefault(end - start, []).append(number)
    number = 0
    while number < len(runs):
        start, end = runs[number]
        row = same[end - start]
        place = bisect_right(row, number)
        if place < len(row):
            close = runs[row[place]]
            if bisect_left(paragraphs, end) == bisect_left(paragraphs, close[0]):
                yield start, close[1]
                number = row[place] + 1
                continue
        number += 1


_CHUNK = re.compile(r"[^\s()\[\]{}<>\"“”„«»,;!?*|=…`\u3000-\u303f\uff00-\uff0f]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_NUMERALS = "\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u2089\u2150-\u218b\u2460-\u24ff\u2776-\u2793"
_ODD = re.compile(rf"[\d{_NUMERALS}_/\\@#$%&+~^]|--|[.:]\w")
_NO_UNITS = frozenset(
    "and or the for of to on is are at by as it not was has had but nor its be we you can so do if".split()
)
_UNIT = re.compile(r"[^\W\d_]{1,3}(?![\w'’-])")


def _tokens(text: str) -> Iterator[Span]:
    """Find what a single token is: identifiers, paths, addresses, numbers, options, units, names."""
    name_end = 0
    for match in _CHUNK.finditer(text):
        chunk = match[0]
        start, end = match.span()
        if chunk.isalpha() and chunk.islower() and text[end : end + 1] not in "=([":
            continue
        odd = not chunk.isalpha() and (
            _ODD.search(chunk) is not None
            or (chunk[0] == "-" and chunk[1:2].isalpha())
            or (chunk[-1] == "-" and text[end : end + 1] == ">")
        )
        if odd or text[end : end + 1] in ("=", "(", "[") and chunk[-1].isalnum():
            stripped = len(chunk.rstrip(".:'’"))
            yield start, start + (stripped or len(chunk))
            if chunk[-1].isdigit():  # what follows a number is its unit
                unit = _UNIT.match(text, end + 1) if text[end : end + 1] in (" ", "\u00a0") else None
                if unit and unit[0].lower() not in _NO_UNITS:
                    yield start, unit.end()
            continue
        if chunk.islower():
            continue
        for word in _LETTERS.finditer(chunk):
            letters = word[0]
            if letters.islower() or not letters[0].isupper() and letters == letters.lower():
                continue
            first, last = start + word.start(), start + word.end()
            if letters[1:] != letters[1:].lower() or not letters[0].isupper():
                yield first, last  # an abbreviation, or capitals inside
            elif not _starts_sentence(text, first) or (len(letters) == 1 and letters not in "AIO"):
                # O'Brien is one name, and so is what a single letter names.
                first = start if word.start() == 2 and chunk[1] in "'’" else first
                yield (name_end if first == name_end + 1 and text[name_end] == " " else first), last
                name_end = last


_OPENING = " \t\"'“”„‘’«([{*_~`"


def _starts_sentence(text: str, at: int) -> bool:
    """Tell whether a word at a position is capitalised for where it stands and not for what it is."""
    low = max(0, at - 200)  # no more markup than this stands before a word
    place = at - 1
    while place >= low and text[place] in _OPENING:
        place -= 1
    if place < low:
        return place < 0
    before = text[place]
    if before != "\n":
        return before in ".!?:…。|#>/•–—" or (before in "-+" and text[place + 1] in " \t")
    above = place - 1
    while above >= low and text[above] in " \t\r":
        above -= 1
    return above < low or text[above] in "\n.!?:…。|>=-~^"


class _Pieces:
    """The protected pieces of a text, to be asked about edits."""

    def __init__(self, text: str, protected: Iterable[Span]) -> None:
        self._text = text
        self._given = sorted((max(0, s), min(e, len(text))) for s, e in protected if max(0, s) < min(e, len(text)))
        self._spans = protected_pieces(text, self._given)
        self._starts = [start for start, _ in self._spans]
        self._edges = {edge for span in self._given for edge in span}

    def touched_by(self, edit: Edit) -> str | None:
        """Name the piece that an edit would change; None if it changes none."""
        place = bisect_left(self._starts, max(edit.end, edit.start + 1))
        touched = place > 0 and self._spans[place - 1][1] > edit.start
        if edit.start == edit.end:
            # Beside a piece of the text's own something may come, if the piece is still the same afterwards.
            touched = touched and self._spans[place - 1][0] < edit.start or edit.start in self._edges
            place = max(place, 1)
        if not touched:
            return None
        start, end = self._spans[min(place, len(self._spans)) - 1]
        return f"a protected piece would change: {_shown(self._text[start:end])}"

    def lost_by(self, edits: Sequence[Edit]) -> str | None:
        """Name the first piece that is not there any more, or is new, once edits are made that touch none."""
        shifted, delta, rest = [], 0, list(edits)
        rest.reverse()
        for start, end in self._given:
            while rest and rest[-1].end <= start:
                edit = rest.pop()
                delta += len(edit.new) - (edit.end - edit.start)
            shifted.append((start + delta, end + delta))
        result = _applied(self._text, edits)
        after = [result[start:end] for start, end in protected_pieces(result, shifted)]
        before = [self._text[start:end] for start, end in self._spans]
        if before == after:
            return None
        for old, new in zip(before, after, strict=False):
            if old != new:
                return f"a protected piece would change: {_shown(old)} to {_shown(new)}"
        if len(before) > len(after):
            return f"a protected piece would be lost: {_shown(before[len(after)])}"
        return f"a number, name, link or piece of code would be added: {_shown(after[len(before)])}"


MAX_CHECKS = 64
"""How often a text is searched again for pieces, to find the edits that change one from outside."""


def _without_losses(pieces: _Pieces, edits: list[Edit]) -> tuple[list[Edit], str | None]:
    """Leave out the edits that change a piece without touching it; and why."""
    if not edits:
        return [], None
    reason = pieces.lost_by(edits)
    if reason is None:
        return edits, None
    kept: list[Edit] = []
    waiting, checks = [edits], 1
    while waiting and checks < MAX_CHECKS:
        group = waiting.pop()
        checks += 1
        if pieces.lost_by(kept + group) is None:
            kept += group
        elif len(group) > 1:
            waiting += [group[len(group) // 2 :], group[: len(group) // 2]]
    return kept, reason


# ---- the difference between two texts ----

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|[\w]+|[^\S\n]+|.", re.DOTALL)
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
    old, new = _TOKEN.findall(original), _TOKEN.findall(proposal)
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


def _applied(text: str, edits: Iterable[Edit]) -> str:
    parts, at = [], 0
    for edit in edits:
        parts += [text[at : edit.start], edit.new]
        at = edit.end
    return "".join([*parts, text[at:]])


# ---- the rules ----

_NEGATIONS = frozenset(
    "no not never none nobody nothing nowhere neither nor cannot without hardly scarcely barely except unless "
    "nicht kein keine keinen keiner keinem keines nie niemals ohne ne pas jamais sans rien non nunca sin não nem sem "
    "ni senza mai niet geen nooit zonder inte aldrig".split()
)
_CONTRACTED = frozenset(
    "dont doesnt didnt isnt arent wasnt werent havent hasnt hadnt wont wouldnt cant couldnt shouldnt mustnt neednt aint "
    "shant mightnt".split()
)
_QUANTITIES = frozenset(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion "
    "dozen half twice thrice once double triple first second third fourth fifth sixth seventh eighth ninth tenth "
    "january february march april may june july august september october november december monday tuesday wednesday "
    "thursday friday saturday sunday today tomorrow yesterday am pm "
    "nanosecond microsecond millisecond seconds minute hour day week month year decade century bit byte kilobyte megabyte "
    "gigabyte terabyte kibibyte mebibyte gibibyte meter metre kilometer kilometre centimeter centimetre millimeter "
    "millimetre inch foot feet yard mile gram kilogram pound ounce ton tonne liter litre gallon degree celsius fahrenheit "
    "kelvin watt volt ampere hertz dollar euro cent percent pixel point".split()
)
_LOGIC = frozenset(
    "and or if all any every some both either always sometimes often rarely seldom must may might shall should can could "
    "will would before after until since more less most least many few fewer above below over under up down on off in out "
    "left right true false yes only true".split()
) - {"in", "on", "will", "can", "since"}
_OPPOSITES = frozenset(
    frozenset(pair.split("/"))
    for pair in (
        "minimum/maximum minimal/maximal min/max inner/outer upper/lower synchronous/asynchronous sync/async "
        "affirm/deny ascending/descending prefix/suffix server/client sender/render rise/raise public/private host/guest "
        "get/set former/latter later/latest latest/greatest now/new source/sink row/column read/write last/least"
    ).split()
)
_PREFIXES = tuple(
    "un non in im ir il dis mis anti de en em ex a pre post sub super over under up down inter intra multi mono "
    "uni bi tri re pro contra hyper hypo micro milli nano mega giga kilo tera out up off on with".split()
)
_SMALL = frozenset(
    "a an the to of is are be been was were has have had that as at by for from it its with in on".split()
)
_TRUE_WORDS = frozenset(
    "agent alter arch arena aster beast bless blow booth bounce bound bright chant cold collar conch cover decide decode deter "
    "doubled downs east even ever faint fever fight fist fleet flour fort forth found fright green hall haven height hover inter "
    "iter joint last later lease lever light litter liver lover marsh match mere metro might mighty moist mouth newer niche night "
    "nonce noting overt paint parent pond print rent rights round saint scans scent seen sever shaft shell sight small smile "
    "sometime sound stall teeth tent thee there threw thrive tight tone tree undef util very want weight wonder world wound yeast "
    "barley cannon cloud expect lose scant thing hardy thrust wither".split()
)
"""Words that are right as they are, and one slip from a word that says how many, whether or when."""
_ROMAN = re.compile("[ivx]{2,}")
_OF = re.compile(r"['’]s\Z|s['’]?\Z")
_SHORTENED = re.compile(r"[^\W\d_]+(?:n['’]t|['’](?:s|re|ve|ll|d|m))")
_ARTICLES = frozenset({"a", "an", "the"})
_ALLOWED = frozenset(",.;")
_MAX_WORD = 64
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)


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


def _broken_rule(text: str, edit: Edit) -> str | None:
    """Name the rule that an edit outside of the protected pieces breaks; None if it breaks none."""
    old = _TOKEN.findall(text[edit.start : edit.end])
    new = _TOKEN.findall(edit.new)
    if max(len(old), len(new)) > 9:
        return f"too much would change in one place: {_change(text, edit)}"
    old_words, new_words = [t for t in old if t[0].isalpha()], [t for t in new if t[0].isalpha()]
    shown = _change(text, edit)
    for token in (*old, *new):
        if token[0].isalpha():
            if len(token) > _MAX_WORD or _UNSPACED.search(token):
                return f"a word that cannot be compared would change: {shown}"
        elif token.isspace():
            if token.strip(" "):
                return f"a line break or indentation would change: {shown}"
        elif token not in _ALLOWED and token != "-":
            return f"something that is no word would change: {shown}"
    if not old_words and not new_words:
        return _marks_break(text, edit, shown)
    if (
        not old_words
        and not (text[edit.start - 1 : edit.start] or " ").isspace()
        and text[edit.end : edit.end + 1].strip()
    ):
        return f"words would be added inside of something: {shown}"
    if old_words and new_words and len(old_words) != len(new_words) and any(t in _ALLOWED for t in (*old, *new)):
        return f"words would be joined or parted: {shown}"
    before, after = _word_before(text, edit.start), _word_after(text, edit.end)
    return _words_break(old_words, new_words, before, after, shown) or _space_breaks(text, edit, old, new, shown)


def _words_break(old: Sequence[str], new: Sequence[str], before: str, after: str, shown: str) -> str | None:
    if not old:
        if len(new) == 1 and new[0] in _SMALL:
            return None
        return f"words would be added: {shown}"
    if not new:
        small = [word.lower() for word in old]
        if _meanings(old):
            return f"the meaning would change: {shown}"
        if len(old) == 1 and (small[0] in _ARTICLES or small[0] in (before.lower(), after.lower())):
            return None
        return f"words would be removed: {shown}"
    joined, parted = _bare("".join(old)), _bare("".join(new))
    if joined == parted and len(old) != len(new):
        if _meanings((*old, *new)) and len(new) > len(old):
            return f"the meaning may change: {shown}"
        if old[0].lower() in _PREFIXES or new[0].lower() in _PREFIXES or _meanings((*old, *new)):
            short = min(old, new, key=len)
            if [_bare(word) for word in short] not in (
                ["cannot"],
                ["into"],
                ["onto"],
                ["within"],
                ["without"],
                ["alot"],
            ):
                return f"the meaning may change: {shown}"
        return None if _meanings(old) == _meanings(new) else f"the meaning would change: {shown}"
    if len(old) != len(new):
        return f"words would be replaced: {shown}"
    for one, other in zip(old, new, strict=True):
        reason = _word_breaks(one, other)
        if reason:
            return f"{reason}: {shown}"
    return None


@cache
def _common_words() -> frozenset[str]:
    """Give 4,000 words that stand in documentation in lower case, so that they are no names."""
    listed = resources.files("dataflow_assets.stages") / "common_words.txt"
    return frozenset(listed.read_text(encoding="utf-8").split())


def _word_breaks(one: str, other: str) -> str | None:
    """Name the rule that one word in the place of another breaks."""
    if one[0].isupper() != other[0].isupper() or other[1:] != other[1:].lower():
        return "capitals would change"
    old, new = _bare(one).lower(), _bare(other).lower()
    if not {*map(_script, other)} <= {"", *map(_script, one)}:
        return "letters of another script would come"
    if old == new:
        same = one.replace("’", "'") == other.replace("’", "'") or _OF.sub("", one) == _OF.sub("", other)
        come = one.isalpha() and _SHORTENED.fullmatch(other) and _meaning(one) in (None, "not")
        return None if same or come else "an apostrophe would change"
    if (len(old) == 1 or len(new) == 1) and {old, new} != {"a", "an"} or _ROMAN.fullmatch(old) or _ROMAN.fullmatch(new):
        return "the meaning would change"
    length = max(len(old), len(new))
    limit = 1 if length <= 4 else 2 if length <= 8 else 3
    distance = edit_distance(old, new, limit=limit)
    if distance > limit:
        return "a word would be replaced by another"
    if one[0].isupper() and (old in _common_words() or new not in _common_words()):
        # What begins a sentence may be a name: Bob must not become Rob.
        return "a word that may be a name would change"
    was, becomes = _meaning(one), _meaning(other)
    if becomes == "not" and new not in _CONTRACTED and new != "cannot":
        return "the meaning would change"
    if becomes is not None and old in _TRUE_WORDS:
        return "the meaning would change"
    if was != becomes:
        swapped = sorted(old) == sorted(new)
        negates = was in _NEGATIONS or becomes in _NEGATIONS
        slip = was is None and distance == 1 and (length >= 5 or (swapped and not negates))
        if not slip:
            return "the meaning would change"
    if frozenset((old, new)) in _OPPOSITES or old.endswith("less") != new.endswith("less") and distance > 1:
        return "the meaning would change"
    return "the meaning would change" if _prefix_flips(old, new, distance) else None


def _script(letter: str) -> str:
    return "" if letter in "'’" else "LATIN" if letter.isascii() else unicodedata.name(letter, "?").partition(" ")[0]


def _prefix_flips(old: str, new: str, distance: int) -> bool:
    """Tell whether two words are the same but for their prefixes, such as unknown and known, import and export."""
    olds = ["", *(p for p in _PREFIXES if old.startswith(p))]
    news = ["", *(p for p in _PREFIXES if new.startswith(p))]
    for p in olds:
        for q in news:
            nested = p and q and (p.startswith(q) or q.startswith(p))
            if p != q and not nested and min(len(old) - len(p), len(new) - len(q)) >= 3:
                rest = edit_distance(old[len(p) :], new[len(q) :], limit=distance - 1)
                if rest < distance and rest <= max(0, distance - max(len(p), len(q))):
                    return True
    return False


def _meaning(word: str) -> str | None:
    """Give the key of a word whose loss or gain changes what a sentence says; None for other words."""
    bare = _bare(word).lower()
    if bare in _CONTRACTED or bare == "cannot" or (bare.endswith("nt") and word[-2:-1] in "'’" and len(word) > 2):
        return "not"
    if bare in _NEGATIONS or bare in _QUANTITIES or bare in _LOGIC:
        return bare
    if bare.endswith("s") and bare[:-1] in _QUANTITIES:
        return bare[:-1]
    return None


def _meanings(words: Iterable[str]) -> list[str]:
    return [key for key in map(_meaning, words) if key]


def _marks_break(text: str, edit: Edit, shown: str) -> str | None:
    """Judge an edit of punctuation and spaces alone."""
    old, new = text[edit.start : edit.end], edit.new
    before, after = text[edit.start - 1 : edit.start] if edit.start else "", text[edit.end : edit.end + 1]
    if "-" in old or "-" in new:
        if before.isalpha() and after.isalpha() and {old, new} <= {"", " ", "-"}:
            return None
        return f"something that is no word would change: {shown}"
    if not old.strip() and not new.strip():
        if before.strip() and after.strip() and old and new:
            return None
        return f"spaces that may carry a meaning would change: {shown}"
    if not before.strip() or before in "([{<$":
        return f"punctuation at the start of a word would change: {shown}"
    if not new and before.isalnum() and after.isalnum():
        return f"words would be joined or parted: {shown}"
    if new and after and after in "([{":
        return f"something that is no word would change: {shown}"
    if new.endswith((" ", "\t")) and not after.strip() or new and not new[-1].isspace() and after.isalnum():
        return f"spaces that may carry a meaning would change: {shown}"
    return None


def _space_breaks(text: str, edit: Edit, old: Sequence[str], new: Sequence[str], shown: str) -> str | None:
    """Refuse an edit of words that also moves what stands at the edge of a line."""
    if any(token == "-" for token in (*old, *new)) and _bare("".join(old)) != _bare("".join(new)):
        return f"something that is no word would change: {shown}"
    before = text[edit.start - 1 : edit.start] if edit.start else ""
    after = text[edit.end : edit.end + 1]
    old_lead, new_lead = bool(old) and old[0].isspace(), bool(new) and new[0].isspace()
    if not before.strip() and before != " " and (old_lead or new_lead):
        return f"a line break or indentation would change: {shown}"
    old_trail, new_trail = bool(old) and old[-1].isspace(), bool(new) and new[-1].isspace()
    if not after.strip() and after != " " and (old_trail or new_trail):
        return f"a line break or indentation would change: {shown}"
    return None


def _bare(word: str) -> str:
    return re.sub(r"['’\s.,;-]", "", word)


def _word_before(text: str, at: int) -> str:
    words = _LETTERS.findall(text, max(0, at - _MAX_WORD), at)
    return words[-1] if words else ""


def _word_after(text: str, at: int) -> str:
    match = _LETTERS.search(text, at, at + _MAX_WORD)
    return match[0] if match else ""


def _length_breaks(original: str, proposal: str, max_change: float) -> str | None:
    if abs(len(proposal) - len(original)) <= max_change * len(original):
        return None
    return (
        f"the text would have {len(proposal)} characters instead of {len(original)}, "
        f"which is more than {max_change:.0%} of change"
    )


def _share_breaks(original: str, edits: Iterable[Edit], max_change: float) -> str | None:
    changed = 0
    for edit in edits:
        size = max(edit.end - edit.start, len(edit.new))
        changed += edit_distance(original[edit.start : edit.end], edit.new, limit=size) if size <= 200 else size
    if changed <= max_change * len(original):
        return None
    return f"{changed} of {len(original)} characters would change, more than {max_change:.0%}"


def _change(text: str, edit: Edit) -> str:
    return f"{_shown(text[edit.start : edit.end])} to {_shown(edit.new)}"


def _shown(piece: str) -> str:
    """Quote a piece for a reason, short and printable."""
    short = piece if len(piece) <= 40 else piece[:39] + "…"
    return '"' + "".join(c if unicodedata.category(c)[0] not in "CZ" or c == " " else "·" for c in short) + '"'
