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
from dataflow_assets.search.reranking import Judged, Question, coverage
from dataflow_assets.search.results import Understood
from dataflow_assets.settings import SearchSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RERANKED = 30
"""Candidates that are reranked at least, however few results are asked for. nDCG@10 with 20, 30 and 50 of them: SciFact 0.700,
0.700, 0.703; Cranfield 0.442, 0.444, 0.444."""
JUDGED = 3
"""Candidates whose texts tell how well a library answers, where several are asked."""


@dataclass(slots=True)
class Wish:
    """A question with all that was decided about it."""

    text: str
    query: IndexQuery
    """Without vector and candidates to fetch."""
    understood: Understood
    question: Question
    """The same, taken apart."""
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
    candidates: dict[str, tuple[Candidate, Opened]] = {}
    more = False
    limit = max(wish.limit, RERANKED, wanted or 0)
    for opened in wish.opened:
        settings = wish.libraries[opened.library]
        prefetch = wanted or max(settings.prefetch_factor * wish.limit, RERANKED)
        vector = vectors.get(space_of(opened.reader))
        fetched = opened.reader.candidates(replace(wish.query, vector=vector, prefetch=prefetch, limit=limit))
        more = more or len(fetched) >= prefetch
        threshold = settings.min_similarity if wish.min_similarity is None else wish.min_similarity
        for candidate in fetched:
            if candidate.keyword > 0 or candidate.semantic is None or candidate.semantic >= threshold:
                # A library that is moving into buckets may hold a chunk twice.
                candidates.setdefault(candidate.chunk_id, (candidate, opened))
    pooled = list(candidates.values())
    ranked = rank(_fair(pooled, wish.question), replace(wish.query, limit=limit))
    payloads = _payloads((pooled[n][0], pooled[n][1].reader) for n, _ in ranked)
    found = [
        Found(pooled[n][0], pooled[n][1].reader, score, payloads[pooled[n][0].chunk_id])
        for n, score in ranked
        if pooled[n][0].chunk_id in payloads
    ]
    return [each for each in found if wish.narrowing.lets(each.payload)], more


def _fair(pooled: Sequence[tuple[Candidate, Opened]], question: Question) -> list[Candidate]:
    """Make the scores of several libraries comparable; those of one are left as they are.

    BM25 weighs a word by how rare it is in its library, so as they are the best of a large library stand above the best of a
    small one whatever they say. Here a library's BM25 counts as a share of its own best, and that best as the share of the
    question's words that stand in it. Similarities of different models count as `index.fusion.comparable` says.
    """
    libraries = dict.fromkeys(opened.library for _, opened in pooled)
    if len(libraries) < 2:
        return [candidate for candidate, _ in pooled]
    weights = {}
    for library in libraries:
        mine = [(candidate, opened) for candidate, opened in pooled if opened.library == library]
        top = sorted(mine, key=lambda pair: -pair[0].keyword)[:JUDGED]
        covered = [coverage(question, payload) for payload in _payloads((c, o.reader) for c, o in top).values()]
        if top[0][0].keyword > 0:
            weights[library] = max(covered, default=0.0) / top[0][0].keyword
    weighed = [
        replace(candidate, keyword=candidate.keyword * weights.get(opened.library, 0.0)) for candidate, opened in pooled
    ]
    spaces: dict[str, list[Candidate]] = {}
    for candidate, (_, opened) in zip(weighed, pooled, strict=True):
        spaces.setdefault(space_of(opened.reader), []).append(candidate)
    if len(spaces) > 1:
        similar = comparable(list(spaces.values()))
        weighed = [similar[candidate.chunk_id] for candidate in weighed]
    return weighed


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
