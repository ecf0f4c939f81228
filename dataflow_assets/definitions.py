"""What Dagster loads: `defs`, and `build_defs` for everybody who wants the same with something replaced."""

from __future__ import annotations

from typing import Any

import dagster as dg

from dataflow_assets import automation
from dataflow_assets.assets import (
    chunks,
    corrections,
    embeddings,
    quality_report,
    raw_documents,
    search_index,
    validated_documents,
)
from dataflow_assets.home import home_path
from dataflow_assets.resources import Workspace
from dataflow_assets.warehouse.io_manager import WarehouseIOManager, WarehouseResource

FLOW = (raw_documents, validated_documents, chunks, corrections, embeddings, search_index, quality_report)


def build_defs(**overrides: Any) -> dg.Definitions:
    """Build the definitions.

    Args:
        overrides: Resources to use in place of the default ones: `workspace`, `duckdb`, `warehouse_io`; others are added.
    """
    home = home_path()
    workspace = overrides.get("workspace")
    if isinstance(workspace, Workspace):
        home = workspace.home_folder
    duckdb = WarehouseResource(database=str(home / "warehouse.duckdb"))
    resources: dict[str, Any] = {
        "workspace": Workspace(),
        "duckdb": duckdb,
        "warehouse_io": WarehouseIOManager(duckdb=overrides.get("duckdb", duckdb)),
        **overrides,
    }
    return dg.Definitions(
        assets=dg.load_assets_from_modules(FLOW),
        asset_checks=dg.load_asset_checks_from_modules(FLOW),
        jobs=[automation.refresh_library],
        sensors=[automation.library_changes, automation.batch_results, automation.dead_runs],
        schedules=[automation.nightly_refresh],
        resources=resources,
        executor=dg.in_process_executor,
    )


defs = build_defs()
