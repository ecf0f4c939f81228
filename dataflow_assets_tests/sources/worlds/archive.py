"""A zip file in a folder."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class World:
    def __init__(self, folder: Path) -> None:
        self._folder = folder / "in"
        self._folder.mkdir()
        self._path = self._folder / "docs.zip"
        self._texts: dict[str, str] = {}
        self.settings: dict[str, Any] = {"path": "in/docs.zip"}
        self.environment: dict[str, str] = {}
        self.requests = -1

    def put(self, name: str, text: str) -> None:
        self._texts[name] = text
        self._write()

    def remove(self, name: str) -> None:
        del self._texts[name]
        self._write()

    def _write(self) -> None:
        with zipfile.ZipFile(self._path, "w") as archive:
            for name, text in self._texts.items():
                archive.writestr(f"{name}.md", text)

    def break_listing(self) -> None:
        self._folder.rename(self._folder.with_name("away"))

    def mend(self) -> None:
        self._folder.with_name("away").rename(self._folder)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    yield World(folder)
