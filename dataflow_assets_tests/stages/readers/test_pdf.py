from __future__ import annotations

import io
import random

import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_assets.errors import ReadError
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.stages.read import read_document
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.pdf import is_broken, read_pdf
from dataflow_assets.stages.readers.pdf_file import iso_date
from dataflow_assets_tests.stages.readers.pdf_maker import page_of, pdf, text_at

_PROSE = [
    "The pump is checked each spring, before the first frost of the",
    "next season can be expected, by two people who know it well.",
]


def _read(content: bytes, *, passwords: tuple[str, ...] = ()) -> Reading:
    return read_pdf(Item(content, "a.pdf", "application/pdf", passwords=passwords))


def test_headings_paragraphs_and_lists_become_markdown() -> None:
    page = page_of(("Handbook of Pumps", 24), "", ("Spring", 16), *_PROSE, "", "\x95 the valve", "\x95 the motor")
    reading = _read(pdf([page]))
    assert reading.text == (
        "# Handbook of Pumps\n\n## Spring\n\n" + "\n".join(_PROSE) + "\n\n- the valve\n- the motor\n"
    )
    assert reading.title == "Handbook of Pumps"


def test_a_bold_line_that_stands_apart_is_a_heading() -> None:
    page = "\n".join(
        [
            text_at(60, 700, _PROSE[0]), text_at(60, 686, _PROSE[1]),
            text_at(60, 650, "Before winter", font="F2"),
            text_at(60, 636, _PROSE[0]), text_at(60, 622, _PROSE[1]),
        ]
    )  # fmt: skip
    assert "\n\n## Before winter\n\n" in "\n\n#" + _read(pdf([page])).text.replace("\n\n# ", "\n\n## ")


def test_pages_are_sections_that_cover_the_text() -> None:
    reading = _read(pdf([page_of("On the first page."), "", page_of("On the third page.")]))
    assert [(section.page, reading.text[section.start : section.end].strip()) for section in reading.sections] == [
        (1, "On the first page."), (3, "On the third page."),
    ]  # fmt: skip
    assert reading.sections[0].end == reading.sections[1].start
    assert reading.sections[-1].end == len(reading.text)
    assert reading.metadata["pages"] == 3
    assert reading.metadata["pages_without_text"] == [2]


def test_a_word_that_is_broken_at_the_end_of_a_line_is_put_together() -> None:
    page = page_of("Look at the whole docu-", "ment, and at every well-", "known word of it; a well-known one.")
    assert "document, and at every well-known word" in " ".join(_read(pdf([page])).text.split())


def test_text_that_looks_like_markdown_stays_text() -> None:
    text = _read(pdf([page_of("# not a heading", "---", "```")])).text
    assert [line for line in text.splitlines() if line] == [r"\# not a heading", r"\---", r"\```"]


def test_what_the_file_says_of_itself() -> None:
    info = (
        "/Title (Care of pumps) /Author (Ada Lovelace; Alan Turing) /Subject (How pumps are kept) "
        "/Keywords (pumps, care) /CreationDate (D:20240229120000Z)"
    )
    reading = _read(pdf([page_of("Text of the page.")], info=info))
    assert (reading.title, reading.tags) == ("Care of pumps", ("pumps", "care"))
    assert reading.metadata["authors"] == ["Ada Lovelace", "Alan Turing"]
    assert reading.metadata["date"] == "2024-02-29"
    assert reading.metadata["description"] == "How pumps are kept"


@pytest.mark.parametrize(
    "title", ["untitled", "Microsoft Word - draft7.doc", "scan0042.pdf", "PowerPoint Presentation"]
)
def test_a_title_that_a_program_gave_is_none(title: str) -> None:
    assert _read(pdf([page_of("Text of the page.")], info=f"/Title ({title})")).title is None


@pytest.mark.parametrize(
    ("said", "date"),
    [("D:20240229", "2024-02-29"), ("D:2024", "2024-01-01"), ("D:20240231", None), ("yesterday", None), ("", None)],
)
def test_dates(said: str, date: str | None) -> None:
    assert iso_date(said) == date


def test_passwords_are_tried_in_turn() -> None:
    content = pdf([page_of("Behind the lock.")], password="sesame")
    assert _read(content, passwords=("wrong", "sesame")).text == "Behind the lock.\n"
    for passwords in ((), ("wrong",), ("wr\udc80ng",)):
        with pytest.raises(ReadError, match=r"protected by a password.*reading\.passwords"):
            _read(content, passwords=passwords)


def test_an_empty_password_opens_by_itself() -> None:
    assert _read(pdf([page_of("Everyone may read.")], password="")).text == "Everyone may read.\n"


def test_files_that_it_carries_are_named() -> None:
    document = pypdfium2.PdfDocument(pdf([page_of("See the attachment.")]))
    document.new_attachment("figures.csv").set_data(b"1,2,3")
    written = io.BytesIO()
    document.save(written)
    assert _read(written.getvalue()).metadata["attachments"] == ["figures.csv"]


def test_form_fields_and_comments_are_read() -> None:
    field = (
        "<< /Type /Annot /Subtype /Widget /FT /Tx /T (Name) /V (Grace Hopper) /Rect [60 600 200 620] /P 20 0 R "
        "/DA (/F1 10 Tf) >>"
    )
    comment = "<< /Type /Annot /Subtype /Text /Rect [10 10 30 30] /Contents (Please check.) /T (Ada) >>"
    text = _read(pdf([page_of("A form.")], annotations=[comment], fields=[field])).text
    assert text == "A form.\n\nComment by Ada: Please check.\n\nName: Grace Hopper\n"


def test_without_text_it_is_rejected_with_what_to_do() -> None:
    for pages in ([""], ["", "0 0 100 100 re f"]):
        with pytest.raises(ReadError, match=r"no text.*scan.*reading\.ocr"):
            _read(pdf(pages))


def test_a_text_layer_of_a_font_without_a_map_is_no_text() -> None:
    private = "/CIDInit begincmap 1 begincodespacerange <00> <ff> endcodespacerange "
    private += "1 beginbfrange <41> <7a> <E041> endbfrange endcmap"
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 101 0 R >>"
    objects = [font, f"<< /Length {len(private)} >>\nstream\n{private}\nendstream"]
    bad = text_at(60, 700, "SomethingThatNobodyCanRead", font="F9")
    content = pdf([page_of("A page that can be read."), bad], fonts="/F9 100 0 R", objects=objects)
    reading = _read(content)
    assert reading.metadata["pages_without_text"] == [2]
    assert [finding.validator for finding in reading.findings] == ["broken_text_layer"]
    assert "page 2" in reading.findings[0].message


def test_a_file_of_nothing_but_broken_text_is_rejected() -> None:
    cmap = "/CIDInit begincmap 1 begincodespacerange <00> <ff> endcodespacerange "
    cmap += "1 beginbfrange <41> <7a> <E041> endbfrange endcmap"
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 101 0 R >>"
    objects = [font, f"<< /Length {len(cmap)} >>\nstream\n{cmap}\nendstream"]
    page = text_at(60, 700, "SomethingThatNobodyCanRead", font="F9")
    with pytest.raises(ReadError, match=r"no readable text.*reading\.ocr"):
        _read(pdf([page], fonts="/F9 100 0 R", objects=objects))


def test_broken_and_sound_texts() -> None:
    assert is_broken("\ue041\ue042" * 20)
    assert is_broken("(cid:12)(cid:7)" * 20)
    assert not is_broken("A sentence with an icon \uf0b7 in it.")
    assert not is_broken("短い文章ですが、これは読めます。")
    assert not is_broken("\ue041")


def test_a_file_without_its_end_is_recovered_and_says_so() -> None:
    content = pdf([page_of("Still here.")])
    reading = _read(content[: content.rindex(b"xref\n0")])
    assert reading.text == "Still here.\n"
    assert [finding.validator for finding in reading.findings] == ["truncated"]


def test_pages_that_are_cut_off_before_their_text_are_damaged_and_no_scan() -> None:
    content = pdf([page_of(*(f"Line {n}." for n in range(40)))])
    cut = content[: content.index(b"stream\n") + 9]
    with pytest.raises(ReadError, match="damaged: it is cut off"):
        _read(cut)
    # A file for the web has an end of its first page too, near its start.
    linearized = cut.replace(b"endobj\n", b"endobj\nstartxref\n0\n%%EOF\n", 1)
    head = b"%%PDF-1.4\n9 0 obj\n<< /Linearized 1 /L %d /H [ 1 2 ] >>\nendobj\n"
    with pytest.raises(ReadError, match="damaged: it is cut off"):
        _read(head % 90_000 + linearized.partition(b"\n")[2])
    with pytest.raises(ReadError, match="an image such as a scan"):
        _read(head % 600 + linearized.partition(b"\n")[2])


@pytest.mark.parametrize("content", [b"%PDF-1.7\n", b"%PDF-1.7\n" + b"\0" * 5000, b"no PDF"])
def test_what_cannot_be_recovered_is_damaged(content: bytes) -> None:
    with pytest.raises(ReadError, match="damaged"):
        _read(content)


def test_arabic_ligatures_keep_the_order_of_their_letters() -> None:
    """One glyph, two letters: PDFium turns them around together with the line."""
    cmap = "/CIDInit begincmap 1 begincodespacerange <00> <ff> endcodespacerange 3 beginbfchar "
    cmap += "<41> <0627> <42> <FEF7> <43> <0645> endbfchar endcmap"
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 101 0 R >>"
    objects = [font, f"<< /Length {len(cmap)} >>\nstream\n{cmap}\nendstream"]
    # As it stands on paper, from left to right: meem, the ligature lam-alef, alef; read from right to left.
    content = pdf([text_at(60, 700, "CBA", font="F9")], fonts="/F9 100 0 R", objects=objects)
    assert _read(content).text.strip() == "الأم"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_no_damage_does_more_than_reject(seed: int, cut: bool) -> None:
    chance = random.Random(seed)
    content = bytearray(pdf([page_of("One.", "Two."), page_of("Three.")], info="/Title (T)"))
    if cut:
        content = content[: chance.randrange(len(content))]
    else:
        for _ in range(20):
            content[chance.randrange(len(content))] = chance.randrange(256)
    try:
        reading = _read(bytes(content))
    except ReadError:
        return
    assert reading.sections[-1].end == len(reading.text)


def test_the_registry_sends_pdf_here() -> None:
    document = read_document(
        pdf([page_of("Found by its first bytes.")]),
        source_uri="misnamed.txt",
        media_type="text/plain",
        settings=ReadingSettings(),
    )
    assert document.metadata["reader"] == "pdf"
