"""Processes told apart from a later process that got the same id."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


@cache
def identity_of_this_process() -> str:
    """Give this process's id and start time, which no later process shares."""
    return _identity(os.getpid()) or str(os.getpid())


def alive(identity: str) -> bool:
    """Say whether the process of an identity still runs."""
    try:
        return _identity(int(identity.split("@")[0])) == identity
    except ValueError:
        return False


def _identity(pid: int) -> str | None:
    try:
        # Fields 3 and 22 of proc(5): the state, and the start in clock ticks since boot. The name may hold blanks.
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        if Path("/proc/self/stat").exists():
            return None
        try:
            os.kill(pid, 0)
        except OSError:
            return None
        return str(pid)
    return None if fields[0] in "ZX" else f"{pid}@{fields[19]}"
