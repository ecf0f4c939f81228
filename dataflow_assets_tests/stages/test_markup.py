from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dataflow_assets.stages.markup import blocks, code_blocks, headings, outline, structure, title_of

LINES = [
    "", "   ", "text here", "  text", "    four", "\tab", "# One", "## Two ##", "### `c` [l](u)", "#no", "===", "---", "- - -",
    "- item", "  - deeper", "    - deep", "1. one", "2) two", "* ", "```", "```py", "  ```", "````", "~~~", "> quote", "> ```",
    "| a | b |", "|---|---|", "a | b", "--- | ---", "<div>", "<!-- c", "-->", "<pre>", "</pre>", "para::", ".. note::",
    "   body", ".. code-block:: py", ">>> x", "+---+", "====  ====", "****", "漢字", "\x0c", "a\u2028b", "***",
]  # fmt: skip
texts = st.lists(
    st.tuples(st.sampled_from(LINES), st.sampled_from(["\n", "\n", "\n", "\r\n", "\r"])).map("".join), max_size=25
).map("".join)


@pytest.mark.parametrize("markup", ["text", "markdown", "rst", "other"])
@given(text=texts)
@hypothesis_settings(deadline=None)
def test_blocks_hold_all_that_is_not_white_space(markup, text):
    end = 0
    for block in blocks(text, markup):
        assert end <= block.start < block.end
        assert not text[end : block.start].strip()
        assert block.start == 0 or text[block.start - 1] in "\n\r"
        end = block.end
    assert not text[end:].strip()


@pytest.mark.parametrize("markup", ["markdown", "rst", "text"])
@given(text=texts)
@hypothesis_settings(deadline=None)
def test_the_outline_says_what_the_structure_says(markup, text):
    made, short = structure(text, markup), outline(text, markup)
    assert short.code == made.code
    assert short.blocks == [block for block in made.blocks if block.kind == "heading"]


def kinds(text, markup="markdown"):
    return [(block.kind, text[block.start : block.end]) for block in blocks(text, markup)]


def titles(text, markup="markdown"):
    return [(heading.level, title_of(text, heading)) for heading in headings(text, markup)]


def code(text, markup="markdown"):
    return [text[start:end] for start, end in code_blocks(text, markup)]


def test_markdown_headings():
    text = "Top\n===\n\n# A `b` [c](d) {#e} #\ntext\nSub\n---\n\n#hashtag\n\n####### seven\n\n---\n# C#\n"
    assert titles(text) == [(1, "Top"), (1, "A b c"), (2, "text Sub"), (1, "C#")]


def test_markdown_blocks():
    text = "para\nmore\n- a\n- b\n\n  in b\n\nafter\n\n| x |\n|---|\n| 1 |\n> q\n\na | b\n--- | ---\n\n***\n<div>\n"
    assert kinds(text) == [
        ("paragraph", "para\nmore\n"), ("list", "- a\n"), ("list", "- b\n"), ("paragraph", "  in b\n"),
        ("paragraph", "after\n"), ("table", "| x |\n|---|\n| 1 |\n"), ("quote", "> q\n"),
        ("table", "a | b\n--- | ---\n"), ("rule", "***\n"), ("html", "<div>\n"),
    ]  # fmt: skip
    assert [block.joined for block in blocks(text, "markdown")][:5] == [False, False, True, True, False]


def test_markdown_code():
    text = (
        "a\n\n```py\n# no heading\n\n~~~\n```\n\n- x\n\n  ````\n  ```\n  ````\n\nb\n\n    in\n\n    dented\n\n"
        "c\n    not\n\n<pre>\nx\n\ny\n</pre>\n"
    )
    assert code(text) == [
        "```py\n# no heading\n\n~~~\n```\n", "  ````\n  ```\n  ````\n", "    in\n\n    dented\n", "<pre>\nx\n\ny\n</pre>\n",
    ]  # fmt: skip
    assert titles(text) == []


def test_markdown_code_that_is_not_closed_goes_to_the_end():
    assert code("a\n```\nb\n\n# c\n") == ["```\nb\n\n# c\n"]
    assert code("- a\n\n  ```\n  b\n\nc\n") == ["  ```\n  b\n"]


def test_markdown_code_in_a_quote():
    assert code("> a\n> ```\n> b\n> ```\n> c\n") == ["> ```\n> b\n> ```\n"]


def test_rst_headings_take_their_level_from_their_order():
    text = "=====\nTitle\n=====\n\nOne\n---\n\nTwo\n~~~\n\nThree\n-----\n\nNot a title\n\n- list\n"
    assert titles(text, "rst") == [(1, "Title"), (2, "One"), (3, "Two"), (2, "Three")]


def test_rst_code():
    text = (
        "See::\n\n    lit\n\n    more\n\nback\n\n.. note::\n\n   inner::\n\n      deep\n\n   prose\n\n"
        ".. code-block:: py\n   :x:\n\n   c = 1\n\n   d\n\n- item::\n\n    of item\n\n  prose\n\n>>> 1\n1\n\nend\n"
    )
    assert code(text, "rst") == [
        "    lit\n\n    more\n", "      deep\n", ".. code-block:: py\n   :x:\n\n   c = 1\n\n   d\n",
        "    of item\n", ">>> 1\n1\n",
    ]  # fmt: skip


def test_positions_hold_with_every_kind_of_newline():
    for newline in ("\n", "\r\n", "\r"):
        text = newline.join(["# A", "", "```", "x", "```", "", "B", "==", ""])
        assert titles(text) == [(1, "A"), (1, "B")]
        assert [part.split() for part in code(text)] == [["```", "x", "```"]]


def test_plain_text_has_paragraphs_only():
    assert kinds("# a\nb\n\n\n  c\n", "text") == [("paragraph", "# a\nb\n"), ("paragraph", "  c\n")]


@pytest.mark.parametrize(
    "text",
    [
        "`" * 50_000, "```x\n" * 10_000, "  ~~~\n" * 10_000, "<!--\n" * 10_000, "<pre>\n\n" * 10_000, "> " * 30_000,
        "- " * 30_000, "# " + "[" * 50_000, "# " + "{" * 50_000 + "}", "a::\n\n b\n\n" * 5_000, "a\n" * 30_000,
        "=" * 50_000, " \n" * 30_000 + "x", "".join("`" * (400 - i) + "x\n" for i in range(390)), "| " * 30_000,
        "a\n===\n" * 5_000, ".. code::\n" * 5_000, "\t" * 50_000 + "x",
    ],
    ids=lambda text: ascii(text[:8]),
)  # fmt: skip
@pytest.mark.parametrize("markup", ["markdown", "rst"])
def test_hostile_texts_are_read(markup, text):
    assert sum(len(text[b.start : b.end].split()) for b in blocks(text, markup)) == len(text.split())
