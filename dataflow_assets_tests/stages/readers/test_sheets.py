"""Spreadsheets: sheets, tables, cells as people see them."""

from __future__ import annotations

import datetime as dt
import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msoffcrypto.format.ooxml import OOXMLFile

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.sheet_regions import sheet_text
from dataflow_assets.stages.readers.sheets import as_people_see, read_sheets

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def workbook(sheets: dict[str, str], more: dict[str, str] | None = None) -> bytes:
    """Make a workbook from the XML inside its sheets."""
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"{" state=" + chr(34) + "hidden" + chr(34) if n == 3 else ""}/>'
        for n, name in enumerate(sheets, 1)
    )
    relations = "".join(
        f'<Relationship Id="r{n}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in range(1, len(sheets) + 1)
    )
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" Type="{OFFICE}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {MAIN} xmlns:r="{OFFICE}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{relations}</Relationships>',
        **{
            f"xl/worksheets/sheet{n}.xml": f"<worksheet {MAIN}>{xml}</worksheet>"
            for n, xml in enumerate(sheets.values(), 1)
        },
        **(more or {}),
    }
    return package(parts)


def package(parts: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return made.getvalue()


def rows(*lines: list[str], first: int = 1) -> str:
    """Write rows of text, figures where a cell is a number."""
    written = []
    for number, line in enumerate(lines, first):
        cells = "".join(
            f'<c r="{chr(65 + place)}{number}"><v>{value}</v></c>'
            if value.replace(".", "").isdecimal()
            else f'<c r="{chr(65 + place)}{number}" t="inlineStr"><is><t>{value}</t></is></c>'
            for place, value in enumerate(line)
            if value
        )
        written.append(f'<row r="{number}">{cells}</row>')
    return f"<sheetData>{''.join(written)}</sheetData>"


def read(content: bytes, media_type: str = XLSX) -> Reading:
    return read_sheets(Item(content, "a.xlsx", media_type))


def test_each_sheet_has_a_heading_and_hidden_and_empty_ones_are_seen() -> None:
    properties = (
        '<cp:coreProperties xmlns:cp="urn:c" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Sales</dc:title>'
        "<dc:creator>Ann</dc:creator></cp:coreProperties>"
    )
    reading = read(
        workbook(
            {
                "One": rows(["Name", "Sum"], ["a", "1"], ["b", "2.5"]),
                "Empty": "<sheetData/>",
                "Hidden": rows(["secret word"]),
            },
            {"docProps/core.xml": properties},
        )
    )
    assert (
        reading.text == "## One\n\n| Name | Sum |\n| --- | --- |\n| a | 1 |\n| b | 2.5 |\n\n## Hidden\n\nsecret word\n"
    )
    assert (reading.title, reading.metadata["authors"]) == ("Sales", "Ann")
    assert reading.metadata["sheets"] == ["One", "Empty", "Hidden"]


def test_merged_cells_are_filled() -> None:
    merged = (
        rows(["Region", "Town", "Sold"], ["North", "A", "1"], ["", "B", "2"])
        + '<mergeCells><mergeCell ref="A2:A3"/></mergeCells>'
    )
    assert "| North | A | 1 |\n| North | B | 2 |" in read(workbook({"S": merged})).text


def test_a_chart_gives_its_titles_and_figures() -> None:
    draw = 'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    relation = f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" Type="{OFFICE}/{{}}" Target="{{}}"/></Relationships>'
    text = read(
        workbook(
            {"S": "<sheetData/>"},
            {
                "xl/worksheets/_rels/sheet1.xml.rels": relation.format("drawing", "../drawings/d.xml"),
                "xl/drawings/d.xml": "<d/>",
                "xl/drawings/_rels/d.xml.rels": relation.format("chart", "../charts/c.xml"),
                "xl/charts/c.xml": f"<c:chartSpace {draw}><c:chart><c:title><a:t>Ducks seen</a:t></c:title><c:barChart><c:ser><c:tx>"
                '<c:pt idx="0"><c:v>Wild</c:v></c:pt></c:tx><c:cat><c:pt idx="0"><c:v>2020</c:v></c:pt></c:cat>'
                '<c:val><c:pt idx="0"><c:v>7.0</c:v></c:pt></c:val></c:ser></c:barChart></c:chart></c:chartSpace>',
            },
        )
    ).text
    assert text == "## S\n\nBar chart: Ducks seen\n\n|  | Wild |\n| --- | --- |\n| 2020 | 7 |\n"


def test_opendocument_is_read_too() -> None:
    spaces = " ".join(f'xmlns:{n}="urn:oasis:names:tc:opendocument:xmlns:{n}:1.0"' for n in ("office", "table", "text"))
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    content = (
        f'<office:document-content {spaces}><office:body><office:spreadsheet><table:table table:name="T"><table:table-row>'
        f"{cell.format('a')}{cell.format('b')}</table:table-row><table:table-row>{cell.format('c')}{cell.format('d')}</table:table-row>"
        "</table:table></office:spreadsheet></office:body></office:document-content>"
    )
    manifest = '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
    made = package({"mimetype": ODS, "META-INF/manifest.xml": manifest, "content.xml": content})
    assert read(made, ODS).text == "## T\n\n| a | b |\n| --- | --- |\n| c | d |\n"


def test_one_cell_far_out_costs_its_sheet_only() -> None:
    far = '<sheetData><row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>far</t></is></c></row><row r="1"><c r="A1"><v>1</v></c></row></sheetData>'
    reading = read(workbook({"Far": far, "Near": rows(["here"])}))
    assert reading.text == "## Near\n\nhere\n"
    assert "1048576 rows" in reading.findings[0].message
    stated = '<dimension ref="A1:XFD1048576"/>' + rows(["small"])
    assert read(workbook({"Stated": stated})).text == "## Stated\n\nsmall\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (workbook({"S": rows(["a"])})[:-400], "damaged"),
        (b"PK\x03\x04" + bytes(100), "damaged"),
        (b"no workbook at all", "damaged"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le"),
            "password, and damaged",
        ),
        (workbook({"S": "<sheetData/>"}), "no text"),
    ],
)
def test_what_cannot_be_read_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(ReadError, match=reason):
        read(content)


def test_a_password_opens_what_it_protects() -> None:
    made = io.BytesIO()
    filler = "".join(map(str, range(5_000)))  # the library that encrypts spoils files of less than 4 kB
    OOXMLFile(io.BytesIO(workbook({"S": rows(["hidden words"])}, {"filler": filler}))).encrypt("open me", made)
    with pytest.raises(ReadError, match=r"reading\.passwords"):
        read(made.getvalue())
    item = Item(made.getvalue(), "a.xlsx", XLSX, passwords=("wrong", "open me"))
    assert read_sheets(item).text == "## S\n\nhidden words\n"


def test_a_bomb_is_refused_before_it_is_unpacked_whole() -> None:
    made = io.BytesIO()
    with (
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("xl/a.xml", "w") as part,
    ):
        for _ in range(205):
            part.write(bytes(1_000_000))
    with pytest.raises(ReadError, match="bomb"):
        read(made.getvalue())


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.0, "1"), (-0.5, "-0.5"), (0.1 + 0.2, "0.3"), (True, "TRUE"), (12, "12"), (1e20, "1e+20"), ("  x ", "x"),
        (dt.date(2024, 1, 2), "2024-01-02"), (dt.datetime(2024, 1, 2), "2024-01-02"),
        (dt.datetime(2024, 1, 2, 3, 4), "2024-01-02 03:04:00"), (dt.time(3, 4), "03:04:00"),
        (dt.timedelta(hours=25, minutes=1), "25:01:00"), (dt.timedelta(seconds=-90), "-0:01:30"), (None, ""),
    ],
)  # fmt: skip
def test_cells_read_as_people_see_them(value: object, said: str) -> None:
    assert as_people_see(value) == said


def grid(picture: str) -> list[list[str]]:
    return [[letter.strip() for letter in line] for line in picture.strip("\n").split("\n")]


def test_gaps_part_tables() -> None:
    assert sheet_text(grid("ab  xy\n12  34\n12    \n      \nT     \nuv    \n56    ")).count("| --- |") == 3
    assert sheet_text(grid("T  \nabc\n123")) == "T\n\n| a | b | c |\n| --- | --- | --- |\n| 1 | 2 | 3 |"


def test_air_in_a_table_does_not_part_it() -> None:
    assert sheet_text(grid("ab\n12\n  \n34")) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |"
    assert sheet_text(grid("a bc\n1 23")) == "| a | b | c |\n| --- | --- | --- |\n| 1 | 2 | 3 |"


@given(st.lists(st.lists(st.sampled_from(["", "", "x1", "y2", "7"]), min_size=4, max_size=4), max_size=8))
def test_no_cell_is_lost_or_doubled(cells: list[list[str]]) -> None:
    text = sheet_text(cells)
    for word in ("x1", "y2", "7"):
        assert text.replace("|", " ").split().count(word) == sum(row.count(word) for row in cells)
