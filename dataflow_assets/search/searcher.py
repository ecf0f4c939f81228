"""Hybrid search over the published indexes of a home."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dataflow_assets.errors import ConfigurationError, DataflowError, IndexMissing, ModelError
from dataflow_assets.index.base import Candidate, IndexQuery, IndexReader, Mode, SearchIndex
from dataflow_assets.index.fusion import rank
from dataflow_assets.models.base import Asked, Embedder
from dataflow_assets.settings import SearchSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILTERS = ("document_id", "doc_type", "language", "tags", "source_uri")
"""What a search can be narrowed to."""
MAX_QUERY = 8_000
"""Characters of a query that are looked at; a longer one is cut."""
MAX_HIGHLIGHTS = 20

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One chunk that answers a query. All positions are in the document's text."""

    chunk_id: str
    document_id: str
    library: str
    title: str
    source_uri: str
    score: float
    text: str
    """The chunk's own text."""
    corrected_text: str | None
    start_position: int
    end_position: int
    heading_path: tuple[str, ...]
    highlights: tuple[tuple[int, int], ...]
    """Start and end, in `text`, of the query's words."""
    doc_type: str
    language: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """The results of a query, best first."""

    query: str
    mode: Mode
    results: tuple[SearchResult, ...]
    took_ms: float
    notes: tuple[str, ...] = ()
    """What a person should know, such as a library that has no index yet."""

    def to_dict(self) -> dict[str, Any]:
        """Give the answer as JSON says it."""
        said = asdict(self)
        if not self.notes:
            del said["notes"]
        return said


class Searcher:
    """Answers questions from the published indexes; safe to keep, for a new publication is seen by the next question.

    Args:
        index: The index of the home.
        libraries: Library -> its search settings.
        embedder_for: Makes the embedder that an index's description names.
    """

    def __init__(
        self,
        index: SearchIndex,
        libraries: Mapping[str, SearchSettings],
        embedder_for: Callable[[Mapping[str, Any]], Embedder],
    ) -> None:
        self._index = index
        self._libraries = libraries
        self._embedder_for = embedder_for
        self._embedders: dict[str, Embedder] = {}
        self._open: dict[str, tuple[str, IndexReader, ExitStack]] = {}

    def __enter__(self) -> Searcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the indexes."""
        for _, _, stack in self._open.values():
            stack.close()
        self._open.clear()

    def search(
        self,
        text: str,
        *,
        libraries: Sequence[str] = (),
        mode: Mode = "hybrid",
        top_k: int | None = None,
        filters: Mapping[str, str | Sequence[str]] | None = None,
    ) -> SearchAnswer:
        """Answer a question.

        Args:
            text: The question.
            libraries: Where to look; everywhere if empty.
            mode: By meaning and words, by meaning, or by words.
            top_k: How many results; the libraries' setting if left out.
            filters: Key -> the value a result must have, or values of which it must have one.

        Raises:
            ConfigurationError: An empty question, an unknown library or filter.
        """
        started = time.perf_counter()
        asked = text[:MAX_QUERY]
        if not asked.strip():
            raise ConfigurationError("The query is empty: say what to look for.")
        names = list(dict.fromkeys(libraries)) or list(self._libraries)
        for name in names:
            if name not in self._libraries:
                raise ConfigurationError(
                    f"There is no library {name!r}. There are: {', '.join(self._libraries) or 'none'}."
                )
        for key in filters or ():
            if key not in FILTERS:
                raise ConfigurationError(f"Results cannot be filtered by {key!r}; allowed are {', '.join(FILTERS)}.")
        limit = top_k or max((self._libraries[name].top_k for name in names), default=10)
        found: list[tuple[Candidate, IndexReader]] = []
        notes = []
        query = IndexQuery(asked, None, mode, limit, filters=dict(filters or {}))
        for name in names:
            settings = self._libraries[name]
            readers = self._readers(name)
            if not readers:
                notes.append(f"{name} has no index yet: run `dataflow run {name}`.")
            query = replace(
                query,
                semantic_weight=settings.semantic_weight,
                keyword_weight=settings.keyword_weight,
                prefetch=settings.prefetch_factor * limit,
            )
            for reader in readers:
                vector = None
                if mode != "keyword":
                    vector, problem = self._vector(reader, asked, mode)
                    if problem is not None and (note := f"{name} is searched by words alone: {problem}") not in notes:
                        notes.append(note)
                found.extend((candidate, reader) for candidate in reader.candidates(replace(query, vector=vector)))
        results = self._results(found, query, asked)
        return SearchAnswer(text, mode, results, round((time.perf_counter() - started) * 1000, 3), tuple(notes))

    def _vector(self, reader: IndexReader, text: str, mode: Mode) -> tuple[NDArray[np.float32] | None, str | None]:
        """Embed a question; where a paid model cannot be asked, words have to do, and the second value says why."""
        try:
            embedder = self._embedder(reader)
            found = next(iter(embedder.vectors([Asked("question", text)], kind="query")))
        except DataflowError as error:
            if mode == "semantic":
                raise
            return None, str(error)
        if found.vector is None:
            reason = found.reason or "the model gave no vector"
            if mode == "semantic":
                raise ModelError(f"The question cannot be embedded: {reason}")
            return None, reason
        # NaN: a question without tokens has no vector
        return (found.vector if found.vector[0] == found.vector[0] else None), None

    def _results(
        self, found: Sequence[tuple[Candidate, IndexReader]], query: IndexQuery, text: str
    ) -> tuple[SearchResult, ...]:
        unique: dict[str, tuple[Candidate, IndexReader]] = {}
        for candidate, reader in found:  # a library that is moving into buckets may hold a chunk twice
            unique.setdefault(candidate.chunk_id, (candidate, reader))
        candidates = list(unique.values())
        ranked = rank([candidate for candidate, _ in candidates], query)
        wanted: dict[int, list[str]] = {}
        for n, _ in ranked:
            wanted.setdefault(id(candidates[n][1]), []).append(candidates[n][0].chunk_id)
        payloads: dict[str, Mapping[str, Any]] = {}
        for reader in {id(reader): reader for _, reader in candidates}.values():
            payloads.update(reader.payloads(wanted.get(id(reader), [])))
        words = {word.lower() for word in _WORD.findall(text) if len(word) > 2}
        return tuple(
            _result(payloads[candidates[n][0].chunk_id], score, words)
            for n, score in ranked
            if candidates[n][0].chunk_id in payloads
        )

    def _readers(self, library: str) -> list[IndexReader]:
        partitions = [p for p in self._index.partitions() if p == library or p.startswith(f"{library}.")]
        return [reader for partition in partitions if (reader := self._reader(partition)) is not None]

    def _reader(self, partition: str) -> IndexReader | None:
        published = self._index.published(partition)
        kept = self._open.get(partition)
        if kept is not None and published is not None and kept[0] == published.name:
            return kept[1]
        if kept is not None:
            self._open.pop(partition)[2].close()
        if published is None:
            return None
        stack = ExitStack()
        try:
            reader = stack.enter_context(self._index.read(partition))
        except IndexMissing:
            return None
        self._open[partition] = (published.name, reader, stack)
        return reader

    def _embedder(self, reader: IndexReader) -> Embedder:
        generation = reader.generation
        if generation.name not in self._embedders:
            self._embedders[generation.name] = self._embedder_for(generation.description)
        return self._embedders[generation.name]


def _result(payload: Mapping[str, Any], score: float, words: set[str]) -> SearchResult:
    text = str(payload["text"])
    spans: list[tuple[int, int]] = []
    for match in _WORD.finditer(text):
        if match.group().lower() in words:
            spans.append(match.span())
            if len(spans) == MAX_HIGHLIGHTS:
                break
    return SearchResult(
        chunk_id=payload["chunk_id"],
        document_id=payload["document_id"],
        library=payload["library"],
        title=payload["title"],
        source_uri=payload["source_uri"],
        score=round(score, 6),
        text=text,
        corrected_text=payload["corrected_text"],
        start_position=payload["start_position"],
        end_position=payload["end_position"],
        heading_path=tuple(payload["heading_path"]),
        highlights=tuple(spans),
        doc_type=payload["doc_type"],
        language=payload["language"],
        tags=tuple(payload["tags"]),
    )
