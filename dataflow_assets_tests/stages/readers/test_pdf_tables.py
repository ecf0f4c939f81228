from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.stages.readers.item import Item
from dataflow_assets.stages.readers.pdf import read_pdf
from dataflow_assets.stages.readers.pdf_lines import Cell, Line
from dataflow_assets.stages.readers.pdf_tables import find_tables
from dataflow_assets.stages.readers.pdf_text import Sizes, markdown
from dataflow_assets_tests.stages.readers.pdf_maker import pdf, text_at


def _page(*rows: tuple[tuple[float, str], ...], step: float = 16) -> str:
    return "\n".join(text_at(x, 700 - step * place, text) for place, row in enumerate(rows) for x, text in row)


def _text(page: str) -> str:
    return read_pdf(Item(pdf([page]), "a.pdf", "application/pdf")).text


def test_cells_below_each_other_are_a_table() -> None:
    page = _page(
        ((60, "The pumps of the house, as they were found on the day of the inspection."),),
        (),
        ((60, "Part"), (200, "Check"), (330, "Price")),
        ((60, "Valve on the left"), (200, "yearly"), (345, "7")),
        ((60, "Motor"), (200, "monthly"), (338, "120")),
    )
    assert _text(page) == (
        "The pumps of the house, as they were found on the day of the inspection.\n\n"
        "| Part | Check | Price |\n| --- | --- | --- |\n| Valve on the left | yearly | 7 |\n| Motor | monthly | 120 |\n"
    )


def test_a_cell_of_several_lines_is_one_cell() -> None:
    rows = [((60, "Valve"), (200, "Look at it well,")), ((200, "from all sides."),), ((60, "Motor"), (200, "Listen."))]
    page = _page(((60, "Part"), (200, "What to do")), *rows, step=14)
    assert _text(page).splitlines()[2:] == ["| Valve | Look at it well, from all sides. |", "| Motor | Listen. |"]


def test_a_title_and_numbers_at_the_other_edge_are_one_column() -> None:
    page = _page(((60, "Year"), (200, "Ducks")), *(((95, str(year)), (210, "7")) for year in (2019, 2020, 2021)))
    assert _text(page).startswith("| Year | Ducks |\n| --- | --- |\n| 2019 | 7 |\n")


def test_prose_in_columns_and_two_lines_are_no_table() -> None:
    prose = "a line of a column of prose that is as long as such a line is"
    assert "|" not in _text(_page(*([((40, prose), (420, prose))] * 5)))
    assert "|" not in _text(_page(((60, "Name"), (200, "Ada")), ((60, "Town"), (200, "London"))))


_CELLS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 90), st.integers(1, 30)), max_size=4)


@given(st.lists(_CELLS, max_size=9))
def test_no_letter_is_lost_or_moved(rows: list[list[tuple[str, int, int]]]) -> None:
    lines = []
    for place, row in enumerate(rows):
        right, cells = 0, []
        for letter, gap, width in row:
            left, right = right + gap, right + gap + width
            cells.append(Cell(letter, left, right))
        text = " ".join(cell.text for cell in cells)
        foot = 700 - 14 * place
        lines.append(Line(text, size=10, foot=foot, last_foot=foot, cells=tuple(cells)))
    written = markdown(lines, Sizes([lines]))
    assert sorted(re.findall("[ab]", written)) == sorted(letter for row in rows for letter, *_ in row)
    for table in find_tables(lines).values():
        assert len({len(row) for row in table.rows}) == 1
