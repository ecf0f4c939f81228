"""From the source to `raw_documents`: list, compare, fetch what is new or changed, and guard the deletes.

Listing is cheap and happens in every run; fetching happens only where the listing's fingerprint differs. What left the
listing leaves the library, unless so much left at once that a person has to agree. That is decided over the whole library,
also where a run works on one bucket of it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow_assets.errors import FetchFailed, ItemRefused, SourceUnavailable
from dataflow_assets.flow.fingerprint import ListingHash
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.records import RawDocument, identity
from dataflow_assets.settings import DeleteSettings, fingerprint_of
from dataflow_assets.warehouse.changes import Changes, copy_to_parquet, literal, parquet
from dataflow_assets.warehouse.spool import RowWriter, read_batches, write_keys
from dataflow_assets.warehouse.store import Warehouse, now

if TYPE_CHECKING:
    import duckdb

    from dataflow_assets.sources.base import Fetched, Item

logger = logging.getLogger(__name__)

INGEST_VERSION = 1

_LISTING_COLUMNS = {
    "document_id": "VARCHAR", "uri": "VARCHAR", "path_key": "VARCHAR", "media_type": "VARCHAR", "size_bytes": "BIGINT",
    "fingerprint": "VARCHAR", "problem": "VARCHAR",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listing:
    """What a listing says, compared with the tables."""

    items: int
    to_fetch: int
    gone: int
    """Documents of the whole library that left the listing."""
    gone_here: int
    """Those of them in the run's scope."""
    rows: int
    """Rows of the run's scope."""
    withheld: bool
    """Whether the deletes wait for a person."""


def list_source(run: LibraryRun) -> tuple[Path, str]:
    """Write the source's listing to the spool, one JSON object a line, and hash it for the sensor.

    Raises:
        SourceUnavailable: The source cannot be listed, or not whole.
    """
    path, seen = run.spool / "listing.jsonl", ListingHash(run.settings)
    with path.open("w", encoding="utf-8") as file:
        for item in run.source.list():
            row = {
                "document_id": identity(run.library, item.path_key),
                "uri": item.uri,
                "path_key": item.path_key,
                "media_type": item.media_type,
                "size_bytes": item.size_bytes,
                "fingerprint": item.fingerprint,
                "problem": item.problem,
            }
            file.write(json.dumps(row) + "\n")
            seen.add(item.path_key, item.fingerprint)
    return path, seen.done()


def compare(connection: duckdb.DuckDBPyConnection, run: LibraryRun, listing: Path, fetch_to: Path | None) -> Listing:
    """Compare a listing with the tables, and export what has to be fetched."""
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in _LISTING_COLUMNS.items())
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE listing AS SELECT * FROM read_json({literal(str(listing))}, "
        f"format = 'newline_delimited', columns = {{{columns}}})"
    )
    library = f"library = {literal(run.library)}"
    here = run.scope.where().replace(library, "TRUE", 1)
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE to_fetch AS
        SELECT l.*, r.content_hash IS NOT NULL AS known
        FROM listing l LEFT JOIN (SELECT * FROM raw_documents WHERE {library}) r USING (document_id)
        WHERE {here.replace("document_id", "l.document_id")} AND (r.document_id IS NULL
            OR r.fingerprint IS DISTINCT FROM l.fingerprint OR r.source_uri <> l.uri OR r.media_type <> l.media_type)
        """
    )

    def count(query: str) -> int:
        found = connection.execute(f"SELECT count(*) FROM {query}").fetchone()
        return int(found[0]) if found else 0

    left = f"raw_documents WHERE {library} AND document_id NOT IN (SELECT document_id FROM listing)"
    items, total, gone = count("listing"), count(f"raw_documents WHERE {library}"), count(left)
    found = Listing(
        items=items,
        to_fetch=count("to_fetch"),
        gone=gone,
        gone_here=count(f"{left} AND {here}"),
        rows=count(f"raw_documents WHERE {run.scope.where()}"),
        withheld=not run.accept_deletes and needs_agreement(gone, total, items, run.settings.deletes),
    )
    if fetch_to is not None and found.to_fetch:
        copy_to_parquet(connection, "SELECT * FROM to_fetch ORDER BY uri", fetch_to)
    if fetch_to is not None and found.gone_here and not found.withheld:
        rows = connection.execute(f"SELECT document_id FROM {left} AND {here}").fetchall()
        write_keys(fetch_to.with_name("gone.parquet"), "document_id", [row[0] for row in rows])
    return found


def needs_agreement(gone: int, total: int, listed: int, limits: DeleteSettings) -> bool:
    """Say whether a delete is so large that a person has to agree to it.

    Args:
        gone: Documents that left the listing.
        total: Documents that the library has.
        listed: Items of the listing.
        limits: The library's limits.
    """
    if gone == 0:
        return False
    return listed == 0 or (gone > limits.max_documents and gone > limits.max_share * total)


def ingest(run: LibraryRun) -> Changes:
    """List the source, fetch what is new or changed, and leave the rows in the spool.

    Returns:
        The changes. `details` says what a person must know: `unavailable`, `withheld_deletes`, `failures`.
    """
    changes = Changes(record=RawDocument, scope=run.scope, parent="document_id", rows=0)
    fetch_to = run.spool / "to_fetch.parquet"
    try:
        listing, changes.details["fingerprint"] = list_source(run)
    except SourceUnavailable as error:
        logger.error("%s: %s", run.library, error)
        changes.details["unavailable"] = str(error)
        with run.warehouse.reading() as connection:
            found = connection.execute(f"SELECT count(*) FROM raw_documents WHERE {run.scope.where()}").fetchone()
            changes.rows = int(found[0]) if found else 0
        return changes
    for note in run.source.notes:
        logger.warning("%s: %s", run.library, note)
    with run.warehouse.reading() as connection:
        compared = compare(connection, run, listing, fetch_to)
    changes.rows = compared.rows
    changes.details["listed"] = compared.items
    if compared.withheld:
        changes.details["withheld_deletes"] = compared.gone
    elif compared.gone_here:
        changes.gone = f"SELECT document_id FROM {parquet(fetch_to.with_name('gone.parquet'))}"
    if compared.to_fetch:
        # Held until the rows are merged, so that nobody sweeps bytes that no row names yet.
        changes.held.enter_context(run.documents.writing())
        failures: dict[str, str] = {}
        with RowWriter(run.spool / "raw_documents.made.parquet", RawDocument) as writer:
            done = 0
            run.progress("raw_documents", 0, compared.to_fetch)
            for batch in read_batches(fetch_to):
                for row in _fetch(run, batch, failures):
                    writer.add(row)
                done += len(batch)
                run.progress("raw_documents", done, compared.to_fetch)
        changes.made, changes.failed = writer.file, len(failures)
        if failures:
            changes.details["failures"] = failures
    if "failures" in changes.details:
        del changes.details["fingerprint"]  # the sensor is to look again
    if not changes.empty:
        changes.after = lambda: sweep_documents(run)
    return changes


def _fetch(run: LibraryRun, rows: list[dict[str, Any]], failures: dict[str, str]) -> Iterator[RawDocument]:
    for row in rows:
        content: bytes | None = None
        error, fingerprint = row["problem"], row["fingerprint"]
        if error is None:
            try:
                content = _bytes_of(run.source.fetch(item_of(row)))
            except ItemRefused as refused:
                error = str(refused)
            except FetchFailed as failed:
                logger.warning("%s", failed)
                failures[row["uri"]] = str(failed)
                if row["known"]:
                    continue  # its last good rows stand
                error, fingerprint = str(failed), None
        content_hash = run.documents.put(content) if content is not None else None
        yield RawDocument(
            library=run.library,
            document_id=row["document_id"],
            item_id=row["document_id"],
            source_type=run.settings.source.type,
            source_uri=row["uri"],
            media_type=row["media_type"],
            content_hash=content_hash,
            size_bytes=len(content) if content is not None else row["size_bytes"],
            fingerprint=fingerprint,
            fetch_error=error,
            fetched_at=now() if content is not None else None,
            input_hash=fingerprint_of(INGEST_VERSION, row["uri"], row["media_type"], content_hash, error),
        )


def _bytes_of(fetched: Fetched) -> bytes:
    return fetched.content if isinstance(fetched.content, bytes) else fetched.content.read_bytes()


def item_of(row: dict[str, Any]) -> Item:
    """Give back the item that a row of the listing tells of."""
    from dataflow_assets.sources.base import Item

    return Item(
        uri=row["uri"],
        path_key=row["path_key"],
        media_type=row["media_type"],
        size_bytes=row["size_bytes"],
        fingerprint=row["fingerprint"],
        problem=row["problem"],
    )


def sweep_documents(run: LibraryRun) -> None:
    """Remove bytes that no document of any library names any more."""
    run.documents.sweep(lambda: named_documents(run.warehouse))


def named_documents(warehouse: Warehouse) -> set[str]:
    """Give the hashes of all bytes that the documents of a home name."""
    with warehouse.reading() as connection:
        rows = connection.execute("SELECT DISTINCT content_hash FROM raw_documents WHERE content_hash IS NOT NULL")
        return {row[0] for row in rows.fetchall()}
