"""Pages of the web: named, in a sitemap, or found by a crawl.

What belongs here: what the house asks of a source. What does not: finding pages (`crawling`), and requests (`http`).

Listing asks for every page with what is remembered of it, so that a page that did not change sends no body. What a
listing fetches lies in the source's folder until it is stored, and `fetch` is answered from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from dataflow_assets.errors import FetchFailed, SourceError
from dataflow_assets.media_types import media_type_of
from dataflow_assets.source_settings import WebSource as WebSettings
from dataflow_assets.sources.base import BaseSource, Context, Fetched, Item
from dataflow_assets.sources.crawling.listing import Lister
from dataflow_assets.sources.crawling.pages import ACCEPT, Pages, media_type
from dataflow_assets.sources.crawling.robots import Robots
from dataflow_assets.sources.http import HttpClient, RequestRefused, RequestUnauthorized
from dataflow_assets.sources.record_cache import RecordCache

_PER_SECOND = 2.0
"""Requests a second to one host, where the settings say nothing."""


class WebSource(BaseSource):
    """Lists and fetches pages of the web.

    Args:
        settings: Which pages, and how they are asked for.
        context: Where the source remembers pages.
        client: Asks for them; one that follows the settings if left out.
    """

    quick = False

    def __init__(self, settings: WebSettings, context: Context, client: HttpClient | None = None) -> None:
        self.concurrency = settings.concurrency
        self._settings = settings
        self._client = client or HttpClient(settings, user_agent=settings.user_agent, per_second=_PER_SECOND)
        self._cache = RecordCache(context.cache, "pages.sqlite")
        self._pages = Pages(self._client, self._cache)
        self._robots = self._new_robots()
        self._failures: dict[str, SourceError] = {}
        self._listed: set[str] = set()

    def list(self) -> Iterator[Item]:
        """List the pages, in the order of their addresses.

        Raises:
            SourceUnavailable: A start page, a sitemap or a robots.txt fails, or so many pages that the site must be in
                trouble.
        """
        self._robots = self._new_robots()  # a site may say something else than at the last listing
        found = Lister(self._settings, self._client, self._pages, self._robots).find()
        self._failures = {url: entry.failure for url, entry in found.entries.items() if entry.failure is not None}
        self._listed = set(found.entries)
        for url, entry in found.entries.items():
            page = entry.page
            if page is not None:
                yield Item(url, url, page.media_type, page.size_bytes, page.fingerprint)
            else:
                fingerprint = None
                if entry.problem is not None:
                    fingerprint = "problem-" + hashlib.sha256(entry.problem.encode()).hexdigest()[:16]
                yield Item(url, url, media_type_of(url.partition("?")[0]), None, fingerprint, entry.problem)
        for url in found.gone:
            yield Item(url, url, media_type_of(url.partition("?")[0]), gone=True)
        self.notes, self.partial = found.notes, found.partial

    def fetch(self, item: Item) -> Fetched:
        """Give the body that the listing brought; ask again where it was lost.

        Raises:
            FetchFailed: The page cannot be had now, or is another than was listed.
            ItemRefused: It will never be had.
        """
        if (failure := self._failures.get(item.path_key)) is not None:
            raise failure
        body = self._pages.body(item.fingerprint) if item.fingerprint is not None else None
        if body is not None:
            return Fetched(body, item.media_type)
        if not self._robots.allows(item.path_key):
            raise FetchFailed(f"{item.uri} is closed by robots.txt since it was listed. The next run lists it anew.")
        try:
            answer = self._client.get(item.path_key, headers=ACCEPT, may_follow=self._robots.allows)
        except RequestUnauthorized as error:
            if error.status == 407:
                raise
            raise FetchFailed(str(error)) from error
        except RequestRefused as error:
            if error.status in (404, 410):
                raise FetchFailed(f"{item.uri} went away since it was listed. The next run lists it anew.") from error
            raise
        if item.fingerprint is not None and hashlib.sha256(answer.content).hexdigest() != item.fingerprint:
            raise FetchFailed(f"{item.uri} changed since it was listed. The next run lists it anew.")
        return Fetched(answer.content, media_type(answer.url, answer.headers))

    def stored(self) -> None:
        """Drop the bodies, and what is remembered of pages that are listed no more."""
        if self.partial:
            self._cache.drop_contents()
        else:
            self._pages.forget_all_but(self._listed)
        self._cache.close()
        self._client.close()

    def _new_robots(self) -> Robots:
        return Robots(self._client, self._settings.user_agent, heard=self._settings.robots)
