"""What a run would do, counted without doing it: the source is listed and what changed is read, nothing is stored or asked."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from dataflow_assets.errors import DataflowError, SourceUnavailable
from dataflow_assets.flow.ingest import compare, item_of, list_source
from dataflow_assets.flow.library_run import LibraryRun, withheld_message
from dataflow_assets.flow.steps import CHUNKS, CORRECTIONS, EMBEDDINGS, VALIDATED_DOCUMENTS, count_pending
from dataflow_assets.records import Chunk
from dataflow_assets.stages.chunk import chunk_document
from dataflow_assets.stages.read import read_document
from dataflow_assets.stages.tokens import count_tokens
from dataflow_assets.stages.validate import validate_document
from dataflow_assets.warehouse.changes import detect, literal
from dataflow_assets.warehouse.spool import read_batches


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What one stage would work on."""

    texts: int = 0
    tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run over one partition would do."""

    stages: dict[str, StagePlan]
    deletes: int
    withheld_deletes: int
    message: str | None


def plan(run: LibraryRun) -> Plan:
    """Count what a run would do."""
    with tempfile.TemporaryDirectory(prefix="dataflow-plan-") as folder:
        return _plan(replace(run, spool=Path(folder)))


def _plan(run: LibraryRun) -> Plan:
    fetch_to, stale_to = run.spool / "to_fetch.parquet", run.spool / "stale.parquet"
    message, withheld, deletes, fetches = None, 0, 0, 0
    try:
        listing, _ = list_source(run)
        with run.warehouse.reading() as connection:
            compared = compare(connection, run, listing, fetch_to)
        fetches, deletes = compared.to_fetch, 0 if compared.withheld else compared.gone_here
        if compared.withheld:
            withheld, message = compared.gone, withheld_message(run.library, compared.gone)
    except SourceUnavailable as error:
        message = str(error)
    fresh: dict[str, bytes | None] = {}
    with run.warehouse.reading() as connection:
        detect(connection, VALIDATED_DOCUMENTS.derivation, run.scope, VALIDATED_DOCUMENTS.fingerprint(run), stale_to)
        known = {
            row[0]
            for row in connection.execute(
                f"SELECT chunk_id FROM chunks WHERE library = {literal(run.library)}"
            ).fetchall()
        }
        waiting = {
            step.derivation.table: count_pending(connection, run, step) for step in (CHUNKS, CORRECTIONS, EMBEDDINGS)
        }
        recut = run.spool / "recut.parquet"
        detect(connection, CHUNKS.derivation, run.scope, CHUNKS.fingerprint(run), recut)
    documents, document_tokens, cut, cut_tokens, new, new_tokens = 0, 0, 0, 0, 0, 0

    def count(chunks: list[Chunk]) -> None:
        nonlocal cut, cut_tokens, new, new_tokens
        for chunk in chunks:
            cut, cut_tokens = cut + 1, cut_tokens + chunk.token_count
            if chunk.chunk_id not in known:
                new, new_tokens = new + 1, new_tokens + chunk.token_count

    def look(document_id: str, uri: str, media_type: str, content: bytes | None, failure: str | None) -> None:
        nonlocal documents, document_tokens
        read = None
        if content is not None:
            try:
                read = read_document(content, source_uri=uri, media_type=media_type, settings=run.settings.reading)
            except DataflowError as error:
                failure = str(error)
        row = validate_document(
            library=run.library,
            document_id=document_id,
            source_uri=uri,
            read=read,
            failure=failure,
            settings=run.settings.validation,
            input_hash="",
        )
        documents, document_tokens = documents + 1, document_tokens + row.token_count
        if row.status == "valid" and row.text:
            count(
                chunk_document(
                    library=run.library,
                    document_id=document_id,
                    text=row.text,
                    markup=row.markup,
                    settings=run.settings.chunking,
                    input_hash="",
                )
            )

    for batch in read_batches(fetch_to) if fetch_to.exists() else ():
        for row in batch:
            fresh[row["document_id"]] = None
            content, failure = None, row["problem"]
            if failure is None:
                try:
                    content = run.source.fetch(item_of(row))
                except DataflowError as error:
                    failure = str(error)
            look(row["document_id"], row["uri"], row["media_type"], content, failure)
    for batch in read_batches(stale_to) if stale_to.exists() else ():
        for row in batch:
            if row["document_id"] not in fresh:
                fresh[row["document_id"]] = None
                try:
                    content = run.documents.get(row["content_hash"]) if row["content_hash"] else None
                except DataflowError:
                    content = None
                look(row["document_id"], row["source_uri"], row["media_type"], content, row["fetch_error"])
    for batch in read_batches(recut) if recut.exists() else ():
        for row in batch:
            if row["document_id"] not in fresh:
                count(
                    chunk_document(
                        library=run.library,
                        document_id=row["document_id"],
                        text=row["text"],
                        markup=row["markup"],
                        settings=run.settings.chunking,
                        input_hash="",
                    )
                )
    asked = {
        table: StagePlan(new + waiting[table].stale, new_tokens + _tokens_of(run, table, waiting[table].stale))
        for table in ("corrections", "embeddings")
    }
    if run.corrector is None:
        asked["corrections"] = StagePlan()
    return Plan(
        stages={
            "raw_documents": StagePlan(fetches),
            "validated_documents": StagePlan(documents, document_tokens),
            "chunks": StagePlan(cut, cut_tokens),
            **asked,
            "search_index": StagePlan(asked["embeddings"].texts, asked["embeddings"].tokens),
        },
        deletes=deletes,
        withheld_deletes=withheld,
        message=message,
    )


def _tokens_of(run: LibraryRun, table: str, stale: int) -> int:
    """Tokens of the chunks that are there and would be asked about again."""
    if not stale:
        return 0
    step = CORRECTIONS if table == "corrections" else EMBEDDINGS
    exported = run.spool / f"{table}.parquet"
    with run.warehouse.reading() as connection:
        detect(connection, step.derivation, run.scope, step.fingerprint(run), exported)
    return sum(count_tokens(row["text"]) for batch in read_batches(exported) for row in batch)
