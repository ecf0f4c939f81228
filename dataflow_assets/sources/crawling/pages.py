"""Asking for one page, and what is remembered of it from run to run.

What belongs here: conditional requests, and the record of a page's last good state. What does not: which pages are asked
(`listing`), and what a failure means for the listing.

A page's fingerprint is the hash of its body. A server that says that the page is as it was (304), or sends the same body
again, keeps it, so nothing downstream is done. Bodies stay in the cache only until they are stored; then what is left of a
page is this record.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from dataflow_assets.errors import SourceError, SourceUnavailable
from dataflow_assets.media_types import UNKNOWN, media_type_of
from dataflow_assets.sources.crawling.addresses import normal
from dataflow_assets.sources.crawling.links import Told, told
from dataflow_assets.sources.http import (
    AddressRefused,
    HttpClient,
    RequestFailed,
    RequestRefused,
    RequestUnauthorized,
    Response,
)
from dataflow_assets.sources.record_cache import RecordCache

_MAKE = 1
"""Another number asks for every page anew: more, or something else, is remembered of it."""
ACCEPT = {"accept": "text/html,application/xhtml+xml,application/pdf,text/*;q=0.9,*/*;q=0.8"}
"""What a page is asked for as, where a server has it in several forms."""
_PAGE, _LINKS, _MOVED = "page:", "links:", "moved:"
_HTML = frozenset(("text/html", "application/xhtml+xml"))
_NO_DOCUMENT = re.compile(
    r"(?:image|audio|video|font|model)/.*|text/(?:css|javascript|ecmascript|x-component)|multipart/.*"
    r"|application/(?:(?:x-)?javascript|ecmascript|wasm|octet-stream|zip|gzip|zstd|java-archive|x-(?:font.*|bzip2|xz|lzma|tar"
    r"|7z-compressed|gzip|compressed|zip-compressed|shockwave-flash|msdownload|msdos-program|rpm|debian-package|apple-diskimage"
    r"|iso9660-image|executable|sharedlib)|vnd\.(?:rar|sqlite3|apache\.parquet|ms-fontobject|debian\.binary-package"
    r"|android\.package-archive|microsoft\.portable-executable)|manifest\+json|ld\+json|opensearchdescription\+xml)"
)
_TYPE = re.compile(r"\s*([A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100})\s*(?:;|$)")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """A page's last good state, as it is remembered."""

    key: str
    """The address that it is remembered by."""
    url: str
    """Where it came from, after redirects."""
    fingerprint: str
    media_type: str
    size_bytes: int
    etag: str | None = None
    last_modified: str | None = None
    canonical: str | None = None
    nofollow: bool = False
    noindex: bool = False
    make: int = _MAKE


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of asking for one page."""

    asked: str
    """The address that was asked for."""
    page: Page | None = None
    """Its state; the last good one where it failed in passing."""
    known: bool = False
    """Whether a state was remembered from before."""
    error: SourceError | RequestUnauthorized | None = None
    """Why there is no new state."""
    closed: bool = False
    """Whether robots.txt closes it, so that it was not asked."""

    @property
    def gone(self) -> bool:
        """Whether the server says that the page is no more."""
        return isinstance(self.error, RequestRefused) and self.error.status in (404, 410)

    @property
    def in_trouble(self) -> bool:
        """Whether it failed in a way that says more of the site than of the page: in passing, or it is closed."""
        if isinstance(self.error, RequestRefused):
            closed = self.error.status is not None and 400 <= self.error.status < 500 and not self.gone
            return closed or isinstance(self.error, AddressRefused)
        return self.error is not None


class Pages:
    """Asks for pages, and remembers them; safe for threads.

    Args:
        client: Asks.
        cache: Remembers.
    """

    def __init__(self, client: HttpClient, cache: RecordCache) -> None:
        self._client, self._cache = client, cache

    def ask(
        self, url: str, *, may_follow: Callable[[str], bool], documents_only: bool, by_final_address: bool
    ) -> Outcome:
        """Ask for a page, whole only if it changed.

        Args:
            url: Its address, as `normal` writes it.
            may_follow: Tells which redirects are followed.
            documents_only: Whether pictures, programs and the like are left where they are; there is no state of them.
            by_final_address: Whether the page is known by the address that it is redirected to.
        """
        moved = self._cache.fact(_MOVED + url) if by_final_address else None
        known = self.remembered(moved if isinstance(moved, str) else url)
        try:
            answer = self._answer(url, known, may_follow, documents_only)
        except RequestUnauthorized as error:
            if error.status == 407:
                raise  # a proxy's word is not about the page
            return Outcome(url, None, known is not None, error)
        except (RequestFailed, AddressRefused) as error:  # a name that stands for another address may be set right
            return Outcome(url, known, known is not None, error)
        except RequestRefused as error:
            return Outcome(url, None, known is not None, error)
        if answer is None:
            return Outcome(url, known, True)
        if documents_only and not is_document(answer.url, answer.headers):
            return Outcome(url, None, known is not None)
        page = self._remember(url, answer, known, by_final_address)
        return Outcome(url, page, known is not None)

    def remembered(self, url: str) -> Page | None:
        """Give a page's last good state."""
        return _page(self._cache.fact(_PAGE + url))

    def all_remembered(self) -> list[str]:
        """Give the addresses of all pages that are remembered."""
        return sorted(self._cache.facts(_PAGE))

    def links(self, page: Page) -> list[str]:
        """Give the links of a page's last good state."""
        found = self._cache.fact(_LINKS + page.key)
        return [link for link in found if isinstance(link, str)] if isinstance(found, list) else []

    def body(self, fingerprint: str) -> bytes | None:
        """Give the body that a listing brought; None where it is not there any more."""
        try:
            found = self._cache.get(fingerprint, fingerprint)
        except SourceUnavailable:
            return None  # the cache cannot be read: the page is asked for again
        return found[0] if found is not None and hashlib.sha256(found[0]).hexdigest() == fingerprint else None

    def forget_all_but(self, urls: set[str]) -> None:
        """Forget pages that are listed no more, and all bodies."""
        for url in self._cache.facts(_PAGE).keys() - urls:
            self._cache.set_fact(_PAGE + url, None)
            self._cache.set_fact(_LINKS + url, None)
        for asked, final in self._cache.facts(_MOVED).items():
            if final not in urls:
                self._cache.set_fact(_MOVED + asked, None)
        self._cache.drop_contents()
        self._cache.commit()

    def _answer(
        self, url: str, known: Page | None, may_follow: Callable[[str], bool], documents_only: bool
    ) -> Response | None:
        """Ask; None where the page is as it was."""
        for conditions in (_conditions(known), {}):
            answer = self._client.get(
                url, headers=ACCEPT | conditions, may_follow=may_follow, wanted=is_document if documents_only else None
            )
            if answer.status in (200, 203):
                return answer
            if answer.status == 304 and conditions and known is not None and normal(answer.url) == normal(known.url):
                return None
            if not conditions:
                break
        raise RequestFailed(
            f"{url} answered with the status {answer.status} and no page. The next run tries again.", answer.status
        )

    def _remember(self, url: str, answer: Response, known: Page | None, by_final_address: bool) -> Page:
        final = normal(answer.url) or url
        key = final if by_final_address else url
        fingerprint = hashlib.sha256(answer.content).hexdigest()
        said = media_type(answer.url, answer.headers)
        is_html = said.partition(";")[0] in _HTML or (
            said == UNKNOWN and answer.content[:1000].lstrip().lower().startswith((b"<!doctype html", b"<html"))
        )
        found: Told = told(answer.content, answer.url, answer.headers, is_html=is_html)
        page = Page(
            key=key,
            url=final,
            fingerprint=fingerprint,
            media_type=said,
            size_bytes=len(answer.content),
            etag=_header(answer.headers, "etag"),
            last_modified=_header(answer.headers, "last-modified"),
            canonical=found.canonical,
            nofollow=found.nofollow,
            noindex=found.noindex,
        )
        # The state last: another thread may commit in between, and a state promises that its links are there.
        if known is None or known.fingerprint != fingerprint:
            self._cache.put(fingerprint, fingerprint, answer.content, media_type=said)
        self._cache.set_fact(_LINKS + key, list(found.links))
        self._cache.set_fact(_PAGE + key, asdict(page))
        if by_final_address:
            self._cache.set_fact(_MOVED + url, final if final != url else None)
        self._cache.commit()
        return page


def is_document(url: str, headers: Mapping[str, str]) -> bool:
    """Tell whether an answer is a text, a page or an office document rather than what pages are made of."""
    kind = media_type(url, headers).partition(";")[0]
    return not headers.get("content-type") if kind == UNKNOWN else _NO_DOCUMENT.fullmatch(kind) is None


def may_be_document(url: str) -> bool:
    """Tell whether an address names no picture, program or archive, so that it is worth asking."""
    named = media_type_of(url.partition("?")[0])
    return named == UNKNOWN or _NO_DOCUMENT.fullmatch(named) is None


def media_type(url: str, headers: Mapping[str, str]) -> str:
    """Say what an answer is, with its charset; what its address suggests where the server says nothing of use."""
    said = headers.get("content-type", "")[:500]
    found = _TYPE.match(said)
    kind = found[1].lower() if found else UNKNOWN
    if kind in (UNKNOWN, "binary/octet-stream", "application/force-download", "application/x-download"):
        kind = media_type_of(url.partition("?")[0])
    charset = _CHARSET.search(said)
    return f"{kind}; charset={charset[1].lower()}" if charset else kind


def _conditions(known: Page | None) -> dict[str, str]:
    if known is None:
        return {}
    conditions = {"if-none-match": known.etag, "if-modified-since": known.last_modified}
    return {name: value for name, value in conditions.items() if value}


def _header(headers: Mapping[str, str], name: str) -> str | None:
    value = headers.get(name, "").strip()
    return value if value and len(value) <= 500 and value.isascii() and value.isprintable() else None


def _page(value: Any) -> Page | None:
    names = {field.name for field in fields(Page)}
    if not isinstance(value, dict) or value.keys() != names or value.get("make") != _MAKE:
        return None
    return Page(**value)
