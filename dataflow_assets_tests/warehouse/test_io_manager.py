"""People's own assets beside the product's."""

from collections.abc import Callable

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest
from dagster_duckdb import DuckDBResource

from dataflow_assets.definitions import build_defs
from dataflow_assets.errors import WarehouseError
from dataflow_assets.partitions import library_partitions
from dataflow_assets.resources import Workspace
from dataflow_assets.warehouse.io_manager import replace_rows
from dataflow_assets.warehouse.store import Warehouse
from dataflow_assets_tests.conftest import Project


def test_own_assets_take_and_give_frames(project: Project, pages: Callable[..., None]) -> None:
    pages("apples", "pears")
    project.run()

    @dg.asset(partitions_def=library_partitions, io_manager_key="warehouse_io")
    def long_chunks(chunks: pd.DataFrame) -> pd.DataFrame:
        return chunks[["chunk_id", "token_count"]]

    @dg.asset(partitions_def=library_partitions, io_manager_key="warehouse_io")
    def counted(context: dg.AssetExecutionContext, long_chunks: pa.Table, duckdb: DuckDBResource) -> None:
        with duckdb.get_connection() as connection:
            connection.execute("CREATE OR REPLACE TABLE counted AS SELECT ? AS n", [long_chunks.num_rows])

    defs = build_defs(workspace=Workspace(home=str(project.home), catalog=str(project.catalog_path)))
    resources = defs.resources
    assert resources is not None
    own = [a for a in defs.assets or () if isinstance(a, dg.AssetsDefinition)]
    for _ in range(2):
        assert dg.materialize(
            [*own, long_chunks, counted], selection=[long_chunks, counted], instance=project.instance, partition_key="docs",
            resources=resources, run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        ).success  # fmt: skip
    assert project.rows("SELECT count(*), min(partition_key) FROM long_chunks") == [(2, "docs")]
    assert project.rows("SELECT n FROM counted") == [(2,)]


def test_a_frame_that_cannot_be_stored_leaves_the_rows(project: Project) -> None:
    warehouse = Warehouse(project.home)
    replace_rows(warehouse, "mine", "docs", pd.DataFrame({"n": [1, 2]}))
    with pytest.raises(Exception, match=r"(?i)conver|cast"):
        replace_rows(warehouse, "mine", "docs", pd.DataFrame({"n": ["no number"]}))
    assert project.rows("SELECT n FROM mine ORDER BY 1") == [(1,), (2,)]
    replace_rows(warehouse, "mine", "other", pd.DataFrame({"n": [9]}))
    replace_rows(warehouse, "mine", "docs", pd.DataFrame({"n": pd.Series([], dtype="int64")}))
    assert project.rows("SELECT n FROM mine") == [(9,)]
    with pytest.raises(WarehouseError, match="belongs"):
        replace_rows(warehouse, "chunks", "docs", pd.DataFrame({"n": [1]}))
