"""From items that a source gives to the documents in them: most are one, an archive or a mail holds several.

What belongs here: deciding that an item is a container, having it unpacked in a process of its own, and the ids, addresses
and fingerprints of what comes out. What does not: formats (`stages.unpack`), and what becomes of the documents (`ingest`).

A member's id begins with the 32 bits of its item's, so that all members of one archive lie in the item's bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow_assets.errors import FetchFailed, ItemRefused, ReadError
from dataflow_assets.records import identity
from dataflow_assets.settings import fingerprint_of

if TYPE_CHECKING:
    from dataflow_assets.flow.library_run import LibraryRun
    from dataflow_assets.sources.base import Fetched, Item
    from dataflow_assets.workers.pool import WorkerPool

OPENING_VERSION = 1
"""Part of every container's fingerprint: another number opens them all again."""

ARCHIVE_TYPES = (
    "application/zip", "application/gzip", "application/x-bzip2", "application/x-xz", "application/x-lzma", "application/zstd",
    "application/x-tar", "application/x-7z-compressed",
)  # fmt: skip
"""Media types that no reader reads: a row of one was made before archives were opened."""

_TRANSCRIPTS = "application/vnd.dataflow.transcripts+jsonl"
_MAILS = ("message/rfc822", "application/vnd.ms-outlook")


@dataclass(frozen=True, slots=True)
class Part:
    """One document of an item: all of it, or a member."""

    document_id: str
    uri: str
    media_type: str
    fingerprint: str | None
    content: bytes | None
    error: str | None = None


def stamp_of(run: LibraryRun) -> str:
    """Hash what decides how containers are opened; stands behind their items' fingerprints."""
    source = run.settings.source
    return fingerprint_of(OPENING_VERSION, source.archives, source.max_bytes)[:8]


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


def open_items(
    run: LibraryRun, rows: Iterator[dict[str, Any]], pool: WorkerPool
) -> Iterator[tuple[dict[str, Any], Iterator[Part] | FetchFailed]]:
    """Fetch items and open what they are.

    Args:
        run: The run.
        rows: Rows of the listing; taken as fast as the source fetches.
        pool: Where containers are unpacked.

    Yields:
        The row with its parts, to be taken before the next one is asked for; or with what kept it from being fetched now.
    """
    fetching: dict[str, dict[str, Any]] = {}
    refused: list[dict[str, Any]] = []

    def wanted() -> Iterator[Item]:
        for row in rows:
            if row["problem"] is not None:
                refused.append(row)
                continue
            fetching[row["path_key"]] = row
            yield item_of(row)

    for item, result in run.source.fetch_all(wanted()):
        while refused:
            row = refused.pop()
            yield row, iter([whole(row, None, error=row["problem"])])
        row = fetching.pop(item.path_key)
        if isinstance(result, FetchFailed):
            yield row, result
        elif isinstance(result, Exception):
            yield row, iter([whole(row, None, error=str(result))])
        else:
            yield row, _parts(run, row, result, pool)
    while refused:
        row = refused.pop()
        yield row, iter([whole(row, None, error=row["problem"])])


def whole(row: dict[str, Any], content: bytes | None, *, error: str | None = None, stamp: str = "") -> Part:
    """Give an item as the one document that it is."""
    return Part(row["document_id"], row["uri"], row["media_type"], _stamped(row, stamp), content, error)


def _stamped(row: dict[str, Any], stamp: str) -> str | None:
    fingerprint: str | None = row["fingerprint"]
    return f"{fingerprint}+{stamp}" if fingerprint is not None and stamp else fingerprint


def _parts(run: LibraryRun, row: dict[str, Any], fetched: Fetched, pool: WorkerPool) -> Iterator[Part]:
    from dataflow_assets.stages.readers.sniff import sniff
    from dataflow_assets.stages.unpack import HEAD_BYTES, is_container

    if fetched.media_type is not None:
        row = {**row, "media_type": fetched.media_type}
    content = fetched.content
    if isinstance(content, Path):
        with content.open("rb") as file:
            head = file.read(HEAD_BYTES)
    else:
        head = content[:HEAD_BYTES]
    if not is_container(head, row["uri"], row["media_type"]):
        yield _one(run, row, content)
        return
    stamp = stamp_of(run)
    if not run.settings.source.archives.open and row["media_type"] != _TRANSCRIPTS:
        if sniff(head, row["media_type"]) in _MAILS:
            yield _one(run, row, content)
            return
        reason = f"{row['uri']} is an archive, and the library's source.archives.open is false: it is not opened."
        yield whole(row, None, error=reason, stamp=stamp)
        return
    yield from _members(run, row, content, stamp, pool)


def _one(run: LibraryRun, row: dict[str, Any], content: bytes | Path) -> Part:
    if isinstance(content, Path):
        size, most = content.stat().st_size, run.settings.source.max_bytes
        if size > most:
            return whole(
                row,
                None,
                error=f"{row['uri']} has {size:,} bytes, more than the {most:,} that source.max_bytes allows.",
            )
        content = content.read_bytes()
    return whole(row, content)


def _members(
    run: LibraryRun, row: dict[str, Any], content: bytes | Path, stamp: str, pool: WorkerPool
) -> Iterator[Part]:
    """Unpack a container. What came before an error is void: whoever takes the parts throws it away."""
    path = content
    if not isinstance(path, Path):
        path = run.spool / "container"
        path.write_bytes(content if isinstance(content, bytes) else b"")
    source, found = run.settings.source, False
    try:
        for member in pool.unpack(
            path,
            name=row["uri"],
            media_type=row["media_type"],
            settings=source.archives,
            max_member_bytes=source.max_bytes,
            passwords=(*run.source.passwords, *run.passwords),
        ):
            found = True
            if member.path and not run.source.takes_member(member.path):
                continue
            if not member.path:  # a mail is a document beside its attachments
                media_type = member.media_type or row["media_type"]
                yield Part(row["document_id"], row["uri"], media_type, _stamped(row, stamp), member.content)
                continue
            yield Part(
                document_id=row["document_id"][:8] + identity(run.library, row["path_key"], "!", member.path)[8:],
                uri=f"{row['uri']}!/{member.path}",
                media_type=member.media_type,
                fingerprint=_stamped(row, stamp),
                content=member.content,
                error=member.problem,
            )
    except ReadError as error:
        raise ItemRefused(str(error)) from error
    finally:
        if path is not content:
            path.unlink(missing_ok=True)
    if not found:
        raise ItemRefused(f"{row['uri']} is an archive that holds no documents: it is empty.")
