"""Opening a home from Python, keeping up with it, and the paid reranker behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.index.base import Generation, Point
from dataflow_assets.index.edge import EdgeIndex
from dataflow_assets.models.wordllama import WordLlamaEmbedder
from dataflow_assets.search import open_search
from dataflow_assets.warehouse.store import Warehouse
from dataflow_assets_tests.loopback import Loopback, Trouble
from dataflow_assets_tests.search.made import payload


class Home:
    def __init__(self, root: Path) -> None:
        self.home, self.catalog = root / "home", root / "catalog.yaml"
        self.embedder = WordLlamaEmbedder(64)
        self.libraries({"fruit": {}})
        self.publish("A pear is green.", "The apple is red.", "Plums are blue.")

    def libraries(self, settings: dict[str, Any]) -> None:
        source = {"source": {"type": "files", "path": "docs"}}
        said = {name: {**source, **each} for name, each in settings.items()}
        self.catalog.write_text(json.dumps({"libraries": said}))

    def publish(self, *texts: str, library: str = "fruit") -> None:
        described = {"embedding_model": "local", "model_name": self.embedder.name, "dimension": 64, "library": library}
        with EdgeIndex(self.home / "index").write(Generation(library, "first", 64, described), fresh=True) as writer:
            rows = [payload(text, text.split()[1], n, library=library) for n, text in enumerate(texts)]
            vectors = self.embedder.embed(texts)
            writer.upsert(
                [Point(row["chunk_id"], row["text"], vector, row) for row, vector in zip(rows, vectors, strict=True)]
            )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("QDRANT_URL", "VOYAGE_API_KEY", "VOYAGE_API_KEY_PATH", "VOYAGE_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return Home(tmp_path)


def test_a_question_and_what_surrounds_the_answer(home: Home) -> None:
    with open_search(home.home, home.catalog) as search:
        answer = search.search("red apple", libraries=["fruit"], top_k=2, explain=True)
        first = answer.results[0]
        assert first.text == "The apple is red."
        assert answer.understood is not None
        assert answer.understood.intent == "other"
        assert first.scores is not None
        assert search.publications(["fruit", "unknown"]) == answer.publications
        found = search.around(first.chunk_id)
        assert found is not None
        assert found.chunks == (first.chunk_id,)


def test_one_library_may_be_named_by_a_text(home: Home) -> None:
    home.publish("An old apple.", library="old")
    with open_search(home.home, home.catalog) as search:
        answer = search.search("apple", libraries="fruit")
        assert {result.library for result in answer.results} == {"fruit"}
        assert search.publications("fruit") == answer.publications
        assert search.around(answer.results[0].chunk_id, libraries="fruit") is not None
        assert search.around(answer.results[0].chunk_id, libraries="old") is None


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"text": None}, "The query is None"),
        ({"text": 5}, "The query is 5"),
        ({"text": b"apple"}, "The query is of the type bytes"),
        ({"filters": {"tags": 5}}, "The filter tags takes"),
        ({"filters": {"tags": [5]}}, "The filter tags takes"),
        ({"filters": {5: "x"}}, "filtered by 5"),
        ({"filters": "tags=x"}, "The filters are 'tags=x'"),
        ({"filters": 5}, "The filters are 5"),
        ({"min_similarity": 5}, "from -1 to 1; min_similarity is 5"),
        ({"min_similarity": "0.5"}, "min_similarity is '0.5'"),
        ({"min_similarity": float("nan")}, "min_similarity is nan"),
        ({"min_similarity": 10**400}, "min_similarity is of the type int"),
        ({"top_k": "3"}, "top_k is '3'"),
        ({"top_k": 2.5}, "top_k is 2.5"),
        ({"top_k": True}, "top_k is True"),
        ({"top_k": 10**5000}, "top_k is of the type int"),
        ({"per_document": "1"}, "per_document is '1'"),
        ({"libraries": 5}, "The libraries are 5"),
        ({"libraries": [5]}, "One of the libraries is 5"),
        ({"libraries": [["fruit"]]}, "One of the libraries is of the type list"),
        ({"libraries": "nuts"}, "There is no library 'nuts'. There are: fruit."),
        ({"mode": ["hybrid"]}, "There is no mode"),
    ],
)
def test_what_is_nothing_of_its_kind_is_refused_in_a_sentence(home: Home, wrong: dict[str, Any], why: str) -> None:
    with open_search(home.home, home.catalog) as search, pytest.raises(ConfigurationError) as refused:
        search.search(**{"text": "apple", **wrong})
    assert why in str(refused.value)
    assert str(refused.value).endswith(".")


def test_numbers_of_other_kinds_are_numbers(home: Home) -> None:
    import numpy as np

    with open_search(home.home, home.catalog) as search:
        found = search.search("apple", top_k=np.int64(1), min_similarity=np.float32(0.1), libraries=("fruit",))
    assert [result.text for result in found.results] == ["The apple is red."]


def test_json_says_what_it_always_said_and_more(home: Home) -> None:
    with open_search(home.home, home.catalog) as search:
        said = json.loads(json.dumps(search.search("apple").to_dict()))
        more = search.search("apple", explain=True, passages=True).to_dict()["results"][0]
    assert {"query", "mode", "results", "took_ms", "understood"} == set(said)
    assert {"passage", "scores"}.isdisjoint(said["results"][0])
    assert {"passage", "scores", "link", "first_page", "last_page", "role", "said_at"} <= set(more)
    assert {"chunk_id", "corrected_text", "highlights", "heading_path", "score"} <= set(more)


def test_libraries_and_edits_of_the_catalog_are_seen(home: Home) -> None:
    home.publish("An old page.", library="old")
    with open_search(home.home, home.catalog) as search:
        told = {library.name: library for library in search.libraries()}
        assert (told["fruit"].points, told["fruit"].documents, told["fruit"].retired) == (3, 0, False)
        assert told["old"].retired
        assert told["fruit"].generation == "first"
        home.libraries({"fruit": {"search": {"top_k": 1}}, "new": {}})
        assert len(search.search("apple pear", libraries=["fruit"]).results) == 1
        assert [library.name for library in search.libraries()] == ["fruit", "new", "old"]
        home.catalog.write_text("libraries: [")
        assert len(search.search("apple pear", libraries=["fruit"]).results) == 1
        home.publish("Another apple.", library="old")
        assert search.search("another", libraries=["old"]).results


def test_figures_are_told_while_others_read(home: Home) -> None:
    warehouse = Warehouse(home.home)
    with warehouse.writing() as connection:
        connection.execute(
            "INSERT INTO validated_documents (library, document_id, status) VALUES ('fruit', '1', 'valid')"
        )
    with open_search(home.home, home.catalog) as search:
        assert search.libraries()[0].documents == 1
        with warehouse.reading():  # a search that wanted to write each time would wait for this
            assert search.libraries()[0].documents == 1


def test_a_catalog_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        open_search(tmp_path, tmp_path / "catalog.yaml")


def test_a_data_frame(home: Home) -> None:
    pytest.importorskip("pandas")
    with open_search(home.home, home.catalog) as search:
        frame = search.search("apple").to_pandas()
        nothing = search.search("apple", filters={"tags": "none"}).to_pandas()
    assert frame.iloc[0]["text"] == "The apple is red."
    assert list(frame.columns) == list(nothing.columns)
    assert len(nothing) == 0


def reranked(home: Home, monkeypatch: pytest.MonkeyPatch, service: Loopback, **limits: float) -> Any:
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    home.libraries({"fruit": {"search": {"rerank": "rerank-2.5"}, "limits": limits}})
    with open_search(home.home, home.catalog) as search:
        return search.search("blue Plums are", explain=True)


def test_a_reranking_model_is_asked_once_and_paid_from_the_budget(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataflow_assets.flow.paid import open_ledger

    with Loopback() as service:
        for _ in range(2):
            answer = reranked(home, monkeypatch, service, budget_usd=1.0)
            assert answer.notes == ()
            assert answer.results[0].text == "Plums are blue."
            assert answer.results[0].scores.features["rerank"] == pytest.approx(answer.results[0].score, abs=1e-5)
        assert len(service.made("rerank")) == 1
        assert open_ledger(home.home).spent("fruit").life_usd > 0


@pytest.mark.parametrize(
    ("trouble", "limits", "why"),
    [
        (Trouble(status=401), {}, "key"),
        (Trouble(status=500), {}, "500"),
        (None, {"budget_usd": 0.0}, "budget"),
    ],
)
def test_where_no_reranking_model_can_be_asked_results_are_reranked_here(
    home: Home, monkeypatch: pytest.MonkeyPatch, trouble: Trouble | None, limits: dict[str, float], why: str
) -> None:
    with Loopback(lambda number, call: trouble) as service:
        answer = reranked(home, monkeypatch, service, **limits)
    assert answer.results[0].text == "Plums are blue."
    assert "rerank" not in answer.results[0].scores.features
    assert why in answer.notes[0]
    assert service.environment["VOYAGE_API_KEY"] not in str(answer.notes)


def test_without_a_key_results_are_reranked_here(home: Home) -> None:
    home.libraries({"fruit": {"search": {"rerank": "rerank-2.5"}}})
    with open_search(home.home, home.catalog) as search:
        answer = search.search("red apple")
    assert answer.results[0].text == "The apple is red."
    assert "VOYAGE_API_KEY" in answer.notes[0]
