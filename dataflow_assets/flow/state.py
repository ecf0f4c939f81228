"""How each partition's last run went: one small JSON file a partition, in the home's `state/`, that a person can read.

It tells `dataflow status` and the sensor what they would otherwise have to ask Dagster's instance or the source for. It is
a memory aid, never the truth: without it a library is looked at once more, and nothing is done twice.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from dataflow_assets.processes import alive, identity_of_this_process
from dataflow_assets.warehouse.store import now


@dataclass(frozen=True, slots=True)
class RunState:
    """The last run of a partition."""

    run_id: str
    status: Literal["running", "ok", "incomplete", "failed", "died"]
    """`incomplete`: something could not be done or was withheld. `died`: the process is no more."""
    started_at: str
    process: str
    ended_at: str | None = None
    fingerprint: str | None = None
    """What the source listed and the settings said, where the run came to its end."""
    withheld_deletes: int = 0
    message: str | None = None
    settings: str | None = None
    """Fingerprint of the settings that the run had."""
    listed_at: str | None = None
    """When the source was last listed whole; kept from run to run, like what follows."""
    listed: int | None = None
    """Items that it listed then."""
    source_error: str | None = None
    """What kept the last run from listing it."""
    items_failed: int = 0
    """Items that the last run could not fetch."""


def _path(home: Path, partition: str) -> Path:
    return home / "state" / f"{partition}.json"


def read_state(home: Path, partition: str) -> RunState | None:
    """Read the last run of a partition; None where there is none, or the file makes no sense."""
    try:
        found = json.loads(_path(home, partition).read_text(encoding="utf-8"))
        state = RunState(**{field.name: found[field.name] for field in fields(RunState) if field.name in found})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if state.status == "running" and not alive(state.process):
        return replace(state, status="died", message="The process of the last run died before it ended. Run it again.")
    return state


def write_state(home: Path, partition: str, state: RunState) -> None:
    """Write it, whole or not at all."""
    path = _path(home, partition)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(asdict(state), indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def start_state(home: Path, partition: str, run_id: str) -> None:
    """Note that a run started."""
    last = read_state(home, partition)
    kept = (
        {name: getattr(last, name) for name in ("listed_at", "listed", "source_error", "items_failed")} if last else {}
    )
    state = RunState(run_id, "running", now().isoformat(timespec="seconds"), identity_of_this_process(), **kept)
    write_state(home, partition, state)


def end_state(home: Path, partition: str, status: Literal["ok", "incomplete", "failed"], **more: Any) -> None:
    """Note how the run ended that this process started."""
    state = read_state(home, partition)
    if state is not None and state.status == "running":
        write_state(
            home,
            partition,
            replace(state, status=status, ended_at=now().isoformat(timespec="seconds"), **more),
        )


def forget_state(home: Path, partition: str) -> None:
    """Have the partition looked at once more."""
    _path(home, partition).unlink(missing_ok=True)
