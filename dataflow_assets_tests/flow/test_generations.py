"""Generations of an index: built beside, judged by a gate, taken over whole, kept, gone back to."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataflow_assets.catalog import load_catalog
from dataflow_assets.errors import ConfigurationError
from dataflow_assets.flow import generations, kept_generations
from dataflow_assets.flow.generation_memory import read_memory
from dataflow_assets.flow.generations import choose, describe, go_back
from dataflow_assets.flow.ingest import ingest
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.flow.measuring import measure
from dataflow_assets.flow.publish import generation_of, publish
from dataflow_assets.flow.report import report, told
from dataflow_assets.flow.steps import CHUNKS, CORRECTIONS, EMBEDDINGS, VALIDATED_DOCUMENTS, run_step
from dataflow_assets.index.base import IndexQuery
from dataflow_assets.index.edge import EdgeIndex
from dataflow_assets.warehouse.changes import store
from dataflow_assets.warehouse.spool import open_spool
from dataflow_assets.warehouse.store import Warehouse

STEPS = (VALIDATED_DOCUMENTS, CHUNKS, CORRECTIONS, EMBEDDINGS)
SMALLER: dict[str, Any] = {"embeddings": {"dimension": 128}}
TINY: dict[str, Any] = {"chunking": {"max_tokens": 16}}


class Home:
    """A library whose stages are driven without Dagster."""

    def __init__(self, root: Path) -> None:
        self.root, self.path, self.docs = root, root / "home", root / "docs"
        self.docs.mkdir()
        self.index = EdgeIndex(self.path / "index")
        self.warehouse = Warehouse(self.path)
        self.settings: dict[str, Any] = {}

    def page(self, name: str, text: str = "") -> None:
        text = text or f"It tells what one has to know of {name}, from the first step to the last one. " * 3
        (self.docs / f"{name}.md").write_text(f"# All about {name}\n\n{text}\n")

    def golden(self, *pairs: tuple[str, str]) -> None:
        lines = (json.dumps({"query": query, "expected": [expected]}) for query, expected in pairs)
        (self.root / "golden.jsonl").write_text("\n".join(lines))
        self.settings["evaluation"] = {"golden": "golden.jsonl"}

    def run(
        self, partition: str = "docs", before_publishing: Callable[[], None] | None = None, **settings: Any
    ) -> LibraryRun:
        library = {"source": {"type": "files", "path": "docs"}, **self.settings, **settings}
        (self.root / "catalog.yaml").write_text(json.dumps({"libraries": {"docs": library}}))
        catalog = load_catalog(self.root / "catalog.yaml")
        run = LibraryRun.of(
            catalog, partition, home=self.path, warehouse=self.warehouse, index=self.index,
            spool=open_spool(self.path, partition),
        )  # fmt: skip
        run.accept_deletes = True
        changes = ingest(run)
        store(self.warehouse, changes)
        for step in STEPS:
            store(self.warehouse, run_step(run, step))
        if before_publishing is not None:
            before_publishing()
        changes = publish(run)
        run.details["search_index"] = changes.details
        store(self.warehouse, changes)
        run.wanted = generation_of(run).name  # type: ignore[attr-defined]
        return run

    @property
    def used(self) -> str:
        use = self.index.usage("docs")
        assert use is not None
        return use.generation

    def found(self, text: str, generation: str | None = None) -> list[str]:
        with self.index.read("docs", generation) as reader:
            return [hit.payload["title"] for hit in reader.search(IndexQuery(text, None, "keyword"))]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    for name in ("apples", "pears", "plums"):
        home.page(name)
    return home


def state(home: Home) -> str:
    """The name of what is published; it changes with every publication."""
    published = home.index.published("docs")
    assert published is not None
    return published.name


def withheld(run: LibraryRun) -> str:
    (note,) = told(run)
    return note


def test_a_new_dimension_takes_over_and_one_goes_back(home: Home) -> None:
    home.run()
    first = home.used
    run = home.run(**SMALLER)
    assert told(run) == []
    assert "took over" in run.details["search_index"]["took_over"]
    assert home.used != first
    second = home.index.published("docs")
    assert second is not None
    assert (second.generation.dimension, second.points) == (128, 3)
    assert [(one["generation"], one["state"]) for one in describe(home.path, home.index, "docs")] == [
        (home.used, "in use"),
        (first, "kept"),
    ]

    assert go_back(home.path, home.index, "docs") == (second.generation.name, first)
    assert home.used == first
    with pytest.raises(ConfigurationError, match="no former generation"):
        go_back(home.path, home.index, "docs")
    # Runs leave it at that, and say so, until the settings are what they were.
    assert "a person went back" in withheld(home.run(**SMALLER))
    assert home.used == first
    assert told(home.run()) == []
    assert home.used == first
    assert told(home.run(**SMALLER)) == [], "asked for again, it is a new question"
    assert home.used == second.generation.name


def test_a_generation_that_finds_less_does_not_take_over(home: Home) -> None:
    home.golden(("plums", "what one has to know of plums, from the first step to the last one. It tells what"))
    home.run()
    first, before = home.used, state(home)
    run = home.run(**TINY)
    assert home.used == first
    assert state(home) == before
    assert "“plums”" in withheld(run)
    assert "recall@10 1.000 before, 0.000 now" in withheld(run)
    assert withheld(home.run(**TINY)) == withheld(run)
    assert len(read_memory(home.path, "docs").evaluations) == 2, "nothing changed, so nothing was asked again"

    (note,) = [one["note"] for one in describe(home.path, home.index, "docs") if one["state"] == "refused"]
    assert note == withheld(run)
    with pytest.raises(ConfigurationError, match="has no generation"):
        choose(home.path, home.index, "docs", "nobody")
    choose(home.path, home.index, "docs", run.wanted)  # type: ignore[attr-defined]
    assert told(home.run(**TINY)) == []
    assert home.used == run.wanted  # type: ignore[attr-defined]


def test_words_do_not_hide_a_model_that_understands_nothing(home: Home) -> None:
    for name in ("rivers", "violins", "taxes", "volcanoes", "bicycles", "poetry", "chess", "bread", "comets"):
        home.page(name)
    home.run()
    first = home.used

    def break_vectors() -> None:
        with home.warehouse.transaction() as connection:
            connection.execute("UPDATE embeddings SET vector = list_reverse(vector)")

    note = withheld(home.run(before_publishing=break_vectors, **SMALLER))
    assert "nDCG@10 of semantic search alone" in note
    assert "recall" not in note
    assert home.used == first


def test_a_looser_gate_lets_it_pass(home: Home) -> None:
    home.golden(("plums", "what one has to know of plums, from the first step to the last one. It tells what"))
    home.run()
    first = home.used
    assert withheld(home.run(**TINY))
    home.settings["evaluation"]["allowed_loss"] = 1
    assert told(home.run(**TINY)) == []
    assert home.used != first


def test_it_waits_until_it_covers_the_library(home: Home) -> None:
    home.run()
    first = home.used

    def lose_one() -> None:
        with home.warehouse.transaction() as connection:
            connection.execute(
                "UPDATE embeddings SET status = 'failed', vector = NULL "
                "WHERE chunk_id = (SELECT min(chunk_id) FROM embeddings)"
            )

    assert "1 chunks have no vector yet" in withheld(home.run(before_publishing=lose_one, **SMALLER))
    assert home.used == first
    assert sorted(home.found("apples pears plums")) == ["All about apples", "All about pears", "All about plums"]
    with pytest.raises(ConfigurationError, match="does not cover"):
        choose(home.path, home.index, "docs", describe(home.path, home.index, "docs")[1]["generation"])
    assert told(home.run(**SMALLER)) == []
    assert home.used != first


def test_what_was_deleted_is_in_no_generation(home: Home) -> None:
    home.golden(("plums", "what one has to know of plums, from the first step to the last one. It tells what"))
    home.run()
    first = home.used
    home.run(**SMALLER)
    second = home.used
    home.run(**TINY)
    assert home.used == second
    (home.docs / "pears.md").unlink()
    home.page("quinces")
    home.run(**TINY)
    assert home.used == second
    for generation in home.index.generations("docs"):
        assert "All about pears" not in home.found("all about pears", generation)
        assert "All about plums" in home.found("all about plums", generation)
    assert set(home.index.generations("docs")) > {first, second}
    go_back(home.path, home.index, "docs")
    assert "All about pears" not in home.found("all about pears")
    # What lost documents is brought up to date again once the settings ask for it.
    assert told(home.run()) == []
    assert home.used == first
    assert sorted(home.found("apples pears plums quinces")) == [
        "All about apples",
        "All about plums",
        "All about quinces",
    ]


def test_a_kill_at_any_step_of_the_takeover_leaves_one_whole_generation(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.run()
    first = home.used
    for place in ("_remember", "write_memory", "remove_expired"):

        def die(*said: Any, **more: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(generations, place, die)
            with pytest.raises(KeyboardInterrupt):
                home.run(**SMALLER)
        with home.index.read("docs") as reader:
            assert reader.count() == 3
            assert reader.generation.dimension == (256 if home.used == first else 128)
    assert told(home.run(**SMALLER)) == []
    assert home.used != first
    assert home.warehouse.path.exists()


def test_a_kept_generation_goes_after_its_time(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.run()
    first = home.used
    home.run(**SMALLER)
    assert first in home.index.generations("docs")
    later = kept_generations.now() + dt.timedelta(days=7, minutes=1)
    monkeypatch.setattr(kept_generations, "now", lambda: later)
    home.run(**SMALLER)
    assert list(home.index.generations("docs")) == [home.used]
    with pytest.raises(ConfigurationError, match="grace_days"):
        go_back(home.path, home.index, "docs")


def test_one_that_never_came_into_use_goes_with_the_next(home: Home) -> None:
    home.golden(("plums", "what one has to know of plums, from the first step to the last one. It tells what"))
    home.run()
    home.run(**TINY)
    home.run(chunking={"max_tokens": 17})
    assert len(home.index.generations("docs")) == 2


def test_buckets_take_over_together(home: Home) -> None:
    parts, settings = ["docs.000", "docs.001"], {"buckets": 2}
    for part in parts:
        home.run(part, **settings)
    first = home.used
    assert told(home.run(parts[0], **settings, **SMALLER)) == []
    assert home.used == first
    assert {p: one.generation.name for p, one in home.index.in_use("docs").items()} == dict.fromkeys(parts, first)
    home.run(parts[1], **settings, **SMALLER)
    assert home.used != first
    assert {p: one.generation.dimension for p, one in home.index.in_use("docs").items()} == dict.fromkeys(parts, 128)


def test_golden_queries_are_asked_again_when_something_changed(home: Home) -> None:
    home.golden(("plums", "docs/plums.md"), ("quinces", "docs/quinces.md"))
    run = home.run()
    assert run.details["search_index"]["evaluation"]["recall"] == 0.5
    assert "evaluation" not in home.run().details["search_index"]
    home.page("quinces")
    run = home.run()
    assert run.details["search_index"]["evaluation"]["recall"] == 1
    changes = report(run)
    assert changes.details["headline"]["recall_at_k"] == 1
    store(home.warehouse, changes)
    with home.warehouse.reading() as connection:
        ((metrics,),) = connection.execute("SELECT metrics FROM quality_reports").fetchall()
    assert [one["recall"] for one in json.loads(metrics)["evaluations"]] == [0.5, 1]


def test_measuring_by_hand(home: Home) -> None:
    run = home.run()

    def by_hand(**said: Any) -> dict[str, Any]:
        return measure(
            "docs", load_catalog(home.root / "catalog.yaml"), home=home.path, warehouse=home.warehouse, index=home.index, **said
        )  # fmt: skip

    told = by_hand()
    assert (told["questions"]["kind"], told["questions"]["count"], told["passed"]) == ("headings", 3, True)
    assert told["generations"][0]["recall"] == 1
    assert [one["generation"] for one in read_memory(home.path, "docs").evaluations] == [run.wanted]  # type: ignore[attr-defined]
    golden = home.root / "mine.jsonl"
    golden.write_text('{"query": "nothing of the kind", "expected": ["docs/nowhere.md"]}')
    told = by_hand(golden=golden, k=3)
    assert (told["questions"]["k"], told["not_found"]) == (3, ["nothing of the kind"])
    assert len(read_memory(home.path, "docs").evaluations) == 1
    golden.write_text("nothing")
    with pytest.raises(ConfigurationError, match="line 1"):
        by_hand(golden=golden)


def test_points_carry_where_and_by_whom(home: Home) -> None:
    home.run()
    with home.index.read("docs") as reader:
        (hit, *_) = reader.search(IndexQuery("plums", None, "keyword"))
    assert {"first_page", "last_page", "role", "said_at", "date"} <= set(hit.payload)


def test_points_carry_when_their_document_is_dated_and_follow_it(home: Home) -> None:
    def dated(**between: str) -> set[str]:
        with home.index.read("docs") as reader:
            return {hit.payload["title"] for hit in reader.search(IndexQuery("know", None, "keyword", **between))}  # type: ignore[arg-type]

    page = home.docs / "plums.md"
    page.write_text("---\ntitle: Plums\ndate: 2026-03-01\n---\n# Plums\n\n" + "What one has to know of plums. " * 9)
    home.run()
    assert dated(since="2026-03-01T00:00:00+00:00") == {"Plums"}
    page.write_text(page.read_text().replace("2026-03-01", "2024-03-01"))
    home.run()
    assert dated(since="2026-03-01T00:00:00+00:00") == set()
    assert dated(until="2024-03-02T00:00:00+00:00") == {"Plums"}
