"""Exact duplicates: documents of one library with the same text, of which one stays.

Decided over the whole library, whatever bucket is worked on, and by content alone: the one whose `source_uri` comes first
stays, so that two homes with the same documents agree, whatever order they saw them in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataflow_assets.warehouse.changes import literal
from dataflow_assets.warehouse.store import now

if TYPE_CHECKING:
    import duckdb

_SETTLED = """
    SELECT d.document_id,
        CASE WHEN k.kept = d.document_id THEN 'valid' ELSE 'duplicate' END AS status,
        CASE WHEN k.kept = d.document_id THEN NULL ELSE 'The same text as ' || k.uri || ', which stays.' END AS reason,
        CASE WHEN k.kept = d.document_id THEN NULL ELSE k.kept END AS duplicate_of
    FROM {documents} d
    JOIN (
        SELECT text_hash, arg_min(document_id, source_uri) AS kept, min(source_uri) AS uri
        FROM {documents} WHERE status IN ('valid', 'duplicate') GROUP BY text_hash
    ) k USING (text_hash)
    WHERE d.status IN ('valid', 'duplicate')
"""


def resolve_incoming(connection: duckdb.DuckDBPyConnection, library: str, incoming: str, gone: str) -> str:
    """Give the SQL of incoming documents with their final verdict, seen together with those that are there.

    Args:
        connection: Inside the transaction of the merge.
        library: The library.
        incoming: SQL relation of the documents made.
        gone: SQL of the ids that leave in the same transaction.
    """
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE all_documents AS
        SELECT document_id, source_uri, text_hash, status FROM {incoming}
        UNION ALL
        SELECT document_id, source_uri, text_hash, status FROM validated_documents
        WHERE library = {literal(library)} AND document_id NOT IN (SELECT document_id FROM {incoming})
            AND document_id NOT IN ({gone})
        """
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE settled AS {_SETTLED.format(documents='all_documents')}")
    connection.execute("DROP TABLE all_documents")
    return (
        "(SELECT i.* REPLACE (coalesce(s.status, i.status) AS status, coalesce(s.reason, i.reason) AS reason, "
        f"s.duplicate_of AS duplicate_of) FROM {incoming} i LEFT JOIN settled s USING (document_id))"
    )


def settle(connection: duckdb.DuckDBPyConnection, library: str) -> list[str]:
    """Bring the verdicts of documents that were not worked on in line with the library as it is now.

    A document becomes valid when the one that stood for it leaves, and a duplicate when one with an earlier address comes.

    Returns:
        The documents whose verdict changed.
    """
    where = f"library = {literal(library)}"
    documents = f"(SELECT document_id, source_uri, text_hash, status FROM validated_documents WHERE {where})"
    rows = connection.execute(
        f"""
        UPDATE validated_documents AS v
        SET status = s.status, reason = s.reason, duplicate_of = s.duplicate_of, updated_at = ?
        FROM ({_SETTLED.format(documents=documents)}) s
        WHERE v.{where} AND v.document_id = s.document_id
            AND (v.status IS DISTINCT FROM s.status OR v.duplicate_of IS DISTINCT FROM s.duplicate_of
                 OR v.reason IS DISTINCT FROM s.reason)
        RETURNING v.document_id
        """,
        [now()],
    ).fetchall()
    return [row[0] for row in rows]
