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
    (folder / "my_notes.py").write_text(module[1], "utf-8")
    information = folder / "my_notes-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my-notes\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[{entry[1]}]\n{entry[2]} = {entry[3]}\n")
    return folder
