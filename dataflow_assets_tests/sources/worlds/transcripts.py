"""A folder of logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class World:
    def __init__(self, folder: Path) -> None:
        self._folder = folder / "logs"
        self._folder.mkdir()
        self.settings: dict[str, Any] = {"path": "logs"}
        self.environment: dict[str, str] = {}
        self.requests = -1

    def put(self, name: str, text: str) -> None:
        entry = {"type": "user", "uuid": f"{name}-1", "sessionId": name, "message": {"role": "user", "content": text}}
        (self._folder / f"{name}.jsonl").write_text(json.dumps(entry) + "\n", encoding="utf-8")

    def remove(self, name: str) -> None:
        (self._folder / f"{name}.jsonl").unlink()

    def break_listing(self) -> None:
        self._folder.rename(self._folder.with_name("away"))

    def mend(self) -> None:
        self._folder.with_name("away").rename(self._folder)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    yield World(folder)
