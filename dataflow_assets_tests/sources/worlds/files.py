"""A folder of files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class World:
    """A folder; a listing breaks where a file stands in its place."""

    requests = -1

    def __init__(self, folder: Path) -> None:
        self._folder, self._aside = folder / "docs", folder / "aside"
        self._folder.mkdir()
        self.settings: dict[str, Any] = {"type": "files", "path": str(self._folder), "ignore_files": (".gitignore",)}
        self.environment: dict[str, str] = {}
        (self._folder / ".gitignore").write_text("*.log\n")
        (self._folder / "noise.log").write_text("ignored")

    def put(self, name: str, text: str) -> None:
        (self._folder / f"{name}.md").write_text(text, encoding="utf-8")

    def remove(self, name: str) -> None:
        (self._folder / f"{name}.md").unlink()

    def break_listing(self) -> None:
        self._folder.rename(self._aside)
        self._folder.write_text("This is no folder.")

    def mend(self) -> None:
        self._folder.unlink()
        self._aside.rename(self._folder)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Give a folder."""
    yield World(folder)
