"""The ledger: every paid call, and every answer, under a hash of exactly what was asked. One SQLite file in the home.

What belongs here: what must be true whatever becomes of a run. A call stands in the ledger before it is made and is settled
after it; an answer is stored in the same transaction that settles its call; a text is claimed before it is asked about, so
that no second process asks at the same moment; money is reserved before it is spent. What does not: whom to ask, and when.

SQLite and not the warehouse, since a run must be able to write here many times a second while others read and merge there.
The write-ahead log is synced with every commit: what was paid for survives `kill -9` and a power cut. Calls are copied into
the warehouse's `model_calls` (`flow.booking`), where people look at them.

Claims and calls carry the identity of their process. What a dead process claimed is free again; a call that it had in flight
is `lost`: nobody knows whether it was billed, so its reservation stays held against the budget.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from dataflow_assets.errors import ModelError
from dataflow_assets.models.base import Usage
from dataflow_assets.processes import alive, identity_of_this_process
from dataflow_assets.sqlite_files import SQLITE_FAILURES

BUSY_SECONDS = 60.0
VERSION = 1

CallStatus: TypeAlias = Literal["ok", "throttled", "overloaded", "server", "connection", "timeout", "garbled", "too_large",
                                "credential", "payment", "invalid", "lost"]  # fmt: skip

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, payload BLOB NOT NULL, call_id TEXT NOT NULL, usd REAL NOT NULL, stored_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY, process TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS calls (
    call_id TEXT PRIMARY KEY, library TEXT NOT NULL, run_id TEXT NOT NULL, stage TEXT NOT NULL, provider TEXT NOT NULL,
    model TEXT NOT NULL, items INTEGER NOT NULL, asked TEXT NOT NULL, process TEXT NOT NULL, month TEXT NOT NULL,
    reserved_usd REAL NOT NULL, called_at REAL NOT NULL, status TEXT NOT NULL, input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0, cached_tokens INTEGER NOT NULL DEFAULT 0, cost_usd REAL NOT NULL DEFAULT 0,
    held_usd REAL NOT NULL DEFAULT 0, seconds REAL NOT NULL DEFAULT 0, error TEXT, booked INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS calls_open ON calls (status) WHERE status = 'sent';
CREATE INDEX IF NOT EXISTS calls_unbooked ON calls (booked) WHERE booked = 0;
CREATE TABLE IF NOT EXISTS spending (library TEXT NOT NULL, month TEXT NOT NULL, usd REAL NOT NULL, PRIMARY KEY (library, month));
CREATE TABLE IF NOT EXISTS saved (library TEXT PRIMARY KEY, texts INTEGER NOT NULL, usd REAL NOT NULL);
CREATE TABLE IF NOT EXISTS learned (
    provider TEXT NOT NULL, model TEXT NOT NULL, stage TEXT NOT NULL, calls INTEGER NOT NULL, sent_bytes REAL NOT NULL,
    sent_tokens REAL NOT NULL, text_bytes REAL NOT NULL, output_tokens REAL NOT NULL, texts REAL NOT NULL,
    PRIMARY KEY (provider, model, stage)
);
CREATE TABLE IF NOT EXISTS batches (
    local_id TEXT PRIMARY KEY, batch_id TEXT, partition TEXT NOT NULL, library TEXT NOT NULL, provider TEXT NOT NULL,
    model TEXT NOT NULL, state TEXT NOT NULL, call_id TEXT NOT NULL, requests INTEGER NOT NULL, created_at REAL NOT NULL,
    deadline_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS batch_requests (
    custom_id TEXT PRIMARY KEY, local_id TEXT NOT NULL, texts TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS batch_requests_of ON batch_requests (local_id);
CREATE TABLE IF NOT EXISTS batch_texts (key TEXT PRIMARY KEY, local_id TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS batch_texts_of ON batch_texts (local_id);
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was once answered about a text."""

    kind: Literal["answer", "refused"]
    payload: bytes
    """The answer; the reason in UTF-8 where the text was refused for good."""
    usd: float
    """Its share of what the call cost."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a library may cost."""

    library: str
    life_usd: float | None = None
    month_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """What a library cost, with what is reserved for calls in flight and held for calls that were lost."""

    life_usd: float
    month_usd: float


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call about to be made."""

    call_id: str
    library: str
    run_id: str
    stage: str
    provider: str
    model: str
    items: int
    asked: str
    """Hash of what is asked."""
    reserved_usd: float


@dataclass(frozen=True, slots=True)
class Learned:
    """What a model's bills told about texts sent to it by a stage; sums over its calls."""

    calls: int = 0
    sent_bytes: float = 0.0
    sent_tokens: float = 0.0
    text_bytes: float = 0.0
    output_tokens: float = 0.0
    texts: float = 0.0


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch in a provider's cheap lane."""

    local_id: str
    batch_id: str | None
    """The provider's id; None until its answer to the submission was seen."""
    partition: str
    library: str
    provider: str
    model: str
    state: str
    """`sent`, `canceling` or `ended`."""
    call_id: str
    requests: int
    created_at: float
    deadline_at: float


def key_of(*parts: str) -> str:
    """Hash exactly what is asked about one text: 40 hexadecimal digits."""
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:40]


class Ledger:
    """The ledger of a home. One object may be shared by threads; processes open one each."""

    def __init__(self, home: Path) -> None:
        self.path = home / "ledger.sqlite"
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    @property
    def exists(self) -> bool:
        """Whether anything was ever paid for in this home."""
        return self.path.exists()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    # ---- answers and claims

    def find(self, keys: Sequence[str]) -> dict[str, Answer]:
        """Give the answers that are there."""
        found: dict[str, Answer] = {}
        with self._reading() as connection:
            for part in _slices(keys):
                marks = ",".join("?" * len(part))
                rows = connection.execute(f"SELECT key, kind, payload, usd FROM answers WHERE key IN ({marks})", part)
                found.update((key, Answer(kind, payload, usd)) for key, kind, payload, usd in rows)
        return found

    def claim(self, keys: Sequence[str]) -> set[str]:
        """Claim texts to ask about; give those that are now this process's: no answer is there, and nobody else is asking."""
        me = identity_of_this_process()
        with self._writing() as connection:
            mine: set[str] = set()
            for part in _slices(keys):
                marks = ",".join("?" * len(part))
                done = {row[0] for row in connection.execute(f"SELECT key FROM answers WHERE key IN ({marks})", part)}
                held = dict(connection.execute(f"SELECT key, process FROM claims WHERE key IN ({marks})", part))
                living = {process: process == me or alive(process) for process in set(held.values())}
                free = [key for key in part if key not in done and not (key in held and living[held[key]])]
                connection.executemany("INSERT OR REPLACE INTO claims VALUES (?, ?)", [(key, me) for key in free])
                mine.update(free)
            return mine

    def release(self, keys: Sequence[str]) -> None:
        """Give up claims without an answer."""
        with self._writing() as connection:
            _release(connection, keys)

    def refuse(self, key: str, reason: str) -> None:
        """Store that a text will never be answered; its claim ends."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO answers VALUES (?, 'refused', ?, '', 0, ?)", (key, reason.encode(), time.time())
            )
            _release(connection, [key])

    # ---- calls and money

    def begin(self, call: PendingCall, budget: Budget | None) -> str | None:
        """Write a call down and reserve its money, before it is made.

        Returns:
            None, or the sentence that says which limit leaves no room for it; then nothing was written.
        """
        at = time.time()
        month = _month(at)
        with self._writing() as connection:
            if budget is not None:
                spent = _spending(connection, budget.library, month)
                refusal = _over(budget, spent, call.reserved_usd)
                if refusal is not None:
                    return refusal
            connection.execute(
                "INSERT INTO calls (call_id, library, run_id, stage, provider, model, items, asked, process, month, "
                "reserved_usd, called_at, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'sent')",
                (call.call_id, call.library, call.run_id, call.stage, call.provider, call.model, call.items, call.asked,
                 identity_of_this_process(), month, call.reserved_usd, at),
            )  # fmt: skip
            _spend(connection, call.library, month, call.reserved_usd)
        return None

    def settle(
        self,
        call_id: str,
        *,
        status: CallStatus,
        seconds: float,
        usage: Usage | None = None,
        cost_usd: float = 0.0,
        maybe_billed: bool = False,
        error: str | None = None,
        answers: Mapping[str, tuple[Literal["answer", "refused"], bytes]] | None = None,
        sizes: Mapping[str, int] | None = None,
        sent_bytes: int = 0,
        release: Sequence[str] = (),
    ) -> None:
        """Settle a call: what it cost, and what was answered, in one transaction.

        Args:
            call_id: The call.
            status: How it ended.
            seconds: How long it took.
            usage: What it is billed by; None where nothing was answered.
            cost_usd: What it is billed.
            maybe_billed: Whether nobody knows if it was: its reservation stays held.
            error: What went wrong.
            answers: What is stored, by key.
            sizes: Bytes of the texts asked about, by key; the call's cost is shared among them by it.
            sent_bytes: Bytes of all that was sent.
            release: Claims that are given up.
        """
        usage = usage or Usage()
        with self._writing() as connection:
            row = connection.execute(
                "SELECT library, month, reserved_usd, provider, model, stage FROM calls WHERE call_id = ?", (call_id,)
            ).fetchone()
            if row is None:
                raise ModelError(f"The ledger knows no call {call_id}.")
            library, month, reserved, provider, model, stage = row
            held = reserved if maybe_billed else 0.0
            _spend(connection, library, month, cost_usd + held - reserved)
            connection.execute(
                "UPDATE calls SET status = ?, seconds = ?, input_tokens = ?, output_tokens = ?, cached_tokens = ?, "
                "cost_usd = ?, held_usd = ?, error = ?, booked = 0 WHERE call_id = ?",
                (status, seconds, usage.input_tokens + usage.cache_write_tokens, usage.output_tokens,
                 usage.cached_tokens, cost_usd, held, error, call_id),
            )  # fmt: skip
            sizes = sizes or {}
            whole = sum(sizes.values()) or 1
            now = time.time()
            connection.executemany(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (key, kind, payload, call_id, cost_usd * sizes.get(key, 0) / whole, now)
                    for key, (kind, payload) in (answers or {}).items()
                ],
            )
            _release(connection, [*(answers or {}), *release])
            if usage.sent and sent_bytes:
                learned = (provider, model, stage, 1, sent_bytes, usage.sent, whole, usage.output_tokens, len(sizes))
                connection.execute(
                    "INSERT INTO learned VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET calls = calls + 1, "
                    "sent_bytes = sent_bytes + excluded.sent_bytes, sent_tokens = sent_tokens + excluded.sent_tokens, "
                    "text_bytes = text_bytes + excluded.text_bytes, texts = texts + excluded.texts, "
                    "output_tokens = output_tokens + excluded.output_tokens",
                    learned,
                )

    def settle_dead(self) -> int:
        """Note the calls of dead processes as lost; give their number."""
        if not self.exists:
            return 0
        with self._reading() as connection:
            found = connection.execute(
                "SELECT DISTINCT process FROM calls WHERE status = 'sent' AND call_id NOT IN (SELECT call_id FROM batches)"
            ).fetchall()
        dead = [process for (process,) in found if not alive(process)]
        if not dead:
            return 0
        with self._writing() as connection:
            marks = ",".join("?" * len(dead))
            done = connection.execute(
                "UPDATE calls SET status = 'lost', held_usd = reserved_usd, booked = 0, "
                "error = 'The process died while the call was in flight; it may have been billed.' "
                f"WHERE status = 'sent' AND call_id NOT IN (SELECT call_id FROM batches) AND process IN ({marks})",
                dead,
            )
            connection.execute(f"DELETE FROM claims WHERE process IN ({marks})", dead)
            return done.rowcount

    def spent(self, library: str) -> Spending:
        """Say what a library cost so far, and in this calendar month (UTC)."""
        if not self.exists:
            return Spending(0.0, 0.0)
        with self._reading() as connection:
            return _spending(connection, library, _month(time.time()))

    def spent_by_library(self) -> dict[str, Spending]:
        """Say what every library cost that ever cost something."""
        if not self.exists:
            return {}
        with self._reading() as connection:
            names = [row[0] for row in connection.execute("SELECT DISTINCT library FROM spending ORDER BY 1")]
            return {name: _spending(connection, name, _month(time.time())) for name in names}

    def room(self, budget: Budget, usd: float) -> str | None:
        """Say which limit leaves no room for another `usd`; None where there is room. Nothing is reserved."""
        return _over(budget, self.spent(budget.library), usd)

    def note_saved(self, library: str, texts: int, usd: float) -> None:
        """Add to what answers from the store saved a library: texts not asked about, and what they had cost."""
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO saved VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET texts = texts + excluded.texts, "
                "usd = usd + excluded.usd",
                (library, texts, usd),
            )

    def saved(self, library: str) -> tuple[int, float]:
        """Say what answers from the store saved a library so far: texts, and US dollars."""
        if not self.exists:
            return 0, 0.0
        with self._reading() as connection:
            row = connection.execute("SELECT texts, usd FROM saved WHERE library = ?", (library,)).fetchone()
        return (row[0], row[1]) if row else (0, 0.0)

    def learned(self, provider: str, model: str, stage: str) -> Learned:
        """Give what a model's bills told."""
        if not self.exists:
            return Learned()
        with self._reading() as connection:
            row = connection.execute(
                "SELECT calls, sent_bytes, sent_tokens, text_bytes, output_tokens, texts FROM learned "
                "WHERE provider = ? AND model = ? AND stage = ?",
                (provider, model, stage),
            ).fetchone()
        return Learned(*row) if row else Learned()

    # ---- booking

    def unbooked(self, limit: int = 10_000) -> list[dict[str, Any]]:
        """Give settled calls that the warehouse does not hold yet, oldest first."""
        if not self.exists:
            return []
        with self._reading() as connection:
            cursor = connection.execute(
                "SELECT call_id, library, run_id, stage, provider, model, items, asked, input_tokens, output_tokens, "
                "cached_tokens, cost_usd, held_usd, seconds, status, error, called_at FROM calls "
                "WHERE booked = 0 AND status <> 'sent' ORDER BY called_at LIMIT ?",
                (limit,),
            )
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def mark_booked(self, call_ids: Sequence[str]) -> None:
        """Note that the warehouse holds calls."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE calls SET booked = 1 WHERE call_id = ?", [(call_id,) for call_id in call_ids]
            )

    # ---- the cheap lane

    def plan_batch(self, batch: Batch, requests: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        """Write a batch down before it is sent: its custom ids, and each request's texts with their keys, in order.

        The texts are kept until the results are read, since an answer can only be judged beside them.
        """
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (batch.local_id, batch.batch_id, batch.partition, batch.library, batch.provider, batch.model,
                 batch.state, batch.call_id, batch.requests, batch.created_at, batch.deadline_at),
            )  # fmt: skip
            connection.executemany(
                "INSERT INTO batch_requests VALUES (?, ?, ?)",
                [
                    (custom_id, batch.local_id, json.dumps([list(pair) for pair in texts]))
                    for custom_id, texts in requests.items()
                ],
            )
            keys = [key for texts in requests.values() for key, _ in texts]
            connection.executemany(
                "INSERT OR REPLACE INTO batch_texts VALUES (?, ?)", [(key, batch.local_id) for key in keys]
            )
            _release(connection, keys)

    def note_batch(self, local_id: str, batch_id: str) -> None:
        """Note the id that the provider gave a batch."""
        with self._writing() as connection:
            connection.execute("UPDATE batches SET batch_id = ? WHERE local_id = ?", (batch_id, local_id))

    def cancel_batch(self, local_id: str) -> None:
        """Note that a batch is given up as soon as what it has done is known."""
        with self._writing() as connection:
            connection.execute("UPDATE batches SET state = 'canceling' WHERE local_id = ?", (local_id,))

    def end_batch(self, local_id: str, *, direct: bool) -> None:
        """Note that nothing more comes of a batch, and forget its texts.

        Args:
            local_id: The batch.
            direct: Whether texts without an answer go the direct way from now on; else they are as if never sent.
        """
        with self._writing() as connection:
            connection.execute("UPDATE batches SET state = 'ended' WHERE local_id = ?", (local_id,))
            connection.execute("DELETE FROM batch_requests WHERE local_id = ?", (local_id,))
            connection.execute(
                "DELETE FROM batch_texts WHERE local_id = ? AND (NOT ? OR key IN (SELECT key FROM answers))",
                (local_id, direct),
            )
            connection.execute("UPDATE batch_texts SET local_id = '' WHERE local_id = ?", (local_id,))

    def open_batches(self, partition: str | None = None) -> list[Batch]:
        """Give the batches that wait for their results, oldest first: of one partition, or all."""
        if not self.exists:
            return []
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT * FROM batches WHERE state <> 'ended' AND (? IS NULL OR partition = ?) ORDER BY created_at",
                (partition, partition),
            ).fetchall()
        return [Batch(*row) for row in rows]

    def known_batches(self) -> set[str]:
        """Give the provider's ids of all batches that this home ever sent."""
        with self._reading() as connection:
            return {row[0] for row in connection.execute("SELECT batch_id FROM batches WHERE batch_id IS NOT NULL")}

    def batch_requests(self, local_id: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Give a batch's custom ids, each with the keys and texts of its request, some at a time."""
        last = ""
        while True:
            with self._reading() as connection:
                rows = connection.execute(
                    "SELECT custom_id, texts FROM batch_requests WHERE local_id = ? AND custom_id > ? "
                    "ORDER BY custom_id LIMIT 200",
                    (local_id, last),
                ).fetchall()
            if not rows:
                return
            for custom_id, texts in rows:
                yield custom_id, [(key, text) for key, text in json.loads(texts)]
            last = rows[-1][0]

    def in_batches(self, keys: Sequence[str]) -> dict[str, str]:
        """Give, for texts that were in a batch without an answer, the batch that asks now, or "" where they go direct."""
        found: dict[str, str] = {}
        if not self.exists:
            return found
        with self._reading() as connection:
            for part in _slices(keys):
                marks = ",".join("?" * len(part))
                found.update(
                    connection.execute(f"SELECT key, local_id FROM batch_texts WHERE key IN ({marks})", part).fetchall()
                )
        return found

    # ---- the file

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._open()
            except SQLITE_FAILURES as error:
                raise ModelError(f"The ledger {self.path} cannot be read: {error}") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                connection = self._open()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.rollback()
                    raise
                connection.commit()
            except SQLITE_FAILURES as error:
                raise ModelError(f"The ledger {self.path} cannot be written: {error}") from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                connection.close()
                raise ModelError(
                    f"The ledger {self.path} was written by a newer version of dataflow_assets. Upgrade the package."
                )
            if version < VERSION:
                connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
            self._connection = connection
        return self._connection


def _slices(keys: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    unique = list(dict.fromkeys(keys))
    for start in range(0, len(unique), size):
        yield unique[start : start + size]


def _release(connection: sqlite3.Connection, keys: Sequence[str]) -> None:
    me = identity_of_this_process()
    connection.executemany("DELETE FROM claims WHERE key = ? AND process = ?", [(key, me) for key in keys])


def _month(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m")


def _spend(connection: sqlite3.Connection, library: str, month: str, usd: float) -> None:
    connection.execute(
        "INSERT INTO spending VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET usd = usd + excluded.usd",
        (library, month, usd),
    )


def _spending(connection: sqlite3.Connection, library: str, month: str) -> Spending:
    rows = dict(connection.execute("SELECT month, usd FROM spending WHERE library = ?", (library,)).fetchall())
    return Spending(max(0.0, sum(rows.values())), max(0.0, rows.get(month, 0.0)))


def _over(budget: Budget, spent: Spending, usd: float) -> str | None:
    for limit, used, name, span in (
        (budget.life_usd, spent.life_usd, "budget_usd", ""),
        (budget.month_usd, spent.month_usd, "monthly_budget_usd", " this month"),
    ):
        if limit is not None and used + usd > limit + 1e-12:
            return (
                f"the budget of {limit:g} USD is reached{span} ({used:.6g} USD are spent or reserved): "
                f"raise limits.{name} of {budget.library} to go on"
            )
    return None
