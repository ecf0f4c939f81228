"""Markdown: the decoded source without its front matter, nothing rendered.

What belongs here: finding the title that a page gives itself. What does not: a Markdown parser; headings matter where a
page is cut, and there they are found on the very text whose positions count.
"""

from __future__ import annotations

import re

from dataflow_assets.stages.readers.front_matter import split_front_matter
from dataflow_assets.stages.readers.item import Item, Reading

_HEAD = 16_384
_LANDMARK = re.compile(
    r"^ {0,3}(?:"
    r"(?P<fence>`{3,}|~{3,})[^\n]*"
    r"|(?P<hashes>\#{1,6})[ \t]+(?P<atx>[^\r\n]*)"
    r"|(?P<setext>[^\s>#|\-=*+<`~][^\r\n]{0,300})\r?\n {0,3}(?P<rule>={2,}|-{2,})[ \t]*(?=\r?\n|\Z)"
    r"|<h1\b[^<>]{0,200}>(?P<html>[\s\S]{1,300}?)</h1>"
    r"|(?P<comment><!--)"
    r")",
    re.MULTILINE,
)
_CLOSING_HASHES = re.compile(r"(?:^|[ \t])#+$")
_ATTRIBUTES = re.compile(r"\s{0,9}\{:? ?[#.][^{}\n]{0,200}\}$")
_LINK = re.compile(r"!?\[([^\[\]]{0,300})\](?:\([^()\s]{0,500}(?:\s\"[^\"]{0,200}\")?\)|\[[^\[\]]{0,100}\])")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,300}>")
_EMPHASIS = re.compile(r"(?<!\\)(\*{1,3}|(?<!\w)_{1,3})(?=\S)([^*_\n]{1,300}?)(?<=[^\s\\])\1(?!\w)")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")


def read_markdown(item: Item) -> Reading:
    """Read Markdown; the title is the first heading of the highest level near the top."""
    decoded = item.decoded
    front_matter, text, findings = split_front_matter(decoded.text)
    return Reading(text=text, markup="markdown", title=find_title(text), front_matter=front_matter, findings=findings)


def find_title(text: str) -> str | None:
    """Give the first heading of level 1 in the first 16 kB, else the first heading there, outside fenced code."""
    head = text[:_HEAD]
    first: tuple[int, str] | None = None
    position = 0
    while landmark := _LANDMARK.search(head, position):
        position = landmark.end()
        if fence := landmark["fence"]:
            closing = re.compile(rf"^ {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*\r?$", re.MULTILINE)
            closed = closing.search(head, position)
            if closed is None:
                break
            position = closed.end()
        elif landmark["comment"]:
            end = head.find("-->", position)
            if end < 0:
                break
            position = end
        else:
            level = len(landmark["hashes"] or "") or (2 if (landmark["rule"] or "=")[0] == "-" else 1)
            title = plain(landmark["atx"] or landmark["setext"] or landmark["html"] or "")
            if title and (first is None or level < first[0]):
                first = level, title
            if first is not None and first[0] == 1:
                break
    return first[1] if first else None


def plain(heading: str) -> str:
    """Take the marks off a heading's text."""
    heading = _CLOSING_HASHES.sub("", heading.strip()).strip()
    heading = _ATTRIBUTES.sub("", heading)
    heading = _TAG.sub("", _LINK.sub(r"\1", heading))
    heading = _EMPHASIS.sub(r"\2", _EMPHASIS.sub(r"\2", heading)).replace("`", "")
    return " ".join(_ESCAPE.sub(r"\1", heading).split())
