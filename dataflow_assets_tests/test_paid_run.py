"""A library with paid models, as its owner lives with it: what is asked, what it costs, and what never costs twice.

Everything here goes through Dagster or the command, and over real sockets, to services on the loopback interface.
"""

from __future__ import annotations

import io
import json
import logging
import math
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from dataflow_assets import cli
from dataflow_assets.definitions import build_defs
from dataflow_assets.flow.state import RunState, read_state
from dataflow_assets.resources import Workspace
from dataflow_assets_tests.conftest import SENTENCE, Project
from dataflow_assets_tests.loopback import KEY, TYPOS, VOYAGE_KEY, Call, Loopback, Trouble, message, tokens, vector_of

PRICES = {
    "claude-haiku-5-5": {"input": 1.0, "output": 5.0},
    "claude-sonnet-5-5": {"input": 2.0, "output": 10.0},
    "voyage-code-3": {"input": 0.5},
    "voyage-4-large": {"input": 0.4},
    "voyage-4-lite": {"input": 0.1},
}
"""US dollars for a million tokens; stated, so that no published price decides a test."""
CLAUDE = {"model": "claude-haiku-5-5"}
VOYAGE = {"model": "voyage-code-3", "dimension": 256}
BOTH = ("messages", "embeddings")
ASKING = ("corrections", "embeddings", "quality_report")
UNPUBLISHED = ("raw_documents", "validated_documents", "chunks", *ASKING)
EVERYTHING = (*UNPUBLISHED, "search_index")


@dataclass
class Told:
    """What the command said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shop(Project):
    """A project whose library is corrected by Claude and embedded by Voyage."""

    def paid(self, **settings: Any) -> None:
        """Write the catalog; sections given are merged into those of the paid models."""
        self.catalog(self.settings(**settings))

    def settings(self, **settings: Any) -> dict[str, Any]:
        known: dict[str, Any] = {"corrections": CLAUDE, "embeddings": VOYAGE, "prices": PRICES}
        for section, given in settings.items():
            merged = isinstance(given, dict) and section != "prices"
            known[section] = {**known.get(section, {}), **given} if merged else given
        return known

    def libraries(self, **libraries: dict[str, Any]) -> None:
        """Write a catalog of several libraries over the same folder."""
        source = {"type": "files", "path": "docs"}
        said = {name: {"source": source, **settings} for name, settings in libraries.items()}
        self.catalog_path.write_text(json.dumps({"libraries": said}))

    def run(
        self, partition: str = "docs", *, accept_deletes: bool = False, assets: Sequence[str] = UNPUBLISHED
    ) -> dict[str, dict[str, Any]]:
        """Materialise assets of a partition, without their checks, which take as long as all else; give their metadata."""
        workspace = Workspace(home=str(self.home), catalog=str(self.catalog_path))
        whole = build_defs(workspace=workspace).resolve_implicit_global_asset_job_def()
        job = whole.get_subset(asset_selection={dg.AssetKey(name) for name in assets}, asset_check_selection=set())
        self.instance.add_dynamic_partitions("library", [partition])
        config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        result = job.execute_in_process(instance=self.instance, partition_key=partition, run_config=config)
        assert result.success
        told = {}
        for event in result.get_asset_materialization_events():
            found = event.step_materialization_data.materialization
            told[found.asset_key.path[-1]] = {name: value.value for name, value in found.metadata.items()}
        return told

    def ask(self, partition: str = "docs") -> dict[str, dict[str, Any]]:
        """Materialise only what asks, and the report: for runs before which no document changed."""
        return self.run(partition, assets=ASKING)

    def pages(self, *numbers: int) -> None:
        for number in numbers:
            self.write(f"page{number:03}.md", page(number))

    def command(self, *words: str) -> Told:
        """Run the command in this process."""
        out, err, status = io.StringIO(), io.StringIO(), 0
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", ["dataflow", *words])
            try:
                cli.main()
            except SystemExit as ended:
                status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        return Told(status, out.getvalue(), err.getvalue())

    @property
    def state(self) -> RunState:
        found = read_state(self.home, "docs")
        assert found is not None
        return found

    def content(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table of documents, without its times."""
        times = {"raw_documents": "updated_at, fetched_at, fingerprint"}
        return {
            name: sorted(self.rows(f"SELECT * EXCLUDE ({times.get(name, 'updated_at')}) FROM {name}"), key=repr)
            for name in self.tables()
        }

    def texts(self, library: str = "docs") -> dict[str, tuple[str, str]]:
        """Chunk -> its own text, and the text that is searched."""
        found = self.rows(
            "SELECT chunk_id, text, coalesce(corrected_text, text) FROM chunks JOIN corrections USING (chunk_id) "
            f"WHERE chunks.library = '{library}'"
        )
        return {chunk: (own, searched) for chunk, own, searched in found}

    def check_vectors(self, model: str = "voyage-code-3", dimension: int = 256, library: str = "docs") -> int:
        """Hold every vector that is there against the one that the service gives to its text; give their number."""
        texts = self.texts(library)
        found = self.rows(
            f"SELECT chunk_id, vector FROM embeddings WHERE status = 'embedded' AND library = '{library}'"
        )
        for chunk, vector in found:
            assert np.array_equal(np.asarray(vector, np.float32), vector_of(texts[chunk][1], model, dimension))
        return len(found)

    def check_corrections(self) -> None:
        """Hold every correction against what the service knows to mend."""
        asked = "SELECT chunk_id, status, corrected_text FROM corrections WHERE status IN ('corrected', 'unchanged')"
        texts = self.texts()
        for chunk, status, corrected in self.rows(asked):
            own = texts[chunk][0]
            assert (status, corrected) == (("corrected", mended(own)) if mended(own) != own else ("unchanged", None))


def page(number: int, more: str = "") -> str:
    """Write a page: every other one has mistakes that the model knows to mend."""
    said = "Untill then we recieve teh parcels." if number % 2 else "They are taken in by the porter."
    return f"# Page {number}\n\nThis page tells of the parcel {number}. {said} {SENTENCE} {more}\n"


def mended(text: str) -> str:
    return re.sub(r"\w+", lambda word: TYPOS.get(word.group(), word.group()), text)


def bill(call: Call) -> tuple[int, int, float]:
    """Give what a call is billed: tokens sent, tokens answered, US dollars."""
    price = PRICES[call.body["model"]]
    if call.endpoint == "embeddings":
        sent, answered = tokens(*call.texts), 0
    else:
        usage = message(call.body, Trouble())["usage"]
        sent, answered = usage["input_tokens"], usage["output_tokens"]
    usd = (sent * price["input"] + answered * price.get("output", 0.0)) / 1e6
    return sent, answered, usd * (0.5 if call.endpoint == "batch_item" else 1.0)


def billed_usd(services: Loopback) -> float:
    return sum(bill(call)[2] for call in services.calls if call.billed)


def asked_since(services: Loopback, start: int, endpoint: str) -> Counter[str]:
    """Count the texts of the calls after the first `start` ones; not the questions that a new generation is judged by."""
    calls = [call for call in services.calls[start:] if call.body.get("input_type") != "query"]
    return Counter(text for call in calls if call.endpoint == endpoint for text in call.texts)


def only(services: Loopback, endpoint: str) -> list[Call]:
    return [call for call in services.calls if call.endpoint == endpoint]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    for name in [name for name in os.environ if name.startswith(("DATAFLOW_", "QDRANT_", "ANTHROPIC_", "VOYAGE_"))]:
        monkeypatch.delenv(name)
    with dg.DagsterInstance.ephemeral() as instance:
        made = Shop(tmp_path, instance)
        monkeypatch.setenv("DATAFLOW_HOME", str(made.home))
        monkeypatch.setenv("DATAFLOW_CATALOG", str(made.catalog_path))
        monkeypatch.setenv("DAGSTER_HOME", str(made.home / "dagster"))
        made.paid()
        yield made


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with Loopback() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


# ---- what is asked, and what it costs


def test_each_text_gets_its_own_correction_and_vector_and_everything_is_booked(shop: Shop, services: Loopback) -> None:
    shop.pages(*range(40))
    told = shop.run(assets=EVERYTHING)
    texts = shop.texts()
    assert len(texts) == 40
    shop.check_corrections()
    assert shop.rows("SELECT status, count(*) FROM corrections GROUP BY 1 ORDER BY 1") == [
        ("corrected", 20),
        ("unchanged", 20),
    ]
    assert shop.check_vectors() == 40
    paid = Counter(("messages", own) for own, _ in texts.values())
    assert services.billed() == paid + Counter(("embeddings", searched) for _, searched in texts.values())
    for endpoint, stage, provider, model in (
        ("messages", "corrections", "anthropic", "claude-haiku-5-5"),
        ("embeddings", "embeddings", "voyage", "voyage-code-3"),
    ):
        bills = [bill(call) for call in only(services, endpoint)]
        sent, answered, usd = (math.fsum(one[n] for one in bills) for n in range(3))
        ((calls, items, *booked, cost, held),) = shop.rows(
            "SELECT count(*), sum(items), sum(input_tokens), sum(output_tokens), sum(cached_tokens), sum(cost_usd), "
            f"sum(held_usd) FROM model_calls WHERE library = 'docs' AND stage = '{stage}' AND provider = '{provider}' "
            f"AND model = '{model}' AND status = 'ok' AND error IS NULL"
        )
        assert (calls, items, booked, held) == (len(bills), 40, [sent, answered, 0], 0)
        assert cost == pytest.approx(usd)
        about = told[stage]
        assert (about["calls"], about["input_tokens"], about["output_tokens"]) == (len(bills), sent, answered)
        assert about["cost_usd"] == pytest.approx(usd)
        assert (about["asked_anew"], about["answers_from_store"], about["retries"], about["left"]) == (40, 0, 0, 0)
        assert (about["new"], about["failed"]) == (40, 0)
    assert shop.rows("SELECT count(DISTINCT run_id) FROM model_calls") == [(1,)]
    status = shop.command("status", "--json").json["libraries"]["docs"]
    assert status["cost_usd"] == pytest.approx(billed_usd(services))
    ((cost,),) = shop.rows("SELECT cost_usd FROM quality_reports")
    assert cost == pytest.approx(billed_usd(services))

    before, calls, booked = shop.tables(), len(services.calls), shop.rows("SELECT * FROM model_calls ORDER BY call_id")
    told = shop.run(assets=EVERYTHING)
    assert len(services.calls) == calls
    assert shop.tables() == before
    assert shop.rows("SELECT * FROM model_calls ORDER BY call_id") == booked
    assert [
        told[stage][name] for stage in ("corrections", "embeddings") for name in ("new", "changed", "cost_usd")
    ] == [0] * 6
    assert shop.state.status == "ok"


def test_an_edit_costs_the_chunks_that_it_touches_and_taking_it_back_costs_nothing(
    shop: Shop, services: Loopback
) -> None:
    shop.paid(chunking={"max_tokens": 64})
    sections = [f"## Part {n}\n\n" + f"We recieve item {n} of the section at length. " * 4 for n in range(8)]
    shop.write("page.md", "\n\n".join(sections))
    shop.run()
    before, calls = {own for own, _ in shop.texts().values()}, len(services.calls)
    edited = [*sections[:3], sections[3].replace("length", "seperate length"), *sections[4:]]
    shop.write("page.md", "\n\n".join(edited))
    shop.run()
    new = {own for own, _ in shop.texts().values()} - before
    assert 0 < len(new) <= 2
    assert asked_since(services, calls, "messages") == Counter(new)
    assert asked_since(services, calls, "embeddings") == Counter(mended(text) for text in new)
    calls = len(services.calls)
    shop.write("page.md", "\n\n".join(sections))
    told = shop.run()
    assert len(services.calls) == calls
    assert told["corrections"]["answers_from_store"] == told["embeddings"]["answers_from_store"] == len(new)
    assert told["corrections"]["saved_usd"] > 0
    shop.check_corrections()
    assert shop.check_vectors() == len(before)


def test_a_text_is_paid_for_once_over_all_libraries(shop: Shop, services: Loopback) -> None:
    shop.pages(*range(10))
    shop.libraries(first=shop.settings(), second=shop.settings(limits={"budget_usd": 0.0}))
    shop.run("first")
    calls = len(services.calls)
    told = shop.run("second")
    assert len(services.calls) == calls
    for stage in ("corrections", "embeddings"):
        assert (told[stage]["new"], told[stage]["answers_from_store"], told[stage]["calls"]) == (10, 10, 0)
        assert told[stage]["cost_usd"] == 0
    assert shop.check_vectors(library="first") == shop.check_vectors(library="second") == 10
    assert shop.rows("SELECT DISTINCT library FROM model_calls") == [("first",)]
    assert max(services.billed().values()) == 1


def test_another_model_is_asked_anew_and_the_first_one_costs_nothing_when_it_comes_back(
    shop: Shop, services: Loopback
) -> None:
    shop.pages(*range(6))
    shop.run(assets=EVERYTHING)
    first, generation, calls = shop.content(), shop.index.published("docs"), len(services.calls)
    own = Counter(own for own, _ in shop.texts().values())
    searched = Counter(searched for _, searched in shop.texts().values())

    shop.paid(corrections={"model": "claude-sonnet-5-5"})
    shop.run(assets=EVERYTHING)
    assert asked_since(services, calls, "messages") == own
    assert asked_since(services, calls, "embeddings") == {}, "the same corrections, hence the same vectors"
    assert shop.rows("SELECT DISTINCT model FROM corrections") == [("claude-sonnet-5-5",)]

    calls = len(services.calls)
    shop.paid(embeddings={"model": "voyage-4-large"})
    shop.run(assets=EVERYTHING)
    assert asked_since(services, calls, "embeddings") == searched
    assert {call.body["model"] for call in services.calls[calls:] if call.endpoint == "embeddings"} == {
        "voyage-4-large"
    }
    assert shop.rows("SELECT DISTINCT model, dimension FROM embeddings") == [("voyage-4-large", 256)]
    assert shop.check_vectors("voyage-4-large") == 6
    other = shop.index.published("docs")
    assert generation is not None
    assert other is not None
    assert other.name != generation.name, "vectors of two models never share a generation"
    assert other.points == 6

    calls = len(services.calls)
    shop.paid()
    shop.run(assets=EVERYTHING)
    assert len(services.calls) == calls
    again = shop.content()
    # A published generation's name is new each time; all else is as it was.
    assert {name: rows for name, rows in again.items() if name != "search_index"} == {
        name: rows for name, rows in first.items() if name != "search_index"
    }
    assert shop.check_vectors() == 6


def test_house_rules_decide_what_is_asked_anew(shop: Shop, services: Loopback) -> None:
    shop.pages(0, 1, 2, 3)
    shop.run()
    calls = len(services.calls)

    shop.paid(corrections={"max_change": 0.5})
    shop.ask()
    assert len(services.calls) == calls, "the answers are there; they are only judged once more"
    shop.check_corrections()

    shop.paid(corrections={"max_change": 0.01})
    told = shop.ask()
    # Mending three words changes more than a hundredth: each such text is asked about once more, alone, and then refused.
    assert asked_since(services, calls, "messages") == Counter(page(n).strip() for n in (1, 3))
    assert told["corrections"]["asked_again_alone"] == 2
    assert shop.rows("SELECT status, count(*) FROM corrections GROUP BY 1 ORDER BY 1") == [
        ("refused", 2),
        ("unchanged", 2),
    ]
    assert shop.state.status == "ok", "what a rule forbids is a verdict, not a failure"
    # What is searched now are the texts as they are, which nobody embedded before.
    assert asked_since(services, calls, "embeddings") == Counter(page(n).strip() for n in (1, 3))

    calls = len(services.calls)
    shop.paid()
    shop.ask()
    assert len(services.calls) == calls
    shop.check_corrections()

    shop.paid(corrections={"glossary": ["teh"]})
    shop.ask()
    assert asked_since(services, calls, "messages") == Counter(page(n).strip() for n in range(4))
    assert all("teh" in json.dumps(call.body["system"]) for call in services.calls[calls:] if "system" in call.body)
    mending = page(1).strip().replace("Untill", "Untill").replace("recieve", "receive")
    assert shop.rows("SELECT corrected_text FROM corrections WHERE corrected_text LIKE '%parcel 1.%'") == [(mending,)]


def test_documents_that_the_settings_leave_out_are_not_asked_about(shop: Shop, services: Loopback) -> None:
    german = (
        "# Seite\n\nDiese Seite erzählt von den Paketen, die wir jeden Tag erhalten, und davon, wohin sie gebracht "
        "werden, wenn niemand zu Hause ist. Das geschieht öfter, als man denkt, und niemand weiß warum.\n"
    )
    shop.write("seite.md", german)
    shop.pages(0, 1)
    shop.paid(corrections={"languages": ["en"], "exclude": ["*page000*"]})
    shop.run()
    assert asked_since(services, 0, "messages") == Counter([page(1).strip()])
    assert shop.rows(
        "SELECT source_uri, x.status FROM corrections x JOIN raw_documents USING (document_id) ORDER BY 1"
    ) == [("docs/page000.md", "skipped"), ("docs/page001.md", "corrected"), ("docs/seite.md", "skipped")]
    assert shop.check_vectors() == 3, "they are searched all the same"

    calls = len(services.calls)
    shop.paid(corrections={"doc_types": ["message"]})
    told = shop.ask()
    assert asked_since(services, calls, "messages") == {}
    assert shop.rows("SELECT DISTINCT status FROM corrections") == [("skipped",)]
    assert (told["corrections"]["changed"], told["corrections"]["failed"]) == (1, 0)
    assert asked_since(services, calls, "embeddings") == Counter([page(1).strip()])
    assert shop.state.status == "ok"


# ---- kills


def test_what_was_answered_before_a_kill_is_never_asked_again(
    shop: Shop, services: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.pages(*range(24))
    shop.paid(
        corrections={"batch_size": 1, "concurrency": 2, "max_concurrency": 2},
        embeddings={"batch_size": 3, "concurrency": 2, "max_concurrency": 2},
    )
    killed: dict[str, list[Call]] = {}

    def killed_at(endpoint: str, half: int) -> None:
        """Let the command run until it makes a certain call, and kill it then."""
        running: list[subprocess.Popen[bytes]] = []

        def trouble(number: int, call: Call) -> None:
            if call.endpoint == endpoint and len(only(services, endpoint)) == half and running:
                running.pop().send_signal(signal.SIGKILL)
                killed[endpoint] = only(services, endpoint)

        services.trouble = trouble  # type: ignore[assignment]
        words = [sys.executable, "-m", "dataflow_assets.cli", "run"]
        process = subprocess.Popen(words, cwd=shop.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running.append(process)
        assert process.wait(300) == -signal.SIGKILL

    killed_at("messages", 6)
    killed_at("embeddings", 4)
    services.trouble = lambda number, call: None
    shop.run(assets=EVERYTHING)
    assert shop.state.status == "ok"
    shop.check_corrections()
    assert shop.check_vectors() == 24
    assert list(killed) == list(BOTH)
    assert max(services.billed().values()) <= 2
    twice = {what for what, times in services.billed().items() if times > 1}
    for endpoint, calls in killed.items():
        # A slot is given back after an answer is stored, so all but two calls had been stored when the last one was made.
        assert len([call for call in calls if any((endpoint, text) in twice for text in call.texts)]) <= 2
    lost = shop.rows("SELECT stage, cost_usd, held_usd > 0, error FROM model_calls WHERE status = 'lost'")
    assert 1 <= len(lost) <= 4
    assert all(cost == 0 and held and "died" in error for _, cost, held, error in lost)
    ((calls,),) = shop.rows("SELECT count(*) FROM model_calls")
    assert len(services.calls) <= calls <= len(services.calls) + 4, "one that was written down may not have been sent"
    ((cost, whole),) = shop.rows("SELECT sum(cost_usd), sum(cost_usd + held_usd) FROM model_calls")
    assert cost <= billed_usd(services) <= whole * 1.15

    asked, after = len(services.calls), shop.content()
    shop.run(assets=EVERYTHING)
    assert len(services.calls) == asked
    assert shop.content() == after
    (tmp_path / "other").mkdir()
    undisturbed = Shop(tmp_path / "other", shop.instance)
    undisturbed.paid()
    undisturbed.pages(*range(24))
    monkeypatch.setenv("DATAFLOW_HOME", str(undisturbed.home))
    undisturbed.run(assets=EVERYTHING)
    assert undisturbed.content() == after


# ---- money


def test_a_budget_stops_a_run_and_a_higher_one_continues_it(shop: Shop, services: Loopback) -> None:
    shop.pages(*range(24))
    small = {"batch_size": 1, "concurrency": 1, "max_concurrency": 1}
    one_call = bill_of_one_call(shop)
    budget = 6.5 * one_call
    shop.paid(corrections=small, limits={"budget_usd": budget})
    told = shop.command("run", "--json")
    assert told.status == 1
    assert "budget" in told.err
    assert "limits.budget_usd" in told.err
    (outcome,) = told.json["libraries"].values()
    assert outcome["status"] == "failed"
    assert "are left" in outcome["message"]
    assert 0 < billed_usd(services) <= budget
    answered = {text for call in only(services, "messages") if call.billed for text in call.texts}
    assert 4 <= len(answered) < 24
    rows = dict(shop.rows("SELECT text, waiting FROM corrections JOIN chunks USING (chunk_id)"))
    assert {text for text, waiting in rows.items() if not waiting} == answered
    assert shop.rows("SELECT DISTINCT status FROM corrections WHERE waiting") == [("failed",)]
    # What waits for its correction is not embedded from its own text; and there is no money for the others.
    assert set(asked_since(services, 0, "embeddings")) <= {mended(text) for text in answered}
    status = shop.command("status", "--json").json["libraries"]["docs"]
    assert status["cost_usd"] == pytest.approx(billed_usd(services))
    assert "budget" in status["last_run"]["message"]

    shop.ask()
    assert shop.state.status == "incomplete"
    assert billed_usd(services) <= budget

    shop.paid(corrections=small, limits={"budget_usd": 1.0})
    told = shop.command("run", "--json")
    assert (told.status, told.err) == (0, "")
    shop.check_corrections()
    assert shop.check_vectors() == 24
    assert set(services.billed().values()) == {1}
    ((cost,),) = shop.rows("SELECT sum(cost_usd) FROM model_calls")
    assert cost == pytest.approx(billed_usd(services))


def bill_of_one_call(shop: Shop) -> float:
    """Give what the plan says that one of the calls about a page or two costs."""
    shop.paid(corrections={"batch_size": 1})
    stage = shop.command("plan", "--json").json["libraries"]["docs"]["stages"]["corrections"]
    return float(stage["cost_usd"] / stage["calls"])


def test_a_monthly_budget_is_new_with_the_month(shop: Shop, services: Loopback) -> None:
    shop.pages(*range(12))
    small = {"batch_size": 1, "concurrency": 1, "max_concurrency": 1}
    limit = 3.5 * bill_of_one_call(shop)
    shop.paid(corrections=small, limits={"budget_usd": 1.0, "monthly_budget_usd": limit})
    told = shop.run()
    assert shop.state.status == "incomplete"
    assert "this month" in (shop.state.message or "")
    assert "limits.monthly_budget_usd" in (shop.state.message or "")
    assert told["corrections"]["left"] > 0
    assert "budget" in told["corrections"]["stopped"]
    assert 0 < (spent := billed_usd(services)) <= limit
    calls = len(services.calls)
    with sqlite3.connect(shop.home / "ledger.sqlite") as ledger:
        ledger.execute("UPDATE spending SET month = '2001-01'")
        ledger.execute("UPDATE calls SET month = '2001-01'")
    ledger.close()
    shop.ask()
    assert len(services.calls) > calls
    assert spent < billed_usd(services) <= 2 * limit
    assert set(services.billed().values()) == {1}


# ---- what is found before anything starts, and at the first call


def test_an_unknown_price_with_a_budget_and_a_missing_key_change_nothing(
    shop: Shop, services: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.pages(0)
    unpriced = {"model": "openai:gpt-of-next-year"}
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody-0123456789")
    shop.libraries(
        plain={},
        paid={**shop.settings(), "corrections": unpriced, "limits": {"monthly_budget_usd": 1.0}},
    )
    told = shop.command("run")
    assert told.status == 2
    assert "price" in told.err
    assert "gpt-of-next-year" in told.err
    assert not shop.home.exists()
    for name, variable in (("ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY"), ("VOYAGE_API_KEY", "VOYAGE_API_KEY")):
        with monkeypatch.context() as patch:
            patch.delenv(name)
            shop.libraries(plain={}, paid=shop.settings())
            told = shop.command("run")
        assert told.status == 2
        assert variable in told.err
        assert "paid" in told.err
        assert not shop.home.exists()
    assert services.calls == []


def test_a_wrong_key_costs_one_call_keeps_what_is_stored_and_stops_no_other_library(
    shop: Shop, services: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.pages(*range(20))
    many = {"batch_size": 1, "concurrency": 8}
    shop.libraries(paid=shop.settings(corrections=many), plain={})
    with monkeypatch.context() as patch:
        patch.setenv("ANTHROPIC_API_KEY", "sk-ant-wrong-secret-0123456789")
        told = shop.command("run", "--json")
    assert told.status == 2
    assert "anthropic does not accept the key" in told.err
    assert "Set the right one in ANTHROPIC_API_KEY" in told.err
    assert "wrong-secret" not in told.out + told.err
    assert "Traceback" not in told.err
    outcomes = told.json["libraries"]
    assert (outcomes["paid"]["status"], outcomes["plain"]["status"]) == ("failed", "ok")
    assert [(call.endpoint, call.status) for call in services.calls] == [("messages", 401)]
    assert shop.rows("SELECT library, count(*) FROM chunks GROUP BY 1 ORDER BY 1") == [("paid", 20), ("plain", 20)]
    assert shop.rows("SELECT count(*) FROM corrections WHERE library = 'paid'") == [(0,)]
    assert shop.rows("SELECT status, cost_usd, held_usd FROM model_calls") == [("credential", 0, 0)]

    with monkeypatch.context() as patch:
        patch.setenv("VOYAGE_API_KEY", "pa-wrong-secret-0123456789abcdef")
        shop.libraries(paid=shop.settings(corrections=many, embeddings={"batch_size": 2}), plain={})
        told = shop.command("run", "paid")
    assert told.status == 2
    assert "voyage does not accept the key" in told.err
    assert "Set the right one in VOYAGE_API_KEY" in told.err
    assert "voyage does not accept the key" in shop.command("status", "--json").out
    assert [call.status for call in only(services, "embeddings")] == [401]
    assert shop.rows("SELECT status, count(*) FROM corrections WHERE library = 'paid' GROUP BY 1 ORDER BY 1") == [
        ("corrected", 10),
        ("unchanged", 10),
    ]
    calls = len(services.calls)
    shop.ask("paid")
    assert asked_since(services, calls, "messages") == {}
    assert shop.check_vectors(library="paid") == 20
    assert set(services.billed().values()) == {1}


# ---- bad days


def spoilt(rows: list[dict[str, Any]], how: int) -> list[dict[str, Any]]:
    """Give a list of vectors as it comes on a bad day: in another order, and one of them spoilt."""
    rows = rows[::-1]
    bad = {
        0: None,
        1: [math.nan] * 256,
        2: [0.5] * 100,
        3: [0.0] * 256,
    }[how]
    if bad is None:
        return rows[1:]
    from dataflow_assets_tests.loopback import encoded

    return [{**rows[0], "embedding": encoded(np.asarray(bad, np.float32))}, *rows[1:]]


def test_a_storm_leaves_every_row_right_or_failed_and_the_next_run_asks_for_just_those(
    shop: Shop, services: Loopback
) -> None:
    shop.pages(*range(48))
    many = {"concurrency": 3, "retries": 0}
    shop.paid(corrections={"batch_size": 1, **many}, embeddings={"batch_size": 3, **many})
    soon = {"retry-after": "0"}
    weather = {
        "messages": [
            None, Trouble(429, soon), Trouble(500), None, Trouble(529, soon), Trouble(reset=True), None,
            Trouble(cut=True), Trouble(reset_after=True), None, Trouble(body="<html>busy</html>"), None,
        ],
        "embeddings": [
            None, Trouble(429, soon), Trouble(500), Trouble(vectors=lambda rows: spoilt(rows, 0)),
            Trouble(529, soon), None, Trouble(reset=True), Trouble(vectors=lambda rows: spoilt(rows, 1)),
            Trouble(cut=True), Trouble(vectors=lambda rows: spoilt(rows, 2)), Trouble(reset_after=True),
            Trouble(vectors=lambda rows: spoilt(rows, 3)), None,
        ],
    }  # fmt: skip

    def storm(number: int, call: Call) -> Trouble | None:
        sky = weather[call.endpoint]
        # A spoilt vector is asked for once more, alone: that goes wrong too now and then.
        return sky[(len(only(services, call.endpoint)) - 1) % len(sky)]

    services.trouble = storm
    told = Project.run(shop)
    shop.check_corrections()
    assert shop.check_vectors() < 48
    for table in ("corrections", "embeddings"):
        ((failed, told_why),) = shop.rows(
            f"SELECT count(*), count(*) FILTER (reason IS NOT NULL AND reason <> '') FROM {table} WHERE status = 'failed'"
        )
        assert failed == told_why == told[table]["failed"]
        assert 0 < failed < 48
        assert told[table]["retries"] > 0
        assert shop.rows(f"SELECT count(*) FROM {table} WHERE status = 'refused'") == [(0,)]
    assert told["embeddings"]["retries_throttled"] > 0
    assert told["embeddings"]["asked_again_alone"] > 0
    assert shop.state.status == "incomplete"
    assert not shop.checks["nothing_failed"]

    services.trouble, calls = (lambda number, call: None), len(services.calls)
    failed_corrections = Counter(
        text
        for (text,) in shop.rows("SELECT text FROM corrections JOIN chunks USING (chunk_id) WHERE status = 'failed'")
    )
    embedded = {text for (text,) in shop.rows(
        "SELECT coalesce(corrected_text, text) FROM embeddings e JOIN corrections USING (chunk_id) "
        "JOIN chunks USING (chunk_id) WHERE e.status = 'embedded'"
    )}  # fmt: skip
    shop.ask()
    assert shop.state.status == "ok"
    assert asked_since(services, calls, "messages") == failed_corrections
    shop.check_corrections()
    assert shop.check_vectors() == 48
    searched = {searched for _, searched in shop.texts().values()}
    assert asked_since(services, calls, "embeddings") == Counter(searched - embedded)
    calls = len(services.calls)
    shop.ask()
    assert len(services.calls) == calls
    ((cost,),) = shop.rows("SELECT sum(cost_usd) FROM model_calls WHERE status = 'ok'")
    answered = [row for row in services.calls if row.billed and row.status == 200]
    assert cost <= sum(bill(call)[2] for call in answered) + 1e-12


# ---- secrets


def test_no_key_is_left_anywhere(shop: Shop, services: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shop.pages(*range(4))
    shop.paid(
        corrections={"batch_size": 1, "retries": 1, "concurrency": 1},
        embeddings={"batch_size": 1, "retries": 0, "concurrency": 1},
    )

    def telltale(number: int, call: Call) -> Trouble | None:
        """Hand every key back, as a careless proxy does."""
        said = f"Authorization: Bearer {KEY}; x-api-key: {VOYAGE_KEY}"
        if call.endpoint == "messages":
            return Trouble(500, body=said) if number == 0 else Trouble(400, body=said) if number == 3 else None
        return (None, Trouble(500, body=said), Trouble(400, body=said), Trouble(body=said))[
            (len(only(services, "embeddings")) - 1) % 4
        ]

    services.trouble = telltale
    told = shop.command("run", "--json")
    assert told.status == 1
    assert len(services.calls) > 5
    said = [told.out, told.err, caplog.text]
    said += [shop.command("status", "--json").out, shop.command("plan").out]
    for table in ("model_calls", "corrections", "embeddings", "quality_reports"):
        said.append(shop.command("sql", f"SELECT * FROM {table}", "--json").out)
    assert "[key]" in "".join(said), "the services' words were told, without the keys"
    files = [path for path in shop.root.rglob("*") if path.is_file()]
    assert any(path.suffix == ".html" for path in files)
    assert any(path.is_relative_to(shop.home / "dagster") and path.suffix == ".db" for path in files)
    assert shop.home / "ledger.sqlite" in files
    contents = [path.read_bytes() for path in files]
    for key in (KEY, VOYAGE_KEY):
        assert not any(key in words for words in said)
        assert not [path for path, found in zip(files, contents, strict=True) if key.encode() in found]


LOOK = """
import sys
from dataflow_assets.cli import main
for words in (["run"], ["search", "parcel 1"]):
    sys.argv = ["dataflow", *words]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, words
heavy = ("anthropic", "voyageai", "httpx2", "genai_prices", "pydantic_ai", "openai", "langchain_core", "aiohttp")
print("imported:", [name for name in heavy if name in sys.modules])
"""


def test_without_keys_everything_local_works_and_no_sdk_is_imported(shop: Shop) -> None:
    shop.pages(0, 1)
    shop.libraries(docs={"corrections": {"model": "local"}})
    done = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=shop.root, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported: []"
    assert shop.rows("SELECT count(*) FROM corrections WHERE status = 'corrected'") == [(1,)]
    assert not (shop.home / "ledger.sqlite").exists()


# ---- questions


def test_a_question_is_embedded_once_and_words_have_to_do_without_a_key(
    shop: Shop, services: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.paid(
        embeddings={"model": "voyage-4-large", "query_model": "voyage-4-lite"},
        limits={"budget_usd": 1.0},
    )
    shop.pages(*range(6))
    shop.run(assets=EVERYTHING)
    calls = len(services.calls)
    told = shop.command("search", "the parcel 3", "--json")
    assert told.status == 0
    assert "notes" not in told.json
    assert told.json["results"][0]["source_uri"].startswith("docs/page")
    (call,) = services.calls[calls:]
    assert (call.texts, call.body["model"], call.body["input_type"]) == (["the parcel 3"], "voyage-4-lite", "query")
    again = shop.command("search", "the parcel 3", "--json", "--mode", "semantic")
    assert again.status == 0
    assert len(services.calls) == calls + 1, "the second time its vector is in the store"
    shop.run(assets=EVERYTHING)
    assert shop.rows("SELECT stage, items, model FROM model_calls WHERE stage = 'search'") == [
        ("search", 1, "voyage-4-lite")
    ]

    with monkeypatch.context() as patch:
        patch.delenv("VOYAGE_API_KEY")
        told = shop.command("search", "another parcel", "--json")
        assert told.status == 0
        assert told.json["results"]
        assert "VOYAGE_API_KEY" in told.err
        assert "words" in told.err
        told = shop.command("search", "another parcel", "--mode", "semantic")
        assert told.status == 2
        assert "VOYAGE_API_KEY" in told.err
        assert shop.command("search", "another parcel", "--mode", "keyword").err == ""
    shop.paid(
        embeddings={"model": "voyage-4-large", "query_model": "voyage-4-lite"},
        limits={"budget_usd": 0.0},
    )
    told = shop.command("search", "another parcel", "--json")
    assert (told.status, bool(told.json["results"])) == (0, True)
    assert "budget" in told.err
    assert len(services.calls) == calls + 1


def test_meaning_is_compared_in_the_space_of_the_documents(shop: Shop, services: Loopback) -> None:
    shop.pages(*range(6))
    shop.run(assets=EVERYTHING)
    # This Voyage gives equal vectors to equal texts of one kind, so a page's own words must find it first.
    for number in (2, 5):
        told = shop.command("search", mended(page(number).strip()), "--mode", "semantic", "--json", "--top-k", "1")
        assert [result["source_uri"] for result in told.json["results"]] == [f"docs/page{number:03}.md"]
        assert told.json["results"][0]["score"] == pytest.approx(1.0, abs=1e-3)
