"""What the first bytes say of a format, where they contradict the name.

What belongs here: signatures, and the one decision between them and what was stated. What does not: readers, and whether
bytes are text at all (`decoding`).

A signature that is plain and long is believed before a name: people rename files, and servers say `text/plain` of
everything. A text is believed to be HTML or a mail only where the name said nothing better.
"""

from __future__ import annotations

import io
import re
import zipfile

from dataflow_assets.media_types import UNKNOWN

_OFFICE = "application/vnd.openxmlformats-officedocument."
_SIGNATURES = (
    (b"%PDF-", "application/pdf"),
    (b"{\\rtf", "application/rtf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_TYPES = frozenset(
    ("application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint", "application/vnd.ms-outlook")
)
_OLE_STREAMS = (
    ("WordDocument", "application/msword"),
    ("Workbook", "application/vnd.ms-excel"),
    ("Book", "application/vnd.ms-excel"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"),
    ("__properties_version1.0", "application/vnd.ms-outlook"),
)
_ZIP_FOLDERS = (
    ("word/", f"{_OFFICE}wordprocessingml.document"),
    ("xl/", f"{_OFFICE}spreadsheetml.sheet"),
    ("ppt/", f"{_OFFICE}presentationml.presentation"),
)
_LOOSE = frozenset((UNKNOWN, "text/plain", "text/csv", "text/tab-separated-values"))
"""Types that a name may claim for what is plainly HTML or a mail."""
_HTML = re.compile(
    rb"\s{0,200}(?:<!--.{0,500}?-->\s{0,200})?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_MAIL = re.compile(
    rb"(?:[A-Za-z][A-Za-z0-9-]{1,60}:[^\n]{0,998}\n(?:[ \t][^\n]{0,998}\n){0,50}){0,60}?"
    rb"(?:From|MIME-Version|Received|Message-ID|Return-Path):[^\n]{0,998}\n", re.IGNORECASE
)  # fmt: skip
_MARK = b"\xef\xbb\xbf"


def sniff(content: bytes, stated: str) -> str:
    """Give the media type of some bytes.

    Args:
        content: All of them.
        stated: What a name or a server says they are.
    """
    for signature, media_type in _SIGNATURES:
        if content.startswith(signature):
            return media_type
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if content.startswith(b"PK\x03\x04"):
        return _zip_type(content, stated)
    if content.startswith(_OLE):
        return _ole_type(content, stated)
    if b"%PDF-" in content[:1024] and stated in (UNKNOWN, "application/pdf"):
        return "application/pdf"
    head = content[:65_536].removeprefix(_MARK)
    if stated in _LOOSE and _HTML.match(head):
        return "text/html"
    if stated == UNKNOWN and _MAIL.match(head):
        return "message/rfc822"
    return stated


def _zip_type(content: bytes, stated: str) -> str:
    """Tell documents that are zip files from archives, by their first entries."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if names[:1] == ["mimetype"] and archive.getinfo("mimetype").file_size < 200:
                named = archive.read("mimetype").decode("ascii", "replace").strip()
                return named if re.fullmatch(r"[\w.+-]{1,100}/[\w.+-]{1,100}", named) else stated
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError):
        return stated  # damaged: whoever reads the stated type says so
    if "[Content_Types].xml" not in names:
        return "application/zip" if stated in _LOOSE else stated
    for folder, media_type in _ZIP_FOLDERS:
        if any(name.startswith(folder) for name in names):
            kind = media_type.rpartition(".")[0].rpartition(".")[2]
            return stated if kind in stated or "macroenabled" in stated or "binary" in stated else media_type
    return stated


def _ole_type(content: bytes, stated: str) -> str:
    if stated in _OLE_TYPES:
        return stated
    for name, media_type in _OLE_STREAMS:
        if name.encode("utf-16-le") in content:
            return media_type
    return stated
