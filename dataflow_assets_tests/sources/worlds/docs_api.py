"""A documentation service on the loopback interface: one library, whose topics are the documents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dataflow_assets_tests.sources.small_server import Answer, Asked, as_json, small_server

TOPICS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
KEY = "docs-key-of-the-loopback-service"


class World:
    """The service. A topic outside of `TOPICS` is added to the settings when it is put."""

    def __init__(self, url: str) -> None:
        self.settings: dict[str, Any] = {
            "type": "docs_api", "base_url": f"{url}/api/v1", "libraries": ("world",), "topics": TOPICS,
            "key": "WORLD_DOCS_KEY", "retries": 0, "max_shrink": 1.0, "allow_hosts": ("127.0.0.1",),
        }  # fmt: skip
        self.environment = {"WORLD_DOCS_KEY": KEY}
        self.requests = 0
        self.texts: dict[str, str] = {}
        self.updates = 0
        self.broken = False

    def put(self, name: str, text: str) -> None:
        if name not in self.settings["topics"]:
            self.settings["topics"] += (name,)
        self.texts[name] = text
        self.updates += 1

    def remove(self, name: str) -> None:
        del self.texts[name]
        self.updates += 1

    def break_listing(self) -> None:
        self.broken = True

    def mend(self) -> None:
        self.broken = False

    def answer(self, asked: Asked) -> Answer:
        if self.broken:
            return Answer(b"overloaded", 503)
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return as_json({"error": "unauthorized"}, 401)
        if asked.path == "/api/v1/search":
            stamp = f"2026-01-01T00:00:{self.updates:02}Z"
            return as_json({"results": [{"id": "/world/docs", "title": "World", "lastUpdateDate": stamp}]})
        text = self.texts.get(asked.query.get("topic", ""))
        if asked.path != "/api/v1/world/docs" or text is None:
            return as_json({"error": "no_snippets_found"}, 404)
        self.requests += 1
        return Answer(text.encode(), 200, {"Content-Type": "text/plain; charset=utf-8"})


@contextmanager
def world(folder: Path) -> Iterator[World]:
    with small_server(lambda asked: made.answer(asked)) as server:
        made = World(server.url)
        yield made
