"""What an answer, or none, means for a document.

What belongs here: messages checked and turned into documents and members, and the sentences for a person whose document has
no text. What does not: trying again (`pool`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

from dataflow_assets.errors import ReadError
from dataflow_assets.records import ReadDocument
from dataflow_assets.stages.unpack import Member
from dataflow_assets.workers.frames import MalformedMessage
from dataflow_assets.workers.messages import document_from_message, text_in
from dataflow_assets.workers.process import Message, WorkerGone

Outcome: TypeAlias = ReadDocument | ReadError


@dataclass(frozen=True, slots=True)
class Allowed:
    """What one document may take."""

    memory_mb: int
    timeout_seconds: float


def outcome_of(message: Message, allowed: Allowed) -> Outcome:
    """Read the answer about a document; raises MalformedMessage."""
    if message.kind == "document":
        return document_from_message(message.header, message.body)
    return refusal_of(message, allowed)


def member_of(message: Message) -> Member:
    """Read a member of an archive; raises MalformedMessage."""
    header = message.header
    path, media_type, problem = header.get("path"), header.get("media_type"), header.get("problem")
    if not isinstance(path, str) or not isinstance(media_type, str) or not isinstance(problem, str | None):
        raise MalformedMessage("a member is none")
    if (header.get("content") is True) == (problem is not None):
        raise MalformedMessage("a member has both bytes and a problem, or neither")
    return Member(path, message.body if problem is None else None, problem, media_type)


def picture_of(message: Message, pages: Collection[int]) -> tuple[int, bytes | ReadError]:
    """Read the picture of one of these pages, or why there is none; raises MalformedMessage."""
    page, problem = message.header.get("page"), message.header.get("problem")
    if type(page) is not int or page not in pages or not isinstance(problem, str | None):
        raise MalformedMessage("a picture is none")
    if problem is not None:
        return page, ReadError(problem[:4_000])
    if not message.body.startswith(b"\x89PNG\r\n\x1a\n"):
        raise MalformedMessage("a picture is no PNG")
    return page, message.body


def refusal_of(message: Message, allowed: Allowed, doing: str = "Parsing") -> ReadError:
    """Read why there is no answer; raises MalformedMessage."""
    if message.kind == "error":
        return ReadError(text_in(message.header, "reason"))
    if message.kind == "memory":
        return verdict_on(WorkerGone("memory"), allowed, doing)
    raise MalformedMessage(f"an answer of the kind {message.kind[:40]!r}")


def verdict_on(error: WorkerGone | MalformedMessage, allowed: Allowed, doing: str = "Parsing") -> ReadError:
    """Say to a person what became of the worker that a document was given to."""
    cause = error.cause if isinstance(error, WorkerGone) else "malformed"
    if cause == "time":
        return ReadError(
            f"{doing} took more than {allowed.timeout_seconds:g} s and was stopped; raise reading.timeout_seconds, or "
            "exclude the file."
        )
    if cause == "memory":
        return ReadError(
            f"{doing} took more than {allowed.memory_mb:,} MB of memory and was stopped; raise reading.memory_mb, or "
            "exclude the file."
        )
    if cause == "killed":
        return ReadError(
            f"{doing} was ended by the system, which does so where memory runs out. Give the machine more memory, or "
            "exclude the file."
        )
    if cause == "crash":
        how = f" ({error.detail})" if isinstance(error, WorkerGone) and error.detail else ""
        return ReadError(
            f"The parser crashed on it{how}: the file is damaged, or made to break parsers. Convert it, or exclude it."
        )
    return ReadError(
        "The process that parsed it gave no valid answer and was stopped: the file may be made to break parsers. Exclude it."
    )
