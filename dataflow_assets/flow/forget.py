"""Removing a library: every row, every point, every report, and the bytes that nobody else names."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

from dataflow_assets.flow.generation_memory import memory_path
from dataflow_assets.flow.ingest import named_documents
from dataflow_assets.flow.state import forget_state
from dataflow_assets.index.base import SearchIndex
from dataflow_assets.records import RECORDS, ModelCall
from dataflow_assets.warehouse.changes import literal
from dataflow_assets.warehouse.documents import DocumentStore
from dataflow_assets.warehouse.queue import QueueLock
from dataflow_assets.warehouse.store import Warehouse

WAIT_SECONDS = 600.0


def forget(library: str, *, home: Path, warehouse: Warehouse, index: SearchIndex) -> dict[str, int]:
    """Remove a library, waiting for its runs to end. What it cost stays in `model_calls`, which quotes no text.

    Returns:
        Table -> rows removed.
    """
    partitions = partitions_of(library, home, index)
    with ExitStack() as stack:
        for partition in partitions:
            lock = QueueLock(home / "locks" / f"{partition}.lock", WAIT_SECONDS)
            stack.enter_context(lock.hold(exclusive=True))
        removed = {}
        for partition in partitions:
            index.drop(partition)
            forget_state(home, partition)
            shutil.rmtree(home / "spool" / partition, ignore_errors=True)
            shutil.rmtree(home / "sources" / partition, ignore_errors=True)
        shutil.rmtree(home / "sources" / f"{library}~sensor", ignore_errors=True)
        with warehouse.transaction() as connection:
            for record in RECORDS:
                if record is not ModelCall:
                    table = record.TABLE
                    found = connection.execute(f"DELETE FROM {table} WHERE library = {literal(library)}").fetchone()
                    removed[table] = int(found[0]) if found else 0
        memory_path(home, library).unlink(missing_ok=True)
        shutil.rmtree(home / "reports" / library, ignore_errors=True)
        DocumentStore(home / "documents").sweep(lambda: named_documents(warehouse))
    return removed


def partitions_of(library: str, home: Path, index: SearchIndex) -> list[str]:
    """Give every partition of a library that has left something in the home."""
    found = {library}
    found.update(p for p in index.partitions() if p.split(".")[0] == library)
    found.update(path.stem for path in (home / "state").glob(f"{library}.*json") if path.stem.split(".")[0] == library)
    return sorted(found)
