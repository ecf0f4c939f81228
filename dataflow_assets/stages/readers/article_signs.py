"""Whether a page is an article with much around it: what it says of itself, and what taking its main text would lose.

What belongs here: the decision, in two steps, on the tree of a page and on the main text that was found. What does not:
finding the main text (`article`).

Losing words of a manual is worse than keeping the menus of a newspaper, so a page is an article only if all of this holds:

1. It says so: `og:type` article, a date of publication (`article:published_time`), or an Article, NewsArticle or
   BlogPosting of schema.org as JSON-LD or microdata, once or a few times (a list of articles is none). Of 92 real article
   pages 85 say it. The others are believed by the company they keep: the scripts of a commercial site, eight or more
   with one from elsewhere, which 2 of 2,400 pages of manuals had.
2. It is no documentation: not made by a program that makes manuals (`generator`, the files that Sphinx and others bring), not
   under `/docs/` or `docs.` by its own address, not of the types TechArticle, APIReference, QAPage.
3. The main text is more than a caption and no menu, and holds what stands in `<pre>`.
4. A page that does not say it is an article has much around its main text, and loses mostly links: menus, not sentences.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from lxml.etree import _Element, iterwalk

_SAYS_ARTICLE = ("og:type", "article:published", "article:modified", "schema.org", "application/ld+json")
_MANY_SCRIPTS = 8
_ARTICLES = frozenset(
    """
    article newsarticle analysisnewsarticle askpublicnewsarticle backgroundnewsarticle opinionnewsarticle
    reportagenewsarticle reviewnewsarticle satiricalarticle advertisercontentarticle blogposting liveblogposting
    """.split()
)
_NO_ARTICLES = frozenset(
    "techarticle apireference qapage faqpage discussionforumposting product collectionpage searchresultspage".split()
)
_LISTED = 4
"""Articles of schema.org from which on a page is a list of them; an article may name a few related ones."""
_JSON_TYPE = re.compile(r"\"@type\"\s{0,9}:\s{0,9}(\[[^\[\]{}]{0,300}\]|\"[^\"]{0,60}\")")
_JSON_LIMIT = 500_000
_MANUALS = re.compile(
    r"sphinx|docutils|mkdocs|javadoc|doxygen|rustdoc|mediawiki|dokuwiki|moinmoin|confluence|gitbook|vuepress|vitepress|"
    r"docsify|docusaurus|antora|asciidoc|docbook|publican|makeinfo|texi2any|texinfo|latex2html|hevea|tex4ht|typedoc|jsdoc|\byard\b|"
    r"pdoc|ex_?doc|starlight|nextra|mintlify|readme\.io|microsoft (?:word|excel|frontpage)|libreoffice|openoffice|robohelp|"
    r"madcap|oxygen xml|\bdita|jupyter|nbconvert|bookdown|quarto|pandoc|docsy|xsl stylesheets",
    re.IGNORECASE,
)
_MANUAL_FILES = re.compile(
    r"documentation_options|_static/(?:doctools|searchtools|sphinx)|searchindex\.js|search/search_index|docsearch|readthedocs|"
    r"javadoc",
    re.IGNORECASE,
)
_MANUAL_CLASSES = frozenset(
    """
    sphinxsidebar docs-wrapper docs-doc-page td-sidebar md-sidebar rst-content wy-body-for-nav mw-parser-output doxygen
    """.split()
)
_MANUAL_PATHS = frozenset(
    "docs doc documentation reference api apidocs manual manuals wiki handbook javadoc man".split()
)
_MANUAL_HOSTS = frozenset("docs doc documentation wiki manual developer developers readthedocs".split())
_NEWS = frozenset("blog blogs news".split())
"""Parts of an address that say what is there is no manual after all: `developers.example.org/blog/`."""
_LEAST = 100
"""Letters of a main text that is more than a caption."""
_PRE_KEPT = 0.9
_LINKS_KEPT = 0.6
"""Share of links from which on a main text is a menu."""
_LINKS_LOST = 0.3
"""Share of links in what is left out of a page that does not say it is an article. Real pages lose 0.3 to 0.95, a data sheet 0.01."""
_MUCH_AROUND = 0.1
"""What is around it, as a share of the main text, for which a page that does not say it is an article is cut at all."""
_EDGE = 24
"""Letters at a block's beginning or end by which it is found again in the main text."""
_PROSE = 80
"""Letters from which on a block is a sentence or more."""

_BLOCKS = frozenset(
    """
    address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption figure footer form
    h1 h2 h3 h4 h5 h6 header hr html legend li main menu nav ol option p pre section summary table tbody td tfoot th thead
    tr ul
    """.split()
)
_SILENT = frozenset("script style noscript template head title svg iframe object textarea button select".split())
_NO_LETTERS = re.compile(r"[\W\d_]+")


@dataclass(frozen=True, slots=True)
class Signs:
    """What a page says of itself."""

    article: bool
    """Whether it says that it is an article."""
    manual: bool
    """Whether it is documentation, or made by a program that makes it."""
    commercial: bool
    """Whether it brings the scripts of a commercial site."""
    marked: bool
    """Whether exactly one element is an `<article>`."""

    @property
    def may_be_article(self) -> bool:
        """Whether it is worth while to look for a main text."""
        return not self.manual and (self.article or self.commercial)


def may_have_signs(source: str) -> bool:
    """Tell quickly, without a tree, whether a page could be an article at all."""
    lowered = source.lower()
    return any(sign in lowered for sign in _SAYS_ARTICLE) or lowered.count("<script") >= _MANY_SCRIPTS


def signs_of(tree: _Element) -> Signs:
    """Collect what a page says of itself, in one pass over its elements."""
    types: list[str] = []
    says = manual = False
    scripts = foreign = marked = 0
    for element in tree.iter(
        "meta", "script", "link", "article", "body", "html", "div", "aside", "nav", "section", "main"
    ):
        get = element.get
        named = (get("itemtype") or "")[:200]
        if "schema.org/" in named:
            types.append(named.rpartition("/")[2].lower())
        match element.tag:
            case "meta":
                name = (get("property") or get("name") or "")[:100].lower()
                said = (get("content") or "")[:500]
                says = says or (name == "og:type" and said.strip().lower() in ("article", "news", "blog", "blogpost"))
                says = says or name in ("article:published_time", "article:modified_time", "article:published")
                manual = manual or (name == "generator" and bool(_MANUALS.search(said)))
                manual = manual or (name == "og:url" and _is_manual_address(said))
            case "script":
                address = (get("src") or "")[:500]
                if (get("type") or "").strip().lower() == "application/ld+json":
                    for found in _JSON_TYPE.findall((element.text or "")[:_JSON_LIMIT]):
                        types += re.findall(r"\w+", found.lower())
                else:
                    scripts += 1
                    foreign += "//" in address[:10]
                manual = manual or bool(_MANUAL_FILES.search(address))
            case "link":
                address = (get("href") or "")[:500]
                canonical = (get("rel") or "").lower() == "canonical"
                manual = manual or bool(_MANUAL_FILES.search(address)) or (canonical and _is_manual_address(address))
            case tag:
                marked += tag == "article"
                classes = get("class")
                manual = manual or (
                    classes is not None and not _MANUAL_CLASSES.isdisjoint(classes[:500].lower().split())
                )
    articles = sum(kind in _ARTICLES for kind in types)
    return Signs(
        article=says or 0 < articles < _LISTED,
        manual=manual or (not says and any(kind in _NO_ARTICLES for kind in types)),
        commercial=scripts >= _MANY_SCRIPTS and foreign > 0,
        marked=marked == 1,
    )


def is_main_text(signs: Signs, tree: _Element, main: str) -> bool:
    """Tell whether a main text may stand for its page.

    Args:
        signs: What the page says of itself.
        tree: The page.
        main: Its main text, as Markdown.
    """
    lines = [letters for line in main.split("\n") if (letters := _letters(line))]
    if sum(map(len, lines)) < _LEAST:
        return False
    beginnings = {line[:_EDGE] for line in lines}
    ends = {line[-_EDGE:] for line in lines}
    pre = pre_kept = prose_kept = kept_size = links_kept = lost = links_lost = 0
    for tag, text, links in _blocks(tree):
        letters = _letters(text)
        size = len(letters)
        kept = letters[:_EDGE] in beginnings or letters[-_EDGE:] in ends
        if tag == "pre":
            pre += size
            pre_kept += size * kept
        if kept:
            kept_size += size
            links_kept += links
            prose_kept += size * (size >= _PROSE)
        else:
            lost += size
            links_lost += links
    if pre_kept < _PRE_KEPT * pre or links_kept > _LINKS_KEPT * kept_size:
        return False
    if signs.article:
        return True
    found = sum(map(len, lines))
    prosaic = signs.marked or prose_kept >= 0.5 * found
    return prosaic and lost >= _MUCH_AROUND * found and links_lost >= _LINKS_LOST * lost


def _is_manual_address(address: str) -> bool:
    try:
        parts = urlsplit(address.strip().lower())
        host = parts.hostname or ""
    except ValueError:
        return False
    hosts, path = host.split("."), parts.path.split("/")
    if not _NEWS.isdisjoint([*hosts, *path]):
        return False
    return not _MANUAL_HOSTS.isdisjoint(hosts) or not _MANUAL_PATHS.isdisjoint(path)


def _blocks(tree: _Element) -> list[tuple[str, str, int]]:
    """Give the page's blocks: the element, its own text, and how many of its letters are links."""
    found: list[tuple[str, str, int]] = []
    pieces: list[str] = []
    open_blocks = ["html"]
    linked = silent = links = 0

    def close() -> None:
        nonlocal linked
        if pieces:
            found.append((open_blocks[-1], " ".join(pieces), linked))
            pieces.clear()
        linked = 0

    def hear(text: str | None) -> None:
        nonlocal linked
        if text and not silent and not text.isspace():
            pieces.append(text)
            linked += len(_letters(text)) if links else 0

    for event, element in iterwalk(tree, events=("start", "end")):
        tag = element.tag
        if not isinstance(tag, str):
            continue
        step = 1 if event == "start" else -1
        silent += step * (tag in _SILENT)
        links += step * (tag == "a")
        if tag in _BLOCKS:
            close()
            if event == "start":
                open_blocks.append(tag)
            else:
                open_blocks.pop()
        hear(element.text if event == "start" else element.tail)
    close()
    return found


def _letters(text: str) -> str:
    return _NO_LETTERS.sub("", text).lower()
