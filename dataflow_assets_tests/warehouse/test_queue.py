"""The queue in front of the warehouse, and what holds it up."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from dataflow_assets.errors import WarehouseBusy, WarehouseError
from dataflow_assets.warehouse.queue import QueueLock
from dataflow_assets.warehouse.store import SCHEMA_VERSION, Warehouse


def test_readers_go_in_together_and_a_writer_alone(tmp_path: Path) -> None:
    first, second, third = (QueueLock(tmp_path / "lock", 0.2) for _ in range(3))
    with first.hold(exclusive=False), second.hold(exclusive=False):
        with pytest.raises(WarehouseBusy, match=r"process \d+"), third.hold(exclusive=True):
            pass
    with third.hold(exclusive=True), pytest.raises(WarehouseBusy), first.hold(exclusive=False):
        pass


def test_a_thread_does_not_wait_for_itself(tmp_path: Path) -> None:
    lock = QueueLock(tmp_path / "lock", 5)
    with lock.hold(exclusive=True), pytest.raises(WarehouseError, match="already"), lock.hold(exclusive=True):
        pass


def test_who_waits_gets_in_when_the_holder_leaves(tmp_path: Path) -> None:
    lock, entered = QueueLock(tmp_path / "lock", 30), threading.Event()

    def wait() -> None:
        with lock.hold(exclusive=True):
            entered.set()

    with lock.hold(exclusive=True):
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert not entered.wait(0.05)
    waiter.join(30)
    assert entered.is_set()


def _add(home: Path) -> None:
    for _ in range(5):
        with Warehouse(home).transaction() as connection:
            connection.execute("INSERT INTO warehouse_version VALUES (1, NULL)")


def test_processes_that_write_at_once_all_get_through(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with Warehouse(tmp_path).reading() as connection:
        assert connection.execute("SELECT count(*) FROM warehouse_version").fetchone() == (16,)


def test_another_program_that_holds_the_file_is_named(tmp_path: Path) -> None:
    with Warehouse(tmp_path).writing():
        pass
    code = f"import duckdb, sys; c = duckdb.connect({str(tmp_path / 'warehouse.duckdb')!r}); print('in', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(WarehouseBusy, match=str(other.pid)), Warehouse(tmp_path, timeout=0.2).reading():
            pass
        other.kill()


def test_a_failed_transaction_leaves_the_rows(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    with pytest.raises(RuntimeError), warehouse.transaction() as connection:
        connection.execute("INSERT INTO chunks (library) VALUES ('x')")
        raise RuntimeError
    with warehouse.reading() as connection:
        assert connection.execute("SELECT count(*) FROM chunks").fetchone() == (0,)


def test_a_fresh_home_can_be_read_and_stays_fresh(tmp_path: Path) -> None:
    with Warehouse(tmp_path).reading() as connection:
        assert connection.execute("SELECT count(*) FROM quality_reports").fetchone() == (0,)
    assert not (tmp_path / "warehouse.duckdb").exists()


def test_missing_columns_are_added_and_a_newer_schema_is_refused(tmp_path: Path) -> None:
    with Warehouse(tmp_path).writing():
        pass
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute("ALTER TABLE chunks DROP COLUMN strategy")
    with Warehouse(tmp_path).reading() as reading:
        reading.execute("SELECT strategy FROM chunks")
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute("INSERT INTO warehouse_version VALUES (?, NULL)", [SCHEMA_VERSION + 1])
    with pytest.raises(WarehouseError, match="newer"), Warehouse(tmp_path).reading():
        pass


def test_a_file_that_is_no_warehouse_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "warehouse.duckdb").write_bytes(b"this is no database" * 1000)
    with pytest.raises(WarehouseError, match="cannot be opened"), Warehouse(tmp_path).reading():
        pass
