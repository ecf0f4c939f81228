"""Searching from Python: one object that answers questions, whoever asks them.

    from dataflow_assets.search import open_search

    with open_search() as search:
        for result in search.search("rotate the signing key").results:
            print(result.title, result.link)

What belongs here: opening what a home and a catalog name, and keeping up with both. What does not: how a question is answered
(`searcher`), and anything of HTTP.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from dataflow_assets.errors import ConfigurationError, WarehouseError
from dataflow_assets.search.paid import PaidReranker, embedder_of
from dataflow_assets.search.results import LibraryInfo, Passage, SearchAnswer
from dataflow_assets.search.searcher import Searcher
from dataflow_assets.settings import SearchSettings

if TYPE_CHECKING:
    from dataflow_assets.catalog import Catalog
    from dataflow_assets.index.base import Mode, SearchIndex
    from dataflow_assets.warehouse.store import Warehouse

WAREHOUSE_SECONDS = 10.0
"""How long figures from the tables are waited for."""


def open_search(home: Path | None = None, catalog: Path | None = None) -> Search:
    """Open the libraries of a home for questions.

    Args:
        home: The home; what `DATAFLOW_HOME` names, or `.dataflow` here, if left out.
        catalog: The catalog file; what `DATAFLOW_CATALOG` names, or `catalog.yaml` here, if left out.

    Returns:
        A context manager. It may be kept for as long as one likes, and used by several threads at once.

    Raises:
        ConfigurationError: The catalog is wrong, or there is none.
    """
    from dataflow_assets.home import catalog_path, home_path, open_index

    home = Path(home).absolute() if home is not None else home_path()
    return Search(open_index(home), home, Path(catalog).absolute() if catalog is not None else catalog_path())


class Search:
    """Answers questions from the libraries of a home.

    A run's end is seen by the next question, and so is an edit of the catalog; one that makes the catalog wrong is not.

    Args:
        index: The index of the home.
        home: The home.
        catalog: The catalog file.
    """

    def __init__(self, index: SearchIndex, home: Path, catalog: Path) -> None:
        self._index = index
        self._home = home
        self._path = catalog
        self._lock = threading.Lock()
        self._stamp = _stamp(catalog)
        self._catalog = _load(catalog)
        self._retired: set[str] = set()
        self._searcher = Searcher(
            index,
            self._settings,
            lambda description: embedder_of(description, self._catalog.libraries, home),
            self._reranker,
        )

    def __enter__(self) -> Search:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the indexes."""
        self._searcher.close()

    def search(
        self,
        text: str,
        *,
        libraries: str | Sequence[str] = (),
        mode: Mode = "hybrid",
        top_k: int | None = None,
        filters: Mapping[str, str | Sequence[str]] | None = None,
        min_similarity: float | None = None,
        rerank: bool = True,
        per_document: int | None = None,
        passages: bool = False,
        explain: bool = False,
    ) -> SearchAnswer:
        """Answer a question; see `Searcher.search` for what each argument does."""
        return self._searcher.search(
            text,
            libraries=libraries,
            mode=mode,
            top_k=top_k,
            filters=filters,
            min_similarity=min_similarity,
            rerank=rerank,
            per_document=per_document,
            passages=passages,
            explain=explain,
        )

    def around(
        self, chunk_id: str, *, before: int = 1, after: int = 1, libraries: str | Sequence[str] = ()
    ) -> Passage | None:
        """Read around a chunk.

        Args:
            chunk_id: The chunk.
            before: Neighbours in front of it, at most 50.
            after: Neighbours behind it, at most 50.
            libraries: Where it may be, a text being the name of one; anywhere if empty. One that is not there is no error.

        Returns:
            The chunk with its neighbours; None where these libraries have no such chunk.
        """
        return self._searcher.around(chunk_id, before=before, after=after, libraries=libraries)

    def publications(self, libraries: str | Sequence[str] = ()) -> dict[str, str]:
        """Name the published states that an answer would be read from now; see `SearchAnswer.publications`.

        Args:
            libraries: Which, a text being the name of one; all if empty. One that is not there is left out.
        """
        return self._searcher.publications(libraries)

    def names(self) -> list[str]:
        """Name the libraries that can be asked, those that left the catalog last; looks at no table."""
        return list(self._settings())

    def libraries(self) -> list[LibraryInfo]:
        """List the libraries, in the order of the catalog; those that left it are last."""
        documents: dict[str, int] = {}
        fresh: dict[str, str] = {}
        if self._warehouse.path.exists():
            try:
                with self._warehouse.reading() as connection:
                    documents = dict(
                        connection.execute(
                            "SELECT library, count(*) FROM validated_documents WHERE status = 'valid' GROUP BY 1"
                        ).fetchall()
                    )
                    found = connection.execute(
                        "SELECT library, max(updated_at) FROM (SELECT library, updated_at FROM raw_documents UNION ALL "
                        "SELECT library, updated_at FROM search_index) GROUP BY 1"
                    ).fetchall()
                    fresh = {name: at.isoformat(sep=" ", timespec="seconds") for name, at in found}
            except WarehouseError:  # busy for long: what the index says is better than nothing
                documents, fresh = {}, {}
        listed = self._current().libraries
        told = []
        for name in self._settings():
            published = list(self._searcher.in_use(name).values())
            generations = dict.fromkeys(publication.generation.name for publication in published)
            told.append(
                LibraryInfo(
                    name=name,
                    points=sum(publication.points for publication in published),
                    documents=documents.get(name, 0),
                    generation=", ".join(generations) or None,
                    fresh_as_of=fresh.get(name),
                    retired=name not in listed,
                )
            )
        return told

    @cached_property
    def _warehouse(self) -> Warehouse:
        """The tables: one object, since each new one has to wait until it may write, to see whether they are up to date."""
        from dataflow_assets.warehouse.store import Warehouse

        return Warehouse(self._home, timeout=WAREHOUSE_SECONDS)

    def _current(self) -> Catalog:
        """Give the catalog as it is now; the last that was right, where it is wrong."""
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            with self._lock:
                if stamp != self._stamp:
                    self._stamp = stamp
                    try:
                        self._catalog = _load(self._path)
                    except ConfigurationError:
                        return self._catalog
                    self._searcher.forget_models()
        return self._catalog

    def _settings(self) -> dict[str, SearchSettings]:
        """Give the libraries that can be asked; retired ones stay searchable until they are forgotten."""
        there = {partition.partition(".")[0] for partition in self._index.partitions()}
        listed = self._current().libraries
        if (
            not there - listed.keys() <= self._retired
        ):  # a new folder of the inbox, which the catalog's file does not show
            self._stamp = None
            listed = self._current().libraries
            self._retired = there - listed.keys()
        found = {name: library.search for name, library in listed.items()}
        for name in sorted(there - listed.keys()):
            found[name] = SearchSettings()
        return found

    def _reranker(self, library: str) -> PaidReranker | None:
        """Give the reranking model that a library's settings name; None where it is reranked here."""
        settings = self._catalog.libraries.get(library)
        if settings is None or settings.search.rerank == "local":
            return None
        return PaidReranker(self._home, library, settings)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _load(path: Path) -> Catalog:
    from dataflow_assets.catalog import load_catalog

    return load_catalog(path)
