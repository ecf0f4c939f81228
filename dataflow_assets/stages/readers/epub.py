"""Books (EPUB) become Markdown: their chapters in the order in which they are read.

What belongs here: finding the chapters. What does not: the zip file and XML (`package`), and turning a chapter's page into
Markdown, which is done as for any page of HTML (`html`).

Libraries that read books take a page nested ten thousand levels deep for a reason to crash; the conversion of pages here does
not, and falls back to the words alone.
"""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.decoding import decode
from dataflow_assets.stages.readers.html import to_markdown, to_words
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.package import Package, attribute, child, elements, said_of_itself

_PAGES = re.compile(r"\.(?:xhtml|html?|xht)$", re.IGNORECASE)
_PAGE_TYPES = frozenset(("application/xhtml+xml", "text/html", "text/x-oeb1-document"))


def read_epub(item: Item) -> Reading:
    """Read a book; raises ReadError where it is damaged, protected, or has no text."""
    package = Package(item.content, "book")
    if b"xmlenc#aes" in (package.read("META-INF/encryption.xml") or b""):
        raise ReadError("The book is protected (encrypted for one reader's device); get it without protection.")
    chapters = _chapters(package)
    text = "\n\n".join(filter(None, (_chapter(package, name) for name in chapters)))
    if not text.strip():
        if not chapters:
            raise ReadError(
                "The book is damaged (truncated or corrupt): none of its pages can be found; replace the file."
            )
        raise ReadError("The book has no text: its pages are images, or blank.")
    root = package.xml(_main(package))
    said = said_of_itself(root) if root is not None else {}
    return Reading(
        text=text + "\n",
        markup="markdown",
        title=said.pop("title", None),
        language=said.pop("language", None),
        tags=tuple(said.pop("tags", ())),
        metadata=said,
    )


def _main(package: Package) -> str:
    root = package.xml("META-INF/container.xml")
    named = (
        next((attribute(each, "full-path") for each in elements(root, "rootfile")), None) if root is not None else None
    )
    return named or next((name for name in package.names if name.endswith(".opf")), "")


def _chapters(package: Package) -> list[str]:
    """Give the pages in the order of the spine; in that of the file where the book does not say."""
    main = _main(package)
    root = package.xml(main)
    found: list[str] = []
    if root is not None:
        pages = {
            attribute(each, "id"): posixpath.normpath(
                posixpath.join(posixpath.dirname(main), unquote(attribute(each, "href") or ""))
            )
            for each in elements(root, "item")
            if attribute(each, "media-type") in _PAGE_TYPES
        }
        spine = child(root, "spine")
        listed = elements(spine, "itemref") if spine is not None else ()
        found = [pages[named] for each in listed if (named := attribute(each, "idref")) in pages]
    there = set(package.names)
    known = [name for name in dict.fromkeys(found) if name in there]
    return known or [name for name in package.names if _PAGES.search(name)]


def _chapter(package: Package, name: str) -> str:
    content = package.read(name)
    if content is None:
        return ""
    try:
        source = decode(content, name=name, media_type="application/xhtml+xml").text
    except ReadError:
        return ""
    try:
        return to_markdown(source).strip()
    except ReadError:
        return to_words(source).strip()
