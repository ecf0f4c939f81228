"""What a search answers: records that a person, a program and a page can all rely on.

What belongs here: the results and what they say of themselves. What does not: finding them (`searcher`). Names stay: other
programs read them from `dataflow search --json` and from the HTTP API. New ones may come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import pandas as pd

    from dataflow_assets.index.base import Mode

Intent: TypeAlias = Literal["how-to", "definition", "tutorial", "example", "error", "api", "other"]


@dataclass(frozen=True, slots=True)
class Entity:
    """A part of a question that names one thing to the letter."""

    text: str
    """As the question has it; a quoted phrase without its quotes."""
    kind: Literal["identifier", "version", "error", "phrase"]


@dataclass(frozen=True, slots=True)
class Understood:
    """What a question was taken to be, and what that did to the search."""

    intent: Intent
    complexity: Literal["simple", "medium", "complex"]
    entities: tuple[Entity, ...]
    doc_types: tuple[str, ...]
    """Kinds of page that the question seems to want; they count for more, and nothing is left out for their sake."""
    suggested_filters: Mapping[str, tuple[str, ...]]
    """Filters that the caller may set; none of them was."""
    semantic_weight: float
    """Weight of similarity in this search, the two weights adding up to 1; the mean over the libraries where they differ."""
    keyword_weight: float


@dataclass(frozen=True, slots=True)
class Scores:
    """How a result came by its place."""

    semantic: float | None
    """Cosine similarity; None where it was not asked for, or the chunk has no vector."""
    keyword: float
    """BM25; 0 where no word matches, or words were not asked for."""
    fused: float
    """What the two came to before reranking."""
    final: float
    """The result's score."""
    features: Mapping[str, float]
    """Feature of the local reranker -> what it was multiplied with, those that made no difference left out; or `rerank`: what
    the reranking model said."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a document's text: neighbouring chunks, read as one."""

    text: str
    """document.text[start_position:end_position]; white space between two chunks is shown as line breaks."""
    chunks: tuple[str, ...]
    """The ids of its chunks, in order."""
    library: str
    document_id: str
    title: str
    source_uri: str
    heading_path: tuple[str, ...]
    """Headings above its first chunk, outermost first."""
    start_position: int
    end_position: int
    first_page: int | None
    last_page: int | None
    corrected_text: str | None
    """The same stretch with the corrections in it; None where nothing was corrected."""

    def to_dict(self) -> dict[str, Any]:
        """Give the passage as JSON says it."""
        return asdict(self)


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
    link: str
    """The source with the exact span: `source_uri#char=start,end` (RFC 5147), `#page=N` before it where there are pages."""
    first_page: int | None = None
    """The page it begins on, from 1; None where there are none."""
    last_page: int | None = None
    role: str | None = None
    """Who said it; None where it is no message."""
    said_at: str | None = None
    """When it was said, in ISO 8601."""
    date: str | None = None
    """When it was said or its document dated: ISO 8601, UTC; what `since` and `until` look at."""
    passage: Passage | None = None
    """The chunk with its neighbours, where the caller asked for it."""
    scores: Scores | None = None
    """Where the caller asked for an explanation."""

    def to_dict(self) -> dict[str, Any]:
        """Give the result as JSON says it, without what was not asked for."""
        said = asdict(self)
        for name in ("passage", "scores"):
            if said[name] is None:
                del said[name]
        return said


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """The results of a query, best first."""

    query: str
    mode: Mode
    results: tuple[SearchResult, ...]
    took_ms: float
    notes: tuple[str, ...] = ()
    """What a person should know, such as a library that has no index yet."""
    understood: Understood | None = None
    """What the question was taken to be."""
    publications: Mapping[str, str] = field(default_factory=dict)
    """Partition -> name of the published state that was read. An answer is good as long as these are."""

    def to_dict(self) -> dict[str, Any]:
        """Give the answer as JSON says it."""
        said: dict[str, Any] = {
            "query": self.query,
            "mode": self.mode,
            "results": [result.to_dict() for result in self.results],
            "took_ms": self.took_ms,
        }
        if self.notes:
            said["notes"] = list(self.notes)
        if self.understood is not None:
            said["understood"] = asdict(self.understood)
        return said

    def to_pandas(self) -> pd.DataFrame:
        """Give the results as a data frame, a row each; pandas has to be installed."""
        import pandas as pd

        names = [name for name in SearchResult.__slots__ if name not in ("passage", "scores")]
        return pd.DataFrame([{name: getattr(r, name) for name in names} for r in self.results], columns=names)


@dataclass(frozen=True, slots=True)
class LibraryInfo:
    """A library that can be searched."""

    name: str
    points: int
    """Chunks in its published index."""
    documents: int
    """Valid documents."""
    generation: str | None
    """The generation in use; None where nothing is published. Buckets that differ are named one after the other."""
    fresh_as_of: str | None
    """When anything of it last changed: UTC, ISO 8601 with a space; None where nothing was ever read."""
    retired: bool = False
    """Whether it left the catalog; it stays searchable until it is forgotten."""

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON says it."""
        return asdict(self)
