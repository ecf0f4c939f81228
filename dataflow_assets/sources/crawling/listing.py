"""One listing of a site: which pages it has.

What belongs here: the three ways to find pages (named, in a sitemap, by a crawl), what their failures mean for the whole, and
which of them are one document. What does not: how pages are asked for (`asking`, `pages`), and what the house makes of the
listing.

A listing is whole or it is an error, since what is missing from it is deleted. Where a crawl cannot see behind a page that it
never saw before, it says that it is partial, and names what is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from dataflow_assets.errors import SourceError, SourceUnavailable
from dataflow_assets.source_settings import WebSource as WebSettings
from dataflow_assets.sources.crawling.addresses import Patterns, folder_of, lies_within, normal, over_tls, same_site
from dataflow_assets.sources.crawling.asking import Asker
from dataflow_assets.sources.crawling.canonical import roots_of
from dataflow_assets.sources.crawling.pages import Outcome, Page, Pages, may_be_document
from dataflow_assets.sources.crawling.robots import Robots
from dataflow_assets.sources.crawling.sitemaps import addresses_in
from dataflow_assets.sources.http import HttpClient, RedirectRefused, RequestFailed, RequestUnauthorized

_SEEN_PER_PAGE = 4
"""A crawl asks for at most so many addresses for each page that it may list."""
_CLOSED = "closed by robots.txt"
_UNINDEXED = "asking not to be indexed"


@dataclass
class Entry:
    """One page of a listing."""

    page: Page | None = None
    problem: str | None = None
    """Why it can never be fetched as it is."""
    failure: SourceError | None = None
    """Why it could not be asked now, where no state of it is remembered."""


@dataclass
class Listing:
    """What a listing found."""

    entries: dict[str, Entry] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    """Pages that are no more; named where the listing is partial."""
    partial: bool = False
    notes: list[str] = field(default_factory=list)


class Lister:
    """Lists the pages that settings ask for; used once.

    Args:
        settings: Which pages, and how.
        client: Asks for sitemaps.
        pages: Asks for pages.
        robots: Says what may be asked.
    """

    def __init__(self, settings: WebSettings, client: HttpClient, pages: Pages, robots: Robots) -> None:
        self._settings, self._client, self._pages = settings, client, pages
        self._asker = Asker(pages, robots, settings.concurrency)
        self._patterns = Patterns(settings.include, settings.exclude)
        self._named = frozenset(_writings(settings.urls))
        self._entries: dict[str, Entry] = {}
        self._left_out: dict[str, set[str]] = {}
        self._blind = False
        self._limited = False

    def find(self) -> Listing:
        """Find the pages.

        Raises:
            SourceUnavailable: The pages cannot be listed, or not whole.
            CredentialError: The site takes the credentials for no page at all.
        """
        settings = self._settings
        for outcome in self._asker.ask_all(_writings(settings.urls)):
            self._list(outcome)
        if settings.sitemap:
            self._list_sitemap(settings.sitemap)
        prefix = self._crawl(settings.crawl) if settings.crawl else None
        self._must_be_sound()
        self._merge_canonical()
        found = Listing(entries=dict(sorted(self._entries.items())))
        if self._blind and prefix is not None:
            found.partial = True
            found.gone = self._find_gone(prefix)
        found.notes = self._notes()
        return found

    def _list(self, outcome: Outcome) -> None:
        """List a page that a person or a sitemap named, whatever came of asking for it, unless it is gone."""
        url, page = outcome.asked, outcome.page
        if outcome.gone:
            return
        if outcome.closed:
            self._leave_out(_CLOSED, url)
        elif page is not None and page.noindex and self._settings.robots and url not in self._named:
            self._leave_out(_UNINDEXED, url)
        elif page is not None:
            self._entries[url] = Entry(page)
        elif isinstance(outcome.error, RequestFailed):
            self._entries[url] = Entry(failure=outcome.error)
        elif outcome.error is not None:
            self._entries[url] = Entry(problem=str(outcome.error))

    def _list_sitemap(self, sitemap: str) -> None:
        """List the pages that a sitemap names."""
        limit = self._settings.max_pages
        prefix = None if self._settings.crawl else self._settings.within
        taken: dict[str, None] = {}
        for url in addresses_in(
            sitemap, self._client, foreign=lambda url: self._leave_out("no address, or a sitemap of another site", url)
        ):
            if not (lies_within(url, normal(prefix) or prefix) if prefix else same_site(url, sitemap)):
                self._leave_out("of another site than their sitemap", url)
            elif self._patterns.takes(url) and url not in self._asker.outcomes:
                if len(taken) >= limit and url not in taken:
                    self._limited = True
                    break
                taken[url] = None
        for outcome in self._asker.ask_all(list(taken)):
            self._list(outcome)

    def _crawl(self, start: str) -> str:
        """Follow links, nearest first; give the prefix that the crawl stayed within."""
        first = normal(start) or start
        outcome = self._asker.start(first)
        final = outcome.page.url if outcome.page is not None else first
        prefix = self._prefix(first, final)
        seen, listed = {first, final}, self._take(outcome, prefix)
        links = self._new_links(outcome, prefix, seen)
        for _ in range(self._settings.max_depth):
            deeper: list[str] = []
            with closing(self._asker.ask_all(links, within=prefix)) as outcomes:
                for number, each in enumerate(outcomes, start=1):
                    listed += self._take(each, prefix)
                    deeper += self._new_links(each, prefix, seen)
                    if listed >= self._settings.max_pages:
                        self._limited |= number < len(links) or bool(deeper)
                        return prefix
            links = deeper
        return prefix

    def _prefix(self, asked: str, final: str) -> str:
        if self._settings.within:
            return normal(self._settings.within) or self._settings.within
        if final == asked + "/":
            return final
        own = folder_of(asked)
        return own if final.startswith(own) else folder_of(final)

    def _take(self, outcome: Outcome, prefix: str) -> int:
        """List a page that a crawl came to; give how many pages that made."""
        page = outcome.page
        url = page.url if page is not None else outcome.asked
        if outcome.gone or url in self._entries or outcome.asked in self._entries:
            return 0
        if outcome.closed:
            self._leave_out(_CLOSED, url)
        elif isinstance(outcome.error, RedirectRefused):
            self._leave_out("redirected to where the source does not go", url)
        elif page is None and isinstance(outcome.error, RequestFailed):
            self._blind = True
            if self._patterns.takes(url):
                self._entries[url] = Entry(failure=outcome.error)
        elif page is None and outcome.error is not None:
            self._leave_out("refused by the site, or too large", url)
        elif page is not None and lies_within(url, prefix) and self._patterns.takes(url):
            if page.noindex and self._settings.robots:
                self._leave_out(_UNINDEXED, url)
            else:
                self._entries[url] = Entry(page)
                return 1
        return 0

    def _new_links(self, outcome: Outcome, prefix: str, seen: set[str]) -> list[str]:
        """Give the links of a page that nobody followed yet."""
        found = []
        for link in self._links(outcome.page, prefix) if outcome.page is not None else ():
            if link in seen:
                continue
            if len(seen) >= _SEEN_PER_PAGE * self._settings.max_pages + 100:
                self._limited = True
                break
            seen.add(link)
            found.append(link)
        return found

    def _links(self, page: Page, prefix: str) -> Iterator[str]:
        if page.nofollow and self._settings.robots:
            return
        for link in self._pages.links(page):
            if lies_within(link, prefix) and may_be_document(link) and not self._patterns.excludes(link):
                yield over_tls(link, prefix)

    def _must_be_sound(self) -> None:
        """See that enough of the pages answered for the listing to mean something."""
        outcomes = list({id(one): one for one in self._asker.outcomes.values()}.values())
        refusals = [one.error for one in outcomes if isinstance(one.error, RequestUnauthorized)]
        if refusals and not any(one.page for one in outcomes):
            raise refusals[0]
        known = [one for one in outcomes if one.known]
        trouble = [one.error for one in known if one.in_trouble and not self._stands(one)]
        if 2 * len(trouble) > len(known):
            raise SourceUnavailable(
                f"{len(trouble)} of {len(known)} pages that answered before do not now, so the site is taken to be in "
                f"trouble. The first: {trouble[0]} Nothing was deleted."
            )

    def _stands(self, outcome: Outcome) -> bool:
        """Tell whether a page that failed stays as it was, and leads nowhere, so that its failure is its own matter."""
        return outcome.asked in self._named and outcome.page is not None

    def _merge_canonical(self) -> None:
        """Leave out pages that want to be known by the address of another page that is listed."""
        roots = roots_of({url: self._canonical(url) for url in self._entries})
        for url, root in roots.items():
            if root != url:
                self._leave_out("the same as another page, by their canonical links", url)
        self._entries = {url: entry for url, entry in self._entries.items() if roots[url] == url}

    def _canonical(self, url: str) -> str | None:
        """Give the listed page, another one, that a page names as what it wants to be known by."""
        page = self._entries[url].page
        named = page.canonical if page is not None else None
        if named is None:
            return None
        scheme, _, rest = named.partition("://")
        # Careless pages name themselves over http, or without it.
        for target in (named, f"{'http' if scheme == 'https' else 'https'}://{rest}"):
            entry = self._entries.get(target)
            if entry is not None and entry.page is not None:
                return target if target != url else None
        return None

    def _find_gone(self, prefix: str) -> list[str]:
        """Ask for what was listed before and was not come to now, and give what is listed no more."""
        outcomes = self._asker.outcomes
        missing = [url for url in self._pages.all_remembered() if url not in self._entries]
        reached = {one.page.url for one in outcomes.values() if one.page is not None}
        in_scope = {url for url in missing if lies_within(url, prefix) and self._patterns.takes(url)}
        for _ in self._asker.ask_all(
            [url for url in missing if url in in_scope and url not in outcomes], within=prefix
        ):
            pass
        return [
            url
            for url in missing
            if url in reached or url not in in_scope or ((one := outcomes.get(url)) is not None and one.gone)
        ]

    def _leave_out(self, why: str, url: str) -> None:
        self._left_out.setdefault(why, set()).add(url)

    def _notes(self) -> list[str]:
        notes = []
        for why, urls in self._left_out.items():
            some = ", ".join(url[:200] for url in sorted(urls)[:3]) + (", ..." if len(urls) > 3 else "")
            notes.append(f"{len(urls)} {'page was' if len(urls) == 1 else 'pages were'} left out, {why}: {some}.")
        if self._limited:
            notes.append(
                f"The site has more pages than the source's max_pages, {self._settings.max_pages:,}, lets in; the others "
                "were left out. Raise it, or narrow the source by within, include or exclude."
            )
        if self._blind:
            notes.append(
                "A page that was never seen before failed, so what it leads to is not known: only pages that the site "
                "says are gone were deleted."
            )
        return notes


def _writings(urls: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(normal(url) or url for url in urls))
