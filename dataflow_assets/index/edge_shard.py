"""One shard of the embedded engine: opened, searched, changed.

What belongs here: everything that calls Qdrant Edge. What does not: which folder is published, and who may write to it
(`edge`).
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow_assets.errors import SearchIndexError
from dataflow_assets.index.base import Candidate, Generation, Hit, IndexQuery, Point, Publication
from dataflow_assets.index.fusion import rank
from dataflow_assets.index.page_cache import bring_in, small_files_kept
from dataflow_assets.index.pointers import sync
from dataflow_assets.index.points import (
    BATCH,
    BATCH_FLOATS,
    BM25,
    DENSE,
    INDEXED,
    dense_vector,
    is_chunk_id,
    point_id,
    storable,
)
from dataflow_assets.index.sparse_copy import copy_tree

if TYPE_CHECKING:
    import qdrant_edge as edge


class EdgeWriter:
    """Changes to one partition, on a copy of its published state that is made with the first change."""

    def __init__(
        self, generation: Generation, folder: Path, *, source: Path | None, lock: Any, hnsw_threshold: int
    ) -> None:
        self._generation = generation
        self.folder = folder
        self._draft = folder.with_name(f"{folder.name}.draft")
        self._source = source
        self._lock = lock
        self._hnsw_threshold = hnsw_threshold
        self._shard: edge.EdgeShard | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was asked of the writer."""
        return self._shard is not None

    def upsert(self, points: Sequence[Point]) -> None:
        """Add points, or replace those with the same id, in batches."""
        import qdrant_edge as edge

        from dataflow_assets.index.bm25 import document_vector

        # The engine takes vectors as Python's floats, of 32 bytes each.
        size = max(1, min(BATCH, BATCH_FLOATS // self._generation.dimension))
        for start in range(0, len(points), size):
            batch = []
            for point in points[start : start + size]:
                vectors: dict[str, Any] = {BM25: document_vector(point.text)}
                dense = dense_vector(point, self._generation)
                if dense is not None:
                    vectors[DENSE] = dense
                batch.append(_edge_point(point, vectors))
            self._update(edge.UpdateOperation.upsert_points(batch))
            _let_go(self._draft)

    def set_payload(self, payloads: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Replace the payloads of points; an id that is not there is left out."""
        import qdrant_edge as edge

        for start in range(0, len(payloads), BATCH):
            batch = [(point_id(chunk_id), payload) for chunk_id, payload in payloads[start : start + BATCH]]
            with _engine(f"look up points of {self._generation.partition}"):
                there = {record.id for record in self._opened().retrieve([i for i, _ in batch], False, False)}
            for identity, payload in batch:
                if identity in there:
                    self._update(_overwrite(edge, identity, payload))

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove points; an id that is not there is no error."""
        import qdrant_edge as edge

        for start in range(0, len(chunk_ids), BATCH):
            ids: list[Any] = [point_id(chunk_id) for chunk_id in chunk_ids[start : start + BATCH]]
            self._update(edge.UpdateOperation.delete_points(ids))

    def delete_documents(self, document_ids: Sequence[str]) -> None:
        """Remove every point of documents; one that is not there is no error."""
        import qdrant_edge as edge

        for start in range(0, len(document_ids), BATCH):
            among = edge.MatchAny(list(document_ids[start : start + BATCH]))
            wanted = edge.Filter(must=[edge.FieldCondition("document_id", match=among)])
            self._update(edge.UpdateOperation.delete_points_by_filter(wanted))

    def finish(self) -> int:
        """Bring everything to disk, close the shard, and give its folder the name that it is published under.

        Returns:
            The number of points.
        """
        import qdrant_edge as edge

        shard = self._opened()
        with _engine(f"flush the index of {self._generation.partition}"):
            points = shard.count(edge.CountRequest(exact=True))
            # Does nothing below the thresholds; above them it builds the graph, or takes out what many deletes left.
            shard.optimize()
            shard.flush()
        # Closed under its new name, it stays in the page cache: a reader opens it in a tenth of the time (`page_cache`).
        self._draft.rename(self.folder)
        with _engine(f"close the index of {self._generation.partition}"):
            shard.close()
        self._shard = None
        for path in self.folder.rglob("*"):
            sync(path)
        sync(self.folder)
        bring_in(self.folder)
        return points

    def abandon(self) -> None:
        """Forget everything."""
        self._shard = None
        for folder in (self._draft, self.folder):
            shutil.rmtree(folder, ignore_errors=True)

    def _update(self, operation: Any) -> None:
        with _engine(f"write to the index of {self._generation.partition}"):
            self._opened().update(operation)

    def _opened(self) -> edge.EdgeShard:
        if self._shard is None:
            with filesystem(f"write the index of {self._generation.partition}"):
                if self._source is None:
                    self._shard = _create(self._draft, self._generation, self._hnsw_threshold)
                else:
                    with self._lock():
                        copy_tree(self._source, self._draft)
                    self._shard = load(self._draft, self._generation, self._hnsw_threshold)
        return self._shard


class EdgeReader:
    """An opened shard that nobody changes. Safe to use from several threads."""

    def __init__(self, shard: edge.EdgeShard, publication: Publication, held: int) -> None:
        self._shard = shard
        self._publication = publication
        self._held = held

    def __del__(self) -> None:
        del self._shard  # first: as long as the folder is held, closing costs nothing
        os.close(self._held)

    @property
    def generation(self) -> Generation:
        """The generation that is read."""
        return self._publication.generation

    @property
    def publication(self) -> Publication:
        """The publication that is read."""
        return self._publication

    def count(self) -> int:
        """Number of points."""
        return self._publication.points

    def document_ids(self) -> set[str]:
        """The documents that have points."""
        import qdrant_edge as edge

        with _engine(f"read the index of {self.generation.partition}"):
            found = self._shard.facet(edge.FacetRequest("document_id", limit=max(1, self.count()), exact=True))
            return {str(hit.value) for hit in found.hits}

    def search(self, query: IndexQuery) -> list[Hit]:
        """Answer a query, best first."""
        candidates = self.candidates(query)
        ranked = [(candidates[n].chunk_id, score) for n, score in rank(candidates, query)]
        payloads = self.payloads([chunk_id for chunk_id, _ in ranked])
        return [Hit(chunk_id, score, payloads.get(chunk_id, {})) for chunk_id, score in ranked]

    def candidates(self, query: IndexQuery) -> list[Candidate]:
        """Fetch the best of each side, and what the other side says of them: two passes over the shard."""
        import qdrant_edge as edge

        from dataflow_assets.index.bm25 import query_vector

        sides: list[tuple[str, Any]] = []
        if query.mode != "keyword" and query.vector is not None:
            if len(query.vector) != self.generation.dimension:
                raise SearchIndexError(
                    f"The query's vector has {len(query.vector)} numbers, and the index of {self.generation.partition} holds "
                    f"vectors of {self.generation.dimension}: embed the query with the index's own model."
                )
            sides.append((DENSE, edge.Query.Nearest(query.vector.tolist(), using=DENSE)))
        if query.mode != "semantic":
            words = query_vector(query.text)
            if words.indices:
                sides.append((BM25, edge.Query.Nearest(words, using=BM25)))
        limit = max(query.limit, query.prefetch)
        wanted = _filter(query)
        first = self._ask([edge.QueryRequest(limit=limit, query=side, filter=wanted) for _, side in sides])
        # The engine makes a UUID each time that a point's id is looked at, and to look one up takes longer than a number.
        named: dict[int, Any] = {}
        scores: dict[str, dict[int, float]] = {}
        for (name, _), found in zip(sides, first, strict=True):
            mine = scores[name] = {}
            for point in found:
                there: Any = point.id
                named[there.int] = there
                mine[there.int] = point.score
        lacking = [
            (name, side, missing)
            for name, side in sides
            if (missing := {there for i, there in named.items() if i not in scores[name]})
        ]
        second = self._ask(
            [
                edge.QueryRequest(
                    limit=len(missing), query=side, filter=edge.Filter(must=[edge.HasIdCondition(missing)])
                )
                for _, side, missing in lacking
            ]
        )
        for (name, _, _), found in zip(lacking, second, strict=True):
            for point in found:
                there = point.id
                scores[name][there.int] = point.score
        semantic, keyword = scores.get(DENSE, {}), scores.get(BM25, {})
        return [Candidate(there.hex, semantic.get(i), keyword.get(i, 0.0)) for i, there in named.items()]

    def payloads(self, chunk_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The payloads of points, by chunk id."""
        if not chunk_ids:
            return {}
        ids: list[Any] = [point_id(chunk_id) for chunk_id in chunk_ids]
        with _engine(f"read the index of {self.generation.partition}"):
            records: list[Any] = self._shard.retrieve(ids, True, False)  # whose ids could be numbers too
        return {record.id.hex: record.payload or {} for record in records}

    def stretch(self, document_id: str, first: int, last: int) -> dict[int, Mapping[str, Any]]:
        """The payloads of a stretch of a document's chunks, by `chunk_index`."""
        import qdrant_edge as edge

        wanted = edge.Filter(
            must=[
                edge.FieldCondition("document_id", match=edge.MatchAny([document_id])),
                edge.FieldCondition("chunk_index", range=edge.RangeFloat(gte=first, lte=last)),
            ]
        )
        with _engine(f"read the index of {self.generation.partition}"):
            records, _ = self._shard.scroll(
                edge.ScrollRequest(limit=max(1, last - first + 1), filter=wanted, with_payload=True)
            )
        return {int(said["chunk_index"]): said for record in records if (said := record.payload)}

    def _ask(self, requests: list[edge.QueryRequest]) -> list[list[edge.ScoredPoint]]:
        import qdrant_edge as edge

        if not requests:
            return []
        with _engine(f"search the index of {self.generation.partition}"):
            return self._shard.query_batch(edge.QueryBatchRequest(requests))


MADV_DONTNEED = 4
"""Linux's advice that a range of memory is not needed now."""


def _let_go(folder: Path) -> None:
    """Give up the memory in which this process sees a shard's files; what was written stays in them.

    The engine maps its files and never lets go: 100,000 vectors of 1,024 floats would stand for 400 MB. The pages are shared
    with the file, so the kernel keeps what is dirty and brings back what is touched again (Linux only).
    """
    prefix = str(folder)
    with suppress(OSError, AttributeError, ValueError):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            for line in maps:
                words = line.rstrip("\n").split(maxsplit=5)
                if len(words) == 6 and words[5].startswith(prefix) and words[1].endswith("s"):
                    start, end = (int(word, 16) for word in words[0].split("-"))
                    libc.madvise(start, end - start, MADV_DONTNEED)


def _create(folder: Path, generation: Generation, hnsw_threshold: int) -> edge.EdgeShard:
    import qdrant_edge as edge

    folder.mkdir()
    with _engine(f"make an index for {generation.partition}"):
        shard = edge.EdgeShard.create(str(folder), _config(generation, hnsw_threshold))
        for key, kind in INDEXED.items():
            shard.update(edge.UpdateOperation.create_field_index(key, _indexed(kind)))
    return shard


def _indexed(kind: str) -> Any:
    import qdrant_edge as edge

    if kind == "Integer":
        return edge.IntegerIndexParams(lookup=True, range=True, memory=edge.Memory.Cached)
    return (edge.DatetimeIndexParams if kind == "Datetime" else edge.KeywordIndexParams)(memory=edge.Memory.Cached)


def load(folder: Path, generation: Generation | None = None, hnsw_threshold: int = 0) -> edge.EdgeShard:
    """Open a shard; with its generation for one that is written to."""
    import qdrant_edge as edge

    config = _config(generation, hnsw_threshold) if generation else None
    remedy = f"If it goes on, remove the folder {folder.resolve()} and run the library: its index is built anew"
    with _engine(f"open {folder.name}", remedy), small_files_kept(folder):
        return edge.EdgeShard.load(str(folder), config)


def _config(generation: Generation, hnsw_threshold: int) -> edge.EdgeConfig:
    import qdrant_edge as edge

    # What can stay in mapped files does: a shard of 100,000 points opens in half of the time. With one thread a question takes as
    # long, and two thirds of the processor: there is one large segment, so a second thread has nothing but the handing over.
    cached = edge.Memory.Cached
    # The engine counts in kilobytes of vectors, and takes 0 for never.
    kilobytes = max(1, hnsw_threshold * generation.dimension * 4 // 1024)
    return edge.EdgeConfig(
        vectors={DENSE: edge.EdgeVectorParams(size=generation.dimension, distance=edge.Distance.Cosine)},
        sparse_vectors={BM25: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf, memory=cached)},
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=kilobytes, default_segment_number=1),
        id_tracker_memory=cached,
        max_search_threads=1,
        wal_enabled=False,
    )


def _edge_point(point: Point, vectors: dict[str, Any]) -> edge.Point:
    import qdrant_edge as edge

    try:
        return edge.Point(point_id(point.chunk_id), vectors, dict(point.payload))
    except (TypeError, ValueError):
        return edge.Point(point_id(point.chunk_id), vectors, storable(point.payload))


def _overwrite(edge: Any, identity: Any, payload: Mapping[str, Any]) -> Any:
    try:
        return edge.UpdateOperation.overwrite_payload([identity], dict(payload))
    except (TypeError, ValueError):
        return edge.UpdateOperation.overwrite_payload([identity], storable(payload))


def _filter(query: IndexQuery) -> edge.Filter | None:
    import qdrant_edge as edge

    must: list[Any] = []
    for key, wanted in query.filters.items():
        values = [wanted] if isinstance(wanted, str | int) else list(wanted)
        if key == "chunk_id":
            must.append(edge.HasIdCondition({point_id(i) for i in map(str, values) if is_chunk_id(i)}))
        else:
            must.append(edge.FieldCondition(key, match=edge.MatchAny(storable({"_": values})["_"])))
    if query.since or query.until:
        must.append(edge.FieldCondition("date", range=edge.RangeDateTime(gte=query.since, lt=query.until)))
    return edge.Filter(must=must) if must else None


@contextmanager
def _engine(what: str, remedy: str = "") -> Iterator[None]:
    """Turn what the engine raises into a sentence; it raises plain exceptions, and panics that derive from BaseException."""
    try:
        yield
    except SearchIndexError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        said = str(error).split("\n", 1)[0][:500]
        advice = f". {remedy}." if remedy else ""
        raise SearchIndexError(f"The search engine could not {what}: {said}{advice}") from error


@contextmanager
def filesystem(what: str) -> Iterator[None]:
    """Turn what the file system raises into a sentence."""
    try:
        yield
    except OSError as error:
        raise SearchIndexError(f"Could not {what}: {error.strerror or error} ({error.filename}).") from error
