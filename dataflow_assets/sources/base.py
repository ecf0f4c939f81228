"""What the rest of the house knows of a source, and the one place where settings become a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dataflow_assets.settings import SourceSettings


@dataclass(frozen=True, slots=True)
class Item:
    """A reference to one document at its source, as a listing gives it. It holds no content and no open thing."""

    uri: str
    """Where the item lies, for people: valid Unicode, different for different items."""
    path_key: str
    """The item's identity within its source, the same wherever the source itself lies."""
    media_type: str
    """What the source says, or the name suggests, the bytes are."""
    size_bytes: int | None
    """Size of the bytes, where the listing knows it."""
    fingerprint: str | None
    """Differs where the bytes may differ; equal fingerprints promise equal bytes. None promises nothing."""
    problem: str | None = None
    """Why this item can never be fetched as it is, as a sentence; its document is rejected with it."""


class Source(Protocol):
    """A body of items."""

    @property
    def notes(self) -> Sequence[str]:
        """What the last whole listing left out and a person should know, as sentences."""

    def list(self) -> Iterator[Item]:
        """List every item, in an order that does not change, without reading content.

        Raises:
            SourceUnavailable: The source cannot be listed, or not whole. May come after some items: a listing counts
            only
                once it has ended.
        """

    def fetch(self, item: Item) -> bytes:
        """Fetch the bytes of an item that was listed, also by another process, and has no problem.

        Raises:
            FetchFailed: It cannot be fetched now; it may be later.
            ItemRefused: It cannot be fetched as it is.
        """


def open_source(settings: SourceSettings, *, base: Path) -> Source:
    """Make the source that settings describe. Nothing is opened or touched yet.

    Args:
        settings: The source's settings; their class decides the kind.
        base: The folder that relative paths start from: the catalog's.
    """
    from dataflow_assets.sources.files import FilesSource

    return FilesSource(settings, base=base)
