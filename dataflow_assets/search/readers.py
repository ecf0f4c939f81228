"""Published states that are kept open, for all threads that ask.

What belongs here: opening a state once, and noticing with every question whether another is in use. What does not:
anything about questions. An opened state never changes, so a thread that still reads a former one reads it to the end.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from dataflow_assets.errors import IndexOpening
from dataflow_assets.index.base import IndexReader, Publication, SearchIndex


@dataclass(frozen=True, slots=True)
class Opened:
    """One partition of a library, open."""

    library: str
    partition: str
    name: str
    """Of its published state."""
    reader: IndexReader


class Readers:
    """The open states of an index. Safe for threads.

    Args:
        index: The index.
    """

    def __init__(self, index: SearchIndex) -> None:
        self._index = index
        self._open: dict[str, tuple[Opened, ExitStack]] = {}
        self._locks: dict[str, threading.Lock] = {}

    def of(self, libraries: Sequence[str]) -> list[Opened]:
        """Open what is in use of libraries now, in the order of the libraries; nothing of those that have no index.

        Raises:
            IndexMissing: What was in use a moment ago is gone. Ask again.
        """
        return [
            self._opened(library, partition, published)
            for library in libraries
            for partition, published in self._index.in_use(library).items()
        ]

    def in_use(self, library: str) -> dict[str, Publication]:
        """Look up what is in use of a library, by partition."""
        return self._index.in_use(library)

    def close(self) -> None:
        """Close everything; what a thread still reads is closed when it is done."""
        while self._open:
            try:
                _, (_, stack) = self._open.popitem()
            except KeyError:  # another thread was faster
                return
            stack.close()

    def _opened(self, library: str, partition: str, published: Publication) -> Opened:
        kept = self._open.get(partition)
        if kept is not None and kept[0].name == published.name:
            return kept[0]
        with self._locks.setdefault(partition, threading.Lock()):
            kept = self._open.get(partition)
            if kept is not None and kept[0].name == published.name:
                return kept[0]
            stack = ExitStack()
            # Never states of two generations in one answer.
            former = kept is not None and kept[0].reader.generation.name == published.generation.name
            try:
                reader = stack.enter_context(self._index.read(partition, published.generation.name, wait=not former))
            except IndexOpening:
                assert kept is not None  # noqa: S101 - or it would have waited
                return kept[0]
            opened = Opened(library, partition, published.name, reader)
            self._open[partition] = opened, stack
            if kept is not None:
                kept[1].close()
            return opened
