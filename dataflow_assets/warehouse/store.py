"""The DuckDB file of a home: connections that stand in the queue, and the schema.

A connection is open for milliseconds, and never while a model is asked or a source is read: rows to work on are exported to
the spool, the connection is closed, and what was made of them is merged by another one.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dataflow_assets.errors import WarehouseBusy, WarehouseError
from dataflow_assets.records import RECORDS, columns_of
from dataflow_assets.warehouse.engine import attached
from dataflow_assets.warehouse.queue import QueueLock

if TYPE_CHECKING:
    import duckdb

SCHEMA_VERSION = 2
"""Grows with every change of the tables that is more than a new column; see `MIGRATIONS`."""

MIGRATIONS: dict[int, tuple[str, ...]] = {
    # `source_uri` stands in raw_documents: the two tables could not be joined by the names of their columns.
    2: ("ALTER TABLE validated_documents RENAME COLUMN source_uri TO uri",),
}
"""Version -> the statements that lead to it from the one before. New tables and new columns need none."""

BUSY_SECONDS = 120.0
"""How long a connection waits for its turn. Holds are milliseconds; a merge of 100,000 vectors took 5 seconds."""

MEMORY_MB = 128
"""What DuckDB may use of memory, most of it as a cache, before it spills; more where rows are wide (`changes.make_room`)."""

_CONFLICT = re.compile(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")


class Warehouse:
    """The tables of a home.

    Args:
        home: The folder that holds all state.
        timeout: Seconds to wait for a turn, and for other programs that have the file open.
        memory_limit: What DuckDB may use before it spills to the home's spool, in DuckDB's words.
    """

    def __init__(self, home: Path, *, timeout: float = BUSY_SECONDS, memory_limit: str = f"{MEMORY_MB}MB") -> None:
        self.home = home
        self.path = home / "warehouse.duckdb"
        self._timeout = timeout
        self._memory_limit = memory_limit
        self._queue = QueueLock(home / "locks" / "warehouse.lock", timeout)
        self._spill = home / "spool" / "duckdb"
        self._ready = False

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a read-only connection for the length of the block, beside other readers.

        In a home that has no warehouse yet the connection is to an empty one in memory, with all tables.
        """
        if not self.path.exists():
            with attached(None, read_only=False, memory_limit=self._memory_limit, spill=self._spill) as connection:
                create_tables(connection)
                yield connection
            return
        if not self._ready:
            with self.writing():
                pass  # brings the schema up to date, which only a writer can
        with self._queue.hold(exclusive=False), self._open(read_only=True) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the one writing connection for the length of the block, outside any transaction."""
        self.home.mkdir(parents=True, exist_ok=True)
        with self._queue.hold(exclusive=True), self._open(read_only=False) as connection:
            if not self._ready:
                self._bring_up_to_date(connection)
                self._ready = True
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Write in one transaction: everything in the block is stored, or nothing."""
        with self.writing() as connection:
            connection.begin()
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    @contextmanager
    def _open(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        import duckdb

        deadline = time.monotonic() + self._timeout
        with ExitStack() as stack:
            while True:
                try:
                    opened = stack.enter_context(
                        attached(self.path, read_only=read_only, memory_limit=self._memory_limit, spill=self._spill)
                    )
                    break
                except duckdb.IOException as error:
                    # Our own processes stand in the queue: this is a program that does not, such as a database browser.
                    conflict = _CONFLICT.search(str(error))
                    if "lock" not in str(error).lower():
                        raise WarehouseError(
                            f"The warehouse {self.path} cannot be opened: {_first_line(error)}"
                        ) from error
                    if time.monotonic() > deadline:
                        who = f"{conflict['program']} (process {conflict['pid']})" if conflict else "another program"
                        raise WarehouseBusy(
                            f"The warehouse {self.path.name} was held open by {who} for more than {self._timeout:g} "
                            "seconds. Close it there, and run the command again."
                        ) from error
                    time.sleep(0.05)
                except duckdb.Error as error:
                    raise WarehouseError(f"The warehouse {self.path} cannot be opened: {_first_line(error)}") from error
            yield opened

    def _bring_up_to_date(self, connection: duckdb.DuckDBPyConnection) -> None:
        known = connection.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'warehouse_version'"
        ).fetchone()
        found = (
            connection.execute("SELECT max(version) FROM warehouse_version").fetchone() if known and known[0] else None
        )
        version = int(found[0]) if found and found[0] is not None else 0
        if version > SCHEMA_VERSION:
            raise WarehouseError(
                f"The warehouse {self.path} was written by a newer version of dataflow_assets (schema {version}, this one "
                f"knows {SCHEMA_VERSION}). Upgrade the package."
            )
        if version == SCHEMA_VERSION and not _missing_columns(connection):
            return
        connection.begin()
        try:
            for step in range(version + 1, SCHEMA_VERSION + 1) if version else ():
                for statement in MIGRATIONS.get(step, ()):
                    connection.execute(statement)
            create_schema(connection)
            connection.commit()
        except BaseException:
            connection.rollback()
            raise


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables and columns that are missing."""
    for record in RECORDS:
        columns = {name: column.sql for name, column in columns_of(record).items()} | {"updated_at": "TIMESTAMP"}
        listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        connection.execute(f"CREATE TABLE IF NOT EXISTS {record.TABLE} ({listed})")
    for table, name, kind in _missing_columns(connection):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


def create_schema(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables and columns that are missing, say what each is, and note the version."""
    create_tables(connection)
    for record in RECORDS:
        for name, column in columns_of(record).items():
            said = column.meaning.replace("'", "''")
            connection.execute(f"COMMENT ON COLUMN {record.TABLE}.{name} IS '{said}'")
    connection.execute("CREATE TABLE IF NOT EXISTS warehouse_version (version INTEGER, migrated_at TIMESTAMP)")
    connection.execute(
        "INSERT INTO warehouse_version SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM warehouse_version WHERE version = ?)",
        [SCHEMA_VERSION, now(), SCHEMA_VERSION],
    )


def now() -> dt.datetime:
    """Give the time as the tables hold it: UTC, without a zone."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def _missing_columns(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    there = set(connection.execute("SELECT table_name, column_name FROM duckdb_columns()").fetchall())
    wanted = [(record.TABLE, name, column.sql) for record in RECORDS for name, column in columns_of(record).items()]
    return [(table, name, kind) for table, name, kind in wanted if (table, name) not in there]


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
