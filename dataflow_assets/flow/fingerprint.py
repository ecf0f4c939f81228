"""What a library looks like from outside, in one hash: its source's listing and its settings."""

from __future__ import annotations

import hashlib
import json

from dataflow_assets import __version__
from dataflow_assets.catalog import Catalog
from dataflow_assets.settings import LibrarySettings, fingerprint_of
from dataflow_assets.sources.base import open_source


class ListingHash:
    """Hashes a listing as it passes by."""

    def __init__(self, settings: LibrarySettings) -> None:
        # Search settings decide nothing that is stored; a new version of the code may.
        self._hash = hashlib.sha256(
            fingerprint_of(__version__, settings.model_dump(exclude={"search"}, mode="json")).encode()
        )

    def add(self, path_key: str, fingerprint: str | None) -> None:
        """Take in an item."""
        self._hash.update(json.dumps([path_key, fingerprint]).encode())

    def done(self) -> str:
        """Give the fingerprint."""
        return self._hash.hexdigest()[:16]


def source_fingerprint(catalog: Catalog, library: str) -> str:
    """List a library's source and hash what it says; nothing is fetched.

    Raises:
        SourceUnavailable: The source cannot be listed now.
    """
    settings = catalog.library(library)
    seen = ListingHash(settings)
    for item in open_source(settings.source, base=catalog.folder).list():
        seen.add(item.path_key, item.fingerprint)
    return seen.done()
