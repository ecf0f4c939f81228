"""A folder of logs is a body of conversations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dataflow_assets.errors import ItemRefused
from dataflow_assets.source_settings import TranscriptsSource
from dataflow_assets.sources.base import Fetched, Item, Source, open_source
from dataflow_assets.stages import transcripts
from dataflow_assets.stages.transcripts import ONE, SEVERAL, read, split


def source(folder: Path, **settings: Any) -> Source:
    return open_source(TranscriptsSource.model_validate({"path": str(folder), **settings}), base=folder)


def write(folder: Path, name: str, *entries: dict[str, Any]) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")


def said(text: str, session: str = "s") -> dict[str, Any]:
    return {"type": "user", "sessionId": session, "message": {"role": "user", "content": text}}


def only(source: Source) -> tuple[Item, Fetched]:
    (item,) = source.list()
    return item, source.fetch(item)


def texts(content: bytes | Path) -> list[str]:
    assert isinstance(content, bytes)
    return [message.text for message in read(content).messages]


def test_a_log_is_one_conversation(tmp_path: Path) -> None:
    write(tmp_path, "project/s.jsonl", said("one"), said("two"))
    write(tmp_path, "notes.md", {})
    item, fetched = only(source(tmp_path))
    assert (item.path_key, item.media_type, fetched.media_type) == ("project/s.jsonl", ONE, ONE)
    assert texts(fetched.content) == ["one", "two"]


def test_a_log_of_several_sessions_is_taken_apart(tmp_path: Path) -> None:
    write(tmp_path, "s.jsonl", said("one", "A"), said("two", "B"), said("three", "A"))
    there = source(tmp_path)
    _, fetched = only(there)
    assert fetched.media_type == SEVERAL
    assert isinstance(fetched.content, bytes)
    assert [(name, texts(content)) for name, content in split(fetched.content)] == [
        ("A", ["one", "three"]),
        ("B", ["two"]),
    ]
    assert there.takes_member("A")


def test_conversations_that_are_named_keep_their_names_when_there_is_one(tmp_path: Path) -> None:
    settings = {"format": "fields", "fields": {"text": "t", "role": "who", "conversation": "room"}}
    write(tmp_path, "s.ndjson", {"t": "one", "who": "ann", "room": "a/b"})
    _, fetched = only(source(tmp_path, **settings))
    assert fetched.media_type == SEVERAL
    assert isinstance(fetched.content, bytes)
    assert [name for name, _ in split(fetched.content)] == ["a%2Fb"]
    write(tmp_path, "s.ndjson")
    assert only(source(tmp_path, **settings))[1].media_type == ONE


def test_how_lines_are_understood_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    write(tmp_path, "s.jsonl", said("one"))
    plain, _ = only(source(tmp_path))
    again, _ = only(source(tmp_path))
    more, _ = only(source(tmp_path, content=("text", "thinking")))
    assert plain == again
    assert plain.fingerprint != more.fingerprint


def test_the_safety_of_files_holds(tmp_path: Path) -> None:
    outside = tmp_path / "secret.jsonl"
    write(tmp_path, "secret.jsonl", said("secret"))
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "link.jsonl").symlink_to(outside)
    write(folder, "large.jsonl", said("x" * 2_000))
    link, large = sorted(source(folder, max_bytes=1_000).list(), key=lambda item: item.path_key, reverse=True)
    assert "out of the source's folder" in str(link.problem)
    assert "more than the 1,000" in str(large.problem)


def test_a_log_with_too_many_lines_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcripts, "MAX_LINES", 1)
    write(tmp_path, "s.jsonl", said("one"), said("two"))
    with pytest.raises(ItemRefused, match=r"s\.jsonl: The log has more than 1 lines"):
        only(source(tmp_path))


@pytest.mark.parametrize(
    "settings",
    [
        {"format": "fields"},
        {"fields": {"text": "t"}},
        {"format": "fields", "fields": {"text": "a..["}},
        {"format": "fields", "fields": {"role": "r"}},
        {"content": ()},
        {"content": ("text", "pictures")},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TranscriptsSource.model_validate({"path": "logs", **settings})
