"""Tables that can be cut anywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.stages.readers.markdown_table import BLOCK, write_table

CELLS = st.text(alphabet="abc |\\\n\r\u2028é1", max_size=8)


def test_each_block_of_a_long_table_has_the_header() -> None:
    text = write_table(["number", "name"], [[str(n), f"the name of number {n}"] for n in range(500)])
    blocks = text.split("\n\n")
    assert len(blocks) > 3
    for block in blocks:
        assert block.startswith("| number | name |\n| --- | --- |\n")
        assert len(block) <= BLOCK
    assert [f"| {n} |" in text for n in range(500)] == [True] * 500


def test_wide_tables_are_records() -> None:
    names = [f"a rather long name of column {n}" for n in range(60)]
    text = write_table(names, [["x", *[""] * 58, "y"], ["", "z"]])
    assert text == (
        "- a rather long name of column 0: x\n- a rather long name of column 59: y\n\n- a rather long name of column 1: z"
    )


def test_a_table_without_content_is_nothing() -> None:
    assert write_table(["", " "], [["", "\n"]]) == ""
    assert write_table([], []) == ""


@given(st.lists(st.lists(CELLS, max_size=5), min_size=1, max_size=8))
def test_every_row_is_one_line_with_all_its_cells(rows: list[list[str]]) -> None:
    lines = write_table(rows[0], rows[1:]).split("\n")
    kept = [rows[0], *(row for row in rows[1:] if any(value.strip() for value in row))]
    if lines == [""]:
        assert not any(value.strip() for row in kept for value in row)
        return
    assert len(lines) == len(kept) + 1
    width = lines[1].count("---")
    for row, line in zip(kept, [lines[0], *lines[2:]], strict=True):
        assert line.replace("\\|", "").count("|") == width + 1
        squeezed = "".join(line.replace("\\|", "|").split()).replace("|", "")
        assert squeezed == "".join("".join(row).split()).replace("|", "")
