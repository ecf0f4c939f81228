"""The loop that asks: each text gets its own outcome, once, whatever the service does."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dataflow_assets.errors import ConfigurationError, CredentialError
from dataflow_assets.flow.paid import paid_embedder
from dataflow_assets.model_settings import EmbeddingSettings
from dataflow_assets.models.asking import Asking
from dataflow_assets.models.base import Asked
from dataflow_assets.models.claude import ClaudeModel
from dataflow_assets.models.editor import CorrectionQuestion, stored_edits
from dataflow_assets.models.ledger import Budget, Learned, Ledger
from dataflow_assets.models.pace import Pace
from dataflow_assets.models.prices import cost_usd
from dataflow_assets.models.question import Account, Check, Manners, Outcome, Tally
from dataflow_assets.settings import LibrarySettings
from dataflow_assets.source_settings import FilesSource
from dataflow_assets_tests.loopback import KEY, Call, Loopback, Trouble, vector_of

MODEL = "claude-haiku-5-5"
Ask = Callable[..., dict[str, Outcome]]


class Bench:
    """A home with a service, and a short way to ask."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.monkeypatch = home, monkeypatch
        self.tally = Tally()

    def serve(self, trouble: Callable[[int, Call], Trouble | None] | None = None, **options: float) -> Loopback:
        server = Loopback(trouble, **options)  # type: ignore[arg-type]
        server.__enter__()
        for name, value in server.environment.items():
            self.monkeypatch.setenv(name, value)
        return server

    def asking(
        self,
        *,
        check: Check | None = None,
        budget: Budget | None = None,
        size: int = 5,
        timeout: float = 5.0,
        retries: int = 3,
    ) -> Asking[str]:
        self.tally = Tally()
        question = CorrectionQuestion(
            ClaudeModel(MODEL, timeout_seconds=timeout), prompt="v1", glossary=(), batch_size=size, context_tokens=8192,
            learned=Learned(), price=lambda usage: cost_usd("anthropic", MODEL, usage),
        )  # fmt: skip
        return Asking(
            question, ledger=Ledger(self.home), pace=Pace(self.home / "locks", "claude"),
            account=Account("lib", "run", budget), manners=Manners(2, 4, retries, timeout), check=check, tally=self.tally,
        )  # fmt: skip

    def ask(self, texts: list[str], **options: object) -> dict[str, Outcome]:
        return dict(self.asking(**options).run((text, text) for text in texts))  # type: ignore[arg-type]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("dataflow_assets.models.asking.BACKOFF_SECONDS", 0.02)
    return Bench(tmp_path, monkeypatch)


def texts(count: int, words: int = 120) -> list[str]:
    return [f"Text {n} " + "which we recieve and keep for later " * (words // 7) for n in range(count)]


def all_right(asked: list[str], outcomes: dict[str, Outcome]) -> None:
    assert set(outcomes) == set(asked)
    for text in asked:
        assert outcomes[text].status == "answered", outcomes[text]
        edits = stored_edits(outcomes[text].payload)
        assert edits == (("recieve", "receive"),) * text.count("recieve")


def test_each_text_gets_its_own_outcome_and_the_second_time_nobody_is_asked(bench: Bench) -> None:
    server, asked = bench.serve(), texts(17)
    all_right(asked, bench.ask(asked))
    assert (bench.tally.asked, bench.tally.from_store) == (17, 0)
    calls = len(server.calls)
    all_right(asked, bench.ask(asked))
    assert len(server.calls) == calls
    assert (bench.tally.asked, bench.tally.from_store, bench.tally.calls) == (0, 17, 0)
    assert bench.tally.saved_usd > 0
    assert max(server.billed().values()) == 1


def test_a_text_that_repeats_is_asked_about_once(bench: Bench) -> None:
    server = bench.serve()
    asking = bench.asking()
    one, other = texts(2)
    found = list(asking.run((str(n), one if n % 2 else other) for n in range(40)))
    assert len(found) == 40
    assert server.billed() == {("messages", one): 1, ("messages", other): 1}


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble(429, {"retry-after": "0"}), Trouble(529), Trouble(500), Trouble(503), Trouble(408), Trouble(reset=True),
        Trouble(reset_after=True), Trouble(cut=True), Trouble(body="<html>Bad gateway</html>"), Trouble(hang=2.0),
    ],
    ids=["429", "529", "500", "503", "408", "reset", "reset after", "cut", "html", "hang"],
)  # fmt: skip
def test_what_passes_is_tried_again(bench: Bench, trouble: Trouble) -> None:
    bench.serve(lambda number, call: trouble if number % 3 == 0 else None)
    asked = texts(12)
    all_right(asked, bench.ask(asked, timeout=0.5))
    assert sum(bench.tally.retries.values()) >= 1


def test_what_does_not_pass_fails_and_is_asked_again_another_day(bench: Bench) -> None:
    down = True
    server = bench.serve(lambda number, call: Trouble(500) if down and "Text 3 " in call.texts[0] else None)
    asked = texts(6)
    outcomes = bench.ask(asked, size=1, retries=1)
    assert [outcomes[text].status for text in asked].count("failed") == 1
    assert "500" in (outcomes[asked[3]].reason or "")
    down, before = False, len(server.calls)
    all_right(asked, bench.ask(asked, size=1))
    assert len(server.calls) == before + 1


def test_a_service_that_is_down_is_left_alone(bench: Bench) -> None:
    server = bench.serve(lambda number, call: Trouble(500))
    outcomes = bench.ask(texts(60), size=1, retries=0)
    assert {outcome.status for outcome in outcomes.values()} == {"failed"}
    assert len(server.calls) < 12
    assert bench.tally.stopped is not None


def test_a_wrong_key_costs_one_call(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    server = bench.serve()
    bench.monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-wrong-key-0123456789")
    with pytest.raises(CredentialError) as error:
        bench.ask(texts(40))
    assert len(server.calls) == 1
    assert "sk-ant-wrong" not in str(error.value) + caplog.text
    assert b"sk-ant-wrong" not in (bench.home / "ledger.sqlite").read_bytes()


def test_a_model_that_is_not_there_stops_at_once(bench: Bench) -> None:
    server = bench.serve(lambda number, call: Trouble(404))
    with pytest.raises(ConfigurationError, match=MODEL):
        bench.ask(texts(40))
    assert len(server.calls) == 1


def test_no_credit_stops_and_keeps_what_was_paid(bench: Bench) -> None:
    bench.serve(lambda number, call: Trouble(402) if number >= 2 else None)
    outcomes = bench.ask(texts(30), size=2)
    said = [outcome.status for outcome in outcomes.values()]
    assert set(said) == {"answered", "waits"}
    assert "payment" in (bench.tally.stopped or "")


def test_too_large_is_halved_and_a_single_one_is_remembered(bench: Bench) -> None:
    server = bench.serve(largest=4000)
    small, large = texts(9), "Text that is long. " * 400
    outcomes = bench.ask([*small, large], size=10)
    all_right(small, {text: outcomes[text] for text in small})
    assert outcomes[large].status == "refused"
    calls = len(server.calls)
    assert bench.ask([large])[large].status == "refused"
    assert len(server.calls) == calls


def test_a_bad_item_is_asked_again_once_alone_and_the_good_ones_stand(bench: Bench) -> None:
    def forgetful(asked: list[tuple[str, str]]) -> str:
        kept = [{"id": i, "edits": []} for i, text in asked if "Text 2 " not in text]
        return json.dumps({"texts": kept})

    server, asked = bench.serve(lambda number, call: Trouble(say=forgetful)), texts(5)
    outcomes = bench.ask(asked)
    assert outcomes[asked[2]].status == "refused"
    assert [outcomes[text].status for text in asked].count("answered") == 4
    assert [call.texts for call in server.calls] == [asked, [asked[2]]]
    assert bench.ask(asked)[asked[2]].status == "refused"
    assert len(server.calls) == 2


def test_an_objection_has_the_text_asked_about_alone(bench: Bench) -> None:
    server, asked = bench.serve(), texts(4)
    outcomes = bench.ask(asked, check=lambda text, payload: "no" if "Text 1 " in text else None)
    assert outcomes[asked[1]].status == "answered"  # twice the same; the stage has the last word
    assert [call.texts for call in server.calls] == [asked, [asked[1]]]
    assert bench.tally.asked_again == 1


def test_a_budget_is_a_wall_and_a_raised_one_goes_on(bench: Bench) -> None:
    server, asked = bench.serve(), texts(40, words=400)
    outcomes = bench.ask(asked, size=2, budget=Budget("lib", life_usd=0.001))
    answered = [text for text in asked if outcomes[text].status == "answered"]
    assert 0 < len(answered) < 40
    assert {outcome.status for outcome in outcomes.values()} == {"answered", "waits"}
    assert bench.tally.left == 40 - len(answered)
    assert bench.tally.cost_usd <= 0.001 + 4 * max(bench.tally.cost_usd / bench.tally.calls, 0.0002)
    all_right(asked, bench.ask(asked, size=2, budget=Budget("lib", life_usd=1.0)))
    assert max(server.billed().values()) == 1
    assert bench.tally.from_store == len(answered)


def test_a_reader_that_stops_early_loses_nothing(bench: Bench) -> None:
    server = bench.serve(latency=0.05)
    asking = bench.asking()
    found = asking.run(
        (text, text) for text in (f"Text {n} we recieve " + "and so on " * 40 for n in itertools.count())
    )
    first = next(found)
    found.close()  # type: ignore[attr-defined]
    assert first[1].status == "answered"
    billed = [text for _, text in server.billed()]
    again = len(server.calls)
    bench.ask(billed)
    assert len(server.calls) == again


def test_it_reads_no_further_ahead_than_it_can_work_on(bench: Bench) -> None:
    bench.serve(latency=1.5)
    read = 0

    def endless() -> Iterator[tuple[str, str]]:
        nonlocal read
        for n in itertools.count():
            read += 1
            yield str(n), f"Text {n} " + "and so on " * 60

    found = bench.asking().run(endless())
    time.sleep(0.7)
    seen = read
    found.close()  # type: ignore[attr-defined]
    assert seen <= 1600


def test_two_at_the_same_moment_pay_each_text_once(bench: Bench) -> None:
    import threading

    server, asked = bench.serve(latency=0.1), texts(30)
    one, other = bench.asking(), bench.asking()
    other._ledger = Ledger(bench.home)
    results: dict[str, dict[str, Outcome]] = {}
    threads = [
        threading.Thread(target=lambda name=name, a=a: results.update({name: dict(a.run((t, t) for t in asked))}))  # type: ignore[misc]
        for name, a in (("one", one), ("other", other))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    all_right(asked, results["one"])
    all_right(asked, results["other"])
    assert max(server.billed().values()) == 1


def test_every_text_gets_its_own_vector_or_none(bench: Bench) -> None:
    def spoil(rows: list[dict[str, object]]) -> list[dict[str, object]]:
        rows = rows[::-1]
        if len(rows) > 3:
            rows[0]["embedding"] = "AADAfw==" * 4  # NaN, and short
            del rows[2]
        return rows

    bench.serve(lambda number, call: Trouble(vectors=spoil))
    settings = LibrarySettings(
        source=FilesSource(path="."),
        embeddings=EmbeddingSettings(model="voyage-code-3", dimension=256, batch_size=8),
    )
    embedder = paid_embedder(bench.home, "lib", settings, run_id="run", tally=Tally())
    found = {made.key: made for made in embedder.vectors(Asked(text, text) for text in texts(30))}
    assert len(found) == 30
    for text, made in found.items():
        assert made.vector is not None, made.reason
        np.testing.assert_allclose(made.vector, vector_of(text, "voyage-code-3", 256), atol=1e-6)


def test_a_retry_after_of_an_hour_is_not_waited_for(bench: Bench) -> None:
    bench.monkeypatch.setattr("dataflow_assets.models.asking.LONGEST_WAIT", 0.1)
    bench.monkeypatch.setattr("dataflow_assets.models.pace.LONGEST_WAIT", 0.1)
    bench.serve(lambda number, call: Trouble(429, {"retry-after": "3600"}) if number == 0 else None)
    asked = texts(3)
    all_right(asked, bench.ask(asked))


def test_nothing_quotes_the_key(bench: Bench) -> None:
    bench.serve(lambda number, call: Trouble(500, body=f"your key {KEY} is fine") if number < 3 else None)
    outcomes = bench.ask(texts(3), retries=0)
    assert KEY not in str(outcomes)
    stored = b"".join(path.read_bytes() for path in bench.home.rglob("*") if path.is_file())
    assert KEY.encode() not in stored
