"""Every line of a log is a message, is knowingly none, or is named with its number."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import ReadError
from dataflow_assets.stages import transcripts
from dataflow_assets.stages.transcript_formats import ClaudeCode, Fields
from dataflow_assets.stages.transcript_lines import time_of
from dataflow_assets.stages.transcripts import Conversation, conversations, part_name, read, split, written

ALL = ("text", "thinking", "tool_use", "tool_result", "summary")


def entry(
    text: Any, uuid: str | None = None, parent: str | None = None, role: str = "user", **more: Any
) -> dict[str, Any]:
    message = {"role": role, "content": text}
    return {"type": role, "uuid": uuid, "parentUuid": parent, "sessionId": "s", "message": message, **more}


def log(*lines: Any) -> bytes:
    return b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )  # fmt: skip


def claude(*lines: Any, content: tuple[str, ...] = ("text", "summary")) -> list[Conversation]:
    return conversations(log(*lines), ClaudeCode(content))


def one(*lines: Any, content: tuple[str, ...] = ("text", "summary")) -> Conversation:
    (found,) = claude(*lines, content=content)
    return found


def texts(conversation: Conversation) -> list[str]:
    return [message.text for message in conversation.messages]


def lines_named(conversation: Conversation) -> list[int]:
    return [trouble.line for trouble in conversation.troubles]


def test_messages_keep_their_text_to_the_character() -> None:
    said = ["  two spaces\tand a tab ", "a\r\nb\n\n\nc", "\x00 NUL", "日本語 🎉 \u2028", " "]
    found = one(*(entry(text, str(number)) for number, text in enumerate(said)))
    assert texts(found) == said
    assert found.troubles == []


def test_role_time_and_answer_come_from_the_entry() -> None:
    found = one(
        entry("Hi", "a", timestamp="2025-06-14T10:00:00.000Z"),
        entry([{"type": "text", "text": "Hello"}], "b", "a", "assistant", timestamp="2025-06-14T12:00:01+02:00"),
    )
    first, second = found.messages
    assert (first.role, first.time, first.id, first.reply_to) == ("user", "2025-06-14T10:00:00.000Z", "a", None)
    assert (second.role, second.time, second.reply_to) == ("assistant", "2025-06-14T12:00:01+02:00", "a")
    assert found.metadata["participants"] == ["assistant", "user"]
    assert (found.metadata["started_at"], found.metadata["ended_at"]) == (first.time, second.time)


def test_what_is_not_taken_is_counted_by_kind_and_passed_by_answers() -> None:
    lines = [
        entry("Please list.", "a"),
        entry([{"type": "thinking", "thinking": "Hm."}], "b", "a", "assistant"),
        entry([{"type": "tool_use", "name": "Bash", "input": {"command": "ls"}}], "c", "b", "assistant"),
        entry([{"type": "tool_result", "content": [{"type": "text", "text": "one.txt"}]}], "d", "c"),
        entry([{"type": "image", "source": {}}, {"type": "text", "text": "One file."}], "e", "d", "assistant"),
        {"type": "file-history-snapshot", "snapshot": {}},
        {"type": "system", "subtype": "api_error", "content": "Overloaded"},
        entry("<system-reminder>", "f", isMeta=True),
        entry("API Error: 529", "g", "e", "assistant", isApiErrorMessage=True),
    ]
    found = one(*lines)
    assert texts(found) == ["Please list.", "One file."]
    assert found.messages[1].reply_to == "a"
    assert found.metadata["not_taken"] == {
        "API error": 1, "file-history-snapshot": 1, "image": 1, "meta": 1, "system": 1, "thinking": 1, "tool_result": 1,
        "tool_use": 1,
    }  # fmt: skip
    assert found.troubles == []
    everything = one(*lines, content=ALL)
    assert [(message.role, message.text) for message in everything.messages] == [
        ("user", "Please list."),
        ("assistant", "Hm."),
        ("assistant", 'Bash:\n\n```json\n{\n  "command": "ls"\n}\n```'),
        ("tool", "one.txt"),
        ("assistant", "One file."),
    ]


@pytest.mark.parametrize("content", [None, "", [], [""], [{"type": "text", "text": ""}]])
def test_a_message_that_says_nothing_is_counted(content: Any) -> None:
    found = one(entry(content, "a"), entry("text", "b", "a"))
    assert texts(found) == ["text"]
    assert found.metadata["not_taken"] == {"empty message": 1}


def test_what_a_person_adds_to_a_result_is_the_persons() -> None:
    content = [
        {"type": "tool_result", "content": "Refused"},
        {"type": "text", "text": "Do it"},
        {"type": "text", "text": "otherwise"},
    ]
    found = one(entry(content, "a"), content=ALL)
    assert [(message.role, message.text) for message in found.messages] == [
        ("tool", "Refused"),
        ("user", "Do it\n\notherwise"),
    ]


def test_prompts_of_agents_and_summaries_are_not_peoples() -> None:
    found = one(
        entry("Go and look.", "a", isSidechain=True),
        entry("This session continues ...", "b", isCompactSummary=True),
        {"type": "attachment", "attachment": {"type": "queued_command", "prompt": "Wait."}},
        {
            "type": "attachment",
            "attachment": {"type": "queued_command", "prompt": "Done.", "commandMode": "task-notification"},
        },
        entry("<task-notification>", "c", origin={"kind": "task-notification"}),
        {"type": "summary", "summary": "Looking", "leafUuid": "b"},
    )
    assert found.metadata["not_taken"] == {"attachment": 1, "task-notification": 1}
    assert [message.role for message in found.messages] == ["agent", "summary", "user", "summary"]
    assert found.title == "Looking"


def test_bad_lines_are_named_and_the_others_stand() -> None:
    found = one(
        b"\xef\xbb\xbf" + log(entry("first", "a")).strip(),
        b"this is no JSON",
        b"",
        b'{"type": "user", "message": {"content": "cut',
        b"[1, 2]",
        b"null",
        b"42",
        {"silly": "this"},
        b"\xef\xbb\xbf" + log(entry("second", "b", "a")).strip(),
        {"type": "user", "message": "a text"},
        {"type": "user", "message": {"role": "user"}},
        entry(["loose"], "c"),
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"type": "user", "message": {"content": "latin \xe9"}}',
        entry("half \ud83d", "d"),
        b"\0\0\0" + log(entry("last", "e")).strip(),
        b'{"type": "user", "mess',
    )
    assert texts(found) == ["first", "second", "loose", "latin \ufffd", "half \ufffd", "last"]
    assert lines_named(found) == [2, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18]
    assert all(
        trouble.says.startswith(f"Line {trouble.line} ") and trouble.says.endswith(".") for trouble in found.troubles
    )
    assert "is cut off" in found.troubles[1].says
    assert found.metadata["lines_with_findings"] == 15


def test_an_entry_behind_a_cut_one_is_saved() -> None:
    whole = json.dumps(entry([{"type": "text", "text": "after the crash"}], "b"))
    found = one(
        entry("before", "a"), b'{"type":"user","message":{"content":[{"type":"text","text":"lo' + whole.encode()
    )
    assert texts(found) == ["before", "after the crash"]
    assert lines_named(found) == [2]


def test_two_entries_on_a_line_are_two() -> None:
    both = log(entry("one", "a")).strip() + log(entry("two", "b")).strip()
    assert texts(one(both)) == ["one", "two"]


def test_entries_of_unknown_types_are_one_finding_a_type() -> None:
    found = one(entry("hello", "a"), *({"type": "telemetry", "n": n} for n in range(50)))
    assert [(trouble.line, "50" in trouble.says, "telemetry" in trouble.says) for trouble in found.troubles] == [
        (2, True, True)
    ]
    assert found.metadata["not_taken"] == {"unknown type telemetry": 50}


def test_many_bad_lines_are_counted() -> None:
    found = one(*[b"bad"] * 1_500)
    assert lines_named(found)[:1_000] == list(range(1, 1_001))
    assert "1,500" in found.troubles[-1].says
    assert len(found.troubles) == 1_001


@pytest.mark.parametrize("content", [b"", b"\n\n  \n", b"\xef\xbb\xbf"])
def test_an_empty_log_is_a_conversation_without_messages(content: bytes) -> None:
    (found,) = conversations(content, ClaudeCode(ALL))
    assert (found.messages, found.troubles, found.title) == ([], [], None)


def test_a_log_in_utf_16_is_read() -> None:
    content = log(entry("naïve ☕", "a")).decode().encode("utf-16")
    (found,) = conversations(content, ClaudeCode(ALL))
    assert texts(found) == ["naïve ☕"]


def test_too_many_lines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcripts, "MAX_LINES", 3)
    assert len(one(*[entry("x", None)] * 3).messages) == 3
    with pytest.raises(ReadError, match="more than 3 lines"):
        one(*[entry("x", None)] * 4)


def test_what_a_resumed_session_repeats_is_taken_once() -> None:
    a, b = entry("one", "a"), entry("two", "b", "a")
    found = one(a, b, a, b, entry("three", "c", "b"), entry("another text", "a"))
    assert texts(found) == ["one", "two", "three", "another text"]
    assert found.metadata["not_taken"] == {"duplicate": 2}


def test_answers_in_a_circle_end() -> None:
    tool = [{"type": "tool_use", "name": "x", "input": {}}]
    found = one(entry(tool, "a", "b"), entry(tool, "b", "a"), entry("said", "c", "a"), entry("self", "d", "d"))
    assert [message.reply_to for message in found.messages] == [None, None]


def test_sessions_of_one_log_are_conversations() -> None:
    found = claude(
        {"type": "summary", "summary": "About two", "leafUuid": "b1"},
        {**entry("one", "a1"), "sessionId": "A"},
        {**entry("two", "b1"), "sessionId": "B"},
        b"bad",
        {**entry("three", "a2", "a1"), "sessionId": "A"},
        {**entry("nobody's", "x"), "sessionId": None},
        {"type": "system", "sessionId": "C"},
    )
    assert [(each.name, texts(each)) for each in found] == [
        ("A", ["one", "three", "nobody's"]),
        ("B", ["About two", "two"]),
    ]
    assert [each.title for each in found] == ["one", "About two"]
    assert [lines_named(each) for each in found] == [[], [4]]
    assert found[0].metadata["not_taken"] == {"system": 1}


def test_a_list_of_prompts_is_read() -> None:
    found = one(
        {"display": "Fix it", "timestamp": 1700000001000, "project": "/p", "sessionId": "s", "pastedContents": {}}
    )
    assert (texts(found), found.messages[0].time) == (["Fix it"], "2023-11-14T22:13:21Z")
    assert found.metadata["project"] == "/p"


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2004-11-15T12:18:00.000Z", "2004-11-15T12:18:00.000Z"), ("2004-11-15 12:18", "2004-11-15 12:18"),
        (1700000001, "2023-11-14T22:13:21Z"), (1700000001500, "2023-11-14T22:13:21.500Z"), ("1700000001", "2023-11-14T22:13:21Z"),
        ("yesterday", None), (None, None), (True, None), (float("nan"), None), (10**30, None), ([], None), ("9" * 64, None),
    ],
)  # fmt: skip
def test_times_are_iso_8601_or_unknown(value: Any, time: str | None) -> None:
    assert time_of(value) == time


def test_any_log_is_read_by_its_fields() -> None:
    interpret = Fields(
        {"text": "body.text", "role": "from", "time": "ts", "id": "id", "reply_to": "re", "conversation": "room"}
    )
    content = log(
        {"id": 1, "from": "ann", "ts": 1700000001, "room": "#a", "body": {"text": "Who knows?"}},
        {"id": 2, "from": "bob", "room": "#b", "body": {"text": ["x", "y"]}},
        {"id": 3, "from": "bob", "re": 1, "room": "#a", "body": {"text": "I do."}},
        {"event": "join", "room": "#b"},
        {"id": 4, "body": {"text": 7}},
        {"id": 5, "room": "#a", "body": {"text": {"no": "text"}}},
        b"12",
    )
    a, b, none = conversations(content, interpret, by_name=True)
    assert [(m.role, m.text, m.id, m.reply_to) for m in a.messages] == [
        ("ann", "Who knows?", "1", None),
        ("bob", "I do.", "3", "1"),
    ]
    assert (b.name, texts(b), b.metadata["not_taken"]) == ("#b", ["x\n\ny"], {"line without text": 1})
    assert (none.name, texts(none)) == ("", ["7"])
    assert [lines_named(each) for each in (a, b, none)] == [[6, 7], [], []]


def test_an_expression_that_does_not_go_with_a_line_is_a_finding() -> None:
    (found,) = conversations(log({"text": 5}, {"text": "ok"}), Fields({"text": "join(', ', text)"}))
    assert lines_named(found) == [1, 2]
    assert texts(found) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "message",
                    "content",
                    "text",
                    "role",
                    "uuid",
                    "parentUuid",
                    "sessionId",
                    "timestamp",
                    "summary",
                    "leafUuid",
                    "x",
                ]
            ),
            inner | st.sampled_from(["user", "text", "summary", "tool_use", "tool_result", "a", "b"]),
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(
    values=st.lists(
        json_values | st.binary(max_size=30).filter(lambda raw: b"\n" not in raw and raw.strip()), max_size=12
    ),
    everything=st.booleans(),
)
def test_no_line_is_lost_and_the_form_gives_back_what_was_written(values: list[Any], everything: bool) -> None:
    content = log(*values)
    found = conversations(content, ClaudeCode(ALL if everything else ("text",)))
    told = sum(
        len(each.messages) + len(each.troubles) + sum(each.metadata.get("not_taken", {}).values()) for each in found
    )
    if not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        assert told >= len(values)
    stored = written(found)
    parts = list(split(stored))
    assert b"".join(part for _, part in parts) == stored
    assert len({name for name, _ in parts}) == len(found)
    assert [read(part) for _, part in parts] == found


@given(
    names=st.sets(
        st.text(max_size=12) | st.sampled_from(["", "_", ".", "..", "a/b", "a%2Fb", "%2E", "%5F"]), max_size=8
    )
)
def test_names_of_parts_are_different_and_harmless(names: set[str]) -> None:
    made = {part_name(name) for name in names}
    assert len(made) == len(names)
    assert not made & {"", ".", ".."}
    assert not any("/" in name or "\\" in name or "\n" in name for name in made)
    assert len(part_name("n" * 10_000)) < 200


@pytest.mark.parametrize(
    "content",
    [b"", b"no", b"[]", b'{"conversation":', b'{"conversation":"a"}\n{"text":5}\n', b'{"conversation":"a"}\n[]\n', b'{"conversation":"a"}\n{}\n',
     b'{"conversation":5}\n', b'{"conversation":"a"}\n' + b"[" * 100_000],
)  # fmt: skip
def test_another_form_is_refused(content: bytes) -> None:
    with pytest.raises(ReadError, match="damaged"):
        read(content)
