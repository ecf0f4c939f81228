"""Questions that a language model writes for the gate: asked for once, in bounds, and never in the way of a run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dataflow_assets.catalog import load_catalog
from dataflow_assets.flow.generation_memory import read_memory
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.flow.measuring import measure
from dataflow_assets.flow.plan import plan
from dataflow_assets.flow.report import told
from dataflow_assets.settings import EvaluationSettings
from dataflow_assets.warehouse.spool import open_spool
from dataflow_assets_tests.flow.test_generations import SMALLER, TINY, Home
from dataflow_assets_tests.loopback import Call, Loopback, Trouble

MODEL = "claude-haiku-5-5"
PRICES = {MODEL: {"input": 1.0, "output": 5.0}}
NAMES = ("apples", "pears", "plums", "quinces", "medlars", "cherries")
SMALLEST: dict[str, Any] = {"embeddings": {"dimension": 64}}


def examine(asked: list[tuple[str, str]]) -> str:
    """Write questions as a good model does."""
    listed = []
    for identity, text in asked:
        (fruit,) = set(re.findall(r"grower of (\w+)", text))
        listed.append({"id": identity, "question": f"When are {fruit} picked?", "quote": f"harvest of {fruit} begins"})
    return json.dumps({"texts": listed})


def nonsense(asked: list[tuple[str, str]]) -> str:
    """Copy the text, as a model does that did not understand."""
    return json.dumps({"texts": [{"id": identity, "question": text, "quote": text} for identity, text in asked]})


class Orchard(Home):
    """A library whose questions are written by a model."""

    def fruit(self, name: str, month: str = "September") -> None:
        self.page(name, f"A careful grower of {name} prunes in winter. The harvest of {name} begins in {month}, and then every "
                        "basket of the village is needed, since nothing that falls to the ground is ever sold.")  # fmt: skip

    def evaluation(self, **changed: Any) -> None:
        self.settings = {"prices": PRICES, "evaluation": {"question_model": MODEL, **changed}}

    def by_hand(self) -> dict[str, Any]:
        catalog = load_catalog(self.root / "catalog.yaml")
        return measure("docs", catalog, home=self.path, warehouse=self.warehouse, index=self.index)

    def calls(self) -> list[tuple[str, int, float]]:
        with self.warehouse.reading() as connection:
            return connection.execute(
                "SELECT stage, items, cost_usd FROM model_calls WHERE status = 'ok' ORDER BY called_at"
            ).fetchall()

    def planned(self, **settings: Any) -> Any:
        library = {"source": {"type": "files", "path": "docs"}, **self.settings, **settings}
        path = self.root / "catalog.yaml"
        path.write_text(json.dumps({"libraries": {"docs": library}}))
        run = LibraryRun.of(
            load_catalog(path), "docs", home=self.path, warehouse=self.warehouse, index=self.index,
            spool=open_spool(self.path, "docs"),
        )  # fmt: skip
        return plan(run).stages["search_index"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Orchard:
    for name in [name for name in os.environ if name.startswith(("DATAFLOW_", "QDRANT_", "ANTHROPIC_", "VOYAGE_"))]:
        monkeypatch.delenv(name)
    home = Orchard(tmp_path)
    for name in NAMES:
        home.fruit(name)
    home.evaluation()
    return home


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with Loopback(lambda number, call: Trouble(say=examine)) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def texts_of(services: Loopback, start: int = 0) -> list[str]:
    return sorted(text for call in services.calls[start:] for text in call.texts)


def test_nobody_is_asked_unless_somebody_said_so(home: Orchard, services: Loopback) -> None:
    home.settings = {}
    home.run()
    home.run(**SMALLER)
    assert home.by_hand()["questions"]["kind"] == "headings"
    assert services.calls == []
    assert not EvaluationSettings().paid


def test_each_question_is_paid_for_once(home: Orchard, services: Loopback) -> None:
    home.run()
    assert services.calls == [], "there is nothing yet that a gate could compare"
    run = home.run(**SMALLER)
    assert "It passed the gate" in run.details["search_index"]["took_over"]
    assert run.details["search_index"]["evaluation"]["kind"] == "model"
    assert run.details["search_index"]["asking"].asked == len(NAMES)
    assert len(texts_of(services)) == len(NAMES)
    ((stage, items, usd),) = home.calls()
    assert (stage, items) == ("evaluation", len(NAMES))
    assert usd > 0

    # A second evaluation and a generation by another chunker ask nobody.
    asked = len(services.calls)
    told_by_hand = home.by_hand()
    assert told_by_hand["questions"] == {"kind": "model", "count": 6, "k": 10, "note": None, "cost_usd": 0.0}
    assert told_by_hand["generations"][0]["recall"] == 1
    assert told_by_hand["message"] is None
    run = home.run(**TINY)
    assert "asking" not in run.details["search_index"]
    assert len(services.calls) == asked

    # An edit replaces its own question.
    home.fruit("pears", "October")
    home.run()
    home.by_hand()
    (again,) = texts_of(services, asked)
    assert "October" in again
    assert {one["kind"] for one in read_memory(home.path, "docs").evaluations} == {"model"}


def test_what_leaves_the_machine_is_the_excerpt_alone(home: Orchard, services: Loopback) -> None:
    home.run()
    home.by_hand()
    (call,) = services.calls
    assert "docs" not in json.dumps(call.body["messages"])
    assert all(text.count("grower of") == 1 for text in call.texts)


def test_a_generation_that_loses_what_was_asked_for_does_not_take_over(home: Orchard, services: Loopback) -> None:
    home.run()
    first = home.used

    def empty() -> None:
        with home.warehouse.transaction() as connection:
            connection.execute("UPDATE chunks SET text = 'nothing of the kind'")
            connection.execute("UPDATE embeddings SET vector = list_reverse(vector)")

    note = told(home.run(before_publishing=empty, **SMALLER))[0]
    assert "picked?”" in note
    assert home.used == first


@pytest.mark.parametrize("kind", ["no key", "wrong key", "no budget", "unknown price", "down", "nonsense", "refuses"])
def test_where_no_questions_can_be_had_headings_do(
    home: Orchard, services: Loopback, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    said = {
        "no key": "ANTHROPIC_API_KEY",
        "wrong key": "does not accept the key",
        "no budget": "the budget of 0 USD is reached",
        "unknown price": "price of openai:gpt-0 is not known",
        "down": "anthropic",
        "nonsense": "wrote questions about 0 of 6",
        "refuses": "refuses what it is asked",
    }
    if kind == "no key":
        monkeypatch.delenv("ANTHROPIC_API_KEY")
    elif kind == "wrong key":
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-another-secret-that-is-wrong")
    elif kind == "no budget":
        home.settings["limits"] = {"budget_usd": 0}
    elif kind == "unknown price":
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
        home.evaluation(question_model="openai:gpt-0")
        home.settings["limits"] = {"budget_usd": 1}
    elif kind == "down":
        monkeypatch.setattr("dataflow_assets.models.asking.BACKOFF_SECONDS", 0.01)
        services.trouble = lambda number, call: Trouble(status=500)
    elif kind == "nonsense":
        services.trouble = lambda number, call: Trouble(say=nonsense)
    else:
        services.trouble = lambda number, call: Trouble(status=404, body="no such model")
    home.run()
    found = home.by_hand()
    note = found["questions"]["note"]
    assert found["questions"]["kind"] == "headings"
    assert found["message"] == note
    assert said[kind] in note
    assert note.endswith("made from headings.")
    assert "secret" not in note
    if kind == "nonsense":
        assert len(services.calls) == 1 + len(NAMES), "all at once, then each once more, alone"
        home.by_hand()
        assert len(services.calls) == 1 + len(NAMES), "nonsense is paid for once, too"


def test_a_run_does_not_fail_for_it(home: Orchard, services: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-another-secret-that-is-wrong")
    home.run()
    run = home.run(**SMALLER)
    assert told(run) == []
    assert home.used == run.wanted  # type: ignore[attr-defined]
    evaluation = run.details["search_index"]["evaluation"]
    assert evaluation["kind"] == "headings"
    assert evaluation["note"] in run.details["search_index"]["took_over"]
    assert len(services.calls) == 1


def test_most_of_them_will_do(home: Orchard, services: Loopback) -> None:
    def trouble(number: int, call: Call) -> Trouble:
        if number == 0:
            return Trouble(say=lambda asked: examine(asked[:4]))
        return Trouble(status=500)

    services.trouble = trouble
    home.run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dataflow_assets.models.asking.BACKOFF_SECONDS", 0.01)
        questions = home.by_hand()["questions"]
    assert (questions["kind"], questions["count"]) == ("model", 4)
    assert f"{MODEL} wrote 4 of 6 questions" in questions["note"]
    # The service is back, and only what is missing is asked for.
    services.trouble = lambda number, call: Trouble(say=examine)
    start = len(services.calls)
    assert home.by_hand()["questions"]["count"] == 6
    assert len(texts_of(services, start)) == 2


def test_what_was_written_counts_without_a_key(
    home: Orchard, services: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.run()
    home.by_hand()
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    assert home.by_hand()["questions"] == {"kind": "model", "count": 6, "k": 10, "note": None, "cost_usd": 0.0}


def test_golden_queries_come_first(home: Orchard, services: Loopback) -> None:
    home.run()
    home.golden(("plums", "docs/plums.md"))
    home.settings["evaluation"]["question_model"] = MODEL
    home.run()
    assert home.by_hand()["questions"]["kind"] == "golden"
    assert services.calls == []


def test_as_many_as_are_wanted(home: Orchard, services: Loopback) -> None:
    home.evaluation(questions=2)
    home.run()
    first = home.by_hand()
    assert (first["questions"]["count"], len(texts_of(services))) == (2, 2)
    home.evaluation(questions=4)
    home.run()
    assert home.by_hand()["questions"]["count"] == 4
    assert len(texts_of(services)) == 4, "those that were there are among them"


def test_the_plan_knows_what_the_gate_will_ask(home: Orchard, services: Loopback) -> None:
    assert home.planned().cost_usd == 0
    home.run()
    assert home.planned().cost_usd == 0, "no new generation, no gate"
    planned = home.planned(**SMALLER)
    assert services.calls == []
    assert (planned.asked, planned.stored, planned.calls, planned.sureness) == (6, 0, 1, "estimated")
    home.run(**SMALLER)
    ((_, _, usd),) = home.calls()
    assert planned.cost_usd == pytest.approx(usd, rel=0.3)
    planned = home.planned(**SMALLEST)
    assert (planned.asked, planned.stored, planned.cost_usd) == (0, 6, 0)


@pytest.mark.parametrize("model", ["claude-haku-5-5", "voyage-4", "local"])
def test_a_model_that_writes_nothing_is_found_before_anything_starts(model: str) -> None:
    with pytest.raises(ValidationError, match="question_model") as raised:
        EvaluationSettings(question_model=model)
    assert ("did you mean claude-haiku-5-5?" in str(raised.value)) == ("claude" in model)
