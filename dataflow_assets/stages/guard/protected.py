"""The protected pieces of a text: where nothing may change.

What belongs here: finding them in a text, whatever it is written in, and asking whether edits leave them as they are. What does
not: what may change elsewhere (`rules`).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from dataflow_assets.stages.guard.edits import Edit, Span, applied, shown
from dataflow_assets.stages.guard.words import LETTERS


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
        for word in LETTERS.finditer(chunk):
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


class Pieces:
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
        return f"a protected piece would change: {shown(self._text[start:end])}"

    def lost_by(self, edits: Sequence[Edit]) -> str | None:
        """Name the first piece that is not there any more, or is new, once edits are made that touch none."""
        shifted, delta, rest = [], 0, list(edits)
        rest.reverse()
        for start, end in self._given:
            while rest and rest[-1].end <= start:
                edit = rest.pop()
                delta += len(edit.new) - (edit.end - edit.start)
            shifted.append((start + delta, end + delta))
        result = applied(self._text, edits)
        after = [result[start:end] for start, end in protected_pieces(result, shifted)]
        before = [self._text[start:end] for start, end in self._spans]
        if before == after:
            return None
        for old, new in zip(before, after, strict=False):
            if old != new:
                return f"a protected piece would change: {shown(old)} to {shown(new)}"
        if len(before) > len(after):
            return f"a protected piece would be lost: {shown(before[len(after)])}"
        return f"a number, name, link or piece of code would be added: {shown(after[len(before)])}"


MAX_CHECKS = 64
"""How often a text is searched again for pieces, to find the edits that change one from outside."""


def without_losses(pieces: Pieces, edits: list[Edit]) -> tuple[list[Edit], str | None]:
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
