"""Slides of Open XML, OpenDocument and the old binary format."""

from __future__ import annotations

import struct

import pytest

from dataflow_assets.errors import ReadError
from dataflow_assets.media_types import media_type_of
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.office import read_office
from dataflow_assets.stages.readers.ppt import _boxes, _slides
from dataflow_assets_tests.stages.readers.office_maker import odf, pptx, shape, slide


def _read(content: bytes, name: str = "a.pptx") -> Reading:
    return read_office(Item(content, name, media_type_of(name)))


def _pages(reading: Reading) -> dict[int | None, str]:
    assert reading.sections[-1].end == len(reading.text)
    return {section.page: reading.text[section.start : section.end].strip() for section in reading.sections}


def test_a_slide_is_a_page() -> None:
    reading = _read(
        pptx(
            slide(
                shape("First point\nSecond point", place="body"),
                shape("Pumps", place="title"),
                shape("7", place="sldNum"),
            ),
            slide(),
            slide(shape("A box."), shape("one\ntwo", marks='<a:buAutoNum type="arabicPeriod" startAt="3"/>')),
        )
    )
    assert _pages(reading) == {1: "# Pumps\n\n- First point\n- Second point", 3: "A box.\n\n3. one\n4. two"}
    assert (reading.title, reading.metadata["pages"], reading.metadata["pages_without_text"]) == ("Pumps", 3, [2])


def test_notes_and_comments_belong_to_their_slide() -> None:
    reading = _read(
        pptx(
            slide(shape("Pumps", place="title")),
            slide(shape("Valves", place="title")),
            related={
                1: (("n", "notesSlide", "../notesSlides/n1.xml"), ("c", "comments", "../comments/c1.xml")),
                2: (("x", "notesSlide", "../notesSlides/missing.xml"),),
            },
            parts={
                "ppt/notesSlides/n1.xml": slide(
                    shape("Speak slowly.", place="body"), shape("1", place="sldNum"), kind="notes"
                ),
                "ppt/commentAuthors.xml": '<l><cmAuthor id="0" name="Ada"/></l>',
                "ppt/comments/c1.xml": '<l><cm authorId="0" dt="2024-05-06T07:00:00"><text>Too long.</text></cm></l>',
            },
        )
    )
    assert _pages(reading) == {
        1: "# Pumps\n\nNotes:\n\nSpeak slowly.\n\nComment by Ada (2024-05-06T07:00:00): Too long.",
        2: "# Valves",
    }


def test_tables_say_merged_cells_in_each_row() -> None:
    def row(*cells: str) -> str:
        return "<a:tr>" + "".join(cells) + "</a:tr>"

    def cell(text: str, marks: str = "") -> str:
        return f"<a:tc {marks}><a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody></a:tc>"

    rows = [
        row(cell("Part", 'gridSpan="2"'), cell("", 'hMerge="1"'), cell("Check")),
        row(cell("Valve", 'rowSpan="2"'), cell("left"), cell("yearly")),
        row(cell("", 'vMerge="1"'), cell("right"), cell("monthly | weekly")),
    ]
    frame = f"<p:graphicFrame><a:graphic><a:graphicData><a:tbl>{''.join(rows)}</a:tbl></a:graphicData></a:graphic></p:graphicFrame>"
    assert _read(pptx(slide(frame))).text.splitlines() == [
        "| Part | Part | Check |",
        "| --- | --- | --- |",
        "| Valve | left | yearly |",
        "| Valve | right | monthly \\| weekly |",
    ]


def test_charts_and_diagrams_are_read() -> None:
    chart = (
        '<c:chartSpace xmlns:c="urn:c" xmlns:a="urn:a"><c:chart><c:title><a:t>Water</a:t></c:title><c:plotArea><c:barChart><c:ser>'
        "<c:tx><c:v>litres</c:v></c:tx><c:cat><c:pt idx='0'><c:v>May</c:v></c:pt><c:pt idx='1'><c:v>June</c:v></c:pt></c:cat>"
        "<c:val><c:pt idx='0'><c:v>0.10000000000000001</c:v></c:pt><c:pt idx='1'><c:v>7</c:v></c:pt></c:val>"
        "</c:ser></c:barChart></c:plotArea></c:chart></c:chartSpace>"
    )
    data = '<d:dataModel xmlns:d="urn:d" xmlns:a="urn:a"><a:p><a:r><a:t>Fill</a:t></a:r></a:p><a:p/><a:p><a:r><a:t>Drain</a:t></a:r></a:p></d:dataModel>'
    frames = (
        '<p:graphicFrame><c:chart xmlns:c="urn:c" r:id="c"/></p:graphicFrame>'
        '<p:graphicFrame><d:relIds xmlns:d="urn:d" r:dm="d"/></p:graphicFrame>'
    )
    content = pptx(
        slide(frames),
        related={1: (("c", "chart", "../charts/chart1.xml"), ("d", "diagramData", "/ppt/diagrams/data1.xml"))},
        parts={"ppt/charts/chart1.xml": chart, "ppt/diagrams/data1.xml": data},
    )
    assert _read(content).text == (
        "Bar chart\n\nWater\n\n|  | litres |\n| --- | --- |\n| May | 0.1 |\n| June | 7 |\n\n- Fill\n- Drain\n"
    )


def test_links_formulas_and_alternatives() -> None:
    link = '<p:sp><p:txBody><a:p><a:r><a:rPr><a:hlinkClick r:id="l"/></a:rPr><a:t>the site</a:t></a:r></a:p></p:txBody></p:sp>'
    choice = (
        '<mc:AlternateContent xmlns:mc="urn:mc"><mc:Choice>' + shape("chosen") + "</mc:Choice><mc:Fallback>" + shape("instead")
        + "</mc:Fallback></mc:AlternateContent>"
    )  # fmt: skip
    group = "<p:grpSp>" * 200 + shape("in groups") + "</p:grpSp>" * 200
    content = pptx(slide(link, choice, group), related={1: (("l", "hyperlink", "https://example.org/a"),)})
    assert _read(content).text == "[the site](https://example.org/a)\n\nchosen\n\nin groups\n"


def test_pictures_that_are_broken_cost_nothing_and_descriptions_are_text() -> None:
    picture = '<p:pic><p:nvPicPr><p:cNvPr id="1" descr="A pump in a garden"/></p:nvPicPr></p:pic>'
    named = '<p:pic><p:nvPicPr><p:cNvPr id="2" descr="Picture 3"/></p:nvPicPr><p:blipFill><a:blip r:embed="x"/></p:blipFill></p:pic>'
    assert _read(pptx(slide(picture, named, shape("Text.")))).text == "![A pump in a garden](picture)\n\nText.\n"


def test_a_malformed_slide_costs_itself() -> None:
    reading = _read(pptx(slide(shape("Sound.")), b"\0\1\2", slide(shape("Sound too."))))
    assert _pages(reading) == {1: "Sound.", 3: "Sound too."}
    assert [(finding.validator, finding.value) for finding in reading.findings] == [("damaged_pages", "1")]
    with pytest.raises(ReadError, match="damaged"):
        _read(pptx(b"\0", b"\0"))


def test_without_a_list_slides_follow_their_numbers() -> None:
    slides = [slide(shape(f"Slide {number}.")) for number in range(1, 12)]
    assert list(_pages(_read(pptx(*slides, main="<broken")))) == list(range(1, 12))


def test_an_opendocument_presentation() -> None:
    style = (
        '<text:list-style style:name="L1"><text:list-level-style-number text:level="1" style:num-format="1"/>'
        '<text:list-level-style-bullet text:level="2"/></text:list-style>'
    )
    listed = (
        '<draw:frame><draw:text-box><text:list text:style-name="L1"><text:list-item><text:p>one</text:p><text:list><text:list-item>'
        "<text:p>below</text:p></text:list-item></text:list></text:list-item><text:list-item><text:p>two</text:p></text:list-item>"
        "</text:list></draw:text-box></draw:frame>"
    )
    title = '<draw:frame presentation:class="title"><draw:text-box><text:p>Pumps</text:p></draw:text-box></draw:frame>'
    notes = "<presentation:notes><draw:frame><draw:text-box><text:p>Speak slowly.</text:p></draw:text-box></draw:frame></presentation:notes>"
    reading = _read(
        odf(f"<draw:page>{listed}{title}{notes}</draw:page><draw:page/>", kind="presentation", styles=style, title=""),
        "a.odp",
    )
    assert _pages(reading) == {1: "# Pumps\n\n1. one\n  - below\n2. two\n\nNotes:\n\nSpeak slowly."}
    assert (reading.title, reading.metadata["pages"], reading.metadata["pages_without_text"]) == ("Pumps", 2, [2])


def test_an_opendocument_text() -> None:
    table = (
        "<table:table><table:table-row><table:table-cell><text:p>Part</text:p></table:table-cell><table:table-cell/>"
        '</table:table-row><table:table-row><table:table-cell table:number-columns-repeated="2"><text:p>Valve</text:p>'
        "</table:table-cell></table:table-row></table:table>"
    )
    body = (
        '<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes><text:h text:outline-level="2">Care</text:h>'
        '<text:p>See<text:s text:c="2"/><text:a xlink:href="https://example.org/">here</text:a><text:note><text:note-body>'
        f"<text:p>A note.</text:p></text:note-body></text:note>.</text:p>{table}"
    )
    reading = _read(odf(body), "a.odt")
    assert reading.text == (
        "Running head\n\nPage\n\n## Care\n\nSee [here](https://example.org/).\n\nA note.\n\n"
        "| Part |  |\n| --- | --- |\n| Valve | Valve |\n"
    )
    assert (reading.title, reading.metadata["authors"]) == ("Care of pumps", ["Ada Lovelace"])


def _record(kind: int, body: bytes, *, holds: bool = False, instance: int = 0) -> bytes:
    return struct.pack("<HHI", instance << 4 | (0x0F if holds else 0), kind, len(body)) + body


def _text(kind: int, text: str) -> bytes:
    return _record(0x0F9F, struct.pack("<I", kind)) + _record(0x0FA0, text.encode("utf-16-le"))


def test_boxes_that_fill_a_rectangle_are_a_table_in_the_old_format() -> None:
    def cell(left: int, top: int, right: int, bottom: int, text: str) -> bytes:
        anchor = _record(0xF00F, struct.pack("<iiii", left, top, right, bottom))
        return _record(0xF004, anchor + _record(0xF00D, _text(4, text), holds=True), holds=True)

    def boxes(*cells: bytes) -> list[object]:
        group = _record(0xF003, b"".join(cells), holds=True)
        return list(_boxes(_record(0x03EE, group, holds=True), 0))

    cells = [cell(0, 0, 20, 10, "Part"), cell(20, 0, 30, 10, "Check"), cell(0, 10, 20, 30, "Valve")]
    cells += [cell(20, 10, 30, 20, "yearly"), cell(20, 20, 30, 30, "weekly")]
    assert boxes(*cells) == [[["Part", "Check"], ["Valve", "yearly"], ["Valve", "weekly"]]]
    assert len(boxes(*cells[:4])) == 4  # a gap: these are boxes, not cells


def test_the_old_format_is_read_from_the_last_edit_on() -> None:
    """A deleted slide and the master's words lie in the stream still; they are no text of the presentation."""
    stream = bytearray()

    def put(record: bytes) -> int:
        stream.extend(record)
        return len(stream) - len(record)

    def box(content: bytes) -> bytes:
        return _record(0x040C, _record(0xF002, _record(0xF00D, content, holds=True), holds=True), holds=True)

    put(_record(0x03F8, box(_text(0, "Click to edit Master title style")), holds=True))
    put(_record(0x03EE, box(_text(4, "A deleted slide")), holds=True))
    outlined = _record(0x0F9E, struct.pack("<I", 0))
    first = put(_record(0x03EE, box(outlined + b"") + box(_text(4, "A box\rof two")), holds=True))
    note = put(
        _record(0x03F0, _record(0x03F1, struct.pack("<II", 256, 0)) + box(_text(2, "Speak slowly.")), holds=True)
    )
    slides = _record(0x03F3, struct.pack("<IIiII", 2, 0, 1, 256, 0)) + _text(0, "Pumps") + _text(1, "one\rtwo\x0bmore")
    notes = _record(0x03F3, struct.pack("<IIiII", 3, 0, 0, 7, 0))
    document = put(
        _record(
            0x03E8, _record(0x0FF0, slides, holds=True) + _record(0x0FF0, notes, holds=True, instance=2), holds=True
        )
    )
    directory = put(_record(0x1772, struct.pack("<IIII", 3 << 20 | 1, document, first, note)))
    edit = put(_record(0x0FF5, struct.pack("<IIIIIII", 256, 0, 0, directory, 1, 3, 0)))
    (slide_,) = _slides(bytes(stream), edit)
    assert slide_.text == "# Pumps\n\nA box\n\nof two\n\n- one\n- two more\n\nNotes:\n\nSpeak slowly."
    with pytest.raises((ValueError, struct.error)):
        _slides(bytes(stream), 0)
