"""Figures against the same figures worked out in Python, over small libraries of every state."""

from __future__ import annotations

import datetime as dt
import json
import random
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow_assets.records import (
    RECORDS,
    Chunk,
    Correction,
    Embedding,
    Finding,
    IndexedChunk,
    ModelCall,
    QualityReport,
    RawDocument,
    ValidatedDocument,
    columns_of,
    text_hash,
    to_arrow,
)
from dataflow_assets.stages.figures import Figures, Histogram
from dataflow_assets.warehouse.figures import GAPS_READ, SEAM, collect_figures, previous_figures

NOW = dt.datetime(2026, 1, 2, 3, 4, 5)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config={"threads": 2}) as opened:
        create(opened)
        yield opened


def create(connection: duckdb.DuckDBPyConnection) -> None:
    for record in RECORDS:
        columns = ", ".join(f"{name} {column.sql}" for name, column in columns_of(record).items())
        connection.execute(f"CREATE OR REPLACE TABLE {record.TABLE} ({columns}, updated_at TIMESTAMP)")  # type: ignore[attr-defined]


def fill(connection: duckdb.DuckDBPyConnection, *rows: Any) -> None:
    for record in RECORDS:
        mine = [row for row in rows if type(row) is record]
        if mine:
            batch = to_arrow(record, mine)
            connection.register("incoming", batch)
            connection.execute(f"INSERT INTO {record.TABLE} SELECT *, NULL FROM incoming")  # type: ignore[attr-defined]
            connection.unregister("incoming")


def raw(name: str, *, library: str = "lib", content_hash: str | None = "c", size: int | None = 10) -> RawDocument:
    return RawDocument(
        library, name, name, "files", f"docs/{name}.md", "text/markdown", content_hash, size, "f", None, NOW, "h"
    )


def document(name: str, text: str | None = "Some words.", **changes: Any) -> ValidatedDocument:
    values: dict[str, Any] = {
        "library": "lib", "document_id": name, "uri": f"docs/{name}.md", "title": name.title(), "doc_type": "guide",
        "language": "en", "tags": (), "markup": "markdown", "text": text, "text_hash": text_hash(text or ""), "sections": None,
        "character_count": len(text or ""), "token_count": len(text or "") // 4, "quality_score": 1.0, "status": "valid",
        "reason": None, "duplicate_of": None, "issues": (), "metadata": '{"content_quality": 1.0}', "input_hash": "h",
    }  # fmt: skip
    return ValidatedDocument(**values | changes)


def chunk(name: str, document_id: str, text: str, start: int = 0, **changes: Any) -> Chunk:
    values: dict[str, Any] = {
        "library": "lib", "chunk_id": name, "document_id": document_id, "chunk_index": 0, "total_chunks": 1, "text": text,
        "text_hash": text_hash(text), "token_count": len(text) // 4, "character_count": len(text), "start_position": start,
        "end_position": start + len(text), "overlap_tokens": 0, "heading_path": ("Top",), "strategy": "structure",
        "first_page": None, "last_page": None, "role": None, "said_at": None, "reply_to": None, "protected_spans": (), "issues": (), "input_hash": "h",
    }  # fmt: skip
    return Chunk(**values | changes)


def correction(
    chunk_id: str,
    document_id: str,
    status: str,
    text: str | None = None,
    reason: str | None = None,
    waiting: bool = False,
) -> Correction:
    return Correction("lib", chunk_id, document_id, chunk_id, text, status, reason, "local", waiting, "h")


def embedding(
    chunk_id: str, document_id: str, vector: Sequence[float] | None, status: str = "embedded", reason: str | None = None
) -> Embedding:
    return Embedding("lib", chunk_id, document_id, chunk_id, "local", len(vector or ()), vector, status, reason, "h")  # type: ignore[arg-type]


def point(chunk_id: str, document_id: str) -> IndexedChunk:
    return IndexedChunk("lib", chunk_id, document_id, "g", "v", "p", "h")


def finding(validator: str = "min_characters", severity: Any = "warning", message: str = "Too short.") -> Finding:
    return Finding(validator, severity, message, "text", "", "Join it.")


def call(name: str, cost: float, *, status: str = "ok", held: float = 0.0, model: str = "m") -> ModelCall:
    error = None if status == "ok" else f"It was {status}."
    return ModelCall("lib", name, "r", "corrections", "p", model, 3, 10, 5, 1, cost, held, 0.5, status, error, NOW, "h")


def test_a_library_without_rows_gives_zeros(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, raw("other", library="neighbour"), document("x", library="neighbour"))
    assert collect_figures(connection, "lib") == Figures(library="lib")


def test_one_document_of_another_library_is_not_counted(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, raw("a"), document("a"), chunk("c", "a", "Some words."))
    before = collect_figures(connection, "lib")
    fill(
        connection,
        raw("b", library="o'ther"),
        document("b", library="o'ther", issues=(finding(),)),
        chunk("d", "b", "Other words.", library="o'ther"),
    )
    assert collect_figures(connection, "lib") == before
    assert collect_figures(connection, "o'ther").funnel.valid == 1


words = st.text(alphabet="ab \n\té\u3000😀", max_size=60)


@st.composite
def libraries(draw: st.DrawFn) -> list[Any]:
    rows: list[Any] = []
    kept: list[str] = []
    for number in range(draw(st.integers(0, 7))):
        name = f"d{number}"
        text = draw(words)
        status = draw(st.sampled_from(["valid", "valid", "rejected", "duplicate"]))
        status = "valid" if status == "duplicate" and not kept else status
        issues = tuple(
            finding(f"rule{draw(st.integers(0, 2))}", draw(st.sampled_from(["critical", "error", "warning"])))
            for _ in range(draw(st.integers(0, 3)))
        )
        rows.append(raw(name, content_hash=draw(st.sampled_from(["c", None])), size=draw(st.integers(0, 10**7))))
        rows.append(
            document(
                name, text, status=status, issues=issues, token_count=draw(st.integers(0, 10**6)),
                quality_score=draw(st.sampled_from([0.0, 0.3, 0.7, 0.9, 1.0])), language=draw(st.sampled_from(["en", "de"])),
                reason="Bad." if status == "rejected" else None, duplicate_of=kept[0] if status == "duplicate" else None,
                metadata=draw(st.sampled_from([f'{{"content_quality": {told}}}' for told in ("0.7", "1", '"x"')] + ["{}"])),
            )
        )  # fmt: skip
        if status != "valid":
            continue
        kept.append(name)
        for part in range(draw(st.integers(0, 3))):
            start = draw(st.integers(0, len(text)))
            span, key = text[start : draw(st.integers(start, len(text)))], f"{name}c{part}"
            rows.append(chunk(key, name, span, start, issues=issues[:1], token_count=draw(st.integers(0, 2000))))
            verdict = draw(st.sampled_from(["corrected", "unchanged", "refused", "failed", "skipped"]))
            waits = verdict == "failed" and draw(st.booleans())
            rows.append(correction(key, name, verdict, span + "!" if verdict == "corrected" else None, "No.", waits))
            if draw(st.booleans()):
                rows.append(embedding(key, name, draw(st.lists(st.floats(-9, 9, width=32), min_size=2, max_size=2))))
            if draw(st.booleans()):
                rows.append(point(key, name))
    rows += [
        call(f"k{place}", cost, status=draw(st.sampled_from(["ok", "overloaded", "lost"])), held=draw(st.floats(0, 1)))
        for place, cost in enumerate(draw(st.lists(st.floats(0, 5), max_size=4)))
    ]
    return rows


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(libraries())
def test_sql_agrees_with_python(connection: duckdb.DuckDBPyConnection, rows: list[Any]) -> None:
    create(connection)
    fill(connection, *random.Random(1).sample(rows, len(rows)))
    figures = collect_figures(connection, "lib")

    def of(record: type, **wanted: Any) -> list[Any]:
        return [r for r in rows if type(r) is record and all(getattr(r, key) == value for key, value in wanted.items())]

    documents, chunks, valid = of(ValidatedDocument), of(Chunk), of(ValidatedDocument, status="valid")
    funnel = figures.funnel
    assert funnel.listed == len(of(RawDocument))
    assert funnel.fetched == sum(r.content_hash is not None for r in of(RawDocument))
    assert funnel.size_bytes == sum(r.size_bytes for r in of(RawDocument))
    assert (funnel.valid, funnel.rejected, funnel.duplicates) == tuple(
        len(of(ValidatedDocument, status=status)) for status in ("valid", "rejected", "duplicate")
    )
    assert (funnel.chunks, funnel.chunked) == (len(chunks), len({c.document_id for c in chunks}))
    assert (funnel.corrected, funnel.unchanged, funnel.refused, funnel.failed, funnel.skipped) == tuple(
        len(of(Correction, status=status)) for status in ("corrected", "unchanged", "refused", "failed", "skipped")
    )
    points = of(IndexedChunk)
    assert (funnel.embedded, funnel.indexed) == (len(of(Embedding)), len(points))
    assert funnel.missing_points == len({c.chunk_id for c in chunks} - {p.chunk_id for p in points})
    found = {p.document_id for p in points}
    assert funnel.searchable_documents == sum(
        d.status != "rejected" and (d.duplicate_of or d.document_id) in found for d in documents
    )
    scores = [0.0 if d.status == "rejected" else d.quality_score for d in documents]
    assert figures.overall_score == pytest.approx(statistics.mean(scores) if scores else 0.0, abs=1e-6)
    assert figures.characters == sum(d.character_count for d in valid)

    assert sum(group.count for group in figures.rejections) == funnel.rejected
    said = Counter(
        (t, f.validator, f.severity)
        for t, r in (("documents", documents), ("chunks", chunks))
        for x in r
        for f in x.issues
    )
    assert {(g.table, g.validator, g.severity): g.count for g in figures.findings} == said
    about = {
        (t, f.validator, f.severity, x.document_id if t == "documents" else x.chunk_id)
        for t, r in (("documents", documents), ("chunks", chunks)) for x in r for f in x.issues
    }  # fmt: skip
    assert {(g.table, g.validator, g.severity): g.rows for g in figures.findings} == Counter(a[:3] for a in about)
    assert sum(group.count for group in figures.duplicates) == funnel.duplicates
    assert {share.name: share.count for share in figures.languages} == Counter(d.language for d in valid)

    check_histogram(figures.document_tokens, [d.token_count for d in valid])
    check_histogram(figures.document_characters, [d.character_count for d in valid])
    check_histogram(figures.chunk_token_counts, [c.token_count for c in chunks])
    check_histogram(figures.quality_scores, [d.quality_score for d in documents])
    told = [json.loads(d.metadata).get("content_quality") for d in documents]
    check_histogram(figures.content_quality, [value for value in told if isinstance(value, int | float)])

    check_coverage(figures, valid, chunks)
    norms = [sum(x * x for x in e.vector) ** 0.5 for e in of(Embedding)]
    if norms:
        made = figures.embeddings[0]
        assert made.vectors == len(norms)
        assert (made.norm_min, made.norm_mean, made.norm_max) == pytest.approx(
            (min(norms), statistics.mean(norms), max(norms)), abs=1e-4
        )
    calls = of(ModelCall)
    assert figures.cost_usd == pytest.approx(sum(c.cost_usd for c in calls), abs=1e-6)
    assert figures.held_usd == pytest.approx(sum(c.held_usd for c in calls), abs=1e-6)
    assert sum(c.held_usd for c in figures.calls) == pytest.approx(figures.held_usd, abs=1e-5)
    assert {f.status: f.calls for f in figures.failed_calls} == Counter(c.status for c in calls if c.status != "ok")
    assert sum(c.failed for c in figures.calls) == sum(f.calls for f in figures.failed_calls)
    assert funnel.waiting == sum(c.waiting for c in of(Correction))
    assert figures.paid == bool(calls)

    assert Figures.from_dict(json.loads(json.dumps(figures.to_dict()))) == figures
    create(connection)
    fill(connection, *rows)
    assert collect_figures(connection, "lib") == figures, "the order of the rows decides nothing"


def check_histogram(shown: Histogram, values: Sequence[float]) -> None:
    assert shown.total == sum(shown.counts) == len(values)
    if not values:
        return
    if shown.discrete:
        assert {e: c for e, c in zip(shown.edges, shown.counts, strict=True) if c} == Counter(values)
    else:
        bins = list(zip(shown.edges, shown.edges[1:], shown.counts, strict=False))
        assert len(bins) == len(shown.counts) <= 40
        assert [count for *_, count in bins] == [sum(low <= v < high for v in values) for low, high, _ in bins]
    assert (shown.minimum, shown.maximum) == (min(values), max(values))
    assert shown.median in values
    assert sum(v <= shown.median for v in values) * 2 >= len(values)
    assert sum(v <= shown.p90 for v in values) >= 0.9 * len(values) - 1e-9
    assert shown.mean == pytest.approx(statistics.mean(values), abs=1e-5)


def check_coverage(figures: Figures, valid: Sequence[ValidatedDocument], chunks: Sequence[Chunk]) -> None:
    covered = lost = bare = 0
    for each in valid:
        mine = [c for c in chunks if c.document_id == each.document_id]
        bare += not mine
        inside = [
            any(c.start_position <= place < c.end_position for c in mine) for place in range(each.character_count)
        ]
        covered += sum(inside)
        # An empty chunk divides a gap in two.
        cuts = {c.start_position for c in mine}
        gap: list[str] = []
        for place in range(each.character_count + 1):
            open_ = place < each.character_count and not inside[place]
            if gap and (not open_ or place in cuts):
                lost += sum(not character.isspace() for character in gap) if len(gap) > SEAM else 0
                gap = []
            if open_:
                gap.append((each.text or "")[place])
    assert (figures.coverage.covered, figures.coverage.lost) == (covered, lost)
    assert figures.coverage.documents_without_chunks == bare


def test_of_very_many_gaps_the_longest_are_read_and_the_rest_is_estimated(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    parts = GAPS_READ + 500
    text = ("ab" + "    z ") * parts
    fill(connection, document("d", text), *(chunk(f"c{place}", "d", "ab", 8 * place) for place in range(parts)))
    coverage = collect_figures(connection, "lib").coverage
    assert (coverage.characters, coverage.covered, coverage.lost) == (8 * parts, 2 * parts, parts)


def test_reasons_that_differ_in_numbers_and_addresses_are_one(connection: duckdb.DuckDBPyConnection) -> None:
    for number in range(30):
        reason = f"The file /tmp/{number}.bin holds {number * 1000:,} bytes, more than 50,000."
        fill(connection, document(f"d{number:02}", None, status="rejected", reason=reason))
    fill(connection, document("e", None, status="rejected", reason="No text in 1 page."))
    groups = collect_figures(connection, "lib").rejections
    assert [group.count for group in groups] == [30, 1]
    assert groups[0].reason == "The file … holds … bytes, more than …."
    assert groups[1].reason == "No text in 1 page."
    assert [sample.source_uri for sample in groups[0].samples] == ["docs/d00.md", "docs/d01.md", "docs/d02.md"]


def test_long_texts_and_many_kinds_stay_small(connection: duckdb.DuckDBPyConnection) -> None:
    for number in range(60):
        name = f"d{number:02}"
        fill(
            connection,
            raw(name),
            document(
                name, "word " * 5, title="t" * 9000, uri=f"docs/{'x' * 9000}/{name}.md", language=f"l{number}",
                issues=(finding(f"rule{number}", message="m" * 9000),), quality_score=0.9,
            ),
            chunk(f"c{number}", name, "wrod " * 9000, heading_path=("h" * 9000,) * 50),
            correction(f"c{number}", name, "corrected", "word " * 9000),
            call(f"k{number}", 1.0, model=f"m{number}"),
        )  # fmt: skip
    figures = collect_figures(connection, "lib")
    assert len(json.dumps(figures.to_dict())) < 60_000
    assert figures.languages[-1].name == "other"
    assert sum(share.count for share in figures.languages) == 60
    assert figures.findings[0].samples[0].source_uri.endswith(".md")
    assert figures.cost_usd == 60.0, "also of the calls that are not listed"


def test_vectors_that_are_not_finite_are_counted_apart(connection: duckdb.DuckDBPyConnection) -> None:
    fill(
        connection,
        embedding("a", "d", [3.0, 4.0]),
        embedding("b", "d", [float("nan"), 1.0]),
        embedding("c", "d", [float("inf"), 1.0]),
        embedding("e", "d", None, status="refused"),
    )
    (made,) = collect_figures(connection, "lib").embeddings
    assert (made.vectors, made.not_finite, made.norm_min, made.norm_max) == (3, 2, 5.0, 5.0)


def test_a_corrected_chunk_is_shown_as_a_diff(connection: duckdb.DuckDBPyConnection) -> None:
    fill(
        connection,
        document("d", "I recieve mail."),
        chunk("c", "d", "I recieve mail."),
        correction("c", "d", "corrected", "I receive mail."),
    )
    (sample,) = collect_figures(connection, "lib").corrections
    assert sample.model == "local"
    assert [(segment.kind, segment.text) for segment in sample.diff] == [
        ("same", "I "), ("gone", "recieve"), ("new", "receive"), ("same", " mail."),
    ]  # fmt: skip
    assert (sample.document.title, sample.heading_path) == ("D", ("Top",))


def test_a_text_too_long_to_be_compared_is_no_sample(connection: duckdb.DuckDBPyConnection) -> None:
    text = "I recieve mail. " * 5_000
    fill(
        connection,
        document("d", text),
        chunk("c", "d", text),
        correction("c", "d", "corrected", text.replace("recieve", "receive")),
    )
    figures = collect_figures(connection, "lib")
    assert (figures.funnel.corrected, figures.corrections) == (1, ())


def test_what_waits_for_money_is_told_apart_from_what_failed(connection: duckdb.DuckDBPyConnection) -> None:
    budget = "Not asked: the budget of 5 USD is reached (4.9 USD are spent or reserved): raise limits.budget_usd of lib to go on."
    fill(
        connection,
        document("d"),
        *(chunk(f"c{number}", "d", f"Text {number}.") for number in range(6)),
        correction("c0", "d", "failed", reason="anthropic: no answer in 30 seconds"),
        correction("c1", "d", "failed", reason=budget, waiting=True),
        embedding("c0", "d", None, "failed", "voyage: HTTP status 500"),
        embedding("c1", "d", None, "failed", "It waits for its correction."),
        embedding("c2", "d", None, "failed", budget),
        embedding("c3", "d", None, "failed", "Not asked: voyage wants payment: no credit."),
        embedding("c4", "d", None, "failed", "Not asked: voyage gives no answers (HTTP status 500)."),
        embedding("c5", "d", None, "refused", "The text is too long."),
    )
    figures = collect_figures(connection, "lib")
    funnel = figures.funnel
    assert (funnel.failed, funnel.waiting) == (2, 1)
    assert (funnel.embedding_failed, funnel.embedding_waiting) == (5, 3)
    assert (figures.failed, figures.waiting) == (7, 4)


def test_the_last_report_is_what_a_new_one_is_compared_with(connection: duckdb.DuckDBPyConnection) -> None:
    assert previous_figures(connection, "lib") is None
    fill(connection, raw("a"), document("a"))
    figures = collect_figures(connection, "lib")
    assert figures.previous is None
    for day in (1, 2):
        fill(
            connection,
            figures.quality_report(
                run_id=f"run{day}", generated_at=dt.datetime(2026, 1, day), report_path="r.html", input_hash="h"
            ),
        )
    fill(connection, raw("b"), document("b", None, status="rejected", reason="No text.", quality_score=0.5))
    previous = previous_figures(connection, "lib")
    then = collect_figures(connection, "lib", previous=previous).previous
    assert then is not None
    assert (then.generated_at, then.headline["documents"], then.rejections) == ("2026-01-02 00:00:00", 1, {})
    before = previous_figures(connection, "lib", before_run="run2")
    assert before is not None
    assert before["generated_at"].startswith("2026-01-01")


@pytest.mark.parametrize("metrics", ["[]", '"x"', '{"funnel": 3}', '{"funnel": {"listed": "many"}}'])
def test_a_report_that_cannot_be_read_counts_as_none(connection: duckdb.DuckDBPyConnection, metrics: str) -> None:
    stored = QualityReport("lib", "r", NOW, 1.0, *[0] * 9, 0.0, "r.html", metrics, "h")
    fill(connection, stored)
    assert collect_figures(connection, "lib", previous=previous_figures(connection, "lib")).previous is None
