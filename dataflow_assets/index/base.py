"""What the rest of the house knows of a search index.

A partition holds one published state for each of its generations. Which generation of a library is in use is one fact about
all its partitions: searches read it and nothing else of a library, and it changes for all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Mode: TypeAlias = Literal["hybrid", "semantic", "keyword"]


@dataclass(frozen=True, slots=True)
class Point:
    """A chunk as the index holds it."""

    chunk_id: str
    """32 hexadecimal digits; the point's id is the UUID of the same 128 bits."""
    text: str
    """What BM25 sees."""
    vector: NDArray[np.float32] | None
    """What semantic search sees; None where the chunk has no embedding: such a point is found by its words alone."""
    payload: Mapping[str, Any]
    """What a search result says of the chunk. Values are JSON."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One consistent index of a partition: same chunker, same models, same dimension."""

    partition: str
    """The partition key: the library's name, or `name.NNN` for a bucket."""
    name: str
    """Hash of what decides that points can be searched together; another name never shares vectors."""
    dimension: int
    """Length of the dense vectors."""
    description: Mapping[str, Any] = field(default_factory=dict)
    """What a search must know of the generation, such as the embedding model; kept beside the points."""


@dataclass(frozen=True, slots=True)
class IndexQuery:
    """A question to one partition."""

    text: str
    vector: NDArray[np.float32] | None
    """None in `keyword` mode."""
    mode: Mode = "hybrid"
    limit: int = 10
    semantic_weight: float = 0.6
    keyword_weight: float = 0.4
    prefetch: int = 20
    """Candidates that each side fetches before they are fused."""
    filters: Mapping[str, str | int | Sequence[str] | Sequence[int]] = field(default_factory=dict)
    """Payload key -> the value it must have, or values of which it must have one."""
    since: str | None = None
    """RFC 3339: the payload's `date` must be this or later; what has none is no answer."""
    until: str | None = None
    """RFC 3339: the payload's `date` must be before this."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A point that answers a query."""

    chunk_id: str
    score: float
    """The fused score in hybrid mode, cosine similarity in semantic mode, BM25 in keyword mode; higher is better."""
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point that one side of a search fetched, with what both sides say of it."""

    chunk_id: str
    semantic: float | None
    """Cosine similarity; None where the point has no vector, or nothing was asked of the vectors."""
    keyword: float
    """BM25; 0 where no word matches, or nothing was asked of the words."""


class IndexWriter(Protocol):
    """Changes to one partition that are published together, or not at all."""

    def upsert(self, points: Sequence[Point]) -> None:
        """Add points, or replace those with the same id."""

    def set_payload(self, payloads: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Replace the whole payload of points that are there, by chunk id; vectors stay."""

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove points; an id that is not there is no error."""

    def delete_documents(self, document_ids: Sequence[str]) -> None:
        """Remove every point of documents; one that is not there is no error."""


class IndexReader(Protocol):
    """One published state of one partition; it does not change while it is open."""

    @property
    def generation(self) -> Generation:
        """The generation that is read."""

    def search(self, query: IndexQuery) -> list[Hit]:
        """Answer a query, best first, at most `query.limit` hits."""

    def candidates(self, query: IndexQuery) -> list[Candidate]:
        """Fetch what may answer a query, unfused, so that candidates of several partitions can be ranked together."""

    def payloads(self, chunk_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The payloads of points, by chunk id; an id that is not there is left out."""

    def stretch(self, document_id: str, first: int, last: int) -> dict[int, Mapping[str, Any]]:
        """The payloads of a document's chunks from one `chunk_index` to another, both included, by `chunk_index`."""

    def count(self) -> int:
        """Number of points."""

    def document_ids(self) -> set[str]:
        """The documents that have points."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What is known of a published state without opening it."""

    generation: Generation
    points: int
    name: str
    """Changes with every publication of the partition."""


@dataclass(frozen=True, slots=True)
class Use:
    """Which generation of a library searches read, and which they read before."""

    generation: str
    since: str
    """When it was put into use: ISO 8601, UTC."""
    left: Mapping[str, str] = field(default_factory=dict)
    """Generations that were in use before -> when they were left."""


class SearchIndex(Protocol):
    """The index of all partitions of a home."""

    def write(self, generation: Generation, *, fresh: bool = False) -> AbstractContextManager[IndexWriter]:
        """Change a generation of a partition. Readers see nothing of it until the block ends, and all of it from then on.

        The first generation of a library is in use at once. Another one stands beside it, unseen, until `use`. The caller
        sees to it that a partition has one writer at a time. An exception inside the block publishes nothing.

        Args:
            generation: What is written. The points of its published state are carried over; else the writer starts empty.
            fresh: Start empty in any case.
        """

    def read(
        self, partition: str, generation: str | None = None, *, wait: bool = True
    ) -> AbstractContextManager[IndexReader]:
        """Open a published state of a partition.

        Args:
            partition: The partition.
            generation: The name of a generation; the one in use if left out.
            wait: Whether to wait for another process that opens it. Who has the former state open need not, for the short time
                in which its writer has not gone on yet.

        Raises:
            IndexMissing: Nothing of the kind has been published for the partition.
            IndexOpening: Another process opens it, and that was not to be waited for.
        """

    def published(self, partition: str) -> Publication | None:
        """What is in use of the partition, without opening it; None if nothing is."""

    def in_use(self, library: str) -> dict[str, Publication]:
        """What is in use of a library, as one moment saw it: partition -> its published state, all of one generation."""

    def generations(self, partition: str) -> dict[str, Publication]:
        """Everything that is published of the partition, in use or not: generation -> its state, the oldest first."""

    def usage(self, library: str) -> Use | None:
        """Which generation of a library is in use; None where nothing is."""

    def use(self, library: str, generation: str) -> None:
        """Put a generation of a library into use, at once in all its partitions; the one before stays beside it.

        Raises:
            IndexMissing: No partition of the library has this generation.
        """

    def remove(self, partition: str, generation: str) -> None:
        """Remove a generation that is not in use from a partition; one that is not there is no error."""

    def drop(self, partition: str) -> None:
        """Remove everything of a partition; one that is not there is no error."""

    def partitions(self) -> list[str]:
        """The partitions with a published state of any generation, in alphabetical order."""
