"""A documentation service in the way of Context7: one document for each library and topic.

What belongs here: finding libraries, fetching their topics, and withholding what suddenly shrank. What does not: requests
(`http`), and what a document's text means.

Such a service has no listing, so this source's listing is made of its answers: a name is searched for, which also tells
when the library was last updated. Where that date is the one of the last run, nothing is fetched; else the topic is, and its
hash tells whether it changed. What was fetched waits in a cache for `fetch`.

A service that has a bad day answers with little or nothing, and says 200. A document that shrinks by more than a share
keeps its last state until a person agrees, as a mass delete does. Only an answer "not found" makes a document leave.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote

from dataflow_assets.errors import CredentialError, FetchFailed, ItemRefused, SourceError, SourceUnavailable
from dataflow_assets.source_settings import DocsApiSource as DocsApiSettings
from dataflow_assets.sources.base import BaseSource, Context, Fetched, Item
from dataflow_assets.sources.fetching import fetch_concurrently
from dataflow_assets.sources.http import HttpClient, RequestRefused, Response
from dataflow_assets.sources.record_cache import RecordCache
from dataflow_assets.sources.record_text import MEDIA_TYPE, record_bytes

_ID = re.compile(r"(?:/[\w.@~+-]{1,200}){2,6}")
_NOTHING = re.compile(
    r"\s*(?:no|there (?:is|are) no|sorry, no)\s+(?:\w+\s+){0,3}?(?:content|context|data|documentation|docs|results?|snippets?)\b"
    r"[^\n]{0,200}\s*|\s*(?:documentation|library|topic|content)\b[^\n]{0,80}\bnot (?:found|available|finalized)\b[^\n]{0,300}\s*",
    re.IGNORECASE,
)
_SHORT = 600
_LONGEST_WAIT = 60.0
_Notes: TypeAlias = list[str]
_FOUND = 200
"""Results of a search that are looked at."""


@dataclass(frozen=True, slots=True)
class _Library:
    id: str
    title: str
    stamp: str | None
    """When the service last updated it, as it says that."""


class DocsApiSource(BaseSource):
    """Lists the topics of libraries, and gives what the listing fetched.

    Args:
        settings: The service, the libraries and their topics.
        context: Where the cache lies.
        sleep: Waits for some seconds.

    Attributes:
        withheld: How many documents of the last listing keep their last state because they shrank.
    """

    quick = False
    withheld: int = 0

    def __init__(
        self, settings: DocsApiSettings, context: Context, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._settings, self._sleep, self._library = settings, sleep, context.library
        self._base = settings.base_url.rstrip("/")
        self._second = self._base.endswith("/v2")
        self._http = HttpClient(settings, sleep=sleep)
        self._cache = RecordCache(context.cache)
        self._known: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, dict[str, Any]] | None = None
        self.notes = ()
        self.accept_deletes = False

    def list(self) -> Iterator[Item]:
        """List each topic that the service has something to say of, fetching those of libraries that were updated.

        Raises:
            SourceUnavailable: The service cannot be searched, or more than half of what was asked for failed.
            CredentialError: The key is missing, or not taken.
        """
        notes: _Notes = []
        known = self._known = self._cache.facts("document:")
        self._seen = None
        seen: dict[str, dict[str, Any]] = {}
        libraries: dict[str, _Library] = {}
        for named in dict.fromkeys(self._settings.libraries):
            library = self._resolve(named, notes)
            if library is not None:
                libraries.setdefault(library.id, library)
        wanted = {
            self._key(library, topic): (library, topic)
            for library in libraries.values()
            for topic in dict.fromkeys(self._settings.topics)
        }
        stale = [
            self._item(key, None)
            for key, (library, _) in wanted.items()
            if not self._is_current(library, known.get(key))
        ]
        answers = {
            item.path_key: answer
            for item, answer in fetch_concurrently(self._ask, stale, concurrency=self._settings.concurrency)
        }
        failed = [answer for answer in answers.values() if isinstance(answer, FetchFailed)]
        if 2 * len(failed) > len(answers):
            raise SourceUnavailable(f"The documentation service fails. {failed[0]} Nothing was deleted.") from failed[0]
        for key, (library, topic) in wanted.items():
            item = self._judge(key, library, topic, answers.get(key), known.get(key), seen, notes)
            if item is not None:
                yield item
        self._cache.commit()
        self._http.close()
        self.withheld = sum(1 for fact in seen.values() if "withheld" in fact)
        self._seen, self.notes = seen, tuple(notes)

    def fetch(self, item: Item) -> Fetched:
        """Give the document that was listed.

        Raises:
            FetchFailed: It cannot be had now, or it changed since it was listed.
            ItemRefused: It is too large, or is no more.
        """
        found = self._cache.get(item.path_key, item.fingerprint)
        if found is not None:
            return Fetched(found[0], found[1])
        id, _, topic = item.path_key.rpartition("#")
        answer = self._ask(item)
        text = answer.content.decode("utf-8", "replace") if isinstance(answer.content, bytes) else ""
        content = self._written(self._titled(id), topic, text) if text else b""
        if not text or (item.fingerprint is not None and _hash(content) != item.fingerprint):
            self._forget_date(item.path_key)
            raise FetchFailed(
                f"{item.uri} is not what it was when it was listed. The next run lists it anew; where a document is withheld "
                f"because it shrank, agree with: {self._agree()}."
            )
        return Fetched(content, MEDIA_TYPE)

    def stored(self) -> None:
        """Remember what each document was, and when its library was updated; forget what was fetched."""
        if self._seen is None:
            return
        for key in self._known.keys() - self._seen.keys():
            self._cache.set_fact(f"document:{key}", None)
        for key, fact in self._seen.items():
            self._cache.set_fact(f"document:{key}", fact)
        self._cache.settle()

    # ---- libraries

    def _resolve(self, named: str, notes: _Notes) -> _Library | None:
        """Find a library, by its id or its name; a name that was found once keeps its id."""
        fact = self._cache.fact(f"library:{named}") or {}
        id = named if named.startswith("/") else fact.get("id")
        results = self._search(_last(named) if named.startswith("/") else named)
        if id is None:
            if not results:
                notes.append(f"The service knows no library {named!r}. Correct the name, or name its id.")
                return None
            exact = [each for each in results if named.casefold() in (each.title.casefold(), _last(each.id).casefold())]
            best = (exact or results)[0]
            if not exact:
                notes.append(
                    f"The library {named!r} was taken for {best.id} ({best.title}). If that is wrong, name the right id."
                )
            id = best.id
        of_that = next((each for each in results if f"{id}/".casefold().startswith(f"{each.id}/".casefold())), None)
        library = of_that and _Library(id, of_that.title, of_that.stamp)
        library = library or _Library(id, fact.get("title") or _last(id), None)
        if fact != (fact := {"id": id, "title": library.title}):
            self._cache.set_fact(f"library:{named}", fact)
        return library

    def _titled(self, id: str) -> _Library:
        """Give a library that was resolved before, with the title that it had."""
        try:
            for fact in self._cache.facts("library:").values():
                if fact.get("id") == id:
                    return _Library(id, str(fact.get("title")), None)
            return next((each for each in self._search(_last(id)) if each.id == id), _Library(id, _last(id), None))
        except SourceUnavailable as error:
            raise FetchFailed(str(error)) from error

    def _search(self, query: str) -> Sequence[_Library]:
        url, params = f"{self._base}/search", {"query": query}
        if self._second:
            url, params = f"{self._base}/libs/search", {"libraryName": query, "query": query}
        try:
            answer = self._get(url, params)
            found = answer.json()
        except (FetchFailed, ItemRefused) as error:
            raise SourceUnavailable(
                f"The documentation service cannot be searched: {error} Check source.base_url. Nothing was deleted."
            ) from error
        results = found.get("results") if isinstance(found, dict) else found
        if not isinstance(results, list):
            raise SourceUnavailable(
                f"The documentation service at {self._base} answered a search with something else than results. Check "
                "source.base_url. Nothing was deleted."
            )
        return [library for each in results[:_FOUND] if (library := _library(each)) is not None]

    # ---- documents

    def _key(self, library: _Library, topic: str) -> str:
        return f"{library.id}#{' '.join(topic.split())}"

    def _item(self, key: str, fingerprint: str | None, size: int | None = None, problem: str | None = None) -> Item:
        id, _, topic = key.rpartition("#")
        uri = f"{self._base}{quote(id, safe='/@')}?topic={quote(topic)}"
        return Item(uri, key, MEDIA_TYPE, size, fingerprint, problem)

    def _is_current(self, library: _Library, known: dict[str, Any] | None) -> bool:
        """Tell whether the service says that a document is what it was."""
        if not known or library.stamp is None or known.get("tokens") != self._settings.max_tokens:
            return False
        withheld = known.get("withheld")
        return (
            library.stamp == known.get("stamp")
            if withheld is None
            else library.stamp == withheld and not self.accept_deletes
        )

    def _judge(
        self,
        key: str,
        library: _Library,
        topic: str,
        answer: Fetched | SourceError | None,
        known: dict[str, Any] | None,
        seen: dict[str, dict[str, Any]],
        notes: _Notes,
    ) -> Item | None:
        """Make the item of a document from what became of asking for it; None where it is no document."""
        named = f"{topic} of {library.id}"
        if isinstance(answer, RequestRefused) and answer.status in (404, 410):
            notes.append(f"The service does not know {named}: it is no document.")
            return None
        if isinstance(answer, ItemRefused) and (known is None or getattr(answer, "status", None) is None):
            sentence = str(answer)
            return self._item(key, f"problem-{hashlib.sha256(sentence.encode()).hexdigest()[:16]}", None, sentence)
        kept = None if known is None else self._item(key, known["fingerprint"], known.get("size"))
        if isinstance(answer, SourceError):
            notes.append(f"{answer} {'Its last state stays.' if known else ''}".strip())
            if known is not None:
                seen[key] = known
            return kept or self._item(key, None)
        if answer is None:
            assert known is not None  # noqa: S101  # only what is known is not asked for
            seen[key] = known
            if known.get("withheld") is not None:
                notes.append(self._withheld_note(named, known["length"], known.get("now", 0)))
            return kept
        assert isinstance(answer.content, bytes)  # noqa: S101
        text = answer.content.decode()
        if known is not None and not self.accept_deletes and self._shrank(known, len(text)):
            notes.append(self._withheld_note(named, known["length"], len(text)))
            seen[key] = known | {"withheld": library.stamp, "now": len(text)}
            return kept
        if not text:
            notes.append(f"The service has nothing to say of {named}: it is no document.")
            return None
        content = self._written(library, topic, text)
        seen[key] = {
            "fingerprint": _hash(content), "length": len(text), "size": len(content), "stamp": library.stamp,
            "tokens": self._settings.max_tokens,
        }  # fmt: skip
        self._cache.put(key, _hash(content), content, media_type=MEDIA_TYPE)
        return self._item(key, _hash(content), len(content))

    def _shrank(self, known: dict[str, Any], length: int) -> bool:
        if length and known.get("tokens") != self._settings.max_tokens:
            return False  # another limit was asked for
        return length < (1 - self._settings.max_shrink) * int(known["length"]) or not length

    def _withheld_note(self, named: str, before: int, now: int) -> str:
        return (
            f"The document {named} shrank from {before:,} to {now:,} characters, more than source.max_shrink allows: its last "
            f"state stays. If that is right, agree with: {self._agree()}."
        )

    def _agree(self) -> str:
        return f"dataflow run {self._library or 'LIBRARY'} --accept-deletes"

    def _written(self, library: _Library, topic: str, text: str) -> bytes:
        return record_bytes(f"{library.title}: {topic}", text, {"library": library.id, "topic": topic})

    def _ask(self, item: Item) -> Fetched:
        """Ask for a document's text; an empty one where the service has none."""
        id, _, topic = item.path_key.rpartition("#")
        params: dict[str, str | int] = {"topic": topic, "tokens": self._settings.max_tokens, "type": "txt"}
        url = self._base + quote(id, safe="/@")
        if self._second:
            url, params = (
                f"{self._base}/context",
                {"libraryId": id, "query": topic, "tokens": params["tokens"], "type": "txt"},
            )
        for attempt in range(self._settings.retries + 1):
            answer = self._get(url, params)
            if answer.status not in (202, 304):
                return Fetched(_text_of(answer, item.uri).encode("utf-8", "replace"))
            if attempt < self._settings.retries:
                self._sleep(_wait(answer, attempt))
        raise FetchFailed(f"{item.uri} is not ready: the service is still working on it. The next run tries again.")

    def _get(self, url: str, params: dict[str, Any]) -> Response:
        variable = self._settings.key
        key = os.environ.get(variable, "").strip() if variable else ""
        if variable and not key and "key" in self._settings.model_fields_set:
            raise CredentialError(
                f"The environment variable {variable}, which holds the key of the documentation service, is not set. Set it."
            )
        if not (key.isascii() and key.isprintable()):
            raise CredentialError(
                f"The environment variable {variable} contains characters that no key has. Set it again."
            )
        headers = {"authorization": f"Bearer {key}"} if key else {}
        try:
            return self._http.get(url, headers=headers, params=params, credential=variable if key else None)
        except RequestRefused as error:
            if error.status in (401, 403) and variable and not key:
                raise CredentialError(
                    f"{error} Set the environment variable {variable} to a key of the service."
                ) from error
            raise

    def _forget_date(self, key: str) -> None:
        with contextlib.suppress(
            SourceUnavailable
        ):  # then the next listing takes it for what it was, and this is said again
            known = self._cache.fact(f"document:{key}")
            if known is not None and known.get("stamp") is not None and known.get("withheld") is None:
                self._cache.set_fact(f"document:{key}", known | {"stamp": None})
                self._cache.commit()


def _library(result: Any) -> _Library | None:
    """Take a library from a result of a search; None from what is none."""
    if not isinstance(result, dict):
        return None
    id, title, stamp = result.get("id"), result.get("title") or result.get("name"), result.get("lastUpdateDate")
    if not isinstance(id, str) or not _ID.fullmatch(id) or {".", ".."} & set(id.split("/")):
        return None
    title = " ".join(title.split())[:200] if isinstance(title, str) and title.strip() else _last(id)
    return _Library(id, title, stamp[:100] if isinstance(stamp, str) and stamp.strip() else None)


def _text_of(answer: Response, uri: str) -> str:
    """Give the text of an answer; an empty one where it says that there is none."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/html":
        raise FetchFailed(
            f"{uri} answered with a web page, not with text. Check source.base_url; the next run tries again."
        )
    text = answer.text
    if kind == "application/json":
        found = answer.json()
        if isinstance(found, dict) and "error" in found:
            text = ""
        elif isinstance(found, str):
            text = found
    if not text.strip() or (len(text) < _SHORT and _NOTHING.fullmatch(text)):
        return ""
    return text


def _wait(answer: Response, attempt: int) -> float:
    said = answer.headers.get("retry-after", "")
    return min(_LONGEST_WAIT, float(said) if said.isascii() and said.isdigit() else 2.0**attempt)


def _last(id: str) -> str:
    """Give the project in an id such as /vercel/next.js/v15."""
    parts = id.strip("/").split("/")
    return parts[1] if len(parts) > 1 else parts[0]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
