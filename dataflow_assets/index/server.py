"""The index on a Qdrant server or cluster: a collection for each publication, and an alias for the published one.

What belongs here: the same interface as `edge`, over the network. What does not: requests about points (`server_collection`).

    dataflow--<partition>             the alias of what is in use, for people; searches go by the notes below
    dataflow--<partition>--<token>    a collection; nobody writes to it once it is published

A writer fills a collection that nobody knows of, and one note, which the server replaces at once, makes it the published
state of its generation. The one before stays until the next writer comes, for searches that still read it. A change therefore copies the points that stay, over the network and back: 1 % changed of 100,000 points
moves all of them. That is the price of searches that never see half of a run's work; a server has no cheaper snapshot that
can be written to. The notes are the payloads of points of a collection beside it, `dataflow--publications`: one point a partition
says what is published of it, and one point a library which generation is in use, for all its buckets at once.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from dataflow_assets.errors import IndexMissing, SearchIndexError
from dataflow_assets.index.base import Generation, Publication, Use
from dataflow_assets.index.points import checked_partition, library_of
from dataflow_assets.index.server_collection import PREFIX, ServerReader, ServerWriter

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

PUBLICATIONS: Final = "dataflow--publications"
TIMEOUT_SECONDS: Final = 60


class ServerIndex:
    """The collections of a Qdrant server.

    Args:
        url: The server's address; `:memory:` is the client's imitation of a server, for tests alone.
        api_key: Its key; it stands in no message.
        hnsw_threshold: From this many points on the server builds a graph.
    """

    def __init__(self, url: str, api_key: str | None = None, *, hnsw_threshold: int = 50_000) -> None:
        self._url = url
        self._api_key = api_key
        self._hnsw_threshold = hnsw_threshold

    @cached_property
    def _client(self) -> QdrantClient:
        from qdrant_client import QdrantClient

        if self._url == ":memory:":
            return QdrantClient(":memory:")
        return QdrantClient(url=self._url, api_key=self._api_key, timeout=TIMEOUT_SECONDS, check_compatibility=False)

    @contextmanager
    def write(self, generation: Generation, *, fresh: bool = False) -> Iterator[ServerWriter]:
        """Change a partition; see `SearchIndex.write`. A block that changes nothing publishes nothing new."""
        partition = checked_partition(generation.partition)
        there = self.generations(partition)
        with self._asking(f"clean up the index of {partition}"):
            self._clean(partition, keep={publication.name for publication in there.values()})
        published = there.get(generation.name)
        carry = published is not None and not fresh and published.generation.dimension == generation.dimension
        writer = ServerWriter(self, generation, source=published.name if published is not None and carry else None)
        try:
            yield writer
            with self._asking(f"publish the index of {partition}"):
                if published is not None and carry and not writer.changed:
                    self._publish(Publication(generation, published.points, published.name))
                    return
                points = writer.finish()
                self._publish(Publication(generation, points, writer.collection))
        except BaseException:
            writer.abandon()
            raise

    @contextmanager
    def read(self, partition: str, generation: str | None = None, *, wait: bool = True) -> Iterator[ServerReader]:
        """Open a published state; see `SearchIndex.read`."""
        published = self.published(partition) if generation is None else self.generations(partition).get(generation)
        if published is None:
            said = f"{partition} has no generation {generation}."
            if generation is None:
                said = f"Nothing has been indexed yet for {partition}: run the library first."
            raise IndexMissing(said)
        yield ServerReader(self, published)

    def published(self, partition: str) -> Publication | None:
        """What is in use; one request."""
        library = library_of(checked_partition(partition))
        notes = self._notes(_publication_id(partition), _library_id(library))
        use = _use(notes.get(_library_id(library)))
        there = _generations(partition, notes.get(_publication_id(partition)))
        return there.get(use.generation) if use is not None else None

    def in_use(self, library: str) -> dict[str, Publication]:
        """What is in use of a library; see `SearchIndex.in_use`."""
        ids = {partition: _publication_id(partition) for partition in self._partitions_of(library)}
        notes = self._notes(*ids.values(), _library_id(library))
        use = _use(notes.get(_library_id(library)))
        if use is None:
            return {}
        found = {partition: _generations(partition, notes.get(identity)) for partition, identity in ids.items()}
        return {partition: there[use.generation] for partition, there in found.items() if use.generation in there}

    def generations(self, partition: str) -> dict[str, Publication]:
        """Everything that is published of the partition."""
        identity = _publication_id(checked_partition(partition))
        return _generations(partition, self._notes(identity).get(identity))

    def usage(self, library: str) -> Use | None:
        """Which generation of a library is in use."""
        identity = _library_id(checked_partition(library))
        return _use(self._notes(identity).get(identity))

    def use(self, library: str, generation: str) -> None:
        """Put a generation of a library into use; see `SearchIndex.use`."""
        found = {partition: self.generations(partition) for partition in self._partitions_of(library)}
        if not any(generation in there for there in found.values()):
            raise IndexMissing(f"{library} has no generation {generation}.")
        use, now = self.usage(library), _now()
        if use is not None and use.generation == generation:
            return
        left = {**use.left, use.generation: now} if use is not None else {}
        known = {name for there in found.values() for name in there} - {generation}
        with self._asking(f"put a generation of {library} into use"):
            self._note_use(library, Use(generation, now, {name: at for name, at in left.items() if name in known}))
            self._name([there[generation] for there in found.values() if generation in there])

    def remove(self, partition: str, generation: str) -> None:
        """Remove a generation that is not in use."""
        there = dict(self.generations(partition))
        if generation not in there:
            return
        use = self.usage(library_of(partition))
        if use is None or use.generation == generation:
            library = library_of(partition)
            raise SearchIndexError(f"The generation {generation} of {library} is in use, and is not removed.")
        gone = there.pop(generation)
        with self._asking(f"remove a generation of {partition}"):
            self._note_states(partition, there)
            self._client.delete_collection(gone.name)

    def drop(self, partition: str) -> None:
        """Remove everything of a partition."""
        with self._asking(f"remove the index of {partition}"):
            if self._client.collection_exists(PUBLICATIONS):
                self._client.delete(PUBLICATIONS, [_publication_id(checked_partition(partition))])
            self._clean(partition, keep=set())
            if not self._partitions_of(library_of(partition)) and self._client.collection_exists(PUBLICATIONS):
                self._client.delete(PUBLICATIONS, [_library_id(library_of(partition))])

    def partitions(self) -> list[str]:
        """The partitions with a published state."""
        with self._asking("list the indexes"):
            if not self._client.collection_exists(PUBLICATIONS):
                return []
            found, offset = [], None
            while True:
                records, offset = self._client.scroll(PUBLICATIONS, limit=1000, offset=offset, with_payload=True)
                found += [str(said["partition"]) for record in records if "partition" in (said := record.payload or {})]
                if offset is None:
                    return sorted(found)

    def _partitions_of(self, library: str) -> list[str]:
        return [partition for partition in self.partitions() if library_of(partition) == library]

    def _notes(self, *ids: str) -> dict[str, Mapping[str, Any]]:
        with self._asking("look up what is published"):
            if not self._client.collection_exists(PUBLICATIONS):
                return {}
            found = self._client.retrieve(PUBLICATIONS, list(ids), with_payload=True)
        return {str(record.id): record.payload or {} for record in found}

    def _publish(self, publication: Publication) -> None:
        """Note what is published: the one write that switches readers over."""
        partition, name = publication.generation.partition, publication.generation.name
        self._note_states(partition, {**self.generations(partition), name: publication})
        library = library_of(partition)
        use = self.usage(library)
        if use is None:
            use = Use(name, _now())
            self._note_use(library, use)
        if use.generation == name:
            self._name([publication])

    def _name(self, publications: Sequence[Publication]) -> None:
        """Have the aliases lead to what is in use."""
        from qdrant_client import models

        known = {said.alias_name for said in self._client.get_aliases().aliases}
        operations: list[Any] = []
        for publication in publications:
            alias = f"{PREFIX}{publication.generation.partition}"
            if alias in known:
                operations.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
            create = models.CreateAlias(collection_name=publication.name, alias_name=alias)
            operations.append(models.CreateAliasOperation(create_alias=create))
        self._client.update_collection_aliases(operations)

    def _note_states(self, partition: str, there: Mapping[str, Publication]) -> None:
        said = {
            name: {
                "dimension": publication.generation.dimension,
                "description": dict(publication.generation.description),
                "points": publication.points,
                "collection": publication.name,
            }
            for name, publication in there.items()
        }
        self._note(_publication_id(partition), {"partition": partition, "generations": json.dumps(said)})

    def _note_use(self, library: str, use: Use) -> None:
        said = {
            "library": library,
            "generation": use.generation,
            "since": use.since,
            "left": json.dumps(dict(use.left)),
        }
        self._note(_library_id(library), said)

    def _note(self, identity: str, payload: dict[str, Any]) -> None:
        from qdrant_client import models

        if not self._client.collection_exists(PUBLICATIONS):
            self._client.create_collection(PUBLICATIONS, vectors_config={})
        self._client.upsert(PUBLICATIONS, [models.PointStruct(id=identity, vector={}, payload=payload)], wait=True)

    def _clean(self, partition: str, *, keep: Set[str]) -> None:
        mine = f"{PREFIX}{partition}--"
        for found in self._client.get_collections().collections:
            if found.name.startswith(mine) and found.name not in keep:
                self._client.delete_collection(found.name)

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Turn what the client raises into a sentence without its key."""
        try:
            yield
        except SearchIndexError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            if self._api_key:
                said = said.replace(self._api_key, "***")
            raise SearchIndexError(
                f"The Qdrant server could not {what} ({said}). See that QDRANT_URL leads to it, that QDRANT_API_KEY is "
                "right, and that it runs."
            ) from None


def _publication_id(partition: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"dataflow:{partition}"))


def _library_id(library: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"dataflow-library:{library}"))


def _generations(partition: str, said: Mapping[str, Any] | None) -> dict[str, Publication]:
    if not said or "generations" not in said:
        return {}
    return {
        name: Publication(
            Generation(partition, name, one["dimension"], one["description"]), one["points"], one["collection"]
        )
        for name, one in json.loads(said["generations"]).items()
    }


def _use(said: Mapping[str, Any] | None) -> Use | None:
    return Use(said["generation"], said["since"], json.loads(said["left"])) if said else None


def _now() -> str:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(timespec="seconds")
