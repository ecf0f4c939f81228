"""When libraries are worked on: the job over all assets, the sensors and the schedule.

Sensors list and compare; they never fetch, hash bytes or open the warehouse for writing. What is to do is decided by the
rows, in the run.
"""

import datetime as dt
import json
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg

from dataflow_assets.catalog import Catalog
from dataflow_assets.errors import DataflowError
from dataflow_assets.flow.cheap_lane import batches_to_collect
from dataflow_assets.flow.fingerprint import TooSlow, settings_fingerprint, source_fingerprint
from dataflow_assets.flow.state import read_state
from dataflow_assets.partitions import library_partitions
from dataflow_assets.resources import Workspace
from dataflow_assets.runs import end_dead_runs
from dataflow_assets.settings import LibrarySettings
from dataflow_assets.warehouse.store import now

TICK_SECONDS = 40.0
"""A tick that takes longer hands the rest to the next one; Dagster ends ticks at 60 seconds."""
LISTING_SECONDS = 20.0
"""A source whose listing takes longer is listed by runs, like those that are slow by nature."""
REFRESH_SECONDS = 3600.0
"""How old the last run of such a library may get, where its source has no `refresh_seconds`."""
RETRY_SECONDS = 300.0
MAX_RETRIES = 3
"""A state of a library that failed is tried again so often, so far apart; then it waits for a change, or the night."""

refresh_library = dg.define_asset_job(
    "refresh_library",
    selection=dg.AssetSelection.groups("library"),
    executor_def=dg.in_process_executor,
    description="Bring one library up to date: all seven assets, in one process.",
)


@dg.sensor(
    job=refresh_library,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Finds new and changed libraries: registers the partition and requests its run.",
)
def library_changes(context: dg.SensorEvaluationContext, workspace: Workspace) -> dg.SensorResult | dg.SkipReason:
    """List every library's source and request a run where the listing or the settings differ from what was done."""
    try:
        catalog = workspace.load_catalog()
    except DataflowError as error:
        return dg.SkipReason(str(error))
    for note in catalog.notes:
        context.log.warning(note)
    cursor: dict[str, Any] = json.loads(context.cursor) if context.cursor else {}
    requests, deadline, skipped = [], time.monotonic() + TICK_SECONDS, []
    names = list(catalog.libraries)
    start = names.index(cursor["next"]) if cursor.get("next") in names else 0
    cursor["next"] = None
    for kept in ("looked", "slow"):
        cursor[kept] = {name: told for name, told in cursor.get(kept, {}).items() if name in catalog.libraries}
    for name in names[start:] + names[:start]:
        if time.monotonic() > deadline:
            cursor["next"] = name
            break
        settings = catalog.library(name)
        looked: dict[str, float] = cursor.setdefault("looked", {})
        slow: dict[str, Any] = cursor.setdefault("slow", {})
        decided = settings_fingerprint(settings)
        fingerprint = None
        every = getattr(settings.source, "refresh_seconds", 0)
        if time.time() < looked.get(name, 0) + every and all(
            read_state(workspace.home_folder, partition) for partition in catalog.partition_keys(name)
        ):
            continue
        since, then = slow.get(name, (0.0, None))
        # One that was too slow a while ago would be so again, and take the others' time.
        if then != decided or time.time() > since + REFRESH_SECONDS:
            slow.pop(name, None)
            looked[name] = time.time()
            try:
                fingerprint = source_fingerprint(
                    catalog, name, home=workspace.home_folder, seconds=min(LISTING_SECONDS, deadline - time.monotonic())
                )
            except TooSlow:
                slow[name] = (time.time(), decided)
                del looked[name]
            except Exception as error:  # whatever one source does, the other libraries are looked after
                skipped.append(f"{name}: {error if isinstance(error, DataflowError) else repr(error)}")
                continue
        for partition in catalog.partition_keys(name):
            request = (
                _consider(context, workspace, cursor, partition, fingerprint)
                if fingerprint is not None
                else _refresh(context, workspace, cursor, partition, catalog.library(name))
            )
            if request is not None:
                requests.append(request)
    known = set(context.instance.get_dynamic_partitions("library"))
    new = sorted({str(request.partition_key) for request in requests} - known)
    for line in skipped:
        context.log.warning(line)
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[library_partitions.build_add_request(new)] if new else [],
        cursor=json.dumps(cursor),
        skip_reason=("; ".join(skipped) or "Nothing changed.") if not requests else None,
    )


def _consider(
    context: dg.SensorEvaluationContext, workspace: Workspace, cursor: dict[str, Any], partition: str, fingerprint: str
) -> dg.RunRequest | None:
    state = read_state(workspace.home_folder, partition)
    if state is not None and state.fingerprint == fingerprint and state.status == "ok":
        return None
    return _ask(context, cursor, partition, fingerprint)


def _refresh(
    context: dg.SensorEvaluationContext,
    workspace: Workspace,
    cursor: dict[str, Any],
    partition: str,
    settings: LibrarySettings,
) -> dg.RunRequest | None:
    """Ask for a run of a library that cannot be listed here when its last run is old; the run lists it."""
    state = read_state(workspace.home_folder, partition)
    if state is not None and state.status == "running":
        return None
    every = getattr(settings.source, "refresh_seconds", REFRESH_SECONDS)
    decided, slot = settings_fingerprint(settings), int(time.time() // every)
    if state is not None and state.status == "ok" and state.settings == decided and state.ended_at is not None:
        ended = dt.datetime.fromisoformat(state.ended_at)
        if (now() - ended.replace(tzinfo=None)).total_seconds() < every:
            return None
    return _ask(context, cursor, partition, f"{decided}.{slot}")


def _ask(
    context: dg.SensorEvaluationContext, cursor: dict[str, Any], partition: str, fingerprint: str
) -> dg.RunRequest | None:
    asked: dict[str, Any] = cursor.setdefault("asked", {}).get(partition, {"n": 0})
    if asked.get("fingerprint") == fingerprint:
        key = f"{partition}@{fingerprint}.{asked['n']}"
        runs = context.instance.get_runs(filters=dg.RunsFilter(tags={"dagster/run_key": key}), limit=1)
        if runs and not runs[0].is_finished:
            return None
        if asked["tries"] > MAX_RETRIES or time.time() < asked["at"] + RETRY_SECONDS:
            return None
        tries = asked["tries"] + 1
    else:
        tries = 1
    number = asked["n"] + 1
    cursor["asked"][partition] = {"fingerprint": fingerprint, "n": number, "tries": tries, "at": time.time()}
    return dg.RunRequest(run_key=f"{partition}@{fingerprint}.{number}", partition_key=partition)


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process was killed, so that they hold no slot.",
)
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Fail the runs of this host whose process is no more."""
    ended = end_dead_runs(context.instance)
    return dg.SkipReason(f"Ended {', '.join(ended)}." if ended else "No run died.")


@dg.sensor(
    job=refresh_library,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks whether batches of corrections have ended, and requests the run that collects them.",
)
def batch_results(context: dg.SensorEvaluationContext, workspace: Workspace) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask the provider about the batches that are open; nothing is collected here."""
    try:
        catalog = workspace.load_catalog()
        ready, said = batches_to_collect(workspace.home_folder, catalog)
    except DataflowError as error:
        yield dg.SkipReason(str(error))
        return
    if not ready:
        yield dg.SkipReason(said)
    for partition, batch in ready.items():
        # A run that could not collect is asked for again, but not with every tick.
        yield dg.RunRequest(run_key=f"{partition}@{batch}.{int(time.time() // RETRY_SECONDS)}", partition_key=partition)


@dg.schedule(
    job=refresh_library,
    cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Refreshes every library of the catalog at night, whatever the sensor saw.",
)
def nightly_refresh(
    context: dg.ScheduleEvaluationContext, workspace: Workspace
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Request a run of each partition of the catalog."""
    try:
        catalog = workspace.load_catalog()
    except DataflowError as error:
        yield dg.SkipReason(str(error))
        return
    register(context.instance, catalog)
    night = context.scheduled_execution_time.date().isoformat()
    for partition in catalog.all_partition_keys():
        yield dg.RunRequest(run_key=f"{partition}@{night}", partition_key=partition)


def register(instance: dg.DagsterInstance, catalog: Catalog) -> None:
    """Add the catalog's partitions to the instance; keys are never taken away."""
    keys = catalog.all_partition_keys()
    missing = [key for key in keys if key not in set(instance.get_dynamic_partitions("library"))]
    if missing:
        instance.add_dynamic_partitions("library", missing)
