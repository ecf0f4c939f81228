"""What the rest of the house knows of a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dataflow_assets.settings import SourceSettings


@dataclass(frozen=True, slots=True)
class Item:
    """A reference to one document at its source."""

    uri: str
    """Where it lies, for a person; valid Unicode, and another one for each item."""
    path_key: str
    """What identifies it within its source, in every run and every home."""
    fingerprint: str | None
    """Changes when the content may have; from the listing alone."""
    size_bytes: int | None = None
    media_type: str | None = None
    """What the source says the bytes are; None leaves it to the name."""
    problem: str | None = None
    """Why it will never be fetched as it is; its document is rejected with this reason."""


class Source(Protocol):
    """Lists references and fetches the bytes of one."""

    @property
    def notes(self) -> Sequence[str]:
        """What the last listing passed over and a person should know."""

    def list(self) -> Iterator[Item]:
        """List every item, in an order that does not change, without reading any.

        Raises:
            SourceUnavailable: The source cannot be listed now, or not whole.
        """

    def fetch(self, item: Item) -> bytes:
        """Read one item.

        Raises:
            FetchFailed: Not now; it may work later.
            ItemRefused: Not as it is.
        """


def open_source(settings: SourceSettings, *, base: Path) -> Source:
    """Open the source that a library's settings name.

    Args:
        settings: Of the source.
        base: The folder that relative paths start from: the catalog's.
    """
    from dataflow_assets.sources.files import FolderSource

    return FolderSource(settings, base=base)
