"""A library's life, through Dagster: first run, changes, deletes, kills."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.flow.publish import publish
from dataflow_assets.flow.state import read_state
from dataflow_assets.flow.steps import CHUNKS, CORRECTIONS, EMBEDDINGS, VALIDATED_DOCUMENTS, run_step
from dataflow_assets.warehouse.changes import store
from dataflow_assets.warehouse.spool import open_spool
from dataflow_assets.warehouse.store import Warehouse
from dataflow_assets_tests.conftest import SENTENCE, Project

FLOW = ["raw_documents", "validated_documents", "chunks", "corrections", "embeddings", "search_index"]


def test_a_first_run_makes_every_table_and_the_index(project: Project, pages: Callable[..., None]) -> None:
    pages("apples", "pears")
    told = project.run()
    assert [told[name]["new"] for name in FLOW] == [2] * 6
    assert project.words() == ["apples", "pears"]
    assert all(project.checks.values())
    assert len(project.checks) >= 14
    ((path, indexed),) = project.rows("SELECT report_path, indexed FROM quality_reports")
    assert indexed == 2
    assert (project.home / path).is_file()
    state = read_state(project.home, "docs")
    assert state is not None
    assert state.status == "ok"


def test_a_second_run_touches_nothing(project: Project, pages: Callable[..., None]) -> None:
    pages("apples", "pears")
    project.run()
    before, published = project.tables(), project.index.published("docs")
    reports = project.rows("SELECT * FROM quality_reports")
    told = project.run()
    assert project.tables() == before
    assert project.index.published("docs") == published
    assert project.rows("SELECT * FROM quality_reports") == reports
    assert all(told[name][count] == 0 for name in FLOW for count in ("new", "changed", "deleted", "failed"))


def test_a_new_time_stamp_changes_the_fingerprint_alone(project: Project, pages: Callable[..., None]) -> None:
    pages("apples")
    project.run()
    before = project.tables()
    os.utime(project.docs / "apples.md", (1, 1))
    assert project.run()["raw_documents"]["changed"] == 0
    after = project.tables()
    assert after["validated_documents"] == before["validated_documents"]
    ((*_, stamp),), ((*_, later),) = before["raw_documents"], after["raw_documents"]
    assert stamp == later


def test_an_edit_costs_its_own_document(project: Project, pages: Callable[..., None]) -> None:
    pages("apples", "pears", "plums")
    project.run()
    kept = project.rows("SELECT chunk_id, updated_at FROM embeddings ORDER BY 1")
    ((document,),) = project.rows("SELECT document_id FROM raw_documents WHERE source_uri LIKE '%pears.md'")
    project.page("pears", "quinces")
    told = project.run()
    assert told["raw_documents"]["changed"] == 1
    assert (told["embeddings"]["new"], told["embeddings"]["deleted"]) == (1, 1)
    assert project.words() == ["apples", "plums", "quinces"]
    assert len(set(kept) & set(project.rows("SELECT chunk_id, updated_at FROM embeddings"))) == 2
    assert project.rows("SELECT document_id FROM raw_documents WHERE source_uri LIKE '%pears.md'") == [(document,)]


def test_a_moved_chunk_keeps_its_id_and_its_vector(project: Project) -> None:
    project.catalog({"chunking": {"max_tokens": 64}})
    sections = [f"## Part {n}\n\n" + f"Section {n} explains item {n} at length. " * 5 for n in range(8)]
    project.write("page.md", "\n\n".join(sections))
    project.run()
    vectors = project.rows("SELECT chunk_id, updated_at FROM embeddings")
    project.write("page.md", "\n\n".join(["## New\n\n" + "Something new stands on top. " * 5, *sections]))
    told = project.run()
    again = project.rows("SELECT chunk_id, updated_at FROM embeddings")
    assert len(set(vectors) & set(again)) >= len(vectors) - 1
    assert told["search_index"]["changed"] >= len(vectors) - 1


def test_what_leaves_the_source_leaves_everything(project: Project, pages: Callable[..., None]) -> None:
    pages("apples", "pears")
    project.run()
    (project.docs / "pears.md").unlink()
    told = project.run()
    assert [told[name]["deleted"] for name in FLOW] == [1] * 6
    assert project.words() == ["apples"]
    blobs = [path for path in (project.home / "documents").glob("??/*") if path.is_file()]
    assert len(blobs) == 1


def test_a_large_delete_waits_for_a_person(project: Project, pages: Callable[..., None]) -> None:
    words = [f"word{n}" for n in range(20)]
    pages(*words)
    project.run()
    for word in words[:12]:
        (project.docs / f"{word}.md").unlink()
    project.page("late", "late")
    told = project.run()
    assert told["raw_documents"]["withheld_deletes"] == 12
    assert told["raw_documents"]["new"] == 1
    assert not project.checks["deletes_agreed"]
    assert len(project.words()) == 21
    state = read_state(project.home, "docs")
    assert state is not None
    assert state.status == "incomplete"
    assert "--accept-deletes" in (state.message or "")
    assert project.run(accept_deletes=True)["raw_documents"]["deleted"] == 12
    assert len(project.words()) == 9


@pytest.mark.parametrize("empty", [True, False])
def test_a_source_that_is_gone_deletes_nothing(project: Project, pages: Callable[..., None], empty: bool) -> None:
    pages("apples")
    project.run()
    (project.docs / "apples.md").unlink()
    if not empty:
        project.docs.rmdir()
    project.run()
    assert project.words() == ["apples"]
    assert not project.checks["deletes_agreed" if empty else "source_listed"]


def test_a_duplicate_takes_the_place_of_the_one_that_leaves(project: Project) -> None:
    project.write("a.md", f"This page tells of twins. {SENTENCE}")
    project.write("b.md", f"This page tells of twins. {SENTENCE}")
    project.run()
    ask = "SELECT uri, status FROM validated_documents ORDER BY 1"
    assert project.rows(ask) == [("docs/a.md", "valid"), ("docs/b.md", "duplicate")]
    assert len(project.words()) == 1
    (project.docs / "a.md").unlink()
    project.run()
    assert project.rows(ask) == [("docs/b.md", "valid")]
    assert len(project.words()) == 1


def test_a_setting_rebuilds_what_hangs_on_it(project: Project) -> None:
    project.write(
        "page.md", "\n\n".join(f"Paragraph {n} says something of its own, at some length." * 3 for n in range(30))
    )
    project.run()
    before = project.tables()
    project.catalog({"chunking": {"max_tokens": 100}})
    project.run()
    after = project.tables()
    assert after["raw_documents"] == before["raw_documents"]
    assert after["validated_documents"] == before["validated_documents"]
    assert len(after["chunks"]) > len(before["chunks"])
    project.catalog({"search": {"top_k": 3}})
    project.run()
    assert [row[:-2] for row in project.tables()["chunks"]] == [row[:-2] for row in before["chunks"]]


def test_every_item_has_one_row_with_a_reason(project: Project, pages: Callable[..., None]) -> None:
    project.catalog({"source": {"type": "files", "path": "docs", "max_bytes": 1000}})
    pages("apples")
    project.write("large.md", "x" * 2000)
    project.write("empty.md", "")
    (project.docs / "noise.md").write_bytes(bytes(range(256)) * 3)
    (project.docs / "line\nbreak.md").write_text(f"A name with a line break. {SENTENCE}")
    with open(os.fsencode(project.docs) + b"/bad\xff.md", "w") as file:
        file.write(f"A name that is no Unicode. {SENTENCE}")
    os.mkfifo(project.docs / "pipe.md")
    (project.docs / "broken.md").symlink_to("nowhere.md")
    (project.docs / "loop.md").symlink_to("loop.md")
    (project.docs / "out.md").symlink_to("/etc/hostname")
    project.run()
    states = dict(project.rows("SELECT uri, status FROM validated_documents"))
    assert len(states) == 10
    assert sorted(states.values()).count("valid") == 3
    assert project.rows(
        "SELECT count(*) FROM validated_documents WHERE status <> 'valid' AND coalesce(reason, '') = ''"
    ) == [(0,)]


def test_a_folder_in_the_place_of_a_file(project: Project, pages: Callable[..., None]) -> None:
    pages("apples", "pears")
    project.run()
    (project.docs / "pears.md").unlink()
    project.page("pears.md/inner", "inner")
    project.run()
    assert project.words() == ["apples", "inner"]


def test_buckets_share_a_library_and_find_each_others_duplicates(project: Project) -> None:
    project.catalog({"buckets": 3})
    for n in range(12):
        project.page(f"page{n}", f"word{n}")
    project.write("zz.md", (project.docs / "page0.md").read_text())
    partitions = ["docs.000", "docs.001", "docs.002"]
    for _ in range(2):
        for partition in partitions:
            project.run(partition)
    assert project.index.partitions() == partitions
    assert sum(found.points for p in partitions if (found := project.index.published(p))) == 12
    assert project.rows("SELECT count(*) FROM chunks") == [(12,)]
    assert project.rows("SELECT uri FROM validated_documents WHERE status = 'duplicate'") == [("docs/zz.md",)]
    project.catalog({})
    project.run()
    assert project.index.partitions() == ["docs"]
    assert len(project.words()) == 12


def test_a_kill_between_index_and_table_leaves_no_ghost(project: Project, pages: Callable[..., None]) -> None:
    pages("apples", "pears")
    project.run()
    project.page("apples", "ghosts")
    run = LibraryRun.of(
        project.load(), "docs", home=project.home, warehouse=Warehouse(project.home), index=project.index,
        spool=open_spool(project.home, "docs"),
    )  # fmt: skip
    from dataflow_assets.flow.ingest import ingest

    store(run.warehouse, ingest(run))
    for step in (VALIDATED_DOCUMENTS, CHUNKS, CORRECTIONS, EMBEDDINGS):
        store(run.warehouse, run_step(run, step))
    publish(run)  # and never stored: killed
    assert project.words() == ["ghosts", "pears"]
    project.page("apples", "quinces")
    project.run()
    assert project.words() == ["pears", "quinces"]
    published = project.index.published("docs")
    assert published is not None
    assert published.points == 2
    before = project.tables()
    project.run()
    assert project.tables() == before


def test_a_kill_after_publishing_only_brings_the_table_up(project: Project, pages: Callable[..., None]) -> None:
    pages("apples")
    project.run()
    published = project.index.published("docs")
    with Warehouse(project.home).transaction() as connection:
        connection.execute("DELETE FROM search_index")
    assert project.run()["search_index"]["new"] == 1
    assert project.index.published("docs") == published


def test_an_index_that_somebody_removed_is_built_anew(project: Project, pages: Callable[..., None]) -> None:
    pages("apples", "pears")
    project.run()
    published = project.index.published("docs")
    assert published is not None
    shutil.rmtree(project.home / "index" / "docs" / published.name)
    embedded = project.rows("SELECT * FROM embeddings")
    project.run()
    assert project.words() == ["apples", "pears"]
    assert project.rows("SELECT * FROM embeddings") == embedded


def test_lost_bytes_are_fetched_again(project: Project, pages: Callable[..., None]) -> None:
    pages("apples", "pears")
    project.run()
    for path in (project.home / "documents").glob("??/*"):
        path.unlink()
    project.catalog({"validation": {"min_characters": 50}})
    assert project.run()["validated_documents"]["failed"] == 2
    assert project.run()["validated_documents"]["failed"] == 0
    assert project.words() == ["apples", "pears"]
