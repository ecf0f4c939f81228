"""Mailboxes: many mails in one file."""

from __future__ import annotations

import io
import mailbox
from email.message import EmailMessage
from pathlib import Path

import pytest

from dataflow_assets.source_settings import ArchiveSettings
from dataflow_assets.stages.unpack import Member, is_container, unpack


def members(content: bytes, **limits: int) -> list[Member]:
    return list(
        unpack(
            io.BytesIO(content),
            name="in.mbox",
            media_type="application/mbox",
            settings=ArchiveSettings(),
            max_member_bytes=limits.get("max_member_bytes", 100_000),
        )
    )


def mail(subject: str, body: str, attachment: str | None = None) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "ann@example.org", "bob@example.org", subject
    made.set_content(body)
    if attachment:
        made.add_attachment(attachment.encode(), maintype="text", subtype="plain", filename="note.txt")
    return made


@pytest.fixture
def box(tmp_path: Path) -> bytes:
    """A mailbox as Python's own library writes it."""
    with_attachment = mail("Third", "See the note.", "The note says so.")
    written = mailbox.mbox(tmp_path / "in.mbox")
    for each in (mail("First", "Hello.\n\nFrom here on it is quoted.\n"), mail("Second", "Again."), with_attachment):
        written.add(each)
    written.close()
    return (tmp_path / "in.mbox").read_bytes()


def test_every_mail_is_a_document_and_so_are_attachments(box: bytes) -> None:
    assert is_container(box[:1000], "in.mbox", "application/mbox")
    found = members(box)
    assert [member.path.rpartition(".")[2] for member in found] == ["eml", "eml", "eml", "txt"]
    assert found[3].path == f"{found[2].path}!/note.txt"
    assert b"\nFrom here on it is quoted." in (found[0].content or b"")
    assert b"Subject: Second" in (found[1].content or b"")


def test_a_mail_keeps_its_name_when_another_comes_or_goes(box: bytes) -> None:
    names = [member.path for member in members(box)]
    second = box.index(b"From ", box.index(b"quoted"))
    assert [member.path for member in members(box[second:])] == names[1:]


def test_the_same_mail_twice_has_two_names(box: bytes) -> None:
    paths = [member.path for member in members(box + b"\n" + box)]
    assert len(paths) == len(set(paths)) == 8


def test_a_mail_that_is_too_large_is_one_with_a_problem(box: bytes) -> None:
    large = b"From x\nSubject: large\n\n" + b"x" * 2000 + b"\n\n" + box
    found = members(large, max_member_bytes=1500)
    assert "more" in (found[0].problem or "")
    assert len(found) == 5


@pytest.mark.parametrize("content", [b"From \n", b"From me to you, a letter.\n\nHello", b"\x00" * 100])
def test_what_is_no_mailbox_is_not_opened(content: bytes) -> None:
    assert not is_container(content, "in.mbox", "application/mbox")
