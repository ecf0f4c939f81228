"""Which documents stand for which depends on the documents that are there, and on nothing that was there before."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from dataflow_assets.catalog import load_catalog
from dataflow_assets.flow import near_duplicates
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.flow.near_duplicates import settle_duplicates
from dataflow_assets.index.edge import EdgeIndex
from dataflow_assets.records import ReadDocument, ValidatedDocument, identity
from dataflow_assets.settings import ValidationSettings
from dataflow_assets.stages.validate import validate_document
from dataflow_assets.warehouse.changes import Changes, literal, store
from dataflow_assets.warehouse.spool import RowWriter, open_spool, write_keys
from dataflow_assets.warehouse.store import Warehouse

WORDS = """the library is refreshed every night and whatever has changed since then comes back with its corrected text while
rest stays as it was because nobody wants to pay for what was read before""".split()


def prose(seed: int, words: int = 130) -> list[str]:
    chosen = random.Random(seed)
    return [chosen.choice(WORDS) + ("." if place % 12 == 11 else "") for place in range(words)]


def crowd(seed: int = 0) -> dict[str, str]:
    """Pages of one template, each with a subject of its own; some with a nearly equal copy, some with an equal one."""
    chosen, texts = random.Random(seed), {}
    for number in range(14):
        page = prose(seed)
        page[3] = page[70] = f"subject{'abcdefghijklmnop'[number]}"
        texts[f"{chosen.random():.6f}-{number:02}.md"] = " ".join(page)
        if number % 3 == 0:
            page[100] = "indeed"
            texts[f"{chosen.random():.6f}-{number:02}-near.md"] = " ".join(page)
        if number % 5 == 0:
            texts[f"{chosen.random():.6f}-{number:02}-same.md"] = " ".join(page)
    for number in range(4):  # a chain: each is like the next one
        page = prose(seed + 1)
        page[5 * number : 5 * number + 5] = ["somewhat", "different", "words", "stand", "here"]
        texts[f"{chosen.random():.6f}-chain.md"] = " ".join(page)
    return texts


class Shelf:
    """A home in which documents come and go without a source."""

    def __init__(self, root: Path, buckets: int = 1, **settings: object) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        library = {"source": {"type": "files", "path": "."}, "duplicates": settings, "buckets": buckets}
        (root / "catalog.yaml").write_text(json.dumps({"libraries": {"docs": library}}))

    def run_of(self, partition: str = "docs") -> LibraryRun:
        home = self.root / "home"
        return LibraryRun.of(
            load_catalog(self.root / "catalog.yaml"),
            partition,
            home=home,
            warehouse=Warehouse(home),
            index=EdgeIndex(home / "index"),
            spool=open_spool(home, partition),
        )

    def changes(self, put: dict[str, str], take: list[str] = [], partition: str = "docs") -> Changes:  # noqa: B006
        run = self.run_of(partition)
        changes = Changes(record=ValidatedDocument, scope=run.scope, parent="document_id", rows=0)
        with RowWriter(run.spool / "made.parquet", ValidatedDocument) as writer:
            for name, text in put.items():
                if run.scope.holds(identity("docs", name)):
                    read = ReadDocument(name, "other", "en", text, "text")
                    writer.add(
                        validate_document(
                            library="docs", document_id=identity("docs", name), source_uri=name, read=read, failure=None,
                            settings=ValidationSettings(), input_hash=text[:5],
                        )
                    )  # fmt: skip
        changes.made = writer.file
        gone = [identity("docs", name) for name in take]
        if gone:
            write_keys(run.spool / "gone.parquet", "document_id", gone)
            changes.gone = f"SELECT document_id FROM read_parquet({literal(str(run.spool / 'gone.parquet'))})"
        settle_duplicates(run, changes)
        return changes

    def apply(self, put: dict[str, str], take: list[str] = []) -> None:  # noqa: B006
        store(Warehouse(self.root / "home"), self.changes(put, take))

    def verdicts(self) -> list[tuple[object, ...]]:
        with Warehouse(self.root / "home").reading() as connection:
            return connection.execute(
                "SELECT uri, status, reason, duplicate_of FROM validated_documents ORDER BY ALL"
            ).fetchall()


@pytest.mark.parametrize("prefer", ["path", "longest"])
def test_any_history_of_a_library_leads_to_the_same_verdicts(tmp_path: Path, prefer: str) -> None:
    chosen, texts = random.Random(7), crowd()
    fresh = Shelf(tmp_path / "fresh", prefer=prefer)
    fresh.apply(texts)
    expected = fresh.verdicts()
    assert {str(reason)[:6] for _, status, reason, _ in expected if status == "duplicate"} == {"Nearly", "The sa"}
    for history in range(3):
        shelf = Shelf(tmp_path / f"{history}", prefer=prefer)
        there: dict[str, str] = {}
        for _ in range(5):
            put = {name: texts[name] for name in chosen.sample(sorted(texts), 9)}
            put |= {f"other-{n}.md": chosen.choice(list(texts.values())) + " and more." for n in range(3)}
            take = chosen.sample(sorted(there.keys() - put.keys()), min(6, len(there.keys() - put.keys())))
            shelf.apply(put, take)
            there = {name: text for name, text in {**there, **put}.items() if name not in take}
        shelf.apply({}, [name for name in there if name not in texts])
        shelf.apply({name: text for name, text in texts.items() if name not in there})
        assert shelf.verdicts() == expected


def test_a_pair_that_a_third_text_hid_is_found_when_that_one_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataflow_assets.warehouse.duplicates._ALL_PAIRS", 0)
    texts = crowd()
    shelf, fresh = Shelf(tmp_path / "one"), Shelf(tmp_path / "two")
    shelf.apply(texts)
    for name in sorted(texts)[:8]:
        del texts[name]
        shelf.apply({}, [name])
    fresh.apply(texts)
    assert shelf.verdicts() == fresh.verdicts()


def test_buckets_that_store_their_documents_at_the_same_moment_find_each_other(tmp_path: Path) -> None:
    texts = crowd()
    whole = Shelf(tmp_path / "whole")
    whole.apply(texts)
    shelf = Shelf(tmp_path / "buckets", buckets=3)
    waiting = [shelf.changes(texts, partition=f"docs.{bucket:03}") for bucket in range(3)]
    for changes in waiting:
        store(Warehouse(tmp_path / "buckets" / "home"), changes)
    assert shelf.verdicts() == whole.verdicts()


def test_texts_that_do_not_fit_in_memory_together_are_compared_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = crowd()
    ample, narrow = Shelf(tmp_path / "ample"), Shelf(tmp_path / "narrow")
    ample.apply(texts)
    monkeypatch.setattr(near_duplicates, "_PORTION", 3)
    monkeypatch.setattr(near_duplicates, "_PORTION_CHARACTERS", 1500)
    narrow.apply(texts)
    assert narrow.verdicts() == ample.verdicts()


def test_hundreds_of_copies_of_a_page_are_one_and_few_pairs_are_judged(tmp_path: Path) -> None:
    texts = {}
    for number in range(200):
        page = prose(3, 400)
        page[2 * number] = "indeed"
        texts[f"{number:04}.md"] = " ".join(page)
    shelf = Shelf(tmp_path / "home")
    shelf.apply(texts)
    assert [uri for uri, status, _, _ in shelf.verdicts() if status == "valid"] == ["0000.md"]
    with Warehouse(tmp_path / "home" / "home").reading() as connection:
        ((pairs,),) = connection.execute("SELECT count(*) FROM text_pairs").fetchall()
    assert pairs < 200 * 20
