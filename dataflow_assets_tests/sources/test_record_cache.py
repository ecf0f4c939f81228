from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import SourceUnavailable
from dataflow_assets.sources.record_cache import RecordCache


def test_a_content_is_found_under_its_key_and_fingerprint_also_later(tmp_path: Path) -> None:
    cache = RecordCache(tmp_path / "new" / "folder")
    cache.put("a", "1", b"one", media_type="text/plain")
    cache.put("a", "2", b"two")
    cache.close()
    again = RecordCache(tmp_path / "new" / "folder")
    assert again.get("a", "1") == (b"one", "text/plain")
    assert again.get("a", "2") == (b"two", None)
    assert again.get("a", "3") is None
    assert again.get("a", None) is None


def test_looking_makes_nothing(tmp_path: Path) -> None:
    cache = RecordCache(tmp_path / "folder")
    assert cache.get("a", "1") is None
    assert cache.fact("a") is None
    cache.drop_contents()
    cache.close()
    assert not (tmp_path / "folder").exists()


def test_contents_go_and_facts_stay(tmp_path: Path) -> None:
    cache = RecordCache(tmp_path)
    cache.put("a", "1", b"one")
    cache.set_fact("at:x", {"cursor": "2026"})
    cache.set_fact("at:y", 2)
    cache.set_fact("other", 3)
    assert RecordCache(tmp_path).fact("other") is None
    cache.commit()
    assert RecordCache(tmp_path).get("a", "1") == (b"one", None)
    assert RecordCache(tmp_path).fact("other") == 3
    cache.settle()
    assert cache.get("a", "1") is None
    assert cache.facts("at:") == {"x": {"cursor": "2026"}, "y": 2}
    cache.set_fact("at:y", None)
    assert cache.facts("at:") == {"x": {"cursor": "2026"}}


@pytest.mark.parametrize("damage", [b"", b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, damage: bytes) -> None:
    cache = RecordCache(tmp_path)
    cache.put("a", "1", b"one")
    cache.close()
    (tmp_path / "records.sqlite").write_bytes(damage)
    again = RecordCache(tmp_path)
    assert again.get("a", "1") is None
    again.put("a", "1", b"new")
    assert again.get("a", "1") == (b"new", None)


def test_damage_that_python_cannot_even_tell_of(tmp_path: Path) -> None:
    """SQLite quotes the damaged schema in its message, and Python fails to decode that."""
    cache = RecordCache(tmp_path)
    cache.put("a", "1", b"one")
    cache.close()
    path = tmp_path / "records.sqlite"
    whole = path.read_bytes()
    damaged = whole.replace(b"contentscontents", b"\x80ontentscontents").replace(b"CREATE TABLE c", b"CREATE TABLE (")
    assert sum(one != other for one, other in zip(whole, damaged, strict=True)) == 2
    path.write_bytes(damaged)
    again = RecordCache(tmp_path)
    assert again.get("a", "1") is None
    again.put("a", "1", b"new")
    again.close()
    assert RecordCache(tmp_path).get("a", "1") == (b"new", None)


@given(st.data())
def test_no_damage_gives_wrong_bytes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("cache")
    cache = RecordCache(folder)
    for number in range(20):
        cache.put(str(number), "1", str(number).encode() * 300)
    cache.close()
    path = folder / "records.sqlite"
    whole = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(whole) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=200))
    whole[start : start + len(noise)] = noise
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    again = RecordCache(folder)
    for number in range(20):
        found = again.get(str(number), "1")
        assert found is None or found[0] == str(number).encode() * 300


def test_a_kill_leaves_what_was_committed(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from dataflow_assets.sources.record_cache import RecordCache\n"
        "cache = RecordCache(pathlib.Path(sys.argv[1])); cache.put('a', '1', b'one'); cache.commit()\n"
        "cache.put('b', '1', b'two'); print('ready', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    cache = RecordCache(tmp_path)
    assert cache.get("a", "1") == (b"one", None)
    assert cache.get("b", "1") is None


def test_many_threads_share_it(tmp_path: Path) -> None:
    cache = RecordCache(tmp_path)

    def work(name: str) -> None:
        for number in range(50):
            cache.put(f"{name}{number}", "1", name.encode())
            assert cache.get(f"{name}{number}", "1") == (name.encode(), None)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(cache.get(f"{name}49", "1") == (name.encode(), None) for name in "abcd")


def test_a_source_that_waits_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    one, other = RecordCache(tmp_path), RecordCache(tmp_path)
    for number in range(60):  # more than is held in memory
        one.put(str(number), "1", os.urandom(100_000))
    other.put("x", "1", b"y")
    other.commit()
    assert one.get("x", "1") == (b"y", None)
    assert one.get("59", "1") is not None


def test_dropped_contents_give_their_space_back(tmp_path: Path) -> None:
    cache = RecordCache(tmp_path)
    for number in range(20):
        cache.put(str(number), "1", os.urandom(100_000))
    cache.commit()
    assert (tmp_path / "records.sqlite").stat().st_size > 2_000_000
    cache.drop_contents()
    assert (tmp_path / "records.sqlite").stat().st_size < 100_000


def test_what_cannot_be_settled_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = RecordCache(tmp_path / "file")
    cache.put("a", "1", b"one")
    cache.set_fact("b", 1)
    cache.settle()
    assert cache.get("a", "1") is None


def test_odd_keys_are_keys(tmp_path: Path) -> None:
    cache = RecordCache(tmp_path)
    cache.put("\ud800 %_", "1", b"x")
    cache.set_fact("%_\ud800", 1)
    assert cache.get("\ud800 %_", "1") == (b"x", None)
    assert cache.facts("%_") == {"\\ud800": 1}


def test_a_folder_that_cannot_be_used_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SourceUnavailable, match=r"records\.sqlite .* cannot be used"):
        cache = RecordCache(tmp_path / "file")
        cache.put("a", "1", b"one")
        cache.commit()
