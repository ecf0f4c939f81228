"""The stages that derive one table from another, in the order of the flow, and the one loop that drives them.

A step says what its rows depend on, hashes what else decides them into the stage's fingerprint, and turns exported stale
rows into rows made. Everything else (finding the stale rows, batching, spooling, deleting what is gone) is the same for
all of them and stands once, in `run_step`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow_assets.errors import DocumentMissing
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.records import Chunk, Correction, Embedding, ValidatedDocument, sections_of
from dataflow_assets.settings import fingerprint_of
from dataflow_assets.warehouse.changes import Changes, Derivation, Pending, detect, gone_sql
from dataflow_assets.warehouse.spool import RowWriter, read_batches, write_keys

if TYPE_CHECKING:
    import duckdb

    from dataflow_assets.models.question import Tally

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Notes:
    """What a step learns beside the rows that it makes."""

    failed: int = 0
    waiting: int = 0
    """Rows that are failed only because something else has to come first: a budget, a batch, a correction."""
    done: int = 0
    """Exported rows that are dealt with."""
    lost: list[str] = field(default_factory=list)
    """Documents whose bytes are missing from the document store."""


@dataclass(frozen=True, slots=True)
class Step:
    """One derived table."""

    derivation: Derivation
    fingerprint: Callable[[LibraryRun], str]
    """Hash of all that decides the result apart from the rows above."""
    work: Callable[[LibraryRun, Path, Notes], Iterator[Any]]
    """The file of exported stale rows -> records made, in any order."""
    weight: Callable[[Any], int]
    """Rough size of a record made, in characters; bounds what is held in memory."""
    settles_duplicates: bool = False
    before: Callable[[LibraryRun], None] | None = None
    """Runs first, also where nothing is stale."""


def run_step(run: LibraryRun, step: Step) -> Changes:
    """Do a step's outstanding work and leave what it made in the spool; the tables are not touched."""
    derivation, scope = step.derivation, run.scope
    if step.before is not None:
        step.before(run)
    exported = run.spool / f"{derivation.table}.stale.parquet"
    with run.warehouse.reading() as connection:
        pending = detect(connection, derivation, scope, step.fingerprint(run), exported)
    changes = Changes(record=derivation.record, scope=scope, parent=derivation.parent, rows=pending.rows)
    if pending.gone:
        changes.gone = gone_sql(derivation, scope)
    if pending.stale:
        notes = Notes()
        with RowWriter(run.spool / f"{derivation.table}.made.parquet", derivation.record) as writer:
            told = -1
            for record in step.work(run, exported, notes):
                writer.add(record, step.weight(record))
                if notes.done > told:
                    told = notes.done
                    run.progress(derivation.table, told, pending.stale)
        changes.made, changes.asked, changes.failed = writer.file, exported, notes.failed + len(notes.lost)
        if notes.waiting:
            changes.details["waiting"] = notes.waiting
        if notes.lost:  # their last good rows stand
            changes.details["lost"] = notes.lost
            changes.asked = _without(exported, derivation.parent, set(notes.lost))
    if derivation.record is Embedding:
        changes.widest_row = 4 * run.embedder.dimension
    if step.settles_duplicates and not changes.empty:
        from dataflow_assets.flow.near_duplicates import settle_duplicates

        settle_duplicates(run, changes)
    tally = run.tallies.get(derivation.table)
    if tally is not None and (tally.texts or tally.calls or tally.stopped):
        _account_for(changes, run, tally)
    return changes


def _account_for(changes: Changes, run: LibraryRun, tally: Tally) -> None:
    """Note what asking took, and have it booked when the rows are stored."""
    from dataflow_assets.flow.booking import book_calls
    from dataflow_assets.flow.paid import open_ledger

    changes.details["asking"] = tally
    texts_are_rows = changes.record is not ValidatedDocument  # there, texts are pages, and the step counts documents
    if tally.stopped:
        changes.details["stopped"] = tally.stopped
        changes.details["waiting"] = changes.details.get("waiting", 0) + tally.left * texts_are_rows
    if tally.parked and texts_are_rows:
        changes.details["waits_for"] = tally.parked_for
        changes.details["waiting"] = changes.details.get("waiting", 0) + tally.parked
    if tally.from_store > 0:
        open_ledger(run.home).note_saved(run.library, tally.from_store, max(0.0, tally.saved_usd))

    before = changes.after

    def book() -> None:
        if before is not None:
            before()
        book_calls(run.home, run.warehouse)

    changes.after = book


def _without(exported: Path, parent: str, left_out: AbstractSet[str]) -> Path:
    keys = [row[parent] for batch in read_batches(exported) for row in batch if row[parent] not in left_out]
    return write_keys(exported.with_suffix(".asked.parquet"), parent, keys)


def count_pending(connection: duckdb.DuckDBPyConnection, run: LibraryRun, step: Step) -> Pending:
    """Count a step's outstanding work and do none of it."""
    return detect(connection, step.derivation, run.scope, step.fingerprint(run), None)


# validated_documents ------------------------------------------------------------------------------------------------


def _validation_fingerprint(run: LibraryRun) -> str:
    from dataflow_assets.stages import near_duplicates, read, validate

    versions: tuple[Any, ...] = (read.CODE_VERSION, validate.CODE_VERSION, near_duplicates.CODE_VERSION)
    if run.settings.reading.vision is not None:
        from dataflow_assets.flow import eyes

        versions += (eyes.VERSION,)
    return fingerprint_of(*versions, run.settings.reading, run.settings.validation, run.settings.duplicates)


def _rows(exported: Path, notes: Notes) -> Iterator[dict[str, Any]]:
    """Give exported rows one by one, counted when the next batch is asked for."""
    for batch in read_batches(exported):
        yield from batch
        notes.done += len(batch)


def _validate(run: LibraryRun, exported: Path, notes: Notes) -> Iterator[ValidatedDocument]:
    from dataflow_assets.flow.reading import Unread, read_documents
    from dataflow_assets.stages.validate import validate_document

    def unread() -> Iterator[Unread]:
        for batch in read_batches(exported):
            for row in batch:
                content = None
                if row["content_hash"] is not None:
                    try:
                        content = run.documents.get(row["content_hash"])
                    except DocumentMissing as error:
                        logger.warning("%s: %s It is fetched again by the next run.", row["source_uri"], error)
                        notes.lost.append(row["document_id"])
                        notes.done += 1
                        continue
                yield Unread(row["document_id"], row["source_uri"], row["media_type"], content, row["fetch_error"], row)

    with run.workers() as pool:
        reads = read_documents(run, unread(), pool)
        if run.settings.reading.vision is not None:
            from dataflow_assets.flow.eyes import Eyes

            reads = Eyes(run, pool).read(reads)
        for done in reads:
            notes.done += 1
            notes.failed += done.waiting
            # Those that were not asked about, for a budget or a service that is down; the others failed in passing.
            notes.waiting += done.waiting and run.tallies["validated_documents"].stopped is not None
            yield validate_document(
                library=run.library,
                document_id=done.unread.document_id,
                source_uri=done.unread.source_uri,
                read=done.read,
                failure=done.failure,
                settings=run.settings.validation,
                input_hash=done.unread.row["input_hash"] if done.unread.row else "",
                waiting=done.waiting,
            )


VALIDATED_DOCUMENTS = Step(
    derivation=Derivation(
        record=ValidatedDocument,
        parent="document_id",
        upstream=lambda scope: (
            "SELECT document_id, content_hash, media_type, source_uri, fetch_error "
            f"FROM raw_documents WHERE {scope.where()}"
        ),
        depends_on=("content_hash", "media_type", "source_uri", "fetch_error"),
        export="SELECT * FROM stale",
        retry="coalesce(waiting, FALSE)",
    ),
    fingerprint=_validation_fingerprint,
    work=_validate,
    weight=lambda document: len(document.text or ""),
    settles_duplicates=True,
)


# chunks -------------------------------------------------------------------------------------------------------------


def _chunk_fingerprint(run: LibraryRun) -> str:
    from dataflow_assets.stages import chunk

    settings = run.settings.chunking
    return fingerprint_of(chunk.CODE_VERSION, settings.strategy, settings.max_tokens, settings.overlap)


def _chunk(run: LibraryRun, exported: Path, notes: Notes) -> Iterator[Chunk]:
    from dataflow_assets.stages.chunk import chunk_document

    for row in _rows(exported, notes):
        yield from chunk_document(
            library=run.library,
            document_id=row["document_id"],
            text=row["text"],
            markup=row["markup"],
            settings=run.settings.chunking,
            sections=sections_of(row["sections"]),
            input_hash=row["input_hash"],
        )


CHUNKS = Step(
    derivation=Derivation(
        record=Chunk,
        parent="document_id",
        upstream=lambda scope: (
            "SELECT document_id, text_hash, markup, sha256(sections) AS sections_hash FROM validated_documents "
            f"WHERE {scope.where()} AND status = 'valid'"
        ),
        depends_on=("text_hash", "markup", "sections_hash"),
        export=(
            "SELECT s.document_id, s.markup, s.input_hash, v.text, v.sections, v.language, v.doc_type, v.uri AS source_uri FROM stale s JOIN validated_documents v USING (document_id)"
        ),
    ),
    fingerprint=_chunk_fingerprint,
    work=_chunk,
    weight=lambda chunk: len(chunk.text),
)


# corrections --------------------------------------------------------------------------------------------------------


def _correction_fingerprint(run: LibraryRun) -> str:
    from dataflow_assets.stages import correct

    name = run.corrector.name if run.corrector else None
    return fingerprint_of(correct.CODE_VERSION, run.settings.corrections.deciding, name)


def _collect_batches(run: LibraryRun) -> None:
    """Collect what batches have answered, also where their texts are gone: it is paid for."""
    if (run.home / "ledger.sqlite").exists():
        from dataflow_assets.flow.cheap_lane import collect_batches

        collect_batches(run)


def _correct(run: LibraryRun, exported: Path, notes: Notes) -> Iterator[Correction]:
    from dataflow_assets.stages.correct import ChunkText, correct_chunks, skip_chunk

    settings = run.settings.corrections

    def chunk(row: dict[str, Any]) -> ChunkText:
        return ChunkText(
            library=run.library,
            chunk_id=row["chunk_id"],
            document_id=row["document_id"],
            text=row.get("text", ""),
            text_hash=row["text_hash"],
            protected_spans=tuple(row["protected_spans"]),
            input_hash=row["input_hash"],
            language=row["language"],
            doc_type=row["doc_type"],
            source_uri=row["source_uri"],
            role=row["role"] or None,
        )

    if run.corrector is None or settings.selective:
        for batch in read_batches(exported, without="text"):
            for row in batch:
                skipped = skip_chunk(chunk(row), settings)
                if skipped is not None:
                    notes.done += 1
                    yield skipped
    if run.corrector is None:
        return

    def asked() -> Iterator[ChunkText]:
        for batch in read_batches(exported):
            for row in batch:
                each = chunk(row)
                if not settings.selective or skip_chunk(each, settings) is None:
                    yield each

    if settings.paid:
        from dataflow_assets.flow.cheap_lane import look_after_batches

        look_after_batches(run, lambda: (each.text for each in asked()))
    for correction in correct_chunks(asked(), corrector=run.corrector, settings=settings):
        notes.done += 1
        notes.failed += correction.status == "failed"
        yield correction


CORRECTIONS = Step(
    derivation=Derivation(
        record=Correction,
        parent="chunk_id",
        upstream=lambda scope: (
            "SELECT c.chunk_id, c.document_id, c.text_hash, c.protected_spans, v.language, v.doc_type, "
            "coalesce(c.role, '') AS role "
            f"FROM chunks c JOIN validated_documents v USING (document_id) WHERE {scope.where('c')}"
        ),
        # The last three decide whether a chunk is left out.
        depends_on=("text_hash", "protected_spans", "language", "doc_type", "role"),
        export=(
            "SELECT s.*, c.text, v.uri AS source_uri FROM stale s JOIN chunks c USING (chunk_id) "
            "JOIN validated_documents v ON v.document_id = c.document_id"
        ),
        retry="status = 'failed'",
    ),
    fingerprint=_correction_fingerprint,
    work=_correct,
    before=_collect_batches,
    weight=lambda correction: len(correction.corrected_text or ""),
)


# embeddings ---------------------------------------------------------------------------------------------------------


def _embedding_fingerprint(run: LibraryRun) -> str:
    from dataflow_assets.stages import embed

    return fingerprint_of(embed.CODE_VERSION, run.embedder.name, run.embedder.dimension)


def _embed(run: LibraryRun, exported: Path, notes: Notes) -> Iterator[Embedding]:
    import numpy as np

    from dataflow_assets.stages.embed import SearchedText, embed_chunks, reuse_vector, wait_for_correction

    embedder, settings = run.embedder, run.settings.embeddings
    tally = run.tallies["embeddings"] if settings.paid else None
    settled: set[str] = set()

    def searched(row: dict[str, Any]) -> SearchedText:
        return SearchedText(
            library=run.library,
            chunk_id=row["chunk_id"],
            document_id=row["document_id"],
            text=row.get("text", ""),
            text_hash=row["searched_hash"],
            input_hash=row["input_hash"],
        )

    # First what needs no model: texts with a vector already, and those that have to wait.
    for batch in read_batches(exported, without="text"):
        for row in batch:
            made = None
            vector = row["known_vector"]
            if vector is not None and row["known_model"] == embedder.name and len(vector) == embedder.dimension:
                known = np.asarray(vector, dtype=np.float32)
                made = reuse_vector(searched(row), known, embedder=embedder, settings=settings)
                if made is not None and tally is not None:
                    tally.texts += 1
                    tally.from_store += 1
            if made is None and row["waits"]:
                made = wait_for_correction(searched(row), embedder=embedder, settings=settings)
                notes.failed += 1
                notes.waiting += 1
            if made is not None:
                settled.add(row["chunk_id"])
                notes.done += 1
                yield made
    asked = (
        searched(row)
        for batch in read_batches(exported, without="known_vector")
        for row in batch
        if row["chunk_id"] not in settled
    )
    for embedding in embed_chunks(asked, embedder=embedder, settings=settings):
        notes.done += 1
        notes.failed += embedding.status == "failed"
        yield embedding


EMBEDDINGS = Step(
    derivation=Derivation(
        record=Embedding,
        parent="chunk_id",
        # The text that is searched: corrected where there is one.
        upstream=lambda scope: (
            "SELECT c.chunk_id, c.document_id, "
            "CASE WHEN x.corrected_text IS NULL THEN c.text_hash ELSE sha256(x.corrected_text) END AS searched_hash "
            f"FROM chunks c LEFT JOIN corrections x USING (chunk_id) WHERE {scope.where('c')}"
        ),
        depends_on=("searched_hash",),
        # A text that has a vector of the same model anywhere in the home is not embedded again. Those of paid models lie in
        # the ledger, and are too wide to be grouped here.
        export=(
            "SELECT s.*, coalesce(x.corrected_text, c.text) AS text, k.vector AS known_vector, k.model AS known_model, "
            "coalesce(x.waiting, FALSE) AS waits "
            "FROM stale s JOIN chunks c USING (chunk_id) LEFT JOIN corrections x USING (chunk_id) "
            "LEFT JOIN (SELECT text_hash, arg_max(vector, model) AS vector, max(model) AS model FROM embeddings "
            "WHERE status = 'embedded' AND dimension <= 256 AND text_hash IN (SELECT searched_hash FROM stale) GROUP BY text_hash) k "
            "ON k.text_hash = s.searched_hash"
        ),
        retry="status = 'failed'",
    ),
    fingerprint=_embedding_fingerprint,
    work=_embed,
    weight=lambda embedding: 4 * embedding.dimension,
)

STEPS = {step.derivation.table: step for step in (VALIDATED_DOCUMENTS, CHUNKS, CORRECTIONS, EMBEDDINGS)}
"""The derived tables that a pure stage makes, in the order of the flow."""
