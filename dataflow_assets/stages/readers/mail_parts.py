"""A mail in parts: what its header says, its body, the mails within it, and its attachments.

What belongs here: the record that both formats of mail become, and the attachments as files of their own, for whoever
opens containers. What does not: the formats (`mail_rfc822`, `mail_outlook`), and a mail as a text (`mail`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dataflow_assets.errors import ReadError
from dataflow_assets.media_types import BY_EXTENSION, UNKNOWN

OUTLOOK = "application/vnd.ms-outlook"
MOST_PARTS = 2_000
"""Parts that are looked at; a mail with more is cut there, with a finding."""
MOST_ATTACHMENTS = 1_000
DEEPEST = 20
"""Parts within parts that are looked at."""
_SMALL_PICTURE = 10_000
"""Bytes up to which a picture that the body shows is taken for a logo."""
_SIGNATURES = frozenset(
    "application/pgp-signature application/pkcs7-signature application/x-pkcs7-signature text/x-vcard".split()
)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\"*:<>?|]+")
_EXTENSIONS = {kind: extension for extension, kind in reversed(BY_EXTENSION.items())} | {"message/rfc822": "eml"}


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a mail."""

    name: str
    """As the mail names it; may be empty."""
    content: bytes
    media_type: str
    shown: bool = False
    """Whether the body shows it, as a picture in a page."""

    @property
    def counts(self) -> bool:
        """Whether it says something of its own: no signature, no logo."""
        logo = self.shown and self.media_type.startswith("image/") and len(self.content) < _SMALL_PICTURE
        return bool(self.content) and not logo and self.media_type not in _SIGNATURES


@dataclass(frozen=True, slots=True)
class Body:
    """One text of a mail, in up to two forms that say the same."""

    plain: str = ""
    html: str = ""


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail, of whichever format."""

    subject: str
    sender: str
    """`Name <address>`, as all addresses here."""
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    date: str
    """ISO 8601, or what the mail says where that is no date."""
    bodies: tuple[Body, ...]
    """What it says, in order: most mails have one body, lists of mails append another."""
    dated: bool = True
    """Whether `date` is one."""
    message_id: str = ""
    reply_to: str = ""
    """The id of the mail that it answers."""
    mails: tuple[Mail, ...] = ()
    """Mails that are shown within it, such as those of a digest."""
    attachments: tuple[Attachment, ...] = ()
    problems: tuple[str, ...] = ()
    """What could not be read of it, as sentences."""


def parse_mail(content: bytes, media_type: str) -> Mail:
    """Read a mail of either format; raises ReadError where it is none, or too damaged."""
    if media_type == OUTLOOK:
        from dataflow_assets.stages.readers.mail_outlook import parse_outlook

        return parse_outlook(content)
    from dataflow_assets.stages.readers.mail_rfc822 import parse_rfc822

    return parse_rfc822(content)


def attachments(content: bytes, media_type: str) -> Iterator[tuple[str, bytes, str]]:
    """Give the attachments of a mail: name, bytes, media type. Names are different from each other, and are plain names.

    A mail that is attached is an attachment whose name ends in `.eml`; one that is shown within the mail, as in a digest,
    belongs to its text, and only its attachments are given. Signatures, and pictures under 10 kB that the body shows, are
    left out.

    Raises:
        ReadError: The mail cannot be read.
    """
    for name, attached in named_attachments(parse_mail(content, media_type)):
        yield name, attached.content, attached.media_type


def named_attachments(mail: Mail) -> list[tuple[str, Attachment]]:
    """Give a mail's attachments under the names that `attachments` gives them."""
    named: list[tuple[str, Attachment]] = []
    taken: set[str] = set()
    for number, attached in enumerate(_all_attachments(mail), 1):
        if number > MOST_ATTACHMENTS:
            break
        wanted = _file_name(attached, number)
        name, copy = wanted, 1
        while name.casefold() in taken:
            copy += 1
            stem, dot, extension = wanted.rpartition(".")
            name = f"{stem} ({copy}).{extension}" if dot and stem else f"{wanted} ({copy})"
        taken.add(name.casefold())
        named.append((name, attached))
    return named


def _all_attachments(mail: Mail) -> Iterator[Attachment]:
    yield from (attached for attached in mail.attachments if attached.counts)
    for inner in mail.mails:
        yield from _all_attachments(inner)


def _file_name(attached: Attachment, number: int) -> str:
    name = re.split(r"[/\\]", attached.name)[-1]
    name = " ".join(_UNSAFE.sub(" ", name[-400:]).split()).strip(". ")[-150:]
    extension = _EXTENSIONS.get(attached.media_type, "")
    if not name:
        name = f"attachment {number}"
    if extension == "eml" and not name.lower().endswith(".eml"):
        return f"{name}.eml"
    known = name.rpartition(".")[2].lower() in BY_EXTENSION if "." in name else False
    return (
        name
        if known or not extension or attached.media_type == UNKNOWN or "." in name[-6:-1]
        else f"{name}.{extension}"
    )


def too_deep() -> ReadError:
    """Say that parts lie within parts without end."""
    return ReadError("The mail is damaged or malicious: its parts are nested too deeply; exclude it.")
