"""What a library looks like from outside, in one hash: its source's listing and its settings."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue

from dataflow_assets import __version__
from dataflow_assets.catalog import Catalog
from dataflow_assets.settings import LibrarySettings, fingerprint_of
from dataflow_assets.sources.base import Item, open_source


class ListingHash:
    """Hashes a listing as it passes by; the order in which the items come does not matter."""

    def __init__(self, settings: LibrarySettings) -> None:
        self._settings = settings_fingerprint(settings)
        self._sum = 0

    def add(self, item: Item) -> None:
        """Take in an item."""
        told = json.dumps([item.path_key, item.fingerprint, item.problem, item.gone]).encode()
        # A sum of hashes, cut to their size: a set's hash that nobody has to sort.
        self._sum = (self._sum + int.from_bytes(hashlib.sha256(told).digest(), "big")) % (1 << 256)

    def done(self) -> str:
        """Give the fingerprint."""
        return fingerprint_of(self._settings, f"{self._sum:064x}")[:16]


def settings_fingerprint(settings: LibrarySettings) -> str:
    """Hash the settings of a library that decide what is stored, and the version of the code."""
    return fingerprint_of(__version__, settings.model_dump(exclude={"search"}, mode="json"))


class TooSlow(Exception):
    """A source is listed by runs: often is too often for it, or it did not come to an end in time."""


def source_fingerprint(catalog: Catalog, library: str, *, home: Path, seconds: float) -> str:
    """List a library's source and hash what it says; nothing is fetched.

    The listing runs in a thread of its own, since a network share that hangs hangs whoever asks it. One that is given up
    goes on until its source lets go of it; meanwhile the library is not listed here again.

    Args:
        catalog: The catalog.
        library: The library.
        home: Where the source may keep what helps it to list.
        seconds: How long it may take.

    Raises:
        TooSlow: The source cannot be listed often, tells only what changed, or did not come to an end in this time.
        SourceUnavailable: The source cannot be listed now.
    """
    settings = catalog.library(library)
    # Not the folder that runs use: one may be at work.
    cache = home / "sources" / f"{library}~sensor"
    source = open_source(settings.source, base=catalog.folder, cache=cache, library=library)
    if not source.quick or cache in _LISTING:
        raise TooSlow
    until, seen = time.monotonic() + seconds, ListingHash(settings)
    outcome: SimpleQueue[BaseException | None] = SimpleQueue()

    def listing() -> None:
        try:
            for item in source.list():
                seen.add(item)
                if time.monotonic() > until:
                    raise TooSlow
            outcome.put(TooSlow() if source.partial else None)
        except BaseException as error:
            outcome.put(error)
        finally:
            _LISTING.discard(cache)

    _LISTING.add(cache)
    threading.Thread(target=listing, name=f"listing {library}", daemon=True).start()
    try:
        error = outcome.get(timeout=max(0.0, seconds))
    except Empty:
        raise TooSlow from None
    if error is not None:
        raise error
    return seen.done()


_LISTING: set[Path] = set()
"""The caches of sources that are being listed in this process."""
