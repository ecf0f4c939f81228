"""The small files that say which folders of shards are published, and which generation of a library is in use.

What belongs here: reading and replacing these files, each whole or not at all. What does not: shards (`edge`).

    index/<partition>/published.json     generation -> the folder that is its published state, in words a person can read
    index/.in-use/<library>.json         the generation that searches of the library read

The second file is one for all buckets of a library, so that replacing it, which the kernel does at once, moves every bucket
to another generation in the same moment, and a process that is killed leaves either the one or the other in use.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from dataflow_assets.errors import IndexMissing, SearchIndexError
from dataflow_assets.index.base import Generation, Publication, Use
from dataflow_assets.index.points import checked_partition, library_of

POINTER: Final = "published.json"
IN_USE: Final = ".in-use"
TICK_NS: Final = 100_000_000
"""Nanoseconds after which a change gives a file another time: kernels count these in steps of up to 10 ms."""

Made = TypeVar("Made")


class Pointers:
    """The pointer files of an index. Whoever writes holds the lock of the partition, or of the library.

    Args:
        folder: The folder of the index.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[tuple[int, int, int], Any]] = {}

    def partitions(self) -> list[str]:
        """The partitions with a published state; looks at file names alone."""
        return [name for name in self._folders() if os.path.exists(f"{self._folder}/{name}/{POINTER}")]

    def partitions_of(self, library: str) -> list[str]:
        """Those of one library."""
        checked_partition(library)
        mine = (name for name in self._folders() if name == library or library_of(name) == library)
        return [name for name in mine if os.path.exists(f"{self._folder}/{name}/{POINTER}")]

    def generations(self, partition: str) -> dict[str, Publication]:
        """What is published of a partition: one small file is read, where it changed since it was read last."""
        path = self._folder / checked_partition(partition) / POINTER
        return dict(self._unchanged(path, lambda: self._published(partition, path)) or {})

    def _published(self, partition: str, path: Path) -> dict[str, Publication]:
        said = _read(path, f"remove the folder {path.parent} and run the library again")
        if said is None:
            return {}
        try:
            if "folder" in said:  # as it was written when a partition had one generation
                said = {"generations": {said["generation"]: said}}
            return {
                name: Publication(
                    Generation(partition, name, one["dimension"], one["description"]), one["points"], one["folder"]
                )
                for name, one in said["generations"].items()
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise SearchIndexError(
                f"{path} makes no sense ({type(error).__name__}): remove the folder {path.parent} and run the library again."
            ) from error

    def changed_at(self, partition: str) -> float:
        """When what is published of a partition changed last, in seconds since 1970; 0 where nothing is."""
        try:
            return os.stat(self._folder / checked_partition(partition) / POINTER).st_mtime
        except OSError:
            return 0.0

    def put(self, partition: str, generations: Mapping[str, Publication]) -> None:
        """Replace what is published of a partition."""
        said = {
            name: {
                "description": dict(publication.generation.description),
                "dimension": publication.generation.dimension,
                "points": publication.points,
                "folder": publication.name,
            }
            for name, publication in generations.items()
        }
        _replace(self._folder / partition / POINTER, {"generations": said})

    def usage(self, library: str) -> Use | None:
        """Which generation of a library is in use."""
        path = self._use_path(library)
        remedy = f"remove it, and say `dataflow rollback {library}` if another generation is wanted"
        said = self._unchanged(path, lambda: _read(path, remedy))
        if said is not None:
            try:
                return Use(str(said["generation"]), str(said["since"]), dict(said["left"]))
            except (KeyError, TypeError, ValueError) as error:
                raise SearchIndexError(f"{path} makes no sense ({type(error).__name__}): remove it.") from error
        # Written after the first generation's states: where it is missing, that generation is alone, and in use.
        names = {name for partition in self.partitions_of(library) for name in self.generations(partition)}
        return Use(names.pop(), "") if len(names) == 1 else None

    def published(self, partition: str) -> Publication | None:
        """What is in use of a partition."""
        library = library_of(checked_partition(partition))
        while True:
            use = self.usage(library)
            if use is None:
                return None
            found = self.generations(partition).get(use.generation)
            # What was just left may be removed between the two looks.
            if found is not None or self.usage(library) == use:
                return found

    def in_use(self, library: str) -> dict[str, Publication]:
        """What is in use of a library, all of one generation."""
        while True:
            use = self.usage(library)
            if use is None:
                return {}
            states = {partition: self.generations(partition) for partition in self.partitions_of(library)}
            if self.usage(library) == use:
                return {
                    partition: found[use.generation] for partition, found in states.items() if use.generation in found
                }

    def begin(self, library: str, generation: str) -> None:
        """Note which generation is in use where that is not noted yet."""
        if not self._use_path(library).exists():
            use = self.usage(library)
            self._note(library, Use(use.generation if use else generation, _now()))

    def use(self, library: str, generation: str) -> None:
        """Put a generation into use."""
        if not any(generation in self.generations(partition) for partition in self.partitions_of(library)):
            raise IndexMissing(f"{library} has no generation {generation}.")
        use = self.usage(library)
        if use is not None and use.generation == generation:
            return
        left = {name: at for name, at in use.left.items() if name != generation} if use else {}
        self._note(library, Use(generation, _now(), {**left, use.generation: _now()} if use else left))

    def forget(self, library: str) -> None:
        """Remove what is noted of a library that has no partition any more."""
        if not self.partitions_of(library):
            self._use_path(library).unlink(missing_ok=True)

    def _note(self, library: str, use: Use) -> None:
        there = {name for partition in self.partitions_of(library) for name in self.generations(partition)}
        left = {name: at for name, at in use.left.items() if name in there}
        path = self._use_path(library)
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, {"generation": use.generation, "since": use.since, "left": left})

    def _folders(self) -> list[str]:
        """The names of all folders, in alphabetical order."""
        return self._unchanged(self._folder, self._listed) or []

    def _listed(self) -> list[str]:
        try:
            with os.scandir(self._folder) as found:
                return sorted(entry.name for entry in found if not entry.name.startswith(".") and entry.is_dir())
        except FileNotFoundError:
            return []

    def _unchanged(self, path: Path, read: Callable[[], Made]) -> Made | None:
        """Give what was read of a path, reading it again where it changed: every question asks, and hardly any sees a change.

        A stamp tells changes apart only once some time has passed: what was changed within the same tick of the file system's
        clock looks alike. So nothing is kept that is younger than that.

        Args:
            path: A file that is only ever replaced, or a folder.
            read: Reads it.

        Returns:
            What was read; None where the path does not exist.
        """
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            self._known.pop(str(path), None)
            return None
        except OSError:
            return read()  # which says what is wrong
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        known = self._known.get(str(path))
        if known is not None and known[0] == stamp:
            return cast("Made", known[1])
        made = read()
        if abs(time.time_ns() - found.st_mtime_ns) > TICK_NS:
            self._known[str(path)] = stamp, made
        return made

    def _use_path(self, library: str) -> Path:
        return self._folder / IN_USE / f"{checked_partition(library)}.json"


def _read(path: Path, remedy: str) -> Any:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise SearchIndexError(f"{path} cannot be read ({type(error).__name__}): {remedy}.") from error
    if not isinstance(found, dict):
        raise SearchIndexError(f"{path} makes no sense: {remedy}.")
    return found


def _replace(path: Path, said: Mapping[str, Any]) -> None:
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(said, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _now() -> str:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(timespec="seconds")
