from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.stages.readers.pages import join_pages, page_list
from dataflow_assets.stages.readers.pdf_lines import Line
from dataflow_assets.stages.readers.pdf_text import BROKEN, Sizes, markdown, words_of

_LINES = st.lists(
    st.builds(
        Line,
        text=st.text(st.sampled_from("ab 1-#.•" + BROKEN), max_size=30),
        size=st.sampled_from([0.0, 10.0, 10.2, 14.0, 24.0]),
        foot=st.floats(0, 800),
        last_foot=st.floats(0, 800),
        bold=st.booleans(),
    ),
    max_size=12,
)


def _written(lines: list[Line]) -> str:
    return markdown(lines, Sizes([lines]), words_of(line.text for line in lines))


def _letters(text: str) -> str:
    return "".join(re.findall("[ab1]", text))


@given(_LINES)
def test_no_letter_is_lost_or_moved(lines: list[Line]) -> None:
    assert _letters(_written(lines)) == _letters("".join(line.text for line in lines))


def test_a_hyphen_stays_where_the_document_writes_the_word_with_it() -> None:
    def joined(text: str, *others: str) -> str:
        return _written([Line(text), *map(Line, others)]).splitlines()[0]

    assert joined(f"a docu{BROKEN}ment") == "a document"
    assert joined(f"a multi{BROKEN}agent", "a multi-agent") == "a multi-agent"
    assert joined(f"in high{BROKEN}dimensional", "high and dimensional") == "in high-dimensional"
    assert joined(f"an out{BROKEN}put", "out of the way, put it down, output") == "an output"
    assert joined(f"Saint{BROKEN}Denis") == "Saint-Denis"
    assert joined(f"9{BROKEN}10") == "9-10"


def test_a_page_of_large_words_is_no_list_of_headings() -> None:
    poster = [Line(f"Word {count}", size=20, foot=700 - 30 * count, last_foot=700 - 30 * count) for count in range(9)]
    small = Line(
        "Everyone who comes before noon gets a cup of coffee, and a seat in the shade." * 2,
        size=9,
        foot=90,
        last_foot=90,
    )
    assert "#" not in _written([*poster, small])


def test_dots_of_a_table_of_contents_are_few() -> None:
    assert _written([Line("Preface . . . . . . . . . . . . . . . . xi"), Line("Notes ........................ 7")]) == (
        "Preface ... xi\nNotes ... 7"
    )


@given(st.lists(st.text(st.sampled_from("ab \n"), max_size=10), max_size=6))
def test_sections_cover_the_joined_text(pages: list[str]) -> None:
    text, sections = join_pages(enumerate(pages, 1))
    assert "".join(text[section.start : section.end] for section in sections) == text
    assert [section.page for section in sections] == [number for number, page in enumerate(pages, 1) if page.strip()]
    for section in sections:
        assert text[section.start : section.end].strip() == pages[(section.page or 0) - 1].strip("\n").rstrip().strip()


def test_pages_are_named_shortly() -> None:
    assert page_list([3]) == "page 3"
    assert page_list([9, 1, 2, 3]) == "pages 1-3, 9"
