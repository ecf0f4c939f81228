"""The figures of a library, from the tables.

What belongs here: the SQL that counts, groups, bins and samples. What does not: the records that it fills
(`stages.figures`) and their picture (`stages.report`).

Everything is aggregated where the rows lie: no statement returns more than a few dozen rows, texts are clipped before they
leave the database, and the documents' texts are not read at all except around the gaps that chunks leave. So the time and
memory of a report hardly depend on how long the documents are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dataflow_assets.stages.figures import (
    CallFigures,
    CorrectionSample,
    Coverage,
    DuplicateGroup,
    EmbeddingFigures,
    FailedCalls,
    Figures,
    FindingGroup,
    Funnel,
    Histogram,
    ReasonGroup,
    Sample,
    Share,
    Snapshot,
    WeakDocument,
    word_diff,
)

if TYPE_CHECKING:
    import duckdb

SEAM = 4
"""A gap of up to this many characters between chunks is taken for the whitespace that separates them, unread."""

GAPS_READ = 10_000
"""How many longer gaps are read."""

WAITING_EMBEDDING = (
    "status = 'failed' AND (reason LIKE 'Not asked: the budget %' OR reason LIKE 'Not asked: % wants payment%' "
    "OR chunk_id IN (SELECT chunk_id FROM corrections WHERE $mine AND waiting))"
)
"""Says in SQL that an embedding was not asked for yet, since money or its correction is missing; `$mine` as in `_Tables`."""

_GROUPS = 12
_SAMPLES = 3
_DIFFS = 8
_BINS = 20
_DIFF_TEXT = 40_000
_WHITESPACE = r"[\s\p{Z}\x{0b}\x{1c}-\x{1f}\x{85}]"
_SEVERITIES = ("critical", "error", "warning")


def collect_figures(
    connection: duckdb.DuckDBPyConnection, library: str, *, previous: Mapping[str, Any] | None = None
) -> Figures:
    """Collect everything that a library's quality report shows.

    Args:
        connection: Any connection to the warehouse, read-only too; no table of the warehouse is touched.
        library: The library; one without rows gives figures of zeros.
        previous: What `previous_figures` gave, or None for the first report. Figures that cannot be read count as none.

    Returns:
        The same figures for the same rows, whatever their order.
    """
    ask = _Tables(connection, library)
    funnel, totals = _funnel(ask)
    calls, cost, held = _calls(ask)
    groups, duplicates = _duplicates(ask)
    return Figures(
        library=library,
        funnel=funnel,
        rejections=_rejections(ask) if funnel.rejected else (),
        findings=_findings(ask),
        weakest=_weakest(ask),
        duplicate_groups=groups,
        duplicates=duplicates,
        document_characters=_by_magnitude(ask, "character_count", "validated_documents", "status = 'valid'"),
        document_tokens=_by_magnitude(ask, "token_count", "validated_documents", "status = 'valid'"),
        chunk_token_counts=_by_width(ask, "token_count", "chunks"),
        quality_scores=_by_tenth(ask, "quality_score", "validated_documents"),
        content_quality=_by_tenth(
            ask, "try_cast(json_extract_string(metadata, '$.content_quality') AS DOUBLE)", "validated_documents"
        ),
        languages=_shares(ask, "language", "validated_documents", "status = 'valid'"),
        doc_types=_shares(ask, "doc_type", "validated_documents", "status = 'valid'"),
        media_types=_shares(ask, "media_type", "raw_documents"),
        coverage=_coverage(ask),
        corrections=_correction_samples(ask) if funnel.corrected else (),
        refusals=_reasons_of_chunks(
            ask, "SELECT document_id, reason FROM corrections WHERE $mine AND status = 'refused'"
        ),
        unanswered=_reasons_of_chunks(
            ask,
            "SELECT document_id, reason FROM corrections WHERE $mine AND status = 'failed' UNION ALL "
            "SELECT document_id, reason FROM embeddings WHERE $mine AND status IN ('failed', 'refused')",
        ),
        correctors=_shares(ask, "model", "corrections", "status <> 'skipped'"),
        embeddings=_embeddings(ask),
        generations=ask.number("SELECT count(DISTINCT generation) FROM search_index WHERE $mine"),
        calls=calls,
        failed_calls=_failed_calls(ask),
        cost_usd=cost,
        held_usd=held,
        previous=_snapshot(previous),
        **totals,
    )


def previous_figures(
    connection: duckdb.DuckDBPyConnection, library: str, *, before_run: str | None = None
) -> dict[str, Any] | None:
    """Give the figures of the library's last report, with its time as `generated_at`.

    Args:
        connection: Any connection to the warehouse.
        library: The library.
        before_run: A run whose own report is left out.

    Returns:
        What `collect_figures` takes as `previous`; None if there is no report.
    """
    found = connection.execute(
        "SELECT generated_at, CAST(metrics AS VARCHAR) FROM quality_reports WHERE library = $library "
        "AND run_id IS DISTINCT FROM $run ORDER BY generated_at DESC, run_id DESC LIMIT 1",
        {"library": library, "run": before_run},
    ).fetchone()
    if found is None:
        return None
    try:
        stored = json.loads(found[1])
    except (TypeError, ValueError):
        return None
    return (
        stored | {"generated_at": found[0].isoformat(sep=" ", timespec="seconds")} if isinstance(stored, dict) else None
    )


class _Tables:
    """Asks one library's rows: `$mine` in a statement stands for the condition that a row is the library's."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, library: str) -> None:
        self._connection = connection
        self._library = library

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        said = sql.replace("$mine", "library = $library")
        return self._connection.execute(said, {"library": self._library} if "$library" in said else None).fetchall()

    def row(self, sql: str) -> tuple[Any, ...]:
        return self.rows(sql)[0]

    def number(self, sql: str) -> int:
        return int(self.row(sql)[0])


def _clipped(column: str, limit: int = 240) -> str:
    """Say in SQL: the text, with its middle left out where it is long (the end of a path tells more than its middle)."""
    half = limit // 2
    return (
        f"CASE WHEN length({column}) > {limit} THEN left({column}, {half}) || '…' || right({column}, {half - 1}) "
        f"ELSE coalesce({column}, '') END"
    )


def _sample(table: str) -> str:
    return f"{{'title': {_clipped(f'{table}.title', 160)}, 'source_uri': {_clipped(f'{table}.uri')}}}"


def _samples(table: str, count: int = _SAMPLES) -> str:
    """Say in SQL: the first few documents of a group, by their addresses."""
    return f"arg_min({_sample(table)}, {table}.uri, {count})"


def _to_samples(found: Sequence[Mapping[str, str]] | None) -> tuple[Sample, ...]:
    return tuple(Sample(each["title"], each["source_uri"]) for each in found or ())


def _rounded(value: float | None) -> float:
    """Round away what the order of a parallel sum decides."""
    return round(float(value), 6) if value is not None else 0.0


def _funnel(ask: _Tables) -> tuple[Funnel, dict[str, Any]]:
    listed, fetched, size = ask.row(
        "SELECT count(*), count(content_hash), coalesce(sum(size_bytes), 0) FROM raw_documents WHERE $mine"
    )
    valid, rejected, duplicates, characters, tokens, score = ask.row(
        """
        SELECT count(*) FILTER (status = 'valid'), count(*) FILTER (status = 'rejected'),
            count(*) FILTER (status = 'duplicate'),
            coalesce(sum(character_count) FILTER (status = 'valid'), 0),
            coalesce(sum(token_count) FILTER (status = 'valid'), 0),
            favg(CASE WHEN status = 'rejected' THEN 0 ELSE quality_score END)
        FROM validated_documents WHERE $mine
        """
    )
    chunks, chunked, texts, chunk_tokens = ask.row(
        "SELECT count(*), count(DISTINCT document_id), count(DISTINCT text_hash), coalesce(sum(token_count), 0) "
        "FROM chunks WHERE $mine"
    )
    corrections = dict(ask.rows("SELECT status, count(*) FROM corrections WHERE $mine GROUP BY status"))
    waiting = ask.number("SELECT count(*) FROM corrections WHERE $mine AND status = 'failed' AND waiting")
    embeddings = dict(ask.rows("SELECT status, count(*) FROM embeddings WHERE $mine GROUP BY status"))
    embedding_waiting = ask.number(f"SELECT count(*) FROM embeddings WHERE $mine AND {WAITING_EMBEDDING}")
    searchable = ask.number(
        """
        SELECT count(*) FROM validated_documents WHERE $mine AND status <> 'rejected'
        AND coalesce(duplicate_of, document_id) IN (SELECT document_id FROM search_index WHERE $mine)
        """
    )
    missing = ask.number(
        "SELECT count(*) FROM chunks WHERE $mine AND chunk_id NOT IN "
        "(SELECT chunk_id FROM search_index WHERE $mine AND chunk_id IS NOT NULL)"
    )
    funnel = Funnel(
        listed=listed,
        fetched=fetched,
        size_bytes=int(size),
        valid=valid,
        rejected=rejected,
        duplicates=duplicates,
        chunked=chunked,
        chunks=chunks,
        distinct_texts=texts,
        corrected=corrections.get("corrected", 0),
        unchanged=corrections.get("unchanged", 0),
        refused=corrections.get("refused", 0),
        skipped=corrections.get("skipped", 0),
        failed=corrections.get("failed", 0),
        waiting=waiting,
        embedded=embeddings.get("embedded", 0),
        embedding_refused=embeddings.get("refused", 0),
        embedding_failed=embeddings.get("failed", 0),
        embedding_waiting=embedding_waiting,
        indexed=ask.number("SELECT count(*) FROM search_index WHERE $mine"),
        missing_points=missing,
        searchable_documents=searchable,
    )
    totals = {
        "overall_score": _rounded(score),
        "characters": int(characters),
        "tokens": int(tokens),
        "chunk_tokens": int(chunk_tokens),
    }
    return funnel, totals


_PATTERN = (
    r"regexp_replace(regexp_replace(left(coalesce(reason, ''), 300), '[0-9]+([,._][0-9]+)*', '…', 'g'), "
    r"'([a-z]+://|/)\S+', '…', 'g')"
)
"""A reason without its numbers and addresses, so that what is the same for many documents counts as one reason."""


def _reason_groups(rows: Sequence[tuple[Any, ...]]) -> tuple[ReasonGroup, ...]:
    return tuple(
        ReasonGroup(reason or "No reason is given.", count, _to_samples(found)) for reason, count, found in rows
    )


def _rejections(ask: _Tables) -> tuple[ReasonGroup, ...]:
    return _reason_groups(
        ask.rows(
            f"""
            SELECT CASE WHEN min(reason) = max(reason) THEN left(min(reason), 300) ELSE {_PATTERN} END, count(*), {_samples("v")}
            FROM validated_documents v WHERE $mine AND status = 'rejected'
            GROUP BY {_PATTERN} ORDER BY count(*) DESC, {_PATTERN} LIMIT {_GROUPS}
            """
        )
    )


def _reasons_of_chunks(ask: _Tables, rows: str) -> tuple[ReasonGroup, ...]:
    return _reason_groups(
        ask.rows(
            f"""
            SELECT CASE WHEN min(reason) = max(reason) THEN left(min(reason), 300) ELSE {_PATTERN} END, count(*), {_samples("v")}
            FROM ({rows}) r
            JOIN (SELECT document_id, title, uri FROM validated_documents WHERE $mine) v USING (document_id)
            GROUP BY {_PATTERN} ORDER BY count(*) DESC, {_PATTERN} LIMIT {_GROUPS}
            """
        )
    )


def _findings(ask: _Tables) -> tuple[FindingGroup, ...]:
    """Group the findings on documents and on chunks by validator, the gravest first."""
    rank = " ".join(f"WHEN '{severity}' THEN {place}" for place, severity in enumerate(_SEVERITIES))
    found = ask.rows(
        f"""
        WITH said AS (
            SELECT 'documents' AS kind, document_id, document_id AS row_id, unnest(issues) AS issue
            FROM validated_documents WHERE $mine AND len(issues) > 0
            UNION ALL
            SELECT 'chunks', document_id, chunk_id, unnest(issues) FROM chunks WHERE $mine AND len(issues) > 0
        ),
        plain AS (
            SELECT kind, document_id, row_id, left(issue.validator, 80) AS validator, issue.severity AS severity,
                {_clipped("issue.message")} AS message, {_clipped("issue.suggestion")} AS suggestion
            FROM said
        )
        SELECT kind, validator, severity, count(*), count(DISTINCT row_id), min(message), min(suggestion), {_samples("v")}
        FROM plain JOIN (SELECT document_id, title, uri FROM validated_documents WHERE $mine) v USING (document_id)
        GROUP BY kind, validator, severity
        ORDER BY CASE severity {rank} ELSE {len(_SEVERITIES)} END, count(*) DESC, kind DESC, validator LIMIT {2 * _GROUPS}
        """
    )
    return tuple(
        FindingGroup(
            kind, validator or "", severity or "", count, rows, message or "", suggestion or "", _to_samples(who)
        )
        for kind, validator, severity, count, rows, message, suggestion, who in found
    )


def _weakest(ask: _Tables) -> tuple[WeakDocument, ...]:
    found = ask.rows(
        f"""
        SELECT {_sample("v")}, quality_score, list_transform(issues[1:4], lambda i: {_clipped("i.message", 160)})
        FROM validated_documents v WHERE $mine AND status = 'valid' AND quality_score < 1
        ORDER BY quality_score, uri LIMIT 8
        """
    )
    return tuple(
        WeakDocument(Sample(**document), _rounded(score), tuple(messages or ())) for document, score, messages in found
    )


def _duplicates(ask: _Tables) -> tuple[int, tuple[DuplicateGroup, ...]]:
    groups = ask.number(
        "SELECT count(DISTINCT duplicate_of) FROM validated_documents WHERE $mine AND status = 'duplicate'"
    )
    if not groups:
        return 0, ()
    found = ask.rows(
        f"""
        SELECT any_value({_sample("k")}), count(*), {_samples("d")}
        FROM validated_documents d JOIN validated_documents k ON k.document_id = d.duplicate_of AND k.library = $library
        WHERE d.library = $library AND d.status = 'duplicate'
        GROUP BY d.duplicate_of ORDER BY count(*) DESC, any_value(k.uri) LIMIT {_GROUPS}
        """
    )
    return groups, tuple(DuplicateGroup(Sample(**kept), count, _to_samples(who)) for kept, count, who in found)


_STATISTICS = "count({x}), min({x}), quantile_disc({x}, 0.5), quantile_disc({x}, 0.9), max({x}), favg({x})"


def _by_magnitude(ask: _Tables, column: str, table: str, condition: str = "TRUE") -> Histogram:
    """Bin whole numbers at 1, 2, 5, 10, 20, 50 ...: sizes of documents spread over magnitudes."""
    where = f"FROM {table} WHERE $mine AND {condition}"
    total, *statistics = ask.row(f"SELECT {_STATISTICS.format(x=column)} {where}")
    if not total:
        return Histogram()
    digits = f"CAST({column} AS VARCHAR)"
    lead = f"CAST(left({digits}, 1) AS INTEGER)"
    place = (
        f"CASE WHEN {column} <= 0 THEN 0 ELSE 3 * length({digits}) - 2 + "
        f"CASE WHEN {lead} >= 5 THEN 2 WHEN {lead} >= 2 THEN 1 ELSE 0 END END"
    )
    binned = dict(ask.rows(f"SELECT {place}, count(*) {where} GROUP BY 1"))
    first, last = min(binned), max(binned)
    return Histogram(
        edges=tuple(_magnitude(place) for place in range(first, last + 2)),
        counts=tuple(binned.get(place, 0) for place in range(first, last + 1)),
        total=total,
        **_statistics(statistics),
    )


def _magnitude(place: int) -> float:
    """Give the lower edge of a bin of `_by_magnitude`: 0, 1, 2, 5, 10 ..."""
    return float((1, 2, 5)[(place - 1) % 3] * 10 ** ((place - 1) // 3)) if place > 0 else 0.0


def _by_width(ask: _Tables, column: str, table: str) -> Histogram:
    """Bin whole numbers at multiples of a round width, at most `_BINS` and one."""
    where = f"FROM {table} WHERE $mine"
    total, *statistics = ask.row(f"SELECT {_STATISTICS.format(x=column)} {where}")
    if not total:
        return Histogram()
    largest = int(statistics[3])
    width = next(_magnitude(place) for place in range(1, 60) if _magnitude(place) * _BINS >= largest)
    binned = dict(ask.rows(f"SELECT {column} // {int(width)}, count(*) {where} GROUP BY 1"))
    last = max(binned)
    return Histogram(
        edges=tuple(width * place for place in range(last + 2)),
        counts=tuple(binned.get(place, 0) for place in range(last + 1)),
        total=total,
        **_statistics(statistics),
    )


def _by_tenth(ask: _Tables, value: str, table: str) -> Histogram:
    """Count scores between 0 and 1, rounded to tenths."""
    where = f"FROM (SELECT {value} AS score FROM {table} WHERE $mine) WHERE isfinite(score)"
    total, *statistics = ask.row(f"SELECT {_STATISTICS.format(x='score')} {where}")
    if not total:
        return Histogram()
    place = "CAST(round(least(1, greatest(0, score)) * 10) AS INTEGER)"
    binned = dict(ask.rows(f"SELECT {place}, count(*) {where} GROUP BY 1"))
    return Histogram(
        edges=tuple(tenth / 10 for tenth in range(11)),
        counts=tuple(binned.get(tenth, 0) for tenth in range(11)),
        discrete=True,
        total=total,
        **_statistics(statistics),
    )


def _statistics(found: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(("minimum", "median", "p90", "maximum", "mean"), map(_rounded, found), strict=True))


def _shares(ask: _Tables, column: str, table: str, condition: str = "TRUE") -> tuple[Share, ...]:
    """Count the values of a column, the most frequent first; what follows them counts as `other`."""
    where = f"FROM {table} WHERE $mine AND {condition}"
    found = ask.rows(
        f"SELECT coalesce(left({column}, 80), ''), count(*) {where} GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {_GROUPS}"
    )
    shares = [Share(name, count) for name, count in found]
    rest = ask.number(f"SELECT count(*) {where}") - sum(share.count for share in shares)
    return (*shares, Share("other", rest)) if rest else tuple(shares)


_SPANS = f"""
    WITH documents AS (
        SELECT document_id, character_count FROM validated_documents WHERE $mine AND status = 'valid'
    ),
    spans AS (
        SELECT document_id, start_position, end_position, coalesce(max(end_position) OVER (
            PARTITION BY document_id ORDER BY start_position, end_position
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS reached
        FROM chunks WHERE $mine
    ),
    covered AS (
        SELECT document_id, max(end_position) AS reached,
            sum(greatest(0, end_position - greatest(start_position, reached))) AS covered
        FROM spans GROUP BY document_id
    ),
    gaps AS (
        SELECT document_id, reached AS start, start_position - reached AS length FROM spans
        WHERE start_position - reached > {SEAM}
        UNION ALL
        SELECT document_id, coalesce(reached, 0), character_count - coalesce(reached, 0)
        FROM documents LEFT JOIN covered USING (document_id) WHERE character_count - coalesce(reached, 0) > {SEAM}
    )
"""


def _coverage(ask: _Tables) -> Coverage:
    """Measure what of the valid documents stands in chunks, by the union of the chunks' spans.

    Only gaps longer than `SEAM` are looked at in the text, to tell lost words from whitespace: finding a place in a long
    text takes as long as reading up to it, and nearly all gaps are the blank line between two chunks. Of more than
    `GAPS_READ` the longest are read, and the rest counts in the same proportion.
    """
    characters, covered, bare, gaps, length = ask.row(
        f"""
        {_SPANS}
        SELECT (SELECT coalesce(sum(character_count), 0) FROM documents),
            (SELECT coalesce(sum(covered), 0) FROM covered SEMI JOIN documents USING (document_id)),
            (SELECT count(*) FROM documents ANTI JOIN covered USING (document_id)),
            (SELECT count(*) FROM gaps), (SELECT coalesce(sum(length), 0) FROM gaps)
        """
    )
    lost = _lost_in_gaps(ask, int(length)) if gaps else 0
    return Coverage(
        characters=int(characters),
        covered=int(covered),
        lost=lost,
        share=_rounded(1 - lost / int(characters)) if characters else 1.0,
        documents_without_chunks=bare,
    )


def _lost_in_gaps(ask: _Tables, length: int) -> int:
    """Count the characters in gaps that are not whitespace.

    The gaps are put aside first, one row per document: knowing that they are fewer than the documents, the database keeps
    them in memory and streams the texts past them. The other way round it would hold all texts, and run out of memory.
    """
    ask.rows(
        f"""
        CREATE OR REPLACE TEMP TABLE report_gaps AS {_SPANS}
        SELECT document_id, list({{'start': start, 'length': length}}) AS gaps, sum(length) AS length
        FROM (SELECT * FROM gaps ORDER BY length DESC, document_id, start LIMIT {GAPS_READ}) GROUP BY document_id
        """
    )
    lost, read = ask.row(
        f"""
        SELECT coalesce(sum(list_sum(list_transform(g.gaps, lambda gap: length(
            regexp_replace(substring(v.text, gap.start + 1, gap.length), '{_WHITESPACE}', '', 'g')
        )))), 0), coalesce(sum(g.length), 0)
        FROM validated_documents v JOIN report_gaps g ON g.document_id = v.document_id
        """
    )
    ask.rows("DROP TABLE report_gaps")
    return round(int(lost) * length / int(read)) if read else 0


def _correction_samples(ask: _Tables) -> tuple[CorrectionSample, ...]:
    """Show some corrected chunks; ids are hashes, so the first by id are a random choice that stays the same.

    A text that was cut before it is compared would seem to differ at its end, so the few that are longer are left out.
    """
    found = ask.rows(
        f"""
        WITH chosen AS MATERIALIZED (
            SELECT min(chunk_id) AS chunk_id FROM corrections WHERE $mine AND status = 'corrected'
            AND length(corrected_text) <= {_DIFF_TEXT}
            GROUP BY text_hash ORDER BY 1 LIMIT {_DIFFS}
        )
        SELECT {_sample("v")}, c.chunk_index, list_transform(c.heading_path[1:6], lambda h: {_clipped("h", 80)}),
            c.text, x.corrected_text, left(x.model, 120)
        FROM chosen JOIN corrections x USING (chunk_id) JOIN chunks c USING (chunk_id)
        JOIN validated_documents v ON v.document_id = c.document_id
        WHERE x.library = $library AND c.library = $library AND v.library = $library ORDER BY chunk_id
        """
    )
    return tuple(
        CorrectionSample(
            Sample(**document), index, tuple(path or ()), word_diff(before or "", after or ""), model or ""
        )
        for document, index, path, before, after, model in found
    )


def _embeddings(ask: _Tables) -> tuple[EmbeddingFigures, ...]:
    found = ask.rows(
        f"""
        SELECT left(model, 120), dimension, count(*), count(*) FILTER (NOT isfinite(norm)),
            min(norm) FILTER (isfinite(norm)), favg(norm) FILTER (isfinite(norm)), max(norm) FILTER (isfinite(norm))
        FROM (
            SELECT model, dimension, sqrt(CAST(list_dot_product(vector, vector) AS DOUBLE)) AS norm
            FROM embeddings WHERE $mine AND status = 'embedded' AND vector IS NOT NULL
        ) GROUP BY 1, 2 ORDER BY count(*) DESC, 1, 2 LIMIT {_GROUPS}
        """
    )
    return tuple(
        EmbeddingFigures(model or "", dimension or 0, vectors, broken, _rounded(low), _rounded(mean), _rounded(high))
        for model, dimension, vectors, broken, low, mean, high in found
    )


def _calls(ask: _Tables) -> tuple[tuple[CallFigures, ...], float, float]:
    """Add up the paid calls: by stage and model, and what all of them cost, and may have cost besides."""
    found = ask.rows(
        f"""
        SELECT left(stage, 60), left(provider, 60), left(model, 120), count(*), count(*) FILTER (status <> 'ok'),
            coalesce(sum(items), 0), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),
            coalesce(sum(cached_tokens), 0), coalesce(fsum(seconds), 0), coalesce(fsum(cost_usd), 0),
            coalesce(fsum(held_usd), 0)
        FROM model_calls WHERE $mine GROUP BY 1, 2, 3 ORDER BY round(fsum(cost_usd), 6) DESC, 1, 2, 3 LIMIT {2 * _GROUPS}
        """
    )
    calls = tuple(
        CallFigures(
            stage=stage or "",
            provider=provider or "",
            model=model or "",
            calls=count,
            failed=failed,
            items=int(items),
            input_tokens=int(sent),
            output_tokens=int(answered),
            cached_tokens=int(cached),
            seconds=_rounded(seconds),
            cost_usd=_rounded(cost),
            held_usd=_rounded(held),
        )
        for stage, provider, model, count, failed, items, sent, answered, cached, seconds, cost, held in found
    )
    cost, held = ask.row("SELECT fsum(cost_usd), fsum(held_usd) FROM model_calls WHERE $mine")
    return calls, _rounded(cost), _rounded(held)


def _failed_calls(ask: _Tables) -> tuple[FailedCalls, ...]:
    found = ask.rows(
        f"""
        SELECT left(status, 40), count(*), coalesce(fsum(held_usd), 0), min({_clipped("error")})
        FROM model_calls WHERE $mine AND status <> 'ok' GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {_GROUPS}
        """
    )
    return tuple(FailedCalls(status, count, _rounded(held), error or "") for status, count, held, error in found)


def _snapshot(previous: Mapping[str, Any] | None) -> Snapshot | None:
    if previous is None:
        return None
    try:
        figures = Figures.from_dict(previous)
    except ValueError:
        return None
    generated_at = previous.get("generated_at")
    return figures.snapshot(generated_at if isinstance(generated_at, str) else "")
