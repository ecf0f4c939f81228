"""Mails as they travel: RFC 5322 and MIME, also pages that browsers saved as one file (MHTML).

What belongs here: finding header, body and attachments in bytes of which every rule may be broken. What does not: how a mail
reads as a text (`mail`).

The standard library's parser finds the parts. Its policy `default` is not used: its parser of headers takes quadratic time
and raises a dozen kinds of errors on headers that real mails have. Headers are decoded here, one by one, and what cannot be
decoded stays as it stands.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime

from dataflow_assets.errors import ReadError
from dataflow_assets.media_types import UNKNOWN, media_type_of
from dataflow_assets.stages.readers.decoding import codec_of, decode
from dataflow_assets.stages.readers.mail_parts import DEEPEST, MOST_PARTS, Attachment, Body, Mail, too_deep

_HEADER_LIMIT = 50_000
"""Characters of a header that are decoded."""
_STRUCTURE = ("Content-Type", "Content-Disposition")
_STRUCTURE_LIMIT = 8_000
"""Characters of the headers whose parameters the standard library finds in quadratic time."""
_MOST_ADDRESSES = 500
_WIDE_HEAD = 200
_FEW = 30
"""Bytes outside ASCII up to which a text whose encoding is unknown is taken for Western European."""
_WHITE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_CHARSET = re.compile(r"charset\s{0,9}=\s{0,9}[\"']?\s{0,9}([\w.:-]{1,40}?)(?:content-|[^\w.:-]|\Z)", re.IGNORECASE)
_SHOWN = re.compile(r"(?:src|background)\s{0,9}=\s{0,9}[\"']?\s{0,9}(?:cid:)?([^\s\"'<>]{1,500})|url\([\"']?cid:([^\s\"')]{1,500})",
    re.IGNORECASE)  # fmt: skip
_PAGE_FILES = ("text/css", "text/javascript", "application/javascript", "application/x-javascript", "font/")
"""What a saved page needs to look like itself."""
_SMIME = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_SAID = ("text/plain", "text/html", "text/enriched", "text/richtext", "message/delivery-status", "text/rfc822-headers")


@dataclass
class _Found:
    """What has been found of one mail so far."""

    bodies: list[Body] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    cids: list[tuple[int, str, str]] = field(default_factory=list)
    """Place among the attachments, Content-ID, Content-Location."""
    problems: list[str] = field(default_factory=list)


def parse_rfc822(content: bytes) -> Mail:
    """Read a mail.

    Raises:
        ReadError: The bytes are no mail, or its parts are nested too deeply.
    """
    if (wide := _utf16(content[:_WIDE_HEAD])) is not None:
        content = content.decode(wide, "replace").encode("utf-8", "replace")
    content = content.removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n")
    try:
        message = message_from_bytes(content, policy=policy.compat32)
    except RecursionError:
        raise too_deep() from None
    if not message.keys():
        raise ReadError("The mail is damaged: it has no header (From, Subject, Date ...); exclude it, or restore it.")
    return _mail(message, 0, [MOST_PARTS])


def _utf16(head: bytes) -> str | None:
    """Tell whether a whole mail was saved as UTF-16: headers are ASCII, so every other byte is none."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf_16"
    pairs = len(head) // 2
    for codec, offset in (("utf_16_be", 0), ("utf_16_le", 1)):
        if pairs >= 8 and head[offset::2].count(0) > 0.9 * pairs:
            return codec
    return None


def _mail(message: Message, depth: int, left: list[int]) -> Mail:
    found = _Found()
    _collect(message, found, depth, left)
    html = "\n".join(body.html for body in found.bodies)
    shown = {name.lower() for pair in _SHOWN.findall(html) for name in pair if name}
    for place, cid, location in found.cids:
        attached = found.attachments[place]
        if (cid and cid in shown) or (location and location in shown):
            found.attachments[place] = Attachment(attached.name, attached.content, attached.media_type, shown=True)
    date, dated = _date(message)
    senders = _addresses(message, "From") or _addresses(message, "Sender")
    return Mail(
        subject=_header(message, "Subject"),
        sender=", ".join(senders),
        to=_addresses(message, "To"),
        cc=_addresses(message, "Cc"),
        bcc=_addresses(message, "Bcc"),
        date=date,
        dated=dated,
        bodies=tuple(found.bodies),
        message_id=_header(message, "Message-ID"),
        reply_to=_header(message, "In-Reply-To").split(" ")[0],
        mails=tuple(found.mails),
        attachments=tuple(found.attachments),
        problems=tuple(dict.fromkeys(found.problems)),
    )


def _collect(part: Message, found: _Found, depth: int, left: list[int]) -> None:
    left[0] -= 1
    if left[0] < 0:
        found.problems.append(f"The mail has more than {MOST_PARTS} parts; the others are left out.")
        return
    if depth > DEEPEST:
        found.problems.append(f"Parts that lie more than {DEEPEST} deep in others are left out.")
        return
    for name in _STRUCTURE:
        if (value := part.get(name)) is not None and len(value) > _STRUCTURE_LIMIT:
            part.replace_header(name, str(value)[:_STRUCTURE_LIMIT])
    kind = part.get_content_type()
    attached = _is_attached(part)
    payload = _inner_parts(part)
    if kind == "message/rfc822" or (kind == "message/global" and payload):
        _collect_mail(part, found, depth, left, attached=attached)
    elif payload and kind.startswith("multipart/"):
        if kind == "multipart/encrypted":
            found.problems.append("The body is encrypted; only the header could be read.")
        elif kind == "multipart/alternative":
            _collect_alternative(payload, found, depth, left)
        elif kind == "multipart/related":
            _collect_related(part, payload, found, depth, left)
        else:
            for each in payload:
                _collect(each, found, depth + 1, left)
    elif payload:
        for each in payload:  # such as message/delivery-status: groups of headers
            found.bodies.append(Body("\n".join(f"{name}: {_decoded(value)}" for name, value in each.items())))
    elif kind in _SAID and not attached:
        text = _text(part)
        found.bodies.append(Body(html=text) if kind == "text/html" else Body(_unflowed(part, text)))
    elif kind.startswith("multipart/") and not attached:
        found.problems.append("The mail is damaged: its parts could not be told apart.")
        found.bodies.append(Body(_text(part)))
    else:
        if kind in _SMIME and depth == 0:
            found.problems.append("The body is encrypted or signed as S/MIME; only the header could be read.")
        _attach(part, found, kind)


def _inner_parts(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [each for each in payload if isinstance(each, Message)] if isinstance(payload, list) else []


def _collect_mail(part: Message, found: _Found, depth: int, left: list[int], *, attached: bool) -> None:
    payload = _inner_parts(part)
    inner = payload[0] if payload else None
    if inner is None:
        _attach(part, found, "message/rfc822")
        return
    if not attached:
        found.mails.append(_mail(inner, depth + 1, left))
        return
    try:
        content = inner.as_bytes(policy=policy.compat32)
    except (UnicodeError, LookupError, ValueError, TypeError, KeyError, AttributeError):
        content = inner.as_string(policy=policy.compat32).encode("utf-8", "replace")
    except RecursionError:
        raise too_deep() from None
    name = _file_name(part) or _header(inner, "Subject") or "message"
    found.attachments.append(Attachment(name, content, "message/rfc822"))


def _collect_alternative(parts: list[Message], found: _Found, depth: int, left: list[int]) -> None:
    """Take every form of the body as one; `mail` chooses."""
    own = _Found()
    for each in parts:
        _collect(each, own, depth + 1, left)
    plain, html = ("\n".join(filter(None, (getattr(body, form) for body in own.bodies))) for form in ("plain", "html"))
    found.bodies.append(Body(plain, html))
    _append(found, own)


def _collect_related(part: Message, parts: list[Message], found: _Found, depth: int, left: list[int]) -> None:
    """The root is the body; what else there is belongs to how the page looks."""
    start = str(part.get_param("start", "") or "").strip()
    root = next((each for each in parts if start and (each.get("Content-ID") or "").strip() == start), None)
    root = root or next((each for each in parts if each.get_content_maintype() in ("text", "multipart")), None)
    for each in parts:
        if each is root:
            _collect(each, found, depth + 1, left)
        elif not each.get_content_type().startswith(_PAGE_FILES):
            own = _Found()
            _collect(each, own, depth + 1, left)
            for body in own.bodies:
                kind, text = ("text/html", body.html) if body.html else ("text/plain", body.plain)
                own.attachments.append(Attachment(_file_name(each), text.encode("utf-8", "replace"), kind))
            _append(found, own)


def _append(found: _Found, own: _Found) -> None:
    found.cids += [(place + len(found.attachments), cid, location) for place, cid, location in own.cids]
    found.attachments += own.attachments
    found.mails += own.mails
    found.problems += own.problems


def _attach(part: Message, found: _Found, kind: str) -> None:
    content = _bytes(part)
    name = _file_name(part)
    cid = (part.get("Content-ID") or "").strip("<> \t").lower()
    location = str(part.get("Content-Location") or "").strip().lower()
    if not name and location:
        name = location.split("?")[0].rstrip("/")
    if kind in (UNKNOWN, "application/binary", "application/x-unknown"):
        kind = media_type_of(name)
    found.cids.append((len(found.attachments), cid, location))
    found.attachments.append(Attachment(name, content, kind))


def _is_attached(part: Message) -> bool:
    said = str(part.get("Content-Disposition") or "")[:1_000].strip().lower()
    return said.startswith("attachment") or (bool(_file_name(part)) and not said.startswith("inline"))


def _file_name(part: Message) -> str:
    try:
        name = part.get_filename()
    except (ValueError, LookupError, TypeError, AttributeError, UnicodeError):
        name = None
    return _decoded(name or "")


def _bytes(part: Message) -> bytes:
    try:
        payload = part.get_payload(decode=True)
    except (ValueError, LookupError, TypeError, AssertionError, UnicodeError):
        payload = None
    if isinstance(payload, bytes):
        return payload
    return str(part.get_payload() or "").encode("utf-8", "surrogateescape")


def _text(part: Message) -> str:
    """Decode a part as it says; where that fails, as any text of unknown encoding."""
    content = _bytes(part)
    said = _CHARSET.search(str(part.get("Content-Type") or "")[:2_000])
    codec = codec_of(said[1]) if said else None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        codec = "utf_16"
    if codec == "latin_1" or codec == "ascii":
        codec = "cp1252" if codec == "latin_1" else "utf_8"
    for known in (codec or "utf_8", "utf_8"):
        try:
            text = content.decode(known)
            break
        except (UnicodeError, LookupError):
            continue
    else:
        text = _guessed(content)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _guessed(content: bytes) -> str:
    """Decode what is not in the encoding that it names; a few foreign letters are too few for statistics."""
    few = len(content) - len(content.decode("ascii", "ignore")) < _FEW
    try:
        return content.decode("cp1252") if few else decode(content, name="", media_type="text/plain").text
    except (UnicodeError, ReadError):
        return content.decode("utf_8", "replace")


def _unflowed(part: Message, text: str) -> str:
    """Join the lines that the sender's program broke (RFC 3676)."""
    said = str(part.get("Content-Type") or "")[:2_000].lower()
    if "format=flowed" not in said.replace('"', "").replace(" ", ""):
        return text
    delete = "delsp=yes" in said.replace('"', "").replace(" ", "")
    lines: list[str] = []
    open_quote: str | None = None
    for line in text.split("\n"):
        quote = line[: len(line) - len(line.lstrip(">"))]
        rest = line[len(quote) :].removeprefix(" ")
        flows = rest.endswith(" ") and rest != "-- "
        if open_quote is not None and open_quote == quote and rest != "-- ":
            lines.append(rest[:-1] if flows and delete else rest)
        else:
            said_quote = f"{quote} " if quote else ""
            lines += ["\n", said_quote + (rest[:-1] if flows and delete else rest)]
        open_quote = quote if flows else None
    return "".join(lines[1:])


def _header(message: Message, name: str) -> str:
    try:
        value = message.get(name)
    except (ValueError, LookupError, TypeError):
        value = None
    return _decoded(value) if value is not None else ""


def _decoded(value: object) -> str:
    """Decode the encoded words of a header, in whatever encoding its bytes are."""
    raw = str(value)[:_HEADER_LIMIT]
    pieces: list[str] = []
    try:
        found = decode_header(raw) if "=?" in raw else [(raw, None)]
    except (ValueError, LookupError, TypeError, AssertionError):
        found = [(raw, None)]
    for piece, charset in found:
        if isinstance(piece, str):
            piece = piece.encode("utf-8", "surrogateescape")
        codec = codec_of(charset or "")
        try:
            pieces.append(piece.decode(codec or "utf-8"))
        except (UnicodeError, LookupError):
            pieces.append(piece.decode("cp1252", "replace"))
    return _WHITE.sub(" ", "".join(pieces)).strip()


def _addresses(message: Message, name: str) -> tuple[str, ...]:
    values: list[str] = [str(value)[:_HEADER_LIMIT] for value in message.get_all(name, [])][:10]
    return tuple(_pairs(values))


def _pairs(values: list[str]) -> Iterator[str]:
    try:
        pairs = getaddresses(values)
    except (ValueError, LookupError, TypeError, RecursionError):
        pairs = []
    if not any(address for _, address in pairs):
        pairs = [(_decoded(value), "") for value in values]
    for named, address in pairs[:_MOST_ADDRESSES]:
        who, where = _decoded(named), _decoded(address)
        if who and where and who != where:
            yield f"{who} <{where}>"
        elif who or where:
            yield who or where


def _date(message: Message) -> tuple[str, bool]:
    said = _header(message, "Date")[:200]
    try:
        return parsedate_to_datetime(said).isoformat(), True
    except (ValueError, TypeError, IndexError, OverflowError):
        return said, False
