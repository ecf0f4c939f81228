"""A JSON API on the loopback interface: records on pages, behind a key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dataflow_assets_tests.sources.small_server import Answer, Asked, as_json, small_server

KEY = "api-key-of-the-loopback-service"
PAGE = 1


class World:
    """The API."""

    def __init__(self, url: str) -> None:
        self.settings: dict[str, Any] = {
            "type": "api", "url": f"{url}/records", "records": "items", "key": "name", "text": "{body}", "title": "{name}",
            "pagination": {"kind": "next_url", "next": "next"}, "api_key": "WORLD_API_KEY", "retries": 0,
            "allow_hosts": ("127.0.0.1",),
        }  # fmt: skip
        self.environment = {"WORLD_API_KEY": KEY}
        self.requests = -1
        self.records: dict[str, str] = {}
        self.broken = False

    def put(self, name: str, text: str) -> None:
        self.records[name] = text

    def remove(self, name: str) -> None:
        del self.records[name]

    def break_listing(self) -> None:
        self.broken = True

    def mend(self) -> None:
        self.broken = False

    def answer(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return as_json({"error": "unauthorized"}, 401)
        page = int(asked.query.get("page", "0"))
        if self.broken and (page > 0 or len(self.records) <= PAGE):
            return as_json({"error": "overloaded"}, 503)
        items = [{"name": name, "body": text} for name, text in sorted(self.records.items())]
        found = items[page * PAGE : (page + 1) * PAGE]
        following = f"/records?page={page + 1}" if len(items) > (page + 1) * PAGE else None
        return as_json({"items": found, "next": following})


@contextmanager
def world(folder: Path) -> Iterator[World]:
    with small_server(lambda asked: made.answer(asked)) as server:
        made = World(server.url)
        yield made
