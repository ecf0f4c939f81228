"""What a run would do, counted without doing it: the source is listed and what changed is read, nothing is stored or asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dataflow_assets.errors import DataflowError, FetchFailed, ItemRefused, SourceUnavailable
from dataflow_assets.flow.examiner import upcoming
from dataflow_assets.flow.eyes import Eyes
from dataflow_assets.flow.ingest import compare, list_source
from dataflow_assets.flow.library_run import LibraryRun, withheld_message
from dataflow_assets.flow.opening import open_items
from dataflow_assets.flow.paid import correction_question, open_ledger, vector_question
from dataflow_assets.flow.reading import Read, Unread, read_documents
from dataflow_assets.flow.steps import CHUNKS, CORRECTIONS, EMBEDDINGS, VALIDATED_DOCUMENTS, count_pending
from dataflow_assets.models.base import Usage
from dataflow_assets.models.editor import CorrectionQuestion
from dataflow_assets.models.examiner import ExamQuestion
from dataflow_assets.models.ledger import Ledger
from dataflow_assets.models.vectors import VectorQuestion
from dataflow_assets.records import Chunk, ValidatedDocument, sections_of
from dataflow_assets.stages.chunk import chunk_document
from dataflow_assets.stages.correct import ChunkText, skip_chunk
from dataflow_assets.stages.tokens import count_tokens
from dataflow_assets.stages.validate import validate_document
from dataflow_assets.warehouse.changes import detect, literal
from dataflow_assets.warehouse.spool import read_batches

if TYPE_CHECKING:
    from dataflow_assets.workers.pool import WorkerPool

SURENESS = ("certain", "measured", "estimated", "unknown price")


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What one stage would work on."""

    texts: int = 0
    """Rows that the stage would make."""
    tokens: int = 0
    """Their tokens: cl100k's, or the model's own where it is asked."""
    cost_usd: float = 0.0
    asked: int = 0
    """Texts that a paid model would be asked about."""
    stored: int = 0
    """Texts whose answers are in the store, or that repeat another one."""
    saved_usd: float = 0.0
    """What those would cost otherwise."""
    calls: int = 0
    sureness: Literal["certain", "measured", "estimated", "unknown price"] = "certain"
    """`measured`: from what this model's bills told, within about 5 %. `estimated`: from what models of its kind take, within
    about 15 %; both as far as nobody knows how many mistakes the texts have."""

    def __add__(self, other: StagePlan) -> StagePlan:
        """Add what another partition's stage would do."""
        sure = max(self.sureness, other.sureness, key=SURENESS.index)
        sums = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in fields(self)
            if field.name != "sureness"
        }
        return StagePlan(**sums, sureness=sure)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run over one partition would do."""

    stages: dict[str, StagePlan]
    deletes: int
    withheld_deletes: int
    message: str | None


class _Forecast:
    """What a paid stage would ask, packed as it would be, without asking.

    Args:
        question: What would be asked; None where the stage is not paid.
        ledger: What was answered before.
    """

    def __init__(self, question: CorrectionQuestion | VectorQuestion | ExamQuestion | None, ledger: Ledger) -> None:
        self._question, self._ledger = question, ledger
        self._texts: dict[str, str] = {}
        self._seen: set[bytes] = set()
        self._call = (0, 0, 0)
        self._calls = self._asked = self._stored = 0
        self._tokens = self._usd = self._saved = self._unsent = 0.0
        self._unpriced = False

    def add(self, text: str) -> None:
        """Take in a text."""
        if self._question is None:
            return
        key = self._question.key(text)
        size = len(text.encode("utf-8", "replace"))
        seen = bytes.fromhex(key[:24])
        if seen in self._seen:
            self._stored += 1
            self._unsent += size
            return
        self._seen.add(seen)
        self._texts[key] = text
        if len(self._texts) >= 500:
            self._look()

    def _look(self) -> None:
        found = self._ledger.find(list(self._texts)) if self._ledger.exists else {}
        # What a batch is asking about is paid for already.
        batched = {key for key, batch in self._ledger.in_batches(list(self._texts)).items() if batch}
        asked = {key: text for key, text in self._texts.items() if key not in found and key not in batched}
        self._stored += len(batched - found.keys())
        for key in found:
            self._stored += 1
            self._unsent += len(self._texts[key].encode("utf-8", "replace"))
        for text, mistakes in zip(asked.values(), self._mistakes(list(asked.values())), strict=True):
            self._take(len(text.encode("utf-8", "replace")), mistakes)
        self._texts.clear()

    def _mistakes(self, texts: Sequence[str]) -> list[int]:
        """Count the words that the built-in corrector would change, since the answer about a text is as long as they are many."""
        if not isinstance(self._question, CorrectionQuestion) or self._question.ratio.sure:
            return [0] * len(texts)
        from dataflow_assets.models.typos import TyposCorrector

        mended = TyposCorrector().mend(texts)
        return [
            sum(one != other for one, other in zip(text.split(), better.split(), strict=False)) if text != better else 0
            for text, better in zip(texts, mended, strict=True)
        ]

    def _take(self, size: int, mistakes: int) -> None:
        texts, together, wrong = self._call
        if texts and self._question is not None and not self._question.fits(texts, together, size):
            self._close()
            texts, together, wrong = 0, 0, 0
        self._call = (texts + 1, together + size, wrong + mistakes)

    def _close(self) -> None:
        texts, size, mistakes = self._call
        if not texts or self._question is None:
            return
        estimate = self._question.estimate_of(texts, size, mistakes)
        usd = self._question.price(Usage(round(estimate.sent_tokens), round(estimate.output_tokens)))
        self._unpriced |= usd is None
        self._usd += usd or 0.0
        self._tokens += estimate.sent_tokens + estimate.output_tokens
        self._asked, self._calls = self._asked + texts, self._calls + 1
        self._call = (0, 0, 0)

    def done(self, rows: int, tokens: int) -> StagePlan:
        """Give the stage's plan: for what is not paid, its rows and tokens."""
        if self._question is None:
            return StagePlan(rows, tokens)
        self._look()
        self._close()
        alone = self._question.estimate_of(1, round(self._unsent)) if self._unsent else None
        saved = self._question.price(Usage(round(alone.sent_tokens), round(alone.output_tokens))) if alone else 0.0
        sure: Literal["certain", "measured", "estimated", "unknown price"] = "certain"
        if self._asked:
            sure = "unknown price" if self._unpriced else "measured" if self._question.ratio.sure else "estimated"
        return StagePlan(
            rows, round(self._tokens), self._usd, self._asked, self._stored, saved or 0.0, self._calls, sure
        )


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
    fresh: set[str] = set()
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
    forecasts = _forecasts(run)

    def count(chunks: Sequence[Chunk], document: ValidatedDocument | dict[str, Any]) -> None:
        nonlocal cut, cut_tokens, new, new_tokens
        for chunk in chunks:
            cut, cut_tokens = cut + 1, cut_tokens + chunk.token_count
            if chunk.chunk_id not in known:
                new, new_tokens = new + 1, new_tokens + chunk.token_count
                if _is_asked(run, document, chunk.role):
                    forecasts["corrections"].add(chunk.text)
                forecasts["embeddings"].add(chunk.text)

    def look(done: Read) -> None:
        nonlocal documents, document_tokens
        row = validate_document(
            library=run.library,
            document_id=done.unread.document_id,
            source_uri=done.unread.source_uri,
            read=done.read,
            failure=done.failure,
            settings=run.settings.validation,
            input_hash="",
        )
        documents, document_tokens = documents + 1, document_tokens + row.token_count
        if row.status == "valid" and row.text:
            count(
                chunk_document(
                    library=run.library,
                    document_id=row.document_id,
                    text=row.text,
                    markup=row.markup,
                    settings=run.settings.chunking,
                    sections=sections_of(row.sections),
                    input_hash="",
                ),
                row,
            )

    def unread(pool: WorkerPool) -> Iterator[Unread]:
        """Give what a run would fetch, and what it would read again."""
        fetched = (row for batch in read_batches(fetch_to) for row in batch) if fetch_to.exists() else iter(())
        for row, parts in open_items(run, fetched, pool):
            if isinstance(parts, FetchFailed):
                continue
            try:
                for part in parts:
                    fresh.add(part.document_id)
                    yield Unread(part.document_id, part.uri, part.media_type, part.content, part.error)
            except ItemRefused as refused:
                yield Unread(row["document_id"], row["uri"], row["media_type"], None, str(refused))
        for batch in read_batches(stale_to) if stale_to.exists() else ():
            for row in batch:
                if row["document_id"] not in fresh:
                    fresh.add(row["document_id"])
                    try:
                        content = run.documents.get(row["content_hash"]) if row["content_hash"] else None
                    except DataflowError:
                        content = None
                    yield Unread(row["document_id"], row["source_uri"], row["media_type"], content, row["fetch_error"])

    with run.workers() as pool:
        reads = read_documents(run, unread(pool), pool)
        eyes = Eyes(run, pool, asking=False) if run.settings.reading.vision is not None else None
        for done in reads if eyes is None else eyes.read(reads):
            look(done)
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
                        sections=sections_of(row["sections"]),
                        input_hash="",
                    ),
                    row,
                )
    asked = {
        table: forecasts[table].done(
            new + waiting[table].stale, new_tokens + _again(run, table, waiting[table].stale, forecasts[table])
        )
        for table in ("corrections", "embeddings")
    }
    if run.corrector is None:
        asked["corrections"] = StagePlan()
    return Plan(
        stages={
            "raw_documents": StagePlan(fetches),
            "validated_documents": _with_pages(StagePlan(documents, document_tokens), eyes),
            "chunks": StagePlan(cut, cut_tokens),
            **asked,
            "search_index": _with_questions(run, StagePlan(asked["embeddings"].texts)),
        },
        deletes=deletes,
        withheld_deletes=withheld,
        message=message,
    )


def _with_pages(stage: StagePlan, eyes: Eyes | None) -> StagePlan:
    """Add what the pages without text would cost; what is written on them, nobody knows yet."""
    if eyes is None:
        return stage
    told = eyes.forecast
    sure: Literal["certain", "measured", "estimated", "unknown price"] = "measured" if told.measured else "estimated"
    return replace(
        stage,
        tokens=stage.tokens + round(told.tokens),
        cost_usd=told.usd,
        asked=told.asked,
        stored=told.stored,
        saved_usd=told.saved_usd,
        calls=told.asked,
        sureness=("unknown price" if told.unpriced else sure) if told.asked else "certain",
    )


def _with_questions(run: LibraryRun, stage: StagePlan) -> StagePlan:
    """Add what the gate would have written, where a new generation asks for it: questions about the documents as they stand."""
    exam = upcoming(run)
    if exam is None:
        return stage
    question, chosen = exam
    forecast = _Forecast(question, open_ledger(run.home))
    for excerpt in chosen:
        forecast.add(excerpt.text)
    return forecast.done(stage.texts, stage.tokens)


def _forecasts(run: LibraryRun) -> dict[str, _Forecast]:
    settings, ledger = run.settings, open_ledger(run.home)
    batch = settings.corrections.lane == "batch"
    return {
        "corrections": _Forecast(
            correction_question(settings, ledger, batch=batch) if settings.corrections.paid else None, ledger
        ),
        "embeddings": _Forecast(vector_question(settings, ledger) if settings.embeddings.paid else None, ledger),
    }


def _is_asked(run: LibraryRun, document: ValidatedDocument | dict[str, Any], role: str | None) -> bool:
    """Say whether somebody would be asked to correct a chunk of a document."""
    settings = run.settings.corrections
    if not settings.selective:
        return True
    if isinstance(document, dict):
        language, doc_type, uri = document["language"], document["doc_type"], document["source_uri"]
    else:
        language, doc_type, uri = document.language, document.doc_type, document.uri
    text = ChunkText(
        run.library, "", "", "", "", (), "", language=language, doc_type=doc_type, source_uri=uri, role=role
    )
    return skip_chunk(text, settings) is None


def _again(run: LibraryRun, table: str, stale: int, forecast: _Forecast) -> int:
    """Take in the chunks that are there and would be asked about again; give their tokens."""
    if not stale:
        return 0
    step = CORRECTIONS if table == "corrections" else EMBEDDINGS
    exported = run.spool / f"{table}.parquet"
    with run.warehouse.reading() as connection:
        detect(connection, step.derivation, run.scope, step.fingerprint(run), exported)
    tokens = 0
    for batch in read_batches(exported):
        for row in batch:
            tokens += count_tokens(row["text"])
            if table != "corrections" or _is_asked(run, row, row["role"] or None):
                forecast.add(row["text"])
    return tokens
