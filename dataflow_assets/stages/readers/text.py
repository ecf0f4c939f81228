"""Plain text, and every format that people read as it stands: logs, tables with commas, source code, JSON, XML.

What belongs here: the reader that changes nothing. Front matter is taken only from `text/plain`: a YAML file begins
with the same three dashes.
"""

from __future__ import annotations

import re

from dataflow_assets.stages.readers.front_matter import split_front_matter
from dataflow_assets.stages.readers.item import Item, Reading

_HEAD = 2_000
_TITLE = re.compile(r"\s*(?P<title>\S[^\r\n]{0,99})\r?\n(?:[ \t]*\r?\n|(?P<underline>([=\-~*])\3{2,})[ \t]*\r?\n)")


def read_text(item: Item) -> Reading:
    """Read plain text: the decoded source. A short first line that stands alone or is underlined is the title."""
    decoded = item.decoded
    front_matter, text, findings = (
        split_front_matter(decoded.text) if item.media_type == "text/plain" else ({}, decoded.text, ())
    )
    title = None
    if item.media_type == "text/plain" and (found := _TITLE.match(text[:_HEAD])):
        line = found["title"].strip()
        if found["underline"] or (any(map(str.isalpha, line)) and line[-1] not in ".,;:"):
            title = line
    return Reading(text=text, markup="text", title=title, front_matter=front_matter, findings=findings)
