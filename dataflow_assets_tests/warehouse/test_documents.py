from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_assets.errors import DocumentMissing, WarehouseError
from dataflow_assets.warehouse.documents import DocumentStore


@pytest.fixture
def store(tmp_path: Path) -> DocumentStore:
    return DocumentStore(tmp_path / "documents")


def put(store: DocumentStore, *contents: bytes) -> list[str]:
    with store.writing():
        return [store.put(content) for content in contents]


def blobs(store: DocumentStore) -> list[Path]:
    return sorted(path for path in store._folder.rglob("*") if path.is_file() and path.name != "lock")


CONTENTS = [
    b"",
    b"x",
    b"\0" * 20_000_000,
    bytes(range(256)) * 1000,
    b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256)) * 40,
]


@pytest.mark.parametrize("content", CONTENTS, ids=len)
def test_what_was_put_comes_back(store: DocumentStore, content: bytes) -> None:
    (found,) = put(store, content)
    assert found == hashlib.sha256(content).hexdigest()
    assert store.has(found)
    assert store.get(found) == content


@settings(max_examples=30, deadline=None)
@given(contents=st.lists(st.binary(max_size=2000), max_size=10))
def test_identical_bytes_lie_once(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
    store = DocumentStore(tmp_path_factory.mktemp("documents"))
    hashes = put(store, *contents, *contents)
    assert len(blobs(store)) == len(set(contents))
    assert [store.get(found) for found in hashes] == contents * 2


def test_bytes_that_are_not_there(store: DocumentStore) -> None:
    missing = "0" * 64
    assert not store.has(missing)
    with pytest.raises(DocumentMissing, match=f"{missing}.*fetched again"):
        store.get(missing)
    with pytest.raises(ValueError, match="SHA-256"):
        store.get("../../etc/passwd")


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "foreign", "huge size"])
def test_damaged_bytes_are_noticed_and_can_be_put_again(store: DocumentStore, damage: str) -> None:
    content = b"some words that can be compressed, " * 100
    (found,) = put(store, content)
    (path,) = blobs(store)
    frame = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "cut": frame[:-5],
            "flipped": frame[:20] + bytes([frame[20] ^ 255]) + frame[21:],
            "foreign": b"not a frame at all",
            "huge size": frame[:4] + b"\xe0" + (1 << 50).to_bytes(8, "little") + frame[7:],
        }[damage]
    )
    with pytest.raises(DocumentMissing, match=r"damaged.*fetched again"):
        store.get(found)
    assert put(store, content) == [found]
    assert store.get(found) == content


def test_a_sweep_removes_what_nothing_names_and_nothing_else(store: DocumentStore) -> None:
    kept, swept = put(store, b"kept", b"swept")
    (store._folder / kept[:2] / ".tmp-1-2-3").write_bytes(b"left by a killed process")
    (store._folder / "note.txt").write_text("a person's")
    assert store.sweep(lambda: [kept]) == 1
    assert store.get(kept) == b"kept"
    assert not store.has(swept)
    assert {path.name for path in blobs(store)} == {kept[2:], "note.txt"}
    assert store.sweep(lambda: {kept}) == 0


def test_a_sweep_of_a_store_that_was_never_used_makes_nothing(store: DocumentStore) -> None:
    assert store.sweep(list) == 0
    assert not store._folder.exists()


def test_a_sweep_does_nothing_while_anybody_writes(store: DocumentStore) -> None:
    other = DocumentStore(store._folder)
    asked = []
    with other.writing():
        with store.writing(), store.writing():
            found = store.put(b"not yet named")
        assert store.sweep(lambda: asked.append(1) or []) is None
    assert store.has(found)
    assert asked == []
    assert store.sweep(list) == 1


def test_the_names_are_asked_for_when_nobody_can_put_any_more(store: DocumentStore) -> None:
    put(store, b"old")
    entered = threading.Event()

    def write() -> None:
        with DocumentStore(store._folder).writing():
            entered.set()

    writer = threading.Thread(target=write)

    def keep() -> list[str]:
        writer.start()
        assert not entered.wait(0.1)
        return []

    assert store.sweep(keep) == 1
    writer.join(10)
    assert entered.is_set()


def test_a_put_outside_of_writing_is_a_mistake(store: DocumentStore) -> None:
    with pytest.raises(RuntimeError, match="writing"):
        store.put(b"x")


def test_a_sweep_that_fails_lets_go_of_the_lock(store: DocumentStore) -> None:
    put(store, b"x")
    with pytest.raises(ZeroDivisionError):
        store.sweep(lambda: [str(1 // 0)])
    assert store.sweep(list) == 1


def test_a_store_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "documents").write_text("a file in its place")
    with pytest.raises(WarehouseError, match="DATAFLOW_HOME"), DocumentStore(tmp_path / "documents").writing():
        pass


def test_many_threads_put_the_same_bytes(store: DocumentStore) -> None:
    contents = [bytes([n % 7]) * 1000 for n in range(200)]
    failures: list[BaseException] = []

    def work() -> None:
        try:
            put(store, *contents)
        except BaseException as error:  # a thread's exception would be lost
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(blobs(store)) == 7


def test_a_killed_process_leaves_nothing_half_and_no_lock(store: DocumentStore) -> None:
    program = (
        "import sys; from pathlib import Path; from dataflow_assets.warehouse.documents import DocumentStore\n"
        "store = DocumentStore(Path(sys.argv[1]))\n"
        "with store.writing():\n"
        "    n = 0\n"
        "    while True:\n"
        "        n += 1; store.put(str(n).encode() * 5000)\n"
        "        if n == 50: print('going', flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(store._folder)], stdout=subprocess.PIPE, start_new_session=True
    )
    assert child.stdout is not None
    with child.stdout:
        child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    whole = [path for path in blobs(store) if not path.name.startswith(".tmp-")]
    assert len(whole) >= 50
    for path in whole:
        store.get(path.parent.name + path.name)
    assert store.sweep(list) == len(whole)
    assert blobs(store) == []
