"""Searching in other processes: the same answers, and none is lost with a process."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.search.api import open_search
from dataflow_assets.serving.searchers import Searchers
from dataflow_assets_tests.serving.worlds import World


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_another_process_answers_alike_and_may_die(world: World) -> None:
    question = {"text": "cool cellar", "libraries": ["fruit"]}
    with open_search(world.home, world.catalog) as search:
        here = Searchers(search, world.home, world.catalog, processes=0, seconds=30)
        there = Searchers(search, world.home, world.catalog, processes=1, seconds=30)
        try:
            there.warm_up()
            assert there.answer(question) == here.answer(question)
            assert json.loads(there.answer(question)[0])["results"][0]["title"] == "apples"
            world.publish("fruit", {"figs": "# Figs\n\nFigs are kept in a cool cellar too."})
            assert json.loads(there.answer(question)[0])["results"][0]["title"] == "figs"
            with pytest.raises(ConfigurationError, match="nowhere"):
                there.answer({"text": "x", "libraries": ["nowhere"]})
            (pid,) = there.pids()
            os.kill(pid, signal.SIGKILL)
            for _ in range(500):
                if not alive(pid):
                    break
                time.sleep(0.01)
            assert there.answer(question) == here.answer(question)
        finally:
            there.close()
