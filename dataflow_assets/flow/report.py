"""From the tables to the quality report: one HTML file and one row, made only when something changed since the last one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dataflow_assets.flow.fingerprint import settings_fingerprint
from dataflow_assets.flow.generation_memory import read_memory
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.flow.state import end_state
from dataflow_assets.records import QualityReport
from dataflow_assets.settings import fingerprint_of
from dataflow_assets.warehouse.changes import Changes, Scope, literal
from dataflow_assets.warehouse.spool import RowWriter
from dataflow_assets.warehouse.store import now

if TYPE_CHECKING:
    import duckdb

    from dataflow_assets.models.question import Tally
    from dataflow_assets.stages.figures import AskingFigures, EvaluationFigures, Figures, Share

KEPT_REPORTS = 20
"""HTML files kept of a library; they quote documents, so they do not pile up for ever. The figures stay in the table."""

SHOWN_EVALUATIONS = 20
SHOWN = 12
"""Kinds of retries and refusals that are told apart."""

_STATES = {
    "raw_documents": "document_id, input_hash",
    "validated_documents": "document_id, input_hash, status, duplicate_of, waiting",
    "chunks": "chunk_id, input_hash, chunk_index",
    "corrections": "chunk_id, input_hash, status, waiting",
    "embeddings": "chunk_id, input_hash, status",
    "search_index": "chunk_id, input_hash",
}


def report(run: LibraryRun) -> Changes:
    """Collect the figures, write the report, and leave its row in the spool; notes how the run ended."""
    from dataflow_assets.stages import report as drawing

    changes = Changes(record=QualityReport, scope=Scope(run.library), parent="run_id", rows=0)
    notes = told(run)
    evaluations = read_memory(run.home, run.library).evaluations[-SHOWN_EVALUATIONS:]
    with run.warehouse.reading() as connection:
        state = fingerprint_of(
            drawing.CODE_VERSION,
            *(_state(connection, run.library, t, c) for t, c in _STATES.items()),
            *(one["at"] for one in evaluations[-1:]),
        )
        last = connection.execute(
            "SELECT input_hash, report_path FROM quality_reports WHERE library = ? ORDER BY generated_at DESC LIMIT 1",
            [run.library],
        ).fetchone()
        found = connection.execute("SELECT count(*) FROM quality_reports WHERE library = ?", [run.library]).fetchone()
        changes.rows = int(found[0]) if found else 0
        unchanged = last is not None and last[0] == state and (run.home / last[1]).exists() and not _asked(run)
        if not unchanged:
            from dataflow_assets.warehouse.figures import collect_figures, previous_figures

            figures = collect_figures(connection, run.library, previous=previous_figures(connection, run.library))
    if not unchanged:
        from dataflow_assets.stages.figures import headline

        figures = replace(_with_money(run, figures), evaluations=_evaluations(run, evaluations))
        generated_at = now()
        stages = [
            drawing.StageTiming(
                name=stage.name,
                seconds=stage.seconds,
                peak_memory_bytes=stage.peak_memory_bytes,
                new=stage.counts.new,
                changed=stage.counts.changed,
                unchanged=stage.counts.unchanged,
                deleted=stage.counts.deleted,
                failed=stage.counts.failed,
            )
            for stage in run.journal
        ]
        page = drawing.render_report(
            figures, library=run.library, run_id=run.run_id, generated_at=generated_at, stages=stages, notes=notes
        )
        folder = run.home / "reports" / run.library
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{generated_at:%Y%m%dT%H%M%S%f}-{run.run_id[:8]}.html"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(path)
        for old in sorted(folder.glob("*.html"))[:-KEPT_REPORTS]:
            old.unlink(missing_ok=True)
        relative = os.path.relpath(path, run.home)
        with RowWriter(run.spool / "quality_reports.made.parquet", QualityReport) as writer:
            writer.add(
                figures.quality_report(
                    run_id=run.run_id, generated_at=generated_at, report_path=relative, input_hash=state
                )
            )
        changes.made = writer.file
        numbers = headline(figures)
        cost_usd = numbers.pop("cost_usd")  # a materialization's `cost_usd` is what its own stage cost
        if figures.paid:
            numbers["cost_so_far_usd"] = cost_usd
        changes.details.update(headline=numbers, summary=drawing.summary_markdown(figures, notes), report=str(path))
    changes.after = lambda: end_state(
        run.home,
        run.partition,
        "incomplete" if notes else "ok",
        message=" ".join(notes) or None,
        settings=settings_fingerprint(run.settings),
        **_source_health(run),
    )
    return changes


def told(run: LibraryRun) -> list[str]:
    """What a person must know of the run: what could not be done, and why a new generation is not in use."""
    withheld = run.details.get("search_index", {}).get("withheld")
    return [*run.notes, withheld] if withheld else run.notes


def _evaluations(run: LibraryRun, remembered: Sequence[Mapping[str, Any]]) -> tuple[EvaluationFigures, ...]:
    from dataflow_assets.stages.figures import EvaluationFigures

    use = run.index.usage(run.library)
    return tuple(
        EvaluationFigures(
            **{name: one[name] for name in ("at", "generation", "kind", "questions", "k", "recall", "mrr", "ndcg")},
            semantic=one.get("semantic", 0.0),
            in_use=use is not None and one["generation"] == use.generation,
            refused=one.get("passed") is False,
        )
        for one in remembered
    )


def _source_health(run: LibraryRun) -> dict[str, Any]:
    """Say how the source did; what is not said stays as the run before said it."""
    told = run.details.get("raw_documents", {})
    health: dict[str, Any] = {
        "fingerprint": told.get("fingerprint"),
        "withheld_deletes": told.get("withheld_deletes", 0),
        "source_error": told.get("unavailable"),
        "items_failed": len(told.get("failures", {})),
    }
    if "listed" in told:
        health |= {"listed": told["listed"], "listed_at": now().isoformat(timespec="seconds")}
    return health


def _asked(run: LibraryRun) -> bool:
    """Say whether the run made calls: they may have cost something though no row changed."""
    return any(tally.calls for tally in run.tallies.values())


def _with_money(run: LibraryRun, figures: Figures) -> Figures:
    """Add what the tables do not know: what this run asked, what the store saved, and how the budgets stand.

    A library that never had anything to do with a paid model gets its figures back as they are.
    """
    from dataflow_assets.flow.paid import open_ledger, paid_models

    if not paid_models(run.settings) and not figures.calls:
        return figures
    from dataflow_assets.stages.figures import BudgetFigures

    ledger, limits = open_ledger(run.home), run.settings.limits
    saved_texts, saved_usd = ledger.saved(run.library)
    spent = ledger.spent(run.library)
    return replace(
        figures,
        saved_texts=saved_texts,
        saved_usd=round(saved_usd, 6),
        asking=tuple(_took(stage, tally) for stage, tally in run.tallies.items() if tally.texts or tally.calls),
        budgets=tuple(
            BudgetFigures(setting, limit, round(used, 6))
            for setting, limit, used in (
                ("budget_usd", limits.budget_usd, spent.life_usd),
                ("monthly_budget_usd", limits.monthly_budget_usd, spent.month_usd),
            )
            if limit is not None
        ),
    )


def _took(stage: str, tally: Tally) -> AskingFigures:
    from dataflow_assets.stages.figures import AskingFigures

    return AskingFigures(
        stage=stage,
        texts=tally.texts,
        asked=tally.asked,
        from_store=max(0, tally.from_store),
        calls=tally.calls,
        asked_again=tally.asked_again,
        input_tokens=tally.input_tokens,
        output_tokens=tally.output_tokens,
        cached_tokens=tally.cached_tokens,
        cost_usd=round(tally.cost_usd, 6),
        saved_usd=max(0.0, round(tally.saved_usd, 6)),
        held_usd=round(tally.lost_usd, 6),
        retries=_shares(tally.retries),
        refused=_shares(tally.refused),
        left=tally.left + tally.parked,
        left_for=tally.stopped or tally.parked_for or "",
        unpriced=tally.unpriced,
    )


def _shares(counts: Mapping[str, int]) -> tuple[Share, ...]:
    """Give the most frequent ones, and how many the others are together."""
    from dataflow_assets.stages.figures import Share

    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ranked[SHOWN:])
    return (*(Share(name[:160], count) for name, count in ranked[:SHOWN]), *((Share("other", rest),) if rest else ()))


def _state(connection: duckdb.DuckDBPyConnection, library: str, table: str, columns: str) -> str:
    listed = ", ".join(f"coalesce(CAST({column} AS VARCHAR), '')" for column in columns.split(", "))
    found = connection.execute(
        f"SELECT count(*), coalesce(bit_xor(md5_number(concat_ws(chr(31), {listed}))), 0) FROM {table} "
        f"WHERE library = {literal(library)}"
    ).fetchone()
    return f"{table} {found}"
