"""How the libraries stand: rows, points, freshness, last run, money; from the warehouse, the ledger and the home alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataflow_assets.catalog import Catalog
from dataflow_assets.flow.forget import partitions_of
from dataflow_assets.flow.paid import paid_models
from dataflow_assets.flow.state import RunState, read_state
from dataflow_assets.home import open_index
from dataflow_assets.models.ledger import Batch, Ledger, Spending
from dataflow_assets.warehouse.figures import WAITING_EMBEDDING
from dataflow_assets.warehouse.store import Warehouse, now

TABLES = (
    "raw_documents",
    "validated_documents",
    "chunks",
    "corrections",
    "embeddings",
    "search_index",
    "quality_reports",
)

UNBOOKED = 1_000_000
"""Calls of the ledger that the warehouse does not hold yet: those of the stages at work, or of runs that died."""


@dataclass(slots=True)
class Cost:
    """What a library cost."""

    life_usd: float = 0.0
    month_usd: float = 0.0
    held_usd: float = 0.0

    def add(self, cost_usd: float, held_usd: float, *, this_month: bool) -> None:
        """Add calls."""
        self.life_usd += cost_usd
        self.held_usd += held_usd
        if this_month:
            self.month_usd += cost_usd


def library_states(catalog: Catalog | None, home: Path) -> dict[str, Any]:
    """Tell how every library stands, those of the catalog first.

    Args:
        catalog: The catalog; None where there is none, and every library counts as retired.
        home: The home.

    Returns:
        `libraries`: name -> its rows, states, points, last run, and `cost_usd`; `waiting_documents` have pages left that the next
        run asks a model to read, whatever their state. Where it ever had to do with paid models also
        `month_usd` (this calendar month, UTC), `held_usd` (may have been billed besides: answers that were lost),
        `reserved_usd` (for calls in flight and open batches), `waiting` (chunks that were not asked about yet, for a budget or
        a batch) and `batches`; where the catalog sets a budget, `budget_usd` and `budget_left_usd`, `monthly_budget_usd` and
        `monthly_budget_left_usd`.
    """
    warehouse, index = Warehouse(home), open_index(home)
    unbooked, spending, batches = _ledger(home)
    rows: dict[tuple[str, str], int] = {}
    with warehouse.reading() as connection:
        for table in TABLES:
            for library, count in connection.execute(f"SELECT library, count(*) FROM {table} GROUP BY 1").fetchall():
                rows[library, table] = count
        states = connection.execute("SELECT library, status, count(*) FROM validated_documents GROUP BY ALL").fetchall()
        unread = dict(
            connection.execute("SELECT library, count(*) FROM validated_documents WHERE waiting GROUP BY 1").fetchall()
        )
        fresh = dict(
            connection.execute(
                "SELECT library, max(updated_at) FROM (SELECT library, updated_at FROM raw_documents UNION ALL "
                "SELECT library, updated_at FROM search_index) GROUP BY 1"
            ).fetchall()
        )
        # A call that is about to be booked again, since it came to another end, counts as the ledger has it.
        booked = connection.execute(
            "SELECT library, coalesce(fsum(cost_usd), 0), coalesce(fsum(held_usd), 0), called_at >= $month "
            "FROM model_calls WHERE call_id NOT IN (SELECT unnest($unbooked)) GROUP BY ALL",
            {"month": _month(), "unbooked": [call["call_id"] for call in unbooked] or [""]},
        ).fetchall()
        waiting = dict(
            connection.execute(
                "SELECT library, count(DISTINCT chunk_id) FROM (SELECT library, chunk_id FROM corrections WHERE waiting "
                f"UNION ALL SELECT library, chunk_id FROM embeddings WHERE {WAITING_EMBEDDING.replace('$mine', 'TRUE')}) "
                "GROUP BY 1"
            ).fetchall()
        )
    costs: dict[str, Cost] = {}
    for library, usd, held, this_month in booked:
        costs.setdefault(library, Cost()).add(usd, held, this_month=bool(this_month))
    for call in unbooked:
        this_month = dt.datetime.fromtimestamp(call["called_at"], dt.UTC).replace(tzinfo=None) >= _month()
        costs.setdefault(call["library"], Cost()).add(call["cost_usd"], call["held_usd"], this_month=this_month)
    listed = list(catalog.libraries) if catalog else []
    known = listed + sorted({library for library, _ in rows} - set(listed))
    answer: dict[str, Any] = {}
    for name in known:
        partitions = partitions_of(name, home, index)
        runs = [state for partition in partitions if (state := read_state(home, partition)) is not None]
        last = max(runs, key=lambda state: state.started_at, default=None)
        published = [found for partition in partitions if (found := index.published(partition)) is not None]
        documents = {status: count for library, status, count in states if library == name}
        answer[name] = {
            "retired": name not in listed,
            "rows": {table: rows.get((name, table), 0) for table in TABLES},
            "valid": documents.get("valid", 0),
            "rejected": documents.get("rejected", 0),
            "duplicates": documents.get("duplicate", 0),
            "waiting_documents": unread.get(name, 0),
            "points": sum(found.points for found in published),
            "fresh_as_of": fresh[name].isoformat(sep=" ", timespec="seconds") if name in fresh else None,
            "last_run": asdict(last) if last else None,
            "source": _source(name, catalog, runs),
            "cost_usd": round(costs[name].life_usd, 9) if name in costs else 0.0,
            **_money(name, catalog, costs, spending, waiting, [batch for batch in batches if batch.library == name]),
        }
    return {"libraries": answer}


def _source(name: str, catalog: Catalog | None, runs: list[RunState]) -> dict[str, Any]:
    """Say how a library's source does: `type`, `listed_at`, `listed`, `error` and `items_failed` of the last run."""
    settings = catalog.libraries.get(name) if catalog is not None else None
    listed = [state for state in runs if state.listed_at is not None]
    return {
        "type": settings.source.type if settings is not None else None,
        "listed_at": max((state.listed_at or "" for state in listed), default=None),
        "listed": max((state.listed or 0 for state in listed), default=None),
        "error": next((state.source_error for state in runs if state.source_error), None),
        "items_failed": sum(state.items_failed for state in runs),
    }


def _ledger(home: Path) -> tuple[list[dict[str, Any]], Mapping[str, Spending], list[Batch]]:
    """Ask the ledger for what the warehouse does not know; it is not made where nothing was ever paid for."""
    ledger = Ledger(home)
    if not ledger.exists:
        return [], {}, []
    try:
        return ledger.unbooked(UNBOOKED), ledger.spent_by_library(), ledger.open_batches()
    finally:
        ledger.close()


def _money(
    name: str,
    catalog: Catalog | None,
    costs: Mapping[str, Cost],
    spending: Mapping[str, Spending],
    waiting: Mapping[str, int],
    batches: list[Batch],
) -> dict[str, Any]:
    """Say what a library's paid models cost and wait for; nothing for one that has none and never had any."""
    settings = catalog.libraries.get(name) if catalog is not None else None
    paid = settings is not None and bool(paid_models(settings))
    if not paid and name not in costs and name not in spending and not batches:
        return {}
    cost, spent = costs.get(name, Cost()), spending.get(name, Spending(0.0, 0.0))
    told: dict[str, Any] = {
        "month_usd": round(cost.month_usd, 9),
        "held_usd": round(cost.held_usd, 9),
        "reserved_usd": _positive(spent.life_usd - cost.life_usd - cost.held_usd),
        "waiting": waiting.get(name, 0),
        "batches": [_batch(batch) for batch in batches],
    }
    limits = settings.limits if settings is not None else None
    if limits is not None and limits.budget_usd is not None:
        told |= {"budget_usd": limits.budget_usd, "budget_left_usd": _positive(limits.budget_usd - spent.life_usd)}
    if limits is not None and limits.monthly_budget_usd is not None:
        left = _positive(limits.monthly_budget_usd - spent.month_usd)
        told |= {"monthly_budget_usd": limits.monthly_budget_usd, "monthly_budget_left_usd": left}
    return told


def _positive(usd: float) -> float:
    """Round away what adding and taking away leaves, and debts: what is over a budget is not less than nothing left."""
    return max(0.0, round(usd, 9))


def _batch(batch: Batch) -> dict[str, Any]:
    return {
        "batch_id": batch.batch_id,
        "partition": batch.partition,
        "model": batch.model,
        "requests": batch.requests,
        "state": batch.state,
        "sent_at": _said(batch.created_at),
        "deadline_at": _said(batch.deadline_at),
    }


def _said(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _month() -> dt.datetime:
    """Give the start of this calendar month; UTC without a zone, as all times in the tables."""
    return now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def documents_told(home: Path, library: str, *, reported: bool) -> dict[str, Any]:
    """Tell what became of a library's documents, and where that is explained.

    Args:
        home: The home.
        library: The library, with all of its buckets.
        reported: Whether the newest report tells of these documents; a run that failed left an older one.

    Returns:
        `documents`, of which so many are `rejected` and `duplicates`, and `report`: the path of the newest one, or None.
    """
    with Warehouse(home).reading() as connection:
        found = connection.execute(
            "SELECT count(*), count(*) FILTER (status = 'rejected'), count(*) FILTER (status = 'duplicate') "
            "FROM validated_documents WHERE library = ?",
            [library],
        ).fetchone()
        newest = connection.execute(
            "SELECT report_path FROM quality_reports WHERE library = ? ORDER BY generated_at DESC LIMIT 1", [library]
        ).fetchone()
    documents, rejected, duplicates = found or (0, 0, 0)
    return {
        "documents": documents,
        "rejected": rejected,
        "duplicates": duplicates,
        "report": str(home / newest[0]) if newest and reported else None,
    }


def libraries_in(warehouse: Warehouse) -> set[str]:
    """Name the libraries that have rows."""
    with warehouse.reading() as connection:
        union = " UNION ".join(f"SELECT DISTINCT library FROM {table}" for table in TABLES)
        return {row[0] for row in connection.execute(union).fetchall()}
