"""Outlook's `.msg` files: a mail as a compound file of properties ([MS-OXMSG], [MS-OXPROPS]).

What belongs here: finding header, body and attachments. What does not: how a mail reads as a text (`mail`), and the compound
file itself, which olefile reads (BSD licence; the known reader of whole messages is under the GPL).

A message that is attached is given as a mail of its own (`.eml`), made from its parts, since a folder of a compound file is
no file. A body that stands only as RTF is unpacked ([MS-OXRTFCP]) and read by kreuzberg.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import struct
from contextlib import suppress
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import getaddresses
from typing import TYPE_CHECKING

from dataflow_assets.errors import ReadError
from dataflow_assets.media_types import UNKNOWN, media_type_of
from dataflow_assets.stages.readers.decoding import codec_of, decode
from dataflow_assets.stages.readers.mail_parts import MOST_PARTS, Attachment, Body, Mail

if TYPE_CHECKING:
    from olefile import OleFileIO

_DEEPEST = 5
"""Messages within messages that are opened."""
_MOST_RECIPIENTS = 2_000
_LARGEST_RTF = 30_000_000
_EPOCH = dt.datetime(1601, 1, 1, tzinfo=dt.UTC)

_SUBJECT, _BODY, _HTML, _RTF = 0x0037, 0x1000, 0x1013, 0x1009
_SENT, _DELIVERED = 0x0039, 0x0E06
_SENDER = ((0x0C1A, (0x5D01, 0x0C1F)), (0x0042, (0x5D02, 0x0065)))
"""The sender's name and addresses; of whom it was sent for, where no sender is named."""
_DISPLAYED = {1: 0x0E04, 2: 0x0E03, 3: 0x0E02}
"""To, cc and bcc as one text."""
_MESSAGE_ID, _REPLY_TO = 0x1035, 0x1042
_CODEPAGES = (0x3FDE, 0x3FFD)
_UNICODE, _ANSI, _BINARY, _OBJECT = 0x001F, 0x001E, 0x0102, 0x000D
_EMBEDDED = 5
_SHOWN = re.compile(r"cid:([^\s\"'<>)]{1,500})", re.IGNORECASE)
_RTF_START = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans SerifSymbolArial"
    b"Times New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)
"""What every compressed RTF body begins with in thought ([MS-OXRTFCP] 2.1.2.1)."""


def parse_outlook(content: bytes) -> Mail:
    """Read an Outlook message; raises ReadError where the bytes are none."""
    import olefile

    try:
        with olefile.OleFileIO(io.BytesIO(content)) as file:
            if not file.exists("__properties_version1.0"):
                raise ReadError("The file is no Outlook message, though it is named so; convert it, or exclude it.")
            return _Message(file, (), [MOST_PARTS]).mail(0)
    except ReadError:
        raise
    except Exception as error:  # olefile raises a dozen kinds on damaged files
        raise ReadError(
            f"The Outlook message is damaged (truncated, or not a message: {str(error)[:150]}); export it again."
        ) from error


class _Message:
    """One message: a folder of a compound file."""

    def __init__(self, file: OleFileIO, path: tuple[str, ...], left: list[int]) -> None:
        self._file = file
        self._path = path
        self._left = left
        self._header = 32 if not path else 24
        self._fixed = _fixed_properties(self._stream("__properties_version1.0") or b"", self._header)
        pages = (self._number(self._fixed, code) for code in _CODEPAGES)
        self._codec = next((codec for page in pages if page and (codec := _codec_of_page(page))), None)

    def mail(self, depth: int) -> Mail:
        """Give what the message says."""
        recipients = self._recipients()
        html = self._html()
        plain = self._text((), _BODY)
        problems: list[str] = []
        if not plain.strip() and not html.strip():
            plain = self._rtf(problems)
        date = self._time(_SENT) or self._time(_DELIVERED)
        return Mail(
            subject=_one_line(self._text((), _SUBJECT)),
            sender=self._sender(),
            to=recipients[1],
            cc=recipients[2],
            bcc=recipients[3],
            date=date,
            dated=bool(date),
            bodies=(Body(plain.replace("\r\n", "\n").replace("\r", "\n"), html),),
            message_id=_one_line(self._text((), _MESSAGE_ID)),
            reply_to=_one_line(self._text((), _REPLY_TO)),
            attachments=self._attachments(html, depth, problems),
            problems=tuple(dict.fromkeys(problems)),
        )

    def _folders(self, prefix: str) -> list[str]:
        names = {
            entry[len(self._path)]
            for entry in self._file.listdir(streams=True, storages=False)
            if len(entry) > len(self._path) + 1 and tuple(entry[: len(self._path)]) == self._path
        }
        return sorted(name for name in names if name.startswith(prefix))

    def _stream(self, *below: str) -> bytes | None:
        path = [*self._path, *below]
        if self._file.get_type(path) != 2:  # a stream
            return None
        with self._file.openstream(path) as stream:
            return bytes(stream.read())

    def _text(self, folder: tuple[str, ...], code: int) -> str:
        if (wide := self._stream(*folder, f"__substg1.0_{code:04X}{_UNICODE:04X}")) is not None:
            return wide.decode("utf_16_le", "replace").replace("\0", "")
        narrow = self._stream(*folder, f"__substg1.0_{code:04X}{_ANSI:04X}")
        return self._decoded(narrow) if narrow else ""

    def _decoded(self, content: bytes) -> str:
        try:
            return content.decode(self._codec or "utf_8").replace("\0", "")
        except UnicodeError:
            pass
        try:
            return decode(content, name="", media_type="text/plain").text
        except ReadError:
            return content.decode("cp1252", "replace").replace("\0", "")

    def _html(self) -> str:
        content = self._stream(f"__substg1.0_{_HTML:04X}{_BINARY:04X}")
        return self._decoded(content) if content else self._text((), _HTML)

    def _rtf(self, problems: list[str]) -> str:
        packed = self._stream(f"__substg1.0_{_RTF:04X}{_BINARY:04X}")
        if not packed:
            return ""
        try:
            import kreuzberg

            return str(kreuzberg.extract_bytes_sync(unpack_rtf(packed), "application/rtf").content)
        except Exception as error:  # kreuzberg's errors have no common base but this one
            problems.append(f"The body, in RTF, could not be read: {str(error)[:150]}.")
            return ""

    def _number(self, properties: dict[int, bytes], code: int) -> int:
        return int(struct.unpack("<i", properties[code][:4])[0]) if code in properties else 0

    def _time(self, code: int) -> str:
        if code not in self._fixed:
            return ""
        ticks = struct.unpack("<Q", self._fixed[code])[0]
        try:
            return (_EPOCH + dt.timedelta(microseconds=ticks // 10)).replace(microsecond=0).isoformat() if ticks else ""
        except OverflowError:
            return ""

    def _sender(self) -> str:
        for name_code, address_codes in _SENDER:
            name = _one_line(self._text((), name_code))
            address = self._address((), address_codes)
            if name or address:
                return _named(name, address)
        return ""

    def _address(self, folder: tuple[str, ...], codes: tuple[int, ...]) -> str:
        """Give the first address of the internet; addresses within an organisation say nothing outside of it."""
        found = [_one_line(self._text(folder, code)) for code in codes]
        return next((address for address in found if "@" in address), "")

    def _recipients(self) -> dict[int, tuple[str, ...]]:
        found: dict[int, list[str]] = {1: [], 2: [], 3: []}
        for name in self._folders("__recip_version1.0_")[:_MOST_RECIPIENTS]:
            kind = self._number(_fixed_properties(self._stream(name, "__properties_version1.0") or b"", 8), 0x0C15)
            said = _named(_one_line(self._text((name,), 0x3001)), self._address((name,), (0x39FE, 0x3003)))
            if said:
                found[kind if kind in found else 1].append(said)
        for kind, code in _DISPLAYED.items():
            if not found[kind]:
                found[kind] = [who for part in self._text((), code).split(";") if (who := _one_line(part))]
        return {kind: tuple(listed) for kind, listed in found.items()}

    def _attachments(self, html: str, depth: int, problems: list[str]) -> tuple[Attachment, ...]:
        shown = {name.lower() for name in _SHOWN.findall(html)}
        found: list[Attachment] = []
        for folder in self._folders("__attach_version1.0_"):
            self._left[0] -= 1
            if self._left[0] < 0:
                problems.append(f"The mail has more than {MOST_PARTS} parts; the others are left out.")
                break
            fixed = _fixed_properties(self._stream(folder, "__properties_version1.0") or b"", 8)
            name = next(
                (said for code in (0x3707, 0x3704, 0x3001) if (said := _one_line(self._text((folder,), code)))), ""
            )
            within = f"__substg1.0_3701{_OBJECT:04X}"
            if self._number(fixed, 0x3705) == _EMBEDDED or self._file.exists(
                [*self._path, folder, within, "__properties_version1.0"]
            ):
                if depth >= _DEEPEST:
                    problems.append(f"Messages more than {_DEEPEST} deep in others are left out.")
                    continue
                inner = _Message(self._file, (*self._path, folder, within), self._left).mail(depth + 1)
                found.append(Attachment(name or inner.subject or "message", to_eml(inner), "message/rfc822"))
                continue
            content = self._stream(folder, f"__substg1.0_3701{_BINARY:04X}") or b""
            kind = _one_line(self._text((folder,), 0x370E)).lower()
            if not re.fullmatch(r"[\w.+-]{1,100}/[\w.+-]{1,100}", kind) or kind == UNKNOWN:
                kind = media_type_of(name)
            cid = _one_line(self._text((folder,), 0x3712)).strip("<>").lower()
            found.append(Attachment(name, content, kind, shown=bool(cid) and cid in shown))
        return tuple(found)


def _fixed_properties(content: bytes, header: int) -> dict[int, bytes]:
    """Give the properties of fixed length: 16 bytes each, behind a header; the value is the last 8."""
    found: dict[int, bytes] = {}
    for start in range(header, len(content) - 15, 16):
        found[struct.unpack_from("<H", content, start + 2)[0]] = content[start + 8 : start + 16]
    return found


def _codec_of_page(page: int) -> str | None:
    return "utf_8" if page == 65001 else codec_of(f"cp{page}") or {28591: "cp1252", 50220: "iso2022_jp"}.get(page)


def _one_line(text: str) -> str:
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text[:50_000]).split())


def _named(name: str, address: str) -> str:
    name = name.strip("'\"")
    return f"{name} <{address}>" if name and address and name != address else name or address


def to_eml(mail: Mail) -> bytes:
    """Write a mail as RFC 5322, so that it can be a file."""
    message = EmailMessage()
    fields = {"From": (mail.sender,), "To": mail.to, "Cc": mail.cc, "Bcc": mail.bcc}
    for field, people in fields.items():
        if addresses := [made for who in people if who and (made := _as_address(who)) is not None]:
            message[field] = addresses
    said = {"Subject": mail.subject, "Message-ID": mail.message_id, "In-Reply-To": mail.reply_to}
    for field, value in said.items():
        if value:
            with suppress(ValueError, LookupError):  # its parser fails on some broken ids
                message[field] = value.encode("utf-8", "replace").decode()
    if mail.date and mail.dated:
        message["Date"] = dt.datetime.fromisoformat(mail.date)
    plain, html = ("\n".join(getattr(body, form) for body in mail.bodies) for form in ("plain", "html"))
    message.set_content(plain.encode("utf-8", "replace").decode())
    if html:
        message.add_alternative(html.encode("utf-8", "replace").decode(), subtype="html")
    for attached in mail.attachments:
        name = attached.name.encode("utf-8", "replace").decode()
        main, _, sub = attached.media_type.partition("/")
        if attached.media_type == "message/rfc822":
            message.add_attachment(message_from_bytes(attached.content, policy=policy.default), filename=name)
        elif main in ("message", "multipart", "") or not sub:
            message.add_attachment(attached.content, maintype="application", subtype="octet-stream", filename=name)
        else:
            message.add_attachment(attached.content, maintype=main, subtype=sub, filename=name)
    return message.as_bytes()


def _as_address(who: str) -> Address | None:
    """Make an address of `Name <address>`; one that breaks the rules is given as a name."""
    pairs = getaddresses([who])
    name, address = pairs[0] if pairs else ("", "")
    for display, spec in ((name, address), (who, "")):
        try:
            return Address(display_name=display.encode("utf-8", "replace").decode(), addr_spec=spec or None)
        except (ValueError, IndexError, LookupError):
            continue
    return None


def unpack_rtf(packed: bytes) -> bytes:
    """Unpack a compressed RTF body ([MS-OXRTFCP] 2.2); raises ReadError where it is damaged."""
    if len(packed) < 16:
        raise ReadError("The mail's RTF body is damaged: it is truncated.")
    _, size, kind = struct.unpack_from("<IIi", packed)
    if kind == 0x414C454D:  # "MELA": stored as it is
        return packed[16 : 16 + size]
    if kind != 0x75465A4C or size > _LARGEST_RTF:  # "LZFu"
        raise ReadError("The mail's RTF body is damaged: it is of no known kind, or too large.")
    ring = bytearray(4096)
    ring[: len(_RTF_START)] = _RTF_START
    place = len(_RTF_START)
    out = bytearray()
    position = 16
    while position < len(packed) and len(out) < size:
        flags = packed[position]
        position += 1
        for bit in range(8):
            if flags >> bit & 1:
                if position + 1 >= len(packed):
                    return bytes(out)
                reference = packed[position] << 8 | packed[position + 1]
                position += 2
                offset, length = reference >> 4, (reference & 15) + 2
                if offset == place:
                    return bytes(out)
                for step in range(length):
                    byte = ring[(offset + step) % 4096]
                    out.append(byte)
                    ring[place] = byte
                    place = (place + 1) % 4096
            elif position < len(packed):
                byte = packed[position]
                position += 1
                out.append(byte)
                ring[place] = byte
                place = (place + 1) % 4096
    return bytes(out[:size])
