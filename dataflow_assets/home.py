"""Where state lies: the home, the catalog and Dagster's instance, found from the environment.

The home holds everything that is not the sources: `warehouse.duckdb`, `documents/` (fetched bytes), `index/`, `reports/`,
`dagster/`, `locks/`, and `spool/`, which is empty while nothing runs.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataflow_assets.index.base import SearchIndex

INSTANCE_SETTINGS = """\
# Written once by dataflow; yours to change. See https://docs.dagster.io/deployment/oss/dagster-yaml
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 4
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  free_slots_after_run_end_seconds: 300
retention:
  schedule:
    purge_after_days: 30
  sensor:
    purge_after_days:
      skipped: 1
      failure: 30
      success: 30
"""
"""Four runs at a time, since SQLite event logs lock up beyond about that; a slot of a run that died comes free."""


def home_path() -> Path:
    """Give the home: `DATAFLOW_HOME`, or `.dataflow` in the current folder."""
    return Path(os.environ.get("DATAFLOW_HOME") or ".dataflow").absolute()


def catalog_path() -> Path:
    """Give the catalog file: `DATAFLOW_CATALOG`, or `catalog.yaml` in the current folder."""
    return Path(os.environ.get("DATAFLOW_CATALOG") or "catalog.yaml").absolute()


def open_index(home: Path, *, hnsw_threshold: int = 50_000) -> SearchIndex:
    """Open the search index that the environment names: a Qdrant server, or the home's own shards.

    Args:
        home: The home.
        hnsw_threshold: From this many points on a writer builds a graph; readers need not know.
    """
    url = os.environ.get("QDRANT_URL")
    if url:
        from dataflow_assets.index.server import ServerIndex

        return ServerIndex(url, os.environ.get("QDRANT_API_KEY"), hnsw_threshold=hnsw_threshold)
    from dataflow_assets.index.edge import EdgeIndex

    return EdgeIndex(home / "index", hnsw_threshold=hnsw_threshold)


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Hold a lock file for the length of the block, waiting as long as it takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def prepare_dagster_home(home: Path) -> Path:
    """Name Dagster's instance folder in the environment, and set it up if it is new.

    Two processes that initialise a fresh instance at once crash, so it is done once, under a lock.

    Returns:
        The folder: `DAGSTER_HOME`, or `dagster` in the home.
    """
    named = os.environ.get("DAGSTER_HOME")
    folder = Path(named).absolute() if named else home / "dagster"
    ready = folder / ".initialised"
    os.environ["DAGSTER_HOME"] = str(folder)
    if ready.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with exclusively(folder / ".initialise.lock"):
        if not ready.exists():
            settings = folder / "dagster.yaml"
            if not settings.exists():
                settings.write_text(INSTANCE_SETTINGS)
            import dagster as dg

            with dg.DagsterInstance.get() as instance:
                instance.get_run_records(limit=1)
                instance.get_dynamic_partitions("library")
                instance.all_instigator_state()
            ready.touch()
    return folder
