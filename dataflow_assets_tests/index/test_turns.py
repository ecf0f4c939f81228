"""Readers of one partition take turns, and a writer waits for them, for a while."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from dataflow_assets.errors import IndexOpening
from dataflow_assets.index import edge as edge_index
from dataflow_assets.index.base import Generation, IndexQuery
from dataflow_assets.index.edge import EdgeIndex
from dataflow_assets.index.page_cache import passing_name
from dataflow_assets.search.readers import Readers
from dataflow_assets_tests.index.test_contract import GENERATION, point


@pytest.fixture
def index(tmp_path: Path) -> EdgeIndex:
    return EdgeIndex(tmp_path)


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn lasts longer than any machine needs for a test; writers are told of it where they wait."""
    monkeypatch.setattr(edge_index, "TURN_SECONDS", 300.0)


@contextmanager
def opening(index: EdgeIndex, folder: Path) -> Iterator[None]:
    """Another process opens the partition at this moment."""
    descriptor = os.open(folder / ".locks" / "docs", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


def publish(index: EdgeIndex, number: int, text: str, generation: Generation = GENERATION) -> None:
    with index.write(generation) as writer:
        writer.upsert([point(number, text)])


def texts(readers: Readers) -> list[str]:
    [opened] = readers.of(["docs"])
    return sorted(hit.payload["text"] for hit in opened.reader.search(IndexQuery("apples", None, "keyword")))


def in_the_background(act: object) -> threading.Thread:
    thread = threading.Thread(target=act)  # type: ignore[arg-type]
    thread.start()
    return thread


def folders(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "docs").iterdir() if path.is_dir()}


def test_who_has_the_former_state_answers_from_it_while_another_opens(index: EdgeIndex, tmp_path: Path) -> None:
    publish(index, 1, "red apples")
    readers = Readers(index)
    assert texts(readers) == ["red apples"]
    writer = in_the_background(lambda: publish(index, 2, "green apples"))
    while len(index.generations("docs")) and index.published("docs").points < 2:  # type: ignore[union-attr]
        time.sleep(0.01)
    with opening(index, tmp_path):
        assert texts(readers) == ["red apples"]
        with pytest.raises(IndexOpening), index.read("docs", wait=False):
            pass
    assert writer.is_alive()  # it waits for the reader of the former state
    assert texts(readers) == ["green apples", "red apples"]
    writer.join()
    assert len(folders(tmp_path)) == 1
    readers.close()


def test_a_turn_does_not_last(index: EdgeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_index, "TURN_SECONDS", 0.01)
    publish(index, 1, "red apples")
    readers = Readers(index)
    texts(readers)
    publish(index, 2, "green apples")  # it does not wait for ever for those who read the former state
    time.sleep(0.02)
    with ExitStack() as stack:
        stack.enter_context(opening(index, tmp_path))
        found: list[list[str]] = []
        question = in_the_background(lambda: found.append(texts(readers)))
        time.sleep(0.05)
        assert not found
    question.join()
    assert found == [["green apples", "red apples"]]
    readers.close()


def test_no_state_of_a_former_generation_is_answered_from(index: EdgeIndex, tmp_path: Path) -> None:
    publish(index, 1, "red apples")
    readers = Readers(index)
    texts(readers)
    publish(index, 2, "green apples", Generation("docs", "second", 4, {"embedding_model": "other"}))
    index.use("docs", "second")
    with ExitStack() as stack:
        stack.enter_context(opening(index, tmp_path))
        found: list[list[str]] = []
        question = in_the_background(lambda: found.append(texts(readers)))
        time.sleep(0.05)
        assert not found
    question.join()
    assert found == [["green apples"]]
    readers.close()


def test_a_killed_reader_holds_nobody_up(index: EdgeIndex, tmp_path: Path) -> None:
    publish(index, 1, "red apples")
    code = (
        "import sys; from pathlib import Path; from dataflow_assets.index.edge import EdgeIndex\n"
        "with EdgeIndex(Path(sys.argv[1])).read('docs'): print('open', flush=True); sys.stdin.read()"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == b"open\n"
    writer = in_the_background(lambda: publish(index, 2, "green apples"))
    reader.kill()
    reader.communicate()
    writer.join()
    assert len(folders(tmp_path)) == 1


def test_what_a_reader_closes_is_left_as_it_was(index: EdgeIndex, tmp_path: Path) -> None:
    publish(index, 1, "red apples")
    [name] = folders(tmp_path)

    def files() -> dict[str, tuple[int, bytes]]:
        found = (path for path in (tmp_path / "docs" / name).rglob("*") if path.is_file())
        return {str(path): (path.stat().st_ino, path.read_bytes()) for path in found}

    with index.read("docs") as reader:
        opened = files()
        assert reader.count() == 1
    del reader
    assert files() == opened
    assert list((tmp_path / ".open").iterdir()) == []


def test_names_that_pass_are_never_the_same_and_leave_nothing(tmp_path: Path) -> None:
    folder, place = tmp_path / "docs" / "state", tmp_path / ".open"
    folder.mkdir(parents=True)
    (folder / "file").write_text("here")
    place.mkdir()
    (place / "docs~left").symlink_to(folder)
    (place / "other~left").symlink_to(folder)
    seen = set()
    for _ in range(3):
        with passing_name(folder, place) as name:
            assert (name / "file").read_text() == "here"
            seen.add(name)
    assert len(seen) == 3
    assert [path.name for path in place.iterdir()] == ["other~left"]


def test_where_folders_have_no_locks_a_writer_waits_as_if_somebody_read(
    index: EdgeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def no_folders(descriptor: int, operation: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EBADF, "Bad file descriptor")
        lock(descriptor, operation)

    monkeypatch.setattr(edge_index, "TURN_SECONDS", 0.05)
    publish(index, 1, "red apples")
    monkeypatch.setattr(fcntl, "flock", no_folders)
    started = time.monotonic()
    publish(index, 2, "green apples")
    assert time.monotonic() - started >= 0.05
    assert len(folders(tmp_path)) == 1
    with index.read("docs") as reader:
        assert reader.count() == 2
