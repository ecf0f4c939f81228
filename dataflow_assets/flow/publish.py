"""From chunks, corrections and embeddings to the published index, and the table `search_index` that tells what is in it.

Both tell of the generation that the settings ask for. Where another one is in use, this one is filled beside it, run by run,
and `generations` decides when it takes over; what searches read is not touched by it.

The index is published first and the table merged after it. Should a run be killed between the two, the token tells: every
publication carries a hash of exactly the points that it holds, and a publication whose token is not the table's is made
anew, so that the next run neither misses a point nor leaves a ghost.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dataflow_assets.catalog import partition_of, split_partition
from dataflow_assets.flow.evaluate import Library
from dataflow_assets.flow.generations import settle
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.flow.state import forget_state
from dataflow_assets.flow.steps import CHUNKS, CORRECTIONS
from dataflow_assets.index.base import Generation, IndexWriter, Point
from dataflow_assets.index.points import moment
from dataflow_assets.records import IndexedChunk
from dataflow_assets.settings import fingerprint_of
from dataflow_assets.warehouse.changes import Changes, Derivation, Scope, detect, gone_sql
from dataflow_assets.warehouse.spool import RowWriter, read_batches

if TYPE_CHECKING:
    import duckdb

PUBLISH_VERSION = 3

_VECTOR_COLUMNS = ("e.text_hash", "e.status", "e.model", "e.dimension")
_PAYLOAD_COLUMNS = (
    "c.text_hash", "x.corrected_text", "v.title", "v.uri", "c.start_position", "c.end_position", "c.chunk_index",
    "c.heading_path", "v.doc_type", "v.language", "v.tags", "c.first_page", "c.last_page", "c.role", "c.said_at",
    "v.dated",
)  # fmt: skip


# What a document says of itself may be long: the date alone goes through joins with its chunks.
_DOCUMENTS = (
    "SELECT document_id, title, uri, doc_type, language, tags, json_extract_string(metadata, '$.date') AS dated "
    "FROM validated_documents"
)


def _points(scope: Scope) -> str:
    return (
        f"SELECT c.chunk_id, c.document_id, {_hashed(_VECTOR_COLUMNS)} AS vector_hash, "
        f"{_hashed(_PAYLOAD_COLUMNS)} AS payload_hash "
        f"FROM chunks c JOIN ({_DOCUMENTS} WHERE {scope.where()}) v USING (document_id) JOIN embeddings e USING (chunk_id) "
        f"LEFT JOIN corrections x USING (chunk_id) WHERE {scope.where('c')}"
    )


def _hashed(columns: Sequence[str]) -> str:
    listed = ", ".join(f"coalesce(CAST({column} AS VARCHAR), chr(0))" for column in columns)
    return f"sha256(concat_ws(chr(31), {listed}))"


SEARCH_INDEX = Derivation(
    record=IndexedChunk,
    parent="chunk_id",
    upstream=_points,
    depends_on=("vector_hash", "payload_hash"),
    widest="SELECT 4 * max(dimension) FROM embeddings",
    export=(
        # The vectors go through one join and no more: each keeps 2,048 rows at hand.
        "SELECT n.*, e.vector FROM embeddings e JOIN ("
        "SELECT s.chunk_id, s.document_id, s.vector_hash, s.payload_hash, s.input_hash, i.vector_hash AS published_vector, "
        "c.text, x.corrected_text, c.start_position, c.end_position, c.chunk_index, c.heading_path, v.title, v.uri AS source_uri, "
        "v.doc_type, v.language, v.tags, c.first_page, c.last_page, c.role, c.said_at, "
        "v.dated "
        "FROM chunks c JOIN stale s USING (chunk_id) "
        f"JOIN ({_DOCUMENTS} WHERE document_id IN (SELECT document_id FROM stale)) v "
        "ON v.document_id = s.document_id "
        "LEFT JOIN (SELECT chunk_id, corrected_text FROM corrections WHERE chunk_id IN (SELECT chunk_id FROM stale)) x "
        "ON x.chunk_id = s.chunk_id "
        "LEFT JOIN (SELECT chunk_id, vector_hash FROM search_index WHERE chunk_id IN (SELECT chunk_id FROM stale)) i "
        "ON i.chunk_id = s.chunk_id"
        ") n ON n.chunk_id = e.chunk_id"
    ),
)


def generation_of(run: LibraryRun) -> Generation:
    """Name the generation that the library's settings ask for: what cuts the text, corrects it and embeds it decides."""
    embedder = run.embedder
    return Generation(
        partition=run.partition,
        name=fingerprint_of(
            PUBLISH_VERSION,
            embedder.name,
            embedder.dimension,
            CHUNKS.fingerprint(run),
            CORRECTIONS.fingerprint(run),
        ),
        dimension=embedder.dimension,
        description={
            "library": run.library,
            "query_model": run.settings.embeddings.query_model,
            "embedding_model": run.settings.embeddings.model,
            "model_name": embedder.name,
            "dimension": embedder.dimension,
        },
    )


def library_of(run: LibraryRun) -> Library:
    """Give what a run's library is evaluated with."""
    return Library(run.library, run.settings, run.base, run.home, run.warehouse, run.index, run.run_id)


def publish(run: LibraryRun) -> Changes:
    """Bring the partition's index up to date, leave the rows that tell of it in the spool, and settle what is in use."""
    generation = generation_of(run)
    changes = _fill(run, generation)
    changes.details.update(settle(library_of(run), run.partition, generation.name))
    return changes


def _fill(run: LibraryRun, generation: Generation) -> Changes:
    scope = run.scope
    exported = run.spool / "search_index.stale.parquet"
    published = run.index.generations(run.partition).get(generation.name)
    carried = published.generation.description.get("token") if published else None
    with run.warehouse.reading() as connection:
        wanted = _token(connection, f"({_points(scope)})", generation.name)
        there = _token(connection, f"(SELECT * FROM search_index WHERE {scope.where()})", generation.name)
        # What is neither right nor what the table tells of is made anew, from every row.
        rebuild = carried not in (wanted, there)
        derivation = replace(SEARCH_INDEX, retry="TRUE") if rebuild else SEARCH_INDEX
        pending = detect(connection, derivation, scope, generation.name, exported)
        gone = [row[0] for row in connection.execute(gone_sql(SEARCH_INDEX, scope)).fetchall()] if pending.gone else []
        waiting = _waiting(connection, scope)
    changes = Changes(record=IndexedChunk, scope=scope, parent="chunk_id", rows=pending.rows)
    if pending.gone:
        changes.gone = gone_sql(SEARCH_INDEX, scope)
    if carried == wanted and not (pending.stale or pending.gone):
        return changes
    generation = replace(generation, description={**generation.description, "token": wanted, "waiting": waiting})
    with RowWriter(run.spool / "search_index.made.parquet", IndexedChunk) as writer, ExitStack() as stack:
        # Where the publication is right already, a killed run left only the table behind.
        index = stack.enter_context(run.index.write(generation, fresh=rebuild)) if carried != wanted else None
        if index is not None and gone and not rebuild:
            index.delete(gone)
        done = 0
        run.progress("search_index", 0, pending.stale)
        for batch in read_batches(exported) if exported.exists() else ():
            if index is not None:
                _write(index, run.library, batch, everything=rebuild)
            for row in batch:
                writer.add(_indexed(run.library, row, generation))
            done += len(batch)
            run.progress("search_index", done, pending.stale)
    changes.made = writer.file
    changes.asked = exported if writer.file else None
    changes.after = lambda: drop_former_partitions(run)
    return changes


def _waiting(connection: duckdb.DuckDBPyConnection, scope: Scope) -> int:
    """Count the chunks without which the generation does not cover its partition: those that the next run asks about."""
    found = connection.execute(
        "SELECT count(*) FROM chunks c LEFT JOIN embeddings e USING (chunk_id) LEFT JOIN corrections x USING (chunk_id) "
        f"WHERE {scope.where('c')} AND (coalesce(e.status, 'failed') = 'failed' OR coalesce(x.waiting, FALSE))"
    ).fetchone()
    return int(found[0]) if found else 0


def drop_former_partitions(run: LibraryRun) -> None:
    """Remove indexes of a library that was split into another number of buckets, once the new ones are all there."""
    buckets = run.settings.buckets
    wanted = {partition_of(run.library, bucket, buckets) for bucket in range(buckets)}
    there = {partition for partition in run.index.partitions() if split_partition(partition)[0] == run.library}
    if wanted <= run.index.in_use(run.library).keys():
        for partition in sorted(there - wanted):
            run.index.drop(partition)
            forget_state(run.home, partition)


def _write(index: IndexWriter, library: str, rows: Sequence[dict[str, Any]], *, everything: bool) -> None:
    """Write points; where only what is told of a chunk changed, its vectors stay."""
    moved = [row for row in rows if not everything and row["published_vector"] == row["vector_hash"]]
    there = {row["chunk_id"] for row in moved}
    index.upsert([_point(library, row) for row in rows if row["chunk_id"] not in there])
    index.set_payload([(row["chunk_id"], _payload(library, row)) for row in moved])


def _token(connection: duckdb.DuckDBPyConnection, relation: str, generation: str) -> str:
    found = connection.execute(
        "SELECT count(*), coalesce(bit_xor(md5_number(concat_ws(chr(31), chunk_id, vector_hash, payload_hash))), 0) "
        f"FROM {relation}"
    ).fetchone()
    points, mixed = found if found else (0, 0)
    return f"{points}-{fingerprint_of(generation, str(mixed))}"


def _indexed(library: str, row: dict[str, Any], generation: Generation) -> IndexedChunk:
    return IndexedChunk(
        library=library,
        chunk_id=row["chunk_id"],
        document_id=row["document_id"],
        generation=generation.name,
        vector_hash=row["vector_hash"],
        payload_hash=row["payload_hash"],
        input_hash=row["input_hash"],
    )


def _point(library: str, row: dict[str, Any]) -> Point:
    import numpy as np

    vector: Sequence[float] | None = row["vector"]
    return Point(
        chunk_id=row["chunk_id"],
        text=row["corrected_text"] or row["text"],
        vector=np.asarray(vector, dtype=np.float32) if vector is not None else None,
        payload=_payload(library, row),
    )


def _payload(library: str, row: dict[str, Any]) -> dict[str, Any]:
    date = moment(row["said_at"]) or moment(row["dated"])
    return {
        "library": library,
        "chunk_id": row["chunk_id"],
        "document_id": row["document_id"],
        "title": row["title"],
        "source_uri": row["source_uri"],
        "text": row["text"],
        "corrected_text": row["corrected_text"],
        "start_position": row["start_position"],
        "end_position": row["end_position"],
        "chunk_index": row["chunk_index"],
        "heading_path": list(row["heading_path"] or ()),
        "doc_type": row["doc_type"],
        "language": row["language"],
        "tags": list(row["tags"] or ()),
        "first_page": row["first_page"],
        "last_page": row["last_page"],
        "role": row["role"],
        "said_at": row["said_at"],
        "date": date.isoformat() if date is not None else None,
    }
