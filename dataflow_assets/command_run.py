"""`dataflow run`: libraries brought up to date through Dagster, in the instance that the UI shows.

One library after the other in this process, or `--jobs` of them at a time, each in a process of its own.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import dagster as dg

from dataflow_assets.assets.declaration import CONFIGURATION
from dataflow_assets.automation import register
from dataflow_assets.catalog import Catalog
from dataflow_assets.definitions import build_defs
from dataflow_assets.errors import ConfigurationError
from dataflow_assets.flow.evaluate import golden_questions
from dataflow_assets.flow.library_run import Progress
from dataflow_assets.flow.paid import check_paid_models
from dataflow_assets.flow.state import read_state
from dataflow_assets.flow.status import documents_told
from dataflow_assets.home import home_path, prepare_dagster_home
from dataflow_assets.printing import counted, print_table, shortest
from dataflow_assets.resources import Workspace
from dataflow_assets.runs import end_dead_runs, process_tags

REPOSITORY = "__repository__@dataflow_assets.definitions"
"""Dagster's name of the code location; without it the UI does not show the command's runs there."""
INTERRUPTED = "DagsterExecutionInterruptedError"
PROGRESS = "DATAFLOW_PROGRESS"
"""Names a file in which the command notes what it is doing, as JSON; for programs that start it."""
NOTE_SECONDS = 0.25
STOP_SECONDS = 8.0
"""For which a library's process may put its things away when it is told to stop."""
COUNTED = ("new", "changed", "unchanged", "deleted", "failed", "seconds", "cost_usd")


def run_libraries(
    catalog: Catalog, libraries: Sequence[str], *, jobs: int, accept_deletes: bool, show: bool
) -> dict[str, Any]:
    """Bring libraries up to date.

    Args:
        catalog: The catalog.
        libraries: Which; all of the catalog if empty.
        jobs: How many at a time.
        accept_deletes: Whether a person agreed to large deletes.
        show: Whether to draw progress, if standard error is a terminal.

    Returns:
        What `--json` prints.
    """
    started = time.monotonic()
    names = list(dict.fromkeys(libraries)) or list(catalog.libraries)
    for name in names:
        check_paid_models(name, catalog.library(name))
        golden_questions(name, catalog.library(name), catalog.folder)
    prepare_dagster_home(home_path())
    if jobs > 1 and len(names) > 1:
        outcomes = _Apart(accept_deletes).run(names, jobs)
    else:
        outcomes = _run_here(catalog, names, accept_deletes=accept_deletes, show=show)
    for name, outcome in outcomes.items():
        outcome |= documents_told(home_path(), name, reported="quality_report" in outcome["stages"])
    return {"libraries": outcomes, "seconds": round(time.monotonic() - started, 3)}


def _run_here(catalog: Catalog, names: Sequence[str], *, accept_deletes: bool, show: bool) -> dict[str, Any]:
    outcomes: dict[str, Any] = {}
    # Dagster tells every step to the console; the run's own log in the UI has it all.
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    with dg.DagsterInstance.get() as instance, _Bar(show) as bar:
        register(instance, catalog)
        end_dead_runs(instance)
        defs = build_defs(workspace=Workspace().reporting_to(bar.progress))
        job = defs.resolve_job_def("refresh_library")
        for name in names:
            parts = []
            for partition in catalog.partition_keys(name):
                bar.start(partition)
                parts.append(_run_partition(job, instance, partition, accept_deletes))
            if len(parts) > 1:
                # A document that became a duplicate of one in another bucket leaves that bucket with work to do.
                for place, partition in enumerate(catalog.partition_keys(name)):
                    if read_state(home_path(), partition) is None:
                        parts[place] = _merged([parts[place], _run_partition(job, instance, partition, accept_deletes)])
            outcomes[name] = _merged(parts)
    return outcomes


def _run_partition(
    job: dg.JobDefinition, instance: dg.DagsterInstance, partition: str, accept_deletes: bool
) -> dict[str, Any]:
    config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    if accept_deletes:
        config["ops"] = {"raw_documents": {"config": {"accept_deletes": True}}}
    result = job.execute_in_process(
        run_config=config,
        instance=instance,
        partition_key=partition,
        raise_on_error=False,
        tags={**process_tags(), ".dagster/repository": REPOSITORY},
    )
    if _interrupted(result):
        raise KeyboardInterrupt  # Dagster ends the step and goes on; a person, or the system, said stop
    stages: dict[str, dict[str, Any]] = {}
    withheld = 0
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        metadata = {name: value.value for name, value in materialization.metadata.items()}
        stages[materialization.asset_key.path[-1]] = {name: metadata.get(name, 0) for name in COUNTED}
        waiting = metadata.get("withheld_deletes", 0)
        withheld += waiting if isinstance(waiting, int) else 0
    state = read_state(home_path(), partition)
    message = state.message if state is not None else None
    configuration = False
    if not result.success:
        said, configuration = _failure(result)
        message = said or message
    done = result.success and state is not None and state.status == "ok"
    return {
        "status": "ok" if done or (result.success and state is None) else "failed",
        "run_id": result.run_id,
        "message": message,
        "withheld_deletes": withheld,
        "stages": stages,
        **({CONFIGURATION: True} if configuration else {}),
    }


def _interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Say whether a run ended since the process was told to stop."""
    failures = (event.step_failure_data for event in result.all_events if event.is_step_failure)
    return any(data.error is not None and data.error.cls_name == INTERRUPTED for data in failures)


def _failure(result: dg.ExecuteInProcessResult) -> tuple[str | None, bool]:
    """Say in a sentence what ended a run, and whether only a person can mend it."""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None and data.user_failure_data.description:
                return str(data.user_failure_data.description), CONFIGURATION in data.user_failure_data.metadata
            if data.error is not None:
                cause = data.error.cause or data.error
                return f"{event.step_key} failed: {cause.message.strip()}", False
    for event in result.all_events:
        if event.is_failure and event.message:
            return str(event.message), False
    return None, False


class _Apart:
    """Runs in processes of their own, which end when this one is told to."""

    def __init__(self, accept_deletes: bool) -> None:
        self._accept_deletes = accept_deletes
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[str]] = []
        self._stopping = False

    def run(self, names: Sequence[str], jobs: int) -> dict[str, Any]:
        """Run libraries, so many at a time; a signal to stop stops them all."""
        with _interruptible(), ThreadPoolExecutor(jobs) as pool:
            try:
                return dict(zip(names, pool.map(self._run, names), strict=True))
            except KeyboardInterrupt:
                self._stop()
                raise

    def _run(self, name: str) -> dict[str, Any]:
        words = [sys.executable, "-m", "dataflow_assets.cli", "run", name, "--json"]
        if self._accept_deletes:
            words.append("--accept-deletes")
        with self._lock:
            if self._stopping:
                return {}
            process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C in a terminal reaches this process alone, which tells them once
            )
            self._processes.append(process)
        said, errors = process.communicate()
        try:
            outcome: dict[str, Any] = json.loads(said)["libraries"][name]
        except (ValueError, KeyError):
            lines = errors.strip().splitlines()
            if process.returncode == 2:
                raise ConfigurationError("\n".join(lines)) from None
            message = lines[-1] if lines else f"Its process ended with status {process.returncode}."
            outcome = {"status": "failed", "run_id": None, "message": message, "withheld_deletes": 0, "stages": {}}
        return outcome

    def _stop(self) -> None:
        """Tell all of them to stop; one that is not done in time is killed: what it stored is whole."""
        with self._lock:
            self._stopping = True
        try:
            for process in self._processes:
                process.terminate()
            until = time.monotonic() + STOP_SECONDS
            for process in self._processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, until - time.monotonic()))
        finally:
            for process in self._processes:
                process.kill()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have whatever tells this process to end interrupt it, as Ctrl-C does; what is to be ignored stays ignored."""
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
        before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _merged(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Add up what the buckets of a library say."""
    if len(parts) == 1:
        return parts[0]
    stages: dict[str, dict[str, Any]] = {}
    for part in parts:
        for stage, counts in part["stages"].items():
            into = stages.setdefault(stage, dict.fromkeys(COUNTED, 0))
            for name in COUNTED:
                into[name] += counts[name]
    return {
        "status": "ok" if all(part["status"] == "ok" for part in parts) else "failed",
        "run_id": parts[-1]["run_id"],
        **({CONFIGURATION: True} if any(CONFIGURATION in part for part in parts) else {}),
        "message": " ".join(dict.fromkeys(part["message"] for part in parts if part["message"])) or None,
        "withheld_deletes": max(part["withheld_deletes"] for part in parts),
        "stages": stages,
    }


class _Bar:
    """A progress bar on a terminal; nothing elsewhere."""

    def __init__(self, show: bool) -> None:
        self._show = show and sys.stderr.isatty()
        self._partition = ""
        self._file = Path(os.environ[PROGRESS]) if os.environ.get(PROGRESS) else None
        self._noted = 0.0

    def __enter__(self) -> _Bar:
        if self._show:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as RichProgress

            self._rich = RichProgress(
                TextColumn("{task.fields[library]}"),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._rich.start()
            self._task = self._rich.add_task("starting", total=None, library="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._show:
            self._rich.stop()

    def _note(self, table: str, done: int, total: int) -> None:
        """Leave word for the program that started the command and wants to follow it; a run never fails for that."""
        if not self._file or time.monotonic() < self._noted + NOTE_SECONDS:
            return
        self._noted = time.monotonic()
        draft = self._file.with_suffix(".new")
        with suppress(OSError):
            draft.write_text(json.dumps({"partition": self._partition, "stage": table, "done": done, "total": total}))
            draft.replace(self._file)

    def start(self, partition: str) -> None:
        """Begin with a partition."""
        self._partition = partition
        if self._show:
            self._rich.update(self._task, description="looking", library=partition, total=None, completed=0)

    @property
    def progress(self) -> Progress:
        """What the stages tell their progress to."""

        def tell(table: str, done: int, total: int) -> None:
            self._note(table, done, total)
            if self._show:
                self._rich.update(self._task, description=table, completed=done, total=total, library=self._partition)

        return tell


def print_outcome(answer: dict[str, Any]) -> None:
    """Print what a run did, for a person."""
    rows = []
    for name, outcome in answer["libraries"].items():
        for stage, counts in outcome["stages"].items():
            told = [f"{counts[c]:,}" for c in ("new", "changed", "unchanged", "deleted", "failed")]
            rows.append([name, stage, *told, f"{counts['seconds']:.2f}"])
    print_table(["library", "stage", "new", "changed", "unchanged", "deleted", "failed", "seconds"], rows, numbers=6)
    for name, outcome in answer["libraries"].items():
        if said := _documents(outcome):
            click.echo(f"{name}: {said}")


def _documents(outcome: dict[str, Any]) -> str:
    """Say what became of a library's documents, where there is more to say than the table does; and where the report is."""
    bad = []
    if outcome["rejected"]:
        bad.append(f"{outcome['rejected']:,} of {counted(outcome['documents'], 'document')} rejected")
    if outcome["duplicates"]:
        bad.append(counted(outcome["duplicates"], "duplicate"))
    told = [f"{', '.join(bad)}."] if bad else []
    if outcome["report"] and (bad or outcome["stages"]["quality_report"]["new"]):
        told.append(f"{'The report says why:' if bad else 'the report is'} {shortest(outcome['report'])}")
    return " ".join(told)
