"""The index inside the process: Qdrant Edge shards in folders.

What belongs here: publishing shards and opening them, by any number of processes. What does not: what is done with an open
shard (`edge_shard`), the ranking (`fusion`), words (`bm25`), servers (`server`).

    index/<partition>/published.json       which of the folders below are published (`pointers`)
    index/<partition>/<token>/             a shard; nobody writes to it once it is published
    index/<partition>/<token>.draft/       a shard that is being written
    index/.open/                           names by which shards are opened, for that moment (`page_cache`)
    index/.locks/<partition>               held while a shard is opened or copied; <partition>~write while its pointer file changes

The engine's write-ahead log locks its folder even against readers, so it is off, and a shard that is written to would break
under a reader. Hence: a writer works on a copy that nobody knows of, and one atomic `os.replace` of the pointer file makes it
the published state. Opening a shard renames small files in it, so it happens under a lock, as does copying. An opened
shard needs its folder no more (its files stay until they are closed), so the folder of a former publication, and what a
killed writer left, is removed at the end of the write, or half a second later where somebody reads from it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from dataflow_assets.errors import IndexMissing, IndexOpening, SearchIndexError
from dataflow_assets.index.base import Generation, Publication, Use
from dataflow_assets.index.edge_shard import EdgeReader, EdgeWriter, filesystem, load
from dataflow_assets.index.page_cache import passing_name
from dataflow_assets.index.pointers import POINTER, Pointers
from dataflow_assets.index.points import checked_partition, library_of

TURN_SECONDS: Final = 0.5
"""After a publication, readers may open it one after the other, and answer from the former state meanwhile; so long publishing
waits for those that have the former state open."""
LOOK_SECONDS: Final = 0.02


class EdgeIndex:
    """The shards of a home.

    Args:
        folder: Where they lie; made when something is published.
        hnsw_threshold: From this many points on a graph is built when a partition is published; below it every vector is
            compared, which is exact and costs nothing to build. 0 builds one always.
    """

    def __init__(self, folder: Path, *, hnsw_threshold: int = 50_000) -> None:
        self._folder = folder
        self._hnsw_threshold = hnsw_threshold
        self._pointers = Pointers(folder)

    @contextmanager
    def write(self, generation: Generation, *, fresh: bool = False) -> Iterator[EdgeWriter]:
        """Change a partition; see `SearchIndex.write`. A block that changes nothing publishes nothing new."""
        partition = checked_partition(generation.partition)
        home = self._folder / partition
        with filesystem(f"write the index of {partition}"):
            home.mkdir(parents=True, exist_ok=True)
            with self._locked(f"{partition}~write"):
                left = _unpublished(home, self._pointers.generations(partition))
            self._discard(partition, left)
        published = self.generations(partition).get(generation.name)
        carry = published is not None and not fresh and published.generation.dimension == generation.dimension
        writer = EdgeWriter(
            generation,
            home / secrets.token_hex(8),
            source=home / published.name if published is not None and carry else None,
            lock=lambda: self._locked(partition),
            hnsw_threshold=self._hnsw_threshold,
        )
        try:
            yield writer
            unchanged = published is not None and carry and not writer.changed
            points = published.points if published is not None and unchanged else writer.finish()
        except BaseException:
            writer.abandon()
            raise
        # From here on nothing is taken back: whoever interrupts this may find the new state published already.
        with filesystem(f"publish the index of {partition}"):
            if published is None or not unchanged:
                self._publish(Publication(generation, points, writer.folder.name))
            elif dict(published.generation.description) != dict(generation.description):
                self._publish(Publication(generation, points, published.name))

    @contextmanager
    def read(self, partition: str, generation: str | None = None, *, wait: bool = True) -> Iterator[EdgeReader]:
        """Open a published state; see `SearchIndex.read`."""
        if self._find(partition, generation) is None:
            raise _missing(partition, generation)
        with filesystem(f"open the index of {partition}"):
            with self._turn(partition) if not wait else self._locked(partition):
                published = self._find(partition, generation)
                if published is None:
                    raise _missing(partition, generation)
                folder = self._folder / partition / published.name
                if not folder.is_dir():
                    raise IndexMissing(
                        f"The index of {partition} is gone: run the library again, which builds it anew."
                    )
                with passing_name(folder, self._folder / ".open") as name:
                    reader = EdgeReader(load(name), published, _held(folder))
        # Never closed, since another thread may still read from it, but gone with the last that knows it.
        try:
            yield reader
        finally:
            del reader

    def published(self, partition: str) -> Publication | None:
        """What is in use; reads two small files."""
        return self._pointers.published(partition)

    def in_use(self, library: str) -> dict[str, Publication]:
        """What is in use of a library; see `SearchIndex.in_use`."""
        return self._pointers.in_use(library)

    def generations(self, partition: str) -> dict[str, Publication]:
        """Everything that is published of the partition and is there; reads one small file.

        A folder that somebody removed is not there: the next run builds it anew.
        """
        home = self._folder / partition
        found = self._pointers.generations(partition)
        return {name: publication for name, publication in found.items() if (home / publication.name).is_dir()}

    def usage(self, library: str) -> Use | None:
        """Which generation of a library is in use."""
        return self._pointers.usage(library)

    def use(self, library: str, generation: str) -> None:
        """Put a generation of a library into use; see `SearchIndex.use`."""
        with filesystem(f"put a generation of {library} into use"), self._locked(f"{checked_partition(library)}~use"):
            self._pointers.use(library, generation)

    def remove(self, partition: str, generation: str) -> None:
        """Remove a generation that is not in use; a reader that has it open keeps what it reads."""
        library = library_of(checked_partition(partition))
        with filesystem(f"remove a generation of {partition}"):
            with self._locked(f"{library}~use"), self._locked(f"{partition}~write"):
                use, there = self._pointers.usage(library), dict(self._pointers.generations(partition))
                if generation not in there:
                    return
                if use is None or use.generation == generation:
                    raise SearchIndexError(f"The generation {generation} of {library} is in use, and is not removed.")
                del there[generation]
                self._pointers.put(partition, there)
                left = _unpublished(self._folder / partition, there)
            self._discard(partition, left)

    def drop(self, partition: str) -> None:
        """Remove everything of a partition; a reader that has it open keeps what it reads."""
        home = self._folder / checked_partition(partition)
        library = library_of(partition)
        if home.exists():
            with filesystem(f"remove the index of {partition}"), self._locked(partition):
                with suppress(FileNotFoundError):
                    (home / POINTER).unlink()
                shutil.rmtree(home)
        with filesystem(f"remove the index of {partition}"), self._locked(f"{library}~use"):
            self._pointers.forget(library)

    def partitions(self) -> list[str]:
        """The partitions with a published state; looks at file names alone."""
        return self._pointers.partitions()

    def _find(self, partition: str, generation: str | None) -> Publication | None:
        if generation is None:
            return self.published(partition)
        return self._pointers.generations(partition).get(generation)

    @contextmanager
    def _turn(self, partition: str) -> Iterator[None]:
        """Hold the lock; where another process opens the same state, one's turn is later, as long as that is allowed.

        Raises:
            IndexOpening: It is another one's turn.
        """
        waited = time.time() - self._pointers.changed_at(partition)
        with self._locked(partition, wait=not 0 <= waited < TURN_SECONDS):
            yield

    @contextmanager
    def _locked(self, partition: str, *, wait: bool = True) -> Iterator[None]:
        locks = self._folder / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(locks / partition, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise IndexOpening(f"The index of {partition} is being opened by another process.") from None
            yield
        finally:
            os.close(descriptor)

    def _publish(self, publication: Publication) -> None:
        """Make a folder the published state of its generation, and remove the one that was."""
        partition, name = publication.generation.partition, publication.generation.name
        with self._locked(f"{partition}~write"):
            there = {**self._pointers.generations(partition), name: publication}
            self._pointers.put(partition, there)
            left = _unpublished(self._folder / partition, there)
        with self._locked(f"{library_of(partition)}~use"):
            self._pointers.begin(library_of(partition), name)
        self._discard(partition, left)

    def _discard(self, partition: str, folders: Sequence[Path]) -> None:
        """Remove folders that no pointer file names any more.

        Whoever read the pointer file before it changed still opens what it named, and is waited for; who comes later does not
        wait for the removal, which takes as long as hundreds of questions. Those that have a folder open may let go of it first:
        the last to let go of removed files pays for giving their pages back, 200 ms for 290 MB, and a reader would do so while a
        question waits.
        """
        if not folders:
            return
        with self._locked(partition):
            pass
        until = time.monotonic() + TURN_SECONDS
        for folder in folders:
            while _is_held(folder) and time.monotonic() < until:
                time.sleep(LOOK_SECONDS)
            shutil.rmtree(folder, ignore_errors=True)


def _held(folder: Path) -> int:
    """Say to writers that somebody reads from a folder, until the descriptor is closed or the process is gone."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with suppress(OSError):  # a file system that has no locks on folders
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return descriptor


def _is_held(folder: Path) -> bool:
    """Say whether somebody reads from a folder, or may do so: some file systems have no locks on folders."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _missing(partition: str, generation: str | None) -> IndexMissing:
    if generation is None:
        return IndexMissing(f"Nothing has been indexed yet for {partition}: run the library first.")
    return IndexMissing(f"{partition} has no generation {generation}.")


def _unpublished(home: Path, published: Mapping[str, Publication]) -> list[Path]:
    """What is not published: former states, and what killed writers left. The lock is held, and the only writer's."""
    keep = {publication.name for publication in published.values()}
    return [path for path in home.iterdir() if path.is_dir() and path.name not in keep]
