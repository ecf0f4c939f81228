"""Which reader reads what.

What belongs here: the table, in order of preference. When a reader fails on a format it claims, the next one that
claims it is tried; when all failed, the document is rejected with their reasons.
"""

from __future__ import annotations

from dataclasses import dataclass

from dataflow_assets.stages.readers.html import read_html, read_html_words
from dataflow_assets.stages.readers.item import ReaderFunction
from dataflow_assets.stages.readers.markdown import read_markdown
from dataflow_assets.stages.readers.rst import read_rst
from dataflow_assets.stages.readers.text import read_text


@dataclass(frozen=True, slots=True)
class Reader:
    """A function that reads some media types."""

    name: str
    read: ReaderFunction
    media_types: frozenset[str]
    prefixes: tuple[str, ...] = ()
    """Beginnings of media types, such as `text/`, that it reads too."""

    def claims(self, media_type: str) -> bool:
        """Tell whether the reader reads a media type."""
        return media_type in self.media_types or media_type.startswith(self.prefixes or ("\0",))


READERS: tuple[Reader, ...] = (
    Reader("markdown", read_markdown, frozenset(("text/markdown", "text/x-markdown"))),
    Reader("rst", read_rst, frozenset(("text/x-rst", "text/prs.fallenstein.rst"))),
    Reader("html", read_html, frozenset(("text/html", "application/xhtml+xml"))),
    Reader("html-words", read_html_words, frozenset(("text/html", "application/xhtml+xml"))),
    Reader(
        "text",
        read_text,
        frozenset(
            (
                "application/json",
                "application/jsonl",
                "application/yaml",
                "application/toml",
                "application/xml",
                "application/javascript",
                "application/sql",
                "application/x-sh",
                "application/octet-stream",
            )
        ),
        prefixes=("text/",),
    ),
)


def readers_for(media_type: str) -> tuple[Reader, ...]:
    """Give the readers that claim a media type, the preferred one first.

    The plain text reader stands in for no format that has readers of its own: markup is not the text of a page.
    """
    claiming = tuple(reader for reader in READERS if reader.claims(media_type))
    named = tuple(reader for reader in claiming if media_type in reader.media_types)
    return named or claiming
