"""The main text of an article's page, without its menus, advertisements and comments, by trafilatura.

What belongs here: the reader that is tried first for web pages, and hands a page on unless it is an article (the setting
`reading.main_text`; the decision is explained in `article_signs`). What does not: pages of which every word counts (`html`).

trafilatura's own measure of preferring precision gave an F1 of 0.965 on 92 real pages, its default 0.954. Two things are
taken off first: underlining, which it would write as HTML, and the headline, which becomes the document's title. Links
lose their addresses here: kept ones cost 0.06 of F1, since most of them lead to more of the same site.

Wikis made by MediaWiki mark their content themselves; there that element is taken, whole, with links and tables.

Time: trafilatura needs about 30 ms a page, and quadratic time for many small elements in one paragraph, so larger pages go
to the next reader.
"""

from __future__ import annotations

import logging
import re
from copy import deepcopy
from typing import Any

from lxml import etree
from lxml import html as lxml_html

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.article_signs import is_main_text, may_have_signs, signs_of
from dataflow_assets.stages.readers.html import page_facts, to_markdown
from dataflow_assets.stages.readers.html_tables import cut_tables
from dataflow_assets.stages.readers.item import Item, Reading

_LARGEST = 3_000_000
"""Characters of a page."""
_MOST_ELEMENTS = 10_000
"""Real article pages have 90 to 1,600."""
_SHORT = 250
"""Characters of a main text from which on it is worth while to look again with less precision."""
_MOST_AUTHORS = 50
_LAST_DATE = "2200-01-01"
"""htmldate would take today, and a page would be of another date tomorrow."""
_RAW = ("u", "sub", "sup")
"""Elements that trafilatura writes as HTML."""
_HEADLINE = re.compile(r"\#{1,2} ([^\n]{1,500})(?:\n+|\Z)")
_ESCAPED = re.compile(r"(?<=\w)\\_(?=\w)")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_MEDIAWIKI = re.compile(r"<meta\s+name=\"generator\"\s+content=\"MediaWiki", re.IGNORECASE)
_HEAD = 65_536


def read_article(item: Item) -> Reading:
    """Read the main text of an article's page.

    Raises:
        ReadError: The page is no article, the catalog wants whole pages, or there is no main text; the page's whole text is
            read then.
    """
    wanted = item.settings.main_text
    if wanted == "never":
        raise ReadError("The catalog asks for whole pages.")
    source = item.decoded.text
    if len(source) > _LARGEST:
        raise ReadError(f"The page has more than {_LARGEST} characters, too many to look for its main text.")
    wiki = bool(_MEDIAWIKI.search(source[:_HEAD]))
    if wanted == "auto" and not wiki and not may_have_signs(source):
        raise ReadError("The page is no article.")
    tree = _parse(source)
    if wiki and (found := _wiki_content(tree)) is not None:
        facts = page_facts(source)
        return Reading(
            text=found, markup="markdown", title=_wiki_title(tree) or facts.title, language=facts.language,
            tags=facts.tags, metadata={**facts.metadata, "main_text": True},
        )  # fmt: skip
    signs = signs_of(tree)
    if wanted == "auto" and not signs.may_be_article:
        raise ReadError("The page is no article.")
    text = _main_text(tree)
    if not text:
        raise ReadError("No main text was found on the page.")
    if wanted == "auto" and not is_main_text(signs, tree, text):
        raise ReadError("What was found as the page's main text leaves out too much of it.")
    return _reading(source, tree, text)


def _parse(source: str) -> lxml_html.HtmlElement:
    """Make a tree; libxml2 stops at a depth of 256, so nothing that follows can recurse deeply, or read half a page."""
    parser = lxml_html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=False)
    try:
        tree = lxml_html.document_fromstring(_CONTROLS.sub(" ", source).encode(), parser=parser)
    except (etree.LxmlError, ValueError, AssertionError) as error:
        raise ReadError(f"The page could not be parsed: {str(error)[:200]}.") from error
    if parser.error_log.filter_from_errors().filter_types(etree.ErrorTypes.ERR_RESOURCE_LIMIT):
        raise ReadError("The page is nested too deeply to look for its main text.")
    if sum(1 for _ in tree.iter()) > _MOST_ELEMENTS:
        raise ReadError(f"The page has more than {_MOST_ELEMENTS} elements, too many to look for its main text.")
    return tree


def _main_text(tree: lxml_html.HtmlElement) -> str:
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # a page without a main text is no event
    clean = deepcopy(tree)
    etree.strip_tags(clean, *_RAW)
    text = _extracted(clean, precise=True)
    if len(text) < _SHORT and len(other := _extracted(clean, precise=False)) > 2 * len(text):
        text = other
    return cut_tables(_ESCAPED.sub("_", text).strip())


def _extracted(tree: lxml_html.HtmlElement, *, precise: bool) -> str:
    import trafilatura

    text = trafilatura.extract(tree, output_format="markdown", favor_precision=precise, include_comments=False)
    return text or ""


def _reading(source: str, tree: lxml_html.HtmlElement, text: str) -> Reading:
    facts = page_facts(source)
    known = _metadata(tree)
    title = known.pop("title", None) or facts.title
    if headline := _HEADLINE.match(text):
        heading = headline[1].strip("*_ ")
        said = {" ".join("".join(h1.itertext()).split()) for h1 in tree.iter("h1")}
        if heading in said or _same(heading, title):
            title, text = heading, text[headline.end() :]
    return Reading(
        text=f"{text}\n" if text else f"# {title}\n",
        markup="markdown",
        title=title or None,
        language=facts.language,
        tags=facts.tags,
        metadata={**facts.metadata, **known, "main_text": True},
    )


def _metadata(tree: lxml_html.HtmlElement) -> dict[str, Any]:
    """Give title, authors, date, description and site, as far as the page names them."""
    from trafilatura.metadata import extract_metadata

    try:
        found = extract_metadata(
            tree, date_config={"original_date": True, "extensive_search": False, "max_date": _LAST_DATE}
        )
    except Exception:  # its readers of dates and JSON raise many things on broken pages; the text counts
        return {}
    named = {
        "title": found.title,
        "authors": [name for name in (found.author or "").split("; ") if name][:_MOST_AUTHORS],
        "date": found.date,
        "description": found.description,
        "site": found.sitename,
    }
    return {key: value for key, value in named.items() if value}


def _same(heading: str, title: str) -> bool:
    one, other = (" ".join(re.findall(r"\w+", text.casefold())) for text in (heading, title))
    return bool(one and other) and (one in other or other in one)


def _wiki_content(tree: lxml_html.HtmlElement) -> str | None:
    """Convert the elements that hold what people wrote: the page's text and its categories."""
    content = tree.get_element_by_id("mw-content-text", None)
    if content is None:
        return None
    for edit in content.xpath(".//*[contains(concat(' ', @class, ' '), ' mw-editsection ')]"):
        edit.drop_tree()
    written = [content, tree.get_element_by_id("catlinks", None)]
    source = "\n".join(
        etree.tostring(each, encoding="unicode", method="html", with_tail=False) for each in written if each is not None
    )
    title = _wiki_title(tree)
    return f"# {title}\n\n{to_markdown(source)}" if title else to_markdown(source)


def _wiki_title(tree: lxml_html.HtmlElement) -> str:
    heading = tree.get_element_by_id("firstHeading", None)
    return "" if heading is None else " ".join("".join(heading.itertext()).split())
