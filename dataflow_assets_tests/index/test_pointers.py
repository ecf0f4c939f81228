"""What is remembered of the pointer files is never older than they are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dataflow_assets.index.base import Generation, Publication
from dataflow_assets.index.pointers import TICK_NS, Pointers


def published(name: str, partition: str = "docs") -> dict[str, Publication]:
    return {"first": Publication(Generation(partition, "first", 4), 1, name)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for partition in ("docs", "docs.000", "docs-more"):
        (tmp_path / partition).mkdir()
    return tmp_path


def age(folder: Path) -> None:
    """Make everything so old that it is remembered."""
    past = time.time_ns() - 10 * TICK_NS
    for path in (*folder.rglob("*"), folder):
        os.utime(path, ns=(past, past))


def test_each_change_is_seen_at_once_however_fast_they_follow(folder: Path) -> None:
    writer, reader = Pointers(folder), Pointers(folder)
    for number in range(200):
        writer.put("docs", published(f"{number:03}"))
        if number == 100:
            age(folder)
        assert reader.in_use("docs")["docs"].name == f"{number:03}"


def test_what_did_not_change_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Pointers(folder).put("docs", published("one"))
    age(folder)
    reader = Pointers(folder)
    before = reader.in_use("docs")
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path.name} is read again"))
    assert reader.in_use("docs") == before
    assert reader.partitions() == ["docs"]


def test_partitions_come_and_go(folder: Path) -> None:
    writer, reader = Pointers(folder), Pointers(folder)
    assert reader.partitions() == []
    writer.put("docs", published("one"))
    writer.put("docs-more", published("two", "docs-more"))
    age(folder)
    assert reader.partitions() == ["docs", "docs-more"]
    assert reader.partitions_of("docs") == ["docs"]
    writer.put("docs.000", published("three", "docs.000"))
    assert reader.partitions_of("docs") == ["docs", "docs.000"]
    (folder / "docs" / "published.json").unlink()
    assert reader.partitions() == ["docs-more", "docs.000"]
    assert Pointers(folder / "nowhere").partitions() == []


def test_what_was_given_can_be_changed_without_harm(folder: Path) -> None:
    reader = Pointers(folder)
    reader.put("docs", published("one"))
    age(folder)
    reader.generations("docs").clear()
    assert reader.generations("docs") == published("one")
