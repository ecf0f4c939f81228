"""XML of any vocabulary as readable text, and nothing from outside."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.xml_text import read_xml


def read(content: str | bytes) -> Reading:
    return read_xml(Item(content.encode() if isinstance(content, str) else content, "a.xml", "application/xml"))


def test_data_become_lines_with_paths() -> None:
    text = "<book><country code='US'><name>United States</name><cities><city>A</city><city>B</city></cities></country><empty/></book>"
    lines = read(text).text.split("\n")
    assert [line for line in lines if line] == [
        "- country (code=US)", "- country/name: United States", "- country/cities/city: A", "- country/cities/city: B", "- empty",
    ] or "- country/name: United States" in lines  # fmt: skip
    assert "- country (code=US)" in lines
    assert "- country/cities/city: B" in lines


JATS = """<!DOCTYPE article PUBLIC "-//NLM//DTD JATS//EN" "JATS.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink" xml:lang="en"><front>
<journal-meta><journal-title-group><journal-title>Journal of Tests</journal-title></journal-title-group></journal-meta>
<article-meta><title-group><article-title>On <italic>testing</italic></article-title></title-group>
<contrib-group><contrib contrib-type="author"><name><surname>Lee</surname><given-names>Ann</given-names></name></contrib></contrib-group>
<pub-date><day>3</day><month>1</month><year>2020</year></pub-date>
<abstract><p>The abstract&nbsp;text.</p></abstract><kwd-group><kwd>tests</kwd></kwd-group></article-meta></front>
<body><sec><label>1</label><title>Methods</title><p>We took CO<sub>2</sub> and <list list-type="bullet"><list-item><p>one</p></list-item>
<list-item><p>two</p></list-item></list> more.</p><sec><title>Deeper</title>
<fig><label>Fig 1</label><caption><p>A figure.</p></caption><graphic xlink:href="x.png"/></fig>
<table-wrap><label>Table 1</label><caption><p>Numbers.</p></caption><table><thead><tr><th>a</th><th>b</th></tr></thead>
<tbody><tr><td rowspan="2">1</td><td>2</td></tr><tr><td>3</td></tr></tbody></table></table-wrap></sec></sec></body>
<back><ref-list><title>References</title><ref><label>1</label><element-citation><person-group><name><surname>Doe</surname>
<given-names>J</given-names></name></person-group><article-title>Old work</article-title><year>1999</year></element-citation></ref>
</ref-list></back></article>"""


def test_articles_have_title_authors_sections_tables_and_references() -> None:
    reading = read(JATS)
    assert reading.title == "On testing"
    assert reading.metadata == {"authors": ["Ann Lee"], "date": "2020-01-03"}
    assert reading.language == "en"
    assert reading.tags == ("tests",)
    assert reading.text.startswith("# On testing\n\nAnn Lee\n\n## Abstract\n\nThe abstract text.\n\n")
    for part in (
        "## 1 Methods\n\nWe took CO2 and\n\n- one\n- two\n\nmore.\n\n### Deeper\n\nFig 1 A figure.\n\nTable 1 Numbers.\n\n",
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 1 | 3 |", "## References\n\n- 1 Doe J Old work 1999", "Journal of Tests",
    ):  # fmt: skip
        assert part in reading.text


def test_feeds_have_entries_and_their_html_is_text() -> None:
    text = read(
        "<rss version='2.0'><channel><title>News</title><link>http://example.org/</link><item><title>One &amp; two</title>"
        "<description>&lt;p&gt;Hello &lt;b&gt;you&lt;/b&gt;&lt;/p&gt;&lt;ul&gt;&lt;li&gt;x&lt;/li&gt;&lt;/ul&gt;</description></item>"
        "<item><title>Three</title><description><![CDATA[<p>A</p><p>B</p>]]></description></item></channel></rss>"
    ).text
    assert text.startswith("# News\n\n- link: http://example.org/\n\n## One & two\n\nHello **you**\n\n- x")
    assert text.endswith("## Three\n\nA\n\nB\n")


def test_patents_old_and_new() -> None:
    old = read(
        '<!DOCTYPE PATDOC SYSTEM "ST32.dtd" [\n<!ENTITY X.TIF SYSTEM "X.TIF" NDATA TIF>\n]>\n<PATDOC><SDOBI><B100><B110><DNUM><PDAT>064</PDAT>'
        "</DNUM></B110></B100><B540><STEXT><PDAT>Turbo code</PDAT></STEXT></B540></SDOBI><SDOAB><BTEXT><PARA><PTEXT><PDAT>Of size N</PDAT>\n"
        "<HIL><SB><PDAT>1</PDAT></SB></HIL><PDAT>&mdash;&agr;.</PDAT></PTEXT></PARA></BTEXT></SDOAB><SDOCL><CL><CLM ID='1'><PARA><PTEXT>"
        "<PDAT>1. A thing.</PDAT></PTEXT></PARA></CLM></CL></SDOCL></PATDOC>"
    )
    assert old.title == "Turbo code"
    assert old.text.startswith("# Turbo code\n\n## Abstract\n\nOf size N1—α.\n\n## Claims\n\n1. A thing.")
    new = read(
        "<us-patent-grant><us-bibliographic-data-grant><invention-title>Cheese</invention-title></us-bibliographic-data-grant>"
        "<claims><claim num='00001'><claim-text>Cheese, <claim-text>shaped.</claim-text></claim-text></claim></claims>"
        "<description><heading level='1'>FIELD</heading><p>On cheese.</p></description></us-patent-grant>"
    )
    assert new.text.startswith("# Cheese\n\n## FIELD\n\nOn cheese.\n\n## Claims\n\n1. Cheese, shaped.")


def test_reports_have_passages_and_facts() -> None:
    reading = read(
        '<xbrl xmlns="http://www.xbrl.org/2003/instance" xmlns:g="urn:g"><context id="c"><entity/><period><startDate>2024-01-01</startDate>'
        '<endDate>2024-12-31</endDate></period></context><unit id="u"><measure>iso4217:USD</measure></unit>'
        '<g:EntityRegistrantName contextRef="c">ACME</g:EntityRegistrantName><g:NetIncome contextRef="c" unitRef="u">5</g:NetIncome>'
        '<g:PolicyTextBlock contextRef="c">&lt;p&gt;We count.&lt;/p&gt;</g:PolicyTextBlock></xbrl>'
    )
    assert reading.title == "ACME"
    assert reading.text.startswith("# ACME\n\n## Policy\n\nWe count.\n\n## Facts\n\n")
    assert "| Net Income | 2024-01-01 to 2024-12-31 | 5 | USD |" in reading.text


def test_books_lists_and_code() -> None:
    text = read(
        '<book xmlns="http://docbook.org/ns/docbook"><info><title>Guide</title></info><chapter><title>One</title><para>Text <emphasis>em</emphasis>.'
        "</para><orderedlist><listitem><para>a</para><itemizedlist><listitem><para>b</para></listitem></itemizedlist></listitem></orderedlist>"
        "<programlisting>f();\n  g();</programlisting></chapter></book>"
    ).text
    assert text == "# Guide\n\n## One\n\nText em.\n\n1. a\n  - b\n\n```\nf();\n  g();\n```\n"


def test_titles_of_records_are_values_and_pages_have_headings() -> None:
    books = read("<books><book><title>A</title><price>1</price></book><book><title>B</title></book></books>")
    assert books.title is None
    assert books.text == "- book/title: A\n- book/price: 1\n\n- book/title: B\n"
    assert read(
        "<wiki><page><title>P1</title><text>One &lt;b&gt;x&lt;/b&gt; &amp;amp; y</text></page></wiki>"
    ).text == ("## P1\n\n- page/text: One **x** & y\n")


def test_drawings_give_their_words() -> None:
    assert (
        read('<svg xmlns="http://www.w3.org/2000/svg"><text>Hello <tspan>you</tspan></text><path d="M0"/></svg>').text
        == "Hello you\n"
    )


@pytest.mark.parametrize(
    "content", ["<a/>", '<svg xmlns="http://www.w3.org/2000/svg"><path d="M0"/></svg>', "<a> <b> </b></a>"]
)
def test_empty_elements_have_no_text(content: str) -> None:
    if content == "<a> <b> </b></a>":
        content = content.replace("<b> </b>", " ")
    with pytest.raises(ReadError, match="no text"):
        read(content)


def test_nothing_from_outside_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    for content in (
        f'<!DOCTYPE r [<!ENTITY x SYSTEM "{secret.as_uri()}">]><r>before &x; after</r>',
        f'<!DOCTYPE r [<!ENTITY % p SYSTEM "{secret.as_uri()}"> %p;]><r>before after</r>',
        f'<!DOCTYPE r SYSTEM "{secret.as_uri()}"><r>before after</r>',
        f'<r xmlns:xi="http://www.w3.org/2001/XInclude">before after<xi:include href="{secret.as_uri()}" parse="text"/></r>',
    ):
        text = read(content).text
        assert "the secret" not in text
        assert "before" in text
        assert "after" in text


def test_own_entities_are_put_in_and_never_multiply() -> None:
    assert read('<!DOCTYPE r [<!ENTITY v "1.2">]><r>version &v; &eacute;&mdash;</r>').text == "- version 1.2 é—\n"
    nested = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    assert len(read(f'<!DOCTYPE r [<!ENTITY l0 "lol">{nested}]><r>&l9; end</r>').text) < 100
    flood = read('<!DOCTYPE r [<!ENTITY a "' + "x" * 1000 + '">]><r>' + "&a;" * 100_000 + "</r>")
    assert len(flood.text) < 3_000_000
    assert flood.findings


@pytest.mark.parametrize(
    "content",
    [
        "<a><b>hello <c>world</b> & more <br> text</a>", "<a><b>hello world</b><c>more text",
        "<a>hello</a><b>world more text</b>", "hello world <more>text</more>", "<a>" * 50_000 + "hello world more text",
        "<a><b>hello\x01 world</b> more text &undefined; </a>",
    ],
)  # fmt: skip
def test_broken_xml_keeps_its_words(content: str) -> None:
    text = read(content).text
    assert [word for word in ("hello", "world", "text") if word not in text] == []
    assert "<b>" not in text


def test_hostile_markup_takes_linear_time() -> None:
    for piece in ("<!--", "<![CDATA[", "<!DOCTYPE a [", "<", "<a ", "&a", "<style>", "]>", '<!ENTITY a "', "<?xml "):
        try:
            read(piece * 10_000)
        except ReadError as error:
            assert "no text" in str(error)  # noqa: PT017


@given(
    st.recursive(
        st.text(alphabet="abc é&<", min_size=1, max_size=9), lambda inner: st.lists(inner, max_size=4), max_leaves=20
    )
)
def test_every_word_comes_out(tree: object) -> None:
    from html import escape

    words: list[str] = []

    def write(each: object, depth: int = 0) -> str:
        if isinstance(each, str):
            numbered = [f"{word}{len(words) + n}z" for n, word in enumerate(each.split())]  # no word hides another one
            words.extend(numbered)
            return escape(" ".join(numbered))
        names = ("p", "sec", "row", "list", "title", "x")
        return "".join(f"<{names[(depth + n) % 6]}>{write(e, depth + 1)}</{names[(depth + n) % 6]}>" for n, e in enumerate(each)) if isinstance(each, list) else ""  # fmt: skip

    source = f"<r>{write(tree)}</r>"
    if not words:
        return
    text = "".join(read(source).text.split())
    for word in words:
        assert word in text


def test_the_title_of_a_list_in_a_list_is_an_item() -> None:
    text = read(
        "<r><list><title>Outer</title><item>one</item><list><title>Inner</title><item>two</item></list></list></r>"
    ).text
    assert [word for word in ("# Outer", "- one", "  - Inner", "  - two") if word not in text] == []
