"""Searching in other processes: the same answers, and none is lost with a process."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

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
            (another,) = there.pids()
            assert another != pid
        finally:
            there.close()
    assert not alive(another)


def test_a_question_that_takes_too_long_costs_its_process_and_no_other_question(world: World) -> None:
    question = {"text": "cool cellar", "libraries": ["fruit"]}
    with open_search(world.home, world.catalog) as search:
        there = Searchers(search, world.home, world.catalog, processes=1, seconds=30)
        try:
            there.warm_up()
            (pid,) = there.pids()
            os.kill(pid, signal.SIGSTOP)
            there._seconds = 0.05
            with pytest.raises(TimeoutError):
                there.answer(question)
            there._seconds = 30
            assert there.answer(question)[1] is not None
            assert there.pids() != [pid]
            assert not alive(pid)
        finally:
            there.close()


def test_many_threads_share_a_few_processes(world: World) -> None:
    with open_search(world.home, world.catalog) as search:
        there = Searchers(search, world.home, world.catalog, processes=2, seconds=30)
        try:
            there.warm_up()
            with ThreadPoolExecutor(16) as threads:
                asked = [f"cool cellar {number}" for number in range(64)]
                answers = list(threads.map(lambda text: there.answer({"text": text, "libraries": ["fruit"]}), asked))
            assert [json.loads(said)["query"] for said, _ in answers] == asked
            assert len(there.pids()) == 2
        finally:
            there.close()
