"""Whose process a run is, and the end of those whose process died.

Dagster does not notice that an in-process run was killed: it stays STARTED and holds its slot. So every run carries the
host, the process id and the start time of its process as tags, and each start and a sensor end the runs whose process is
no more.
"""

from __future__ import annotations

import socket

import dagster as dg

from dataflow_assets.processes import alive, identity_of_this_process

HOST_TAG = "dataflow/host"
PROCESS_TAG = "dataflow/process"

UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def process_tags() -> dict[str, str]:
    """Give the tags that name this process."""
    return {HOST_TAG: socket.gethostname(), PROCESS_TAG: identity_of_this_process()}


def claim_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Note on a run that this process executes it."""
    if run.tags.get(PROCESS_TAG) != identity_of_this_process():
        instance.add_run_tags(run.run_id, process_tags())


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs of this host whose process is no more.

    Returns:
        Their ids.
    """
    here = socket.gethostname()
    dead = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED, tags={HOST_TAG: here})):
        process = run.tags.get(PROCESS_TAG)
        if process is not None and not alive(process):
            instance.report_run_failed(
                run, "The process of this run died before it ended. What was stored stays; run it again."
            )
            dead.append(run.run_id)
    return dead
