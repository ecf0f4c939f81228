"""Zip archives.

What belongs here: the members of a zip in their order, protected and oddly compressed ones too. What does not: documents that
are zip files (`stages.readers`).

The directory at the end is believed, as all programs do; a file whose first member does not stand at its beginning is what
is left of another one that was cut behind an archive inside it, so it is damaged.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.archives.limits import Entry, Limits, Readable, damaged, protected, protection
from dataflow_assets.stages.archives.streams import Unpacked
from dataflow_assets.stages.archives.zip_aes import AES, decrypt, method_within

_LOCAL = struct.Struct("<4s22xHH")
_UTF8 = 0x800
_ENCRYPTED = 0x1
_UNIX = 3
_OWN_METHODS = {9: "deflate64", 93: "zstandard", 20: "zstandard"}
_MORE_METHODS = {8: "deflate", 12: "bzip2", **_OWN_METHODS}
_KINDS = {
    stat.S_IFLNK: "is a link: it is not followed.",
    stat.S_IFCHR: "is a device, not a file: it is not read.",
    stat.S_IFBLK: "is a device, not a file: it is not read.",
    stat.S_IFIFO: "is a named pipe (FIFO), not a file: it is not read.",
    stat.S_IFSOCK: "is a socket, not a file: it is not read.",
}
_OFFICE = {
    folder: f"application/vnd.openxmlformats-officedocument.{kind}"
    for folder, kind in (
        ("word/", "wordprocessingml.document"),
        ("xl/", "spreadsheetml.sheet"),
        ("ppt/", "presentationml.presentation"),
    )
}
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, struct.error, NotImplementedError)


class _WrongPassword(Exception):
    """None of the passwords opens the member."""


def zip_entries(file: BinaryIO, limits: Limits, name: str) -> Iterator[Entry]:
    """Give the members.

    Raises:
        ReadError: It is damaged, or all of it is protected, or a limit is broken.
    """
    try:
        archive = zipfile.ZipFile(file)
    except _BROKEN as error:
        raise damaged(name, f"it is truncated or broken ({str(error)[:80]})") from error
    with archive:
        infos = archive.infolist()
        if infos and min(info.header_offset for info in infos) != _beginning(file):
            raise damaged(name, "it is truncated or broken, its directory does not fit what stands before it")
        files = [info for info in infos if not info.filename.endswith("/")]
        opened = False
        locked = 0
        for info in files:
            limits.count_member()
            entry, closed = _entry(archive, file, info, limits)
            locked += closed
            opened = opened or entry.content is not None
            if locked == len(files):
                raise protected(name, bool(limits.passwords))
            yield entry


def is_document(file: BinaryIO) -> str:
    """Give the media type of a zip file that is a document, as its directory shows; empty where it is an archive."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
    except _BROKEN:
        return ""
    if "[Content_Types].xml" not in names:
        return ""
    return next((kind for folder, kind in _OFFICE.items() if any(each.startswith(folder) for each in names)), "")


def _beginning(file: BinaryIO) -> int:
    """Give where the first member stands: behind a mark, that some programs write who had split archives in mind."""
    file.seek(0)
    return 4 if file.read(4) in (b"PK00", b"PK\x07\x08") else 0


def _entry(archive: zipfile.ZipFile, file: BinaryIO, info: zipfile.ZipInfo, limits: Limits) -> tuple[Entry, bool]:
    """Read a member; the second is whether it stays closed for want of a password."""
    name = _name(info)
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _UNIX else 0
    if kind in _KINDS:
        return Entry(name, problem=_KINDS[kind]), False
    if info.file_size > limits.max_member_bytes:
        return Entry(name, problem=limits.too_large(info.file_size)), False
    try:
        content = _content(archive, file, info, limits)
    except _WrongPassword:
        return Entry(name, problem=protection(bool(limits.passwords))), True
    except NotImplementedError:
        return Entry(
            name, problem=f"is compressed in a way that is not supported (method {info.compress_type})."
        ), False
    except _BROKEN as error:
        return Entry(name, problem=f"is damaged: {str(error)[:80] or 'its data ends too early'}."), False
    if content is None:
        return Entry(name, problem=limits.too_large()), False
    return Entry(name, content), False


def _content(archive: zipfile.ZipFile, file: BinaryIO, info: zipfile.ZipInfo, limits: Limits) -> bytes | None:
    if not info.flag_bits & _ENCRYPTED:
        if info.compress_type in _OWN_METHODS:
            return _unpacked(_packed(file, info, limits), info.compress_type, info.CRC, info, limits)
        with archive.open(info) as stream:
            return limits.read_member(stream)
    for password in limits.passwords:
        try:
            if info.compress_type == AES:
                method, checksum = method_within(info)
                content = decrypt(_packed(file, info, limits), info, password)
                if content is not None:
                    return _unpacked(content, method, checksum, info, limits)
            else:
                with archive.open(info, pwd=password.encode()) as stream:
                    return limits.read_member(stream)
        except (RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            # One in 256 wrong passwords passes the check at the beginning, and fails the one at the end.
            if isinstance(error, NotImplementedError):
                raise
    raise _WrongPassword


def _packed(file: BinaryIO, info: zipfile.ZipInfo, limits: Limits) -> bytes:
    """Give a member's bytes as they lie in the file."""
    if info.compress_size > limits.max_member_bytes + 1_000_000:
        raise ValueError("it claims to be larger packed than unpacked")
    file.seek(info.header_offset)
    head = file.read(_LOCAL.size)
    mark, name_length, extra_length = _LOCAL.unpack(head)
    if mark != b"PK\x03\x04":
        raise ValueError("its header is missing")
    file.seek(name_length + extra_length, 1)
    packed = file.read(info.compress_size)
    if len(packed) != info.compress_size:
        raise EOFError("its data ends too early")
    return packed


def _unpacked(packed: bytes, method: int, checksum: int | None, info: zipfile.ZipInfo, limits: Limits) -> bytes | None:
    stream: Readable = BytesIO(packed)
    if method != zipfile.ZIP_STORED:
        if method not in _MORE_METHODS:
            raise NotImplementedError
        stream = Unpacked(stream, _MORE_METHODS[method], limits, "it")
    try:
        content = limits.read_member(stream, counted=method != zipfile.ZIP_STORED)
    except ReadError as error:
        if type(error) is not ReadError:
            raise
        raise ValueError("its data is broken") from error
    if content is not None and (
        len(content) != info.file_size or (checksum is not None and zlib.crc32(content) != checksum)
    ):
        raise ValueError("its checksum is wrong")
    return content


def _name(info: zipfile.ZipInfo) -> str:
    """Give a member's name: UTF-8 is recognised where the archive does not say so, since many programs write it."""
    name = info.filename
    if info.flag_bits & _UTF8 or name.isascii():
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name
