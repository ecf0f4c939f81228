"""Stores of objects: giving their keys page by page, and blocks of one object.

What belongs here: opening a store of `fsspec`, and what its answers and errors mean. What does not: patterns, fingerprints
and documents (`objects`).

S3 is asked by its own requests: keys are any text there (two slashes in a row, a slash at the end), which the paths of a
file system cannot say, and pages keep the memory flat. Every other store is asked through fsspec's common interface.
No store keeps a cache of listings or of itself: a listing tells what is there now.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dataflow_assets.errors import ConfigurationError

_PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs", "adl": "adlfs",
}  # fmt: skip
_EXTRAS = {"s3fs": "s3", "gcsfs": "gs", "adlfs": "az"}
_NOT_STORES = frozenset(
    """
    file local dir data http https zip tar libarchive cached blockcache filecache simplecache reference generic asynclocal
    asyncwrapper jlab jupyter
    """.split()
)
"""Schemes that open this machine's files, pages of the web, or another source through themselves."""
_MARKERS = re.compile(r"/\Z|_\$folder\$\Z")
_S3_OPTIONS = frozenset(("region", "addressing_style"))
_PASSING_CODES = frozenset(
    "SlowDown InternalError ServiceUnavailable RequestTimeout RequestTimeTooSkewed Throttling ThrottlingException 500 502 503 504".split()
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An object, as a listing gives it."""

    key: str
    """Its whole key below the bucket, or its path in the store."""
    size: int | None
    version: str | None
    """Differs where the bytes may differ; None where the store says nothing."""


class StoreFailed(Exception):
    """A store could not be asked.

    Attributes:
        said: What it said, on one line.
        passing: Whether another try may succeed.
        gone: Whether there is no such object.
        unauthorized: Whether it wants other credentials.
        changed: Whether the object is another one since its first block was read.
    """

    def __init__(
        self, said: str, *, passing: bool = False, gone: bool = False, unauthorized: bool = False, changed: bool = False
    ) -> None:
        self.said, self.passing, self.gone, self.unauthorized, self.changed = said, passing, gone, unauthorized, changed
        super().__init__(said)


class Store(Protocol):
    """A store of objects below a prefix."""

    def pages(self) -> Iterator[Callable[[], Sequence[Entry]]]:
        """Give requests, each for one page of the listing; a request that failed may be called again."""

    def block(self, key: str, start: int, size: int, version: str | None) -> tuple[bytes, int, str | None]:
        """Read some bytes of an object.

        Args:
            key: The object.
            start: The first byte.
            size: How many bytes.
            version: What the first block said; another one is refused.

        Returns:
            The bytes, the size of the whole object, and its version.
        """


def is_marker(key: str, size: int | None) -> bool:
    """Tell whether an object only says that there is a folder."""
    return not size and _MARKERS.search(key) is not None


def open_store(url: str, options: Mapping[str, Any], *, timeout: float, proxy: str | None) -> tuple[Store, str]:
    """Open the store of a URL; gives it and the prefix that its keys begin with.

    Raises:
        ConfigurationError: There is no such store, its package is not installed, or its options are not taken.
    """
    scheme, _, rest = url.partition("://")
    if scheme in _NOT_STORES or "::" in url:
        raise ConfigurationError(
            f"source.url: {scheme}:// is no store of objects. Use the source type files for folders, archive for archives, "
            "web for pages."
        )
    try:
        import fsspec  # type: ignore[import-untyped, unused-ignore]

        found = fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        install = f'pip install "dataflow-assets[{_EXTRAS[package]}]"' if package else f"({error})"
        raise ConfigurationError(
            f"Objects of {scheme}:// need a package that is not installed: {package or 'see here'}. Install it: {install}."
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            f"source.url: no installed package knows {scheme}://. Install one, or correct it."
        ) from error
    s3 = scheme in ("s3", "s3a")
    given = {name: value for name, value in options.items() if not (s3 and name in _S3_OPTIONS)}
    if s3:
        config: dict[str, Any] = {
            "connect_timeout": timeout,
            "read_timeout": timeout,
            "retries": {"max_attempts": 0},
            "proxies": {"http": proxy, "https": proxy} if proxy else {},
        }
        if options.get("addressing_style"):
            config["s3"] = {"addressing_style": options["addressing_style"]}
        given |= {"config_kwargs": config, "default_block_size": 1 << 22}
        if options.get("region"):
            given["client_kwargs"] = {"region_name": options["region"]}
    try:
        store = found(skip_instance_cache=True, use_listings_cache=False, **given)
    except TypeError as error:
        raise ConfigurationError(f"source.options: the store {scheme}:// does not take them ({error}).") from error
    except Exception as error:  # each store has errors of its own
        raise ConfigurationError(
            f"The store {scheme}:// cannot be opened: {_one_line(error)}. Correct the library's source.options and "
            "source.credentials."
        ) from error
    if s3:
        bucket, _, prefix = rest.partition("/")
        prefix = prefix if not prefix or prefix.endswith("/") else prefix + "/"
        return S3Store(store, bucket, prefix, timeout=timeout), prefix
    root = str(found._strip_protocol(url)).rstrip("/")
    return FsspecStore(store, root, timeout=timeout), root + "/" if root else ""


class S3Store:
    """A bucket of S3, or of a service that speaks like it.

    Args:
        store: s3fs's file system, whose session and credentials are used.
        bucket: The bucket.
        prefix: What keys begin with.
        timeout: Seconds that one request may take.
    """

    def __init__(self, store: Any, bucket: str, prefix: str, *, timeout: float) -> None:
        self._store, self._bucket, self._prefix, self._timeout = store, bucket, prefix, timeout
        store.retries = 1  # whoever asks tries again

    def pages(self) -> Iterator[Callable[[], Sequence[Entry]]]:
        """Give requests, each for one page of at most 1,000 keys."""
        token: list[str] = []

        def page() -> Sequence[Entry]:
            further = {"ContinuationToken": token[0]} if token else {}
            said = self._ask(
                self._store._call_s3, "list_objects_v2", Bucket=self._bucket, Prefix=self._prefix, **further
            )
            entries = [
                Entry(each["Key"], each["Size"], _version(each.get("ETag"), None, each["Size"]))
                for each in said.get("Contents", ())
            ]
            following = said.get("NextContinuationToken") if said.get("IsTruncated") else None
            if said.get("IsTruncated") and (not following or [following] == token):
                raise StoreFailed("the listing was cut off, and the store does not say how it goes on")
            token[:] = [following] if following else []
            return entries

        yield page
        while token:
            yield page

    def block(self, key: str, start: int, size: int, version: str | None) -> tuple[bytes, int, str | None]:
        """Read some bytes of an object by one request."""
        return self._ask(self._get, key, start, size, version)  # type: ignore[no-any-return]

    async def _get(self, key: str, start: int, size: int, version: str | None) -> tuple[bytes, int, str | None]:
        same = {"IfMatch": version} if version else {}
        try:
            said = await self._store._call_s3(
                "get_object", Bucket=self._bucket, Key=key, Range=f"bytes={start}-{start + size - 1}", **same
            )
        except OSError as error:
            if start == 0 and _code(error) in ("416", "InvalidRange"):
                return b"", 0, None  # an empty object has no first byte
            raise
        async with said["Body"] as body:
            content = await body.read()
        total = str(said.get("ContentRange", "")).rpartition("/")[2]
        return content, int(total) if total.isdecimal() else len(content), said.get("ETag")

    def _ask(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        from fsspec.asyn import sync  # type: ignore[import-untyped, unused-ignore]

        try:
            return sync(self._store.loop, function, *arguments, timeout=2 * self._timeout, **named)
        except TypeError as error:  # s3fs hands options on when it makes its first request
            raise ConfigurationError(f"source.options: the store does not take them ({_one_line(error)}).") from error
        except Exception as error:  # of botocore, aiohttp, s3fs and fsspec
            raise _failed(error) from error


class FsspecStore:
    """Any other store of fsspec.

    Args:
        store: The file system.
        root: The path that keys begin with.
        timeout: Seconds that one request may take, where the store can be told.
    """

    def __init__(self, store: Any, root: str, *, timeout: float) -> None:
        self._store, self._root, self._timeout = store, root, timeout

    def pages(self) -> Iterator[Callable[[], Sequence[Entry]]]:
        """Give the one request that lists all, where the store has one, and a request for each folder elsewhere."""
        if self._lists_at_once():
            yield self._everything
            return
        waiting = [self._root]
        while waiting:
            folder = waiting.pop()
            below: list[str] = []
            yield lambda: self._folder(folder, below)  # noqa: B023 - called before the next one is made
            waiting += reversed(below)

    def _lists_at_once(self) -> bool:
        """Tell whether the store has a listing of its own: fsspec's walk passes over folders that fail."""
        from fsspec.asyn import AsyncFileSystem  # type: ignore[import-untyped, unused-ignore]
        from fsspec.spec import AbstractFileSystem  # type: ignore[import-untyped, unused-ignore]

        kind = type(self._store)
        if isinstance(self._store, AsyncFileSystem):
            return kind._find is not AsyncFileSystem._find
        return kind.find is not AbstractFileSystem.find

    def _everything(self) -> Sequence[Entry]:
        found = self._ask("find", self._root, detail=True, withdirs=False)
        if not found and not self._ask("exists", self._root):
            raise StoreFailed(f"there is no {self._root}")
        return [_entry(str(path), about) for path, about in sorted(found.items()) if not _is_folder(about)]

    def _folder(self, folder: str, below: list[str]) -> Sequence[Entry]:
        found = {str(about["name"]).rstrip("/"): about for about in self._ask("ls", folder, detail=True)}
        found.pop(folder.rstrip("/"), None)  # some stores list the folder itself
        below[:] = sorted(name for name, about in found.items() if _is_folder(about))
        return [_entry(name, about) for name, about in sorted(found.items()) if not _is_folder(about)]

    def block(self, key: str, start: int, size: int, version: str | None) -> tuple[bytes, int, str | None]:
        """Read some bytes of an object; what it is now is asked with each block."""
        about = self._ask("info", key)
        total = _size(about)
        now = _version(*_said_of_version(about), total)
        if version is not None and now != version:
            raise StoreFailed("it changed while it was read", changed=True)
        if total == 0:
            return b"", 0, now
        content = bytes(self._ask("cat_file", key, start=start, end=start + size))
        return content, total if total is not None else start + len(content), now

    def _ask(self, name: str, *arguments: Any, **named: Any) -> Any:
        from fsspec.asyn import AsyncFileSystem, sync  # type: ignore[import-untyped, unused-ignore]

        try:
            if isinstance(self._store, AsyncFileSystem) and not getattr(self._store, "asynchronous", False):
                function = getattr(self._store, f"_{name}")
                return sync(self._store.loop, function, *arguments, timeout=20 * self._timeout, **named)
            return getattr(self._store, name)(*arguments, **named)
        except Exception as error:  # each store has errors of its own
            raise _failed(error) from error


def _failed(error: Exception) -> StoreFailed:
    code = _code(error)
    text = f"{type(error).__name__} {error}".lower()
    status = getattr(error, "status", None) or getattr(error, "code", None)
    if code in ("PreconditionFailed", "412"):
        return StoreFailed("it changed while it was read", changed=True)
    unauthorized = isinstance(error, PermissionError) or any(
        part in text for part in ("nocredentials", "unable to locate credentials", "invalidaccesskeyid", "forbidden")
    )
    if unauthorized:
        return StoreFailed(_one_line(error), unauthorized=True)
    if isinstance(error, FileNotFoundError):
        return StoreFailed(_one_line(error), gone=True)
    passing = (
        code in _PASSING_CODES
        or (isinstance(status, int) and (status in (408, 425, 429) or status >= 500))
        or isinstance(error, TimeoutError | ConnectionError)
        or any(
            part in text for part in ("timeout", "timed out", "connection", "endpoint url", "incomplete", "slow down")
        )
    )
    return StoreFailed(_one_line(error), passing=passing)


def _code(error: BaseException) -> str:
    """Find the code of S3 in an error or in what it was made from."""
    seen: BaseException | None = error
    while seen is not None:
        said = getattr(seen, "response", None)
        if isinstance(said, dict):
            return str(said.get("Error", {}).get("Code", ""))
        seen = seen.__cause__ or seen.__context__
    return ""


def _one_line(error: BaseException) -> str:
    """Say what went wrong without the query of an address, which may hold a signature."""
    text = " ".join((str(error) or type(error).__name__).split())
    text = re.sub(r"(://[^\s?#\"']*)[?#][^\s\"']*", r"\1", text)
    return "".join(char if char.isprintable() else " " for char in text)[:300].rstrip(". ")


def _size(about: Mapping[str, Any]) -> int | None:
    size = about.get("size")
    return int(size) if isinstance(size, int | float) else None


def _entry(path: str, about: Mapping[str, Any]) -> Entry:
    size = _size(about)
    return Entry(path, size, _version(*_said_of_version(about), size))


def _is_folder(about: Mapping[str, Any]) -> bool:
    metadata = about.get("metadata") or {}
    marked = isinstance(metadata, Mapping) and str(metadata.get("hdi_isfolder", "")).lower() == "true"
    return marked or about.get("type") == "directory"


def _said_of_version(about: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Find what a store says of an object's version: a mark that follows the bytes, and a time."""
    for name in ("generation", "etag", "ETag", "content_hash", "checksum", "version_id"):
        if about.get(name):
            return str(about[name]), None
    for name in ("LastModified", "last_modified", "updated", "mtime", "modified", "modify", "created"):
        when = about.get(name)
        if when:
            return None, when.isoformat() if isinstance(when, dt.datetime) else str(when)
    return None, None


def _version(mark: str | None, when: str | None, size: int | None) -> str | None:
    if mark:
        return mark
    return f"{when}-{size}" if when else None
