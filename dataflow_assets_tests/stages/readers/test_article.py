"""The main text of article pages is found; a page of which every word counts stays whole."""

from __future__ import annotations

import json

import pytest

from dataflow_assets.errors import ReadError
from dataflow_assets.records import ReadDocument
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.stages.read import read_document
from dataflow_assets.stages.readers.article import read_article
from dataflow_assets.stages.readers.item import Item

STORY = [
    "The city council voted on Tuesday to plant four thousand trees along the river, ending a debate of two years.",
    "Residents of the old harbour had asked for shade since the heat of last summer, when the pavement reached 50 degrees.",
    "The mayor said that the first lindens will stand by October, and that the schools may name them as they like.",
    "Critics pointed to the cost of watering, which the administration puts at 40,000 euros in each of the first years.",
]
MENU = "".join(f'<li><a href="/{n}">Section number {n} of the newspaper</a></li>' for n in range(20))
SCRIPTS = '<script src="https://ads.example.net/a.js"></script>' + "<script>track()</script>" * 9
OG = '<meta property="og:type" content="article">'


def json_ld(kind: str, **more: object) -> str:
    return f'<script type="application/ld+json">{json.dumps({"@context": "https://schema.org", "@type": kind, **more})}</script>'


def page(
    head: str = "", *, main: str = "".join(f"<p>{text}</p>" for text in STORY), more: str = "", tag: str = "div"
) -> str:
    return f"""<!DOCTYPE html><html lang="en"><head><title>Trees for the river - The Courier</title>{head}</head><body>
<nav><ul>{MENU}</ul></nav><{tag} class="story"><h1>Trees for the river</h1>{main}</{tag}>{more}
<footer><a href="/imprint">Imprint and contact</a> <a href="/privacy">Privacy settings</a></footer></body></html>"""


def read(source: str, **settings: object) -> ReadDocument:
    made = ReadingSettings.model_validate(settings)
    return read_document(source.encode(), source_uri="a.html", media_type="text/html", settings=made)


def is_whole(document: ReadDocument) -> bool:
    return "Section number 7" in document.text and "main_text" not in document.metadata


@pytest.mark.parametrize(
    "head",
    [
        OG,
        '<meta content="article" property="og:type">',
        '<meta property="article:published_time" content="2024-05-06T07:08:09Z">',
        json_ld("NewsArticle", headline="Trees for the river"),
        json_ld("BlogPosting"),
        OG + '<link rel="canonical" href="https://developers.example.org/blog/trees">',
        '<meta itemscope itemtype="https://schema.org/Article">',
    ],
)
def test_a_page_that_says_it_is_an_article_gives_its_main_text(head: str) -> None:
    document = read(page(head))
    assert all(text in document.text for text in STORY)
    assert "Section number" not in document.text
    assert "Privacy" not in document.text
    assert document.metadata["main_text"] is True
    assert document.title == "Trees for the river"


def test_a_commercial_page_that_loses_only_menus_gives_its_main_text() -> None:
    document = read(page(SCRIPTS))
    assert document.metadata["main_text"] is True
    assert STORY[2] in document.text


@pytest.mark.parametrize(
    "source",
    [
        page(),
        page("<script>one()</script>" * 5),
        page(SCRIPTS.replace("https://ads.example.net", "/js")),
        page('<meta property="og:type" content="website">'),
        page(OG + '<meta name="generator" content="Sphinx 7.2">'),
        page(OG + '<meta name="generator" content="mkdocs-1.5.3, mkdocs-material-9.5">'),
        page(OG + '<link rel="canonical" href="https://example.org/docs/trees/">'),
        page(OG + '<link rel="canonical" href="https://docs.example.org/trees">'),
        page(SCRIPTS + '<script src="_static/documentation_options.js"></script>'),
        page(OG + json_ld("NewsArticle"), main="<p>A caption of a picture.</p>"),
        page(OG, more="<footer><pre>" + "def plant(tree): return tree.name\n" * 9 + "</pre></footer>"),
        page(json_ld("TechArticle") + SCRIPTS),
        page("".join(json_ld("NewsArticle", url=f"/{n}") for n in range(9))),
        page('<script type="application/ld+json">{"@type": "Article", "broken</script>' * 5),
    ],
    ids=range(14),
)
def test_other_pages_stay_whole(source: str) -> None:
    assert is_whole(read(source))


def test_a_commercial_page_that_would_lose_sentences_stays_whole() -> None:
    facts = "".join(
        f"<tr><td>Property {n}</td><td>value {n} measured in the laboratory under load</td></tr>" for n in range(60)
    )
    source = page(SCRIPTS, main=f"<p>{STORY[0]}</p>", more=f'<div class="sidebar"><table>{facts}</table></div>')
    assert "Property 33" in read(source).text


def test_the_catalog_decides_where_it_says_so() -> None:
    assert "Section number" not in read(page(), main_text="always").text
    assert is_whole(read(page(OG), main_text="never"))


def test_what_the_page_says_of_itself_is_kept() -> None:
    head = json_ld(
        "NewsArticle",
        headline="Trees for the river",
        datePublished="2024-05-06T07:08:09Z",
        author={"@type": "Person", "name": "Ann Example"},
    )
    head += '<meta name="keywords" content="trees, river"><meta name="description" content="Four thousand trees.">'
    document = read(page(head))
    assert document.metadata["authors"] == ["Ann Example"]
    assert document.metadata["date"] == "2024-05-06"
    assert document.metadata["description"] == "Four thousand trees."
    assert document.language == "en"
    assert "trees" in document.tags


def test_structure_is_markdown_without_html() -> None:
    main = (
        f"<p>{STORY[0]}</p><h2>What comes next</h2><p>{STORY[1]} The <u>lindens</u> drink H<sub>2</sub>O by "
        f"tree_id.</p><ul><li>October: the first row</li><li>May: the second row</li></ul><p>{STORY[2]}</p>"
    )
    text = read(page(OG, main=main, tag="article")).text
    assert "## What comes next" in text
    assert "- October: the first row" in text
    assert "The lindens drink H2O by tree_id." in text
    assert not text.startswith("# Trees"), "the headline is the title"


def test_a_wiki_gives_its_content_with_its_links() -> None:
    source = f"""<html lang="en"><head><meta name="generator" content="MediaWiki 1.42"><title>Linden - Wiki</title></head>
<body><div id="mw-navigation"><a href="/login">Log in</a> move to sidebar</div><h1 id="firstHeading">Linden</h1>
<div id="mw-content-text"><p>The <a href="/wiki/Tree">tree</a> is old. {STORY[0]}</p>
<h2>Uses<span class="mw-editsection">[edit]</span></h2><table><tr><th>Part</th></tr><tr><td>bast</td></tr></table></div><div id="catlinks"><a href="/wiki/Category:Trees">Trees</a></div>"""
    document = read(source)
    assert document.title == "Linden"
    assert document.text.startswith("# Linden\n\n")
    assert "[tree](/wiki/Tree)" in document.text
    assert "| bast |" in document.text
    assert "[Trees](/wiki/Category:Trees)" in document.text
    assert "sidebar" not in document.text
    assert "edit" not in document.text
    assert "sidebar" in read(source, main_text="never").text


@pytest.mark.parametrize(
    "source",
    [
        page(OG, more="<div>" * 100_000 + "deep words"),
        page(OG, more="<p>x</p>" * 20_000),
        page(OG, more="y" * 3_000_000),
        OG + "<" * 1_000,
        OG,
    ],
    ids=["deep", "many elements", "large", "no tags", "nothing"],
)
def test_pages_that_are_too_much_go_to_the_next_reader(source: str) -> None:
    with pytest.raises(ReadError):
        read_article(Item(source.encode(), "a.html", "text/html"))


def test_odd_characters_do_no_harm() -> None:
    main = f"<p>&#xD800;&#0;\x00\x0b{STORY[0]}</p><p>{STORY[1]}\ufffe</p><p>{STORY[3]}</p>"
    document = read(page(OG, main=main))
    document.text.encode()
    json.dumps(document.metadata)
    assert STORY[3] in document.text
