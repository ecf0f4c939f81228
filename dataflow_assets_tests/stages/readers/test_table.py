"""Comma-separated values in all dialects."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.table import find_dialect, read_table


def read(content: str | bytes, media_type: str = "text/csv") -> Reading:
    return read_table(Item(content.encode() if isinstance(content, str) else content, "a.csv", media_type))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_quotes_and_line_ends(delimiter: str, end: str) -> None:
    lines = [
        ["Year", "Month", "Costs"],
        ["2022", "1", '"-1,5"'],
        ["2023", "2", f'"a {delimiter} ""b"""'],
        ["2024", "", "3"],
    ]
    text = read(end.join(delimiter.join(line) for line in lines) + end).text
    said = delimiter.replace("|", "\\|").replace("\t", "\t")
    assert text.split("\n")[:5] == [
        "| Year | Month | Costs |",
        "| --- | --- | --- |",
        "| 2022 | 1 | -1,5 |",
        f'| 2023 | 2 | a {said} "b" |',
        "| 2024 |  | 3 |",
    ]


def test_cells_may_hold_line_breaks_and_escaped_quotes() -> None:
    assert "| B | line one line two |" in read('name,said\nA,"He said \\"hi\\", ok"\nB,"line one\nline two"\n').text
    assert '| A | He said "hi", ok |' in read('name,said\nA,"He said \\"hi\\", ok"\nB,"line one\nline two"\n').text


def test_rows_may_be_longer_or_shorter_than_the_header() -> None:
    assert read("1,2,3\na\na,b,c,d\na,b,c\n").text == (
        "| 1 | 2 | 3 |  |\n| --- | --- | --- | --- |\n| a |  |  |  |\n| a | b | c | d |\n| a | b | c |  |\n"
    )


def test_one_column_and_a_title_above() -> None:
    assert read("Industry\nSales\nOther/Old\n").text == "| Industry |\n| --- |\n| Sales |\n| Other/Old |\n"
    assert read("Cups,,\nTeam,Town,Won\nBlues,STL,1\nFlyers,PHI,2\n").text.startswith("Cups\n\n| Team | Town | Won |\n")


def test_the_line_for_excel_names_the_delimiter() -> None:
    assert read("sep=;\na;b\n1,5;2,5\n").text == "| a | b |\n| --- | --- |\n| 1,5 | 2,5 |\n"


def test_encodings_are_found() -> None:
    assert "| 佐藤太郎 | 東京 |" in read("名前,住所\n佐藤太郎,東京\n三木英子,大阪\n".encode("cp932")).text
    assert "| Blues | STL |" in read("Team,Town\nBlues,STL\n".encode("utf-16")).text


@pytest.mark.parametrize(
    "prose",
    [
        "This is a text, which is plainly no table.\nIt has commas, but only a few of them.\nAnd lines without any at all.\n",
        "A remark about nothing in particular that goes on for a while\nand then goes on in the next line of it as well\n",
        "one line only, it has, commas\n",
    ],
)
def test_what_is_no_table_stays_a_text(prose: str) -> None:
    reading = read(prose)
    assert (reading.text, reading.markup) == (prose, "text")


def test_hostile_lines_are_read_in_one_pass() -> None:
    line = "a," * 50_000 + "\n"
    assert read(line).text == line
    assert read('a,b\n"' + "x,y\n" * 3_000).findings[0].validator == "table"
    assert len(read('"' * 300_000).text) == 300_000


def test_a_table_of_empty_cells_has_no_text() -> None:
    with pytest.raises(ReadError, match="no text"):
        read(",,,\n,,,\n")


CELLS = st.lists(st.text(alphabet="abé,;|\"'01", min_size=1, max_size=4), min_size=1, max_size=3)


@given(
    st.lists(st.lists(st.tuples(CELLS, st.sampled_from(" \n")), min_size=3, max_size=3), min_size=3, max_size=8),
    st.sampled_from(",;\t|"),
)
def test_what_a_program_wrote_comes_back_cell_by_cell(rows: list[list[tuple[list[str], str]]], delimiter: str) -> None:
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(
        [between.join(words) for words, between in row] for row in rows
    )
    found, _, _ = find_dialect(written.getvalue())
    assume(found == delimiter)
    lines = read(written.getvalue()).text.rstrip("\n").split("\n")
    assert len(lines) == len(rows) + 1
    for row, line in zip(rows, [lines[0], *lines[2:]], strict=True):
        assert line == "| " + " | ".join(" ".join(words).replace("|", "\\|") for words, _ in row) + " |"


def test_a_very_long_table_is_written_piece_by_piece() -> None:
    text = read("id,name\n" + "".join(f"{n},name {n}\n" for n in range(12_000))).text
    assert "| 0 | name 0 |" in text
    assert "| 11999 | name 11999 |" in text
    assert all(block.startswith("| id | name |") for block in text.rstrip("\n").split("\n\n"))
