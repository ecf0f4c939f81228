"""A folder of files.

What belongs here: walking the folder, what a name becomes in a URI, and opening a file without being led astray. What
does not: patterns (`patterns`) and media types (`media_types`).

The folder belongs to somebody else and changes while it is read. A listing is whole or it is an error: a sub-folder
that cannot be read must not look like deleted files. Only regular files are ever opened, and only below the folder:
between a listing and a fetch a file can become a FIFO, a device, or a link to a secret.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Iterator, Sequence
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from dataflow_assets.errors import FetchFailed, ItemRefused, SourceUnavailable
from dataflow_assets.media_types import media_type_of
from dataflow_assets.source_settings import FilesSource as FilesSettings
from dataflow_assets.sources.base import BaseSource, Context, Fetched, Item
from dataflow_assets.sources.ignore import MAX_BYTES, IgnoreRules, is_ignored
from dataflow_assets.sources.patterns import Patterns

_AWKWARD = re.compile(
    # Control characters; line separators; marks that turn the direction of writing, so that a name looks like another;
    # bytes that are no UTF-8; and what would be taken for an encoded byte.
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]|%[0-9A-Fa-f]{2}"
)
_ENCODED = re.compile("[%\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FETCH = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | getattr(os, "O_NOCTTY", 0)
_ENTER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_READ_BYTES = 1 << 20
_READ_ATTEMPTS = 3
_Folders: TypeAlias = list[str]
_Rules: TypeAlias = tuple[IgnoreRules, ...]
_Waiting: TypeAlias = list[tuple[bytes, str, str, _Rules]]
_KINDS = {
    stat.S_IFIFO: "a named pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
}


class _NotAFileError(Exception):
    """What is to be opened is no regular file; the message says what it is."""


class FilesSource(BaseSource):
    """Lists and fetches the regular files of a folder.

    Hidden files and folders are left out unless a pattern names them. A link to a file below the folder is taken as the
    file that it leads to; a link that leads out, nowhere or in a circle is an item with a problem; links to folders are
    not followed.

    Args:
        settings: Folder, patterns, and the largest size.
        context: Its base is the folder that a relative path starts from.
    """

    def __init__(self, settings: FilesSettings, context: Context) -> None:
        self._max_bytes = settings.max_bytes
        self._shown = settings.path
        self._root = os.path.join(context.base, settings.path).encode("utf-8", "surrogateescape")
        self._prefix = uri_prefix(settings.path)
        self._patterns = Patterns(settings.include, settings.exclude)
        self._ignore_files = [name.encode("utf-8", "surrogateescape") for name in settings.ignore_files]

    def list(self) -> Iterator[Item]:
        """List the files that the patterns take, folder by folder, names in the order of their bytes.

        Raises:
            SourceUnavailable: The folder, or one below it that the patterns lead into, cannot be read.
        """
        root = self._real_root()
        linked_folders: _Folders = []
        waiting: _Waiting = [(root, "", "", ())]
        while waiting:
            path, names, key, above = waiting.pop()
            below: _Waiting = []
            entries = self._entries(path, names)
            rules = self._rules(entries, names, above)
            for entry in entries:
                name = entry.name.decode("utf-8", "surrogateescape")
                relative, relative_key = names + name, key + encode_name(name)
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if self._patterns.enters(relative) and not is_ignored(rules, relative, is_folder=True):
                            below.append((entry.path, relative + "/", relative_key + "/", rules))
                        continue
                    if rules and is_ignored(rules, relative, is_folder=False):
                        continue
                    if entry.is_symlink():
                        item = self._linked(root, entry, relative, relative_key, linked_folders)
                    elif self._patterns.takes(relative):
                        item = self._item(relative_key, entry.stat(follow_symlinks=False))
                    else:
                        continue
                except FileNotFoundError:
                    continue  # it went away since the folder was read
                except OSError as error:
                    raise self._unreadable(names, error) from error
                if item is not None:
                    yield item
            waiting += reversed(below)
        self.notes = _notes_on(linked_folders)

    def fetch(self, item: Item) -> Fetched:
        """Read a file.

        Raises:
            FetchFailed: It is not there, may not be read, or a folder stands in its place.
            ItemRefused: It is not a regular file below the folder, or larger than allowed.
        """
        if item.problem is not None:
            raise ItemRefused(item.problem)
        parts = unquote_to_bytes(item.path_key).split(b"/")
        if {b"", b".", b".."}.intersection(parts) or any(b"\0" in part for part in parts):
            raise ItemRefused(f"{item.uri} is not a name below the source's folder.")
        try:
            descriptor = self._open(parts, item)
            try:
                return Fetched(self._read(descriptor, item))
            finally:
                os.close(descriptor)
        except _NotAFileError as error:
            raise FetchFailed(
                f"{item.uri} was a file when it was listed, and is {error} now: it is not read. "
                "The next run lists it anew."
            ) from error
        except OSError as error:
            raise FetchFailed(_not_fetched(item.uri, error)) from error

    def _open(self, parts: Sequence[bytes], item: Item) -> int:
        self._must_be_name()
        try:
            return _open_below(self._root, parts)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EMLINK) or not os.path.islink(os.path.join(self._root, *parts)):
                raise
        root, target = _real(self._root), _real(os.path.join(self._root, *parts))
        inside = _below(root, target)
        if inside is None:
            raise ItemRefused(f"{item.uri} is a link that leads out of the source's folder: it is not followed.")
        return _open_below(root, inside.split(b"/"))

    def _read(self, descriptor: int, item: Item) -> bytes:
        blocks: Sequence[bytes] = ()
        for _ in range(_READ_ATTEMPTS):
            before = os.fstat(descriptor)
            os.lseek(descriptor, 0, os.SEEK_SET)
            blocks, size = [], 0
            while block := os.read(descriptor, min(_READ_BYTES, self._max_bytes + 1 - size)):
                blocks.append(block)
                size += len(block)
                if size > self._max_bytes:
                    raise ItemRefused(f"{item.uri} {self._too_large(max(size, before.st_size))}")
            after = os.fstat(descriptor)
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                break
        # Where it was written to in every attempt, what was read last stands: the next listing shows a new time.
        return b"".join(blocks)

    def _real_root(self) -> bytes:
        """Find the folder, links resolved."""
        try:
            self._must_be_name()
            root = _real(self._root)
            if not stat.S_ISDIR(os.stat(root).st_mode):
                raise SourceUnavailable(
                    f"The source's folder {self._said()} is not a folder. Name a folder as the library's source.path."
                )
        except FileNotFoundError as error:
            raise SourceUnavailable(
                f"The source's folder {self._said()} is not there. Create it, mount it, or correct the library's "
                "source.path. Nothing was deleted."
            ) from error
        except OSError as error:
            raise SourceUnavailable(
                f"The source's folder {self._said()} cannot be read: {_reason(error)}. "
                "Correct that, or the library's source.path. Nothing was deleted."
            ) from error
        return root

    def _must_be_name(self) -> None:
        if b"\0" in self._root:
            raise OSError(errno.EINVAL, "the name of the folder holds a NUL character")

    def _said(self) -> str:
        """Name the folder for a person: as the catalog does, and where that is."""
        shown, full = (
            encode_name(self._shown),
            encode_name(os.path.normpath(self._root).decode("utf-8", "surrogateescape")),
        )
        return shown if shown == full else f"{shown} ({full})"

    def _entries(self, path: bytes, names: str) -> Sequence[os.DirEntry[bytes]]:
        try:
            with os.scandir(path) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise self._unreadable(names, error) from error

    def _rules(self, entries: Sequence[os.DirEntry[bytes]], names: str, above: _Rules) -> _Rules:
        """Add what a folder's ignore files say to what those above it say."""
        if not self._ignore_files:
            return above
        there = {entry.name: entry for entry in entries}
        found = [there[name] for name in self._ignore_files if name in there]
        texts = [text for entry in found if (text := self._ignore_text(entry, names)) is not None]
        return (*above, IgnoreRules(names, texts)) if texts else above

    def _ignore_text(self, entry: os.DirEntry[bytes], names: str) -> str | None:
        """Read an ignore file; None where it is no regular file, as git has it."""
        try:
            descriptor = os.open(entry.path, _FETCH)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return None
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENOENT, errno.ENXIO, errno.EISDIR):
                return None
            raise self._unreadable(names, error) from error
        if len(content) > MAX_BYTES:
            raise SourceUnavailable(
                f"{encode_name(names + os.fsdecode(entry.name))} of the source {self._said()} is too large for an ignore "
                f"file (over {MAX_BYTES:,} bytes). Shorten it, or leave it out of source.ignore_files. Nothing was deleted."
            )
        return content.decode("utf-8", "surrogateescape")

    def _unreadable(self, names: str, error: OSError) -> SourceUnavailable:
        where = encode_name(names.rstrip("/")) or "."
        return SourceUnavailable(
            f"The folder {where} of the source {self._said()} cannot be read: {_reason(error)}. "
            "Make it readable, or exclude it. Nothing was deleted."
        )

    def _linked(
        self, root: bytes, entry: os.DirEntry[bytes], relative: str, key: str, linked_folders: _Folders
    ) -> Item | None:
        """Make the item of a link; None where it is none: a link to a folder, or one that the patterns leave out."""
        taken = self._patterns.takes(relative)
        if not taken and not self._patterns.enters(relative):
            return None
        try:
            target = _real(entry.path)
            found = os.stat(target)
        except OSError as error:
            if not taken:
                return None
            if error.errno == errno.ENOENT:
                return self._problem(key, f"is a link to {_aim(entry)}, which is not there.")
            if error.errno == errno.ELOOP:
                return self._problem(key, "is a link that leads in a circle.")
            if _below(root, os.path.realpath(entry.path)) is None:
                return self._problem(
                    key, f"is a link to {_aim(entry)}, out of the source's folder: it is not followed."
                )
            raise
        if stat.S_ISDIR(found.st_mode):
            linked_folders.append(self._prefix + key)
            return None
        if not taken:
            return None
        inside = _below(root, target)
        if inside is None:
            return self._problem(key, f"is a link to {_aim(entry)}, out of the source's folder: it is not followed.")
        return self._item(key, found, through=inside)

    def _item(self, key: str, found: os.stat_result, through: bytes = b"") -> Item:
        if not stat.S_ISREG(found.st_mode):
            kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
            return self._problem(key, f"is {kind}, not a file: it is not read.")
        if found.st_size > self._max_bytes:
            return self._problem(key, self._too_large(found.st_size), found.st_size)
        fingerprint = f"{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"
        if through:
            fingerprint += "-" + hashlib.sha256(through).hexdigest()[:16]
        return Item(self._prefix + key, key, media_type_of(key), found.st_size, fingerprint)

    def _problem(self, key: str, what: str, size: int | None = None) -> Item:
        sentence = f"{self._prefix}{key} {what}"
        fingerprint = "problem-" + hashlib.sha256(sentence.encode()).hexdigest()[:16]
        return Item(self._prefix + key, key, media_type_of(key), size, fingerprint, sentence)

    def _too_large(self, size: int) -> str:
        return (
            f"has {size:,} bytes, more than the {self._max_bytes:,} that the library's source.max_bytes allows. "
            "Raise it, or exclude the file."
        )


def encode_name(name: str) -> str:
    """Write a name, or a path, so that it is valid Unicode on one line, and no other name is written the same.

    Most names stay as they are. A part that holds a control character, a mark that turns the direction of writing, a
    byte that is no UTF-8 or something that looks like a percent-encoded byte has these and every `%` percent-encoded.
    `urllib.parse.unquote_to_bytes` gives the name's bytes back.

    Args:
        name: As `os.fsdecode` gives it: undecodable bytes as surrogates.
    """
    if not _AWKWARD.search(name):
        return name
    return "/".join(_ENCODED.sub(_percent, part) if _AWKWARD.search(part) else part for part in name.split("/"))


def _percent(match: re.Match[str]) -> str:
    char = match[0]
    escaped = "\udc80" <= char <= "\udcff"
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape" if escaped else "surrogatepass"))


def uri_prefix(path: str) -> str:
    """Write a folder as the URIs of what lies below it begin; nothing for the folder that paths start from."""
    prefix = encode_name(posixpath.normpath(path))
    return "" if prefix == "." else prefix if prefix.endswith("/") else prefix + "/"


def _real(path: bytes) -> bytes:
    return os.path.realpath(path, strict=True)


def _below(root: bytes, path: bytes) -> bytes | None:
    """Give a resolved path relative to the resolved folder that it lies below; None where it lies elsewhere."""
    folder = root if root.endswith(b"/") else root + b"/"
    return path[len(folder) :] if path.startswith(folder) else None


def _open_below(root: bytes, parts: Sequence[bytes]) -> int:
    """Open a file below a folder, following no link on the way and waiting for nobody."""
    folder = os.open(root, _ENTER & ~os.O_NOFOLLOW)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _ENTER, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Looked at before it is opened, since opening a device may do something; and after, since it may be another by
        # then.
        _must_be_file(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
        descriptor = os.open(parts[-1], _FETCH, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        _must_be_file(os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _must_be_file(found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, "it is a link")
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise _NotAFileError(kind)


def _aim(entry: os.DirEntry[bytes]) -> str:
    return encode_name(os.readlink(entry.path).decode("utf-8", "surrogateescape"))


def _notes_on(linked_folders: _Folders) -> list[str]:
    if not linked_folders:
        return []
    some = ", ".join(linked_folders[:3]) + (", ..." if len(linked_folders) > 3 else "")
    count = len(linked_folders)
    return [
        f"{'A link' if count == 1 else f'{count} links'} to folders {'was' if count == 1 else 'were'} not followed: "
        f"{some}. "
        "Name the folder itself as a library's source to index it."
    ]


def _not_fetched(uri: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{uri} went away since it was listed. The next run lists it anew."
    if isinstance(error, PermissionError):
        return f"{uri} may not be read by this user. Make it readable, or exclude it."
    if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENOTDIR, errno.ENXIO):
        return f"{uri} was replaced, or a folder above it, since it was listed. The next run lists it anew."
    return f"{uri} cannot be read now: {_reason(error)}. The next run tries again."


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).rstrip(".")
