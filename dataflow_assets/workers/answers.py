"""What a worker answers: the stages called, and what they gave or raised as messages.

What belongs here: from a message to a call of a stage and back. What does not: pipes and limits (`child`, `confinement`).
It is imported once the worker is confined, and brings the stages with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from dataflow_assets.errors import DataflowError, ReadError
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.source_settings import ArchiveSettings
from dataflow_assets.stages.read import read_document
from dataflow_assets.stages.readers.front_matter import json_value
from dataflow_assets.workers.frames import MAX_HEADER, MAX_TEXT, pack
from dataflow_assets.workers.messages import document_to_message


def ready() -> bytes:
    """Say that questions are welcome."""
    return pack({"kind": "ready"})


def answer(header: Mapping[str, Any], body: bytes) -> Iterator[bytes]:
    """Do what a message asks, and give the answer in parts.

    Raises:
        MemoryError: There was not enough; no message is left half said.
    """
    try:
        if header["do"] == "read":
            yield from _read(header, body)
        elif header["do"] == "images":
            yield from _images(header, body)
        else:
            yield from _unpack(header)
    except DataflowError as error:
        if "MemoryError" in str(error):  # readers are tried one after the other; this stands among their reasons
            raise MemoryError from error
        yield _error(str(error))
    except MemoryError:
        raise
    except Exception as error:
        yield _error(f"Reading it failed: {type(error).__name__}: {str(error)[:200]}.")


def _error(reason: str) -> bytes:
    return pack({"kind": "error", "reason": reason[:4_000]})


@lru_cache(maxsize=16)
def _reading_settings(said: str) -> ReadingSettings:
    return ReadingSettings.model_validate_json(said)


def _read(header: Mapping[str, Any], body: bytes) -> Iterator[bytes]:
    document = read_document(
        body,
        source_uri=header["source_uri"],
        media_type=header["media_type"],
        settings=_reading_settings(header["settings"]),
        passwords=header["passwords"],
    )
    said, text = document_to_message(document)
    try:
        head = pack({"kind": "document", **said}, len(text))
    except (TypeError, ValueError, RecursionError):
        head = pack({"kind": "document", **said, "metadata": json_value(said["metadata"])}, len(text))
    if len(text) > MAX_TEXT or len(head) > MAX_HEADER:
        raise ReadError(f"Its text would have more than {MAX_TEXT:,} bytes. Split the document, or exclude it.")
    yield head
    yield text


def _images(header: Mapping[str, Any], body: bytes) -> Iterator[bytes]:
    from dataflow_assets.stages.readers.page_images import FOR_EYES, page_images

    left = list(header["pages"])
    while left:
        try:
            for number, png in page_images(body, header["media_type"], left, header["passwords"], limits=FOR_EYES):
                left = left[left.index(number) + 1 :]
                yield pack({"kind": "picture", "page": number, "problem": None}, len(png))
                yield png
            break
        except ReadError as error:  # of one page; those after it may be drawn
            yield pack({"kind": "picture", "page": left[0], "problem": str(error)[:4_000]})
            left = left[1:]
    yield pack({"kind": "end"})


def _unpack(header: Mapping[str, Any]) -> Iterator[bytes]:
    from dataflow_assets.stages.unpack import unpack

    with Path(header["path"]).open("rb") as file:
        for member in unpack(
            file,
            name=header["name"],
            media_type=header["media_type"],
            settings=ArchiveSettings.model_validate(json.loads(header["settings"])),
            max_member_bytes=header["max_member_bytes"],
            passwords=header["passwords"],
        ):
            content = member.content
            said = {"kind": "member", "path": member.path, "problem": member.problem, "media_type": member.media_type}
            yield pack({**said, "content": content is not None}, len(content or b""))
            if content:
                yield content
    yield pack({"kind": "end"})
