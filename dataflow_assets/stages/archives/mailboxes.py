"""Mailboxes (mbox): many mails in one file.

What belongs here: where one mail ends and the next begins. What does not: what stands in a mail (`readers.mail_rfc822`).

A mail begins with a line `From ` at the start or after an empty line, and such a line in a mail's text has a `>` before it
(RFC 4155, and the mboxrd of qmail). Mails are named by a hash of what they say, so that a mail that comes or goes renames
no other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import BinaryIO

from dataflow_assets.stages.archives.limits import Entry, Limits

_FROM = b"From "
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_HEADER = re.compile(rb"From [^\n]{1,998}\r?\n(?:>?[A-Za-z][A-Za-z0-9-]{0,75}:)")
_LINE = 1 << 16


def is_mailbox(head: bytes) -> bool:
    """Tell whether bytes begin like a mailbox: the line of a mail, and a header after it."""
    return _HEADER.match(head) is not None


def mailbox_entries(file: BinaryIO, limits: Limits) -> Iterator[Entry]:
    """Give the mails of a mailbox, in order.

    Args:
        file: The mailbox.
        limits: The limits of the outermost container.
    """
    for content in _mails(file, limits):
        limits.count_member()
        if content is None:
            yield Entry("mail.eml", None, limits.too_large(), "message/rfc822")
            continue
        mail = _QUOTED.sub(rb"\1", content)
        name = f"{hashlib.sha256(mail).hexdigest()[:16]}.eml"
        yield Entry(name, mail, media_type="message/rfc822")


def _mails(file: BinaryIO, limits: Limits) -> Iterator[bytes | None]:
    """Give the bytes of each mail without its first line; None for one that is too large."""
    lines: list[bytes] = []
    size, began, after_blank = 0, False, True
    while line := file.readline(_LINE):
        limits.count_bytes(len(line))
        if after_blank and line.startswith(_FROM):
            if began:
                yield None if size > limits.max_member_bytes else b"".join(lines).rstrip(b"\r\n") + b"\n"
            lines, size, began, after_blank = [], 0, True, False
            continue
        after_blank = not line.strip(b"\r\n")
        size += len(line)
        if size <= limits.max_member_bytes:
            lines.append(line)
        else:
            lines.clear()
    if began:
        yield None if size > limits.max_member_bytes else b"".join(lines).rstrip(b"\r\n") + b"\n"
