"""The DuckDB of this process: made once, with a warehouse's file attached while somebody uses it.

What belongs here: instances and files of DuckDB. What does not: whose turn it is, and what the tables are (`store`).

To make an instance takes 12 ms (DuckDB 2.0), to attach a file to one takes 0.7, and a run opens some 26 connections. A file that
is detached is as closed as any: its write-ahead log is folded in, and other processes may open it. As with DuckDB's own
connections, all that use a file in one process at the same time share one instance, since the locks of POSIX belong to the
process: to close the file once would unlock it for all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import duckdb

NAME: Final = "warehouse"
"""What an attached file is called in SQL; nobody needs to say it."""


@dataclass(slots=True)
class _Instance:
    root: duckdb.DuckDBPyConnection
    spill: Path
    pid: int = field(default_factory=os.getpid)
    users: int = 0


_lock = threading.Lock()
_busy: dict[tuple[str, bool], _Instance] = {}
_idle: list[_Instance] = []


@contextmanager
def attached(
    path: Path | None, *, read_only: bool, memory_limit: str, spill: Path
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection to a file for the length of the block.

    Args:
        path: The file, made when it is written first; None for an empty one in memory.
        read_only: Whether it is only read.
        memory_limit: What the engine may use before it spills, in DuckDB's words.
        spill: The folder that it spills to.

    Raises:
        duckdb.Error: The file cannot be opened.
    """
    key = (f"memory {threading.get_ident()}" if path is None else str(path), read_only)
    instance, connection = _taken(key, memory_limit, spill)
    try:
        connection.execute(f"USE {NAME}")
        yield connection
    finally:
        connection.close()
        _given_back(key, instance)


def _taken(key: tuple[str, bool], memory_limit: str, spill: Path) -> tuple[_Instance, duckdb.DuckDBPyConnection]:
    with _lock:
        instance = _busy.get(key)
        if instance is None or instance.pid != os.getpid():
            instance = _free(spill)
            file = ":memory:" if key[0].startswith("memory ") else key[0].replace("'", "''")
            mode = "" if file == ":memory:" else f" ({'READ_ONLY' if key[1] else 'READ_WRITE'})"
            try:
                # Whoever had it before may have wanted more, for a while.
                instance.root.execute(f"SET memory_limit = '{memory_limit}'; SET disabled_optimizers = ''")
                instance.root.execute(f"ATTACH '{file}' AS {NAME}{mode}")
            except BaseException:
                _put_away(instance)
                raise
            _busy[key] = instance
        instance.users += 1
        return instance, instance.root.cursor()


def _given_back(key: tuple[str, bool], instance: _Instance) -> None:
    import duckdb

    with _lock:
        instance.users -= 1
        if instance.users:
            return
        if _busy.get(key) is instance:
            del _busy[key]
        try:
            instance.root.execute(f"DETACH {NAME}")
        except duckdb.Error:
            # To close it closes the file too; what could not be folded in is in the write-ahead log.
            instance.root.close()
            return
        _put_away(instance)


def _free(spill: Path) -> _Instance:
    """Give an instance that nobody uses; one of this process, not of that which it was forked from."""
    for instance in list(_idle):
        _idle.remove(instance)
        if instance.pid == os.getpid():
            if instance.spill == spill:
                return instance
            instance.root.close()
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 2,
        "temp_directory": str(spill),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": False,
    }
    return _Instance(duckdb.connect(":memory:", config=config), spill)


def _put_away(instance: _Instance) -> None:
    """Keep one for whoever is next; not one that has spilled, which removes what it spilled only when it is closed."""
    if _idle or instance.spill.exists():
        instance.root.close()
    else:
        _idle.append(instance)
