"""Duplicates: documents of one library with the same text, or nearly the same, of which one stays.

Decided over the whole library, whatever bucket is worked on, and by content alone, so that two homes with the same
documents agree, whatever order they saw them in.

Near duplicates: texts that share a band are a likely pair; of each band, every text is paired with the one whose hash is
lowest. Pairs that were judged alike make groups. In a group, in the order of preference, a text stays unless it is alike to
one that stays: a chain of small differences does not make its two ends the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from dataflow_assets.settings import DuplicateSettings
from dataflow_assets.warehouse.changes import literal
from dataflow_assets.warehouse.store import now

if TYPE_CHECKING:
    import duckdb

_RANKS = {
    "path": "source_uri",
    "newest": "json_extract_string(metadata, '$.date') DESC NULLS LAST, source_uri",
    "longest": "character_count DESC, source_uri",
}
_COLUMNS = "document_id, source_uri, text_hash, status, character_count, metadata"
_RANKED = """
    SELECT document_id, source_uri, text_hash, status, row_number() OVER (ORDER BY {rank}) AS place
    FROM {documents} WHERE status IN ('valid', 'duplicate')
"""
_SETTLED = """
    WITH ranked AS ({ranked}),
    firsts AS (
        SELECT text_hash, arg_min(document_id, place) AS kept, arg_min(source_uri, place) AS uri FROM ranked GROUP BY text_hash
    )
    SELECT d.document_id,
        CASE WHEN f.kept = d.document_id THEN 'valid' ELSE 'duplicate' END AS status,
        CASE WHEN f.kept = d.document_id THEN NULL
             WHEN k.kept_hash IS NULL THEN 'The same text as ' || f.uri || ', which stays.'
             ELSE 'Nearly the same text as ' || f.uri || ' (' || CAST(floor(100 * k.similarity) AS INTEGER)
                  || ' % of the runs of words), which stays.' END AS reason,
        CASE WHEN f.kept = d.document_id THEN NULL ELSE f.kept END AS duplicate_of
    FROM ranked d LEFT JOIN kept_texts k USING (text_hash) JOIN firsts f ON f.text_hash = coalesce(k.kept_hash, d.text_hash)
"""
_MOST_KEPT = 50
"""Texts of one group that stay and are compared with; of a group with more, the rest stay too."""

Pair = tuple[str, str]
Judged = Callable[[str, str], float]
"""Two texts -> how alike they are; 0 where they are no near duplicates."""


def pair(one: str, other: str) -> Pair:
    """Give two hashes in order."""
    return (one, other) if one < other else (other, one)


def likely_pairs(connection: duckdb.DuckDBPyConnection, bands: str, hashes: str) -> list[Pair]:
    """Pair the texts of each band with the one whose hash is lowest.

    Args:
        connection: Any.
        bands: SQL relation with `text_hash` and `bands`.
        hashes: SQL of the text hashes that count.
    """
    rows = connection.execute(
        f"""
        WITH spread AS (
            SELECT text_hash, unnest(bands) AS band FROM (SELECT DISTINCT text_hash, bands FROM {bands})
            WHERE text_hash IN ({hashes})
        ),
        crowded AS (SELECT band, min(text_hash) AS leader FROM spread GROUP BY band HAVING count(*) > 1)
        SELECT DISTINCT c.leader, s.text_hash FROM spread s JOIN crowded c USING (band)
        WHERE s.text_hash <> c.leader ORDER BY ALL
        """
    ).fetchall()
    return [(leader, other) for leader, other in rows]


def kept_texts(alike: Iterable[Pair], places: Mapping[str, int], judged: Judged) -> dict[str, tuple[str, float]]:
    """Say which text stands for which, and how alike they are; those that stand for themselves are left out.

    Args:
        alike: Pairs that are near duplicates; they make the groups.
        places: Text -> its place in the order of preference.
        judged: The verdict on any two texts of a group.
    """
    group: dict[str, str] = {}

    def root(text: str) -> str:
        while group.setdefault(text, text) != text:
            group[text] = group[group[text]]
            text = group[text]
        return text

    for one, other in alike:
        group[root(one)] = root(other)
    members: defaultdict[str, list[str]] = defaultdict(list)
    for text in group:
        if text in places:
            members[root(text)].append(text)
    found: dict[str, tuple[str, float]] = {}
    for texts in members.values():
        kept: list[str] = []
        for text in sorted(texts, key=places.__getitem__):
            best = max(((judged(text, each), -places[each], each) for each in kept), default=(0.0, 0, ""))
            if best[0] > 0:
                found[text] = (best[2], best[0])
            elif len(kept) < _MOST_KEPT:
                kept.append(text)
    return found


def places_of(
    connection: duckdb.DuckDBPyConnection, documents: str, settings: DuplicateSettings, hashes: Iterable[str]
) -> dict[str, int]:
    """Give the place of texts in the order of preference."""
    wanted = sorted(set(hashes))
    if not wanted:
        return {}
    ranked = _RANKED.format(rank=_RANKS[settings.prefer], documents=documents)
    rows = connection.execute(
        f"SELECT text_hash, min(place) FROM ({ranked}) WHERE text_hash IN (SELECT unnest(?)) GROUP BY 1", [wanted]
    ).fetchall()
    return dict(rows)


def resolve_incoming(
    connection: duckdb.DuckDBPyConnection, library: str, incoming: str, gone: str, settings: DuplicateSettings
) -> str:
    """Give the SQL of incoming documents with their final verdict, seen together with those that are there.

    Args:
        connection: Inside the transaction of the merge.
        library: The library.
        incoming: SQL relation of the documents made.
        gone: SQL of the ids that leave in the same transaction.
        settings: What counts as a duplicate, and which one stays.
    """
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE all_documents AS
        SELECT {_COLUMNS} FROM {incoming}
        UNION ALL
        SELECT {_COLUMNS} FROM validated_documents
        WHERE library = {literal(library)} AND document_id NOT IN (SELECT document_id FROM {incoming})
            AND document_id NOT IN ({gone})
        """
    )
    settled = _settled(connection, library, "all_documents", settings)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE settled AS {settled}")
    connection.execute("DROP TABLE all_documents")
    return (
        "(SELECT i.* REPLACE (coalesce(s.status, i.status) AS status, coalesce(s.reason, i.reason) AS reason, "
        f"s.duplicate_of AS duplicate_of) FROM {incoming} i LEFT JOIN settled s USING (document_id))"
    )


def settle(connection: duckdb.DuckDBPyConnection, library: str, settings: DuplicateSettings) -> list[str]:
    """Bring the verdicts of documents that were not worked on in line with the library as it is now.

    A document becomes valid when the one that stood for it leaves, and a duplicate when one comes that is preferred.

    Returns:
        The documents whose verdict changed.
    """
    where = f"library = {literal(library)}"
    settled = _settled(connection, library, f"(SELECT * FROM validated_documents WHERE {where})", settings)
    rows = connection.execute(
        f"""
        UPDATE validated_documents AS v
        SET status = s.status, reason = s.reason, duplicate_of = s.duplicate_of, updated_at = ?
        FROM ({settled}) s
        WHERE v.{where} AND v.document_id = s.document_id
            AND (v.status IS DISTINCT FROM s.status OR v.duplicate_of IS DISTINCT FROM s.duplicate_of
                 OR v.reason IS DISTINCT FROM s.reason)
        RETURNING v.document_id
        """,
        [now()],
    ).fetchall()
    for table, column in (("text_bands", "text_hash"), ("text_pairs", "first_hash"), ("text_pairs", "second_hash")):
        connection.execute(
            f"DELETE FROM {table} WHERE {where} AND {column} NOT IN "
            f"(SELECT text_hash FROM validated_documents WHERE {where} AND text_hash IS NOT NULL)"
        )
    return [row[0] for row in rows]


def _settled(connection: duckdb.DuckDBPyConnection, library: str, documents: str, settings: DuplicateSettings) -> str:
    """Give the SQL of all verdicts, and leave the near duplicates in the temporary table that it needs."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE kept_texts (text_hash VARCHAR, kept_hash VARCHAR, similarity DOUBLE)"
    )
    if settings.near:
        rows = connection.execute(
            "SELECT first_hash, second_hash, similarity FROM text_pairs WHERE library = ? AND similarity >= ? AND NOT substance",
            [library, settings.similarity],
        ).fetchall()
        alike = {(first, second): similarity for first, second, similarity in rows}
        places = places_of(connection, documents, settings, (text for both in alike for text in both))
        found = kept_texts(alike, places, lambda one, other: alike.get(pair(one, other), 0.0))
        if found:
            connection.execute(
                "INSERT INTO kept_texts SELECT unnest(?), unnest(?), unnest(?)",
                [list(found), [kept for kept, _ in found.values()], [share for _, share in found.values()]],
            )
    return _SETTLED.format(ranked=_RANKED.format(rank=_RANKS[settings.prefer], documents=documents))
