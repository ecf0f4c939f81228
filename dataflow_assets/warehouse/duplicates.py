"""Duplicates: documents of one library with the same text, or nearly the same, of which one stays.

Decided over the whole library, whatever bucket is worked on, and by content alone, so that two homes with the same
documents agree, whatever order they saw them in.

Near duplicates: texts that share a band are a likely pair; in a band of many, every text is paired with the one whose hash is
lowest. Which pairs are likely is found anew from the texts that are there: a verdict that is kept from a time when other texts
were there must decide nothing. Likely pairs that were judged alike make groups. In a group, in the order of preference, a text stays unless it is alike to
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
    "path": "uri, document_id",
    "newest": "json_extract_string(metadata, '$.date') DESC NULLS LAST, uri, document_id",
    "longest": "character_count DESC, uri, document_id",
}
_COLUMNS = "document_id, uri, text_hash, status, character_count, metadata"
_RANKED = """
    SELECT document_id, uri, text_hash, status, row_number() OVER (ORDER BY {rank}) AS place
    FROM {documents} WHERE status IN ('valid', 'duplicate')
"""
_SETTLED = """
    WITH ranked AS ({ranked}),
    firsts AS (
        SELECT text_hash, arg_min(document_id, place) AS kept, arg_min(uri, place) AS uri FROM ranked GROUP BY text_hash
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
_MOST_KEPT = 10
"""Texts of one group that stay and are compared with; of a group with more, the rest stay too."""

_ALL_PAIRS = 8
"""In a band of so many texts each is paired with each."""

Pair = tuple[str, str]
Judged = Callable[[str, str], float]
"""Two texts -> how alike they are; 0 where they are no near duplicates."""


def pair(one: str, other: str) -> Pair:
    """Give two hashes in order."""
    return (one, other) if one < other else (other, one)


def find_likely_pairs(connection: duckdb.DuckDBPyConnection, bands: str, hashes: str) -> None:
    """Leave the likely pairs in the temporary table `likely` (`first_hash`, `second_hash`).

    Args:
        connection: Any.
        bands: SQL relation with `text_hash` and `bands`.
        hashes: SQL of the text hashes that count.
    """
    # Bands with one text, nearly all, are left out before the wide hashes are looked at.
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE banded AS
        SELECT row_number() OVER (ORDER BY text_hash) AS number, text_hash, bands
        FROM (SELECT DISTINCT text_hash, bands FROM {bands}) WHERE len(bands) > 0 AND text_hash IN ({hashes})
        """
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE likely AS
        WITH spread AS (SELECT number, unnest(bands) AS band FROM banded),
        crowded AS (SELECT band, min(number) AS leader, count(*) AS size FROM spread GROUP BY band HAVING count(*) > 1),
        together AS (SELECT s.number, s.band, c.leader, c.size FROM spread s JOIN crowded c USING (band)),
        numbered AS (
            SELECT leader AS one, number AS other FROM together WHERE number <> leader
            UNION
            SELECT a.number, b.number FROM together a JOIN together b USING (band)
            WHERE a.size <= {_ALL_PAIRS} AND b.size <= {_ALL_PAIRS} AND a.number < b.number
        )
        SELECT a.text_hash AS first_hash, b.text_hash AS second_hash
        FROM numbered n JOIN banded a ON a.number = n.one JOIN banded b ON b.number = n.other
        """
    )
    connection.execute("DROP TABLE banded")


def kept_texts(
    alike: Iterable[Pair],
    places: Mapping[str, int],
    judged: Judged,
    announce: Callable[[list[str]], None] = lambda texts: None,
) -> dict[str, tuple[str, float]]:
    """Say which text stands for which, and how alike they are; those that stand for themselves are left out.

    Args:
        alike: Pairs that are near duplicates; they make the groups.
        places: Text -> its place in the order of preference.
        judged: The verdict on any two texts of a group.
        announce: Is told the texts of each group, in the order in which they will be asked about.
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
        ordered = sorted(texts, key=places.__getitem__)
        announce(ordered)
        for text in ordered:
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
    settled, _ = _settled(connection, library, "all_documents", settings)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE settled AS {settled}")
    connection.execute("DROP TABLE all_documents")
    return (
        "(SELECT i.* REPLACE (coalesce(s.status, i.status) AS status, coalesce(s.reason, i.reason) AS reason, "
        f"s.duplicate_of AS duplicate_of) FROM {incoming} i LEFT JOIN settled s USING (document_id))"
    )


def settle(connection: duckdb.DuckDBPyConnection, library: str, settings: DuplicateSettings) -> tuple[list[str], bool]:
    """Bring the verdicts of documents that were not worked on in line with the library as it is now.

    A document becomes valid when the one that stood for it leaves, and a duplicate when one comes that is preferred.

    Returns:
        The documents whose verdict changed, and whether pairs are left that nobody has judged: another run stored its
        documents since this one looked.
    """
    where = f"library = {literal(library)}"
    settled, unjudged = _settled(connection, library, f"(SELECT * FROM validated_documents WHERE {where})", settings)
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
    return [row[0] for row in rows], unjudged


def _settled(
    connection: duckdb.DuckDBPyConnection, library: str, documents: str, settings: DuplicateSettings
) -> tuple[str, bool]:
    """Give the SQL of all verdicts, and leave the near duplicates in the temporary table that it needs.

    Returns:
        The SQL, and whether a likely pair, or one that the choice in a group needs, was never judged.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE kept_texts (text_hash VARCHAR, kept_hash VARCHAR, similarity DOUBLE)"
    )
    missing = False
    if settings.near:
        where = f"library = {literal(library)}"
        hashes = f"SELECT text_hash FROM {documents} WHERE status IN ('valid', 'duplicate')"
        find_likely_pairs(connection, f"(SELECT text_hash, bands FROM text_bands WHERE {where})", hashes)
        alike, waiting = alike_pairs(connection, f"(SELECT * FROM text_pairs WHERE {where})", settings)
        missing = bool(waiting)
        known = {(first, second): (share, substance) for first, second, share, substance in verdicts_within(
            connection, f"(SELECT * FROM text_pairs WHERE {where})", alike
        )}  # fmt: skip

        def judged(one: str, other: str) -> float:
            nonlocal missing
            found = known.get(pair(one, other))
            if found is None:
                missing = True
                return 0.0
            return found[0] if found[0] >= settings.similarity and not found[1] else 0.0

        places = places_of(connection, documents, settings, (text for both in alike for text in both))
        kept = kept_texts(alike, places, judged)
        connection.execute("DROP TABLE likely")
        if kept:
            connection.execute(
                "INSERT INTO kept_texts SELECT unnest(?), unnest(?), unnest(?)",
                [list(kept), [each for each, _ in kept.values()], [share for _, share in kept.values()]],
            )
    return _SETTLED.format(ranked=_RANKED.format(rank=_RANKS[settings.prefer], documents=documents)), missing


def alike_pairs(
    connection: duckdb.DuckDBPyConnection, pairs: str, settings: DuplicateSettings
) -> tuple[list[Pair], list[Pair]]:
    """Give the likely pairs that were judged alike, and those that nobody has judged.

    Args:
        connection: One on which `find_likely_pairs` was called.
        pairs: SQL relation of the verdicts.
        settings: What counts as alike.
    """
    rows = connection.execute(
        f"""
        SELECT first_hash, second_hash, p.similarity IS NULL FROM likely LEFT JOIN {pairs} p USING (first_hash, second_hash)
        WHERE p.similarity IS NULL OR (p.similarity >= {settings.similarity!r} AND NOT p.substance) ORDER BY ALL
        """
    ).fetchall()
    return (
        [(first, second) for first, second, unknown in rows if not unknown],
        [(first, second) for first, second, unknown in rows if unknown],
    )


def verdicts_within(
    connection: duckdb.DuckDBPyConnection, pairs: str, alike: Iterable[Pair]
) -> list[tuple[str, str, float, bool]]:
    """Give every verdict on two texts that are each in a pair."""
    texts = sorted({text for both in alike for text in both})
    if not texts:
        return []
    return connection.execute(
        f"SELECT first_hash, second_hash, similarity, substance FROM {pairs} "
        "WHERE first_hash IN (SELECT unnest($texts)) AND second_hash IN (SELECT unnest($texts))",
        {"texts": texts},
    ).fetchall()
