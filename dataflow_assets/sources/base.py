"""What the rest of the house knows of a source, and the one place where settings become a source.

A source lists cheap references and fetches the bytes of one. Everything else (what changed, what left, what was seen
before) is decided by the tables. Three things it may do besides, so that streams and pushed documents fit:

- `partial`: a listing names only what changed since the last one. What it does not name stays; what left is named with
  `Item.gone`; of an item that is named more than once, what is said last counts. Such a source keeps its place in its folder
  (`Context.cache`) and moves it in `stored`, which is called once the rows are safe and nothing failed or waits for a person:
  a run that is killed before is given the same items again.
- A source that never ends ends its listing where it has nothing more for now, or enough for one run.
- Bytes that came with the reference, by a push or because listing is fetching, lie in the source's folder until `stored`;
  `fetch` gives them from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from dataflow_assets.errors import ConfigurationError, SourceError
from dataflow_assets.source_settings import SourceSettings, plugin_class


@dataclass(frozen=True, slots=True)
class Item:
    """A reference to one document at its source, as a listing gives it. It holds no open thing."""

    uri: str
    """Where the item lies, for people: valid Unicode, different for different items."""
    path_key: str
    """The item's identity within its source, the same wherever the source itself lies."""
    media_type: str
    """What the source says, or the name suggests, the bytes are."""
    size_bytes: int | None = None
    """Size of the bytes, where the listing knows it."""
    fingerprint: str | None = None
    """Differs where the bytes may differ; equal fingerprints promise equal bytes. None promises nothing."""
    problem: str | None = None
    """Why this item can never be fetched as it is, as a sentence; its document is rejected with it."""
    gone: bool = False
    """Whether a partial listing says that the item is no more."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What fetching one item gave."""

    content: bytes | Path
    """The bytes; a file where they are too many to be held. The file stays the source's own."""
    media_type: str | None = None
    """What they are, where the source knows better than its listing."""


@dataclass(frozen=True, slots=True)
class Context:
    """Where a source lives."""

    base: Path
    """The folder that relative paths start from: the catalog's."""
    cache: Path
    """A folder of the library's own, made by the source if it needs it. It may be lost: then more is fetched again."""
    library: str = ""


class Source(Protocol):
    """A body of items.

    Attributes:
        accept_deletes: Whether a person agreed to large deletes; set before a listing.
    """

    accept_deletes: bool

    @property
    def notes(self) -> Sequence[str]:
        """What the last whole listing left out and a person should know, as sentences."""

    @property
    def partial(self) -> bool:
        """Whether the last listing names only what changed: what it does not name is still there."""

    @property
    def quick(self) -> bool:
        """Whether a listing takes seconds and costs nobody anything, so that the sensor may ask for it often."""

    def list(self) -> Iterator[Item]:
        """List every item, in an order that does not change, without reading content.

        Raises:
            SourceUnavailable: The source cannot be listed, or not whole. May come after some items: a listing counts only
                once it has ended.
        """

    def fetch(self, item: Item) -> Fetched:
        """Fetch the bytes of an item that was listed, also by another process, and has no problem.

        May be called by several threads at once where `concurrency` is above 1.

        Raises:
            FetchFailed: It cannot be fetched now; it may be later.
            ItemRefused: It cannot be fetched as it is.
        """

    def fetch_all(self, items: Iterable[Item]) -> Iterator[tuple[Item, Fetched | SourceError]]:
        """Fetch many items, each with what came of it, in any order. Takes from `items` only what it can work on."""

    def stored(self) -> None:
        """Hear that everything of the last listing is stored: a cursor may move now."""

    def takes_member(self, path: str) -> bool:
        """Say whether a member of an archive is a document of this source."""

    @property
    def passwords(self) -> tuple[str, ...]:
        """Passwords that may open archives of this source."""


class BaseSource:
    """What most sources have in common; a source of another package may start from it too.

    Attributes:
        concurrency: Fetches at once.
        accept_deletes: Whether a person agreed to large deletes; set before a listing.
    """

    notes: Sequence[str] = ()
    partial: bool = False
    quick: bool = True
    concurrency: int = 1
    accept_deletes: bool = False

    def fetch(self, item: Item) -> Fetched:
        """Fetch the bytes of one item."""
        raise NotImplementedError

    def fetch_all(self, items: Iterable[Item]) -> Iterator[tuple[Item, Fetched | SourceError]]:
        """Fetch many items, `concurrency` at a time; at most twice as many wait for whoever takes them."""
        from dataflow_assets.sources.fetching import fetch_concurrently

        return fetch_concurrently(self.fetch, items, concurrency=self.concurrency)

    def stored(self) -> None:
        """Hear that everything of the last listing is stored."""

    def takes_member(self, path: str) -> bool:
        """Say whether a member of an archive is a document of this source; all are."""
        return True

    @property
    def passwords(self) -> tuple[str, ...]:
        """Passwords that may open archives of this source; none."""
        return ()


_CLASSES = {
    "files": "dataflow_assets.sources.files:FilesSource",
    "objects": "dataflow_assets.sources.objects:ObjectsSource",
    "archive": "dataflow_assets.sources.archive:ArchiveSource",
    "git": "dataflow_assets.sources.git:GitSource",
    "web": "dataflow_assets.sources.web:WebSource",
    "docs_api": "dataflow_assets.sources.docs_api:DocsApiSource",
    "transcripts": "dataflow_assets.sources.transcripts:TranscriptsSource",
    "sql": "dataflow_assets.sources.sql:SqlSource",
    "api": "dataflow_assets.sources.api:ApiSource",
    "feed": "dataflow_assets.sources.feed:FeedSource",
}


def open_source(settings: SourceSettings, *, base: Path, cache: Path | None = None, library: str = "") -> Source:
    """Make the source that settings describe. Nothing is opened or touched yet.

    Args:
        settings: The source's settings; their `type` decides the kind.
        base: The folder that relative paths start from: the catalog's.
        cache: A folder for what may be lost; one beside the catalog, that nobody makes unless it is used, if left out.
        library: The library's name.

    Raises:
        ConfigurationError: The package that has this kind of source is not installed.
    """
    context = Context(base, cache if cache is not None else base / ".dataflow" / "sources" / (library or "_"), library)
    named = _CLASSES.get(settings.type)
    made: Any
    if named is not None:
        module, _, name = named.partition(":")
        made = getattr(import_module(module), name)
    else:
        made = plugin_class(settings.type)
    if made is None:
        raise ConfigurationError(
            f"No installed package has sources of the type {settings.type!r}. Install it, or name another type."
        )
    source: Source = made(settings, context)
    return source
