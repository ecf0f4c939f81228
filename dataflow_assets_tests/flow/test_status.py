"""What `status` says of money: it agrees with the ledger and the tables, whatever has been booked so far."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow_assets.catalog import load_catalog
from dataflow_assets.cli import cli
from dataflow_assets.flow.booking import book_calls
from dataflow_assets.flow.paid import open_ledger
from dataflow_assets.flow.status import library_states
from dataflow_assets.models.base import Usage
from dataflow_assets.models.ledger import Batch, Ledger, PendingCall
from dataflow_assets.records import Correction, Embedding, columns_of
from dataflow_assets.warehouse.store import Warehouse
from dataflow_assets_tests.conftest import Project
from dataflow_assets_tests.loopback import Call, Loopback, Trouble

MONEY = {"month_usd", "held_usd", "reserved_usd", "waiting", "batches"}


class Books:
    """A home with a ledger and a warehouse, and no documents."""

    def __init__(self, home: Path) -> None:
        self.home, self.ledger, self.warehouse = home, Ledger(home), Warehouse(home)
        self._number = 0

    def begin(self, usd: float, library: str = "docs") -> str:
        self._number += 1
        call_id = f"call{self._number}"
        call = PendingCall(call_id, library, "run", "corrections", "anthropic", "claude-haiku-5-5", 3, "h", usd)
        assert self.ledger.begin(call, None) is None
        return call_id

    def call(
        self, usd: float, *, library: str = "docs", status: Literal["ok", "timeout"] = "ok", reserved: float = 0.0
    ) -> None:
        call_id = self.begin(reserved or usd, library)
        self.ledger.settle(
            call_id, status=status, seconds=0.5, usage=Usage(10, 2), cost_usd=usd if status == "ok" else 0.0,
            maybe_billed=status != "ok",
        )  # fmt: skip

    def book(self) -> None:
        book_calls(self.home, self.warehouse)

    def insert(self, *rows: Any) -> None:
        with self.warehouse.writing() as connection:
            for row in rows:
                names = list(columns_of(type(row)))
                connection.execute(
                    f"INSERT INTO {row.TABLE} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
                    [getattr(row, name) for name in names],
                )

    def told(self, limits: str = "{}", model: str = "claude-haiku-5-5") -> dict[str, Any]:
        path = self.home / "catalog.yaml"
        path.write_text(
            f"libraries: {{docs: {{source: {{path: docs}}, corrections: {{model: {model}}}, limits: {limits}}}}}"
        )
        told: dict[str, Any] = library_states(load_catalog(path), self.home)["libraries"]
        return told


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path)
    yield made
    made.ledger.close()
    open_ledger(tmp_path).close()


def test_without_paid_models_nothing_is_said_and_no_ledger_is_made(books: Books) -> None:
    told = books.told(limits="{budget_usd: 5}", model="local")["docs"]
    assert told["cost_usd"] == 0.0
    assert not MONEY & told.keys()
    assert not [key for key in told if "budget" in key]
    assert not books.ledger.exists


def test_documents_with_pages_that_wait_for_a_model_are_counted_in_whatever_state_they_are(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    with books.warehouse.writing() as connection:
        connection.executemany(
            "INSERT INTO validated_documents (library, document_id, status, waiting) VALUES (?, ?, ?, ?)",
            [("docs", "1", "valid", True), ("docs", "2", "rejected", True), ("docs", "3", "valid", False),
             ("docs", "4", "valid", None), ("other", "5", "valid", True)],
        )  # fmt: skip
    told = books.told()
    assert [told[name]["waiting_documents"] for name in ("docs", "other")] == [2, 1]
    monkeypatch.setenv("DATAFLOW_HOME", str(books.home))
    monkeypatch.setenv("DATAFLOW_CATALOG", str(books.home / "catalog.yaml"))
    done = CliRunner().invoke(cli, ["status"])
    assert "docs: 2 documents have pages that wait" in done.stderr


def test_a_call_counts_from_the_moment_that_it_is_settled(books: Books) -> None:
    books.call(0.25)
    assert books.told()["docs"]["cost_usd"] == 0.25
    books.book()
    assert books.told()["docs"]["cost_usd"] == 0.25
    books.call(0.5)
    told = books.told()["docs"]
    assert (told["cost_usd"], told["month_usd"], told["held_usd"], told["reserved_usd"]) == (0.75, 0.75, 0.0, 0.0)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 1000), st.sampled_from(["ok", "timeout", "open"]), st.booleans(), st.booleans()),
        max_size=6,
    )
)
def test_every_cent_stands_in_one_place(tmp_path_factory: pytest.TempPathFactory, calls: list[Any]) -> None:
    books = Books(tmp_path_factory.mktemp("home"))
    for cents, status, ours, booked in calls:
        library = "docs" if ours else "other"
        if status == "open":
            books.begin(cents / 100, library)
        else:
            books.call(cents / 100, library=library, status=status)
        if booked:
            books.book()
    told = books.told("{budget_usd: 100, monthly_budget_usd: 1}")["docs"]

    def sum_of(wanted: str) -> float:
        return sum(cents for cents, status, ours, _ in calls if ours and status == wanted) / 100

    assert told["cost_usd"] == pytest.approx(sum_of("ok"))
    assert told["month_usd"] == told["cost_usd"], "all of it was called now"
    assert told["held_usd"] == pytest.approx(sum_of("timeout"))
    assert told["reserved_usd"] == pytest.approx(sum_of("open"))
    used = told["cost_usd"] + told["held_usd"] + told["reserved_usd"]
    assert told["budget_left_usd"] == pytest.approx(max(0.0, 100 - used))
    assert told["monthly_budget_left_usd"] == pytest.approx(max(0.0, 1 - used))
    books.ledger.close()
    open_ledger(books.home).close()


def test_a_call_that_came_to_another_end_after_it_was_booked_counts_once(books: Books) -> None:
    call_id = books.begin(0.4)
    books.ledger.settle(call_id, status="timeout", seconds=1.0, maybe_billed=True)
    books.book()
    with books.ledger._writing() as connection:  # as a process that was taken for dead would leave it
        connection.execute("UPDATE calls SET booked = 0, status = 'ok', held_usd = 0, cost_usd = 0.3")
    told = books.told()["docs"]
    assert (told["cost_usd"], told["held_usd"]) == (0.3, 0.0)


def test_only_calls_of_this_month_count_for_it(books: Books) -> None:
    books.call(0.25)
    books.call(0.5)
    books.book()
    with books.warehouse.writing() as connection:
        then = dt.datetime.now(dt.UTC).replace(tzinfo=None, day=1, hour=0) - dt.timedelta(days=3)
        connection.execute("UPDATE model_calls SET called_at = ? WHERE cost_usd = 0.5", [then])
    told = books.told()["docs"]
    assert (told["cost_usd"], told["month_usd"]) == (0.75, 0.25)


def test_what_is_gone_from_the_ledger_still_stands_in_the_table(books: Books) -> None:
    books.call(0.25)
    books.book()
    books.ledger.close()
    open_ledger(books.home).close()
    for path in books.home.glob("ledger.sqlite*"):
        path.unlink()
    assert books.told()["docs"]["cost_usd"] == 0.25


def test_a_budget_that_is_not_set_is_not_told(books: Books) -> None:
    books.call(0.25)
    assert not [key for key in books.told()["docs"] if "budget" in key]
    told = books.told("{monthly_budget_usd: 0.1}")["docs"]
    assert (told["monthly_budget_usd"], told["monthly_budget_left_usd"]) == (0.1, 0.0)
    assert "budget_usd" not in told


def test_a_batch_that_is_being_answered_is_told(books: Books) -> None:
    call_id = books.begin(2.0)
    books.ledger.plan_batch(
        Batch("local", None, "docs.003", "docs", "anthropic", "claude-haiku-5-5", "sent", call_id, 2, 0.0, 86_400.0),
        {"local-0": [("k", "text")], "local-1": [("l", "more")]},
    )
    told = books.told("{budget_usd: 5}")["docs"]
    assert told["batches"] == [
        {
            "batch_id": None, "partition": "docs.003", "model": "claude-haiku-5-5", "requests": 2, "state": "sent",
            "sent_at": "1970-01-01 00:00:00", "deadline_at": "1970-01-02 00:00:00",
        }
    ]  # fmt: skip
    assert (told["reserved_usd"], told["budget_left_usd"], told["cost_usd"]) == (2.0, 3.0, 0.0)
    books.ledger.note_batch("local", "msgbatch_1")
    assert books.told()["docs"]["batches"][0]["batch_id"] == "msgbatch_1"
    books.ledger.end_batch("local", direct=True)
    assert books.told()["docs"]["batches"] == []


def test_chunks_that_wait_are_counted_once(books: Books) -> None:
    def correction(chunk: str, waiting: bool) -> Correction:
        return Correction("docs", chunk, "d", "h", None, "failed", "Why.", "claude-haiku-5-5", waiting, "h")

    def embedding(chunk: str, reason: str) -> Embedding:
        return Embedding("docs", chunk, "d", "h", "voyage-code-3", 256, None, "failed", reason, "h")

    books.insert(
        correction("a", True),
        correction("b", False),
        embedding("a", "It waits for its correction."),
        embedding("b", "voyage: HTTP status 500"),
        embedding("c", "Not asked: the budget of 5 USD is reached."),
    )
    assert books.told()["docs"]["waiting"] == 2


def test_a_run_that_a_budget_stops_says_so_in_status_and_report(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trouble(number: int, call: Call) -> Trouble | None:
        return Trouble(status=529) if number == 1 else Trouble(reset_after=True) if number == 2 else None

    prices = {"claude-haiku-5-5": {"input": 1.0, "output": 5.0}}
    settings: dict[str, Any] = {
        "corrections": {"model": "claude-haiku-5-5", "batch_size": 1, "concurrency": 1, "max_concurrency": 1},
        "prices": prices,
        "limits": {"budget_usd": 0.005},
    }
    for number in range(8):
        project.page(f"page{number:02}", f"word{number}, a parcel that you recieve" + " and send on" * 60)
    with Loopback(trouble) as services:
        for name, value in services.environment.items():
            monkeypatch.setenv(name, value)
        project.catalog(settings)
        told = project.run()
        stopped = library_states(project.load(), project.home)["libraries"]["docs"]
        page = _text(project)
        project.catalog({**settings, "limits": {"budget_usd": 5.0}})
        project.run()
        done = library_states(project.load(), project.home)["libraries"]["docs"]
        after = _text(project)
    open_ledger(project.home).close()

    assert stopped["waiting"] > 0
    assert stopped["held_usd"] > 0
    assert stopped["budget_left_usd"] == pytest.approx(0.005 - stopped["cost_usd"] - stopped["held_usd"], abs=1e-8)
    assert f"{stopped['waiting']} corrections are left: the budget of 0.005 USD is reached" in page
    assert "further tries: connection 1, overloaded 1." in page
    assert "may have been billed for calls whose answers were lost" in page
    assert re.search(r"budget for life \$0\.00\d\d \$0\.0050 \$", page)
    assert re.search(r"overloaded 529 or 503: the service had no room .*? 1 \$0\.00", page)
    assert "waiting" in page
    assert told["quality_report"]["cost_so_far_usd"] == pytest.approx(stopped["cost_usd"], abs=1e-6)
    assert told["quality_report"]["waiting"] == stopped["waiting"]
    assert "Perhaps billed besides" in told["quality_report"]["summary"]

    assert (done["waiting"], done["cost_usd"] > stopped["cost_usd"]) == (0, True)
    assert done["cost_usd"] == pytest.approx(project.rows("SELECT sum(cost_usd) FROM model_calls")[0][0])
    assert "claude-haiku-5-5" in after.split("Some of what was mended")[1].split("Embeddings and index")[0]
    assert "recieve receive" in after
    assert "corrections are left" not in after


def _text(project: Project) -> str:
    ((path,),) = project.rows("SELECT report_path FROM quality_reports ORDER BY generated_at DESC LIMIT 1")
    page = (project.home / path).read_text("utf-8")
    words = re.sub(r"<[^>]*>", " ", re.sub("<style>.*?</style>", "", page, flags=re.DOTALL))
    return " ".join(words.split())
