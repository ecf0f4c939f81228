"""One instance of DuckDB for a process, and files that are closed as soon as nobody uses them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dataflow_assets.warehouse import engine
from dataflow_assets.warehouse.engine import attached


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    engine._idle.clear()
    yield
    assert not engine._busy
    assert len(engine._idle) <= 1


def use(path: Path | None, *, read_only: bool = False, memory_limit: str = "64MB") -> Any:
    spill = (path.parent if path else Path()) / "spill"
    return attached(path, read_only=read_only, memory_limit=memory_limit, spill=spill)


def others_may_write(path: Path) -> bool:
    code = "import sys, duckdb; duckdb.connect(sys.argv[1])"
    return subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=False).returncode == 0


def test_a_file_that_nobody_uses_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "it's.duckdb"
    with use(path) as connection:
        connection.execute("CREATE TABLE words AS SELECT 'apple' AS word")
        assert not others_may_write(path)
    assert not path.with_name(path.name + ".wal").exists()
    assert others_may_write(path)
    with use(path, read_only=True) as connection:
        assert connection.execute("SELECT word FROM words").fetchall() == [("apple",)]
        assert not others_may_write(path)
        with pytest.raises(duckdb.InvalidInputException):
            connection.execute("DELETE FROM words")
    assert others_may_write(path)


def test_the_instance_is_made_once(tmp_path: Path) -> None:
    made = set()
    for number in range(5):
        with use(tmp_path / f"{number % 2}.duckdb") as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS words (word VARCHAR)")
            made |= {id(instance) for instance in engine._busy.values()}
    assert len(made) == 1


def test_what_an_error_leaves_is_rolled_back_and_let_go(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    with use(path) as connection:
        connection.execute("CREATE TABLE words (word VARCHAR)")
    with pytest.raises(RuntimeError), use(path) as connection:
        connection.begin()
        connection.execute("INSERT INTO words VALUES ('apple')")
        raise RuntimeError
    assert others_may_write(path)
    with use(path, read_only=True) as connection:
        assert connection.execute("SELECT * FROM words").fetchall() == []


def test_a_result_that_somebody_keeps_holds_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    with use(path) as connection:
        connection.execute("CREATE TABLE words AS SELECT * FROM range(100000)")
    with use(path, read_only=True) as connection:
        kept = connection.sql("SELECT * FROM words")
        assert kept.limit(1).fetchall() == [(0,)]
    assert others_may_write(path)


def test_nothing_of_one_use_is_left_for_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    with use(path) as connection:
        connection.execute("CREATE TEMP TABLE words (word VARCHAR)")
        connection.execute("SET memory_limit = '3GB'; SET disabled_optimizers = 'join_order'")
    with use(path) as connection:
        assert connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (0,)
        settings = connection.execute("SELECT current_setting('memory_limit'), current_setting('disabled_optimizers')")
        assert settings.fetchone() == ("61.0 MiB", "")


def test_readers_in_threads_share_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    with use(path) as connection:
        connection.execute("CREATE TABLE words AS SELECT * FROM range(1000)")
    together, counts = threading.Barrier(4), []

    def read() -> None:
        with use(path, read_only=True) as connection:
            together.wait()
            counts.append(connection.execute("SELECT count(*) FROM words").fetchone())
            assert len(engine._busy) == 1
            together.wait()

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [(1000,)] * 4
    assert others_may_write(path)


def test_an_instance_that_spilled_is_closed_with_what_it_spilled(tmp_path: Path) -> None:
    with use(tmp_path / "a.duckdb", memory_limit="40MB") as connection:
        connection.execute("CREATE TEMP TABLE large AS SELECT i, md5(i::VARCHAR) AS text FROM range(2000000) t(i)")
        assert any((tmp_path / "spill").iterdir())
    assert not engine._idle
    assert not (tmp_path / "spill").exists()


def test_in_memory_every_thread_has_its_own() -> None:
    with use(None) as connection:
        connection.execute("CREATE TABLE words (word VARCHAR)")
        seen: list[Any] = []

        def look() -> None:
            with use(None) as other:
                seen.extend(other.execute("SELECT count(*) FROM duckdb_tables()").fetchall())

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert seen == [(0,)]


def test_a_file_that_is_none_leaves_the_instance_usable(tmp_path: Path) -> None:
    (tmp_path / "junk.duckdb").write_bytes(b"junk" * 5000)
    with pytest.raises(duckdb.Error), use(tmp_path / "junk.duckdb"):
        pass
    with use(tmp_path / "a.duckdb") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
