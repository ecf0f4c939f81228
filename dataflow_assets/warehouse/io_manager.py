"""The warehouse as Dagster sees it: the DuckDB resource, and the IO manager that gives assets their input and takes their output.

The stock `dagster-duckdb` manager deletes a partition and then inserts, without a transaction, opens read-write even to
read, and leaks its connection after a failure. This one keeps its ways of use and none of that: people's own assets take
and give data frames and Arrow tables, the product's own give the changes that a stage made, and both are merged in one
transaction, by connections that stand in one queue.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_duckdb import DuckDBResource
from pydantic import Field

from dataflow_assets.catalog import split_partition
from dataflow_assets.errors import WarehouseError
from dataflow_assets.records import RECORDS
from dataflow_assets.warehouse.changes import Changes, Scope, literal, store
from dataflow_assets.warehouse.store import BUSY_SECONDS, Warehouse

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa


class WarehouseResource(DuckDBResource):
    """`DuckDBResource` as people know it, with its connections in the warehouse's queue.

    `get_connection()` writes and waits its turn; keep the block short, for while it lasts nobody else reads or writes.
    """

    database: str = Field(description="The warehouse's file, `warehouse.duckdb` in the home.")
    busy_seconds: float = Field(default=BUSY_SECONDS, description="How long to wait for a turn.")

    @classmethod
    def _is_dagster_maintained(cls) -> bool:
        return False

    @property
    def warehouse(self) -> Warehouse:
        """The tables themselves."""
        return Warehouse(Path(self.database).parent, timeout=self.busy_seconds)

    @contextmanager
    def get_connection(self) -> "Iterator[duckdb.DuckDBPyConnection]":
        """Open the writing connection for the length of the block."""
        with self.warehouse.writing() as connection:
            yield connection


@dataclass(frozen=True, slots=True)
class Rows:
    """A table's rows of one partition, not loaded: a stage asks change detection for those that it needs.

    For a bucket the product's own tables give the rows of its whole library.
    """

    warehouse: Warehouse
    table: str
    partition: str | None

    def _query(self) -> str:
        if self.partition is None:
            return f"SELECT * FROM {quoted(self.table)}"
        if self.table in {record.TABLE for record in RECORDS}:
            condition = Scope(split_partition(self.partition)[0]).where()
        else:
            condition = f"partition_key = {literal(self.partition)}"
        return f"SELECT * FROM {quoted(self.table)} WHERE {condition}"

    def to_arrow(self) -> "pa.Table":
        """Load all rows as an Arrow table."""
        with self.warehouse.reading() as connection:
            return connection.sql(self._query()).to_arrow_table()

    def to_pandas(self) -> "pd.DataFrame":
        """Load all rows as a data frame."""
        with self.warehouse.reading() as connection:
            frame: pd.DataFrame = connection.sql(self._query()).df()
        return frame


class WarehouseIOManager(dg.ConfigurableIOManager):
    """Stores what assets give and loads what they take, by partition, in the warehouse's tables.

    An asset may give `Changes` (merged), a pandas data frame or a `pyarrow.Table` (the partition's rows are replaced), or
    None (nothing is stored). It may take `Rows`, a data frame or a `pyarrow.Table`, as its annotation says.
    """

    duckdb: dg.ResourceDependency[WarehouseResource]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Store an asset's output in one transaction, and attach the numbers to its materialization."""
        if obj is None:
            return
        warehouse = self.duckdb.warehouse
        if isinstance(obj, Changes):
            counts = store(warehouse, obj)
            metadata: dict[str, Any] = {
                "dagster/partition_row_count": counts.unchanged + counts.new + counts.changed,
                "new": counts.new,
                "changed": counts.changed,
                "unchanged": counts.unchanged,
                "deleted": counts.deleted,
                "failed": counts.failed,
                "cost_usd": float(getattr(obj.details.get("asking"), "cost_usd", 0.0)),
            }
            if obj.finished is not None:
                record = obj.finished(counts)
                metadata["seconds"] = round(record.seconds, 3)
                metadata["peak_memory_mb"] = round(record.peak_memory_bytes / 1e6, 1)
            context.add_output_metadata(metadata)
            return
        rows = replace_rows(warehouse, context.asset_key.path[-1], _partition(context), obj)
        context.add_output_metadata({"dagster/partition_row_count": rows})

    def load_input(self, context: dg.InputContext) -> Any:
        """Load an upstream asset's rows as the annotation asks for them."""
        partition = context.asset_partition_key if context.has_asset_partitions else None
        rows = Rows(self.duckdb.warehouse, context.asset_key.path[-1], partition)
        wanted = context.dagster_type.typing_type
        name = f"{getattr(wanted, '__module__', '')}.{getattr(wanted, '__qualname__', '')}"
        if name.startswith("pandas."):
            return rows.to_pandas()
        if name.startswith("pyarrow."):
            return rows.to_arrow()
        return rows


def replace_rows(warehouse: Warehouse, table: str, partition: str | None, rows: Any) -> int:
    """Replace a partition's rows of a table by a data frame or an Arrow table, in one transaction.

    The table is made if it is not there; where there are partitions, with a column `partition_key`. Anything that goes wrong
    leaves the rows as they were.

    Returns:
        The number of rows that the partition has now.

    Raises:
        WarehouseError: The table is one of the product's own.
    """
    if table in {record.TABLE for record in RECORDS}:
        raise WarehouseError(f"The table {table} belongs to dataflow_assets. Give your asset another name.")
    keyed = "" if partition is None else f"{literal(partition)} AS partition_key, "
    select = f"SELECT {keyed}* FROM incoming_rows"
    with warehouse.transaction() as connection:
        connection.register("incoming_rows", rows)
        connection.execute(f"CREATE TABLE IF NOT EXISTS {quoted(table)} AS {select} LIMIT 0")
        condition = "TRUE" if partition is None else f"partition_key = {literal(partition)}"
        connection.execute(f"DELETE FROM {quoted(table)} WHERE {condition}")
        found = connection.execute(f"INSERT INTO {quoted(table)} BY NAME {select}").fetchone()
        connection.unregister("incoming_rows")
    return int(found[0]) if found else 0


def quoted(name: str) -> str:
    """Quote a table's name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _partition(context: dg.OutputContext) -> str | None:
    return context.asset_partition_key if context.has_asset_partitions else None
