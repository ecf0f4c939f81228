"""What the service tells from the tables: documents, and the figures of the quality reports.

Every query names the libraries that exist for the caller: what does not is not looked for, so that neither an answer nor the
time that it takes tells of it. All values are parameters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from dataflow_assets.warehouse.store import Warehouse

_HEAD = (
    "document_id", "library", "title", "source_uri", "doc_type", "language", "tags", "status", "reason", "quality_score",
    "character_count", "token_count", "updated_at",
)  # fmt: skip
_DOCUMENTS = (
    "(SELECT v.*, coalesce(r.source_uri, '') AS source_uri FROM validated_documents v "
    "LEFT JOIN (SELECT document_id, source_uri FROM raw_documents) r USING (document_id))"
)
_QUALITY = (
    "overall_score", "documents", "valid", "rejected", "duplicates", "chunks", "corrected", "refused", "embedded", "indexed",
)  # fmt: skip
MAX_CHUNKS = 5_000


def documents_of(warehouse: Warehouse, library: str, *, after: str, limit: int) -> dict[str, Any]:
    """List documents of a library by their ids, beginning after one."""
    with warehouse.reading() as connection:
        rows = connection.execute(
            f"SELECT {', '.join(_HEAD)} FROM {_DOCUMENTS} WHERE library = $library AND document_id > $after "  # noqa: S608
            "ORDER BY document_id LIMIT $limit",
            {"library": library, "after": after, "limit": limit + 1},
        ).fetchall()
    listed = [_head(row) for row in rows[:limit]]
    return {"documents": listed, "next": listed[-1]["document_id"] if len(rows) > limit else None}


def document(
    warehouse: Warehouse, document_id: str, libraries: Sequence[str], *, start: int, length: int
) -> dict[str, Any] | None:
    """Give a document with a stretch of its text; None where these libraries have no such document.

    Args:
        warehouse: The tables.
        document_id: The document.
        libraries: Where it may be.
        start: First code point of the stretch.
        length: Its length.
    """
    with warehouse.reading() as connection:
        row = connection.execute(
            f"SELECT {', '.join(_HEAD)}, markup, issues, substring(text, $first, $length) FROM {_DOCUMENTS} "  # noqa: S608
            "WHERE document_id = $document AND list_contains($libraries, library)",
            {"first": start + 1, "length": length, "document": document_id, "libraries": list(libraries)},
        ).fetchone()
        if row is None:
            return None
        text = row[-1]
        end = start + len(text or "")
        chunks = connection.execute(
            "SELECT c.chunk_id, c.chunk_index, c.start_position, c.end_position, c.heading_path, c.first_page, c.last_page, "
            "c.role, c.said_at, x.status, x.reason, x.corrected_text "
            "FROM (SELECT * FROM chunks WHERE document_id = $document AND library = $library AND end_position > $start "
            "AND start_position < $end) c LEFT JOIN (SELECT * FROM corrections WHERE document_id = $document) x "
            "USING (chunk_id) ORDER BY c.chunk_index LIMIT $limit",
            {"document": document_id, "library": row[1], "start": start, "end": end, "limit": MAX_CHUNKS},
        ).fetchall()
    names = (
        "chunk_id", "chunk_index", "start_position", "end_position", "heading_path", "first_page", "last_page", "role", "said_at",
        "correction", "correction_reason", "corrected_text",
    )  # fmt: skip
    return {
        **_head(row),
        "markup": row[len(_HEAD)],
        "issues": [{k: v or "" for k, v in issue.items()} for issue in row[len(_HEAD) + 1] or ()],
        "start": start,
        "end": end,
        "text": text,
        "chunks": [{**dict(zip(names, chunk, strict=True)), "heading_path": list(chunk[4] or ())} for chunk in chunks],
    }


def quality_of(warehouse: Warehouse, libraries: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Give the latest figures of libraries, by name; a library without a report is left out."""
    with warehouse.reading() as connection:
        rows = connection.execute(
            f"SELECT library, generated_at, {', '.join(_QUALITY)} FROM quality_reports "  # noqa: S608
            "WHERE list_contains($libraries, library) QUALIFY row_number() OVER "
            "(PARTITION BY library ORDER BY generated_at DESC, run_id) = 1",
            {"libraries": list(libraries)},
        ).fetchall()
    return {row[0]: {"generated_at": _time(row[1]), **_numbers(row[2:])} for row in rows}


def reports_of(warehouse: Warehouse, library: str, *, limit: int) -> list[dict[str, Any]]:
    """Give a library's figures over time, the newest first."""
    with warehouse.reading() as connection:
        rows = connection.execute(
            f"SELECT run_id, cost_usd, metrics, generated_at, {', '.join(_QUALITY)} FROM quality_reports "  # noqa: S608
            "WHERE library = $library ORDER BY generated_at DESC, run_id LIMIT $limit",
            {"library": library, "limit": limit},
        ).fetchall()
    return [
        {
            "run_id": row[0],
            "cost_usd": row[1] or 0.0,
            "metrics": json.loads(row[2]) if row[2] else {},
            "generated_at": _time(row[3]),
            **_numbers(row[4:]),
        }
        for row in rows
    ]


def _head(row: Sequence[Any]) -> dict[str, Any]:
    said = dict(zip(_HEAD, row, strict=False))
    return {**said, "tags": list(said["tags"] or ()), "updated_at": _time(said["updated_at"])}


def _numbers(values: Sequence[Any]) -> dict[str, Any]:
    said = dict(zip(_QUALITY, values, strict=True))
    score = said["overall_score"]
    return {**said, "overall_score": score if score is not None and math.isfinite(score) else 0.0}


def _time(at: Any) -> str:
    return at.isoformat(sep=" ", timespec="seconds") if at is not None else ""
