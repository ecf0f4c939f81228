"""How the two sides of a hybrid search become one ranking.

What belongs here: scores and order, pure. What does not: fetching candidates (`index.edge`, `index.server`), or knowing of
libraries (`search`).

Every candidate carries both of its true scores, whichever side fetched it, so the ranking does not hang on how many
candidates were fetched, and candidates of several partitions can be ranked as one list. The cosine similarity counts as it
is; BM25 has no upper bound and counts as a share of the best that any candidate reached. Measured as nDCG@10 over the
BM25 floor at weights 0.6 and 0.4 (SciFact, Cranfield) and as MRR@10 on links of a documentation and on questions in
another language: 1.07, 1.20, 1.01, 1.09. The same for distribution-based fusion: 1.02, 1.16, 0.98, 1.01, and for
reciprocal ranks: 0.89, 1.14, 0.97, 1.00.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dataflow_assets.index.base import Candidate, IndexQuery


def rank(candidates: Sequence[Candidate], query: IndexQuery) -> list[tuple[int, float]]:
    """Score candidates and put them in order.

    Args:
        candidates: What one or more partitions fetched for the query.
        query: The mode and the weights.

    Returns:
        Positions in `candidates` with their scores, best first, at most `query.limit`. Ties are in the order of the chunk
        ids. In `semantic` and `keyword` mode the score is that side's own, and what it does not know is left out.
    """
    if query.mode == "semantic":
        scored = [(n, c.semantic) for n, c in enumerate(candidates) if c.semantic is not None]
    elif query.mode == "keyword":
        scored = [(n, c.keyword) for n, c in enumerate(candidates) if c.keyword > 0]
    else:
        best = max((c.keyword for c in candidates), default=0.0) or 1.0
        # A chunk without a vector is found by its words alone: it counts like the least similar candidate.
        least = max(0.0, min((c.semantic for c in candidates if c.semantic is not None), default=0.0))
        scored = [
            (
                n,
                query.semantic_weight * (least if c.semantic is None else max(0.0, c.semantic))
                + query.keyword_weight * c.keyword / best,
            )
            for n, c in enumerate(candidates)
        ]
    scored.sort(key=lambda pair: (-pair[1], candidates[pair[0]].chunk_id))
    return scored[: query.limit]


def comparable(spaces: Sequence[Sequence[Candidate]]) -> dict[str, Candidate]:
    """Make similarities of different embedding models comparable: each counts as a share of its model's best.

    What one model calls 0.3 another calls 0.7, so as they are the candidates of one model would stand above all others.

    Args:
        spaces: Candidates by model.

    Returns:
        The candidates by chunk id, with similarities of at most 1.
    """
    found: dict[str, Candidate] = {}
    for candidates in spaces:
        best = max((c.semantic for c in candidates if c.semantic is not None), default=0.0)
        for candidate in candidates:
            if candidate.semantic is not None and best > 0:
                candidate = replace(candidate, semantic=candidate.semantic / best)
            found.setdefault(candidate.chunk_id, candidate)
    return found
