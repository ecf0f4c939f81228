"""Asking for the pages of one listing, several at once and each once.

What belongs here: what may be asked, in what order answers come, and when a site counts as down. What does not: one page
(`pages`), and which pages are asked for (`listing`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor

from dataflow_assets.errors import SourceUnavailable
from dataflow_assets.sources.crawling.addresses import lies_within, normal, same_site
from dataflow_assets.sources.crawling.pages import Outcome, Pages
from dataflow_assets.sources.crawling.robots import Robots
from dataflow_assets.sources.http import (
    AddressRefused,
    RedirectRefused,
    RequestFailed,
    RequestRefused,
    RequestUnauthorized,
)

_MAX_SILENT = 20
"""After so many pages in a row that were not answered, the site is taken to be down."""
_SILENT = frozenset((None, 429, 502, 503, 504))


class Asker:
    """Asks for pages, and keeps what came of each for the length of a listing.

    Args:
        pages: Asks for one.
        robots: Says what may be asked.
        at_once: Pages at once.

    Attributes:
        outcomes: What came of each address that was asked for.
    """

    def __init__(self, pages: Pages, robots: Robots, at_once: int) -> None:
        self._pages, self._robots, self._at_once = pages, robots, at_once
        self.outcomes: dict[str, Outcome] = {}

    def start(self, url: str) -> Outcome:
        """Ask for the page where a crawl starts: nothing is known of the site without it.

        Raises:
            SourceUnavailable: It cannot be had.
            CredentialError: It takes the credentials not.
        """
        if normal(url) is None:
            raise SourceUnavailable(f"{url[:200]!r}, where the crawl should start, is no address. Nothing was deleted.")
        if not self._allowed(url):
            raise SourceUnavailable(
                f"robots.txt closes {url}, where the crawl starts. Ask whoever runs the site; if you do, set robots: "
                "false. Nothing was deleted."
            )
        outcome = self._pages.ask(
            url,
            may_follow=lambda target: same_site(target, url) and self._robots.allows(target),
            documents_only=True,
            by_final_address=True,
        )
        if isinstance(outcome.error, RequestUnauthorized):
            raise outcome.error
        if isinstance(outcome.error, RedirectRefused):
            raise SourceUnavailable(
                f"The page {url}, where the crawl starts, redirects to {outcome.error.target}. If that is right, name it "
                "as the source's crawl. Nothing was deleted."
            )
        if outcome.error is not None:
            raise SourceUnavailable(
                f"The page where the crawl starts cannot be had. {outcome.error} Nothing was deleted."
            ) from outcome.error
        if outcome.page is None:
            raise SourceUnavailable(f"The page {url}, where the crawl starts, is no document. Nothing was deleted.")
        self.outcomes[url] = self.outcomes[outcome.page.url] = outcome
        return outcome

    def ask_all(self, urls: list[str], *, within: str | None = None) -> Generator[Outcome, None, None]:
        """Ask for pages, and give what came of it in their order.

        Args:
            urls: Their addresses.
            within: The prefix that a crawl stays within, also where it is redirected; None for pages that are named, which
                are listed as they are named, wherever they are redirected to.

        Raises:
            SourceUnavailable: What the site allows cannot be told, or it stopped answering.
        """

        def may_follow(target: str) -> bool:
            inside = within is None or lies_within(normal(target) or target, within)
            return inside and self._robots.allows(target)

        def ask(url: str) -> Outcome:
            if (found := self.outcomes.get(url)) is not None:
                return found
            if normal(url) is None:
                return Outcome(url, error=RequestRefused(f"{url[:200]!r} is no address that can be asked."))
            if not self._allowed(url):
                return Outcome(url, closed=True)
            crawled = within is not None
            return self._pages.ask(url, may_follow=may_follow, documents_only=crawled, by_final_address=crawled)

        silent = 0
        for outcome in _in_order(ask, urls, self._at_once):
            self.outcomes[outcome.asked] = outcome
            if outcome.page is not None and within is not None:
                self.outcomes.setdefault(outcome.page.url, outcome)
            is_silent = isinstance(outcome.error, RequestFailed) and outcome.error.status in _SILENT
            silent = silent + 1 if is_silent else 0
            if silent >= _MAX_SILENT:
                raise SourceUnavailable(
                    f"The site stopped answering: {silent} pages in a row failed. {outcome.error} Nothing was deleted."
                ) from outcome.error
            yield outcome

    def _allowed(self, url: str) -> bool:
        try:
            return self._robots.allows(url)
        except AddressRefused:
            return True  # asking for the page itself says so
        except (RequestFailed, RequestRefused) as error:
            raise SourceUnavailable(
                f"What the site allows cannot be told, so nothing was asked. {error} Nothing was deleted."
            ) from error


def _in_order(ask: Callable[[str], Outcome], urls: list[str], at_once: int) -> Generator[Outcome, None, None]:
    """Ask in threads and give what came of it in order; no more is under way than is soon taken."""
    with ThreadPoolExecutor(at_once, thread_name_prefix="crawl") as threads:
        waiting: deque[Future[Outcome]] = deque()
        try:
            for url in urls:
                waiting.append(threads.submit(ask, url))
                if len(waiting) >= 2 * at_once:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
