"""The objects of a bucket, or of another store that `fsspec` knows.

What belongs here: what a listing becomes, reading an object block by block, and further tries. What does not: how a store
is asked (`object_stores`).

What a store says of an object's version (its ETag or generation; its time and size where there is neither) is the
fingerprint, so that a listing reads no content. A large object is read in blocks that all have to be of one version.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from dataflow_assets.errors import CredentialError, FetchFailed, ItemRefused, SourceUnavailable
from dataflow_assets.media_types import media_type_of
from dataflow_assets.source_settings import ObjectsSource as ObjectsSettings
from dataflow_assets.sources.base import BaseSource, Context, Fetched, Item
from dataflow_assets.sources.files import encode_name
from dataflow_assets.sources.network.addresses import AddressGuard
from dataflow_assets.sources.network.errors import AddressRefused
from dataflow_assets.sources.network.pacing import HostPace
from dataflow_assets.sources.object_stores import Entry, Store, StoreFailed, is_marker, open_store
from dataflow_assets.sources.patterns import Patterns

T = TypeVar("T")
_BLOCK = 8 * 1024 * 1024
_READ_ATTEMPTS = 3
_HOSTS = ("endpoint_url", "endpoint", "host", "hostname", "account_url", "account_host", "base_url", "url", "server")
"""Options of stores that name who is asked."""
_HOST_SCHEMES = frozenset("sftp ssh ftp ftps smb webhdfs webdav hdfs".split())
"""Schemes whose URL begins with a host, not with a bucket."""


class ObjectsSource(BaseSource):
    """Lists and fetches the objects below a prefix.

    Args:
        settings: The store, patterns, credentials, and the largest size.
        context: Not needed: nothing is kept.
        sleep: Waits for some seconds before another try.
    """

    def __init__(
        self, settings: ObjectsSettings, context: Context, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._settings, self._sleep = settings, sleep
        self._patterns = Patterns(settings.include, settings.exclude)
        self._shown = encode_name(settings.url.rstrip("/"))
        self._opened: tuple[Store, str] | None = None
        self._lock = threading.Lock()
        self._pace = HostPace(settings.requests_per_second)
        self.concurrency = settings.concurrency

    def list(self) -> Iterator[Item]:
        """List the objects that the patterns take, in the order of the store.

        Raises:
            SourceUnavailable: The store does not answer, there is no such bucket, or the listing broke off.
            CredentialError: A variable is not set, or the store wants other credentials.
            ConfigurationError: The store's package is not installed, or it takes no such options.
        """
        unversioned = 0
        try:
            store, prefix = self._store()
            for page in store.pages():
                for entry in self._tried(page):
                    item = self._item(entry, prefix)
                    if item is not None:
                        unversioned += entry.version is None
                        yield item
        except AddressRefused as refused:
            raise SourceUnavailable(f"{refused} Nothing was deleted.") from refused
        except StoreFailed as failed:
            if failed.unauthorized:
                raise self._unauthorized(failed) from failed
            raise SourceUnavailable(
                f"The objects of {self._shown} cannot be listed: {failed.said}. Check the library's source.url, and that "
                "the store answers. Nothing was deleted."
            ) from failed
        self.notes = (
            [
                f"The store {self._shown} gives neither a version nor a time for {unversioned:,} objects: a change that "
                "keeps the size is not seen."
            ]
            if unversioned
            else []
        )

    def fetch(self, item: Item) -> Fetched:
        """Read an object.

        Raises:
            FetchFailed: It is not there, or the store does not answer.
            ItemRefused: It is larger than allowed.
            CredentialError: The store wants other credentials.
        """
        if item.problem is not None:
            raise ItemRefused(item.problem)
        try:
            store, prefix = self._store()
            return Fetched(self._read(store, prefix + unquote(item.path_key, errors="surrogateescape"), item))
        except AddressRefused as refused:
            raise FetchFailed(str(refused)) from refused
        except StoreFailed as failed:
            if failed.unauthorized:
                raise self._unauthorized(failed) from failed
            if failed.gone:
                raise FetchFailed(f"{item.uri} went away since it was listed. The next run lists it anew.") from failed
            raise FetchFailed(f"{item.uri} cannot be fetched now: {failed.said}. The next run tries again.") from failed

    def _read(self, store: Store, key: str, item: Item) -> bytes:
        limit = self._settings.max_bytes
        attempts = _READ_ATTEMPTS
        while True:
            content = bytearray()
            version: str | None = None
            try:
                while True:
                    at, known = len(content), version
                    # One byte more than allowed is enough to know.
                    size = min(_BLOCK, limit + 1 - at)
                    block, total, version = self._tried(lambda: store.block(key, at, size, known))  # noqa: B023
                    content += block
                    if max(total, len(content)) > limit:
                        raise ItemRefused(self._too_large(item.uri, max(total, len(content))))
                    if len(content) >= total:
                        return bytes(content)
                    if not block:
                        raise StoreFailed("it ended before its size", passing=True)
            except StoreFailed as failed:
                # Written to while it was read: what is there now is read from its beginning.
                attempts -= 1
                if not failed.changed or attempts == 0:
                    raise

    def _item(self, entry: Entry, prefix: str) -> Item | None:
        name = entry.key[len(prefix) :]
        if not entry.key.startswith(prefix) or not name or is_marker(name, entry.size):
            return None
        # Keys may have empty parts, which no pattern stands for; any part of one character does for matching.
        if not self._patterns.takes("/".join(part or "_" for part in name.split("/"))):
            return None
        key = encode_name(name)
        uri = f"{self._shown}/{key}"
        if entry.size is not None and entry.size > self._settings.max_bytes:
            problem = self._too_large(uri, entry.size)
            return Item(uri, key, media_type_of(key), entry.size, f"problem-{entry.size}", problem)
        fingerprint = entry.version if entry.version is not None else f"size-{entry.size}"
        return Item(uri, key, media_type_of(key), entry.size, _printable(fingerprint))

    def _too_large(self, uri: str, size: int) -> str:
        return (
            f"{uri} has {size:,} bytes, more than the {self._settings.max_bytes:,} that the library's source.max_bytes "
            "allows. Raise it, or exclude the object."
        )

    def _tried(self, request: Callable[[], T]) -> T:
        """Make a request, and again where it failed in passing."""
        attempt = 0
        while True:
            self._pace.wait("")
            try:
                return request()
            except StoreFailed as failed:
                if not failed.passing or attempt >= self._settings.retries:
                    raise
            self._sleep(min(30.0, 0.5 * 2**attempt) * (0.5 + random.random() / 2))  # noqa: S311 - spreads, hides nothing
            attempt += 1

    def _store(self) -> tuple[Store, str]:
        with self._lock:
            if self._opened is None:
                settings = self._settings
                options: dict[str, str | bool | int | float] = dict(settings.options)
                for option, variable in settings.credentials.items():
                    options[option] = _variable(variable, f"the option {option} of the store")
                proxy = _variable(settings.proxies[0], "a proxy") if settings.proxies else None
                self._check_addresses(options, proxied=proxy is not None)
                self._opened = open_store(settings.url, options, timeout=settings.timeout_seconds, proxy=proxy)
            return self._opened

    def _check_addresses(self, options: dict[str, str | bool | int | float], *, proxied: bool) -> None:
        """Check the hosts that the settings name; who a store's own address stands for is the store's affair."""
        guard = AddressGuard(self._settings.allow_hosts)
        named = [str(options[name]) for name in _HOSTS if isinstance(options.get(name), str)]
        if self._settings.url.partition("://")[0] in _HOST_SCHEMES:
            named.append(self._settings.url)
        for name in named:
            parts = urlsplit(name if "://" in name else f"//{name}")
            host = parts.hostname
            if not host:
                continue
            if proxied:
                guard.check_from_afar(host, parts.port or 443)
                continue
            try:
                guard.addresses(host, parts.port or 443)
            except OSError as error:
                raise StoreFailed(f"the host {host} is not known here") from error

    def _unauthorized(self, failed: StoreFailed) -> CredentialError:
        variables = ", ".join(self._settings.credentials.values())
        what = (
            f"Check the environment variable{'s' if ',' in variables else ''} {variables}, and what they may do."
            if variables
            else "Name the environment variables that hold the store's keys as the library's source.credentials."
        )
        return CredentialError(f"The store {self._shown} does not let us in ({failed.said}). {what}")


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "_" for char in text)[:200]


def _variable(name: str, what: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise CredentialError(f"The environment variable {name} is not set; it holds {what}. Set it, and run again.")
    return value
