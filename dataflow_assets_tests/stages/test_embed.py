from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataflow_assets.model_settings import EmbeddingSettings
from dataflow_assets.models.base import Asked, Kind, VectorOf
from dataflow_assets.records import text_hash
from dataflow_assets.stages.embed import SearchedText, embed_chunks, embedding_issues, reuse_vector, wait_for_correction

DIMENSION = 64
SETTINGS = EmbeddingSettings(dimension=DIMENSION)


class Counting:
    """An embedder whose vectors tell the length of the text, and which remembers what it was asked."""

    name = "counting-1"
    dimension = DIMENSION

    def __init__(self) -> None:
        self.asked: list[str] = []

    def vectors(self, texts: Iterable[Asked], *, kind: Kind = "document") -> Iterator[VectorOf]:
        batch = list(texts)
        made = self.embed([asked.text for asked in batch], kind=kind)
        for place, asked in enumerate(batch):
            yield VectorOf(asked.key, made[place] if place < len(made) else None)

    def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> NDArray[np.float32]:
        assert kind == "document"
        self.asked += texts
        vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row, len(text) % DIMENSION] = 1
            if not text:
                vectors[row] = np.nan
        return vectors


def searched(number: int, text: str) -> SearchedText:
    return SearchedText("lib", f"chunk{number}", "doc", text, text_hash(text), f"input{number}")


@given(st.lists(st.sampled_from(["", "a", "bb", "ccc", "dddd"]), max_size=30))
def test_one_row_per_chunk(texts: list[str]) -> None:
    embedder = Counting()
    chunks = [searched(n, text) for n, text in enumerate(texts)]
    rows = list(embed_chunks(chunks, embedder=embedder, settings=SETTINGS))
    assert sorted(embedder.asked) == sorted(texts)
    assert [(r.chunk_id, r.text_hash, r.input_hash) for r in rows] == [
        (c.chunk_id, c.text_hash, c.input_hash) for c in chunks
    ]
    for row, text in zip(rows, texts, strict=True):
        assert (row.model, row.dimension) == ("counting-1", DIMENSION)
        if text:
            assert (row.status, row.reason) == ("embedded", None)
            assert row.vector is not None
            assert row.vector[len(text)] == 1
        else:
            assert (row.status, row.vector) == ("refused", None)
            assert "finite" in (row.reason or "")


def test_a_known_vector_is_used() -> None:
    known = np.full(DIMENSION, 0.125, dtype=np.float32)
    row = reuse_vector(searched(0, "old"), known, embedder=Counting(), settings=SETTINGS)
    assert row is not None
    assert (row.status, row.model, row.vector is known) == ("embedded", "counting-1", True)


@pytest.mark.parametrize(
    "unsound", [np.full(DIMENSION, np.nan, dtype=np.float32), np.ones(DIMENSION // 2, dtype=np.float32)]
)
def test_a_known_vector_that_is_unsound_is_not_used(unsound: NDArray[np.float32]) -> None:
    assert reuse_vector(searched(0, "old"), unsound, embedder=Counting(), settings=SETTINGS) is None


def test_a_text_that_may_still_change_waits() -> None:
    row = wait_for_correction(searched(0, "text"), embedder=Counting(), settings=SETTINGS)
    assert (row.status, row.vector) == ("failed", None)
    assert "correction" in (row.reason or "")


def test_what_the_model_could_not_do_says_why() -> None:
    class Failing(Counting):
        def vectors(self, texts: Iterable[Asked], *, kind: Kind = "document") -> Iterator[VectorOf]:
            for asked in texts:
                yield VectorOf(asked.key, None, "failed", "no answer")

    (row,) = embed_chunks([searched(0, "a")], embedder=Failing(), settings=SETTINGS)
    assert (row.status, row.reason, row.vector) == ("failed", "no answer", None)


def test_an_embedder_that_gives_too_few_or_other_vectors_costs_only_its_rows() -> None:
    class Short(Counting):
        def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> NDArray[np.float32]:
            return super().embed(texts, kind=kind)[:1]

    class Narrow(Counting):
        def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> NDArray[np.float32]:
            return super().embed(texts, kind=kind)[:, :32]

    chunks = [searched(0, "a"), searched(1, "b")]
    short = list(embed_chunks(chunks, embedder=Short(), settings=SETTINGS))
    assert [row.status for row in short] == ["embedded", "refused"]
    narrow = list(embed_chunks(chunks, embedder=Narrow(), settings=SETTINGS))
    assert {row.status for row in narrow} == {"refused"}
    assert "(32,)" in (narrow[0].reason or "")


def test_nothing_to_embed_asks_nobody() -> None:
    embedder = Counting()
    assert list(embed_chunks([], embedder=embedder, settings=SETTINGS)) == []
    assert embedder.asked == []


def unit(norm: float) -> NDArray[np.float32]:
    vector = np.zeros(DIMENSION, dtype=np.float32)
    vector[0] = norm
    return vector


@pytest.mark.parametrize(
    ("vector", "found"),
    [
        (None, [("missing", "error")]),
        (np.zeros((2, DIMENSION), dtype=np.float32), [("dimension", "error")]),
        (np.zeros(3, dtype=np.float32), [("dimension", "error")]),
        (unit(np.nan), [("finite", "error")]),
        (unit(-np.inf), [("finite", "error")]),
        (unit(0.0), [("norm", "warning")]),
        (unit(0.09), [("norm", "warning")]),
        (unit(10.1), [("norm", "warning")]),
        (unit(3e38), [("norm", "warning")]),
        (unit(0.11), []),
        (unit(1.0), []),
        (unit(9.9), []),
    ],
)
def test_the_checks_on_a_vector(vector: NDArray[np.float32] | None, found: list[tuple[str, str]]) -> None:
    issues = embedding_issues(vector, DIMENSION)
    assert [(issue.validator, issue.severity) for issue in issues] == found
    assert all(issue.field == "vector" and issue.message and issue.suggestion for issue in issues)


def test_a_warning_is_not_fatal() -> None:
    class Loud(Counting):
        def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> NDArray[np.float32]:
            return super().embed(texts, kind=kind) * np.float32(20)

    (row,) = embed_chunks([searched(0, "a")], embedder=Loud(), settings=SETTINGS)
    assert row.status == "embedded"
