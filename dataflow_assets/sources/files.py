"""A folder of files.

Links to files inside the folder are followed; links that lead out of it, broken links, link loops and everything that is no
regular file are listed with the problem, so that a person sees them, and are never opened. Links to folders are not
followed. What begins with a dot is left out unless a pattern names it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_from_bytes

from dataflow_assets.errors import FetchFailed, ItemRefused, SourceUnavailable
from dataflow_assets.settings import FilesSource
from dataflow_assets.sources.base import Item
from dataflow_assets.sources.patterns import PathPatterns

_AWKWARD = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]|%[0-9A-Fa-f]{2}")
_KINDS = {
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class FolderSource:
    """The files of a folder that match the settings' patterns.

    Args:
        settings: The folder, the patterns and the size limit.
        base: What a relative path starts from.
    """

    def __init__(self, settings: FilesSource, *, base: Path) -> None:
        self._settings = settings
        self._root = (base / settings.path).absolute()
        self._patterns = PathPatterns(settings.include, settings.exclude)
        self._prefix = encoded(os.path.normpath(settings.path))
        self._notes: list[str] = []

    @property
    def notes(self) -> list[str]:
        """What the last listing passed over."""
        return self._notes

    def list(self) -> Iterator[Item]:
        """List the files, sorted by path, by what the file system says of them alone."""
        self._notes = []
        try:
            if not stat.S_ISDIR(os.stat(self._root).st_mode):
                raise SourceUnavailable(f"{self._root} is not a folder. Correct `source.path` in the catalog.")
        except OSError as error:
            raise SourceUnavailable(
                f"The source folder {self._root} cannot be listed ({_said(error)}). Bring it back, or correct `source.path` in "
                "the catalog."
            ) from error
        self._real_root = os.path.realpath(self._root)
        linked_folders = 0
        waiting: list[tuple[str, ...]] = [()]
        while waiting:
            folder = waiting.pop()
            try:
                with os.scandir(os.path.join(self._root, *folder)) as entries:
                    found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
            except OSError as error:
                raise SourceUnavailable(
                    f"The folder {encoded(os.path.join(self._root, *folder))} cannot be listed ({_said(error)}), so nothing "
                    "can be said of what it holds. Make it readable, or exclude it in the catalog."
                ) from error
            folders = []
            for entry in found:
                path = (*folder, entry.name)
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if self._patterns.enters(path):
                            folders.append(path)
                        continue
                    if not self._patterns.takes(path):
                        continue
                    if entry.is_symlink() and os.path.isdir(entry.path):
                        linked_folders += 1
                        continue
                    item = self._item(path, entry)
                except FileNotFoundError:
                    continue  # gone since the folder was read: as if it had never been listed
                except OSError as error:
                    item = self._described(path, None, None, f"cannot be looked at ({_said(error)})")
                yield item
            waiting.extend(reversed(folders))
        if linked_folders:
            self._notes.append(f"{linked_folders} links to folders below {self._root} were not followed.")

    def _item(self, path: tuple[str, ...], entry: os.DirEntry[str]) -> Item:
        if entry.is_symlink():
            target = os.readlink(entry.path)
            try:
                found = os.stat(entry.path)
            except OSError as error:
                kind = "a link loop" if error.errno == errno.ELOOP else f"a broken link to {encoded(target)}"
                return self._described(path, None, f"link-{target}", f"is {kind}")
            real = os.path.realpath(entry.path)
            if os.path.commonpath([real, self._real_root]) != self._real_root:
                return self._described(
                    path, None, f"link-{target}", f"is a link to {encoded(target)}, which leads out of the folder"
                )
        else:
            found = entry.stat(follow_symlinks=False)
        # The change time tells of an edit whose modification time was set back.
        fingerprint = f"{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}"
        if not stat.S_ISREG(found.st_mode):
            kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
            return self._described(path, None, "special", f"is {kind}, not a file")
        if found.st_size > self._settings.max_bytes:
            return self._described(path, found.st_size, fingerprint, self._too_large(found.st_size))
        return self._described(path, found.st_size, fingerprint, None)

    def _too_large(self, size: int) -> str:
        return (
            f"has {size:,} bytes, more than the {self._settings.max_bytes:,} that `source.max_bytes` allows"
        )

    def _described(self, path: tuple[str, ...], size: int | None, fingerprint: str | None, problem: str | None) -> Item:
        key = encoded("/".join(path))
        uri = key if self._prefix == "." else f"{self._prefix.rstrip('/')}/{key}"
        return Item(
            uri=uri,
            path_key=key,
            fingerprint=encoded(fingerprint) if fingerprint is not None else None,
            size_bytes=size,
            problem=f"{uri} {problem}." if problem else None,
        )

    def fetch(self, item: Item) -> bytes:
        """Read a file, at most as much as the settings allow, whatever it has become since it was listed."""
        path = os.path.join(os.fsencode(self._root), decoded(item.path_key))
        try:
            # Without O_NONBLOCK, opening a pipe would wait for its other end.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise FetchFailed(f"{item.uri} cannot be read now ({_said(error)}); the next run tries again.") from error
        with os.fdopen(descriptor, "rb") as file:
            try:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise FetchFailed(f"{item.uri} is no longer a file; the next run looks at it again.")
                content = file.read(self._settings.max_bytes + 1)
            except OSError as error:
                raise FetchFailed(f"{item.uri} cannot be read now ({_said(error)}); the next run tries again.") from error
        if len(content) > self._settings.max_bytes:
            raise ItemRefused(f"{item.uri} {self._too_large(len(content))}.")
        return content


def encoded(path: str) -> str:
    """Write a file name as valid Unicode, another one for each name.

    Names stay as they are unless they have control characters, bytes that are no UTF-8, or what looks like an escape; of
    such a name these and every percent sign are written as `%XX`, so that `urllib.parse.unquote_to_bytes` gives it back.
    """
    if not _AWKWARD.search(path):
        return path
    return "".join(
        quote_from_bytes(os.fsencode(c), safe="") if c == "%" or _AWKWARD.match(c) else c for c in path
    )


def decoded(key: str) -> bytes:
    """Give the bytes of the name that `encoded` wrote."""
    if not _AWKWARD.search(key):
        return os.fsencode(key)
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(key)


def _said(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
