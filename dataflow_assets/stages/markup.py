"""What a text is made of: headings, paragraphs, lists, tables, code.

What belongs here: finding the blocks of plain text, Markdown and reStructuredText, with exact positions in the text as it
stands. What does not: rendering, links, anything inside of a line. It is not a parser of either language: it finds where a
reader of the source would see that something begins, and it is right about what is code, since code is never corrected.

Every document goes through here, so one regular expression takes a whole block at a time and Python sees blocks, not
lines. No expression can look at a character more than a few times: repetitions are possessive or begin with a character
that what stands before cannot match, and a search that runs to the end of the text ends the scan or is remembered.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["heading", "paragraph", "list", "table", "code", "quote", "html", "rule"]


class Block(NamedTuple):
    """A block of a text; the blocks of a text do not overlap, and all that is not white space lies in one of them."""

    kind: Kind
    start: int
    """Start of its first line (white space at its front is part of it), never of a blank line."""
    end: int
    """Behind its last line; blank lines follow."""
    level: int = 0
    """Of a heading: 1 is the highest. Of another block: how far its first line is indented."""
    joined: bool = False
    """Whether it continues the list that the block before belongs to."""


_block: Callable[[tuple[Kind, int, int, int, bool]], Block] = partial(tuple.__new__, Block)
"""Makes a block of all its fields in a third of the time that the class takes."""


class Structure(NamedTuple):
    """What a text is made of."""

    blocks: list[Block]
    code: list[tuple[int, int]]
    """Start and end of every block of code, fences included, in order."""


def structure(text: str, markup: str) -> Structure:
    """Find the blocks of a text and its code in one pass.

    Args:
        text: Any text.
        markup: `text`, `markdown` or `rst`; anything else is taken as `text`.
    """
    if "\r" in text:  # the same length, so that all positions hold
        text = text.replace("\r\n", " \n").replace("\r", "\n")
    if markup == "markdown":
        return _Markdown(text).structure()
    if markup == "rst":
        return _Rst(text).structure()
    return Structure([Block("paragraph", *m.span(1), _indent(m[1])) for m in _runs(text)], [])


def outline(text: str, markup: str) -> Structure:
    """Find only the headings of a text, and its code: the same as `structure` finds, in a third of the time.

    Args:
        text: Any text.
        markup: `text`, `markdown` or `rst`; anything else is taken as `text`.
    """
    if markup not in ("markdown", "rst"):
        return Structure([], [])
    if markup == "markdown":
        flat = text.replace("\r\n", " \n").replace("\r", "\n") if "\r" in text else text
        found = _Markdown(flat).outline()
        if found:
            return found
    made = structure(text, markup)
    return Structure([block for block in made.blocks if block.kind == "heading"], made.code)


def blocks(text: str, markup: str) -> list[Block]:
    """Find the blocks of a text, in order; see `structure`."""
    return structure(text, markup).blocks


def headings(text: str, markup: str) -> list[Block]:
    """Find the headings of a text, in order; `title_of` says what they say."""
    return outline(text, markup).blocks


def code_blocks(text: str, markup: str) -> list[tuple[int, int]]:
    """Find start and end of every block of code in a text, in order."""
    return outline(text, markup).code


_BLANKS = r"(?:[^\S\n]*+\n)*+(?:[^\S\n]++\Z)?"
_TAIL = re.compile(_BLANKS)
_RUN = re.compile(rf"([^\n]+(?:\n(?![^\S\n]*+(?:\n|\Z))[^\n]+)*+\n?){_BLANKS}")


def _runs(text: str) -> Iterator[re.Match[str]]:
    """Runs of lines that are not blank, each as group 1."""
    start = _TAIL.match(text)
    return _RUN.finditer(text, start.end() if start else 0)


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" \t"))


_LINK = re.compile(r"!?\[([^\][]*)\]\([^()\n]*\)")
_ANCHOR = re.compile(r"[ \t]*\{[^{}]*\}$")
_MARKS = re.compile(r"[!-/:-@\[-`{-~\s]*+")
_TITLE_CHARACTERS = 200


def title_of(text: str, heading: Block) -> str:
    """Give the title of a heading, in one line, without what only a renderer reads; at most 200 characters.

    Args:
        text: The text that `structure` was asked about.
        heading: One of its headings.
    """
    said = text[heading.start : heading.end].strip()
    if "\n" in said or "\r" in said:  # a title between or above lines of punctuation
        lines = said.splitlines()[:-1]
        if _MARKS.fullmatch(lines[0]):
            del lines[0]
        said = " ".join(lines)
    else:
        said = said.lstrip("#").strip()
        short = said.rstrip("#")
        if short != said and short[-1:] in ("", " ", "\t"):
            said = short.rstrip()
    said = said[:1000]
    if said.endswith("}"):
        said = _ANCHOR.sub("", said)
    if "](" in said:
        said = _LINK.sub(r"\1", said)
    return " ".join(said.replace("`", "").replace("**", "").split())[:_TITLE_CHARACTERS].strip()


_END = r"(?:\n|\Z)"
_ATX = r"[ ]{0,3}#{1,6}(?![^ \t\n])[^\n]*"
_HEADING = _ATX.replace("#{1,6}", "(?P<signs>#{1,6})")
_UNDERLINE = rf"[ ]{{0,3}}(?:=++|-++)[ \t]*+{_END}"
_RULE = rf"[ ]{{0,3}}(?:(?:\*[ \t]*+){{3,}}+|(?:-[ \t]*+){{3,}}+|(?:_[ \t]*+){{3,}}+){_END}"
_FENCE = r"[ \t]*+(?:`{3,}+(?=[^`\n]*+(?:\n|\Z))|~{3,}+)"
_ITEM = r"[ \t]*+(?:[-+*]|\d{1,9}[.)])(?![^ \t\n])"
_STARTS = (
    rf"(?=[\s#`~<>=*_+\d-])(?:[^\S\n]*+{_END}|{_ATX}|{_UNDERLINE}|{_RULE}|{_FENCE}"
    r"|[ ]{0,3}>|[ ]{0,3}(?:[-+*]|1[.)])[ \t]++\S|[ ]{0,3}<!--)"
)
"""What ends a paragraph without a blank line."""
_RAW = r"[ ]{0,3}<(?:!--|(?:pre|script|style|textarea)(?=[\s>]))"
_MARKDOWN = rf"""
      (?P<heading>{_HEADING}\n?)
    | (?P<fence>{_FENCE}[^\n]*\n?)
    | (?P<underline>{_UNDERLINE})
    | (?P<rule>{_RULE})
    | (?P<quote>[ ]{{0,3}}>[^\n]*(?:\n[ ]{{0,3}}>[^\n]*)*+\n?)
    | (?P<table>[ ]{{0,3}}\|[^\n]*(?:\n[ ]{{0,3}}\|[^\n]*)*+\n?)
    | (?P<list>{_ITEM}[^\n]*(?:\n(?!{_STARTS}|{_ITEM})[^\n]+)*+\n?)
    | CODE
    | (?P<raw>(?i:{_RAW}))
    | (?P<paragraph>[^\n]+(?:\n(?!{_STARTS})[^\n]+)*+\n?)
"""


def _markdown(code: str) -> re.Pattern[str]:
    line = rf"{code}[^\S\n]*+\S[^\n]*"
    indented = rf"(?P<code>{line}(?:\n(?:[^\S\n]*+\n)*+{line})*+\n?)"
    pattern = re.sub(r"\s*\n\s*(?=\||CODE|\Z|\()", "", _MARKDOWN.replace("| ", "|")).strip()
    return re.compile(f"(?:{pattern.replace('CODE', indented)}){_BLANKS}")


_OUTSIDE = _markdown(r"(?:[ ]{4}|[ ]{0,3}\t)")
_IN_LIST = _markdown(r"(?:[ ]{8}|[ ]{0,3}\t[ ]{0,3}\t)")
_INDENTED_ITEM = re.compile(r"[ ]{4}|[ ]{0,3}\t")
_CLOSING = re.compile(r"\n[ \t]*+(`{3,}+|~{3,}+)[ \t]*+(?=\n|\Z)")
_NEAR = 10_000
_LONGEST_FENCE = 16
"""Longer fences count as this long, so that finding the end of one is a look-up."""
_DELIMITERS = re.compile(r"^[ \t]*+:?-++:?[ \t]*+\|[-:| \t]*$", re.MULTILINE)
_QUOTED_FENCE = re.compile(r"^[ ]{0,3}(?:>[ ]?)+[ \t]*+(`{3,}+|~{3,}+)[^\n]*\n?", re.MULTILINE)
_RAW_END = {
    "p": re.compile(r"</pre>", re.IGNORECASE), "s": re.compile(r"</s(?:cript|tyle)>", re.IGNORECASE),
    "t": re.compile(r"</textarea>", re.IGNORECASE), "!": re.compile("-->"),
}  # fmt: skip


_START = (
    rf"(?=[#`~<>= \t-])(?:(?P<heading>{_HEADING}\n?)|(?P<fence>{_FENCE}[^\n]*\n?)"
    rf"|(?P<underline>{_UNDERLINE})|(?P<code>(?:[ ]{{4}}|[ ]{{0,3}}\t)[^\S\n]*+\S)"
    rf"|(?P<other>(?i:{_RAW})|[ ]{{0,3}}>[^\n]*(?:```|~~~)))"
)
_PROSE_LINE = re.compile(r"[ \t]*+(?:[-+*][ \t]++)?\w")
"""A line that an indented line continues, without a blank line between them."""
_FIRST_START = re.compile(_START)
_PLAIN_START = re.compile("\n" + _START)
"""Lines that may be, or begin, a heading or code; with the newline before them, since a literal is found fastest."""


class _Markdown:
    """One scan of a Markdown text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.blocks: list[Block] = []
        self.code: list[tuple[int, int]] = []
        self.closings: dict[str, list[int]] | None = None
        self.unclosed = False

    def structure(self) -> Structure:
        text, out, code = self.text, self.blocks, self.code
        outside, in_list, new = _OUTSIDE.match, _IN_LIST.match, _block
        begin = _TAIL.match(text)
        position, stop = begin.end() if begin else 0, len(text)
        listed = blank = False
        while position < stop:
            match = (in_list if listed else outside)(text, position)
            if match is None:  # the last alternative takes any line, so only an empty rest comes here
                break
            group = match.lastgroup or ""
            end, following = match.end(group), match.end()
            first = text[position]
            indented = first in " \t"
            if listed and blank and not indented and group != "list":
                listed = False
            joined = listed and (indented or group == "list" or not blank)
            if group == "paragraph":
                kind: Kind = "paragraph"
                if first == "<":
                    kind = "html"
                elif text.find("|", position, end) >= 0 and _DELIMITERS.search(text[position:end]):
                    kind = "table"
                out.append(
                    new((kind, position, end, _indent(text[position : position + 40]) if indented else 0, joined))
                )
            elif group == "heading":
                a, b = match.span("signs")
                out.append(new(("heading", position, end, b - a, False)))
                listed = False
            elif group == "list":
                if not listed and indented and _INDENTED_ITEM.match(text, position):
                    end, following = self.indented_code(position)
                    out.append(new(("code", position, end, 4, False)))
                    code.append((position, end))
                else:
                    depth = _indent(text[position : position + 80]) if indented else 0
                    out.append(new(("list", position, end, depth, joined)))
                    listed = True
            elif group == "fence":
                end = self.fence_end(match)
                after = _TAIL.match(text, end)
                following = after.end() if after else end
                out.append(new(("code", position, end, 0, joined)))
                code.append((position, end))
            elif group == "code":
                out.append(new(("code", position, end, 4, joined)))
                code.append((position, end))
            elif group == "underline":
                before = out[-1] if out else None
                titled = before and before.end == position and before.kind == "paragraph" and not before.joined
                if before and titled and text.count("\n", before.start, before.end) <= 3:
                    out[-1] = new(("heading", before.start, end, 1 if "=" in text[position:end] else 2, False))
                    listed = False
                else:
                    out.append(new(("rule", position, end, 0, False)))
            elif group == "raw":
                end, following = self.raw(position, end)
                out.append(new(("html", position, end, 0, joined)))
            elif group == "quote":
                out.append(new(("quote", position, end, 0, joined)))
                body = text[position:end]
                if "```" in body or "~~~" in body:
                    self.quoted_code(position, body)
            else:
                out.append(new(("table" if group == "table" else "rule", position, end, 0, joined)))
            blank, position = following > end, following
        return Structure(out, code)

    def outline(self) -> Structure | None:
        """Headings and code of a text in which nothing depends on what stands around it; None for other texts."""
        text, out, code, search = self.text, self.blocks, self.code, _PLAIN_START.search
        match = _FIRST_START.match(text) or search(text)
        while match:
            group = match.lastgroup or ""
            start, position = match.span(group)
            if group == "heading":
                a, b = match.span("signs")
                out.append(_block(("heading", start, position, b - a, False)))
            elif group == "fence":
                position = self.fence_end(match)
                if self.unclosed:
                    return None
                code.append((start, position))
            else:
                before = text[max(text.rfind("\n", 0, max(start - 1, 0)) + 1, start - 200) : start]
                quiet = not before.strip() if group == "underline" else group == "code" and _PROSE_LINE.match(before)
                if not quiet:
                    return None
            match = search(text, max(position - 1, start))
        return Structure(out, code)

    def indented_code(self, position: int) -> tuple[int, int]:
        """Where indented code ends that looks like a list, and where the next block starts."""
        text = self.text
        match = _INDENTED.match(text, position)
        end = match.end(1) if match else len(text)
        after = _TAIL.match(text, end)
        return end, after.end() if after else end

    def fence_end(self, match: re.Match[str]) -> int:
        """Where fenced code ends: behind its closing line; behind its list item, or the text, where there is none."""
        text = self.text
        begin, opened = match.span("fence")
        line = text[begin:opened].lstrip(" \t")
        mark = line[: len(line) - len(line.lstrip(line[0]))]
        near = text.find(mark, opened, opened + _NEAR)
        if near >= 0:  # mostly the next place where the mark stands is the closing line
            stop = text.find("\n", near)
            end = stop if stop >= 0 else len(text)
            if not text[text.rfind("\n", begin, near) + 1 : end].strip(" \t").strip(mark[0]):
                return end + (stop >= 0)
        if self.closings is None:
            self.closings = {}
            for closing in _CLOSING.finditer(text):
                for length in range(3, min(len(closing[1]), _LONGEST_FENCE) + 1):
                    self.closings.setdefault(closing[1][:length], []).append(closing.start() + 1)
        mark = mark[:_LONGEST_FENCE]
        found = self.closings.get(mark, [])
        at = bisect_left(found, opened)
        if at < len(found):
            end = text.find("\n", found[at])
            return len(text) if end < 0 else end + 1
        self.unclosed = True
        indent = _indent(text[begin:opened])
        if not indent:
            return len(text)
        body = _deeper(min(indent, 40) - 1).match(text, opened)
        return body.end(1) if body else opened

    def raw(self, position: int, end: int) -> tuple[int, int]:
        """Where raw HTML ends, and where the next block starts; code is remembered."""
        text = self.text
        which = text[position:end].lstrip()[1].lower()
        found = _RAW_END[which].search(text, end)
        stop = text.find("\n", found.end()) if found else -1
        stop = len(text) if stop < 0 else stop + 1
        if which != "!":
            self.code.append((position, stop))
        after = _TAIL.match(text, stop)
        return stop, after.end() if after else stop

    def quoted_code(self, start: int, body: str) -> None:
        """Remember fenced code inside of a block quote."""
        opened: tuple[int, str] | None = None
        for fence in _QUOTED_FENCE.finditer(body):
            if opened is None:
                opened = fence.start(), fence[1]
            elif fence[1].startswith(opened[1]):
                self.code.append((start + opened[0], start + fence.end()))
                opened = None
        if opened:
            self.code.append((start + opened[0], start + len(body)))


_INDENTED = re.compile(
    r"((?:[ ]{4}|[ ]{0,3}\t)[^\n]*(?:\n(?:[^\S\n]*+\n)*+(?:[ ]{4}|[ ]{0,3}\t)[^\S\n]*+\S[^\n]*)*+\n?)"
)


@lru_cache(128)
def _deeper(column: int) -> re.Pattern[str]:
    """Lines that are indented further than a column, and blank lines between them, as group 1."""
    line = rf"[ \t]{{{column + 1},}}+[^\n]++"
    return re.compile(rf"((?:(?:[^\S\n]*+\n)*+{line}\n?)++){_BLANKS}")


_MARK = r"[!-/:-@\[-`{-~]"
_SECTION = re.compile(
    rf"(?:(?P<over>{_MARK})(?P=over)+[ \t]*+\n)?[ \t]*+(?P<title>\S[^\n]*)\n(?P<under>{_MARK})(?P=under)+[ \t]*+{_END}"
)
_DIRECTIVE = re.compile(r"[ \t]*+\.\.[ \t]++(?:\|[^|\n]*\|[ \t]++)?([A-Za-z][\w:.+-]*?)::(?![^ \t\n])[^\n]*\n?")
_CODE_DIRECTIVES = frozenset(
    {
        "code", "code-block", "sourcecode", "parsed-literal", "literalinclude", "highlight", "ipython", "prompt",
        "doctest", "testcode", "testoutput", "testsetup", "testcleanup", "productionlist", "math", "raw", "graphviz",
        "digraph", "graph", "mermaid", "uml", "plantuml", "command-output",
    }
)  # fmt: skip
_RST_ITEM = re.compile(r"[ \t]*+(?:[-+*•]|\(?(?:\d{1,9}|[A-Za-z#])[.)])[ \t]++(?=\S)")
_RST_TABLE = re.compile(r"[ \t]*+(?:\+[-=]|=++[ ]+=|\|[^\n]*\|[ \t]*+\n)")


class _Rst:
    """One scan of a reStructuredText."""

    def __init__(self, text: str) -> None:
        self.text = text

    def structure(self) -> Structure:
        text = self.text
        out: list[Block] = []
        code: list[tuple[int, int]] = []
        levels: dict[str, int] = {}
        begin = _TAIL.match(text)
        position, stop = begin.end() if begin else 0, len(text)
        listed = False
        list_column = 0
        while position < stop:
            section = self.section(position)
            if section:
                style = (section["over"] or "") + section["under"]
                end = section.end()
                out.append(Block("heading", position, end, levels.setdefault(style, len(levels) + 1)))
                listed = False
                position = self.after(end)
                continue
            directive = _DIRECTIVE.match(text, position)
            if directive and directive[1].lower() in _CODE_DIRECTIVES:
                end = directive.end()
                column = _indent(directive[0])
                listed = listed and column > list_column
                inside = _deeper(min(column, 200)).match(text, end)
                end = inside.end(1) if inside else end
                out.append(Block("code", position, end, column, listed))
                code.append((position, end))
                position = inside.end() if inside else self.after(end)
                continue
            match = _RUN.match(text, position)
            if match is None:
                break
            end, following = match.end(1), match.end()
            body = match[1]
            column = _indent(body)
            if listed and column <= list_column and not _RST_ITEM.match(body):
                listed = False
            if directive:
                out.append(Block("paragraph", position, end, column, listed))
            elif body.startswith(">>>", column):
                out.append(Block("code", position, end, column, listed))
                code.append((position, end))
            else:
                item = _RST_ITEM.match(body)
                kind: Kind = "paragraph"
                if item:
                    kind = "list"
                    if not listed:
                        list_column = column
                elif _RST_TABLE.match(body):
                    kind = "table"
                out.append(Block(kind, position, end, column, listed))
                listed = listed or bool(item)
                said = body.rstrip()
                if said.endswith("::") and following < stop:
                    last = said[said.rfind("\n") + 1 :]
                    marker = _RST_ITEM.match(last)
                    inside = _deeper(min(marker.end() if marker else _indent(last), 200)).match(text, following)
                    if inside:
                        out.append(Block("code", following, inside.end(1), column + 1, listed))
                        code.append((following, inside.end(1)))
                        following = inside.end()
            position = following
        return Structure(out, code)

    def section(self, position: int) -> re.Match[str] | None:
        """A section title that starts at a position."""
        match = _SECTION.match(self.text, position)
        if match is None:
            return None
        title, line = match["title"].rstrip(), match.end("under")
        length = len(match[0]) - (line - 1 - match.start()) - (match[0].endswith("\n"))
        if match["over"] not in (None, match["under"]) or (not match["over"] and _indent(match[0])):
            return None
        if length < min(len(title), 4):
            return None
        return match

    def after(self, end: int) -> int:
        match = _TAIL.match(self.text, end)
        return match.end() if match else end
