"""HTML becomes readable text and loses no word."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import ReadError
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.stages.read import read_document
from dataflow_assets.stages.readers.html import read_html, read_html_words
from dataflow_assets.stages.readers.item import Item

PAGE = """<!DOCTYPE html><html lang="en"><head><title>Page - Site</title><style>.x{color:red}</style>
<meta name="author" content="Ann"><script>var hidden = "<p>no</p>";</script></head><body>
<nav><a href="/up">Up</a></nav><h1>Page</h1><p>Some <b>bold</b> words with mod_ssl_name &amp; 5 &lt; 6.</p>
<ul><li>one</li><li>two</li></ul><ol><li>first</li></ol>
<table><tr><th>Key</th><th>Value</th></tr><tr><td>a</td><td>1</td></tr></table>
<pre><code class="language-python">if x:
    y()</code></pre><p>See <a href="https://example.org/x">the link</a>.</p>
<img src="p.png" alt="a picture"><!-- comment --></body></html>"""


def item(source: str) -> Item:
    return Item(source.encode(), "a.html", "text/html")


def test_structure_is_kept() -> None:
    reading = read_html(item(PAGE))
    lines = reading.text.split("\n")
    assert "# Page" in lines
    assert "- one" in lines
    assert "1. first" in lines
    assert "| a | 1 |" in lines
    assert "```python\nif x:\n    y()\n```" in reading.text
    assert "[the link](https://example.org/x)" in reading.text
    assert "mod_ssl_name & 5 < 6" in reading.text
    assert "a picture" in reading.text
    assert reading.title == "Page"
    assert reading.metadata["authors"] == "Ann"


@pytest.mark.parametrize("reader", [read_html, read_html_words])
def test_scripts_styles_comments_and_tags_go(reader) -> None:  # type: ignore[no-untyped-def]
    text = reader(item(PAGE)).text
    assert "color" not in text
    assert "hidden" not in text
    assert "comment" not in text
    assert not re.search(r"</?[a-z]", text)
    assert "Up" in text


_WORDS = st.lists(st.sampled_from(["alpha", "beta", "mod_ssl", "größe", "12.5", "日本"]), min_size=1, max_size=4).map(
    " ".join
)
_TREE = st.recursive(
    _WORDS,
    lambda inner: st.tuples(
        st.sampled_from(
            ["p", "div", "b", "em", "ul", "li", "td", "h2", "pre", "code", "a", "span", "blockquote", "section"]
        ),
        st.lists(inner, min_size=1, max_size=3),
    ).map(lambda node: f"<{node[0]}> {' '.join(node[1])} </{node[0]}>"),
    max_leaves=12,
)


@given(_TREE)
def test_no_word_is_lost(tree: str) -> None:
    document = read_document(
        f"<html><body>{tree}".encode(), source_uri="a.html", media_type="", settings=ReadingSettings()
    )
    wanted = re.findall(r"\w+", re.sub(r"<[^>]*>", " ", tree))
    assert sorted(wanted) == sorted(re.findall(r"\w+", document.text))


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("<div>" * 50_000 + "deep words", "deep words"),
        ("<table><tr><td>" * 3_000 + "deep words", "deep words"),
        ("<b>" * 50_000 + "deep words", "deep words"),
        ("<script>" * 30_000 + "words", ""),
        ("<!--" * 50_000 + "words", ""),
        ("<" * 200_000 + "words", "words"),
        ("<meta " * 30_000, ""),
        ("<h1>" * 10_000 + "words", "words"),
        ("&#xD800;&#0;&amp;&notanentity; words", "words"),
        ("<p>" + "word " * 700_000, "word word"),
        ("<table><tr><td colspan=1000000000 rowspan=99999>words</table>", "words"),
    ],
    ids=range(11),
)
def test_hostile_pages_are_read_all_the_same(source: str, kept: str) -> None:
    document = read_document(source.encode(), source_uri="a.html", media_type="text/html", settings=ReadingSettings())
    document.text.encode()
    assert kept in document.text


def test_a_page_that_is_too_large_or_lost_words_goes_to_the_next_reader() -> None:
    with pytest.raises(ReadError, match="too many"):
        read_html(item("<p>word</p>" * 300_000))
    with pytest.raises(ReadError, match="lost words"):
        read_html(item("<div>" * 5_000 + "deep words"))


def test_the_plain_reader_keeps_headings_lists_and_code() -> None:
    text = read_html_words(item("<h2>Head</h2><ul><li>one<li>two</ul><pre>a\n  b</pre><td>x<td>y")).text
    assert text == "## Head\n\n- one\n- two\n\na\n  b\n\n | x | y\n"


def test_a_page_without_a_heading_gets_its_title_as_one() -> None:
    assert read_html(item("<title>The title</title><p>Text</p>")).text.startswith("# The title\n\nText")


@pytest.mark.parametrize("reader", [read_html, read_html_words])
def test_files_within_a_page_are_not_its_text(reader) -> None:  # type: ignore[no-untyped-def]
    data = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUg" * 30
    source = (
        f'<p>one <img src="{data}" alt="a picture"> <a href="{data}">two</a></p><pre>{data} three</pre>'
        f'<div style="background:url({data})">four</div><object data="{data}">five</object>'
    )
    text = reader(item(source)).text
    assert "iVBORw0" not in text
    assert all(word in text for word in ("one", "two", "three", "four", "five"))


def test_a_page_within_a_page_says_nothing_but_a_pictures_words_do() -> None:
    source = (
        '<p>before</p><iframe src="https://x.example/"></iframe><svg><title>Logo</title><text>drawn</text></svg>after'
    )
    reading = read_html(item(source))
    assert "drawn" in reading.text
    assert "after" in reading.text
    assert reading.title is None


def test_inner_tables_lists_of_terms_and_forms_keep_their_words() -> None:
    source = (
        "<table><tr><th>A</th><th>B</th></tr><tr><td>1<table><tr><td>in1</td><td>in2</td></tr></table></td><td>2</td>"
        "</tr></table><dl><dt>Term</dt><dd>Meaning</dd></dl><form><label>Name</label><select><option>One<option>Two"
        "</select><textarea>typed</textarea><button>Send</button></form><details><summary>Sum</summary>Det</details>"
    )
    text = read_html(item(source)).text
    wanted = "A B 1 in1 in2 2 Term Meaning Name One Two typed Send Sum Det".split()
    assert re.findall(r"\w+", text) == wanted
