"""RSS and Atom feeds: one document per entry.

What belongs here: asking for feeds, and what a listing says of their entries. What does not: what a feed's bytes mean
(`feed_entries`).

A feed is asked for with the ETag or the date of the last answer; its last body is kept, so that an answer "not modified"
lists the same entries again. Where the body was lost, the feed is fetched whole.

Feeds drop their old entries, so with `keep` a listing is partial: what it does not name stays. Then a feed that fails is
left for the next run while the others go on; without `keep` it would look as if all its entries were deleted, so the
whole listing fails.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import threading
from collections.abc import Iterator
from urllib.parse import quote

from dataflow_assets.errors import FetchFailed, ItemRefused, SourceUnavailable
from dataflow_assets.media_types import UNKNOWN
from dataflow_assets.source_settings import FeedSource as FeedSettings
from dataflow_assets.sources.base import BaseSource, Context, Fetched, Item
from dataflow_assets.sources.feed_entries import MAX_BYTES, Entry, FeedUnreadable, read_feed
from dataflow_assets.sources.http import HttpClient
from dataflow_assets.sources.record_cache import RecordCache
from dataflow_assets.sources.record_text import MEDIA_TYPE

_URL = re.compile(r"https?://", re.IGNORECASE)
_KEPT = "body"
"""Stands for the fingerprint of a feed's last body: there is one at most."""


class FeedSource(BaseSource):
    """Lists the entries of feeds; fetches what the feed says of one, or the page that it links to.

    Args:
        settings: The feeds, and what is taken of them.
        context: Its base is the folder that relative paths start from.
    """

    def __init__(self, settings: FeedSettings, context: Context) -> None:
        self._settings, self._base = settings, context.base
        self._http = HttpClient(settings)
        self._feeds = RecordCache(context.cache, "feeds.sqlite")
        self._entries = RecordCache(context.cache, "entries.sqlite")
        self._again = threading.Lock()
        self._listed: dict[str, set[str]] = {}
        self.quick = not any(_URL.match(url) for url in settings.urls)
        self.concurrency = settings.concurrency if settings.pages else 1
        self.notes = ()

    @property
    def partial(self) -> bool:  # type: ignore[override]  # read only here
        """Whether entries stay that their feed drops."""
        return self._settings.keep

    def list(self) -> Iterator[Item]:
        """List the entries of each feed.

        Raises:
            SourceUnavailable: A feed cannot be had, or is not whole; with `keep` only if that is so of all feeds.
        """
        notes: list[str] = []
        failed: list[SourceUnavailable] = []
        taken: set[str] = set()
        self._listed = {}
        for feed in dict.fromkeys(self._settings.urls):
            try:
                entries = self._read(feed)
            except SourceUnavailable as error:
                if not self._settings.keep:
                    raise
                failed.append(error)
                continue
            self._listed[feed] = set()
            for entry in entries:
                item = self._item(feed, entry, taken)
                if item.path_key not in self._listed[feed]:
                    self._listed[feed].add(item.path_key)
                    yield item
            self._entries.commit()
        if failed and len(failed) == len(set(self._settings.urls)):
            raise failed[0]
        notes.extend(str(error) for error in failed)
        if self._settings.keep:
            yield from self._left()
        self._http.close()
        self.notes = tuple(notes)

    def fetch(self, item: Item) -> Fetched:
        """Give what the feed says of an entry, or the page that it links to.

        Raises:
            FetchFailed: The page, or the feed, cannot be had now, or the feed no longer holds the entry.
            ItemRefused: The page cannot be had as it is.
        """
        if self._settings.pages:
            found = self._entries.get(item.path_key, item.fingerprint) or self._listed_again(item)
            answer = self._http.get(found[0].decode())
            if answer.status == 304:
                raise FetchFailed(f"{item.uri} says that it did not change, and was not asked that.")
            return Fetched(answer.content, answer.headers.get("content-type"))
        found = self._entries.get(item.path_key, item.fingerprint) or self._listed_again(item)
        return Fetched(found[0], found[1])

    def stored(self) -> None:
        """Forget the contents of the entries, and remember which there were."""
        self._entries.settle()
        if not self._settings.keep:
            return
        with contextlib.suppress(SourceUnavailable):  # what is not remembered now is next time
            for feed in set(self._feeds.facts("entries:")) - set(self._settings.urls):
                self._feeds.set_fact(f"entries:{feed}", None)
            for feed, keys in self._listed.items():
                known = self._feeds.fact(f"entries:{feed}")
                if not keys <= set(known or ()):
                    self._feeds.set_fact(f"entries:{feed}", sorted(keys.union(known or ())))
            self._feeds.commit()

    def _left(self) -> Iterator[Item]:
        """List as gone what came from feeds that the catalog no longer names."""
        for feed, keys in self._feeds.facts("entries:").items():
            if feed not in self._settings.urls:
                for key in keys:
                    yield Item(key, key, MEDIA_TYPE, gone=True)

    def _item(self, feed: str, entry: Entry, taken: set[str]) -> Item:
        key = _key(feed, entry)
        uri = entry.link if entry.link and entry.link not in taken else key
        taken.add(uri)
        if self._settings.pages:
            if entry.link is None:
                return _problem(uri, key, "links to no page")
            content, media_type, size = entry.link.encode("utf-8", "replace"), UNKNOWN, None
        else:
            if entry.content is None:
                return _problem(uri, key, "says nothing: it has neither a text nor a title")
            content, media_type, size = entry.content, MEDIA_TYPE, len(entry.content)
            if size > self._settings.max_bytes:
                return _problem(
                    uri, key, f"has {size:,} bytes, more than the {self._settings.max_bytes:,} of source.max_bytes"
                )
        fingerprint = f"{'page-' if self._settings.pages else ''}{entry.changed}"
        self._entries.put(key, fingerprint, content, media_type=media_type)
        return Item(uri, key, media_type, size, fingerprint)

    def _listed_again(self, item: Item) -> tuple[bytes, str | None]:
        """List once more, since what the listing brought was lost."""
        with self._again:
            found = self._entries.get(item.path_key, item.fingerprint)
            if found is None:
                try:
                    for feed in dict.fromkeys(self._settings.urls):
                        if item.path_key.startswith(_one_line(f"{_place(feed)}#")):
                            for entry in self._read(feed):
                                self._item(feed, entry, set())
                except SourceUnavailable as error:
                    raise FetchFailed(str(error)) from error
                found = self._entries.get(item.path_key, item.fingerprint)
        if found is None:
            raise FetchFailed(
                f"{item.uri} was changed or dropped by its feed since it was listed. The next run lists it anew."
            )
        return found

    def _read(self, feed: str) -> tuple[Entry, ...]:
        content = self._asked(feed) if _URL.match(feed) else self._opened(feed)
        try:
            return tuple(read_feed(content, base=feed if _URL.match(feed) else ""))
        except FeedUnreadable as error:
            self._feeds.set_fact(f"asked:{feed}", None)  # so that it is asked for whole next time
            self._feeds.commit()
            raise SourceUnavailable(
                f"The feed {_shown(feed)} {error}. Check it, or take it out. {_NOTHING_DELETED}"
            ) from error

    def _asked(self, feed: str) -> bytes:
        """Ask for a feed; give its last body where it did not change."""
        last = self._feeds.fact(f"asked:{feed}") or {}
        kept = self._feeds.get(feed, _KEPT) if last else None
        conditions = {name: value for name, value in last.items() if isinstance(value, str)} if kept else {}
        try:
            answer = self._http.get(feed, headers=conditions, max_bytes=MAX_BYTES)
            if answer.status == 304 and kept is not None:
                return kept[0]
            if answer.status == 304:
                raise FetchFailed(f"{_shown(feed)} says that it did not change, and was not asked that.")
        except (FetchFailed, ItemRefused) as error:
            raise SourceUnavailable(f"The feed cannot be had: {error} {_NOTHING_DELETED}") from error
        asks = {"if-none-match": answer.headers.get("etag"), "if-modified-since": answer.headers.get("last-modified")}
        asks = {name: value for name, value in asks.items() if value and value.isascii() and value.isprintable()}
        if asks:
            self._feeds.put(feed, _KEPT, answer.content)
        self._feeds.set_fact(f"asked:{feed}", asks or None)
        self._feeds.commit()
        return answer.content

    def _opened(self, feed: str) -> bytes:
        try:
            descriptor = os.open(self._base / feed, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise OSError("it is no regular file")
                content = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SourceUnavailable(
                f"The feed {_shown(feed)} cannot be read: {reason}. Put it there, or take it out. {_NOTHING_DELETED}"
            ) from error
        if len(content) > MAX_BYTES:
            raise SourceUnavailable(
                f"The feed {_shown(feed)} has more than {MAX_BYTES:,} bytes. Make it shorter, or take it out. {_NOTHING_DELETED}"
            )
        return content


_NOTHING_DELETED = "Nothing was deleted."


def _problem(uri: str, key: str, what: str) -> Item:
    sentence = f"The entry {uri} {what}."
    return Item(uri, key, MEDIA_TYPE, None, "problem-" + hashlib.sha256(sentence.encode()).hexdigest()[:16], sentence)


def _shown(feed: str) -> str:
    return _one_line(re.sub(r"(?<=://)[^/?#]*@", "", feed).partition("?")[0])[:300]


def _key(feed: str, entry: Entry) -> str:
    return _one_line(f"{_place(feed)}#{entry.id}")


def _place(feed: str) -> str:
    """Name a feed; the query of an address may hold a secret, so it is hashed."""
    address, found, query = feed.partition("?")
    if not found or not _URL.match(feed):
        return feed
    return f"{address}?{hashlib.sha256(query.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _one_line(text: str) -> str:
    """Write a text so that it is valid Unicode on one line: what cannot be seen is percent-encoded."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else quote(c.encode("utf-8", "surrogatepass"), safe="") for c in text)
