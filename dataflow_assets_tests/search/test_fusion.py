"""How two sides become one ranking."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.index.base import Candidate, IndexQuery
from dataflow_assets.index.fusion import comparable, rank

candidates = st.lists(
    st.builds(
        Candidate,
        chunk_id=st.integers(0, 10**6).map(lambda n: f"{n:032x}"),
        semantic=st.none() | st.floats(-1, 1),
        keyword=st.floats(0, 50),
    ),
    unique_by=lambda candidate: candidate.chunk_id,
    max_size=20,
)


def test_weights_decide_between_the_sides() -> None:
    words, meaning = Candidate("a", 0.1, 10.0), Candidate("b", 0.9, 1.0)
    assert rank([words, meaning], IndexQuery("x", None, semantic_weight=0.9, keyword_weight=0.1))[0][0] == 1
    assert rank([words, meaning], IndexQuery("x", None, semantic_weight=0.1, keyword_weight=0.9))[0][0] == 0


@given(candidates)
def test_a_ranking_descends_and_hangs_on_no_order(found: list[Candidate]) -> None:
    query = IndexQuery("x", None, limit=100)
    ranked = rank(found, query)
    assert len(ranked) == len(found)
    assert [score for _, score in ranked] == sorted((score for _, score in ranked), reverse=True)
    backwards = found[::-1]
    assert [found[n].chunk_id for n, _ in ranked] == [backwards[n].chunk_id for n, _ in rank(backwards, query)]


@given(candidates, candidates)
def test_the_best_of_each_model_are_equal_and_orders_stay(one: list[Candidate], other: list[Candidate]) -> None:
    made = comparable([one, other])
    for space in (one, other):
        similar = [c for c in space if c.semantic is not None]
        best = max((c.semantic or 0 for c in similar), default=0)
        if best > 1e-9 and space is one:
            assert max(made[c.chunk_id].semantic or 0 for c in similar) == 1
            before = sorted(similar, key=lambda c: c.semantic or 0)
            after = [made[c.chunk_id].semantic or 0 for c in before]
            assert after == sorted(after)
