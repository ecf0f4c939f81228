"""Runs can be told to stop, however they were started; and what else the commands start."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dataflow_assets.commands.running import QUIET_DAGSTER, hear_signals


@pytest.fixture
def in_the_background() -> Iterator[None]:
    """What a shell that runs a script does to a command with an ampersand."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@dg.job
def nothing() -> None:
    pass


@pytest.mark.usefixtures("in_the_background")
@pytest.mark.parametrize("inherited", [signal.SIG_DFL, signal.SIG_IGN])
def test_what_dagster_leaves_behind_does_not_make_a_run_deaf(inherited: signal.Handlers) -> None:
    signal.signal(signal.SIGTERM, inherited)
    hear_signals()
    nothing.execute_in_process()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(("start", "warned"), [(["-m", "dagster"], True), (["-c", QUIET_DAGSTER], False)])
def test_dagster_does_not_begin_with_a_warning(tmp_path: Path, start: list[str], warned: bool) -> None:
    # Another superseded command than `dev`, one that ends by itself: it is not told where the assets are.
    words = [sys.executable, *start, "asset", "materialize", "--select", "nothing"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Invalid set of CLI arguments" in done.stderr
    assert ("superseded" in done.stderr) is warned
