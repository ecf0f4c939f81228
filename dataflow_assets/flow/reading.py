"""Reading many documents: simple formats here, foreign parsers in processes of their own.

What belongs here: which of the two, and the windows that keep memory bounded. What does not: formats (`stages.read`) and the
processes (`workers`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataflow_assets.errors import ReadError
from dataflow_assets.flow.library_run import LibraryRun

if TYPE_CHECKING:
    from dataflow_assets.records import ReadDocument
    from dataflow_assets.workers.pool import WorkerPool

_WINDOW_DOCUMENTS = 256
_WINDOW_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Unread:
    """A document before it is read."""

    document_id: str
    source_uri: str
    media_type: str
    content: bytes | None
    failure: str | None = None
    """Why there is no content."""
    row: dict[str, Any] | None = None
    """What the caller wants to know again."""


@dataclass(frozen=True, slots=True)
class Read:
    """What reading gave: a document, or why there is none."""

    unread: Unread
    read: ReadDocument | None
    failure: str | None
    waiting: bool = False
    """Whether pages are left that another run asks about again."""


def read_documents(run: LibraryRun, documents: Iterable[Unread], pool: WorkerPool) -> Iterator[Read]:
    """Read documents, in any order, a window at a time.

    Args:
        run: The run, for its settings.
        documents: What to read.
        pool: Where foreign parsers run.
    """
    window: list[Unread] = []
    size = 0
    for document in documents:
        window.append(document)
        size += len(document.content or b"")
        if len(window) >= _WINDOW_DOCUMENTS or size >= _WINDOW_BYTES:
            yield from _read_window(run, window, pool)
            window, size = [], 0
    yield from _read_window(run, window, pool)


def _read_window(run: LibraryRun, window: list[Unread], pool: WorkerPool) -> Iterator[Read]:
    from dataflow_assets.stages.read import is_trusted, read_document
    from dataflow_assets.workers.pool import ReadTask

    settings, foreign = run.settings.reading, []
    for each in window:
        if each.content is None:
            yield Read(each, None, each.failure)
        elif is_trusted(each.content, source_uri=each.source_uri, media_type=each.media_type, settings=settings):
            try:
                read = read_document(
                    each.content, source_uri=each.source_uri, media_type=each.media_type, settings=settings
                )
            except ReadError as error:
                yield Read(each, None, str(error))
            else:
                yield Read(each, read, None)
        else:
            foreign.append(each)
    if not foreign:
        return
    passwords = run.passwords
    by_key = {each.document_id: each for each in foreign}
    tasks = (
        ReadTask(each.document_id, each.content or b"", each.source_uri, each.media_type, settings, passwords)
        for each in foreign
    )
    for task, result in pool.read_all(tasks):
        if isinstance(result, ReadError):
            yield Read(by_key[task.key], None, str(result))
        else:
            yield Read(by_key[task.key], result, None)
