"""Records of a JSON API: one document per record.

What belongs here: what a listing says of the records, the cursor, and what a record becomes. What does not: credentials
(`api_access`) and pages (`api_pages`).

A listing reads every record, so what it says of one is what the document is: its fingerprint is the hash of the document,
and `fetch` is answered from what the listing kept. With `detail_url` the listing has only a part; then the fingerprint is
made of `updated_at`, or of the part, and `fetch` asks for the whole.

With a cursor a listing names what changed since the last one. The cursor moves when that is stored, and not if something
could not be fetched. It belongs to the settings: with others everything is listed again.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from dataflow_assets.errors import FetchFailed, ItemRefused, SourceUnavailable
from dataflow_assets.source_settings import ApiSource as ApiSettings
from dataflow_assets.sources.api_access import ApiAccess, shown
from dataflow_assets.sources.api_pages import Answer, look_up, pages, path_of
from dataflow_assets.sources.base import BaseSource, Context, Fetched, Item
from dataflow_assets.sources.http import HttpClient
from dataflow_assets.sources.record_cache import RecordCache
from dataflow_assets.sources.record_text import MEDIA_TYPE, Template, parse_template, record_bytes, value_text

_MAX_KEY = 300
_FALSE = frozenset(("", "0", "false", "no"))
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")


class ApiSource(BaseSource):
    """Lists the records of an API, and gives each as Markdown.

    Args:
        settings: Where the records are, how they come, and what they become.
        context: Where the cache lies.
    """

    quick = False

    def __init__(self, settings: ApiSettings, context: Context) -> None:
        self._settings = settings
        self._http = HttpClient(settings)
        self._access = ApiAccess(settings, self._http)
        self._cache = RecordCache(context.cache)
        self._writer = _Writer(settings)
        self._key = path_of(settings.key)
        self._deleted = None if settings.deleted is None else path_of(settings.deleted)
        self._cursor = None if settings.cursor is None else path_of(settings.cursor)
        self._updated_at = None if settings.updated_at is None else path_of(settings.updated_at)
        self._detail = (
            None if settings.detail_url is None else parse_template(settings.detail_url, setting="detail_url")
        )
        self._make = _make_of(settings)
        self._next_cursor: Any = None
        self._again = threading.Lock()
        self.concurrency = settings.concurrency if self._detail is not None else 1
        self.partial = self._cursor is not None
        self.notes = ()

    def list(self) -> Iterator[Item]:
        """List the records, page by page.

        Raises:
            SourceUnavailable: A page cannot be had, or is not what the settings say.
            CredentialError: Credentials are missing, or not taken.
        """
        self._next_cursor = None
        seen: dict[str, str] = {}
        changed: dict[str, Item] = {}
        latest = self._cursor_now()
        again = 0
        for record in self._records():
            latest = self._later(latest, record)
            item = self._item(record)
            if self.partial:
                changed[item.path_key] = item  # of several versions the last one
                continue
            if item.path_key in seen:
                again += seen[item.path_key] != item.fingerprint
                continue
            seen[item.path_key] = item.fingerprint or ""
            if not item.gone:
                yield item
        yield from changed.values()
        self._cache.commit()
        self._http.close()
        self._next_cursor = latest
        self.notes = () if not again else (_repeated(again, self._settings.key),)

    def fetch(self, item: Item) -> Fetched:
        """Give a record's document; ask for the record where the listing had only a part of it.

        Raises:
            FetchFailed: It cannot be had now, or changed since it was listed.
            ItemRefused: It will never be had as it is, or says nothing.
        """
        try:
            if self._detail is not None:
                record = self._access.get(item.uri).json()
                return Fetched(self._whole(self._writer.write(record), item.uri), MEDIA_TYPE)
            found = self._cache.get(item.path_key, item.fingerprint) or self._listed_again(item)
            return Fetched(found[0], found[1])
        except FetchFailed:
            self._next_cursor = None  # so that the next listing names it again
            raise

    def stored(self) -> None:
        """Move the cursor, and forget what the listing brought."""
        if self._next_cursor is not None:
            self._cache.set_fact("cursor", {"make": self._make, "value": self._next_cursor})
        self._cache.settle()

    # ---- records

    def _records(self) -> Iterator[Any]:
        def ask(url: str, params: Any) -> Answer:
            try:
                answer = self._access.get(url, params)
                return answer.headers, answer.json()
            except (FetchFailed, ItemRefused) as error:
                raise SourceUnavailable(f"The API cannot be listed: {error} Nothing was deleted.") from error

        further: dict[str, Any] = {}
        value = self._cursor_now()
        if self._settings.cursor_parameter is not None and value is not None:
            further[self._settings.cursor_parameter] = value
        for page in pages(self._settings, ask, further):
            yield from page

    def _item(self, record: Any) -> Item:
        named = look_up(self._key, record)
        if not isinstance(named, str | int | float) or isinstance(named, bool) or not str(named).strip():
            key = f"sha256:{_hash(_canonical(record))}"
            return self._problem(key, f"has no key at source.key ({self._settings.key}). Correct it")
        key = _one_line(value_text(named))
        if len(key) > _MAX_KEY:
            key = f"sha256:{_hash(key.encode('utf-8', 'surrogatepass'))}"
        if self._deleted is not None and _is_true(look_up(self._deleted, record)):
            return Item(self._uri(key), key, MEDIA_TYPE, gone=True)
        if self._detail is not None:
            return self._part(key, record)
        content = self._writer.write(record)
        if content is None:
            return self._problem(key, "has nothing to stand in source.text")
        if len(content) > self._settings.max_bytes:
            return self._problem(
                key, f"has {len(content):,} bytes, more than the {self._settings.max_bytes:,} of source.max_bytes"
            )
        fingerprint = _hash(content)
        self._cache.put(key, fingerprint, content, media_type=MEDIA_TYPE)
        return Item(self._uri(key), key, MEDIA_TYPE, len(content), fingerprint)

    def _part(self, key: str, record: Any) -> Item:
        """Make the item of a record that has to be asked for."""
        assert self._detail is not None  # noqa: S101
        filled = self._detail.fill(lambda place: quote(value_text(look_up(path_of(place), record)), safe=""))
        if filled is None or len(filled) > 2_000:
            return self._problem(key, "has nothing to stand in source.detail_url")
        try:
            url = self._access.belonging(filled)
        except ItemRefused as error:
            return self._problem(key, f"cannot be asked for: {error}")
        stamp = value_text(look_up(self._updated_at, record)) if self._updated_at is not None else ""
        stamp = stamp or _hash(_canonical(record))
        return Item(url, key, MEDIA_TYPE, None, _hash(f"{self._make}\n{url}\n{stamp}".encode()))

    def _uri(self, key: str) -> str:
        return f"{shown(self._settings.url)}#{key}"

    def _problem(self, key: str, what: str) -> Item:
        sentence = f"The record {key} {what}."
        uri = self._uri(key)
        return Item(uri, key, MEDIA_TYPE, None, f"problem-{_hash(sentence.encode('utf-8', 'replace'))[:16]}", sentence)

    def _whole(self, content: bytes | None, uri: str) -> bytes:
        if content is None:
            raise ItemRefused(f"{uri} has nothing to stand in source.text. Correct it.")
        if len(content) > self._settings.max_bytes:
            raise ItemRefused(
                f"{uri} has {len(content):,} bytes, more than the {self._settings.max_bytes:,} of source.max_bytes."
            )
        return content

    def _listed_again(self, item: Item) -> tuple[bytes, str | None]:
        """List once more, since what the listing brought was lost."""
        with self._again:
            found = self._cache.get(item.path_key, item.fingerprint)
            if found is None:
                try:
                    for record in self._records():
                        self._item(record)
                except SourceUnavailable as error:
                    raise FetchFailed(str(error)) from error
                found = self._cache.get(item.path_key, item.fingerprint)
        if found is None:
            raise FetchFailed(f"{item.uri} was changed or deleted since it was listed. The next run lists it anew.")
        return found

    # ---- the cursor

    def _cursor_now(self) -> Any:
        fact = self._cache.fact("cursor") if self._cursor is not None else None
        return fact.get("value") if isinstance(fact, dict) and fact.get("make") == self._make else None

    def _later(self, latest: Any, record: Any) -> Any:
        """Give the larger of a cursor and a record's value for it."""
        value = look_up(self._cursor, record) if self._cursor is not None else None
        if not isinstance(value, str | int | float) or isinstance(value, bool) or value == "":
            return latest
        return value if latest is None or _order(value) > _order(latest) else latest


class _Writer:
    """Makes documents of records."""

    def __init__(self, settings: ApiSettings) -> None:
        self._text = parse_template(settings.text)
        self._title = None if settings.title is None else parse_template(settings.title, setting="title")
        self._metadata = {name: path_of(path) for name, path in settings.metadata.items()}
        places = {*self._text.places, *(self._title.places if self._title is not None else ())}
        self._paths = {place: path_of(place) for place in places}

    def write(self, record: Any) -> bytes | None:
        """Write a record as Markdown with front matter; None where nothing stands in its text."""
        body = self._filled(self._text, record)
        if body is None:
            return None
        title = None if self._title is None else self._filled(self._title, record)
        return record_bytes(title, body, {name: look_up(path, record) for name, path in self._metadata.items()})

    def _filled(self, template: Template, record: Any) -> str | None:
        return template.fill(lambda place: look_up(self._paths[place], record))


def _make_of(settings: ApiSettings) -> str:
    """Hash what decides which records are listed, and what they become."""
    decisive: Mapping[str, Any] = settings.model_dump(
        mode="json",
        include={
            "url", "parameters", "records", "key", "text", "title", "detail_url", "metadata", "cursor_parameter", "cursor",
            "deleted",
        },
    )  # fmt: skip
    return _hash(_canonical(decisive))


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _is_true(value: Any) -> bool:
    return value.strip().lower() not in _FALSE if isinstance(value, str) else bool(value)


def _order(value: str | int | float) -> tuple[int, float, str]:
    """Order numbers by size, times by time, and other texts as texts."""
    if isinstance(value, int | float):
        return 0, float(max(min(value, 1e300), -1e300)), ""
    if _TIME.match(value):
        try:
            time = datetime.fromisoformat(value)
            return 1, (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp(), ""
        except (ValueError, OverflowError):
            pass
    return 2, 0.0, value


def _one_line(key: str) -> str:
    """Write a key so that it is valid Unicode on one line: what cannot be seen is percent-encoded."""
    if key.isprintable():
        return key
    return "".join(c if c.isprintable() else quote(c.encode("utf-8", "surrogatepass"), safe="") for c in key)


def _repeated(count: int, key: str) -> str:
    records = "A record has" if count == 1 else f"{count:,} records have"
    return f"{records} a key that another record has, and {'was' if count == 1 else 'were'} left out. Check source.key ({key})."
