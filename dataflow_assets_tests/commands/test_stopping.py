"""A run of several libraries at a time that is told to stop leaves no process behind."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

LIBRARIES = ("apples", "pears")


def _taken(path: Path) -> bool:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_the_processes_of_libraries_end_with_the_command(tmp_path: Path) -> None:
    locks, libraries = tmp_path / ".dataflow" / "locks", {}
    locks.mkdir(parents=True)
    for name in LIBRARIES:
        (tmp_path / name).mkdir()
        libraries[name] = {"source": {"type": "files", "path": name}}
    (tmp_path / "catalog.yaml").write_text(json.dumps({"libraries": libraries}))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DAGSTER", "DATAFLOW", "QDRANT"))}
    with ExitStack() as stack:
        for name in LIBRARIES:  # both runs wait for another one, for as long as it takes
            fcntl.flock(stack.enter_context((locks / f"{name}.lock").open("w")), fcntl.LOCK_EX)
        process = subprocess.Popen(
            [sys.executable, "-m", "dataflow_assets.cli", "run", "--jobs", "2"],
            cwd=tmp_path,
            env=kept,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        waiting = [locks / f"{name}.lock.turnstile" for name in LIBRARIES]
        while not all(path.exists() and _taken(path) for path in waiting):
            assert process.poll() is None, "the command ended too early"
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert b"Stopped." in process.communicate()[1]
        assert process.returncode == 130
        assert not any(_taken(path) for path in waiting)
