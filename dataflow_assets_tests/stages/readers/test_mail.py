"""Mails become texts, and what came with them files, whatever their senders' programs did."""

from __future__ import annotations

import datetime as dt
import struct
from contextlib import suppress
from email.message import EmailMessage
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import ReadError
from dataflow_assets.records import ReadDocument
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.stages.read import read_document
from dataflow_assets.stages.readers.mail_outlook import unpack_rtf
from dataflow_assets.stages.readers.mail_parts import OUTLOOK, attachments
from dataflow_assets_tests.stages.readers import outlook_files as outlook

RFC822 = "message/rfc822"
HEADER = b"From: Ann Example <ann@example.org>\nTo: bob@example.org\nSubject: Trees\nMIME-Version: 1.0\n"
DATE = b"Date: Tue, 01 Oct 2024 12:34:56 -0500\n"


def read(content: bytes, media_type: str = RFC822) -> ReadDocument:
    document = read_document(content, source_uri="a.eml", media_type=media_type, settings=ReadingSettings())
    document.text.encode()
    return document


def named(content: bytes, media_type: str = RFC822) -> dict[str, tuple[bytes, str]]:
    return {name: (attached, kind) for name, attached, kind in attachments(content, media_type)}


def multipart(kind: bytes, *parts: bytes) -> bytes:
    joined = b"".join(b"--b1\n" + part + b"\n" for part in parts)
    return b"Content-Type: multipart/" + kind + b'; boundary="b1"\n\npreamble\n' + joined + b"--b1--\nepilogue\n"


def test_a_mail_reads_as_header_body_and_names_of_attachments() -> None:
    message = EmailMessage()
    message["From"], message["To"] = "Ann Exämple <ann@example.org>", "bob@example.org, Carol <carol@example.org>"
    message["Cc"], message["Subject"], message["Date"] = "dan@example.org", "Bäume", "Tue, 01 Oct 2024 12:34:56 -0500"
    message["Message-ID"], message["In-Reply-To"] = "<2@example.org>", "<1@example.org>"
    message.set_content("Dear Bob,\n\n> Shall we plant?\n\nYes: größer.\n")
    message.add_attachment(b"%PDF-1.7 x", maintype="application", subtype="pdf", filename="plän.pdf")
    document = read(message.as_bytes())
    assert document.title == "Bäume"
    assert document.text == (
        "# Bäume\n\n**From:** Ann Exämple <ann@example.org>\n**To:** bob@example.org, Carol <carol@example.org>\n"
        "**Cc:** dan@example.org\n**Date:** 2024-10-01T12:34:56-05:00\n\nDear Bob,\n\n> Shall we plant?\n\n"
        "Yes: größer.\n\n**Attachments:**\n\n- plän.pdf\n"
    )
    assert document.metadata["authors"] == ["Ann Exämple"]
    assert document.metadata["date"] == "2024-10-01T12:34:56-05:00"
    assert document.metadata["to"] == ["bob@example.org", "Carol <carol@example.org>"]
    assert document.metadata["reply_to"] == "<1@example.org>"
    assert named(message.as_bytes()) == {"plän.pdf": (b"%PDF-1.7 x", "application/pdf")}


def test_the_plain_body_is_preferred_unless_it_is_a_notice() -> None:
    html = b"Content-Type: text/html\n\n<p>Dear <b>Bob</b>, " + b"the trees stand in long rows. " * 20 + b"</p>\n"
    both = read(HEADER + multipart(b"alternative", b"\nDear Bob, the trees stand. " + b"Row by row. " * 30, html)).text
    assert "Row by row" in both
    assert "long rows" not in both
    notice = read(HEADER + multipart(b"alternative", b"\nPlease use a HTML viewer.", html)).text
    assert "Dear **Bob**" in notice
    assert "<p>" not in notice
    assert "Dear **Bob**" in read(HEADER + html).text


def test_every_text_of_a_mixed_mail_is_kept() -> None:
    html = b"Content-Type: text/html\n\n<p>The <i>message</i> of the list.</p>"
    footer = b"Content-Type: text/plain\n\nTo unsubscribe write to the list."
    inline = b"Content-Type: text/plain; name=x.txt\nContent-Disposition: inline\n\ninline words"
    text = read(HEADER + multipart(b"mixed", html, footer, inline)).text
    assert text.index("message") < text.index("unsubscribe") < text.index("inline words")


def test_mails_of_a_digest_are_read_and_attached_ones_are_files() -> None:
    inner = b"From: eve@example.org\nSubject: Inner\n\nInner words."
    digest = read(HEADER + multipart(b"digest", b"\n" + inner, b"Content-Type: message/rfc822\n\n" + inner))
    assert digest.text.count("## Inner\n\n**From:** eve@example.org\n\nInner words.") == 2
    attached = b"Content-Type: message/rfc822\nContent-Disposition: attachment\n\n" + inner
    content = HEADER + multipart(b"mixed", b"\nOuter words.", attached, attached)
    assert "Inner words" not in read(content).text
    files = named(content)
    assert list(files) == ["Inner.eml", "Inner (2).eml"]
    assert "Inner words." in read(files["Inner.eml"][0], files["Inner.eml"][1]).text


def test_small_pictures_that_the_body_shows_and_signatures_are_left_out() -> None:
    html = b'Content-Type: text/html\n\n<p>Look</p><img src="cid:logo@x"><img src="cid:big@x">'
    picture = b"Content-Type: image/png\nContent-Transfer-Encoding: 8bit\nContent-ID: <%s@x>\n\n%s"
    other = b"Content-Type: image/png; name=other.png\nContent-Transfer-Encoding: 8bit\n\nabc"
    signature = b"Content-Type: application/pgp-signature; name=s.asc\n\nxyz"
    parts = (html, picture % (b"logo", b"x" * 90), picture % (b"big", b"y" * 20_000), other, signature)
    assert {name: len(content) for name, (content, _) in named(HEADER + multipart(b"related", *parts)).items()} == {
        "attachment 1.png": 20_000,
        "other.png": 3,
    }


def test_a_saved_page_gives_its_words_without_what_it_looks_like() -> None:
    root = b"Content-Type: text/html; charset=utf-8\nContent-Location: https://x.example/\n\n<h2>Page</h2><p>Words.</p>"
    style = b"Content-Type: text/css\nContent-Location: https://x.example/a.css\n\np{color:red}"
    content = HEADER + multipart(b"related; type=text/html", root, style)
    assert "## Page\n\nWords." in read(content).text
    assert named(content) == {}


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (HEADER + b'Content-Type: text/plain; charset="utf-8"\n\ngr\xfc\xdfe aus K\xf6ln', "grüße aus Köln"),
        (HEADER + b"Content-Type: text/plain; charset=us-ascii\n\ngr\xc3\xbc\xc3\x9fe", "grüße"),
        (HEADER + b"Content-Type: text/plain; charset=no-such-thing\n\ngr\xc3\xbc\xc3\x9fe", "grüße"),
        (HEADER + b'Content-Type: text/plain; charset = "UTF-8"Content-Transfer-Encoding: 8bit\n\nfine', "fine"),
        (HEADER + b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\nd29yZHMgaGVyZQ=!!", "words here"),
        (HEADER + b"Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\ngr=C3=BC=C3=9Fe=ZZ", "grüße"),
        (HEADER + b"Content-Type: text/plain; charset=utf-8; format=flowed\n\n> one \n> two\nthree \nfour\n-- \nAnn",
         "> one two\nthree four\n-- \nAnn"),
        (HEADER + b"Content-Type: multipart/mixed\n\nno boundary", "no boundary"),
        (HEADER + b'Content-Type: multipart/mixed; boundary="b1"\n\nnever opened', "never opened"),
        (HEADER + b'Content-Type: multipart/mixed; boundary="b1"\n\n--b1\n\nnever closed', "never closed"),
        (HEADER + b"Content-Type: rubbish\n\nplain words", "plain words"),
        (HEADER + b"Date: INVALID\n\nbody", "**Date:** INVALID"),
        (b"Subject: =?utf-8?b?w7w=?= =?nonsense?q?=FC?= =?utf-8?x?\nFrom: \xfc <<>@,\n\nbody", "# ü"),
        (b"\xef\xbb\xbf\r\nSubject: marked\r\n\r\nbody\r\nmore", "body\nmore"),
        ("Subject: wide\n\ngrün".encode("utf-16"), "grün"),
        ("Subject: wide without a mark\n\ngrün".encode("utf-16-be"), "grün"),
        (HEADER + b"Content-Type: text/plain\n\nnul\0 \xff\xfe bytes", "nul"),
        (HEADER + b"Content-Type: text/html\n\n" + b"<div>" * 5_000 + b"deep words", "deep words"),
        (HEADER + b"To: " + b'"' * 30_000 + b"\n\nbody", "body"),
        (HEADER + b"Content-Disposition: inline; " + b"a=b; " * 30_000 + b"\n\nbody", "body"),
    ],
    ids=range(20),
)  # fmt: skip
def test_broken_mails_are_read_all_the_same(content: bytes, kept: str) -> None:
    assert kept in read(content).text


def test_what_is_no_mail_is_refused_with_a_reason() -> None:
    with pytest.raises(ReadError, match=r"damaged.*no header"):
        read(b"\x00\x01\x02 this is nothing")
    nested = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(3_000))
    with pytest.raises(ReadError, match="nested too deeply"):
        read(HEADER + nested)


def test_parts_beyond_a_depth_or_number_and_encrypted_bodies_are_findings() -> None:
    nested = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(50))
    assert "deep" in read(HEADER + nested + b"\nwords").findings[0].message
    many = read(HEADER + multipart(b"mixed", *[b"\nx"] * 3_000))
    assert "more than 2000 parts" in many.findings[0].message
    locked = read(HEADER + multipart(b"encrypted", b"Content-Type: application/pgp-encrypted\n\nVersion: 1"))
    assert "encrypted" in locked.findings[0].message
    assert locked.title == "Trees"


@given(st.lists(st.text(max_size=30), max_size=6))
def test_names_of_attachments_are_plain_and_different(names: list[str]) -> None:
    parts = [
        b"Content-Type: application/pdf\nContent-Disposition: attachment; filename*=utf-8''"
        + quote(name.encode("utf-8", "replace"), safe="").encode()
        + b"\n\nabc"
        for name in names
    ]
    found = [name for name, _, _ in attachments(HEADER + multipart(b"mixed", b"\nwords", *parts), RFC822)]
    assert len(found) == len(names)
    assert len({name.casefold() for name in found}) == len(found)
    assert all(name.strip(". ") and not set(name) & set('/\\:\0\r\n"<>|') for name in found)


@given(st.binary(max_size=300), st.sampled_from([RFC822, OUTLOOK]))
def test_any_bytes_are_read_or_refused(content: bytes, media_type: str) -> None:
    for start in (b"", HEADER, HEADER + b"Content-Type: multipart/mixed; boundary=b\n\n--b\n"):
        with suppress(ReadError):
            assert read(start + content + b".", media_type).markup == "markdown"


SENT = dt.datetime(2026, 5, 20, 10, 30, tzinfo=dt.UTC)
DEEPEST = {**outlook.fixed(24), **outlook.text(0x0037, "Deepest"), **outlook.text(0x1000, "Deepest words.")}
INNER = {
    **outlook.fixed(24),
    **outlook.text(0x0037, "Inner"),
    **outlook.text(0x1000, "Inner words."),
    "__attach_version1.0_#00000000": {**outlook.fixed(8, outlook.number(0x3705, 5)), "__substg1.0_3701000D": DEEPEST},
}
MESSAGE = {
    **outlook.fixed(32, outlook.time(0x0039, SENT), outlook.number(0x3FDE, 1252)),
    **outlook.text(0x0037, "Bäume"),
    **outlook.text(0x0C1A, "Ann Example"),
    **outlook.text(0x5D01, "ann@example.org"),
    "__substg1.0_1000001E": "Dear Bob,\r\n\r\ngrüße.".encode("cp1252"),
    "__recip_version1.0_#00000000": outlook.recipient("Bob", "bob@example.org", 1),
    "__recip_version1.0_#00000001": outlook.recipient("Carol", "carol@example.org", 2),
    "__attach_version1.0_#00000000": outlook.attachment("plan.pdf", b"%PDF" * 2_000, "application/pdf"),
    "__attach_version1.0_#00000001": {
        **outlook.fixed(8, outlook.number(0x3705, 5)),
        "__substg1.0_3701000D": INNER,
    },
}


def test_an_outlook_message_reads_like_any_mail() -> None:
    content = outlook.compound(MESSAGE)
    document = read_document(content, source_uri="a.msg", media_type="", settings=ReadingSettings())
    assert document.title == "Bäume"
    assert document.text == (
        "# Bäume\n\n**From:** Ann Example <ann@example.org>\n**To:** Bob <bob@example.org>\n"
        "**Cc:** Carol <carol@example.org>\n**Date:** 2026-05-20T10:30:00+00:00\n\nDear Bob,\n\ngrüße.\n\n"
        "**Attachments:**\n\n- plan.pdf\n- Inner.eml\n"
    )
    files = named(content, OUTLOOK)
    assert files["plan.pdf"] == (b"%PDF" * 2_000, "application/pdf")
    inner = read(files["Inner.eml"][0], files["Inner.eml"][1])
    assert inner.text == "# Inner\n\nInner words.\n\n**Attachments:**\n\n- Deepest.eml\n"
    assert b"Deepest words." in named(files["Inner.eml"][0])["Deepest.eml"][0]


def test_an_outlook_body_in_html_or_rtf_is_read() -> None:
    page = b'<html><meta charset="utf-8"><p>Dear <b>Bob</b></p><img src="cid:logo">'
    html = {
        **outlook.fixed(32, outlook.number(0x3FDE, 65001)),
        **outlook.binary(0x1013, page),
        "__attach_version1.0_#00000000": outlook.attachment("logo.png", b"x" * 50, "image/png", "logo"),
    }
    assert "Dear **Bob**" in read(outlook.compound(html), OUTLOOK).text
    assert named(outlook.compound(html), OUTLOOK) == {}
    rtf = rb"{\rtf1\ansi Dear Bob, the trees stand.}"
    packed = struct.pack("<IIiI", len(rtf) + 12, len(rtf), 0x414C454D, 0) + rtf
    assert (
        "the trees stand"
        in read(outlook.compound({**outlook.fixed(32), **outlook.binary(0x1009, packed)}), OUTLOOK).text
    )


def test_compressed_rtf_is_unpacked() -> None:
    """The example of [MS-OXRTFCP] 3.1.1."""
    packed = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    )
    assert unpack_rtf(packed) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"


@pytest.mark.parametrize(
    "content", [outlook.compound(MESSAGE)[:900], outlook.compound({"x": b"y"}), b"\xd0\xcf\x11\xe0"]
)
def test_a_damaged_outlook_message_is_refused_with_a_reason(content: bytes) -> None:
    with pytest.raises(ReadError, match=r"damaged|no Outlook message"):
        read(content, OUTLOOK)
