"""What was decided about the generations of a library: one small JSON file in the home's `state/`, that a person can read.

It tells which generations were refused, by the gate or by a person, and how each measured. It is the memory of a decision,
never of data: without it the gate decides again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

REMEMBERED = 200
"""Evaluations and takeovers of a library that are kept."""


@dataclass(slots=True)
class Memory:
    """What was decided about the generations of a library."""

    refused: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Generation -> `by` (gate or person), `at`, `message`, and for the gate the `key` of what it looked at."""
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    """How generations measured, oldest first."""
    takeovers: list[dict[str, Any]] = field(default_factory=list)
    """When which generation came into use, by whom, oldest first."""


def memory_path(home: Path, library: str) -> Path:
    """Say where it is remembered."""
    return home / "state" / f"{library}~generations.json"


def read_memory(home: Path, library: str) -> Memory:
    """Read what was decided; nothing where there is no file, or it makes no sense."""
    try:
        said = json.loads(memory_path(home, library).read_bytes())
        return Memory(dict(said["refused"]), list(said["evaluations"]), list(said["takeovers"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Memory()


def write_memory(home: Path, library: str, memory: Memory) -> None:
    """Write it, whole or not at all."""
    memory.evaluations = memory.evaluations[-REMEMBERED:]
    memory.takeovers = memory.takeovers[-REMEMBERED:]
    path = memory_path(home, library)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(asdict(memory), indent=1) + "\n", encoding="utf-8")
    draft.replace(path)
