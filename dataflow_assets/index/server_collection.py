"""One collection of a Qdrant server: filled by a writer, searched by readers.

What belongs here: requests about points. What does not: which collection is published (`server`).
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from dataflow_assets.index.base import Candidate, Generation, Hit, IndexQuery, Point, Publication
from dataflow_assets.index.fusion import rank
from dataflow_assets.index.points import BM25, DENSE, INDEXED, dense_vector, is_chunk_id, point_id, storable

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from dataflow_assets.index.server import ServerIndex

PREFIX: Final = "dataflow--"
BATCH: Final = 200
"""Points of a request: with vectors of 2,048 numbers about 4 MB, under the server's limit of 32 MB."""


class ServerWriter:
    """Changes to one partition, in a collection that nobody reads yet."""

    def __init__(self, index: ServerIndex, generation: Generation, *, source: str | None) -> None:
        self._index = index
        self._generation = generation
        self._source = source
        self._made = False
        self.collection = f"{PREFIX}{generation.partition}--{secrets.token_hex(8)}"

    @property
    def changed(self) -> bool:
        """Whether anything was asked of the writer."""
        return self._made

    def upsert(self, points: Sequence[Point]) -> None:
        """Add points, or replace those with the same id."""
        from qdrant_client import models

        from dataflow_assets.index.bm25 import document_vector

        for start in range(0, len(points), BATCH):
            batch = []
            for point in points[start : start + BATCH]:
                words = document_vector(point.text)
                vectors: dict[str, Any] = {
                    BM25: models.SparseVector(indices=list(words.indices), values=list(words.values))
                }
                dense = dense_vector(point, self._generation)
                if dense is not None:
                    vectors[DENSE] = dense.tolist()
                batch.append(
                    models.PointStruct(
                        id=str(point_id(point.chunk_id)), vector=vectors, payload=storable(point.payload)
                    )
                )
            self._update(lambda client, batch=batch: client.upsert(self.collection, batch, wait=True))

    def set_payload(self, payloads: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Replace the payloads of points; an id that is not there is left out."""
        for start in range(0, len(payloads), BATCH):
            batch = {str(point_id(chunk_id)): payload for chunk_id, payload in payloads[start : start + BATCH]}

            def update(client: QdrantClient, batch: dict[str, Mapping[str, Any]] = batch) -> None:
                there = {str(record.id) for record in client.retrieve(self.collection, list(batch), with_payload=False)}
                for identity, payload in batch.items():
                    if identity in there:
                        client.overwrite_payload(self.collection, storable(payload), points=[identity])

            self._update(update)

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove points; an id that is not there is no error."""
        for start in range(0, len(chunk_ids), BATCH):
            ids: list[Any] = [str(point_id(chunk_id)) for chunk_id in chunk_ids[start : start + BATCH]]
            self._update(lambda client, ids=ids: client.delete(self.collection, ids))

    def delete_documents(self, document_ids: Sequence[str]) -> None:
        """Remove every point of documents; one that is not there is no error."""
        from qdrant_client import models

        for start in range(0, len(document_ids), BATCH):
            among = models.MatchAny(any=list(document_ids[start : start + BATCH]))
            wanted = models.Filter(must=[models.FieldCondition(key="document_id", match=among)])
            self._update(
                lambda client, wanted=wanted: client.delete(
                    self.collection, models.FilterSelector(filter=wanted), wait=True
                )
            )

    def finish(self) -> int:
        """Make sure that the collection is there, and count its points."""
        self._update(lambda client: None)
        return self._index._client.count(self.collection, exact=True).count

    def abandon(self) -> None:
        """Remove the collection."""
        if self._made:
            try:
                self._index._client.delete_collection(self.collection)
            except Exception:  # the error that led here is the one to tell; the next write cleans up
                return

    def _update(self, change: Any) -> None:
        with self._index._asking(f"write to the index of {self._generation.partition}"):
            if not self._made:
                self._create()
                self._made = True
            change(self._index._client)

    def _create(self) -> None:
        from qdrant_client import models

        client = self._index._client
        kilobytes = max(1, self._index._hnsw_threshold * self._generation.dimension * 4 // 1024)
        client.create_collection(
            self.collection,
            vectors_config={
                DENSE: models.VectorParams(
                    size=self._generation.dimension, distance=models.Distance.COSINE, on_disk=True
                )
            },
            sparse_vectors_config={BM25: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=kilobytes),
            on_disk_payload=True,
        )
        if self._index._url != ":memory:":  # the client's imitation knows no payload indexes, and warns
            for key, kind in INDEXED.items():
                client.create_payload_index(self.collection, key, models.PayloadSchemaType(kind.lower()))
        offset = None
        while self._source is not None:
            records, offset = client.scroll(
                self._source, limit=BATCH, offset=offset, with_payload=True, with_vectors=True
            )
            if records:
                points = [models.PointStruct(id=r.id, vector=r.vector or {}, payload=r.payload) for r in records]
                client.upsert(self.collection, points, wait=True)
            if offset is None:
                return


class ServerReader:
    """A published collection."""

    def __init__(self, index: ServerIndex, publication: Publication) -> None:
        self._index = index
        self._publication = publication

    @property
    def generation(self) -> Generation:
        """The generation that is read."""
        return self._publication.generation

    def count(self) -> int:
        """Number of points."""
        return self._publication.points

    def document_ids(self) -> set[str]:
        """The documents that have points."""
        found: set[str] = set()
        offset = None
        with self._index._asking(f"read the index of {self.generation.partition}"):
            while True:
                records, offset = self._index._client.scroll(
                    self._publication.name, limit=10_000, offset=offset, with_payload=["document_id"]
                )
                found.update(
                    str(said["document_id"]) for one in records if "document_id" in (said := one.payload or {})
                )
                if offset is None:
                    return found

    def search(self, query: IndexQuery) -> list[Hit]:
        """Answer a query, best first."""
        candidates = self.candidates(query)
        ranked = [(candidates[n].chunk_id, score) for n, score in rank(candidates, query)]
        payloads = self.payloads([chunk_id for chunk_id, _ in ranked])
        return [Hit(chunk_id, score, payloads.get(chunk_id, {})) for chunk_id, score in ranked]

    def candidates(self, query: IndexQuery) -> list[Candidate]:
        """Fetch the best of each side, and what the other side says of them: two requests."""
        from qdrant_client import models

        from dataflow_assets.index.bm25 import query_vector

        sides: dict[str, Any] = {}
        if query.mode != "keyword" and query.vector is not None:
            sides[DENSE] = query.vector.tolist()
        if query.mode != "semantic":
            words = query_vector(query.text)
            if words.indices:
                sides[BM25] = models.SparseVector(indices=list(words.indices), values=list(words.values))
        limit, wanted = max(query.limit, query.prefetch), _filter(query)
        scores = self._ask(sides, dict.fromkeys(sides, (limit, wanted)))
        ids = list(dict.fromkeys(i for side in scores.values() for i in side))
        lacking = {name: [i for i in ids if i not in scores[name]] for name in sides}
        second = self._ask(
            sides,
            {
                name: (len(missing), models.Filter(must=[models.HasIdCondition(has_id=list(missing))]))
                for name, missing in lacking.items()
                if missing
            },
        )
        for name, found in second.items():
            scores[name].update(found)
        semantic, keyword = scores.get(DENSE, {}), scores.get(BM25, {})
        return [Candidate(uuid.UUID(i).hex, semantic.get(i), keyword.get(i, 0.0)) for i in ids]

    def payloads(self, chunk_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The payloads of points, by chunk id."""
        if not chunk_ids:
            return {}
        ids = [str(point_id(chunk_id)) for chunk_id in chunk_ids]
        with self._index._asking(f"read the index of {self.generation.partition}"):
            records = self._index._client.retrieve(self._publication.name, ids, with_payload=True)
        return {uuid.UUID(str(record.id)).hex: record.payload or {} for record in records}

    def stretch(self, document_id: str, first: int, last: int) -> dict[int, Mapping[str, Any]]:
        """The payloads of a stretch of a document's chunks, by `chunk_index`."""
        from qdrant_client import models

        wanted = models.Filter(
            must=[
                models.FieldCondition(key="document_id", match=models.MatchValue(value=document_id)),
                models.FieldCondition(key="chunk_index", range=models.Range(gte=first, lte=last)),
            ]
        )
        with self._index._asking(f"read the index of {self.generation.partition}"):
            records, _ = self._index._client.scroll(
                self._publication.name, scroll_filter=wanted, limit=max(1, last - first + 1), with_payload=True
            )
        return {int(said["chunk_index"]): said for record in records if (said := record.payload)}

    def _ask(self, sides: Mapping[str, Any], asked: Mapping[str, tuple[int, Any]]) -> dict[str, dict[str, float]]:
        from qdrant_client import models

        if not asked:
            return {}
        requests = [
            models.QueryRequest(query=sides[name], using=name, limit=limit, filter=wanted)
            for name, (limit, wanted) in asked.items()
        ]
        with self._index._asking(f"search the index of {self.generation.partition}"):
            answers = self._index._client.query_batch_points(self._publication.name, requests)
        return {
            name: {str(point.id): point.score for point in answer.points}
            for name, answer in zip(asked, answers, strict=True)
        }


def _filter(query: IndexQuery) -> Any:
    from qdrant_client import models

    must: list[Any] = []
    for key, wanted in query.filters.items():
        values: list[Any] = [wanted] if isinstance(wanted, str | int) else list(wanted)
        if key == "chunk_id":
            ids: list[Any] = [str(point_id(str(value))) for value in values if is_chunk_id(str(value))]
            must.append(models.HasIdCondition(has_id=ids))
        else:
            must.append(models.FieldCondition(key=key, match=models.MatchAny(any=values)))
    if query.since or query.until:
        between = models.DatetimeRange.model_validate({"gte": query.since, "lt": query.until})
        must.append(models.FieldCondition(key="date", range=between))
    return models.Filter(must=must) if must else None
