"""Unpack: an archive, or a mail with attachments, becomes its members.

What belongs here: telling containers from documents, archives in archives, and the paths of members. What does not: formats
(`archives`, `readers.mail_parts`, `transcripts`), and anything on disk: members are bytes, and their paths are only names.

An archive comes out whole or not at all: what was given before an error does not count, since a part of an archive would
look like one whose other members were deleted. A single member that cannot be had is a member with a problem.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from dataflow_assets.errors import ReadError
from dataflow_assets.media_types import UNKNOWN, media_type_of
from dataflow_assets.source_settings import ArchiveSettings
from dataflow_assets.stages.archives.limits import Entry, LimitBroken, Limits, damaged
from dataflow_assets.stages.archives.names import Distinct, harmless
from dataflow_assets.stages.archives.streams import Unpacked
from dataflow_assets.stages.readers.names import last_part
from dataflow_assets.stages.readers.sniff import sniff

HEAD_BYTES = 65_536
"""As many first bytes of a file are enough for `is_container`."""

_MAIL = frozenset(("message/rfc822", "application/vnd.ms-outlook"))
_TRANSCRIPTS = "application/vnd.dataflow.transcripts+jsonl"
_TRANSCRIPT = "application/vnd.dataflow.transcript+jsonl"
_ARCHIVES = {
    "application/zip": "zip", "application/x-zip-compressed": "zip", "application/x-7z-compressed": "7z",
    "application/gzip": "gzip", "application/x-gzip": "gzip", "application/x-bzip2": "bzip2", "application/x-bzip": "bzip2",
    "application/x-xz": "xz", "application/zstd": "zstandard", "application/x-zstd": "zstandard",
    "application/x-lzma": "lzma", "application/x-tar": "tar", "application/x-gtar": "tar",
    "application/x-compressed-tar": "gzip",
}  # fmt: skip
_MARKS = (
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstandard"),
)
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK00PK\x03\x04", b"PK\x07\x08PK\x03\x04")
_LOOSE = frozenset((UNKNOWN, "", "text/plain", "application/binary", "application/x-compressed"))
_ZIP_DOCUMENTS = frozenset(
    "whl jar war ear apk aab ipa nupkg vsix xpi crx egg pages numbers key kmz 3mf cbz sketch idml oxt".split()
)
"""Extensions of zip files that are one thing, whatever their media type."""
_LOCAL = struct.Struct("<4s22xHH")
_TAR_EXTENSIONS = ("tgz", "tbz2", "tbz", "txz", "tzst", "tlz")
_HELD = 32_000_000
"""Bytes of an inner archive's members that are held until it is known to be whole."""


@dataclass(frozen=True, slots=True)
class Member:
    """One document that an archive holds."""

    path: str
    """Its name within the archive, made harmless and distinct; empty for the item itself, such as a mail beside its
    attachments. `!/` stands between an inner archive and its member."""
    content: bytes | None
    """Its bytes; None where there is a problem."""
    problem: str | None
    """Why it cannot be had, as a sentence."""
    media_type: str
    """What it is said to be, or its name suggests."""


def is_container(head: bytes, name: str, media_type: str) -> bool:
    """Tell whether a file holds documents, rather than being one.

    Mails are containers: one without attachments holds itself.

    Args:
        head: Its first bytes, `HEAD_BYTES` of them.
        name: Its name, or its address.
        media_type: What it is said to be.
    """
    return _kind(head, name, media_type) is not None


def unpack(
    file: BinaryIO,
    *,
    name: str,
    media_type: str,
    settings: ArchiveSettings,
    max_member_bytes: int,
    passwords: Sequence[str] = (),
) -> Iterator[Member]:
    """Give the documents that a container holds, in its order, one by one.

    Folders, links and what systems leave in archives for themselves are no documents; links are members with a problem.

    Args:
        file: The container, open for reading and able to seek.
        name: Its name, or its address, which may say what it is; sentences name it so.
        media_type: What it is said to be.
        settings: How deep and how far to go.
        max_member_bytes: A larger member is one with a problem.
        passwords: Passwords to try.

    Raises:
        ReadError: It is damaged, protected, more than the settings allow, or no container. What was given before does not
            count.
    """
    packed = file.seek(0, io.SEEK_END)
    limits = Limits(name, settings, max_member_bytes, packed, tuple(passwords))
    yield from _Opening(limits).members(file, name, media_type, "", 1)


class _Opening:
    """The opening of one container and of all containers in it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._paths = Distinct()
        self._held = 0

    def members(self, file: BinaryIO, name: str, media_type: str, path: str, depth: int) -> Iterator[Member]:
        """Give the members of a container.

        Args:
            file: The container.
            name: Its name, for sentences.
            media_type: What it is said to be.
            path: Its path below the outermost one; empty for that one itself.
            depth: How deep it lies, from 1.
        """
        file.seek(0)
        kind = _kind(file.read(HEAD_BYTES), name, media_type)
        file.seek(0)
        if kind is None:
            raise ReadError(f"{name} is no archive that can be opened.")
        try:
            for entry in self._entries(file, kind, name, media_type):
                if entry.name is None:
                    yield Member(path, entry.content, None, entry.media_type)
                else:
                    yield from self._member(entry, entry.name, path, depth)
        except (ReadError, MemoryError):
            raise
        except Exception as error:
            raise damaged(name, f"it cannot be unpacked ({type(error).__name__}: {str(error)[:80]})") from error

    def _entries(self, file: BinaryIO, kind: str, name: str, media_type: str) -> Iterator[Entry]:
        """Give what lies in a container, in the way of its format; an entry without a name is the container itself."""
        limits = self._limits
        if kind == "zip":
            from dataflow_assets.stages.archives.zips import is_document, zip_entries

            whole = is_document(file)
            return iter([_itself(file, limits, whole)]) if whole else zip_entries(file, limits, name)
        if kind == "7z":
            from dataflow_assets.stages.archives.seven_zips import seven_zip_entries

            return seven_zip_entries(file, limits, name)
        if kind == "mail":
            return _mail(file, limits, media_type)
        if kind == "transcripts":
            return _transcripts(file, limits)
        if kind == "mailbox":
            from dataflow_assets.stages.archives.mailboxes import mailbox_entries

            return mailbox_entries(file, limits)
        if kind == "tar":
            return _tar(file, limits, name)
        return _compressed(Unpacked(file, kind, limits, name), limits, name)

    def _member(self, entry: Entry, named: str, above: str, depth: int) -> Iterator[Member]:
        name = harmless(named)
        if name is None:
            return
        path = self._paths.take(f"{above}!/{name}" if above else name)
        media_type = entry.media_type or media_type_of(name)
        content, problem = entry.content, entry.problem
        if content is None:
            yield Member(path, None, f"{path} {problem}", media_type)
            return
        kind = _kind(content[:HEAD_BYTES], name, media_type)
        if kind is None:
            yield Member(path, content, None, media_type)
            return
        if depth < self._limits.settings.max_depth:
            yield from self._inner(content, path, media_type, depth + 1)
        elif kind == "mail":
            yield Member(path, content, None, media_type)
        else:
            problem = (
                f"{path} is an archive that lies deeper than the {self._limits.settings.max_depth} levels that "
                "source.archives.max_depth allows: it is not opened."
            )
            yield Member(path, None, problem, media_type)

    def _inner(self, content: bytes, path: str, media_type: str, depth: int) -> Iterator[Member]:
        """Open a container in a container.

        If it is damaged, it is one member with a problem. Its members are held until that is known; only where they are too
        many does the outermost container fail with it.
        """
        held: list[Member] = []
        size = 0
        members = self.members(cast(BinaryIO, io.BytesIO(content)), path, media_type, path, depth)
        try:
            for member in members:
                held.append(member)
                size += len(member.content or b"")
                self._held += len(member.content or b"")
                if self._held > _HELD:
                    break
        except LimitBroken:
            raise
        except ReadError as error:
            held = [Member(path, None, str(error), media_type)]
        finally:
            self._held -= size
        yield from held
        held.clear()
        yield from members


def _itself(file: BinaryIO, limits: Limits, media_type: str) -> Entry:
    file.seek(0)
    content = limits.read_member(file, counted=True)
    if content is None:
        raise ReadError(f"{limits.name} {limits.too_large()}")
    return Entry(None, content, media_type=media_type)


def _tar(file: BinaryIO, limits: Limits, name: str) -> Iterator[Entry]:
    from dataflow_assets.stages.archives.tars import tar_entries

    return tar_entries(_Counted(file, limits), limits, name)


def _compressed(stream: Unpacked, limits: Limits, name: str) -> Iterator[Entry]:
    """Give what a compressed file holds: the members of a tar, or one file."""
    from dataflow_assets.stages.archives.tars import is_tar, tar_entries

    last = last_part(name)
    stem, _, extension = last.rpartition(".")
    head = stream.read(512)
    both = _Joined(head, stream)
    if is_tar(head) or stem.lower().endswith(".tar") or extension.lower() in _TAR_EXTENSIONS:
        yield from tar_entries(both, limits, name)
        return
    limits.count_member()
    content = limits.read_member(both, counted=True)
    known = media_type_of(last) in _ARCHIVES
    yield Entry((stem if known else last) or last, content, limits.too_large() if content is None else None)


def _mail(file: BinaryIO, limits: Limits, media_type: str) -> Iterator[Entry]:
    """Give a mail itself, and then its attachments."""
    from dataflow_assets.stages.readers.mail_parts import attachments

    mail = _itself(file, limits, media_type)
    content = mail.content or b""
    yield mail
    for name, attached, attached_type in attachments(content, media_type):
        limits.count_member()
        limits.count_bytes(len(attached))
        yield Entry(name, attached, media_type=attached_type)


def _transcripts(file: BinaryIO, limits: Limits) -> Iterator[Entry]:
    from dataflow_assets.stages.transcripts import split

    for name, content in split(_itself(file, limits, _TRANSCRIPTS).content or b""):
        limits.count_member()
        yield Entry(name, content, media_type=_TRANSCRIPT)


class _Counted:
    """A file that counts what is read of it."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._file = file
        self._limits = limits

    def read(self, size: int, /) -> bytes:
        block = self._file.read(size)
        self._limits.count_bytes(len(block))
        return block


class _Joined:
    """The first bytes of a stream, that were looked at, and the rest."""

    def __init__(self, head: bytes, rest: Unpacked) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        if len(self._head) >= size:
            block, self._head = self._head[:size], self._head[size:]
            return block
        block, self._head = self._head, b""
        return block + self._rest.read(size - len(block))


def _kind(head: bytes, name: str, media_type: str) -> str | None:
    """Say which container something is; None where it is a document, or unknown."""
    stated = media_type.partition(";")[0].strip().lower()
    if stated in _LOOSE:
        stated = named if (named := media_type_of(last_part(name))) != UNKNOWN else stated
    if not head:
        return None
    if stated == _TRANSCRIPTS:
        return "transcripts"
    if stated == "application/mbox":
        from dataflow_assets.stages.archives.mailboxes import is_mailbox

        return "mailbox" if is_mailbox(head) else None
    if head.startswith(_ZIP):
        return None if _is_zip_document(head, name, stated) else "zip"
    for mark, kind in _MARKS:
        if head.startswith(mark):
            return kind
    if _BZIP2.match(head):
        return "bzip2"
    said = _ARCHIVES.get(stated)
    if said is None or said == "tar":
        from dataflow_assets.stages.archives.tars import is_tar

        if is_tar(head) and (said == "tar" or stated in _LOOSE or head[257:262] == b"ustar"):
            return "tar"
    sniffed = sniff(head, stated)
    if sniffed in _MAIL:
        return "mail"
    # By name alone: what is damaged at its beginning, and the old lzma, which has no mark.
    return said if sniffed == stated else None


def _is_zip_document(head: bytes, name: str, stated: str) -> bool:
    """Tell a document that is a zip file from an archive, by what it is said to be and by the first members."""
    if last_part(name).lower().rpartition(".")[2] in _ZIP_DOCUMENTS:
        return True
    if stated not in _LOOSE and stated not in _ARCHIVES:
        return True
    at, first = 0, True
    while (at := head.find(b"PK\x03\x04", at)) >= 0 and at + _LOCAL.size <= len(head):
        _, name_length, extra_length = _LOCAL.unpack_from(head, at)
        begin = at + _LOCAL.size
        member = head[begin : begin + name_length]
        if member == b"[Content_Types].xml" or (first and member == b"META-INF/MANIFEST.MF"):
            return True
        if first and member == b"mimetype":
            begin += name_length + extra_length
            return re.match(rb"application/(?!zip)[\w.+-]{1,100}", head[begin : begin + 120]) is not None
        at, first = begin, False
    return False
