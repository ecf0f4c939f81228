"""Corrections through the cheap lane: sent once, found again whatever happened, collected at half the price."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from typing import Any

import dagster as dg
import pytest
from aiohttp import web

from dataflow_assets.automation import batch_results
from dataflow_assets.models import cheap_lane
from dataflow_assets.resources import Workspace
from dataflow_assets_tests import test_paid_run as paid
from dataflow_assets_tests.conftest import SENTENCE
from dataflow_assets_tests.loopback import Call, Loopback, Trouble, asked_in
from dataflow_assets_tests.test_paid_run import Shop, bill, billed_usd, mended, only, page

shop, services = paid.shop, paid.services

FOREVER = 10_000.0
LANE = {"lane": "batch", "batch_size": 1}
"""With pages as short as these, two go into a request."""


@pytest.fixture
def lane(shop: Shop, services: Loopback) -> tuple[Shop, Loopback]:
    services.batch_seconds = FOREVER
    shop.paid(corrections=LANE)
    return shop, services


def end_batches(services: Loopback) -> None:
    """Let the service be done with what it was sent."""
    for batch in services.batches.values():
        batch["ends"] = 0.0


def ledger(shop: Shop, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(shop.home / "ledger.sqlite", timeout=10)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def texts_of(services: Loopback) -> Counter[str]:
    """Count the texts that lie in batches on the service's side."""
    return Counter(
        text
        for batch in services.batches.values()
        for request in batch["requests"]
        for _, text in asked_in("messages", request["params"])
    )


def bills(services: Loopback) -> list[Call]:
    """Give the calls that are billed; results that are read twice are billed once."""
    return list({id(call.body): call for call in services.calls if call.billed and call.endpoint != "batches"}.values())


def own(*numbers: int) -> Counter[str]:
    return Counter(page(number).strip() for number in numbers)


def tick(shop: Shop) -> list[dg.RunRequest | dg.SkipReason]:
    workspace = Workspace(home=str(shop.home), catalog=str(shop.catalog_path))
    with dg.build_sensor_context(shop.instance, resources={"workspace": workspace}) as context:
        return list(batch_results(context))  # type: ignore[call-overload]


def finished(shop: Shop, services: Loopback, count: int) -> None:
    """See that all is done and right, each text was paid for once, and the money is booked."""
    assert shop.state.status == "ok"
    shop.check_corrections()
    assert shop.check_vectors() == count
    paid_for = Counter(text for call in bills(services) if call.endpoint != "embeddings" for text in call.texts)
    assert paid_for == own(*range(count))
    ((cost,),) = shop.rows("SELECT sum(cost_usd) FROM model_calls")
    assert cost == pytest.approx(sum(bill(call)[2] for call in bills(services)))
    assert ledger(shop, "SELECT count(*) FROM batches WHERE state <> 'ended'") == [(0,)]
    assert ledger(shop, "SELECT count(*) FROM claims") == [(0,)]
    assert ledger(shop, "SELECT count(*) FROM batch_requests") == [(0,)]


def test_a_batch_is_sent_waited_for_and_collected_at_half_the_price(lane: tuple[Shop, Loopback]) -> None:
    shop, services = lane
    shop.pages(*range(6))
    told = shop.command("run", "--json")
    assert told.status == 1
    assert "msgbatch_0000" in told.err
    assert "run again later" in told.err
    assert (list(services.batches), texts_of(services)) == (["msgbatch_0000"], own(*range(6)))
    assert len(services.batches["msgbatch_0000"]["requests"]) == 3
    assert [call.endpoint for call in services.calls] == ["batches"]
    assert shop.rows("SELECT status, waiting, count(*) FROM corrections GROUP BY ALL") == [("failed", True, 6)]
    assert shop.rows("SELECT status, count(*) FROM embeddings GROUP BY ALL") == [("failed", 6)]
    assert shop.rows("SELECT count(*) FROM model_calls") == [(0,)], "it is billed when it has been answered"
    outcome = told.json["libraries"]["docs"]
    assert (outcome["status"], outcome["stages"]["corrections"]["failed"]) == ("failed", 6)

    shop.ask()
    assert shop.state.status == "incomplete"
    assert len(services.calls) == 1, "while it is open nothing is sent, neither again nor directly"

    end_batches(services)
    told = shop.ask()
    assert only(services, "messages") == []
    assert (told["corrections"]["calls"], told["corrections"]["asked_anew"]) == (1, 6)
    assert told["corrections"]["answers_from_store"] == 0
    assert told["corrections"]["saved_usd"] == pytest.approx(0.0)
    items = only(services, "batch_item")
    usd = sum(bill(call)[2] for call in items)
    assert told["corrections"]["cost_usd"] == pytest.approx(usd)
    assert shop.rows(
        "SELECT stage, provider, model, items, input_tokens, output_tokens, held_usd, status FROM model_calls "
        "WHERE stage = 'corrections'"
    ) == [
        ("corrections", "anthropic", "claude-haiku-5-5", 6, sum(bill(call)[0] for call in items),
         sum(bill(call)[1] for call in items), 0.0, "ok"),
    ]  # fmt: skip
    ((cost,),) = shop.rows("SELECT cost_usd FROM model_calls WHERE stage = 'corrections'")
    full = sum(bill(Call("messages", call.texts, call.body, 0.0, 1))[2] for call in items)
    assert cost == pytest.approx(full / 2)
    finished(shop, services, 6)

    before, calls = shop.tables(), len(services.calls)
    shop.ask()
    assert (shop.tables(), len(services.calls)) == (before, calls)
    shop.pages(6)
    shop.run()
    assert texts_of(services) == own(*range(7)), "what is new goes into a batch of its own"
    assert len(services.batches) == 2


def test_a_batch_is_written_down_with_its_money_before_it_is_sent(lane: tuple[Shop, Loopback]) -> None:
    shop, services = lane
    shop.paid(corrections=LANE, limits={"budget_usd": 1.0})
    shop.pages(*range(4))
    seen: list[Any] = []

    def look(number: int, call: Call) -> None:
        if call.endpoint == "batches":
            sent = {request["custom_id"] for request in call.body["requests"]}
            noted = {custom_id for (custom_id,) in ledger(shop, "SELECT custom_id FROM batch_requests")}
            seen.append((sent == noted, ledger(shop, "SELECT batch_id, state, requests FROM batches")))
            seen.append(ledger(shop, "SELECT status, items, reserved_usd > 0 FROM calls"))
            seen.append(ledger(shop, "SELECT sum(usd) > 0 FROM spending"))

    services.trouble = look  # type: ignore[assignment]
    shop.run()
    assert seen == [(True, [(None, "sent", 2)]), [("sent", 4, 1)], [(1,)]]
    assert ledger(shop, "SELECT batch_id FROM batches") == [("msgbatch_0000",)]


def test_a_batch_whose_receipt_was_lost_is_found_again_and_not_sent_twice(lane: tuple[Shop, Loopback]) -> None:
    shop, services = lane
    shop.pages(*range(6))
    services.trouble = lambda number, call: Trouble(reset_after=True) if call.endpoint == "batches" else None
    shop.run()
    assert texts_of(services) == own(*range(6))
    assert ledger(shop, "SELECT batch_id, state FROM batches") == [(None, "sent")]
    assert "not clear" in (shop.state.message or "")
    # Somebody else's batches are in the same account, one of them still open: it might be ours.
    mine = services.batches["msgbatch_0000"]
    strange = [{**request, "custom_id": f"other-{n}"} for n, request in enumerate(mine["requests"])]
    services.batches["msgbatch_0001"] = {"requests": strange, "ends": 0.0, "off": True}
    shop.ask()
    assert len(only(services, "batches")) == 1
    assert shop.state.status == "incomplete"
    end_batches(services)
    shop.ask()
    assert len(only(services, "batches")) == 1
    assert ledger(shop, "SELECT batch_id, state FROM batches") == [("msgbatch_0000", "ended")]
    finished(shop, services, 6)


def test_a_batch_that_never_arrived_is_sent_again(lane: tuple[Shop, Loopback]) -> None:
    shop, services = lane
    shop.pages(*range(6))
    services.trouble = lambda number, call: Trouble(reset=True) if number == 0 else None
    shop.run()
    assert services.batches == {}
    assert shop.state.status == "incomplete"
    shop.ask()
    assert texts_of(services) == own(*range(6))
    assert ledger(shop, "SELECT state FROM batches ORDER BY created_at") == [("ended",), ("sent",)]
    end_batches(services)
    shop.ask()
    finished(shop, services, 6)
    assert shop.rows("SELECT status, cost_usd, held_usd FROM model_calls WHERE status <> 'ok'") == [
        ("connection", 0.0, 0.0)
    ], "it is certain that it was not billed"


def test_a_busy_service_takes_the_batch_later_and_a_wrong_key_stops_the_run(
    lane: tuple[Shop, Loopback], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, services = lane
    shop.pages(*range(4))
    with monkeypatch.context() as patch:
        patch.setenv("ANTHROPIC_API_KEY", "sk-ant-wrong-secret-0123456789")
        told = shop.command("run")
    assert told.status == 2
    assert "does not accept the key" in told.err
    assert "Set the right one in ANTHROPIC_API_KEY" in told.err
    assert len(services.calls) == 1
    assert ledger(shop, "SELECT count(*) FROM claims") == [(0,)]
    services.trouble = lambda number, call: (
        Trouble((529, 429)[number % 2], {"retry-after": "0"}) if number < 3 else None
    )
    shop.ask()
    assert [call.status for call in only(services, "batches")] == [401, 429, 529, 200]
    assert texts_of(services) == own(*range(4))
    assert ledger(shop, "SELECT state FROM batches WHERE batch_id IS NOT NULL") == [("sent",)]
    end_batches(services)
    services.trouble = lambda number, call: None
    shop.ask()
    finished(shop, services, 4)


def test_a_process_that_is_killed_while_it_sends_leaves_a_batch_that_is_adopted(lane: tuple[Shop, Loopback]) -> None:
    shop, services = lane
    shop.pages(*range(6))
    running: list[subprocess.Popen[bytes]] = []

    def strike(number: int, call: Call) -> None:
        running[0].send_signal(signal.SIGKILL)
        running[0].wait()

    services.trouble = strike  # type: ignore[assignment]
    words = [sys.executable, "-m", "dataflow_assets.cli", "run"]
    running.append(subprocess.Popen(words, cwd=shop.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    assert running[0].wait(300) == -signal.SIGKILL
    services.trouble = lambda number, call: None
    shop.run()
    # The service took it, though nobody was there to hear it.
    assert len(services.batches) == len(only(services, "batches")) == 1
    assert shop.state.status == "incomplete"
    end_batches(services)
    shop.ask()
    assert len(only(services, "batches")) == 1
    finished(shop, services, 6)


def test_requests_that_failed_in_the_batch_go_the_direct_way(lane: tuple[Shop, Loopback]) -> None:
    shop, services = lane
    shop.pages(*range(8))
    shop.run()
    end_batches(services)
    first = {page(number).strip() for number in range(2)}
    garbled = {page(number).strip() for number in (4, 5)}

    def errors(number: int, call: Call) -> Trouble | None:
        if call.endpoint != "batch_item":
            return None
        return Trouble(500) if first & set(call.texts) else Trouble(say="Sorry?") if garbled & set(call.texts) else None

    services.trouble = errors
    shop.ask()
    asked = Counter(text for call in only(services, "messages") for text in call.texts)
    errored = {text for call in services.calls if call.endpoint == "batches" for text in call.texts} - {
        text for call in only(services, "batch_item") for text in call.texts
    }
    unread = {text for call in only(services, "batch_item") if garbled & set(call.texts) for text in call.texts}
    assert first <= errored
    assert garbled <= unread
    assert asked == Counter(errored | unread)
    shop.check_corrections()
    assert shop.check_vectors() == 8
    assert shop.state.status == "ok"
    assert len(only(services, "batches")) == 1
    ((error,),) = shop.rows("SELECT error FROM model_calls WHERE stage = 'corrections' AND items = 8")
    assert error.endswith("their texts are asked about directly.")
    ((count,),) = shop.rows("SELECT count(*) FROM model_calls WHERE error IS NOT NULL")
    assert count == 1
    calls = len(services.calls)
    shop.ask()
    assert len(services.calls) == calls


def test_a_batch_that_is_late_is_given_up_and_its_texts_go_the_direct_way(lane: tuple[Shop, Loopback]) -> None:
    shop, services = lane
    shop.paid(corrections={**LANE, "deadline_seconds": 0})
    shop.pages(*range(4))
    shop.run()
    assert shop.state.status == "incomplete"
    shop.ask()
    assert services.batches["msgbatch_0000"]["off"]
    assert Counter(text for call in only(services, "messages") for text in call.texts) == own(*range(4))
    finished(shop, services, 4)
    assert shop.rows("SELECT count(*), sum(held_usd) FROM model_calls WHERE cost_usd = 0") == [(1, 0.0)]


def test_texts_in_an_open_batch_are_not_paid_twice_when_the_lane_is_changed(lane: tuple[Shop, Loopback]) -> None:
    shop, services = lane
    shop.pages(*range(4))
    shop.run()
    shop.paid()
    shop.pages(4, 5)
    shop.run()
    assert Counter(text for call in only(services, "messages") for text in call.texts) == own(4, 5)
    assert "msgbatch_0000" in (shop.state.message or "")
    assert shop.rows("SELECT waiting, count(*) FROM corrections GROUP BY 1 ORDER BY 1") == [(False, 2), (True, 4)]
    assert shop.check_vectors() == 2
    end_batches(services)
    shop.ask()
    assert len(services.batches) == 1
    finished(shop, services, 6)


def test_a_library_with_the_same_texts_waits_for_the_batch_of_another_one(lane: tuple[Shop, Loopback]) -> None:
    shop, services = lane
    shop.pages(*range(4))
    shop.libraries(first=shop.settings(corrections=LANE), second=shop.settings(corrections=LANE))
    shop.run("first")
    shop.run("second")
    assert texts_of(services) == own(*range(4))
    assert len(services.batches) == 1
    assert [request.partition_key for request in tick(shop) if isinstance(request, dg.RunRequest)] == []
    end_batches(services)
    assert [request.partition_key for request in tick(shop) if isinstance(request, dg.RunRequest)] == ["first"]
    shop.ask("first")
    told = shop.ask("second")
    assert (told["corrections"]["answers_from_store"], told["corrections"]["cost_usd"]) == (4, 0)
    assert shop.check_vectors(library="second") == 4
    assert max(services.billed().values()) == 1


def test_a_library_in_the_direct_lane_waits_for_the_batch_of_another_one_until_it_is_overdue(
    lane: tuple[Shop, Loopback],
) -> None:
    shop, services = lane
    shop.pages(*range(4))
    shop.libraries(first=shop.settings(corrections=LANE), second=shop.settings(), third=shop.settings(corrections=LANE))
    shop.run("first")
    told = shop.run("second")
    assert told["corrections"]["failed"] == 4
    assert len(services.calls) == 1
    # The first library is given up, and nobody collects its batch.
    shop.libraries(second=shop.settings(), third=shop.settings(corrections=LANE))
    connection = sqlite3.connect(shop.home / "ledger.sqlite")
    connection.execute("UPDATE batches SET deadline_at = 1.0")
    connection.commit()
    connection.close()
    shop.run("third")
    assert len(services.batches) == 2
    end_batches(services)
    shop.ask("third")
    assert shop.check_vectors(library="third") == 4
    shop.ask("second")
    assert shop.check_vectors(library="second") == 4
    assert only(services, "messages") == []


def test_a_batch_is_collected_as_the_model_that_answers_it(lane: tuple[Shop, Loopback]) -> None:
    shop, services = lane
    shop.pages(*range(4))
    shop.run()
    shop.paid(corrections={**LANE, "model": "claude-sonnet-5-5"})
    shop.ask()
    assert [call.body["requests"][0]["params"]["model"] for call in only(services, "batches")] == [
        "claude-haiku-5-5",
        "claude-sonnet-5-5",
    ]
    end_batches(services)
    assert [isinstance(said, dg.RunRequest) for said in tick(shop)] == [True]
    shop.ask()
    assert shop.rows("SELECT DISTINCT model FROM corrections") == [("claude-sonnet-5-5",)]
    costs = dict(shop.rows("SELECT model, cost_usd FROM model_calls WHERE stage = 'corrections'"))
    for model, cost in costs.items():
        asked = [call for call in bills(services) if call.body["model"] == model]
        assert cost == pytest.approx(sum(bill(call)[2] for call in asked))
    assert set(costs) == {"claude-haiku-5-5", "claude-sonnet-5-5"}
    calls = len(services.calls)
    shop.paid(corrections=LANE)
    shop.ask()
    assert len(services.calls) == calls, "what the first model answered is there"
    shop.check_corrections()


def test_a_batch_that_the_service_does_not_know_holds_nothing_up_when_it_is_overdue(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(Loopback):
        async def _get(self, request: web.Request) -> web.Response:
            if request.match_info["id"] not in self.batches:
                return web.json_response(
                    {"type": "error", "error": {"type": "not_found_error", "message": "?"}}, status=404
                )
            return await super()._get(request)

    with Forgetful(batch_seconds=FOREVER) as services:
        for name, value in services.environment.items():
            monkeypatch.setenv(name, value)
        shop.paid(corrections=LANE)
        shop.pages(*range(4))
        shop.run()
        services.batches.clear()
        shop.ask()
        assert shop.state.status == "incomplete", "it may be there with another key"
        assert len(services.calls) == 1
        connection = sqlite3.connect(shop.home / "ledger.sqlite")
        connection.execute("UPDATE batches SET deadline_at = 1.0")
        connection.commit()
        connection.close()
        shop.ask()
        assert shop.state.status == "ok"
        assert Counter(text for call in only(services, "messages") for text in call.texts) == own(*range(4))
        assert shop.rows("SELECT status, held_usd > 0 FROM model_calls WHERE cost_usd = 0") == [("lost", True)]


def test_a_budget_pays_for_a_part_of_a_batch_and_the_rest_follows_when_it_is_raised(
    lane: tuple[Shop, Loopback],
) -> None:
    shop, services = lane
    shop.pages(*range(16))
    stage = shop.command("plan", "--json").json["libraries"]["docs"]["stages"]["corrections"]
    assert stage["calls"] == 8
    budget = stage["cost_usd"] * 0.6
    shop.paid(corrections=LANE, limits={"budget_usd": budget})
    shop.run()
    sent = texts_of(services)
    assert 0 < len(sent) < 16
    assert shop.state.status == "incomplete"
    assert "budget" in (shop.state.message or "")
    assert ledger(shop, "SELECT sum(usd) FROM spending")[0][0] <= budget
    assert ledger(shop, "SELECT count(*) FROM claims") == [(0,)]
    end_batches(services)
    shop.ask()
    assert billed_usd(services) <= budget
    assert shop.state.status == "incomplete"
    assert "budget" in (shop.state.message or "")
    shop.paid(corrections=LANE, limits={"budget_usd": 1.0})
    for _ in range(2):
        shop.ask()
        end_batches(services)
    shop.ask()
    assert texts_of(services) == own(*range(16)), "and no text lay in two batches"
    finished(shop, services, 16)


def test_a_batch_that_is_not_paid_for_leaves_its_texts_to_others(
    lane: tuple[Shop, Loopback], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, services = lane
    monkeypatch.setattr(cheap_lane, "BATCH_BYTES", 1)  # a request makes a batch
    shop.pages(*range(12))
    shop.libraries(
        poor=shop.settings(corrections=LANE, limits={"budget_usd": 0.0}),
        rich=shop.settings(),
    )
    shop.run("poor")
    assert services.batches == {}
    assert ledger(shop, "SELECT count(*) FROM claims") == [(0,)]
    shop.run("rich")
    assert shop.check_vectors(library="rich") == 12


def test_several_batches_are_sent_and_collected(lane: tuple[Shop, Loopback], monkeypatch: pytest.MonkeyPatch) -> None:
    shop, services = lane
    monkeypatch.setattr(cheap_lane, "BATCH_BYTES", 500)
    shop.pages(*range(12))
    shop.run()
    assert len(services.batches) > 2
    assert texts_of(services) == own(*range(12))
    assert f"{len(services.batches) - 1} more" in (shop.state.message or "")
    # One of them ends before the others.
    services.batches["msgbatch_0001"]["ends"] = 0.0
    shop.ask()
    assert shop.state.status == "incomplete"
    ((corrected,),) = shop.rows("SELECT count(*) FROM corrections WHERE NOT waiting")
    assert corrected == len({text for call in only(services, "batch_item") for text in call.texts}) > 0
    assert shop.check_vectors() == corrected
    end_batches(services)
    shop.ask()
    finished(shop, services, 12)


def test_the_sensor_asks_for_a_run_when_a_batch_has_ended_and_not_before(lane: tuple[Shop, Loopback]) -> None:
    shop, services = lane
    shop.pages(*range(4))
    (nothing,) = tick(shop)
    assert isinstance(nothing, dg.SkipReason)
    assert not (shop.home / "ledger.sqlite").exists(), "looking makes no ledger"
    shop.run()
    (waiting,) = tick(shop)
    assert isinstance(waiting, dg.SkipReason)
    assert "1 batches" in (waiting.skip_message or "")
    end_batches(services)
    (request,), (again,) = tick(shop), tick(shop)
    assert isinstance(request, dg.RunRequest)
    assert isinstance(again, dg.RunRequest)
    assert request.partition_key == "docs"
    assert (request.run_key or "").startswith("docs@")
    shop.run("docs")
    (done,) = tick(shop)
    assert isinstance(done, dg.SkipReason)
    finished(shop, services, 4)


def test_the_sensor_says_what_keeps_it_from_looking(
    lane: tuple[Shop, Loopback], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, _ = lane
    shop.pages(*range(2))
    shop.run()
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    (said,) = tick(shop)
    assert isinstance(said, dg.SkipReason)
    assert "msgbatch_0000 cannot be asked for now" in (said.skip_message or "")
    shop.catalog_path.write_text("libraries: [")
    (said,) = tick(shop)
    assert isinstance(said, dg.SkipReason)
    assert "catalog.yaml" in (said.skip_message or "")


def test_answers_of_a_batch_are_judged_like_others(lane: tuple[Shop, Loopback]) -> None:
    shop, services = lane
    shop.pages(1, 2)
    shop.run()
    end_batches(services)

    def say(asked: list[tuple[str, str]]) -> str:
        """Mend the first text, and write a new one instead of the second."""
        mend, rewrite = {"original": "teh", "corrected": "the"}, {"original": SENTENCE, "corrected": "Nothing."}
        return json.dumps({"texts": [{"id": i, "edits": [mend if "teh" in text else rewrite]} for i, text in asked]})

    services.trouble = lambda number, call: Trouble(say=say) if call.endpoint == "batch_item" else None
    shop.ask()
    (again,) = only(services, "messages")
    assert again.texts == [page(2).strip()], "asked about once more, alone and directly"
    rows = shop.rows("SELECT text, status, corrected_text FROM corrections JOIN chunks USING (chunk_id) ORDER BY 1")
    first, second = page(1).strip(), page(2).strip()
    assert rows == [(first, "corrected", first.replace("teh", "the")), (second, "unchanged", None)]
    assert mended(second) == second
