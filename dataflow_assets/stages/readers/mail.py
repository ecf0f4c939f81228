"""A mail becomes a text: its header in a few lines, its body, the mails within it, and the names of what came with it.

What belongs here: how a mail reads. What does not: the formats of mail (`mail_rfc822`, `mail_outlook`) and the content of
attachments, which become documents of their own.

The plain body is preferred, since it is what the sender's program made for reading; the HTML one is taken where there is no
other, or where the plain one is a mere notice ("this mail needs an HTML viewer"). Quoted parts stay: an answer is often
understood by them alone.
"""

from __future__ import annotations

import re
from typing import Any

from dataflow_assets.errors import ReadError
from dataflow_assets.records import Finding
from dataflow_assets.stages.readers.html import to_markdown, to_words
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.mail_parts import Body, Mail, named_attachments, parse_mail

_MOST_SHOWN = 50
"""Addresses that the text names; the metadata has more."""
_NOTICE = 0.1
"""Share of the HTML body's letters below which a plain body is a mere notice."""
_SHORT = 300
"""Letters that a notice has at most."""
_NO_WORD = re.compile(r"[\W_]+")
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*){2,}\n?")
_TITLE = re.compile(r"<title\b[^<>]{0,300}>[^<]{0,5000}</title[^<>]{0,100}>", re.IGNORECASE)


def read_mail(item: Item) -> Reading:
    """Read a mail; raises ReadError where the bytes are none."""
    mail = parse_mail(item.content, item.media_type)
    attached = [name for name, _ in named_attachments(mail)]
    parts = [_written(mail, 1)]
    if attached:
        parts.append("**Attachments:**\n\n" + "\n".join(f"- {name}" for name in attached) + "\n")
    known: dict[str, Any] = {
        "authors": [_name_of(mail.sender)] if mail.sender else [],
        "date": mail.date if mail.dated else "",
        "from": mail.sender,
        "to": list(mail.to),
        "cc": list(mail.cc),
        "message_id": mail.message_id,
        "reply_to": mail.reply_to,
        "attachments": attached,
    }
    return Reading(
        text="\n".join(parts),
        markup="markdown",
        title=mail.subject or None,
        metadata={key: value for key, value in known.items() if value},
        findings=tuple(_finding(problem) for problem in mail.problems),
    )


def _written(mail: Mail, level: int) -> str:
    pieces = [f"{'#' * min(level, 6)} {mail.subject}\n"] if mail.subject else []
    fields = [
        ("From", mail.sender),
        ("To", _some(mail.to)),
        ("Cc", _some(mail.cc)),
        ("Bcc", _some(mail.bcc)),
        ("Date", mail.date),
    ]
    header = "".join(f"**{name}:** {value}\n" for name, value in fields if value)
    pieces += [header] if header else []
    pieces += [text for body in mail.bodies if (text := _body(body))]
    pieces += [_written(inner, level + 1) for inner in mail.mails]
    return "\n".join(pieces)


def _body(body: Body) -> str:
    plain = body.plain
    if body.html and (not plain.strip() or _is_notice(plain, body.html)):
        source = _TITLE.sub(" ", body.html)
        try:
            plain = to_markdown(source)
        except ReadError:
            plain = to_words(source)
    text = _BLANK_LINES.sub("\n\n", plain.replace("\u00a0", " ")).strip("\n")
    return f"{text}\n" if text.strip() else ""


def _is_notice(plain: str, html: str) -> bool:
    letters = len(_NO_WORD.sub("", plain[: 4 * _SHORT]))
    return letters <= _SHORT and letters < _NOTICE * len(_NO_WORD.sub("", to_words(html)))


def _some(addresses: tuple[str, ...]) -> str:
    more = len(addresses) - _MOST_SHOWN
    return ", ".join(addresses[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _name_of(sender: str) -> str:
    return sender.partition(" <")[0] or sender


def _finding(problem: str) -> Finding:
    return Finding(
        validator="mail",
        severity="warning",
        message=problem,
        field="text",
        value="",
        suggestion="Open the mail in a mail program, and save what is missing as files of their own.",
    )
