"""Logs of conversations, and the form in which one conversation is a document.

What belongs here: which line belongs to which conversation, what answers what, and the bytes that stand for a conversation,
written and read. What does not: what a line says (`stages.transcript_lines`, `stages.transcript_formats`), and text with
its sections (`stages.readers.transcript`).

A conversation is stored as JSON Lines. The first line is its header, `{"conversation", "title", "metadata"}`;
then come its messages in the order of the log, `{"text", "role", "time", "id", "reply_to"}` without what is not known; then
what could not be read, `{"line", "says", "value"}`. Several conversations are these forms one behind the other. The same
log gives the same bytes on every machine, so what did not change is not read again.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote

from dataflow_assets.errors import ReadError
from dataflow_assets.records import text_hash
from dataflow_assets.stages.transcript_lines import Interpreter, Line, Said, lines_of

FORM_VERSION = 1
"""Part of the items' fingerprints: raised when the same log may give other bytes, so that it is fetched again."""

ONE = "application/vnd.dataflow.transcript+jsonl"
"""Media type of one conversation."""
SEVERAL = "application/vnd.dataflow.transcripts+jsonl"
"""Media type of several in one file; `split` takes them apart."""

MAX_LINES = 250_000
_MAX_TROUBLES = 1_000
"""Lines of one conversation that are named one by one; the others are counted."""
_MAX_KINDS = 50
_HEADER = b'{"conversation":'
_TITLE = 80
_NOT_A_TITLE = re.compile(r"\s*(?:<[a-z][a-z-]*>|Caveat:|\[Request interrupted)")
"""What Claude Code puts into a person's mouth: commands, their output, notices."""
_AWKWARD = re.compile("[\x00-\x20/%\\\\\x7f-\xa0\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Trouble(NamedTuple):
    """A line that could not be read, or not whole."""

    line: int
    """From 1; 0 where it is about the whole log."""
    says: str
    """A sentence."""
    value: str
    """What stands there, shortened."""


@dataclass(slots=True)
class Conversation:
    """One conversation of a log."""

    name: str = ""
    """What the log calls it; empty where it has no name."""
    title: str | None = None
    messages: list[Said] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)


def conversations(content: bytes, interpret: Interpreter, *, by_name: bool = False) -> list[Conversation]:
    """Find the conversations of a log.

    A line without a conversation of its own belongs to the one before it, else to the first one. What is not said by
    anybody makes no conversation; so a log has at least one, which may have no messages.

    Args:
        content: The log's bytes.
        interpret: What a line means: `transcript_formats.ClaudeCode` or `Fields`.
        by_name: Whether lines without a name are a conversation of their own, since the log names them line by line.

    Raises:
        ReadError: The log has too many lines.
    """
    lines: list[Line] = []
    for line in lines_of(content, interpret):
        lines.append(line)
        if len(lines) > MAX_LINES:
            raise ReadError(f"The log has more than {MAX_LINES:,} lines; split it into several files.")
    _link(lines)
    grouped = _grouped(lines, by_name)
    return [_conversation(name, members) for name, members in grouped.items()] or [Conversation()]


def _grouped(lines: Sequence[Line], by_name: bool) -> dict[str, list[Line]]:
    """Give each line to a conversation; conversations in the order in which they begin."""
    speaking = [line for line in lines if line.messages and line.leaf is None]
    home = {line.id: line.conversation for line in speaking if line.id and line.conversation}
    named = dict.fromkeys((line.conversation or "") for line in speaking if by_name or line.conversation)
    current = next(iter(named), "")
    grouped: dict[str, list[Line]] = {name: [] for name in named}
    for line in lines:
        own = line.conversation
        if own is None and line.leaf:
            own = home.get(line.leaf)
        if own is None and by_name and line.messages:
            own = ""
        if own is not None and own in grouped:
            current = own
        grouped.setdefault(current, []).append(line)
    return grouped


def _link(lines: Sequence[Line]) -> None:
    """Let messages answer messages: an answer to a line that gave none answers what that line answered."""
    parents = {line.id: line.parent for line in reversed(lines) if line.id}
    speaking = {line.id for line in lines if line.messages and line.id}
    for line in lines:
        for message in line.messages:
            passed = []
            answered = message.reply_to
            while answered is not None and answered not in speaking:
                passed.append(answered)
                answered = parents.get(answered)
                if len(passed) > len(lines):
                    answered = None  # they follow each other in a circle
            for each in passed:
                parents[each] = answered
            message.reply_to = None if answered == message.id else answered


def _conversation(name: str, lines: Sequence[Line]) -> Conversation:
    made = Conversation(name)
    kinds: Counter[str] = Counter()
    first_of_kind: dict[str, int] = {}
    seen: set[tuple[str | None, ...]] = set()
    facts: dict[str, str] = {}
    models: dict[str, None] = {}
    summaries: list[tuple[bool, str]] = []
    ids = {line.id for line in lines}
    unread = 0
    for line in lines:
        for kind in line.kinds:
            kind = kind if kind in kinds or len(kinds) < _MAX_KINDS else "others"
            kinds[kind] += 1
            first_of_kind.setdefault(kind, line.number)
        for message in line.messages:
            said = (message.id, message.role, message.time, text_hash(message.text))
            if message.id is not None and said in seen:
                kinds["duplicate"] += 1  # a resumed session repeats what was said before
                continue
            seen.add(said)
            made.messages.append(message)
            if line.leaf is not None:
                summaries.append((line.leaf in ids, message.text))
        unread += bool(line.trouble)
        for says, value in line.trouble:
            if len(made.troubles) < _MAX_TROUBLES:
                made.troubles.append(Trouble(line.number, f"Line {line.number} {says}.", value))
        for name_of_fact, fact in line.facts.items():
            if name_of_fact == "model":
                models[fact] = None
            elif name_of_fact == "title":
                facts["title"] = fact
            else:
                facts.setdefault(name_of_fact, fact)
    if sum(len(line.trouble) for line in lines) > _MAX_TROUBLES:
        made.troubles.append(
            Trouble(0, f"In all {unread:,} lines cannot be read whole; the others are not named one by one.", "")
        )
    for kind, first in first_of_kind.items():
        if kind.startswith("unknown type "):
            made.troubles.append(
                Trouble(first, f"Lines of the {kind} are not taken: {kinds[kind]:,}, the first is line {first}.", kind)
            )
    made.title = facts.pop("title", None) or _title(made.messages, summaries)
    times = sorted((at, said) for said in {m.time for m in made.messages} if said and (at := _moment(said)))
    made.metadata = {
        **facts,
        "participants": sorted({message.role for message in made.messages})[:100],
        "messages": len(made.messages),
        **({"conversation": name} if name else {}),
        **({"models": list(models)[:20]} if models else {}),
        **({"started_at": times[0][1], "ended_at": times[-1][1], "date": times[0][0].isoformat()} if times else {}),
        **({"not_taken": dict(sorted(kinds.items()))} if kinds else {}),
        **({"lines_with_findings": unread} if unread else {}),
    }
    return made


def _title(messages: Sequence[Said], summaries: Sequence[tuple[bool, str]]) -> str | None:
    """The last summary of this conversation, else any, else how the first person begins."""
    own = [summary for here, summary in summaries if here]
    people = [message.text for message in messages if message.role == "user"] or [message.text for message in messages]
    for said in (*own[-1:], *(summary for _, summary in summaries[:1]), *people):
        if said.strip() and not _NOT_A_TITLE.match(said):
            line = said.lstrip()[: 4 * _TITLE].splitlines()[0].strip()
            return line if len(line) <= _TITLE else line[:_TITLE].rsplit(None, 1)[0] + " …"
    return None


def _moment(said: str) -> dt.datetime | None:
    """A time to compare by; one without a zone is taken as UTC."""
    try:
        at = dt.datetime.fromisoformat(said)
        return at.astimezone(dt.UTC) if at.tzinfo else at.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        return None


def written(found: Iterable[Conversation]) -> bytes:
    """Write conversations in the form that the charter describes."""
    said = []
    for conversation in found:
        said.append(
            _line(conversation=conversation.name, title=conversation.title, metadata=conversation.metadata or None)
        )
        said += [
            _line(text=message.text, role=message.role, time=message.time, id=message.id, reply_to=message.reply_to)
            for message in conversation.messages
        ]
        said += [_line(**trouble._asdict()) for trouble in conversation.troubles]
    return b"".join(said)


def _line(**values: Any) -> bytes:
    known = {key: value for key, value in values.items() if value is not None}
    return json.dumps(known, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def split(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Take several conversations apart.

    Args:
        content: Bytes of the media type `SEVERAL`.

    Returns:
        For each a name that no other has, fit to be the last part of a path, and its bytes, of the media type `ONE`.

    Raises:
        ReadError: The bytes have another form.
    """
    if not content.startswith(_HEADER):
        raise ReadError("The content is damaged: it does not begin with the header of a conversation.")
    start = 0
    while start < len(content):
        following = content.find(b"\n" + _HEADER, start)
        end = len(content) if following < 0 else following + 1
        header = _object(content[start : content.find(b"\n", start, end) + 1 or end])
        yield part_name(str(header.get("conversation", ""))), content[start:end]
        start = end


def part_name(conversation: str) -> str:
    """Write a conversation's name so that it can be the last part of a path; different names stay different."""
    if not conversation:
        return "_"
    plain = _AWKWARD.sub(lambda match: quote(match[0], safe=""), conversation)
    if plain in (".", "..", "_"):
        return f"%{ord(plain[0]):02X}{plain[1:]}"
    return plain if len(plain) <= 150 else f"{plain[:100]}-{text_hash(conversation)[:16]}"


def read(content: bytes) -> Conversation:
    """Read what `written` wrote of one conversation.

    Raises:
        ReadError: The bytes have another form.
    """
    if not content.startswith(_HEADER):
        raise ReadError("The content is damaged: it does not begin with the header of a conversation.")
    made: Conversation | None = None
    for match in re.finditer(rb"[^\n]+", content):
        value = _object(match[0])
        if made is None:
            metadata = value.get("metadata")
            made = Conversation(
                name=_text(value, "conversation") or "",
                title=_text(value, "title"),
                metadata=metadata if isinstance(metadata, dict) else {},
            )
        elif "text" in value:
            made.messages.append(
                Said(
                    _text(value, "text") or "",
                    _text(value, "role") or "unknown",
                    _text(value, "time"),
                    _text(value, "id"),
                    _text(value, "reply_to"),
                )
            )
        elif isinstance(value.get("line"), int):
            made.troubles.append(Trouble(value["line"], _text(value, "says") or "", _text(value, "value") or ""))
        else:
            raise ReadError("The content is damaged: a line of the conversation is neither a message nor a finding.")
    return made or Conversation()


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ReadError("The content is damaged: a line of the conversation is no JSON.") from error
    if not isinstance(value, dict):
        raise ReadError("The content is damaged: a line of the conversation is no object.")
    return value


def _text(value: Mapping[str, Any], key: str) -> str | None:
    said = value.get(key)
    if said is not None and not isinstance(said, str):
        raise ReadError(f"The content is damaged: {key} of a line of the conversation is no text.")
    return said
