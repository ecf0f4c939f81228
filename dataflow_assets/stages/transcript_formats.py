"""What the lines of a log mean: Claude Code's, and those of any other log by JMESPath.

What belongs here: turning a JSON value into messages, facts about its conversation, and kinds of things that are not taken.
What does not: bytes and lines (`stages.transcript_lines`), and which conversation a line belongs to
(`stages.transcripts`).

Logs are written by programs that are replaced by newer versions of themselves, and hold much that nobody said: snapshots,
progress, notices. So a value gives messages, or is counted by its kind, or is named as trouble.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from dataflow_assets.stages.transcript_lines import Line, add_message, name_of, shown

_MAX_SHOWN = 200

ASIDES = frozenset(
    """
    system progress file-history-snapshot file-history-delta queue-operation saved_hook_context last-prompt agent-name
    agent-setting agent-color permission-mode mode pr-link tag worktree-state content-replacement attribution-snapshot
    speculation-accept bridge-session atis-latch compact stream_event marble-origami-commit marble-origami-snapshot
    custom-title ai-title attachment started result
    """.split()
)
"""Types of lines that Claude Code writes and nobody said; two of them hold a title, some attachments a prompt."""


class ClaudeCode:
    """What lines of Claude Code's logs mean, those of its list of prompts (`history.jsonl`) too.

    Args:
        content: The parts of messages that are taken: `text`, `thinking`, `tool_use`, `tool_result`, `summary`.
    """

    def __init__(self, content: Collection[str]) -> None:
        self._taken = frozenset(content)
        self._said_before: dict[str, str] = {}

    def __call__(self, value: Any, line: Line) -> None:
        """Add to a line what a JSON value of it says."""
        if not isinstance(value, dict):
            shape = "a list" if isinstance(value, list) else "text" if isinstance(value, str) else "a single value"
            line.tell(f"is {shape}, not an object", shown(json.dumps(value)[:_MAX_SHOWN]))
            return
        line.conversation = name_of(value.get("sessionId", value.get("session_id"))) or line.conversation
        line.id = name_of(value.get("uuid", value.get("id")))
        line.parent = name_of(value.get("parentUuid") or value.get("logicalParentUuid"))
        kind, time = value.get("type"), value.get("timestamp", value.get("ts"))
        facts: dict[str, Any]
        facts = {"cwd": value.get("cwd"), "project": value.get("project"), "git_branch": value.get("gitBranch")}
        if kind == "summary":
            self._summary(value, line, time)
        elif isinstance(kind, str) and kind in ASIDES:
            facts["title"] = value.get("customTitle") or value.get("aiTitle")
            self._aside(kind, value, line, time)
        elif "message" in value:
            facts["model"] = self._message(value, line, time)
        elif isinstance(value.get("display"), str):
            add_message(line, value["display"], "user", time)
            line.kinds += ["pasted text"] * bool(value.get("pastedContents"))
        elif isinstance(value.get("role"), str) and ("content" in value or "text" in value):
            self._parts(value.get("content", value.get("text")), _role_of(value["role"]), line, time)
        elif name_of(kind) is not None:
            line.kinds.append(f"unknown type {name_of(kind)}")
        else:
            line.tell("is no entry of a log: it has no type and no message", shown(_dumped(value)))
        said = {key: name for key, each in facts.items() if (name := name_of(each)) is not None}
        if said != self._said_before:  # most lines say the same, and there are many
            self._said_before = said
        line.facts = self._said_before

    def _summary(self, value: Mapping[str, Any], line: Line, time: Any) -> None:
        summary = value.get("summary")
        line.leaf = name_of(value.get("leafUuid")) or ""
        if not isinstance(summary, str):
            line.tell("is a summary without a text", shown(_dumped(value)))
        elif "summary" in self._taken:
            add_message(line, summary, "summary", time)
        else:
            line.kinds.append("summary")

    def _aside(self, kind: str, value: Mapping[str, Any], line: Line, time: Any) -> None:
        """Count what nobody said; a prompt that waited while the agent worked comes as an attachment."""
        held = value.get("attachment")
        attached = held if kind == "attachment" and isinstance(held, dict) else {}
        if attached.get("type") == "queued_command" and not _is_notice(attached.get("commandMode")):
            self._parts(attached.get("prompt"), "user", line, time)
        else:
            line.kinds.append(kind)

    def _message(self, value: Mapping[str, Any], line: Line, time: Any) -> Any:
        """Add the message of an entry; give the model that wrote it."""
        message = value["message"]
        if not isinstance(message, dict):
            line.tell("has a message that is no object", shown(_dumped(message)))
            return None
        if "content" not in message:
            line.tell("has a message without content", shown(_dumped(message)))
            return None
        role = _role_of(message.get("role") or value.get("type"))
        model = message.get("model")
        if value.get("isApiErrorMessage"):
            line.kinds.append("API error")
        elif value.get("isMeta"):
            line.kinds.append("meta")
        elif isinstance(origin := value.get("origin"), dict) and _is_notice(origin.get("kind")):
            line.kinds.append("task-notification")
        elif value.get("isCompactSummary"):
            if "summary" in self._taken:
                self._parts(message["content"], "summary", line, time)
            else:
                line.kinds.append("summary")
        else:
            # A side chain is a talk between agents: its prompts were written by the one that started it.
            agents = value.get("isSidechain") is True and role == "user"
            self._parts(message["content"], "agent" if agents else role, line, time)
        return None if model == "<synthetic>" else model

    def _parts(self, content: Any, role: str, line: Line, time: Any) -> None:
        """Add messages of what is taken: one for each stretch of parts of one role, as results of tools are the tool's."""
        if content is None or content == []:
            line.kinds.append("empty message")
            return
        stretches: list[tuple[str, list[str]]] = []
        for part in content if isinstance(content, list) else [content]:
            if part is not content and isinstance(part, str):
                line.tell("has a part of a message that is plain text, not an object", shown(part))
            found = self._part(part, role, line)
            if found is not None and stretches and stretches[-1][0] == found[0]:
                stretches[-1][1].append(found[1])
            elif found is not None:
                stretches.append((found[0], [found[1]]))
        for speaker, texts in stretches:
            add_message(line, "\n\n".join(texts), speaker, time)

    def _part(self, part: Any, role: str, line: Line) -> tuple[str, str] | None:
        """Who says a part of a message, and what; None for what is not taken."""
        if isinstance(part, str):
            if part and "text" in self._taken:
                return role, part
            line.kinds.append("text" if part else "empty message")
            return None
        if not isinstance(part, dict):
            line.tell("has a part of a message that is no object", shown(_dumped(part)))
            return None
        kind = name_of(part.get("type")) or "part"
        if kind in ("thinking", "redacted_thinking"):
            taken, speaker, said = "thinking", role, part.get("thinking")
        elif kind.endswith("tool_use"):
            taken, speaker, said = "tool_use", role, _call(part)
        elif kind.endswith("tool_result"):
            taken, speaker, said = "tool_result", "tool", _result(part.get("content"))
        else:
            taken, speaker, said = "text", role, part.get("text")
        if taken not in self._taken or not isinstance(said, str):
            line.kinds.append(kind)
            return None
        if not said:
            line.kinds.append("empty message")
            return None
        return speaker, said


class Fields:
    """What lines of any other log mean.

    Args:
        expressions: JMESPath by name: `text`, and `role`, `time`, `id`, `reply_to`, `conversation` where the log has them.
    """

    def __init__(self, expressions: Mapping[str, str]) -> None:
        import jmespath

        self._find = {name: jmespath.compile(expression).search for name, expression in expressions.items()}

    def __call__(self, value: Any, line: Line) -> None:
        """Add to a line what a JSON value of it says."""
        if not isinstance(value, dict | list):
            line.tell("is a single value, not an object", shown(_dumped(value)))
            return
        found = {name: self._search(name, value, line) for name in self._find}
        line.conversation = name_of(found.get("conversation"))
        line.id, line.parent = name_of(found.get("id")), name_of(found.get("reply_to"))
        text = found["text"]
        if isinstance(text, list) and text and all(isinstance(part, str) for part in text):
            text = "\n\n".join(text)
        elif isinstance(text, int | float) and not isinstance(text, bool):
            text = json.dumps(text)
        if isinstance(text, str):
            add_message(line, text, name_of(found.get("role")) or "unknown", found.get("time"))
        elif text is None or text == []:
            line.kinds.append("line without text")
        else:
            line.tell("has something else than text where `fields.text` points", shown(_dumped(text)))

    def _search(self, name: str, value: Any, line: Line) -> Any:
        from jmespath.exceptions import JMESPathError

        try:
            return self._find[name](value)
        except (JMESPathError, ArithmeticError, TypeError, ValueError, AttributeError) as error:
            line.tell(f"does not go with the expression `fields.{name}`: {shown(str(error))}", "")
            return None


def _is_notice(kind: Any) -> bool:
    """Whether what stands in a person's place was written by a task that ended in the background."""
    return bool(kind == "task-notification")


def _role_of(value: Any) -> str:
    role = name_of(value) or "unknown"
    return "user" if role == "human" else role


def _call(part: Mapping[str, Any]) -> str:
    """A call of a tool, as a person reads it: its name and what it is given."""
    given = json.dumps(part.get("input"), ensure_ascii=False, indent=2)
    return f"{name_of(part.get('name')) or 'A tool'}:\n\n{_fenced(given, 'json')}"


def _fenced(text: str, language: str) -> str:
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _result(content: Any) -> str | None:
    """The text of a tool's result."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return "\n\n".join(texts) if texts else None


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:_MAX_SHOWN]
