"""The example package of the guide, installed into a folder as pip would: the module, and the metadata that names its entry."""

from __future__ import annotations

import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "source-plugins.md"


def install(folder: Path) -> Path:
    """Install it; the folder is to stand on Python's path."""
    page = GUIDE.read_text("utf-8")
    module = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    entry = re.search(r'```toml\n\[project\.entry-points\."([^"]+)"\]\n(\w+) = "([^"]+)"\n```', page)
    assert module is not None
    assert entry is not None
    return install_module(folder, "my_notes", module[1], f"[{entry[1]}]\n{entry[2]} = {entry[3]}\n")


def install_module(folder: Path, name: str, code: str, entries: str) -> Path:
    """Install a module with its entry points."""
    (folder / f"{name}.py").write_text(code, "utf-8")
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(entries)
    return folder
