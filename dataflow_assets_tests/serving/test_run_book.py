"""The book of runs: wishes are joined, and none is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_assets.serving.run_book import RunBook


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(tmp_path: Path, clock: Clock) -> Iterator[RunBook]:
    book = RunBook(tmp_path, clock)
    yield book
    book.close()


def event(book: RunBook, number: int, library: str = "fruit", signer: str = "s") -> tuple[str, bool]:
    run, new = book.ask_by_event(library, signer, f"evt-{number}", quiet=2, longest=30)
    return run.run_id, new


def test_fifty_events_make_one_run(book: RunBook, clock: Clock) -> None:
    told = set()
    for number in range(50):
        told.add(event(book, number)[0])
        clock.now += 0.01
    assert len(told) == 1
    assert book.take() is None
    clock.now += 2
    run = book.take()
    assert run is not None
    assert run.run_id in told
    assert run.requests == 50
    book.end(run.run_id, "ok", None, {"run_id": "d"})
    assert book.take() is None


def test_events_that_never_calm_down_are_not_put_off_for_ever(book: RunBook, clock: Clock) -> None:
    number = 0
    while book.take() is None:
        event(book, number)
        clock.now += 1
        number += 1
    assert 28 <= number <= 32


def test_an_event_that_comes_again_changes_nothing(book: RunBook, clock: Clock) -> None:
    first, new = event(book, 1)
    assert new
    assert event(book, 1) == (first, False)
    clock.now += 2
    run = book.take()
    assert run is not None
    assert run.requests == 1
    book.end(run.run_id, "ok", None, None)
    assert event(book, 1) == (first, False)
    clock.now += 60
    assert book.take() is None


def test_signers_do_not_share_ids(book: RunBook) -> None:
    assert event(book, 1, signer="a")[1]
    assert event(book, 1, signer="b")[1]


def test_ids_are_forgotten_when_their_time_stamps_are_refused_anyway(book: RunBook, clock: Clock) -> None:
    event(book, 1)
    clock.now += 100
    book.forget_events(older_than=99)
    assert event(book, 1)[1]


def test_what_comes_while_a_run_works_waits_for_the_next(book: RunBook, clock: Clock) -> None:
    first = book.ask("fruit")
    assert book.take() is not None
    second = book.ask("fruit")
    assert second.run_id != first.run_id
    assert book.take() is None  # one library, one run at a time
    book.ask("other")
    other = book.take()
    assert other is not None
    assert other.library == "other"
    book.end(first.run_id, "failed", "It broke.", None)
    third = book.take()
    assert third is not None
    assert third.run_id == second.run_id


def test_a_person_does_not_wait_for_events_to_calm_down(book: RunBook) -> None:
    event(book, 1)
    assert book.take() is None
    book.ask("fruit")
    run = book.take()
    assert run is not None
    assert run.requests == 2


def test_a_run_whose_process_died_waits_again(tmp_path: Path, clock: Clock, book: RunBook) -> None:
    run = book.ask("fruit")
    assert book.take() is not None
    with sqlite3.connect(tmp_path / "serving" / "runs.sqlite") as file:
        file.execute("UPDATE runs SET process = '4194304@1'")
    file.close()
    again = book.take()
    assert again is not None
    assert again.run_id == run.run_id


def test_a_stopped_run_is_there_for_the_next_service(tmp_path: Path, book: RunBook, clock: Clock) -> None:
    run = book.ask("fruit")
    book.take()
    book.put_back(run.run_id)
    later = RunBook(tmp_path, clock)
    found = later.take()
    later.close()
    assert found is not None
    assert found.run_id == run.run_id


def test_a_stopped_run_gives_way_to_one_that_waits(book: RunBook) -> None:
    first = book.ask("fruit")
    book.take()
    second = book.ask("fruit")
    book.put_back(first.run_id)
    told = book.find(first.run_id)
    assert told is not None
    assert told.status == "failed"
    taken = book.take()
    assert taken is not None
    assert taken.run_id == second.run_id


def test_runs_are_told_by_library(book: RunBook, clock: Clock) -> None:
    book.ask("fruit")
    clock.now += 1
    book.ask("other")
    assert [run.library for run in book.runs(["fruit", "other"], 10)] == ["other", "fruit"]
    assert [run.library for run in book.runs(["fruit", "x' OR '1'='1"], 10)] == ["fruit"]
    assert book.runs([], 10) == []


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from(["ask", "event", "take", "end", "wait"]), st.sampled_from("ab")), max_size=40)
)
def test_every_wish_is_answered_by_a_run_that_begins_after_it(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]]
) -> None:
    clock = Clock()
    book = RunBook(tmp_path_factory.mktemp("book"), clock)
    asked = {"a": 0, "b": 0}
    working: list[str] = []
    for number, (step, library) in enumerate(steps):
        clock.now += 0.5
        if step in ("ask", "event"):
            run = (
                book.ask(library)
                if step == "ask"
                else book.ask_by_event(library, "s", str(number), quiet=2, longest=9)[0]
            )
            assert run.status == "waiting"
            asked[library] += 1
        elif step == "take" and (taken := book.take()) is not None:
            assert taken.library not in [found.library for i in working if (found := book.find(i))]
            working.append(taken.run_id)
        elif step == "end" and working:
            book.end(working.pop(), "ok", None, None)
        else:
            clock.now += 5
    for library, count in asked.items():
        assert sum(run.requests for run in book.runs([library], 100)) == count
    book.close()
