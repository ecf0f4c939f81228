"""From a question to results, over a small made index."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dataflow_assets.errors import ConfigurationError, IndexMissing, ModelError, SearchIndexError
from dataflow_assets.index.edge import EdgeIndex
from dataflow_assets.index.server import ServerIndex
from dataflow_assets.models.base import Asked, Kind, VectorOf
from dataflow_assets.search.searcher import MAX_QUERY, Searcher
from dataflow_assets.settings import SearchSettings
from dataflow_assets_tests.search.made import Topics, payload, publish, searcher


@pytest.fixture(scope="module")
def fruit(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    index, made = searcher(tmp_path_factory.mktemp("fruit"))
    publish(
        index,
        [
            payload("An apple a day.", "apples", doc_type="guide", tags=["red"], said_at="2026-01-10T09:00:00Z"),
            payload("Bake the apple with plum jam.", "apples", 1, said_at="2026-02-10T09:00:00Z", role="user"),
            payload("A pear is green.", "pears", doc_type="tutorial", said_at="2026-03-10T09:00:00Z", role="assistant"),
            payload("Plum jam keeps for a year.", "plums", language="de", first_page=3, last_page=4),
        ],
    )
    return made


def titles(answer: Any) -> list[str]:
    return [result.title for result in answer.results]


def test_every_mode_finds_and_scores_descend(fruit: Searcher) -> None:
    for mode in ("hybrid", "semantic", "keyword"):
        answer = fruit.search("pear", mode=mode)  # type: ignore[arg-type]
        assert titles(answer)[0] == "pears"
        scores = [result.score for result in answer.results]
        assert scores == sorted(scores, reverse=True)
    assert fruit.search("pear", mode="semantic").results[0].score == pytest.approx(1, abs=0.02)


def test_reranking_changes_hybrid_alone_and_can_be_left_out(fruit: Searcher) -> None:
    plain, better = fruit.search("a pear", rerank=False, explain=True), fruit.search("a pear", explain=True)
    first, same = better.results[0].scores, plain.results[0].scores
    assert first is not None
    assert same is not None
    assert same.features == {}
    assert same.final == same.fused == pytest.approx(first.fused)
    assert first.final > first.fused
    assert first.final == pytest.approx(better.results[0].score, abs=1e-6)
    assert fruit.search("a pear", mode="keyword", explain=True).results[0].scores.features == {}  # type: ignore[union-attr]
    assert plain.results[0].scores != fruit.search("a pear").results[0].scores is None


def test_evidence(fruit: Searcher) -> None:
    result = fruit.search("plum jam keeps").results[0]
    assert result.title == "plums"
    assert [result.text[a:b] for a, b in result.highlights] == ["Plum", "jam", "keeps"]
    assert result.link == "docs/plums.md#page=3&char=0,26"
    assert (result.first_page, result.last_page, result.role, result.said_at) == (3, 4, None, None)


def test_what_is_neither_similar_nor_named_is_no_answer(fruit: Searcher) -> None:
    assert titles(fruit.search("pear", min_similarity=0.5)) == ["pears"]
    assert len(fruit.search("pear", min_similarity=-1).results) == 4
    assert fruit.search("apple pear", mode="semantic", min_similarity=0.9).results == ()


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"doc_type": "tutorial"}, {"pears"}),
        ({"doc_type": ["tutorial", "guide"]}, {"pears", "apples"}),
        ({"language": "de"}, {"plums"}),
        ({"tags": "red"}, {"apples"}),
        ({"source_uri": "docs/p*.md"}, {"pears", "plums"}),
        ({"source_uri": "docs/plums.md"}, {"plums"}),
        ({"role": ["user", "assistant"]}, {"apples", "pears"}),
        ({"since": "2026-02-10"}, {"apples", "pears"}),
        ({"since": "2026-02-11", "until": "2026-03-10"}, {"pears"}),
        ({"until": "2026-01-10T08:00:00"}, set()),
        ({"library": "fruit", "doc_type": "nothing"}, set()),
        ({"doc_type": "'; DROP TABLE chunks --"}, set()),
    ],
)
def test_filters(fruit: Searcher, filters: dict[str, Any], found: set[str]) -> None:
    assert set(titles(fruit.search("apple pear plum", filters=filters, min_similarity=-1))) == found


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": "   "},
        {"libraries": ["nothing"]},
        {"filters": {"colour": "red"}},
        {"filters": {"since": "yesterday"}},
        {"filters": {"doc_type": []}},
        {"filters": {"library": "other"}},
        {"filters": {"source_uri": "*a*a*a*a*a*a*a"}},
        {"mode": "magic"},
        {"top_k": 0},
        {"top_k": 100_000},
        {"per_document": 0},
    ],
)
def test_what_cannot_be_asked(fruit: Searcher, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        fruit.search(**{"text": "pear", **wrong})


def test_a_huge_question_is_cut_and_says_so(fruit: Searcher) -> None:
    answer = fruit.search("pear " * MAX_QUERY)
    assert titles(answer)[0] == "pears"
    assert any("8,000" in note for note in answer.notes)


@pytest.mark.parametrize("text", ["\ud800 pear", "pear\x00", "🍐 pear", "%s", "((((", "\u202epear"])
def test_odd_questions_are_answered(fruit: Searcher, text: str) -> None:
    assert fruit.search(text, filters={"tags": ["\ud800", "\x00"]}).results == ()
    fruit.search(text)


def test_so_many_results_of_one_document(tmp_path: Path) -> None:
    index, made = searcher(tmp_path)
    many = [payload(f"apple number {n}", "many", n) for n in range(150)]
    publish(index, [*many, payload("apple pie", "one"), payload("apple and pear", "two")])
    assert sorted(titles(made.search("apple", top_k=3, per_document=1))) == ["many", "one", "two"]
    assert len(made.search("apple", top_k=4, per_document=2).results) == 4


@pytest.mark.parametrize("server", [False, True])
def test_passages(tmp_path: Path, server: bool) -> None:
    index = ServerIndex(":memory:") if server else EdgeIndex(tmp_path / "index")
    made = Searcher(index, {"fruit": SearchSettings()}, lambda description: Topics())
    texts = ["First the apple.", "Then the pear.", "Then teh plum.", "Then a plum key."]
    starts = [0, 18, 32, 40]
    publish(
        index,
        [
            payload(text, "story", n, start_position=start, corrected_text="Then the plum." if n == 2 else None)
            for n, (text, start) in enumerate(zip(texts, starts, strict=True))
        ],
        blind=["Then a plum key."],
    )
    (pear, *_) = made.search("pear", passages=True).results
    assert pear.passage is not None
    assert pear.passage.text == "First the apple.\n\nThen the pear.Then teh plum."
    assert pear.passage.corrected_text == "First the apple.\n\nThen the pear.Then the plum."
    assert (pear.passage.start_position, pear.passage.end_position) == (0, 46)
    whole = made.around(pear.chunk_id, before=9, after=9)
    assert whole is not None
    assert len(whole.chunks) == 4
    assert whole.text.endswith("Then teh plum. plum key.")  # the last chunk begins inside the one before
    alone = made.around(pear.chunk_id, before=0, after=0)
    assert alone is not None
    assert alone.text == "Then the pear."
    assert made.around("0" * 32) is None
    assert made.around("no chunk") is None
    assert made.around(pear.chunk_id, libraries=["other"]) is None


def test_libraries_compete_whatever_model_they_have(tmp_path: Path) -> None:
    class Shy(Topics):
        """Another model, which finds everything less similar."""

        name = "shy"

        def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> NDArray[np.float32]:
            rows = super().embed(texts)
            rows[:, 6 if kind == "query" else 5] += 2
            made: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            return made

        def vectors(self, texts: Iterable[Asked], *, kind: Kind = "document") -> Iterator[VectorOf]:
            for asked in texts:
                yield VectorOf(asked.key, self.embed([asked.text], kind=kind)[0])

    index = EdgeIndex(tmp_path / "index")
    publish(index, [payload("apple tart", "tart")] + [payload(f"key {n}", f"key {n}") for n in range(50)])
    publish(
        index, [payload("apple cake", "cake", library="shy"), payload("key", "k", library="shy")], "shy", embedder=Shy()
    )
    both = {"fruit": SearchSettings(), "shy": SearchSettings()}
    made = Searcher(index, both, lambda said: Shy() if said["model_name"] == "shy" else Topics())
    answer = made.search("apple", explain=True)
    assert set(titles(answer)[:2]) == {"tart", "cake"}
    assert answer.results[0].score == pytest.approx(answer.results[1].score, rel=0.05)
    assert answer.results[0].scores.semantic != pytest.approx(answer.results[1].scores.semantic, rel=0.2)  # type: ignore[union-attr]


def test_a_new_publication_is_seen_and_a_deleted_document_is_not(tmp_path: Path) -> None:
    index, made = searcher(tmp_path)
    assert "no index" in made.search("apple").notes[0]
    publish(index, [payload("apple tart", "tart")])
    first = made.search("apple")
    assert titles(first) == ["tart"]
    assert first.publications == made.publications()
    publish(index, [payload("apple cake", "cake")])
    assert titles(made.search("apple")) == ["cake"]
    assert first.publications != made.publications()
    index.drop("fruit")
    assert made.search("apple").results == ()


def test_a_library_whose_index_is_lost_is_left_out_and_said_to_be(tmp_path: Path) -> None:
    index, made = searcher(tmp_path, fruit=SearchSettings(), tools=SearchSettings())
    publish(index, [payload("An apple a day.", "apples")])
    publish(index, [payload("The key of the apple shed.", "keys", library="tools")], "tools")
    lost = index.published("tools")
    assert lost is not None
    shutil.rmtree(tmp_path / "index" / "tools" / lost.name)
    found = made.search("apple")
    assert titles(found) == ["apples"]
    assert found.notes == ("tools is left out, since its index cannot be opened: run `dataflow run tools`.",)
    with pytest.raises(IndexMissing, match="run the library"):
        made.search("apple", libraries=["tools"])
    assert index.generations("tools") == {}
    publish(index, [payload("The key of the apple shed.", "keys", library="tools")], "tools")
    assert sorted(titles(made.search("apple"))) == ["apples", "keys"]


def test_a_shard_that_is_damaged_says_what_to_do(tmp_path: Path) -> None:
    index, made = searcher(tmp_path)
    publish(index, [payload("An apple a day.", "apples")])
    published = index.published("fruit")
    assert published is not None
    folder = tmp_path / "index" / "fruit" / published.name
    for path in folder.rglob("segment.json"):
        path.write_bytes(b"{")
    with pytest.raises(SearchIndexError) as told:
        made.search("apple")
    assert f"remove the folder {folder} and run the library" in str(told.value)


def test_a_model_that_cannot_be_asked_leaves_words(tmp_path: Path) -> None:
    index, _ = searcher(tmp_path)
    publish(index, [payload("apple tart", "tart")])

    def nobody(description: object) -> Any:
        raise ModelError("The model is away.")

    made = Searcher(index, {"fruit": SearchSettings()}, nobody)
    answer = made.search("apple")
    assert titles(answer) == ["tart"]
    assert answer.notes == ("fruit is searched by words alone: The model is away.",)
    with pytest.raises(ModelError):
        made.search("apple", mode="semantic")


def test_a_reranking_model_decides_and_where_it_fails_we_do(tmp_path: Path) -> None:
    class Contrary:
        def scores(self, query: str, texts: Sequence[str]) -> list[float]:
            assert all("\n\n" in text for text in texts)
            return [1.0 if "pear" in text else 0.5 for text in texts]

    class Broken:
        def scores(self, query: str, texts: Sequence[str]) -> list[float]:
            raise ModelError("The budget is reached.")

    index, _ = searcher(tmp_path)
    publish(index, [payload("apple tart", "tart"), payload("apple and pear", "both")])
    settings = {"fruit": SearchSettings(rerank="rerank-2.5")}
    reranked = Searcher(index, settings, lambda said: Topics(), lambda library: Contrary()).search(
        "apple", explain=True
    )
    assert titles(reranked) == ["both", "tart"]
    assert reranked.results[0].scores.features == {"rerank": 1.0}  # type: ignore[union-attr]
    local = Searcher(index, settings, lambda said: Topics(), lambda library: Broken()).search("apple")
    assert titles(local) == ["tart", "both"]
    assert "budget" in local.notes[0]


def test_many_threads_while_a_writer_publishes(tmp_path: Path) -> None:
    index, made = searcher(tmp_path)
    publish(index, [payload(f"apple {n}", f"page {n}") for n in range(20)])
    problems: list[object] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.01):
            try:
                found = made.search("apple", top_k=20)
                if len(found.results) != 20 or len({result.text.split()[-1] for result in found.results}) != 20:
                    problems.append(found)
            except Exception as error:
                problems.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for round_ in range(3):
        publish(index, [payload(f"apple {round_} {n}", f"page {n}") for n in range(20)])
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
