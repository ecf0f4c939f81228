"""Tables of web pages: every row and every part of a table says what it is about."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.stages.readers.html import to_markdown
from dataflow_assets.stages.readers.html_tables import cut_tables, fill_rows


def test_a_cell_that_spans_rows_stands_in_each() -> None:
    source = (
        "<table><tr><th>Year</th><th>Month</th><th>Sum</th></tr>"
        "<tr><td rowspan=3><b>2025</b></td><td>January</td><td>1</td></tr>"
        "<tr><td rowspan='2'>May</td><td>2</td></tr><tr><td>3</td></tr><tr><td>2026</td><td>June</td><td>4</td></tr>"
        "</table>"
    )
    rows = [[cell.strip("* ") for cell in line.strip("|").split("|")] for line in to_markdown(source).split("\n")]
    assert [row for row in rows if row[0].startswith("20")] == [
        ["2025", "January", "1"],
        ["2025", "May", "2"],
        ["2025", "May", "3"],
        ["2026", "June", "4"],
    ]


def test_long_cells_inner_tables_and_scripts_stay_as_they_are() -> None:
    for cell in ("word " * 100, "<table><tr><td>x</table>", "<ul><li>x</ul>"):
        source = f"<table><tr><td rowspan=2>{cell}</td><td>a</td></tr><tr><td>b</td></tr></table>"
        assert fill_rows(source) == source
    script = "<script>'<table><tr><td rowspan=2>x</td></tr><tr></tr></table>'</script><!-- <td rowspan=9> -->"
    assert fill_rows(script) == script


def test_repeating_is_bounded() -> None:
    source = "<table><tr>" + "<td rowspan=99999>key</td>" * 100 + "</tr>" + "<tr><td>x</td></tr>" * 5_000
    assert len(fill_rows(source)) < len(source) + 250_000


_PIECES = st.sampled_from(
    ["<table>", "</table>", "<tr>", "</tr>", "<td rowspan=2>", "<td rowspan='3' colspan=2>", "<th rowspan=0>", "</td>",
     "<td>", "alpha", "beta", "<!--", "-->", "<b>", "<script>", "</script>"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=40))
def test_nothing_is_lost_however_wild_the_tags(pieces: list[str]) -> None:
    source = "".join(pieces)
    filled = fill_rows(source)
    places = iter(re.findall(r"alpha|beta", filled))
    words = re.findall(r"alpha|beta", source)
    assert all(any(word == place for place in places) for word in words)


def test_a_long_table_is_cut_with_its_header() -> None:
    rows = [f"| row {n} | {'word ' * 10}|" for n in range(200)]
    text = "\n".join(["before", "", "| A | B |", "| --- | --- |", *rows, "", "after"])
    cut = cut_tables(text)
    blocks = cut.split("\n\n")[1:-1]
    assert all(block.startswith("| A | B |\n| --- | --- |\n| row") for block in blocks)
    assert max(map(len, blocks)) <= 3_100
    assert [line for line in cut.split("\n") if line.startswith("| row")] == rows
    assert cut.endswith("\n\nafter")


def test_short_tables_wide_headers_and_code_are_not_cut() -> None:
    wide = "\n".join([f"| {'name ' * 300}|", "| --- |", *["| value |"] * 900])
    code = "\n".join(["```", "| A |", "| --- |", *["| value |"] * 900, "```"])
    short = "| A |\n| --- |\n| x |\n"
    assert [cut_tables(text) for text in (wide, code, short)] == [wide, code, short]
