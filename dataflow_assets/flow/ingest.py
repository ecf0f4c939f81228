"""From the source to `raw_documents`: list, compare, fetch what is new or changed, and guard the deletes.

Listing is cheap and happens in every run; fetching happens only where the listing's fingerprint differs. What left the
listing leaves the library, unless so much left at once that a person has to agree. That is decided over the whole library,
also where a run works on one bucket of it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow_assets.errors import FetchFailed, ItemRefused, SourceUnavailable
from dataflow_assets.flow.fingerprint import ListingHash
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.flow.opening import (
    CONTAINER_TYPES,
    Part,
    listed_row,
    open_items,
    refusal,
    refusal_stamp_of,
    stamp_of,
    whole,
)
from dataflow_assets.media_types import UNKNOWN
from dataflow_assets.records import RawDocument
from dataflow_assets.settings import DeleteSettings, fingerprint_of
from dataflow_assets.warehouse.changes import Changes, copy_to_parquet, literal, parquet
from dataflow_assets.warehouse.spool import RowWriter, read_batches, write_keys
from dataflow_assets.warehouse.store import Warehouse, now

if TYPE_CHECKING:
    import duckdb

logger = logging.getLogger(__name__)

INGEST_VERSION = 1

_LISTING_COLUMNS = {
    "document_id": "VARCHAR", "uri": "VARCHAR", "path_key": "VARCHAR", "media_type": "VARCHAR", "size_bytes": "BIGINT",
    "fingerprint": "VARCHAR", "problem": "VARCHAR", "gone": "BOOLEAN", "listed_fingerprint": "VARCHAR", "place": "BIGINT",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listing:
    """What a listing says, compared with the tables."""

    items: int
    """Items that are there, as far as the listing tells."""
    left: int
    """What would be left of the library at least; 0 where the listing names nothing that is there."""
    to_fetch: int
    total: int
    """Rows of the whole library."""
    gone: int
    """Documents of the whole library that left the listing."""
    gone_here: int
    """Those of them in the run's scope."""
    rows: int
    """Rows of the run's scope."""
    withheld: bool
    """Whether the deletes wait for a person."""
    repeated: tuple[int, str] | None = None
    """How many items were listed more than once, and the address of one of them."""


def list_source(run: LibraryRun) -> tuple[Path, str]:
    """Write the source's listing to the spool, one JSON object a line, and hash it for the sensor.

    Raises:
        SourceUnavailable: The source cannot be listed, or not whole.
    """
    path, seen = run.spool / "listing.jsonl", ListingHash(run.settings)
    with path.open("w", encoding="utf-8") as file:
        for place, item in enumerate(run.source.list()):
            file.write(json.dumps({**listed_row(run.library, item), "place": place}) + "\n")
            seen.add(item)
    return path, seen.done()


def compare(connection: duckdb.DuckDBPyConnection, run: LibraryRun, listing: Path, fetch_to: Path | None) -> Listing:
    """Compare a listing with the tables, and export what has to be fetched."""
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in _LISTING_COLUMNS.items())
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE listing AS SELECT * FROM read_json({literal(str(listing))}, "
        f"format = 'newline_delimited', columns = {{{columns}}})"
    )
    repeated = _keep_last(connection)
    library = f"library = {literal(run.library)}"
    here = run.scope.where().replace(library, "TRUE", 1)
    # An item's rows are its own, or its members'; these carry the stamp of how containers are opened.
    stamped = ", ".join(f"l.fingerprint || {literal('+' + stamp)}" for stamp in (stamp_of(run), refusal_stamp_of(run)))
    containers = ", ".join(map(literal, CONTAINER_TYPES))
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE to_fetch AS
        SELECT l.* EXCLUDE (gone, place), coalesce(h.known, FALSE) AS known, h.item_id IS NOT NULL AS present
        FROM listing l LEFT JOIN (
            SELECT coalesce(item_id, document_id) AS item_id, bool_or(content_hash IS NOT NULL) AS known,
                count(DISTINCT fingerprint) = 1 AND count(fingerprint) = count(*) AS settled,
                min(fingerprint) AS fingerprint, min(source_uri) AS uri,
                max(media_type) FILTER (coalesce(item_id, document_id) = document_id) AS media_type
            FROM raw_documents WHERE {library} GROUP BY ALL
        ) h ON h.item_id = l.document_id
        WHERE {here.replace("document_id", "l.document_id")} AND NOT l.gone AND (h.item_id IS NULL OR NOT h.settled
            OR l.fingerprint IS NULL OR h.fingerprint NOT IN (l.fingerprint, {stamped})
            OR (h.fingerprint = l.fingerprint AND h.media_type IN ({containers}))
            OR NOT (h.uri = l.uri OR starts_with(h.uri, l.uri || '!/'))
            OR (h.media_type <> l.media_type AND h.fingerprint = l.fingerprint AND l.media_type <> {literal(UNKNOWN)}))
        """
    )

    def count(query: str) -> int:
        found = connection.execute(f"SELECT count(*) FROM {query}").fetchone()
        return int(found[0]) if found else 0

    listed = "SELECT document_id FROM listing" + (" WHERE gone" if run.source.partial else "")
    absent = "IN" if run.source.partial else "NOT IN"
    left = f"raw_documents WHERE {library} AND coalesce(item_id, document_id) {absent} ({listed})"
    items, total, gone = count("listing WHERE NOT gone"), count(f"raw_documents WHERE {library}"), count(left)
    remain = total - gone + items if run.source.partial else items
    found = Listing(
        items=total - gone if run.source.partial else items,
        left=remain,
        to_fetch=count("to_fetch"),
        total=total,
        gone=gone,
        gone_here=count(f"{left} AND {here}"),
        rows=count(f"raw_documents WHERE {run.scope.where()}"),
        withheld=not run.accept_deletes and needs_agreement(gone, total, remain, run.settings.deletes),
        repeated=repeated,
    )
    if fetch_to is not None and found.to_fetch:
        copy_to_parquet(connection, "SELECT * FROM to_fetch ORDER BY uri", fetch_to)
    if fetch_to is not None and found.gone_here:
        rows = connection.execute(f"SELECT document_id FROM {left} AND {here}").fetchall()
        write_keys(fetch_to.with_name("gone.parquet"), "document_id", [row[0] for row in rows])
    return found


def _keep_last(connection: duckdb.DuckDBPyConnection) -> tuple[int, str] | None:
    """Leave of items that were listed more than once what was said last.

    That happens where rows move from one page of a listing to the next while it is read, and where a partial listing tells
    an item's story.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE repeated AS "
        "SELECT document_id, max(place) AS place FROM listing GROUP BY document_id HAVING count(*) > 1"
    )
    found = connection.execute(
        "SELECT count(*), min(uri) FROM repeated JOIN listing USING (document_id, place)"
    ).fetchone()
    if not found or not found[0]:
        return None
    connection.execute(
        "DELETE FROM listing USING repeated r WHERE listing.document_id = r.document_id AND listing.place <> r.place"
    )
    return int(found[0]), str(found[1])


def needs_agreement(gone: int, total: int, left: int, limits: DeleteSettings) -> bool:
    """Say whether a delete is so large that a person has to agree to it.

    Args:
        gone: Documents that left the listing.
        total: Documents that the library has.
        left: What would be left at least.
        limits: The library's limits.
    """
    if gone == 0:
        return False
    return left == 0 or (gone > limits.max_documents and gone > limits.max_share * total)


def ingest(run: LibraryRun) -> Changes:
    """List the source, fetch what is new or changed, and leave the rows in the spool.

    Returns:
        The changes. `details` says what a person must know: `unavailable`, `withheld_deletes`, `failures`, `repeated`.
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
    if compared.repeated is not None and not run.source.partial:
        changes.details["repeated"] = compared.repeated[0]
        logger.warning(
            "%s: %d items were listed more than once, such as %s. What was said last of each counts.",
            run.library,
            *compared.repeated,
        )
    changes.rows = compared.rows
    changes.details["listed"] = compared.items
    failures: dict[str, str] = {}
    replaced: list[str] = []
    if compared.to_fetch:
        # Held until the rows are merged, so that nobody sweeps bytes that no row names yet.
        changes.held.enter_context(run.documents.writing())
        with (
            RowWriter(run.spool / "raw_documents.made.parquet", RawDocument) as writer,
            run.workers() as pool,
        ):
            run.progress("raw_documents", 0, compared.to_fetch)
            rows = (row for batch in read_batches(fetch_to) for row in batch)
            for done, (row, parts) in enumerate(open_items(run, rows, pool), start=1):
                if isinstance(parts, FetchFailed):
                    logger.warning("%s", parts)
                    failures[row["uri"]] = str(parts)
                    if not row["known"]:  # else its last good rows stand
                        writer.add(_row(run, row, replace(whole(row, None, error=str(parts)), fingerprint=None)))
                else:
                    for each in _rows(run, row, parts):
                        writer.add(each)
                    if row["present"]:
                        replaced.append(row["document_id"])
                run.progress("raw_documents", done, compared.to_fetch)
        changes.made, changes.failed = writer.file, len(failures)
    _settle_deletes(run, changes, compared, fetch_to, replaced)
    if failures:
        changes.details["failures"] = failures
        del changes.details["fingerprint"]  # the sensor is to look again
    changed = not changes.empty

    def after() -> None:
        if changed:
            sweep_documents(run)
        # Else what failed, or was not deleted, would not be listed again by a source that tells only what changed.
        if not failures and "withheld_deletes" not in changes.details:
            run.source.stored()

    changes.after = after
    return changes


def _settle_deletes(run: LibraryRun, changes: Changes, compared: Listing, fetch_to: Path, replaced: list[str]) -> None:
    """Decide what leaves: what left the listing, and what items that were fetched again no longer hold.

    A row without content held nothing: it says why something could not be had, and leaves without a question once that is
    over. Otherwise thirty archives that heal would look like thirty deletes.
    """
    left = fetch_to.with_name("gone.parquet")
    asked = [f"SELECT document_id FROM {parquet(left)}"] if compared.gone_here else []
    free: list[str] = []
    members = 0
    if replaced and changes.made is not None:
        keys = write_keys(fetch_to.with_name("replaced.parquet"), "document_id", replaced)
        with run.warehouse.reading() as connection:
            rows = connection.execute(
                f"SELECT document_id, content_hash IS NULL FROM raw_documents WHERE {run.scope.where()} "
                f"AND coalesce(item_id, document_id) IN (SELECT document_id FROM {parquet(keys)}) "
                f"AND document_id NOT IN (SELECT document_id FROM {parquet(changes.made)})"
            ).fetchall()
        for leaving, parts, name in (
            ([key for key, hollow in rows if not hollow], asked, "gone_members.parquet"),
            ([key for key, hollow in rows if hollow], free, "gone_refusals.parquet"),
        ):
            if leaving:
                file = write_keys(fetch_to.with_name(name), "document_id", leaving)
                parts.append(f"SELECT document_id FROM {parquet(file)}")
        members = sum(not hollow for _, hollow in rows)
    gone = compared.gone + members
    if not run.accept_deletes and needs_agreement(gone, compared.total, compared.left, run.settings.deletes):
        changes.details["withheld_deletes"] = gone
        asked = []
    if asked or free:
        changes.gone = " UNION ALL ".join(asked + free)


def _rows(run: LibraryRun, row: dict[str, Any], parts: Iterator[Part]) -> list[RawDocument]:
    """Store the bytes of an item's documents and give their rows; one that tells what is wrong where it cannot be opened."""
    try:
        return [_row(run, row, part) for part in parts]
    except ItemRefused as refused:
        return [_row(run, row, refusal(run, row, str(refused)))]


def _row(run: LibraryRun, row: dict[str, Any], part: Part) -> RawDocument:
    content = part.content
    content_hash = run.documents.put(content) if content is not None else None
    return RawDocument(
        library=run.library,
        document_id=part.document_id,
        item_id=row["document_id"],
        source_type=run.settings.source.type,
        source_uri=part.uri,
        media_type=part.media_type,
        content_hash=content_hash,
        size_bytes=len(content) if content is not None else row["size_bytes"] if part.uri == row["uri"] else None,
        fingerprint=part.fingerprint,
        fetch_error=part.error,
        fetched_at=now() if content is not None else None,
        input_hash=fingerprint_of(INGEST_VERSION, part.uri, part.media_type, content_hash, part.error),
    )


def sweep_documents(run: LibraryRun) -> None:
    """Remove bytes that no document of any library names any more."""
    run.documents.sweep(lambda: named_documents(run.warehouse))


def named_documents(warehouse: Warehouse) -> set[str]:
    """Give the hashes of all bytes that the documents of a home name."""
    with warehouse.reading() as connection:
        rows = connection.execute("SELECT DISTINCT content_hash FROM raw_documents WHERE content_hash IS NOT NULL")
        return {row[0] for row in rows.fetchall()}
