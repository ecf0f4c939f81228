"""From items that a source gives to the documents in them: most are one, an archive or a mail holds several.

What belongs here: deciding that an item is a container, having it unpacked in a process of its own, and the ids, addresses
and fingerprints of what comes out. What does not: formats (`stages.unpack`), and what becomes of the documents (`ingest`).

A member's id begins with the 32 bits of its item's, so that all members of one archive lie in the item's bucket.
"""

from __future__ import annotations

import json
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

_TRANSCRIPTS = "application/vnd.dataflow.transcripts+jsonl"
_MAILS = ("message/rfc822", "application/vnd.ms-outlook")
CONTAINER_TYPES = (
    "application/zip", "application/gzip", "application/x-bzip2", "application/x-xz", "application/x-lzma", "application/zstd",
    "application/x-tar", "application/x-7z-compressed", *_MAILS,
)  # fmt: skip
"""Media types of containers: a row of one without a stamp was made before they were opened."""


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
    of_members = [getattr(source, name) for name in ("include", "exclude")] if source.type == "archive" else []
    return fingerprint_of(OPENING_VERSION, source.archives, source.max_bytes, *of_members)[:8]


def refusal_stamp_of(run: LibraryRun) -> str:
    """Hash what may turn a refusal into a document; stands behind the fingerprints of items that were refused.

    Without it a larger `max_bytes`, or a password that is named at last, would change nothing for an item that does not
    change itself.
    """
    passwords = (run.settings.reading.passwords, getattr(run.settings.source, "password", None))
    return fingerprint_of("refused", stamp_of(run), *passwords)[:8]


def listed_row(library: str, item: Item) -> dict[str, Any]:
    """Give the row of the listing that tells of an item; `item_of` reads it.

    What a person reads is made valid Unicode. The key, which a source must know again, is kept exactly, as JSON. An item's
    problem is a part of its version: one that heals is fetched, though nothing else about it changed.
    """
    fingerprint = item.fingerprint
    if item.problem is not None:
        fingerprint = f"{fingerprint or ''}!{fingerprint_of(item.problem)[:8]}"
    return {
        "document_id": identity(library, item.path_key),
        "uri": _valid(item.uri),
        "path_key": json.dumps(item.path_key),
        "media_type": _valid(item.media_type),
        "size_bytes": item.size_bytes,
        "fingerprint": _valid(fingerprint),
        "problem": _valid(item.problem),
        "gone": item.gone,
        "listed_fingerprint": None if item.fingerprint is None else json.dumps(item.fingerprint),
    }


def _valid(text: str | None) -> str | None:
    return None if text is None else text.replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode("utf-8")


def item_of(row: dict[str, Any]) -> Item:
    """Give back the item that a row of the listing tells of."""
    from dataflow_assets.sources.base import Item

    return Item(
        uri=row["uri"],
        path_key=json.loads(row["path_key"]),
        media_type=row["media_type"],
        size_bytes=row["size_bytes"],
        fingerprint=None if row["listed_fingerprint"] is None else json.loads(row["listed_fingerprint"]),
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
            item = item_of(row)
            fetching[item.path_key] = row
            yield item

    def turned_away() -> Iterator[tuple[dict[str, Any], Iterator[Part]]]:
        while refused:
            row = refused.pop()
            yield row, iter([refusal(run, row, row["problem"])])

    for item, result in run.source.fetch_all(wanted()):
        yield from turned_away()
        row = fetching.pop(item.path_key)
        if isinstance(result, ItemRefused):
            yield row, iter([refusal(run, row, str(result))])
        elif isinstance(result, Exception):
            # Also a source that cannot be reached any more: that says nothing about the item.
            yield row, result if isinstance(result, FetchFailed) else FetchFailed(str(result))
        else:
            yield row, _parts(run, row, result, pool)
    yield from turned_away()
    for row in fetching.values():
        yield row, FetchFailed(f"The source gave nothing for {row['uri']}. The next run asks again.")


def whole(row: dict[str, Any], content: bytes | None, *, error: str | None = None, stamp: str = "") -> Part:
    """Give an item as the one document that it is."""
    return Part(row["document_id"], row["uri"], row["media_type"], _stamped(row, stamp), content, error)


def refusal(run: LibraryRun, row: dict[str, Any], reason: str) -> Part:
    """Give an item that cannot be had as it is: one document that says why."""
    return whole(row, None, error=reason, stamp=refusal_stamp_of(run))


def _stamped(row: dict[str, Any], stamp: str) -> str | None:
    fingerprint: str | None = row["fingerprint"]
    return f"{fingerprint}+{stamp}" if fingerprint is not None and stamp else fingerprint


def _parts(run: LibraryRun, row: dict[str, Any], fetched: Fetched, pool: WorkerPool) -> Iterator[Part]:
    from dataflow_assets.stages.readers.sniff import sniff
    from dataflow_assets.stages.unpack import HEAD_BYTES, is_container

    content = fetched.content
    # Stamped are also documents whose media type is not the listing's: the listing will tell that one again.
    renamed = fetched.media_type not in (None, row["media_type"])
    stamp = stamp_of(run)
    if fetched.media_type is not None:
        row = {**row, "media_type": fetched.media_type}
    if isinstance(content, Path):
        with content.open("rb") as file:
            head = file.read(HEAD_BYTES)
    else:
        head = content[:HEAD_BYTES]
    if not is_container(head, row["uri"], row["media_type"]):
        yield _one(run, row, content, stamp if renamed or row["media_type"] in CONTAINER_TYPES else "")
        return
    if not run.settings.source.archives.open and row["media_type"] != _TRANSCRIPTS:
        if sniff(head, row["media_type"]) in _MAILS:
            yield _one(run, row, content, stamp)
            return
        yield refusal(
            run, row, f"{row['uri']} is an archive, and the library's source.archives.open is false: it is not opened."
        )
        return
    yield from _members(run, row, content, stamp, pool)


def _one(run: LibraryRun, row: dict[str, Any], content: bytes | Path, stamp: str) -> Part:
    if isinstance(content, Path):
        size, most = content.stat().st_size, run.settings.source.max_bytes
        if size > most:
            return refusal(
                run, row, f"{row['uri']} has {size:,} bytes, more than the {most:,} that source.max_bytes allows."
            )
        content = content.read_bytes()
    return whole(row, content, stamp=stamp)


def _members(
    run: LibraryRun, row: dict[str, Any], content: bytes | Path, stamp: str, pool: WorkerPool
) -> Iterator[Part]:
    """Unpack a container. What came before an error is void: whoever takes the parts throws it away."""
    path = content
    if not isinstance(path, Path):
        path = run.spool / "container"
        path.write_bytes(content if isinstance(content, bytes) else b"")
    source, found, taken = run.settings.source, False, False
    key = json.loads(row["path_key"])
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
            taken = True
            if not member.path:  # a mail is a document beside its attachments
                media_type = member.media_type or row["media_type"]
                yield Part(row["document_id"], row["uri"], media_type, _stamped(row, stamp), member.content)
                continue
            yield Part(
                document_id=row["document_id"][:8] + identity(run.library, key, "!", member.path)[8:],
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
    if not taken:
        raise ItemRefused(f"{row['uri']} is an archive with no member that the source's include and exclude take.")
