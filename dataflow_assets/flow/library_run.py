"""What one run over a library, or over one bucket of it, has at hand."""

from __future__ import annotations

import ctypes
import datetime as dt
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow_assets.catalog import Catalog, split_partition
from dataflow_assets.errors import ConfigurationError, CredentialError
from dataflow_assets.settings import LibrarySettings
from dataflow_assets.warehouse.changes import Counts, Scope
from dataflow_assets.warehouse.store import Warehouse, now

if TYPE_CHECKING:
    from dataflow_assets.index.base import SearchIndex
    from dataflow_assets.models.base import Corrector, Embedder
    from dataflow_assets.models.question import Parked, Tally
    from dataflow_assets.sources.base import Source
    from dataflow_assets.warehouse.documents import DocumentStore
    from dataflow_assets.workers.pool import WorkerPool

Progress = Callable[[str, int, int], None]
"""Is told: the table, the rows done, the rows to do."""


M_ARENA_MAX = -8
"""glibc's mallopt parameter: each further arena keeps what its threads have freed."""


@dataclass(frozen=True, slots=True)
class StageRecord:
    """What one stage of a run did and took."""

    name: str
    counts: Counts
    seconds: float
    peak_memory_bytes: int


@dataclass
class LibraryRun:
    """Everything that the stages of one run share.

    Attributes:
        home: The folder that holds all state.
        partition: The partition key: the library, or one bucket of it.
        settings: The library's settings.
        base: The folder that relative source paths start from.
        warehouse: The tables.
        index: The search index.
        spool: The run's folder for rows on their way.
        run_id: Dagster's run; empty outside one.
        accept_deletes: Whether a person agreed to a large delete.
        journal: What the stages of this run did so far, in order.
        details: Table -> what its stage has to say to a person.
        started_at: When the run started; rows changed since are its own.
        parked: Says which texts wait for a batch.
        failure: What ended the run, in a sentence, where a stage could say.
    """

    home: Path
    partition: str
    settings: LibrarySettings
    base: Path
    warehouse: Warehouse
    index: SearchIndex
    spool: Path
    run_id: str = ""
    accept_deletes: bool = False
    progress: Progress = lambda table, done, total: None
    journal: list[StageRecord] = field(default_factory=list)
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    started_at: dt.datetime = field(default_factory=now)
    parked: Parked | None = None
    failure: str | None = None

    @classmethod
    def of(
        cls, catalog: Catalog, partition: str, *, home: Path, warehouse: Warehouse, index: SearchIndex, spool: Path
    ) -> LibraryRun:
        """Set up a run over a partition of a catalog.

        Raises:
            ConfigurationError: The catalog has no such library.
        """
        # Arrow's own allocator keeps what it once had. Read when Arrow is imported, which only work to do does.
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
        library, _ = split_partition(partition)
        return cls(
            home=home,
            partition=partition,
            settings=catalog.library(library),
            base=catalog.folder,
            warehouse=warehouse,
            index=index,
            spool=spool,
        )

    @property
    def library(self) -> str:
        """The library's name."""
        return split_partition(self.partition)[0]

    @property
    def notes(self) -> list[str]:
        """What could not be done or was withheld, in sentences for a person; empty where all is up to date."""
        told = []
        ingested = self.details.get("raw_documents", {})
        if "unavailable" in ingested:
            told.append(nothing_deleted(ingested["unavailable"]))
        if ingested.get("withheld_deletes"):
            told.append(withheld_message(self.library, ingested["withheld_deletes"]))
        if failures := ingested.get("failures"):
            told.append(f"{len(failures)} documents could not be fetched: {next(iter(failures.values()))}")
        for stage in self.journal:
            if stage.name == "raw_documents":
                continue
            details = self.details.get(stage.name, {})
            waiting = details.get("waiting", 0)
            if waiting and (why := details.get("stopped") or details.get("waits_for")):
                told.append(f"{waiting:,} {stage.name} are left: {why}.")
            elif waiting:
                told.append(f"{waiting:,} {stage.name} wait for what comes before them.")
            if stage.counts.failed > waiting:
                told.append(f"{stage.counts.failed - waiting:,} rows of {stage.name} failed; the next run tries again.")
        return told

    @property
    def scope(self) -> Scope:
        """The rows that the run works on."""
        library, bucket = split_partition(self.partition)
        return Scope(library, bucket, self.settings.buckets)

    @cached_property
    def source(self) -> Source:
        """Where the library's documents come from."""
        from dataflow_assets.sources.base import open_source

        cache = self.home / "sources" / self.partition
        source = open_source(self.settings.source, base=self.base, cache=cache, library=self.library)
        source.accept_deletes = self.accept_deletes
        return source

    @property
    def passwords(self) -> tuple[str, ...]:
        """Passwords of protected documents and archives, from the environment.

        Raises:
            CredentialError: A variable that the catalog names is not set.
        """
        found = []
        for name in self.settings.reading.passwords:
            if name not in os.environ:
                raise CredentialError(
                    f"The library {self.library} names the environment variable {name} for passwords (reading.passwords), "
                    "and it is not set. Set it, or take it out of the catalog."
                )
            found.append(os.environ[name])
        return tuple(found)

    def workers(self) -> WorkerPool:
        """Give processes for parsing what others made; none is started before there is work."""
        from dataflow_assets.workers.pool import WorkerPool

        reading = self.settings.reading
        return WorkerPool(memory_mb=reading.memory_mb, timeout_seconds=reading.timeout, folder=self.spool / "workers")

    @cached_property
    def documents(self) -> DocumentStore:
        """The fetched bytes of all libraries."""
        from dataflow_assets.warehouse.documents import DocumentStore

        return DocumentStore(self.home / "documents")

    @cached_property
    def tallies(self) -> dict[str, Tally]:
        """Stage -> what its asking took."""
        from dataflow_assets.models.question import Tally

        return {"validated_documents": Tally(), "corrections": Tally(), "embeddings": Tally()}

    @cached_property
    def corrector(self) -> Corrector | None:
        """Who corrects; None where corrections are off."""
        if self.settings.corrections.model == "none":
            return None
        if self.settings.corrections.paid:
            from dataflow_assets.flow.paid import paid_corrector

            tally = self.tallies["corrections"]
            return paid_corrector(
                self.home,
                self.library,
                self.settings,
                run_id=self.run_id,
                tally=tally,
                parked=lambda keys: self.parked(keys) if self.parked is not None else {},
            )
        from dataflow_assets.models.typos import TyposCorrector

        return TyposCorrector()

    @cached_property
    def embedder(self) -> Embedder:
        """Who embeds."""
        if self.settings.embeddings.paid:
            from dataflow_assets.flow.paid import paid_embedder

            tally = self.tallies["embeddings"]
            return paid_embedder(self.home, self.library, self.settings, run_id=self.run_id, tally=tally)
        from dataflow_assets.models.wordllama import WordLlamaEmbedder

        return WordLlamaEmbedder(self.settings.embeddings.length)

    def check_models(self) -> None:
        """Find what would stop readers and paid models before they are asked.

        Raises:
            ConfigurationError: A password, a program or a key is missing, or a price that a budget needs.
        """
        _ = self.passwords
        if self.settings.reading.ocr != "none":
            from dataflow_assets.stages.readers.ocr import missing

            problem = missing(self.settings.reading.ocr_languages)
            if problem is not None:
                raise ConfigurationError(f"{self.library} has reading.ocr: tesseract. {problem}")
        if self.settings.corrections.paid or self.settings.embeddings.paid or self.settings.reading.vision:
            from dataflow_assets.flow.paid import check_paid_models

            check_paid_models(self.library, self.settings)

    def begin(self, name: str) -> Callable[[Counts], StageRecord]:
        """Start to time a stage and to watch its memory; what is given back ends that and enters it in the journal."""
        release_memory()
        reset_peak_memory()
        started = time.monotonic()

        def finish(counts: Counts) -> StageRecord:
            record = StageRecord(name, counts, time.monotonic() - started, peak_memory_bytes())
            self.journal.append(record)
            return record

        return finish


def nothing_deleted(said: str) -> str:
    """Say beside why a source could not be listed that nothing was deleted, where it does not say so itself."""
    return said if said.endswith("Nothing was deleted.") else f"{said} Nothing was deleted."


def withheld_message(library: str, count: int) -> str:
    """Say that deletes wait for a person, and how to agree."""
    return (
        f"{count} documents of {library} are no longer in the source. That is more than leaves without a question, so the "
        f"deletes are withheld and nothing was deleted. If it is right, run: dataflow run {library} --accept-deletes"
    )


def release_memory() -> None:
    """Give freed memory back to the system, so that one stage's peak is not added to the next one's (glibc only)."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_ARENA_MAX, 2)
        libc.malloc_trim(0)


def reset_peak_memory() -> None:
    """Start a new measurement of this process's peak memory, where the kernel can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_bytes() -> int:
    """Give this process's peak resident memory since `reset_peak_memory`, else since its start, in bytes."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
