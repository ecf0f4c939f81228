"""Runs can be told to stop, however they were started."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import dagster as dg
import pytest

from dataflow_assets.commands.running import hear_signals


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
