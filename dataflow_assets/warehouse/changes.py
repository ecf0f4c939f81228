"""Change detection: which rows are stale, which are gone, and the one merge that settles both.

Every row carries `input_hash`, a hash of the upstream content that it was made from plus the stage's fingerprint. Upstream
rows that are missing downstream, or stand there with another hash, are stale; downstream rows whose upstream row is no more
are gone. A stage is then only its pure function, its key and its fingerprint.

`updated_at` moves when the content of a row changes, and only then: a settings change that leads to the same result
rewrites hashes and nothing else, and what is further down sees no change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow_assets.records import Record, columns_of
from dataflow_assets.warehouse.store import MEMORY_MB, Warehouse, now

if TYPE_CHECKING:
    import duckdb


SLICE_ROWS = 20_000
"""Rows that are joined at once where one of the tables is wide: 20 MB of text, beside vectors that stream."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The rows that one run works on: a library, or one bucket of it."""

    library: str
    bucket: int | None = None
    buckets: int = 1

    def where(self, table: str = "") -> str:
        """Give the SQL condition that a row of a table with `library` and `document_id` is in the scope."""
        prefix = f"{table}." if table else ""
        condition = f"{prefix}library = {literal(self.library)}"
        if self.bucket is not None and self.buckets > 1:
            condition += f" AND {bucket_sql(prefix + 'document_id', self.buckets)} = {self.bucket}"
        return condition

    def holds(self, document_id: str) -> bool:
        """Say whether a document belongs to the scope's bucket."""
        return self.bucket is None or self.buckets <= 1 or bucket_of(document_id, self.buckets) == self.bucket


def bucket_of(document_id: str, buckets: int) -> int:
    """Assign a document to a bucket by the first 32 bits of its id, which is a hash already."""
    return int(document_id[:8], 16) % buckets


def bucket_sql(column: str, buckets: int) -> str:
    """Say `bucket_of` in SQL."""
    return f"(CAST('0x' || left({column}, 8) AS UBIGINT) % {buckets})"


@dataclass(frozen=True, slots=True)
class Derivation:
    """How the rows of one table follow from the rows above it."""

    record: type[Record]
    """The record of the table that is made."""
    parent: str
    """The column by which rows made belong to a row above: its key, in both."""
    upstream: Callable[[Scope], str]
    """SQL for the rows above: the parent key and every column of `depends_on`, nothing heavy."""
    depends_on: tuple[str, ...]
    """The columns above whose values decide the result."""
    export: str
    """SQL that adds what the stage needs to the rows of `stale` (parent key, `depends_on`, `input_hash`)."""
    widest: str = ""
    """SQL that gives the bytes of the widest row of `export`, where its first table is too wide to be held: it streams, and
    the export is a folder."""
    retry: str = "FALSE"
    """SQL condition on a row made: the same request may succeed now."""

    @property
    def table(self) -> str:
        """The table that is made."""
        return self.record.TABLE


@dataclass(frozen=True, slots=True)
class Pending:
    """What change detection found for one table."""

    stale: int
    gone: int
    rows: int
    """Rows that the table has in the scope."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a merge did, in rows."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed: int = 0


@dataclass(slots=True)
class Changes:
    """What a stage made, in the spool, ready to be merged in one transaction.

    Attributes:
        record: The record of the table.
        scope: The rows that were worked on.
        parent: The column by which rows belong to what was worked on.
        made: Parquet file of the rows made; None where there are none.
        asked: Parquet file with the parent keys that were worked on: their other rows are replaced.
        gone: SQL that gives the parent keys whose rows leave; None if none do.
        failed: Rows whose request may succeed later.
        widest_row: Bytes of the widest row made, where rows are wide.
        settle: Runs inside the transaction, after the merge; gives rows changed besides.
        source: Gives the SQL of the rows made, where another statement should correct them first.
        held: What must stay open until the merge is done, such as the document store's lock.
        after: Runs once the changes are stored.
        finished: Is told the counts once the changes are stored, and ends the stage's measurement.
        details: What a person must know besides.
    """

    record: type[Record]
    scope: Scope
    parent: str
    rows: int
    made: Path | None = None
    asked: Path | None = None
    gone: str | None = None
    failed: int = 0
    widest_row: int = 0
    source: Callable[[duckdb.DuckDBPyConnection, str], str] | None = None
    settle: Callable[[duckdb.DuckDBPyConnection], int] | None = None
    held: ExitStack = field(default_factory=ExitStack)
    after: Callable[[], None] | None = None
    finished: Callable[[Counts], Any] | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> str:
        """The table that changes."""
        return self.record.TABLE

    @property
    def empty(self) -> bool:
        """Whether there is nothing to merge."""
        return self.made is None and self.asked is None and self.gone is None


def store(warehouse: Warehouse, changes: Changes) -> Counts:
    """Merge what a stage made in one transaction, and close what was held for it. Where nothing was made, nothing is opened."""
    try:
        if changes.empty:
            counts = Counts(unchanged=changes.rows, failed=changes.failed)
        else:
            with warehouse.transaction() as connection:
                counts = merge(connection, changes)
    finally:
        changes.held.close()
    if changes.after is not None:
        changes.after()
    return counts


def literal(value: str) -> str:
    """Quote a string for SQL."""
    return "'" + value.replace("'", "''") + "'"


def parquet(path: Path) -> str:
    """Say in SQL: the rows of this Parquet file, or of those in this folder."""
    return f"read_parquet({literal(str(path / '*.parquet' if path.is_dir() else path))})"


def gone_sql(derivation: Derivation, scope: Scope) -> str:
    """Give the SQL of the parent keys whose upstream row is no more."""
    return (
        f"SELECT DISTINCT {derivation.parent} FROM {derivation.table} WHERE {scope.where()} "
        f"AND {derivation.parent} NOT IN (SELECT {derivation.parent} FROM ({derivation.upstream(scope)}))"
    )


def detect(
    connection: duckdb.DuckDBPyConnection,
    derivation: Derivation,
    scope: Scope,
    fingerprint: str,
    export_to: Path | None,
) -> Pending:
    """Find the rows that are stale and gone, and export the stale ones.

    Args:
        connection: Any connection; nothing is written to the tables.
        derivation: How the table is made.
        scope: The rows to look at.
        fingerprint: The stage's.
        export_to: Where the stale rows go as Parquet, with what the stage needs and their new `input_hash`; None only counts.

    Returns:
        How many there are. Nothing is exported where none is stale.
    """
    parent, table = derivation.parent, derivation.table
    said = ", ".join(f"coalesce(CAST(u.{column} AS VARCHAR), '\\0')" for column in derivation.depends_on)
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE stale AS
        WITH upstream AS ({derivation.upstream(scope)}),
        expected AS (
            SELECT u.*, sha256(concat_ws(chr(31), {literal(fingerprint)}, {said})) AS input_hash FROM upstream u
        ),
        made AS (
            SELECT {parent}, min(input_hash) AS low, max(input_hash) AS high, bool_or({derivation.retry}) AS again
            FROM {table} WHERE {scope.where()} GROUP BY {parent}
        )
        SELECT e.* FROM expected e LEFT JOIN made m USING ({parent})
        WHERE m.{parent} IS NULL OR m.low <> e.input_hash OR m.high <> e.input_hash OR m.again
        """
    )
    stale = _count(connection, "stale")
    gone = _count(connection, f"({gone_sql(derivation, scope)})")
    rows = _count(connection, f"(SELECT 1 FROM {table} WHERE {scope.where()})")
    if stale and export_to is not None:
        if derivation.widest:
            _copy_in_slices(connection, derivation, export_to, stale)
        else:
            copy_to_parquet(connection, derivation.export, export_to)
    connection.execute("DROP TABLE stale")
    return Pending(stale=stale, gone=gone, rows=rows)


def copy_to_parquet(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Write the rows of a query to the spool, in small row groups, so that reading them back takes little memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection.execute(f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION lz4, ROW_GROUP_SIZE 2048)")


def _copy_in_slices(connection: duckdb.DuckDBPyConnection, derivation: Derivation, path: Path, rows: int) -> None:
    """Write an export to a folder of Parquet files, for so many stale rows at a time.

    Tables are joined as the query names them: the first streams, the others are held. DuckDB would hold the smallest by its
    number of rows, which may be the one with the vectors, and end out of memory: with 27,300 vectors of 1,024 floats it did.
    """
    found = connection.execute(derivation.widest).fetchone()
    make_room(connection, int(found[0] or 0) if found else 0)
    path.mkdir(parents=True, exist_ok=True)
    connection.execute("CREATE OR REPLACE TEMP TABLE all_stale AS SELECT *, row_number() OVER () AS place FROM stale")
    connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    for start in range(0, rows, SLICE_ROWS):
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE stale AS SELECT * EXCLUDE (place) FROM all_stale "
            f"WHERE place > {start} AND place <= {start + SLICE_ROWS}"
        )
        copy_to_parquet(connection, derivation.export, path / f"{start:09}.parquet")
    connection.execute("SET disabled_optimizers = ''")
    connection.execute("DROP TABLE all_stale")


def make_room(connection: duckdb.DuckDBPyConnection, row_bytes: int) -> None:
    """Let a connection use what wide rows take: each step of a query holds 2,048 of them at once."""
    wanted = 60 + 6 * 2048 * row_bytes // 1_000_000
    if wanted > MEMORY_MB:
        connection.execute(f"SET memory_limit = '{wanted}MB'")


def merge(connection: duckdb.DuckDBPyConnection, changes: Changes) -> Counts:
    """Settle what a stage made, inside the caller's transaction.

    Rows made are inserted or, where they differ, updated; other rows of what was worked on, and rows that are gone, are
    deleted.

    Returns:
        What was done. `unchanged` are the rows of the scope that stand as they stood.
    """
    table, parent, scope = changes.table, changes.parent, changes.scope
    key = changes.record.KEY
    columns = columns_of(changes.record)
    rows_before = _count(connection, f"(SELECT 1 FROM {table} WHERE {scope.where()})")
    new = changed = deleted = 0
    if changes.made is not None:
        source = changes.source(connection, parquet(changes.made)) if changes.source else parquet(changes.made)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW incoming AS SELECT * FROM {source}")
        if changes.widest_row:
            make_room(connection, changes.widest_row)
        if changes.asked is not None:
            deleted += _delete(
                connection,
                f"{table} WHERE {scope.where()} AND {parent} IN (SELECT {parent} FROM {parquet(changes.asked)}) "
                f"AND {key} NOT IN (SELECT {key} FROM incoming)",
            )
        differs = _differ(name for name, column in columns.items() if column.role == "content")
        traces = [name for name, column in columns.items() if column.role == "trace"]
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE verdict AS
            SELECT i.{key}, CASE WHEN t.{key} IS NULL THEN 'new' WHEN {differs} THEN 'changed'
                                 WHEN {_differ(traces)} THEN 'traced' ELSE 'same' END AS verdict
            FROM incoming i LEFT JOIN (SELECT * FROM {table} WHERE {scope.where()}) t USING ({key})
            """
        )
        told = dict(connection.execute("SELECT verdict, count(*) FROM verdict GROUP BY verdict").fetchall())
        new, changed = told.get("new", 0), told.get("changed", 0)
        names = ", ".join(columns)
        if changed:
            connection.execute(
                f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM verdict WHERE verdict = 'changed')"
            )
        if new or changed:
            connection.execute(
                f"INSERT INTO {table} ({names}, updated_at) SELECT {names}, ? FROM incoming "
                f"WHERE {key} IN (SELECT {key} FROM verdict WHERE verdict IN ('new', 'changed'))",
                [now()],
            )
        if told.get("traced"):
            sets = ", ".join(f"{name} = i.{name}" for name in traces)
            connection.execute(
                f"UPDATE {table} SET {sets} FROM (SELECT * FROM incoming "
                f"WHERE {key} IN (SELECT {key} FROM verdict WHERE verdict = 'traced')) i WHERE {table}.{key} = i.{key}"
            )
        connection.execute("DROP VIEW incoming")
        connection.execute("DROP TABLE verdict")
    elif changes.asked is not None:
        asked = f"SELECT {parent} FROM {parquet(changes.asked)}"
        deleted += _delete(connection, f"{table} WHERE {scope.where()} AND {parent} IN ({asked})")
    if changes.gone is not None:
        deleted += _delete(connection, f"{table} WHERE {scope.where()} AND {parent} IN ({changes.gone})")
    if changes.settle is not None:
        changed += changes.settle(connection)
    return Counts(
        new=new,
        changed=changed,
        unchanged=max(0, rows_before - changed - deleted),
        deleted=deleted,
        failed=changes.failed,
    )


def _differ(names: Any) -> str:
    listed: Sequence[str] = list(names)
    if not listed:
        return "FALSE"
    return " OR ".join(f"t.{name} IS DISTINCT FROM i.{name}" for name in listed)


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    found = connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
    return int(found[0]) if found else 0


def _delete(connection: duckdb.DuckDBPyConnection, rest: str) -> int:
    found = connection.execute(f"DELETE FROM {rest}").fetchone()
    return int(found[0]) if found else 0
