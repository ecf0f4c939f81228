"""What a library looks like from outside, in one hash: its source's listing and its settings."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from dataflow_assets import __version__
from dataflow_assets.catalog import Catalog
from dataflow_assets.settings import LibrarySettings, fingerprint_of
from dataflow_assets.sources.base import open_source


class ListingHash:
    """Hashes a listing as it passes by."""

    def __init__(self, settings: LibrarySettings) -> None:
        self._hash = hashlib.sha256(settings_fingerprint(settings).encode())

    def add(self, path_key: str, fingerprint: str | None) -> None:
        """Take in an item."""
        self._hash.update(json.dumps([path_key, fingerprint]).encode())

    def done(self) -> str:
        """Give the fingerprint."""
        return self._hash.hexdigest()[:16]


def settings_fingerprint(settings: LibrarySettings) -> str:
    """Hash the settings of a library that decide what is stored, and the version of the code."""
    return fingerprint_of(__version__, settings.model_dump(exclude={"search"}, mode="json"))


def source_fingerprint(catalog: Catalog, library: str, *, home: Path, seconds: float) -> str | None:
    """List a library's source and hash what it says; nothing is fetched.

    Args:
        catalog: The catalog.
        library: The library.
        home: Where the source may keep what helps it to list.
        seconds: How long it may take.

    Returns:
        The fingerprint; None for a source that cannot be listed often, or not in this time.

    Raises:
        SourceUnavailable: The source cannot be listed now.
    """
    settings, until = catalog.library(library), time.monotonic() + seconds
    seen = ListingHash(settings)
    # Not the folder that runs use: one may be at work.
    source = open_source(
        settings.source, base=catalog.folder, cache=home / "sources" / f"{library}~sensor", library=library
    )
    if not source.quick:
        return None
    for item in source.list():
        seen.add(item.path_key, item.fingerprint)
        if time.monotonic() > until:
            return None
    return None if source.partial else seen.done()
