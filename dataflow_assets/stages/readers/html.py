"""HTML becomes Markdown: headings, lists, tables, code and links stay readable; no word of the content is lost.

What belongs here: two readers. `read_html` converts with html-to-markdown (Rust; 11 MB/s and 99.9 % of the words on
real documentation, where selectors on a tree would be a converter of our own). It is quick but takes up to 85 times
the page's size in memory, and it leaves out what is nested more than a thousand levels deep; so a page that is too
large or that lost words goes to `read_html_words`, which only drops the tags, in time and memory proportional to the
page. What does not belong here: finding the main text of web pages with advertisements (`article`); documentation's
navigation is content too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any

from dataflow_assets.errors import ReadError
from dataflow_assets.records import Finding
from dataflow_assets.stages.readers.front_matter import split_front_matter
from dataflow_assets.stages.readers.html_tables import cut_tables, fill_rows
from dataflow_assets.stages.readers.item import Item, Reading

_CONVERTED = 3_000_000
"""Characters up to which a page is converted."""
_KEPT = 0.9
"""Share of the page's letters and digits that the conversion must keep."""
_HEAD = 65_536
_BODY = 262_144
_LANGUAGE = re.compile(r"<html\b[^<>]{0,1000}?\s(?:xml:)?lang\s{0,9}=\s{0,9}[\"']?([\w-]{2,20})", re.IGNORECASE)
_TITLE = re.compile(r"<title\b[^<>]{0,300}>([^<]{0,1000})</title", re.IGNORECASE)
_H1 = re.compile(r"<h1\b[^<>]{0,500}>([^<]{0,1000}(?:<(?!/h1)[^<]{0,1000}){0,20})</h1", re.IGNORECASE)
_META = re.compile(r"<meta\b([^<>]{0,2000})>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"([\w:-]{1,40})\s{0,9}=\s{0,9}(?:\"([^\"]{0,2000})\"|'([^']{0,2000})'|([^\s\"'>]{1,500}))")
_WANTED_META = {"author": "authors", "description": "description", "date": "date", "generator": "generator"}

_DATA = re.compile(r"(data:[^,\s\"'<>()]{0,200};base64,)[A-Za-z0-9+/=%_-]{16,}")
_END_OF_HEAD = re.compile(r"<(?:body|svg)\b", re.IGNORECASE)
_TOKEN = re.compile(r"<!--|<(?P<close>/?)(?P<name>[A-Za-z][A-Za-z0-9:-]{0,40})[^<>]*>|<[!?][^<>]*>")
_TAG = re.compile(r"<[^<>]*>")
"""For a quick upper bound of what a page says: scripts count too."""
_BLOCKS = frozenset(
    [
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "dir",
    "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "frameset", "header", "hr", "html",
    "legend", "li", "main", "menu", "nav", "ol", "option", "p", "pre", "section", "select", "summary", "table",
    "tbody", "tfoot", "thead", "title", "tr", "ul", "h1", "h2", "h3", "h4", "h5", "h6",
]
)  # fmt: skip
_CLOSINGS = {
    name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style", "template", "noscript", "title")
}
_COMMENT_END = re.compile("-->")
_SPACES = re.compile(r"[ \t\f\v]{2,}|[\t\f\v]")
_BLANK_LINES = re.compile(r"\n\s*\n")
_GATHERED = 20_000
"""Pieces that are joined at a time; a list of all of them would take ten times the page's size."""
_WORD = re.compile(r"\W+")


def read_html(item: Item) -> Reading:
    """Convert a page to Markdown; raises ReadError where it is too large, or where words were lost."""
    front_matter, source, findings = split_front_matter(item.decoded.text)
    return _reading(source, to_markdown(source), front_matter, findings)


def read_html_words(item: Item) -> Reading:
    """Drop the tags of a page; headings and list items keep a mark, everything else only its words."""
    front_matter, source, findings = split_front_matter(item.decoded.text)
    return _reading(source, to_words(_without_data(source)), front_matter, findings)


def to_markdown(source: str) -> str:
    """Convert HTML to Markdown, without what its head says.

    Raises:
        ReadError: It is too large to be converted, or words were lost.
    """
    import html_to_markdown

    source = _without_data(source)
    if len(source) > _CONVERTED:
        raise ReadError(f"The page has more than {_CONVERTED} characters, too many to convert.")
    options = html_to_markdown.ConversionOptions(
        extract_metadata=False, hidden_content="reachable", compact_tables=True, expand_abbreviations=False,
        inline_data_media="alt_text_only", autolinks=False,
        preprocessing=html_to_markdown.PreprocessingOptions(enabled=True, remove_navigation=False, remove_forms=False),
    )  # fmt: skip
    text = html_to_markdown.convert(fill_rows(source), options).content or ""
    kept = _letters(text)
    if kept < _KEPT * _letters(_TAG.sub(" ", source)) and kept < _KEPT * _letters(to_words(source)):
        raise ReadError("The conversion of the page lost words.")
    return cut_tables(text)


def _without_data(source: str) -> str:
    """Take out the files that a page holds within itself; what they are stays."""
    return _DATA.sub(r"\1...", source) if ";base64," in source else source


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page says of itself."""

    title: str
    headed: bool
    """Whether it has a heading of the first level."""
    language: str | None
    tags: tuple[str, ...]
    metadata: Mapping[str, str]


def page_facts(source: str) -> PageFacts:
    """Find what a page says of itself in its head and its first heading."""
    head = source[:_HEAD]
    own = head[: found.start()] if (found := _END_OF_HEAD.search(head)) else head  # a picture may have a title too
    title = _clean(found[1]) if (found := _TITLE.search(own)) else ""
    headings = [clean for each in _H1.findall(source[:_BODY]) if (clean := _clean(each))]
    if headings and (not title or headings[0].casefold() in title.casefold()):
        title = headings[0]
    meta: dict[str, str] = {}
    for tag in _META.findall(head):
        attributes = {name.lower(): a or b or c for name, a, b, c in _ATTRIBUTE.findall(tag)}
        name = attributes.get("name", attributes.get("http-equiv", "")).lower()
        if name and attributes.get("content"):
            meta.setdefault(name, _clean(attributes["content"]))
    return PageFacts(
        title=title,
        headed=bool(headings),
        language=found[1] if (found := _LANGUAGE.search(head)) else meta.get("content-language"),
        tags=tuple(tag.strip() for tag in meta.get("keywords", "").split(",") if tag.strip()),
        metadata={key: meta[name] for name, key in _WANTED_META.items() if name in meta},
    )


def _reading(source: str, text: str, front_matter: Mapping[str, Any], findings: tuple[Finding, ...]) -> Reading:
    facts = page_facts(source)
    if facts.title and not facts.headed and text.strip():
        text = f"# {facts.title}\n\n{text}"
    return Reading(
        text=text,
        markup="markdown",
        title=facts.title or None,
        language=facts.language,
        tags=facts.tags,
        front_matter=front_matter,
        metadata=facts.metadata,
        findings=findings,
    )


def _clean(markup: str) -> str:
    return " ".join(unescape(_TOKEN.sub("", markup)).split())


def _letters(text: str) -> int:
    return len(_WORD.sub("", text))


def to_words(source: str) -> str:
    """Drop tags, comments and scripts in one pass. What never closes is searched for once, so the time stays linear."""
    parts: list[str] = []
    joined: list[str] = []
    unclosed: set[re.Pattern[str]] = set()
    position = 0
    preformatted = 0
    length = len(source)

    def keep(end: int) -> None:
        piece = unescape(source[position:end]) if position < end else ""
        if piece:
            parts.append(piece if preformatted else _SPACES.sub(" ", piece.replace("\r", "").replace("\n", " ")))

    while position < length:
        token = _TOKEN.search(source, position)
        if token is None:
            keep(length)
            break
        keep(token.start())
        position = token.end()
        name = (token["name"] or "").lower()
        if len(parts) > _GATHERED:
            joined.append("".join(parts))
            parts.clear()
        closing = _COMMENT_END if token[0] == "<!--" else None if token["close"] else _CLOSINGS.get(name)
        if closing is not None:
            if closing not in unclosed:
                end = closing.search(source, position)
                if end is None:
                    unclosed.add(closing)
                else:
                    position = end.end() if closing is _COMMENT_END else end.start()
            continue
        if name in _BLOCKS:
            parts.append("\n\n" if name not in ("li", "tr", "option") else "\n")
            if token["close"]:
                preformatted = max(0, preformatted - (name == "pre"))
            else:
                preformatted += name == "pre"
                if name[0] == "h" and name[1:].isdigit():
                    parts.append("#" * int(name[1:]) + " ")
                elif name == "li":
                    parts.append("- ")
        elif name == "br":
            parts.append("\n")
        elif name in ("td", "th") and not token["close"]:
            parts.append(" | ")
    text = _BLANK_LINES.sub("\n\n", "".join([*joined, *parts])).strip()
    return f"{text}\n" if text else ""
