"""What is fetched for a question, in the order in which it answers it.

What belongs here: candidates of all partitions as one list, thresholds, what the engine cannot filter, and how many results a
document may have. What does not: opening partitions (`readers`), embedding, and what reranking looks at (`reranking`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dataflow_assets.index.base import Candidate, IndexQuery, IndexReader
from dataflow_assets.index.fusion import comparable, rank
from dataflow_assets.search.filters import Narrowing
from dataflow_assets.search.readers import Opened
from dataflow_assets.search.reranking import Judged
from dataflow_assets.search.results import Understood
from dataflow_assets.settings import SearchSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RERANKED = 30
"""Candidates that are reranked at least, however few results are asked for. nDCG@10 with 20, 30 and 50 of them: SciFact 0.701,
0.701, 0.703; Cranfield 0.441, 0.443, 0.443."""


@dataclass(slots=True)
class Wish:
    """A question with all that was decided about it."""

    text: str
    query: IndexQuery
    """Without vector and candidates to fetch."""
    understood: Understood
    narrowing: Narrowing
    libraries: Mapping[str, SearchSettings]
    opened: list[Opened]
    limit: int
    min_similarity: float | None
    """None for each library's own."""
    notes: list[str]


@dataclass(slots=True)
class Found:
    """A candidate on its way to being a result."""

    candidate: Candidate
    reader: IndexReader
    score: float
    payload: Mapping[str, Any]
    judged: Judged | None = None

    @property
    def final(self) -> float:
        """The score that decides its place."""
        return self.judged.score if self.judged is not None else self.score


def fetch(
    wish: Wish, vectors: Mapping[str, NDArray[np.float32] | None], wanted: int | None
) -> tuple[list[Found], bool]:
    """Fetch what may answer a question.

    Args:
        wish: The question.
        vectors: Of the question, by the space that they are of.
        wanted: Candidates of each side of each partition; as many as the settings say if left out.

    Returns:
        The best, best first, and whether there may be more where they came from.
    """
    unique: dict[str, tuple[Candidate, IndexReader]] = {}
    spaces: dict[str, list[Candidate]] = {}
    more = False
    limit = max(wish.limit, RERANKED, wanted or 0)
    for opened in wish.opened:
        settings, reader, space = wish.libraries[opened.library], opened.reader, space_of(opened.reader)
        prefetch = wanted or max(settings.prefetch_factor * wish.limit, RERANKED)
        query = replace(wish.query, vector=vectors.get(space), prefetch=prefetch, limit=limit)
        fetched = reader.candidates(query)
        more = more or len(fetched) >= prefetch
        threshold = settings.min_similarity if wish.min_similarity is None else wish.min_similarity
        kept = [c for c in fetched if c.keyword > 0 or c.semantic is None or c.semantic >= threshold]
        spaces.setdefault(space, []).extend(kept)
        for candidate in kept:  # a library that is moving into buckets may hold a chunk twice
            unique.setdefault(candidate.chunk_id, (candidate, reader))
    if len(spaces) > 1:
        similar = comparable(list(spaces.values()))
        unique = {i: (similar.get(i, candidate), reader) for i, (candidate, reader) in unique.items()}
    candidates = list(unique.values())
    ranked = rank([c for c, _ in candidates], replace(wish.query, limit=limit))
    payloads = _payloads(candidates[n] for n, _ in ranked)
    found = [
        Found(candidates[n][0], candidates[n][1], score, payloads[candidates[n][0].chunk_id])
        for n, score in ranked
        if candidates[n][0].chunk_id in payloads
    ]
    return [each for each in found if wish.narrowing.lets(each.payload)], more


def at_most(found: Sequence[Found], per_document: int) -> list[Found]:
    """Keep the first results of each document."""
    counts: dict[tuple[str, str], int] = {}
    kept = []
    for each in found:
        document = (each.payload["library"], each.payload["document_id"])
        counts[document] = counts.get(document, 0) + 1
        if counts[document] <= per_document:
            kept.append(each)
    return kept


def space_of(reader: IndexReader) -> str:
    """Name what vectors have in common that can be compared, and are asked for in the same way."""
    generation = reader.generation
    said = generation.description
    if "model_name" not in said:
        return generation.name
    return f"{said.get('embedding_model')} {said['model_name']} {generation.dimension} {said.get('query_model')}"


def _payloads(found: Iterable[tuple[Candidate, IndexReader]]) -> dict[str, Mapping[str, Any]]:
    wanted: dict[int, tuple[IndexReader, list[str]]] = {}
    for candidate, reader in found:
        wanted.setdefault(id(reader), (reader, []))[1].append(candidate.chunk_id)
    payloads: dict[str, Mapping[str, Any]] = {}
    for reader, chunk_ids in wanted.values():
        payloads.update(reader.payloads(chunk_ids))
    return payloads
