"""From the tables to the quality report: one HTML file and one row, made only when something changed since the last one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.flow.state import end_state
from dataflow_assets.records import QualityReport
from dataflow_assets.settings import fingerprint_of
from dataflow_assets.warehouse.changes import Changes, Scope, literal
from dataflow_assets.warehouse.spool import RowWriter
from dataflow_assets.warehouse.store import now

if TYPE_CHECKING:
    import duckdb

KEPT_REPORTS = 20
"""HTML files kept of a library; they quote documents, so they do not pile up for ever. The figures stay in the table."""

_STATES = {
    "raw_documents": "document_id, input_hash",
    "validated_documents": "document_id, input_hash, status, duplicate_of",
    "chunks": "chunk_id, input_hash, chunk_index",
    "corrections": "chunk_id, input_hash, status",
    "embeddings": "chunk_id, input_hash, status",
    "search_index": "chunk_id, input_hash",
}


def report(run: LibraryRun) -> Changes:
    """Collect the figures, write the report, and leave its row in the spool; notes how the run ended."""
    from dataflow_assets.stages import report as drawing

    changes = Changes(record=QualityReport, scope=Scope(run.library), parent="run_id", rows=0)
    with run.warehouse.reading() as connection:
        state = fingerprint_of(
            drawing.CODE_VERSION, *(_state(connection, run.library, t, c) for t, c in _STATES.items())
        )
        last = connection.execute(
            "SELECT input_hash, report_path FROM quality_reports WHERE library = ? ORDER BY generated_at DESC LIMIT 1",
            [run.library],
        ).fetchone()
        found = connection.execute("SELECT count(*) FROM quality_reports WHERE library = ?", [run.library]).fetchone()
        changes.rows = int(found[0]) if found else 0
        unchanged = last is not None and last[0] == state and (run.home / last[1]).exists()
        if not unchanged:
            from dataflow_assets.warehouse.figures import collect_figures, previous_figures

            figures = collect_figures(connection, run.library, previous=previous_figures(connection, run.library))
    if not unchanged:
        from dataflow_assets.stages.figures import headline

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
            figures, library=run.library, run_id=run.run_id, generated_at=generated_at, stages=stages, notes=run.notes
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
        changes.details.update(headline=headline(figures), summary=drawing.summary_markdown(figures), report=str(path))
    changes.after = lambda: end_state(
        run.home,
        run.partition,
        "incomplete" if run.notes else "ok",
        fingerprint=run.details.get("raw_documents", {}).get("fingerprint"),
        withheld_deletes=run.details.get("raw_documents", {}).get("withheld_deletes", 0),
        message=" ".join(run.notes) or None,
    )
    return changes


def _state(connection: duckdb.DuckDBPyConnection, library: str, table: str, columns: str) -> str:
    listed = ", ".join(f"coalesce(CAST({column} AS VARCHAR), '')" for column in columns.split(", "))
    found = connection.execute(
        f"SELECT count(*), coalesce(bit_xor(md5_number(concat_ws(chr(31), {listed}))), 0) FROM {table} "
        f"WHERE library = {literal(library)}"
    ).fetchone()
    return f"{table} {found}"
