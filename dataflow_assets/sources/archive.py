"""One archive, local or at a URL, whose members are the documents.

What belongs here: which archive there is, and whether it changed. What does not: opening it, which happens to archives from
any source in the same way and in a process of its own.

The archive is the one item of this source. It is never held in memory: a local one is read where it lies, one at a URL is
written to the source's folder, and asked for again with the ETag and the date that its server gave it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dataflow_assets.errors import CredentialError, FetchFailed, ItemRefused, SourceUnavailable
from dataflow_assets.media_types import media_type_of
from dataflow_assets.source_settings import ArchiveSource as ArchiveSettings
from dataflow_assets.sources.base import BaseSource, Context, Fetched, Item
from dataflow_assets.sources.files import encode_name
from dataflow_assets.sources.patterns import Patterns

_BLOCK = 1 << 20


class ArchiveSource(BaseSource):
    """Lists and fetches one archive.

    Args:
        settings: Where it is, and which members are taken.
        context: Relative paths start from its base; a download lies in its cache.
    """

    def __init__(self, settings: ArchiveSettings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._members = Patterns(settings.include, settings.exclude)
        self.quick = settings.url is None

    @property
    def passwords(self) -> tuple[str, ...]:
        """The archive's password, from the environment.

        Raises:
            CredentialError: The variable that the catalog names is not set.
        """
        name = self._settings.password
        if name is None:
            return ()
        if name not in os.environ:
            raise CredentialError(
                f"The source names the environment variable {name} for the archive's password, and it is not set. Set it, or "
                "take source.password out of the catalog."
            )
        return (os.environ[name],)

    def takes_member(self, path: str) -> bool:
        """Say whether the patterns take a member."""
        return self._members.takes(path)

    def list(self) -> Iterator[Item]:
        """Give the archive.

        Raises:
            SourceUnavailable: It is not there, or cannot be asked for.
        """
        yield self._downloaded() if self._settings.url is not None else self._local()

    def fetch(self, item: Item) -> Fetched:
        """Give the archive's file.

        Raises:
            FetchFailed: It went away since it was listed.
        """
        path = self._download if self._settings.url is not None else self._path
        if not path.is_file():
            raise FetchFailed(f"{item.uri} went away since it was listed. The next run lists it anew.")
        return Fetched(path)

    @property
    def _path(self) -> Path:
        return self._context.base / (self._settings.path or "")

    @property
    def _download(self) -> Path:
        return self._context.cache / "archive.bin"

    def _local(self) -> Item:
        shown = encode_name(self._settings.path or "")
        try:
            found = os.stat(self._path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SourceUnavailable(
                f"The archive {shown} cannot be read: {reason}. Correct that, or the library's source.path."
            ) from error
        if not stat.S_ISREG(found.st_mode):
            raise SourceUnavailable(f"The archive {shown} is not a file. Name an archive as the library's source.path.")
        problem = self._too_large(shown, found.st_size)
        fingerprint = f"{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"
        return self._item(shown, os.path.basename(shown) or shown, found.st_size, fingerprint, problem)

    def _downloaded(self) -> Item:
        from dataflow_assets.sources.http import HttpClient
        from dataflow_assets.sources.network.urls import shown as shown_url
        from dataflow_assets.sources.record_cache import RecordCache

        url = self._settings.url or ""
        cache = RecordCache(self._context.cache)
        known = cache.fact(url) or {}
        if not isinstance(known, dict) or not self._download.is_file():
            known = {}
        asked = {"if-none-match": known.get("etag"), "if-modified-since": known.get("modified")}
        unfinished = self._download.with_suffix(".part")
        self._context.cache.mkdir(parents=True, exist_ok=True)
        with HttpClient(self._settings) as client:
            try:
                answer = client.get(
                    url,
                    headers={name: value for name, value in asked.items() if value},
                    max_bytes=self._settings.max_archive_bytes,
                    to=unfinished,
                )
            except (FetchFailed, ItemRefused) as error:
                raise SourceUnavailable(f"The archive cannot be had. {error}") from error
        if answer.status != 304:
            digest, size = _hash_of(unfinished)
            unfinished.replace(self._download)
            known = {
                "digest": digest, "size": size, "etag": answer.headers.get("etag"), "modified": answer.headers.get("last-modified"),
                "media_type": answer.headers.get("content-type", "").partition(";")[0].strip().lower(),
            }  # fmt: skip
            cache.set_fact(url, known)
        cache.close()
        name = encode_name(unquote(urlsplit(url).path.rpartition("/")[2])) or "archive"
        return self._item(shown_url(url), name, known["size"], known["digest"], None)

    def _item(self, uri: str, name: str, size: int, fingerprint: str, problem: str | None) -> Item:
        return Item(uri, name, media_type_of(name), size, fingerprint, problem)

    def _too_large(self, shown: str, size: int) -> str | None:
        most = self._settings.max_archive_bytes
        if size <= most:
            return None
        return f"{shown} has {size:,} bytes, more than the {most:,} that the library's source.max_archive_bytes allows."


def _hash_of(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size
