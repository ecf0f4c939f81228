"""Names of members, made harmless and distinct.

What belongs here: what a name in an archive becomes. What does not: files on disk, since none of these names ever is one.
"""

from __future__ import annotations

import hashlib
import posixpath

from dataflow_assets.sources.files import encode_name

_MAX_NAME = 500
_LEFT_OUT_FOLDERS = frozenset(("__MACOSX",))
_LEFT_OUT = frozenset((".DS_Store", "Thumbs.db"))
_UNNAMED = "unnamed"


def harmless(name: str) -> str | None:
    """Write a name from an archive as a path below the archive; None where it is one that nobody wants.

    No part is empty, `.` or `..`, none ends in `!` (which stands between an archive and its members), and all of it is valid
    Unicode on one line.

    Args:
        name: As it stands in the archive; undecodable bytes as surrogates.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if _LEFT_OUT_FOLDERS.intersection(parts[:-1]) or (parts and parts[-1] in _LEFT_OUT):
        return None
    path = "/".join(part[:-1] + "%21" if part.endswith("!") else part for part in map(encode_name, parts)) or _UNNAMED
    if len(path) > _MAX_NAME:
        stem, extension = posixpath.splitext(path)
        path = f"{stem[: _MAX_NAME - 60]}~{hashlib.sha256(path.encode()).hexdigest()[:16]}{extension[:40]}"
    return path


class Distinct:
    """Paths of which none stands twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}

    def take(self, path: str) -> str:
        """Give a path, with a number before its extension where it was taken before."""
        found = path
        while found in self._taken:
            number = self._counts[path] = self._counts.get(path, 1) + 1
            folder, _, last = path.rpartition("/")
            stem, extension = posixpath.splitext(last)
            found = posixpath.join(folder, f"{stem} ({number}){extension}")
        self._taken.add(found)
        return found
