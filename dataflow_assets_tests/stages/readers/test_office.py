from __future__ import annotations

import io
import random

import msoffcrypto.format.ooxml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_assets.errors import ReadError
from dataflow_assets.media_types import media_type_of
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.stages.read import read_document
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.kreuzberg_text import mended
from dataflow_assets.stages.readers.office import read_office
from dataflow_assets_tests.stages.readers.office_maker import (
    WORD,
    docx,
    epub,
    odf,
    paragraph,
    pptx,
    relations,
    shape,
    slide,
    zipped,
)


def _read(content: bytes, name: str = "a.docx", *, passwords: tuple[str, ...] = ()) -> Reading:
    return read_office(Item(content, name, media_type_of(name), passwords=passwords))


def test_a_word_document_becomes_markdown() -> None:
    table = "".join(
        f"<w:tr><w:tc>{paragraph(first)}</w:tc><w:tc>{paragraph(second)}</w:tc></w:tr>"
        for first, second in (("Part", "Check"), ("Valve", "yearly"))
    )
    reading = _read(docx(paragraph("Pumps", style="Heading1") + paragraph("Two are kept.") + f"<w:tbl>{table}</w:tbl>"))
    assert (
        reading.text.lstrip("#") == " Pumps\n\nTwo are kept.\n\n| Part | Check |\n| --- | --- |\n| Valve | yearly |\n"
    )
    assert reading.text.startswith("#")
    assert (reading.title, reading.tags) == ("Care of pumps", ("pumps", "care"))
    assert (reading.metadata["authors"], reading.metadata["date"]) == (["Ada Lovelace"], "2024-05-06")


def test_headers_notes_and_comments_are_read_too() -> None:
    content = docx(
        paragraph("The text."),
        related=(
            ("h1", "header", "header1.xml"), ("h2", "header", "header2.xml"), ("f1", "footer", "footer1.xml"),
            ("n1", "footnotes", "footnotes.xml"), ("c1", "comments", "comments.xml"),
        ),
        parts={
            "word/header1.xml": f"<w:hdr {WORD}>{paragraph('Confidential')}</w:hdr>",
            "word/header2.xml": f"<w:hdr {WORD}>{paragraph('Confidential')}</w:hdr>",
            "word/footer1.xml": f"<w:ftr {WORD}>{paragraph('Pumps Ltd')}</w:ftr>",
            "word/footnotes.xml": f'<w:footnotes {WORD}><w:footnote w:id="0" w:type="separator">{paragraph("---")}'
            f'</w:footnote><w:footnote w:id="2">{paragraph("Since 1952.")}</w:footnote></w:footnotes>',
            "word/comments.xml": f'<w:comments {WORD}><w:comment w:id="1" w:author="Alan">{paragraph("Really?")}</w:comment>'
            "</w:comments>",
        },
    )  # fmt: skip
    text = _read(content).text
    assert text.startswith("The text.\n")
    for said in ("Confidential", "Pumps Ltd", "Since 1952.", "Comment by Alan: Really?"):
        assert text.count(said) == 1
    assert "---" not in text


def test_text_boxes_and_content_controls_are_read_once() -> None:
    box = (
        '<w:r><mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"><mc:Choice>'
        f"<w:drawing><w:txbxContent>{paragraph('In the box.')}</w:txbxContent></w:drawing></mc:Choice><mc:Fallback>"
        f"<w:pict><w:txbxContent>{paragraph('In the box.')}</w:txbxContent></w:pict></mc:Fallback></mc:AlternateContent></w:r>"
    )
    control = f"<w:sdt><w:sdtContent>{paragraph('In the control.')}</w:sdtContent></w:sdt>"
    text = _read(docx(paragraph("Before.", inside=box) + control)).text
    for said in ("Before.", "In the box.", "In the control."):
        assert text.count(said) == 1


def test_what_the_library_cannot_read_is_converted_plainly() -> None:
    """Its text stands in a part of another name than the usual one."""
    deleted = (
        "<w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:ins><w:r><w:t>kept</w:t></w:r></w:ins></w:p>"
    )
    item = '<w:p><w:pPr><w:numPr><w:ilvl w:val="0"/></w:numPr></w:pPr><w:r><w:t>an item</w:t></w:r></w:p>'
    body = paragraph("Pumps", style="Heading2") + deleted + item
    content = docx(
        "",
        parts={
            "_rels/.rels": relations(("r1", "officeDocument", "word/document2.xml")),
            "word/document2.xml": f"<w:document {WORD}><w:body>{body}</w:body></w:document>",
        },
    )
    text = _read(content).text
    assert [line for line in text.splitlines() if line] == ["## Pumps", "kept", "- an item"]


def test_entities_are_neither_expanded_nor_fetched(tmp_path: object) -> None:
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha"}">' for n in range(10))
    for doctype, used in (
        (f"<!DOCTYPE w:document [{laughs}]>", "&a9;"),
        ('<!DOCTYPE w:document [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "&x;"),
    ):
        text = _read(docx(paragraph(f"before {used} after"), doctype=doctype)).text
        assert len(text) < 100
        assert "root:" not in text


def test_bombs_are_refused_before_they_are_unpacked() -> None:
    bomb = zipped({"word/media/image1.bin": b"\0" * 25_000_000})
    crowd = zipped({f"x{number}": "" for number in range(20_001)})
    for name in ("a.docx", "a.pptx", "a.odt", "a.epub"):
        with pytest.raises(ReadError, match="unpacks to more"):
            _read(bomb, name)
        with pytest.raises(ReadError, match="parts, more than"):
            _read(crowd, name)


def test_sizes_in_the_directory_are_not_believed() -> None:
    content = bytearray(docx(paragraph("Small."), parts={"word/styles.xml": b"<a>" + b" " * 25_000_000 + b"</a>"}))
    entry = content.rindex(b"word/styles.xml") - 46
    content[entry + 24 : entry + 28] = (1_000).to_bytes(4, "little")
    with pytest.raises(ReadError, match="unpacks to more"):
        _read(bytes(content))


def test_deep_nesting_is_no_recursion() -> None:
    deep = "<w:tbl><w:tr><w:tc>" * 5_000 + paragraph("deep") + "</w:tc></w:tr></w:tbl>" * 5_000
    assert "after" in _read(docx(deep + paragraph("after"))).text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.docx", docx(paragraph("Text."))), ("a.pptx", pptx(slide(shape("Text.")))), ("a.odp", odf("", kind="presentation")),
        ("a.odt", odf("<text:p>Text.</text:p>")), ("a.epub", epub("<p>Text.</p>")), ("a.rtf", rb"{\rtf1 Text.}"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600), ("a.ppt", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\1" * 600),
    ],
)  # fmt: skip
def test_a_truncated_document_is_damaged(name: str, content: bytes) -> None:
    with pytest.raises(ReadError, match="damaged"):
        _read(content[: len(content) * 2 // 3], name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.docx", docx("")),
        ("a.pptx", pptx(slide())),
        ("a.odp", odf("<draw:page/>", kind="presentation")),
        ("a.epub", epub("")),
    ],
)
def test_a_blank_document_has_no_text(name: str, content: bytes) -> None:
    with pytest.raises(ReadError, match="no text"):
        _read(content, name)


_BULK = {"word/media/noise.bin": random.Random(1).randbytes(8_000)}
"""Smaller packages are laid out in a way that the library can read and not write."""


def _encrypted(content: bytes, password: str) -> bytes:
    written = io.BytesIO()
    msoffcrypto.format.ooxml.OOXMLFile(io.BytesIO(content)).encrypt(password, written)
    return written.getvalue()


def test_passwords_open_office_documents() -> None:
    content = _encrypted(docx(paragraph("Behind the lock."), parts=_BULK), "sesame")
    assert _read(content, passwords=("wrong", "sesame")).text == "Behind the lock.\n"
    for passwords in ((), ("wrong",)):
        with pytest.raises(ReadError, match=r"protected by a password.*reading\.passwords"):
            _read(content, passwords=passwords)


def test_a_protected_presentation_is_no_damaged_one() -> None:
    content = _encrypted(pptx(slide(shape("Locked.")), parts=_BULK), "sesame")
    document = read_document(
        content, source_uri="a.pptx", media_type="", settings=ReadingSettings(), passwords=("sesame",)
    )
    assert document.text == "Locked.\n"
    with pytest.raises(ReadError, match="presentation is protected by a password"):
        _read(content, "a.pptx")


def test_protected_opendocument_files_and_books_say_so() -> None:
    with pytest.raises(ReadError, match="protected by a password"):
        _read(odf("<text:p>x</text:p>", manifest="<encryption-data/>"), "a.odt")
    with pytest.raises(ReadError, match="protected"):
        _read(epub("<p>x</p>", encryption='<e Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/>'), "a.epub")


def test_a_book() -> None:
    reading = _read(epub("<h1>One</h1><p>First words.</p>", "<h1>Two</h1><p>Last words.</p>"), "a.epub")
    assert [line for line in reading.text.splitlines() if line] == ["# One", "First words.", "# Two", "Last words."]
    assert (reading.title, reading.language) == ("A book of pumps", "en")
    assert (reading.metadata["authors"], reading.metadata["date"]) == (["Ada Lovelace"], "2024-05-06")


def test_a_page_of_a_book_that_nests_without_end_is_read() -> None:
    deep = "<div>" * 50_000 + "deep" + "</div>" * 50_000
    assert _read(epub("<p>First words.</p>", deep), "a.epub").text.split() == ["First", "words.", "deep"]


def test_rich_text() -> None:
    content = rb"{\rtf1\ansi Caf\'e9 is \b bold\b0 , \u8364? is a sign.\par Second.}"
    assert _read(content, "a.rtf").text == "Café is **bold**, € is a sign.\n\nSecond.\n"
    assert _read(content, "misnamed.doc").text.startswith("Café")


def test_markdown_is_mended() -> None:
    assert mended("Let’s go\\! 1\\. a\\_b\n\\# no heading") == "Let’s go! 1. a_b\n\\# no heading\n"
    assert mended("```\na\\_b\n```") == "```\na\\_b\n```\n"
    assert mended("$$a\\_b$$") == "$$a\\_b$$\n"
    assert (
        mended("| a | b |\n| ----- | - |\n| \\*\\*x\\*\\* | \\<u\\>y\\</u\\> |")
        == "| a | b |\n| --- | --- |\n| **x** | y |\n"
    )
    assert mended("![x](data:image/png;base64,AAAA)") == "![x](picture)\n"


def test_a_long_table_is_written_in_blocks_with_the_header() -> None:
    table = "| Part | Check |\n| --- | --- |\n" + "".join(
        f"| Valve {count} | every year in spring |\n" for count in range(300)
    )
    blocks = mended(table).strip().split("\n\n")
    assert len(blocks) > 3
    assert all(block.startswith("| Part | Check |\n| --- | --- |\n| Valve") and len(block) < 3_200 for block in blocks)
    assert sum(block.count("| Valve ") for block in blocks) == 300


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["a.docx", "a.pptx", "a.odt", "a.odp", "a.epub", "a.rtf"]))
def test_no_damage_does_more_than_reject(seed: int, name: str) -> None:
    chance = random.Random(seed)
    content = bytearray(
        {
            "a.docx": docx(paragraph("Text.") * 9), "a.pptx": pptx(slide(shape("Text."))), "a.odt": odf("<text:p>Text.</text:p>"),
            "a.odp": odf("<draw:page><draw:frame><text:p>Text.</text:p></draw:frame></draw:page>", kind="presentation"),
            "a.epub": epub("<p>Text.</p>"), "a.rtf": rb"{\rtf1\ansi Text \b text\par}",
        }[name]
    )  # fmt: skip
    for _ in range(chance.randrange(1, 12)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    try:
        reading = _read(bytes(content), name)
    except ReadError:
        return
    assert reading.text.strip()
