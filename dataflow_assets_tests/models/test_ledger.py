"""The ledger: nothing is paid twice, nothing passes a budget, and a dead process leaves nothing locked."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from dataflow_assets.errors import ModelError
from dataflow_assets.models.base import Usage
from dataflow_assets.models.ledger import Batch, Budget, Ledger, PendingCall, key_of


def call(name: str, usd: float = 1.0, library: str = "lib") -> PendingCall:
    return PendingCall(name, library, "run", "corrections", "anthropic", "claude", 1, "asked", usd)


def elsewhere(home: Path, code: str, *, wait: bool = True) -> subprocess.Popen[str]:
    """Do something with the ledger in another process; it ends when its standard input does."""
    setup = (
        "import sys\nfrom pathlib import Path\nfrom dataflow_assets.models.ledger import *\n"
        "from dataflow_assets.models.base import Usage\nledger = Ledger(Path(sys.argv[1]))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", setup + code + "\nprint('done', flush=True)\nsys.stdin.read()", str(home)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    if wait:
        assert process.stdout.readline() == "done\n"
    return process


def test_an_answer_is_stored_with_its_call_and_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    keys = [key_of("text", str(n)) for n in range(1200)]
    assert ledger.claim(keys) == set(keys)
    assert ledger.begin(call("a"), None) is None
    answers = {key: ("answer", key.encode()) for key in keys}
    ledger.settle(
        "a", status="ok", seconds=1, usage=Usage(10, 5), cost_usd=0.6, answers=answers, sizes=dict.fromkeys(keys, 1),
        sent_bytes=40,
    )  # fmt: skip
    found = Ledger(tmp_path).find([*keys, "unknown"])
    assert {key: answer.payload for key, answer in found.items()} == {key: key.encode() for key in keys}
    assert sum(answer.usd for answer in found.values()) == pytest.approx(0.6)
    assert ledger.claim(keys) == set()
    assert ledger.learned("anthropic", "claude", "corrections").sent_tokens == 10


def test_a_living_process_keeps_its_claims_and_a_dead_one_does_not(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    other = elsewhere(
        tmp_path, "ledger.claim(['k1', 'k2']); ledger.begin(PendingCall('c','lib','r','s','p','m',1,'a',0.5), None)"
    )
    assert ledger.claim(["k1", "k3"]) == {"k3"}
    assert ledger.settle_dead() == 0
    other.kill()
    other.wait()
    assert ledger.settle_dead() == 1
    assert ledger.claim(["k1", "k2"]) == {"k1", "k2"}
    (lost,) = ledger.unbooked()
    assert (lost["status"], lost["cost_usd"], lost["held_usd"]) == ("lost", 0.0, 0.5)
    assert ledger.spent("lib").life_usd == pytest.approx(0.5)


def test_money_is_reserved_and_settled(tmp_path: Path) -> None:
    ledger, budget = Ledger(tmp_path), Budget("lib", life_usd=3.0, month_usd=2.5)
    assert ledger.begin(call("a"), budget) is None
    assert ledger.begin(call("b"), budget) is None
    refused = ledger.begin(call("c"), budget)
    assert refused is not None
    assert "monthly_budget_usd" in refused
    ledger.settle("a", status="ok", seconds=1, cost_usd=0.25)
    assert ledger.begin(call("c"), budget) is None
    ledger.settle("b", status="timeout", seconds=1, maybe_billed=True, error="no answer")
    ledger.settle("c", status="server", seconds=1, error="500")
    assert ledger.spent("lib").life_usd == pytest.approx(1.25)
    assert ledger.begin(call("d"), Budget("other", life_usd=0.5)) is not None
    assert ledger.room(Budget("lib", life_usd=1.0), 0.1) is not None


def test_many_processes_never_pass_a_cap(tmp_path: Path) -> None:
    Ledger(tmp_path).spent("lib")
    code = (
        "import uuid\nfor n in range(40):\n"
        "    ledger.begin(PendingCall(uuid.uuid4().hex,'lib','r','s','p','m',1,'a',0.01), Budget('lib', life_usd=0.5))"
    )
    processes = [elsewhere(tmp_path, code, wait=False) for _ in range(3)]
    for process in processes:
        process.communicate()
    assert Ledger(tmp_path).spent("lib").life_usd == pytest.approx(0.5)


def test_a_refusal_is_remembered(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.claim(["k"])
    ledger.refuse("k", "too long")
    answer = ledger.find(["k"])["k"]
    assert (answer.kind, answer.payload) == ("refused", b"too long")


def test_booking_gives_each_settled_call_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.begin(call("a"), None)
    assert ledger.unbooked() == []
    ledger.settle("a", status="ok", seconds=2.5, usage=Usage(7, 3, 2, 1), cost_usd=0.1)
    (row,) = ledger.unbooked()
    assert (row["input_tokens"], row["output_tokens"], row["cached_tokens"], row["cost_usd"]) == (8, 3, 2, 0.1)
    ledger.mark_booked(["a"])
    assert ledger.unbooked() == []


@pytest.mark.parametrize("direct", [True, False])
def test_a_batch_is_known_before_it_is_sent_and_sets_its_texts_free(tmp_path: Path, direct: bool) -> None:
    ledger = Ledger(tmp_path)
    ledger.claim(["k1", "k2"])
    ledger.begin(call("c"), None)
    now = time.time()
    ledger.plan_batch(
        Batch("local", None, "lib", "lib", "anthropic", "claude", "sent", "c", 1, now, now + 9),
        {"local-0": [("k1", "one"), ("k2", "two")]},
    )
    assert ledger.in_batches(["k1", "k3"]) == {"k1": "local"}
    assert list(ledger.batch_requests("local")) == [("local-0", [("k1", "one"), ("k2", "two")])]
    assert ledger.settle_dead() == 0
    ledger.note_batch("local", "msgbatch_1")
    assert ledger.known_batches() == {"msgbatch_1"}
    ledger.settle("c", status="ok", seconds=1, answers={"k1": ("answer", b"[]")})
    ledger.end_batch("local", direct=direct)
    assert ledger.open_batches() == []
    assert ledger.in_batches(["k1", "k2"]) == ({"k2": ""} if direct else {})


def test_a_newer_ledger_is_not_touched(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ModelError, match="newer version"):
        Ledger(tmp_path).find(["k"])


def test_a_file_that_is_no_ledger_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database at all, but long enough to look at" * 50)
    with pytest.raises(ModelError, match="ledger"):
        Ledger(tmp_path).find(["k"])
