"""What every index does, embedded or on a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataflow_assets.errors import IndexMissing, SearchIndexError
from dataflow_assets.index.base import Generation, IndexQuery, Point, SearchIndex
from dataflow_assets.index.edge import EdgeIndex
from dataflow_assets.index.server import ServerIndex

GENERATION = Generation("docs", "first", 4, {"embedding_model": "local"})


@pytest.fixture(params=["edge", "server"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> SearchIndex:
    return EdgeIndex(tmp_path / "index") if request.param == "edge" else ServerIndex(":memory:")


def point(number: int, text: str, **payload: Any) -> Point:
    return Point(f"{number:032x}", text, np.eye(4, dtype=np.float32)[number % 4], {"text": text, **payload})


def found(index: SearchIndex, text: str, **said: Any) -> list[str]:
    with index.read("docs") as reader:
        return [hit.payload["text"] for hit in reader.search(IndexQuery(text, None, "keyword", **said))]


def test_nothing_is_published_at_first(index: SearchIndex) -> None:
    assert index.published("docs") is None
    assert index.partitions() == []
    with pytest.raises(IndexMissing), index.read("docs"):
        pass


def test_write_and_search_in_every_mode(index: SearchIndex) -> None:
    with index.write(GENERATION) as writer:
        writer.upsert(
            [
                point(1, "red apples"),
                point(2, "green pears"),
                Point(f"{3:032x}", "no vector plums", None, {"text": "plums"}),
            ]
        )
    with index.read("docs") as reader:
        assert reader.count() == 3
        assert reader.generation.description["embedding_model"] == "local"
        vector = np.eye(4, dtype=np.float32)[2]
        semantic = reader.search(IndexQuery("x", vector, "semantic", limit=1))
        assert [hit.payload["text"] for hit in semantic] == ["green pears"]
        hybrid = reader.search(IndexQuery("plums", vector, "hybrid"))
        assert {"green pears", "plums"} <= {hit.payload["text"] for hit in hybrid}
        assert [hit.score for hit in hybrid] == sorted((hit.score for hit in hybrid), reverse=True)
    assert found(index, "apples") == ["red apples"]


def test_changes_are_seen_together_and_only_at_the_end(index: SearchIndex) -> None:
    with index.write(GENERATION) as writer:
        writer.upsert([point(1, "red apples"), point(2, "green pears")])
    with index.write(GENERATION) as writer:
        writer.delete([f"{1:032x}", f"{9:032x}"])
        writer.upsert([point(3, "blue plums")])
        writer.set_payload([(f"{2:032x}", {"text": "moved pears"}), (f"{8:032x}", {"text": "nobody"})])
        assert found(index, "apples pears plums") == found(index, "apples pears")
    assert sorted(found(index, "apples pears plums")) == ["blue plums", "moved pears"]
    published = index.published("docs")
    assert published is not None
    assert published.points == 2


def test_an_error_publishes_nothing(index: SearchIndex) -> None:
    with index.write(GENERATION) as writer:
        writer.upsert([point(1, "red apples")])
    before = index.published("docs")
    with pytest.raises(RuntimeError), index.write(GENERATION) as writer:
        writer.upsert([point(2, "green pears")])
        raise RuntimeError
    assert index.published("docs") == before
    assert found(index, "apples pears") == ["red apples"]


def test_a_fresh_start_is_empty(index: SearchIndex) -> None:
    with index.write(GENERATION) as writer:
        writer.upsert([point(1, "red apples")])
    with index.write(GENERATION, fresh=True) as writer:
        writer.upsert([point(2, "green pears")])
    assert found(index, "apples pears") == ["green pears"]


SECOND = Generation("docs", "second", 2, {"embedding_model": "other"})


def small(number: int, text: str, **payload: Any) -> Point:
    return Point(f"{number:032x}", text, np.eye(2, dtype=np.float32)[number % 2], {"text": text, **payload})


def two(index: SearchIndex) -> None:
    """One generation in use, and another beside it."""
    with index.write(GENERATION) as writer:
        writer.upsert([point(1, "red apples", document_id="a"), point(2, "red pears", document_id="b")])
    with index.write(SECOND) as writer:
        writer.upsert([small(3, "new apples", document_id="a"), small(4, "new pears", document_id="b")])


def test_another_generation_stands_beside_unseen(index: SearchIndex) -> None:
    two(index)
    assert found(index, "apples") == ["red apples"]
    assert list(index.generations("docs")) == ["first", "second"]
    with index.read("docs", "second") as reader:
        assert reader.generation.dimension == 2
        assert reader.document_ids() == {"a", "b"}
        assert [hit.payload["text"] for hit in reader.search(IndexQuery("apples", None, "keyword"))] == ["new apples"]
    with pytest.raises(IndexMissing), index.read("docs", "third"):
        pass


def test_use_and_back(index: SearchIndex) -> None:
    two(index)
    index.use("docs", "second")
    assert found(index, "apples") == ["new apples"]
    use = index.usage("docs")
    assert use is not None
    assert (use.generation, list(use.left)) == ("second", ["first"])
    index.use("docs", "first")
    assert found(index, "apples") == ["red apples"]
    with pytest.raises(IndexMissing):
        index.use("docs", "third")
    with pytest.raises(IndexMissing):
        index.use("nobody", "first")


def test_a_generation_is_changed_where_it_stands(index: SearchIndex) -> None:
    two(index)
    before = index.published("docs")
    with index.write(SECOND) as writer:
        writer.upsert([small(5, "new plums", document_id="c")])
        writer.delete_documents(["a", "nobody"])
    assert index.published("docs") == before
    assert index.generations("docs")["second"].points == 2
    index.use("docs", "second")
    with index.write(GENERATION) as writer:
        writer.delete_documents(["b"])
    assert sorted(found(index, "apples pears plums")) == ["new pears", "new plums"]
    with index.read("docs", "first") as reader:
        assert reader.document_ids() == {"a"}


def test_remove_all_but_what_is_in_use(index: SearchIndex) -> None:
    two(index)
    with pytest.raises(SearchIndexError):
        index.remove("docs", "first")
    index.remove("docs", "second")
    index.remove("docs", "second")
    assert list(index.generations("docs")) == ["first"]
    assert found(index, "apples") == ["red apples"]


def test_buckets_move_together(index: SearchIndex) -> None:
    parts = ["docs.000", "docs.001"]
    for name in ("first", "second"):
        for part in parts:
            with index.write(Generation(part, name, 4)) as writer:
                writer.upsert([point(1, f"{name} {part}")])
    assert {p: found.generation.name for p, found in index.in_use("docs").items()} == dict.fromkeys(parts, "first")
    index.use("docs", "second")
    assert {p: found.generation.name for p, found in index.in_use("docs").items()} == dict.fromkeys(parts, "second")
    assert index.in_use("doc") == {}


def test_a_dropped_library_begins_anew(index: SearchIndex) -> None:
    two(index)
    index.drop("docs")
    assert index.usage("docs") is None
    with index.write(SECOND) as writer:
        writer.upsert([small(1, "new apples")])
    assert found(index, "apples") == ["new apples"]


def test_a_reader_keeps_what_it_opened(index: SearchIndex) -> None:
    with index.write(GENERATION) as writer:
        writer.upsert([point(1, "red apples")])
    with index.read("docs") as reader:
        with index.write(GENERATION) as writer:
            writer.delete([f"{1:032x}"])
        assert [hit.payload["text"] for hit in reader.search(IndexQuery("apples", None, "keyword"))] == ["red apples"]
    assert found(index, "apples") == []


def test_filters(index: SearchIndex) -> None:
    with index.write(GENERATION) as writer:
        writer.upsert(
            [
                point(1, "red apples", doc_type="guide", tags=["a", "b"]),
                point(2, "more apples", doc_type="other", tags=["b"]),
            ]
        )
    assert found(index, "apples", filters={"doc_type": "guide"}) == ["red apples"]
    assert found(index, "apples", filters={"tags": ["a", "c"]}) == ["red apples"]
    assert sorted(found(index, "apples", filters={"tags": "b"})) == ["more apples", "red apples"]


def test_dates(index: SearchIndex) -> None:
    dated = {"old": "2025-12-31T23:00:00+00:00", "new": "2026-05-01T08:30:00+00:00", "undated": None}
    with index.write(GENERATION) as writer:
        writer.upsert([point(n, f"apples {name}", date=date) for n, (name, date) in enumerate(dated.items())])
    assert len(found(index, "apples")) == 3
    assert found(index, "apples", since="2026-01-01T00:00:00+00:00") == ["apples new"]
    assert found(index, "apples", until="2026-05-01T08:30:00+00:00") == ["apples old"]
    # The same moment said in another zone.
    assert sorted(found(index, "apples", since="2026-01-01T00:00:00+01:00")) == ["apples new", "apples old"]
    assert found(index, "apples", since="2027-01-01T00:00:00+00:00") == []


def test_a_stretch_of_a_document(index: SearchIndex) -> None:
    with index.write(GENERATION) as writer:
        writer.upsert(
            [
                Point(f"{10 * d + n:032x}", f"text {n}", None, {"document_id": document, "chunk_index": n})
                for d, document in enumerate(("one", "two"))
                for n in range(8)
            ]
        )
    with index.read("docs") as reader:
        there = reader.stretch("two", 2, 5)
        assert sorted(there) == [2, 3, 4, 5]
        assert {said["document_id"] for said in there.values()} == {"two"}
        assert sorted(reader.stretch("one", 7, 20)) == [7]
        assert reader.stretch("three", 0, 9) == {}


def test_drop_and_empty(index: SearchIndex) -> None:
    with index.write(GENERATION):
        pass
    published = index.published("docs")
    assert published is not None
    assert published.points == 0
    assert index.partitions() == ["docs"]
    index.drop("docs")
    index.drop("docs")
    assert index.partitions() == []


@pytest.mark.parametrize("partition", ["", "../docs", "Docs", "a/b"])
def test_a_partition_that_is_none(index: SearchIndex, partition: str) -> None:
    with pytest.raises(SearchIndexError):
        index.published(partition)


def test_a_server_that_is_not_there_is_a_sentence_without_the_key() -> None:
    index = ServerIndex("http://127.0.0.1:9", "very-secret-key")
    with pytest.raises(SearchIndexError) as told:
        index.published("docs")
    assert "QDRANT_URL" in str(told.value)
    assert "very-secret-key" not in str(told.value)


def test_a_killed_writers_folder_is_cleaned_up(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path / "index")
    with index.write(GENERATION) as writer:
        writer.upsert([point(1, "red apples")])
    (tmp_path / "index" / "docs" / "leftover").mkdir()
    with index.write(GENERATION) as writer:
        writer.upsert([point(2, "green pears")])
    assert len([path for path in (tmp_path / "index" / "docs").iterdir() if path.is_dir()]) == 1


def test_an_interruption_after_the_takeover_leaves_what_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = EdgeIndex(tmp_path / "index")
    with index.write(GENERATION) as writer:
        writer.upsert([point(1, "red apples")])

    def interrupted(self: EdgeIndex, partition: str, folders: list[Path]) -> None:
        if folders:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EdgeIndex, "_discard", interrupted)
        with pytest.raises(KeyboardInterrupt), index.write(GENERATION) as writer:
            writer.upsert([point(2, "green pears")])
    assert sorted(found(index, "apples pears")) == ["green pears", "red apples"]
    with index.write(GENERATION) as writer:
        writer.upsert([point(3, "blue plums")])
    assert len([path for path in (tmp_path / "index" / "docs").iterdir() if path.is_dir()]) == 1
