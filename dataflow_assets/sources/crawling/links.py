"""What a page says of other pages, and of itself, to those who crawl.

What belongs here: links, `<base>`, the canonical address, nofollow and noindex, in HTML and in the headers of the answer.
What does not: which links are followed (`listing`), and the page's text.

The page is read as a stream of tags, so that a huge or deeply nested one needs no more memory than a small one.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from dataflow_assets.sources.crawling.addresses import joined

MAX_LINKS = 5_000
"""Links of one page; a page that has more is a trap or a listing of everything."""
MAX_BYTES = 5_000_000
_BLOCK_BYTES = 1 << 16
_LINK_HEADER = re.compile(r"<([^<>]{1,2000})>([^<]{0,300})")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_REFRESH = re.compile(r"\s*[\d.]{1,9}\s*[;,]\s*url\s*=\s*[\"']?([^\"'\s]{1,2000})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Told:
    """What a page says to those who crawl."""

    links: tuple[str, ...] = ()
    """Addresses that it links to, in order, each once."""
    canonical: str | None = None
    """The address that it wants to be known by."""
    nofollow: bool = False
    """Whether it asks that its links are not followed."""
    noindex: bool = False
    """Whether it asks not to be indexed."""


def told(content: bytes, url: str, headers: Mapping[str, str], *, is_html: bool) -> Told:
    """Read what a page says to those who crawl.

    Args:
        content: Its bytes.
        url: Where it came from, after redirects.
        headers: Of the answer, names in lower case.
        is_html: Whether it is HTML; anything else speaks by its headers only.
    """
    page = _Page(url)
    page.robots(headers.get("x-robots-tag", "")[:1000])
    for target, attributes in _LINK_HEADER.findall(headers.get("link", "")[:10_000]):
        if re.search(r"rel\s*=\s*\"?canonical\b", attributes, re.IGNORECASE):
            page.canonical = page.canonical or joined(url, target)
    if is_html:
        _feed(page, content[:MAX_BYTES], headers.get("content-type", ""))
    return Told(tuple(page.links), page.canonical, page.nofollow, page.noindex)


def _feed(page: _Page, content: bytes, content_type: str) -> None:
    parser = etree.HTMLParser(target=page, encoding=_encoding(content_type), no_network=True, remove_comments=True)
    try:
        for at in range(0, len(content), _BLOCK_BYTES):
            parser.feed(content[at : at + _BLOCK_BYTES])
        parser.close()
    except (etree.LxmlError, AssertionError, ValueError):
        return  # what came before the damage counts


class _Page:
    """Hears a page's tags."""

    def __init__(self, url: str) -> None:
        self.links: dict[str, None] = {}
        self.canonical: str | None = None
        self.nofollow = self.noindex = False
        self._base = url
        self._has_base = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag in ("a", "area"):
            if "nofollow" not in attributes.get("rel", "").lower().split():
                self._link(attributes.get("href"))
        elif tag in ("frame", "iframe"):
            self._link(attributes.get("src"))
        elif tag == "base" and attributes.get("href") and not self._has_base:
            self._has_base = True
            self._base = joined(self._base, attributes["href"]) or self._base
        elif tag == "link":
            rel = attributes.get("rel", "").lower().split()
            if "canonical" in rel and self.canonical is None:
                self.canonical = joined(self._base, attributes.get("href", ""))
            elif "next" in rel or "prev" in rel:
                self._link(attributes.get("href"))
        elif tag == "meta":
            content = attributes.get("content", "")
            if attributes.get("name", "").lower() == "robots":
                self.robots(content)
            elif attributes.get("http-equiv", "").lower() == "refresh" and (found := _REFRESH.match(content[:3000])):
                self._link(found[1])

    def end(self, tag: str) -> None:
        """Hear that an element ends."""

    def data(self, text: str) -> None:
        """Hear text."""

    def close(self) -> None:
        """Hear that the page ends."""

    def robots(self, said: str) -> None:
        """Take in what a page asks of robots."""
        words = {word.strip().lower() for word in said.split(",")}
        self.nofollow |= bool(words & {"nofollow", "none"})
        self.noindex |= bool(words & {"noindex", "none"})

    def _link(self, link: str | None) -> None:
        if link and len(self.links) < MAX_LINKS and (found := joined(self._base, link)):
            self.links[found] = None


def _encoding(content_type: str) -> str | None:
    named = _CHARSET.search(content_type[:500])
    try:
        codecs.lookup(named[1] if named else "")
        etree.HTMLParser(encoding=named[1] if named else None)
    except LookupError:
        return None
    return named[1] if named else None
