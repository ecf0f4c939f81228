"""Runs that are asked for are done, in a process of their own, and what becomes of them is told."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dataflow_assets.errors import WarehouseError
from dataflow_assets.serving.run_book import AskedRun, RunBook
from dataflow_assets.serving.run_keeper import NICENESS, RunKeeper
from dataflow_assets_tests.serving.worlds import World

OUTCOME = {
    "status": "ok", "run_id": "dagster-1", "message": None, "withheld_deletes": 0, "stages": {"chunks": {"new": 1, "seconds": 0.5}},
}  # fmt: skip
GOOD = f"import json, sys; print(json.dumps({{'libraries': {{sys.argv[1]: json.loads({json.dumps(OUTCOME)!r})}}}}))"
BAD = "import sys; sys.exit('The catalog is wrong.')"
SLOW = (
    "import json, os, time\n"
    "open(os.environ['DATAFLOW_PROGRESS'], 'w').write(json.dumps({'partition': 'fruit', 'stage': 'chunks', 'done': 1, 'total': 2}))\n"
    "time.sleep(60)"
)


HEARS = (
    "import json, signal, sys; heard = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is signal.SIG_IGN]; "
    "heard += signal.pthread_sigmask(signal.SIG_BLOCK, ()); "
    "print(json.dumps({'libraries': {sys.argv[1]: {'status': 'ok', 'message': str(heard)}}}))"
)


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Callable[[str], tuple[RunBook, RunKeeper]]]:
    made: list[tuple[RunBook, RunKeeper]] = []

    def start(program: str) -> tuple[RunBook, RunKeeper]:
        book = RunBook(tmp_path)
        keeper = RunKeeper(
            book,
            home=tmp_path,
            catalog=tmp_path / "catalog.yaml",
            jobs=1,
            remember_events=60,
            command=lambda library: [sys.executable, "-c", program, library],
        )
        keeper.start()
        made.append((book, keeper))
        return book, keeper

    yield start
    for book, keeper in made:
        keeper.stop()
        book.close()


def until(book: RunBook, run: AskedRun, *wanted: str) -> AskedRun:
    for _ in range(1000):
        found = book.find(run.run_id)
        if found is not None and found.status in wanted:
            return found
        time.sleep(0.02)
    raise AssertionError(f"the run did not become {wanted}")


def test_a_run_is_done_and_told(keep: Any) -> None:
    book, keeper = keep(GOOD)
    run = book.ask("fruit")
    keeper.wake()
    ended = until(book, run, "ok", "failed")
    assert (ended.status, ended.outcome) == ("ok", OUTCOME)


def test_a_run_that_fails_says_why_and_the_next_one_is_done(keep: Any) -> None:
    book, _ = keep(BAD)
    ended = until(book, book.ask("fruit"), "failed")
    assert ended.message == "The catalog is wrong."
    until(book, book.ask("fruit"), "failed")


def test_progress_is_told_and_a_stop_keeps_the_wish(keep: Any) -> None:
    book, keeper = keep(SLOW)
    run = book.ask("fruit")
    keeper.wake()
    until(book, run, "running")
    for _ in range(500):
        if keeper.progress(run.run_id):
            break
        time.sleep(0.02)
    assert keeper.progress(run.run_id) == {"partition": "fruit", "stage": "chunks", "done": 1, "total": 2}
    keeper.stop()
    assert until(book, run, "waiting").started_at is None
    assert keeper.progress(run.run_id) is None


def test_a_run_hears_that_it_is_to_stop_however_deaf_the_service_is(keep: Any) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    try:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        book, _ = keep(HEARS)
        assert until(book, book.ask("fruit"), "ok", "failed").message == "[]"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_book_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "serving" / "runs.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"no database " * 100)
    book = RunBook(tmp_path)
    with pytest.raises(WarehouseError, match=r"runs\.sqlite, cannot be used: .* remove the file"):
        book.counts()
    path.unlink()
    assert book.counts() == {}
    book.close()


def test_a_run_steps_back_behind_questions(keep: Any) -> None:
    program = (
        "import json, os, sys; told = str(os.nice(0)); "
        "print(json.dumps({'libraries': {sys.argv[1]: {'status': 'ok', 'message': told}}}))"
    )
    book, keeper = keep(program)
    run = book.ask("fruit")
    keeper.wake()
    assert until(book, run, "ok", "failed").message == str(min(19, os.nice(0) + NICENESS))


def test_a_run_can_be_asked_for_and_followed_over_http(world: World) -> None:
    with world.serving(run_command=[sys.executable, "-c", GOOD]) as client:
        asked = client.post("/v1/runs", json={"library": "fruit"})
        assert asked.status_code == 202
        for _ in range(500):
            told = client.get(asked.headers["location"]).json()
            if told["status"] not in ("waiting", "running"):
                break
            time.sleep(0.02)
        assert (told["status"], told["dagster_run_id"]) == ("ok", "dagster-1")
        assert told["stages"] == OUTCOME["stages"]
        assert client.get("/v1/runs").json()["runs"] == [told]
