"""How the libraries stand: rows, points, freshness, last run, cost; from the warehouse and the home alone."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from dataflow_assets.catalog import Catalog
from dataflow_assets.flow.forget import partitions_of
from dataflow_assets.flow.state import read_state
from dataflow_assets.home import open_index
from dataflow_assets.warehouse.store import Warehouse

TABLES = (
    "raw_documents",
    "validated_documents",
    "chunks",
    "corrections",
    "embeddings",
    "search_index",
    "quality_reports",
)


def library_states(catalog: Catalog | None, home: Path) -> dict[str, Any]:
    """Tell how every library stands, those of the catalog first.

    Args:
        catalog: The catalog; None where there is none, and every library counts as retired.
        home: The home.
    """
    warehouse, index = Warehouse(home), open_index(home)
    rows: dict[tuple[str, str], int] = {}
    with warehouse.reading() as connection:
        for table in TABLES:
            for library, count in connection.execute(f"SELECT library, count(*) FROM {table} GROUP BY 1").fetchall():
                rows[library, table] = count
        states = connection.execute("SELECT library, status, count(*) FROM validated_documents GROUP BY ALL").fetchall()
        fresh = dict(
            connection.execute(
                "SELECT library, max(updated_at) FROM (SELECT library, updated_at FROM raw_documents UNION ALL "
                "SELECT library, updated_at FROM search_index) GROUP BY 1"
            ).fetchall()
        )
        costs = dict(connection.execute("SELECT library, sum(cost_usd) FROM model_calls GROUP BY 1").fetchall())
    listed = list(catalog.libraries) if catalog else []
    known = listed + sorted({library for library, _ in rows} - set(listed))
    answer: dict[str, Any] = {}
    for name in known:
        partitions = partitions_of(name, home, index)
        runs = [state for partition in partitions if (state := read_state(home, partition)) is not None]
        last = max(runs, key=lambda state: state.started_at, default=None)
        published = [found for partition in partitions if (found := index.published(partition)) is not None]
        documents = {status: count for library, status, count in states if library == name}
        answer[name] = {
            "retired": name not in listed,
            "rows": {table: rows.get((name, table), 0) for table in TABLES},
            "valid": documents.get("valid", 0),
            "rejected": documents.get("rejected", 0),
            "duplicates": documents.get("duplicate", 0),
            "points": sum(found.points for found in published),
            "fresh_as_of": fresh[name].isoformat(sep=" ", timespec="seconds") if name in fresh else None,
            "last_run": asdict(last) if last else None,
            "cost_usd": float(costs.get(name) or 0.0),
        }
    return {"libraries": answer}


def libraries_in(warehouse: Warehouse) -> set[str]:
    """Name the libraries that have rows."""
    with warehouse.reading() as connection:
        union = " UNION ".join(f"SELECT DISTINCT library FROM {table}" for table in TABLES)
        return {row[0] for row in connection.execute(union).fetchall()}
