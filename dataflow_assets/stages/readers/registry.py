"""Which reader reads what.

What belongs here: the table, in order of preference. When a reader fails on a format it claims, the next one that
claims it is tried; when all failed, the document is rejected with their reasons.

A reader is named by its module and imported when the first document of its format comes, since some bring heavy parsers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import cast

from dataflow_assets.stages.readers.item import Item, ReaderFunction, Reading

_READERS = "dataflow_assets.stages.readers."


@dataclass(frozen=True, slots=True)
class Reader:
    """A function that reads some media types."""

    name: str
    function: str
    """`module:function`, below this package."""
    media_types: frozenset[str]
    prefixes: tuple[str, ...] = ()
    """Beginnings of media types, such as `text/`, that it reads too."""
    trusted: bool = False
    """Whether it is so simple that it may run in the run's own process: no foreign parser, linear time, little memory."""

    def claims(self, media_type: str) -> bool:
        """Tell whether the reader reads a media type."""
        return media_type in self.media_types or media_type.startswith(self.prefixes or ("\0",))

    def read(self, item: Item) -> Reading:
        """Read an item; raises ReadError with the reason, or whatever its parser raises."""
        return _function(self.function)(item)


@cache
def _function(named: str) -> ReaderFunction:
    module, _, name = named.partition(":")
    return cast(ReaderFunction, getattr(import_module(_READERS + module), name))


def _types(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_HTML = _types("text/html application/xhtml+xml")
_SHEETS = _types(
    """
    application/vnd.openxmlformats-officedocument.spreadsheetml.sheet application/vnd.ms-excel
    application/vnd.ms-excel.sheet.macroenabled.12 application/vnd.ms-excel.sheet.binary.macroenabled.12
    application/vnd.oasis.opendocument.spreadsheet
    """
)
_OFFICE = _types(
    """
    application/vnd.openxmlformats-officedocument.wordprocessingml.document
    application/vnd.openxmlformats-officedocument.wordprocessingml.template
    application/vnd.ms-word.document.macroenabled.12 application/msword application/rtf application/epub+zip
    application/vnd.openxmlformats-officedocument.presentationml.presentation
    application/vnd.openxmlformats-officedocument.presentationml.slideshow
    application/vnd.ms-powerpoint.presentation.macroenabled.12 application/vnd.ms-powerpoint
    application/vnd.oasis.opendocument.text application/vnd.oasis.opendocument.presentation
    """
)
_JSON = _types("application/json application/x-ndjson application/jsonl")
_XML = _types("application/xml text/xml application/atom+xml application/rss+xml image/svg+xml")
_IMAGES = _types("image/png image/jpeg image/gif image/webp image/tiff image/bmp")

READERS: tuple[Reader, ...] = (
    Reader("markdown", "markdown:read_markdown", _types("text/markdown text/x-markdown"), trusted=True),
    Reader("rst", "rst:read_rst", _types("text/x-rst text/prs.fallenstein.rst"), trusted=True),
    Reader("article", "article:read_article", _HTML),
    Reader("html", "html:read_html", _HTML),
    Reader("html-words", "html:read_html_words", _HTML),
    Reader("pdf", "pdf:read_pdf", _types("application/pdf")),
    Reader("office", "office:read_office", _OFFICE),
    Reader("sheets", "sheets:read_sheets", _SHEETS),
    Reader("table", "table:read_table", _types("text/csv text/tab-separated-values")),
    Reader("mail", "mail:read_mail", _types("message/rfc822 application/vnd.ms-outlook")),
    Reader("notebook", "notebook:read_notebook", _types("application/x-ipynb+json")),
    Reader("json", "json_text:read_json", _JSON),
    Reader("xml", "xml_text:read_xml", _XML),
    Reader("subtitles", "subtitles:read_subtitles", _types("text/vtt application/x-subrip")),
    Reader("asciidoc", "asciidoc:read_asciidoc", _types("text/asciidoc")),
    Reader(
        "transcript", "transcript:read_transcript", _types("application/vnd.dataflow.transcript+jsonl"), trusted=True
    ),
    Reader("image", "image:read_image", _IMAGES),
    Reader(
        "text",
        "text:read_text",
        _JSON
        | (_XML - {"image/svg+xml"})  # a drawing without words has no text; its source is none
        | _types(
            """
            application/yaml application/toml application/javascript application/sql application/x-sh
            application/x-tex application/x-bibtex application/x-subrip application/octet-stream
            """
        ),
        prefixes=("text/",),
        trusted=True,
    ),
)


def readers_for(media_type: str) -> tuple[Reader, ...]:
    """Give the readers that claim a media type, the preferred one first.

    The plain text reader stands in for no format that has readers of its own: markup is not the text of a page.
    """
    claiming = tuple(reader for reader in READERS if reader.claims(media_type))
    named = tuple(reader for reader in claiming if media_type in reader.media_types)
    return named or claiming
