"""reStructuredText: the decoded source without its front matter, nothing rendered.

What belongs here: finding the title, keywords and language that a page gives itself. What does not: docutils, which
would render the page, run its directives and take a hundred times as long.
"""

from __future__ import annotations

import re
import unicodedata

from dataflow_assets.stages.readers.front_matter import split_front_matter
from dataflow_assets.stages.readers.item import Item, Reading

_HEAD = 16_384
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1+[ \t]*\r?$")
_ROLE = re.compile(r":[\w:.+-]{1,60}:`([^`<>]{1,300}?)(?:\s?<[^<>`]{1,300}>)?`")
_REFERENCE = re.compile(r"`([^`<>]{1,300}?)(?:\s?<[^<>`]{1,300}>)?`_{0,2}")
_META = re.compile(r"^\.\. meta::[^\n]*\n((?:[ \t]+[^\n]*\n|[ \t\r]*\n){1,40})", re.MULTILINE)
_META_FIELD = re.compile(r"^[ \t]+:(keywords|language|lang)[^:\n]{0,40}:[ \t]*([^\n]*)", re.MULTILINE | re.IGNORECASE)


def read_rst(item: Item) -> Reading:
    """Read reStructuredText; the title is the first section title near the top, with or without an overline."""
    decoded = item.decoded
    front_matter, text, findings = split_front_matter(decoded.text)
    meta: dict[str, str] = {}
    if block := _META.search(text[:_HEAD]):
        meta = {name.lower(): value.strip() for name, value in _META_FIELD.findall(block[1])}
    tags = tuple(tag.strip() for tag in meta.get("keywords", "").split(",") if tag.strip())
    return Reading(
        text=text,
        markup="rst",
        title=find_title(text),
        language=meta.get("language") or meta.get("lang"),
        tags=tags,
        front_matter=front_matter,
        findings=findings,
    )


def find_title(text: str) -> str | None:
    """Give the first section title in the first 16 kB.

    A title is a line at the margin over a line of one punctuation mark, as wide as the title or at least 4 wide
    (docutils' rule); with an overline it may be indented. What is indented (literal blocks, directives) holds none.
    """
    lines = text[:_HEAD].split("\n")
    for above, line, below in zip(["", *lines], lines, [*lines[1:], ""], strict=False):
        title = line.strip()
        if not title or not _ADORNMENT.match(below) or _ADORNMENT.match(line):
            continue
        overlined = above.rstrip() == below.rstrip()
        if (line[0].isspace() and not overlined) or title.startswith(".. "):
            continue
        if len(below.rstrip()) >= min(_width(title), 4):
            return plain(title)
    return None


def plain(title: str) -> str:
    """Take the marks off a title's text."""
    title = _REFERENCE.sub(r"\1", _ROLE.sub(r"\1", title)).replace("``", "").replace("`", "")
    return " ".join(re.sub(r"\*{1,2}(\S[^*]{0,300}?)\*{1,2}|\\(.)", r"\1\2", title).split())


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
