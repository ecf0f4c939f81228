"""An RSS feed on the loopback interface, whose dropped entries leave."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from dataflow_assets_tests.sources.small_server import Answer, Asked, small_server


class World:
    """The feed."""

    def __init__(self, url: str) -> None:
        self.settings: dict[str, Any] = {
            "type": "feed", "urls": (f"{url}/feed.xml",), "keep": False, "retries": 0, "allow_hosts": ("127.0.0.1",),
        }  # fmt: skip
        self.environment: dict[str, str] = {}
        self.requests = -1
        self.entries: dict[str, str] = {}
        self.broken = False

    def put(self, name: str, text: str) -> None:
        self.entries[name] = text

    def remove(self, name: str) -> None:
        del self.entries[name]

    def break_listing(self) -> None:
        self.broken = True

    def mend(self) -> None:
        self.broken = False

    def answer(self, asked: Asked) -> Answer:
        items = "".join(
            f"<item><guid>{name}</guid><title>{name}</title><description>{escape(escape(text))}</description></item>"
            for name, text in self.entries.items()
        )
        feed = f'<?xml version="1.0"?><rss version="2.0"><channel><title>Feed</title>{items}</channel></rss>'.encode()
        if self.broken:
            return Answer(feed[: len(feed) // 2])
        tag = f'"{hashlib.sha256(feed).hexdigest()}"'
        if asked.headers.get("if-none-match") == tag:
            return Answer(b"", 304, {"ETag": tag})
        return Answer(feed, 200, {"ETag": tag, "Content-Type": "application/rss+xml"})


@contextmanager
def world(folder: Path) -> Iterator[World]:
    with small_server(lambda asked: made.answer(asked)) as server:
        made = World(server.url)
        yield made
