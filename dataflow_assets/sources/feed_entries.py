"""The bytes of a feed become its entries.

What belongs here: RSS and Atom in all their dialects, by feedparser, and what of an entry becomes a document. What does
not: asking for feeds, and what was seen before (`feed`).

feedparser would open addresses and files that it is given as text, so it is given bytes in memory and nothing else. Its
XML parser loads no external entity, expands little of the others and its time grows with the bytes; these are bounded.

Many feeds are no sound XML and are read loosely all the same. One that is not sound and ends before its end tag was cut
off: it must not look whole.
"""

from __future__ import annotations

import calendar
import datetime as dt
import hashlib
import io
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from typing import Any

import feedparser

from dataflow_assets.errors import ReadError
from dataflow_assets.sources.record_text import record_bytes
from dataflow_assets.stages.readers.html import read_html, read_html_words
from dataflow_assets.stages.readers.item import Item as Page

MAX_BYTES = 20_000_000
"""Bytes of a feed at most: two seconds for each million of the worst kind."""
_MAX_ID = 300
_CONVERTED = 300_000
"""Characters up to which an entry is converted; the tags of longer ones are dropped, which takes less memory."""
_END = re.compile(rb"</\s{0,20}(?:[\w.-]{1,40}:)?(?:rss|feed|rdf)\s{0,200}>\s*(?:<!--.{0,2000}-->\s*)*\Z", re.I | re.S)
_TAG = re.compile(r"<[^<>]{1,2000}>")
_MARKUP = re.compile(r"<[A-Za-z/!][^<>]{0,2000}>|&(?:[A-Za-z]{2,10}|#\d{1,7});")
_LINK = re.compile(r"https?://[^\s/?#]", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/?#]*@")


class FeedUnreadable(Exception):
    """The bytes are no feed, or not a whole one; the message says so as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a feed."""

    id: str
    """Its id, its link, or a hash of what it says: what tells it from the others of its feed."""
    link: str | None
    """The page that it is about, without credentials."""
    content: bytes | None
    """Markdown with front matter; None where it says nothing."""
    changed: str = field(default="")
    """Differs where the feed says another thing of it."""


def read_feed(content: bytes, *, base: str = "") -> Sequence[Entry]:
    """Read a feed's entries, in their order; of several with one id the first.

    Args:
        content: The feed.
        base: Its address, which relative links start from.

    Raises:
        FeedUnreadable: It is no feed, or was cut off.
    """
    if len(content) > MAX_BYTES:
        raise FeedUnreadable(f"has more than {MAX_BYTES:,} bytes, more than is read of a feed")
    try:
        parsed = feedparser.parse(io.BytesIO(content), response_headers={"content-location": base} if base else {})
    except Exception as error:  # whatever a parser of hostile text raises
        raise FeedUnreadable(f"cannot be read as RSS or Atom: {type(error).__name__}") from error
    # Which mistakes it calls so is not told by its types: a wrong charset in the header is one too.
    unsound = isinstance(parsed.get("bozo_exception"), Exception) and "SAX" in type(parsed.bozo_exception).__name__
    if not parsed.get("version") and not parsed.entries:
        raise FeedUnreadable("is neither RSS nor Atom")
    if unsound and not _END.search(content[-8_192:].replace(b"\0", b"")):
        raise FeedUnreadable("is not whole: it ends before its end tag")
    feed = parsed.get("feed") or {}
    named = _line(feed.get("title"))
    found: dict[str, Entry] = {}
    for each in parsed.entries:
        entry = _entry(each, named, _line(feed.get("language")))
        found.setdefault(entry.id, entry)
    return list(found.values())


def _entry(each: Mapping[str, Any], feed: str, language: str) -> Entry:
    title, link, body = _line(each.get("title")), _link(each.get("link")), _body(each)
    authors = [
        name for author in _list(each.get("authors")) if (name := _line(author.get("name") or author.get("email")))
    ]
    if not authors and (author := _line(each.get("author"))):
        authors = [author]
    tags = [
        tag for each_tag in _list(each.get("tags")) if (tag := _line(each_tag.get("label") or each_tag.get("term")))
    ]
    published, updated = _time(each, "published"), _time(each, "updated")
    metadata = {
        "date": published or updated,
        "updated": updated if published and updated != published else None,
        "authors": list(dict.fromkeys(authors)),
        "tags": list(dict.fromkeys(tags)),
        "url": link,
        "feed": feed,
        "language": language,
    }
    content = record_bytes(title, body or title, metadata) if body or title else None
    changed = hashlib.sha256(content or b"").hexdigest()[:32]
    stated = _line(each.get("id")) or link or ""
    name = _USER.sub("", stated) if stated else f"sha256:{changed}"
    if len(name) > _MAX_ID:
        name = f"sha256:{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()}"
    return Entry(name, link, content, changed)


def _body(each: Mapping[str, Any]) -> str:
    """Give what an entry says, as Markdown: its content, or else its summary."""
    contents = [part for part in _list(each.get("content")) if (part.get("value") or "").strip()]
    if not contents:
        detail = each.get("summary_detail") or {"value": each.get("summary") or "", "type": "text/html"}
        contents = [detail]
    told = max(contents, key=lambda part: ("html" in (part.get("type") or ""), len(part["value"] or "")))
    value = str(told.get("value") or "")
    if "html" in (told.get("type") or "text/html") and _MARKUP.search(value):
        value = _markdown(value)
    return value.strip() + "\n" if value.strip() else ""


def _markdown(html: str) -> str:
    page = Page(html.encode("utf-8", "replace"), "entry.html", "text/html", encoding="utf-8")
    if len(html) <= _CONVERTED:
        try:
            return read_html(page).text
        except ReadError:
            pass
    try:
        return read_html_words(page).text
    except ReadError:  # binary noise
        return ""


def _time(each: Mapping[str, Any], name: str) -> str | None:
    if name not in each:  # asked for plainly, it gives another time and warns
        return None
    parsed = each.get(f"{name}_parsed") if f"{name}_parsed" in each else None
    if isinstance(parsed, time.struct_time):
        try:
            return dt.datetime.fromtimestamp(calendar.timegm(parsed), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        except (ValueError, OverflowError, OSError):
            return None
    return _line(each.get(name))[:100] or None


def _line(value: Any) -> str:
    """Write a short text that may hold markup on one line."""
    if not isinstance(value, str):
        return ""
    value = value[:10_000]
    if _MARKUP.search(value):
        value = unescape(_TAG.sub("", value))
    return " ".join(value.split())


def _link(value: Any) -> str | None:
    link = value.strip() if isinstance(value, str) else ""
    if not _LINK.match(link) or len(link) > 2_000:
        return None
    return _USER.sub("", "".join(char for char in link if char.isprintable() and not char.isspace()))


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)][:1_000] if isinstance(value, list) else []
