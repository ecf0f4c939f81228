"""What the assets are given: the home with its warehouse and index, and one library's run at a time.

Resources are made when a run starts, never when definitions are loaded: a missing catalog must not take the code location
down.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path

import dagster as dg
from pydantic import Field, PrivateAttr

from dataflow_assets.catalog import Catalog, load_catalog, split_partition
from dataflow_assets.errors import ConfigurationError
from dataflow_assets.flow.booking import book_calls
from dataflow_assets.flow.library_run import LibraryRun, Progress
from dataflow_assets.flow.state import end_state, start_state
from dataflow_assets.home import catalog_path, home_path, open_index
from dataflow_assets.runs import claim_run
from dataflow_assets.warehouse.queue import QueueLock, describe_process, lock_holders
from dataflow_assets.warehouse.spool import open_spool
from dataflow_assets.warehouse.store import Warehouse

FOREVER = 30 * 24 * 3600.0
"""Seconds that a run waits for another run of the same partition."""

_LISTENING: ContextVar[Progress | None] = ContextVar("listening", default=None)
"""Who hears of progress; no attribute of the resource, for a run gets a copy of it that has its fields alone."""


class Workspace(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The home and the catalog, and, during a run, the library that the run's partition names."""

    home: str = Field(default="", description="The home; DATAFLOW_HOME, or .dataflow, if left out.")
    catalog: str = Field(default="", description="The catalog file; DATAFLOW_CATALOG, or catalog.yaml, if left out.")
    _run: LibraryRun | None = PrivateAttr(default=None)

    def reporting_to(self, progress: Progress) -> "Workspace":
        """Have the stages tell their progress."""
        _LISTENING.set(progress)
        return self

    @property
    def home_folder(self) -> Path:
        """The folder that holds all state."""
        return Path(self.home).absolute() if self.home else home_path()

    def load_catalog(self) -> Catalog:
        """Read the catalog.

        Raises:
            CatalogError: It cannot be read, or says something that is not allowed.
        """
        return load_catalog(Path(self.catalog).absolute() if self.catalog else catalog_path())

    @property
    def warehouse(self) -> Warehouse:
        """The tables."""
        return Warehouse(self.home_folder)

    @property
    def run(self) -> LibraryRun:
        """The library's run.

        Raises:
            ConfigurationError: No partition was named.
        """
        if self._run is None:
            raise ConfigurationError("This asset works on one library at a time: name the partition to materialise.")
        return self._run

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Workspace"]:
        """Take the partition for the length of the run: two runs of one partition wait for each other."""
        run = context.run
        partition = run.tags.get("dagster/partition") if run is not None else None
        with ExitStack() as stack:
            if run is not None and context.instance is not None:
                claim_run(context.instance, run)
            if partition is not None and run is not None:
                home = self.home_folder
                lock = home / "locks" / f"{partition}.lock"
                holders = ", ".join(describe_process(pid) for pid in lock_holders(lock) if pid != os.getpid())
                if holders and context.log is not None:
                    context.log.info(f"Waiting for another run of {partition} to end: {holders}.")
                stack.enter_context(QueueLock(lock, FOREVER).hold(exclusive=True))
                spool = open_spool(home, partition)
                stack.callback(shutil.rmtree, spool, ignore_errors=True)
                catalog = self.load_catalog()
                settings = catalog.library(split_partition(partition)[0])
                self._run = LibraryRun.of(
                    catalog,
                    partition,
                    home=home,
                    warehouse=self.warehouse,
                    index=open_index(home, hnsw_threshold=settings.index.hnsw_threshold),
                    spool=spool,
                )
                self._run.run_id = run.run_id
                if (progress := _LISTENING.get()) is not None:
                    self._run.progress = progress
                start_state(home, partition, run.run_id)
                self._book(home)  # what a killed run paid for
                stack.callback(self._book, home)
                # Does nothing where the last stage has noted a better end.
                stack.callback(_end, self._run)
            try:
                yield self
            finally:
                self._run = None

    def _book(self, home: Path) -> None:
        """Book what was paid for, however the run ended."""
        if (home / "ledger.sqlite").exists():
            book_calls(home, self.warehouse)


def _end(run: LibraryRun) -> None:
    """Note that a run failed, where the last stage did not note how it ended."""
    said = run.failure or "The run did not come to its end; its log says why."
    end_state(run.home, run.partition, "failed", message=said)
