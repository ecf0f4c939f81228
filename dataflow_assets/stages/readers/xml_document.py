"""XML elements become Markdown.

What belongs here: what the elements of the widespread vocabularies are (articles in JATS, DocBook, DITA, TEI, American
patents of all ages, RSS and Atom), and how any other element is written. What does not: parsing (`xml_text`), financial
reports (`xml_facts`).

The names are looked up without their namespaces and in lower case, all vocabularies in one table: where two use the same
name they mean the same. An element that no table knows is written by its shape: with text between its elements it is a
paragraph; with elements only it is a frame; a leaf is a line with its path, `country/name: Canada`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dataflow_assets.stages.readers.item import Reading
from dataflow_assets.stages.readers.xml_inline import has_html, html_text, local, spaced, text_of
from dataflow_assets.stages.readers.xml_people import authors, date, person
from dataflow_assets.stages.readers.xml_tables import table_text
from dataflow_assets.stages.readers.xml_vocabulary import (
    ANCHORS,
    BLOCKS,
    CITATIONS,
    CODE,
    FRONT,
    HEADS,
    LISTS,
    NAMED,
    ORDERED,
    PARAGRAPHS,
    PATH,
    PLAIN_FRAMES,
    PROSE,
    ROWS,
    SECTIONS,
    SKIPPED,
    TABLES,
    TITLED,
)


def write_document(root: Any) -> Reading:
    """Write a tree as Markdown, with the title, the language and the authors that it names."""
    writer = _Writer(root)
    writer.run()
    title = writer.title
    return Reading(
        text=writer.text(),
        markup="markdown",
        title=title,
        language=next((value for key, value in root.attrib.items() if str(key).rpartition("}")[2] == "lang"), None),
        tags=tuple(dict.fromkeys(filter(None, (spaced(each) for each in root.iter("{*}kwd", "{*}keyword")))))[:50],
        metadata={key: value for key, value in (("authors", authors(root)), ("date", date(root))) if value},
    )


class _Writer:
    """Walks a tree that is not too deep, and gathers blocks of Markdown."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.name = local(root)
        self.blocks: list[str] = []
        self.lines: list[str] = []
        self.title: str | None = None
        self.prose = self.name in ("article", "patdoc") or any(
            True for name in ANCHORS for _ in root.iter(f"{{*}}{name}")
        )
        """Whether the document is written for readers; attributes of other documents are content."""
        self.frames = _frames(root)
        self.compact = self.name == "patdoc"
        """Whether white space between elements is layout, even inside paragraphs."""

    def run(self) -> None:
        """Write everything, first what a reader looks for."""
        if self.name == "svg":
            for node in self.root.iter("{*}title", "{*}desc", "{*}text"):
                self.paragraph(spaced(node))
            return
        if self.name == "patdoc" or self.name.startswith("us-patent"):
            self._patent()
        else:
            self.block(self.root, 1, ())

    def text(self) -> str:
        """Give what was written."""
        self._flush()
        return "\n\n".join(self.blocks) + "\n" if self.blocks else ""

    def block(self, node: Any, level: int, path: tuple[str, ...]) -> None:
        """Write one element and what is in it."""
        name = local(node)
        if not name or name in SKIPPED:
            return
        here = (*path, _path_name(node))
        if name == "front" or name == "article-meta":
            self._front(node, level, path)
        elif name == "contrib-group":
            self._contributors(node, level, path)
        elif name == "subj-group" and (subjects := dict.fromkeys(filter(None, map(spaced, node.iter("{*}subject"))))):
            self.line("subject", ", ".join(subjects))
        elif name in HEADS and (not self._is_record(node)):
            self.heading(node, level)
        elif name in TABLES and any(True for each in node.iter() if local(each) in ROWS):
            self._table(node, level)
        elif name in LISTS:
            self._list(node, level)
        elif name in ("figure", "fig", "table-wrap", "caption") and self.prose:
            self._captioned(node, level)
        elif name in CODE or (name in ("code", "pre") and "\n" in (node.text or "").strip()):
            self._code(node)
        elif name in CITATIONS and len(node) and not (node.text or "").strip() and self.prose:
            self.paragraph(spaced(node))
        elif name == "ref":
            self.bullet(spaced(node))
        elif name == "clm" or name == "claim":
            self.paragraph(_claim(node, self.compact))
        elif name in SECTIONS and len(node):
            self._section(node, level, here)
        elif not len(node):
            self._leaf(node, here)
        elif (name in PARAGRAPHS and node not in self.frames) or _is_mixed(node):
            self._mixed(node, level)
        else:
            self._frame(node, level, here)

    def heading(self, node: Any, level: int, label: str = "") -> None:
        """Write a heading; the first one of all is the title."""
        title = text_of(node, compact=self.compact)
        said = " ".join(filter(None, (label, html_text(title) if has_html(title) else title)))
        if said:
            if self.title is None:
                self.title = said
            self.add(f"{'#' * min(max(level, 1), 6)} {said}")

    def paragraph(self, said: str) -> None:
        """Write a paragraph."""
        if said:
            self.add(said)

    def bullet(self, said: str) -> None:
        """Write a line of a list."""
        if said:
            self.lines.append(f"- {said}")

    def line(self, name: str, value: str) -> None:
        """Write a value with its name."""
        self.bullet(f"{name}: {value}" if name else value)

    def add(self, block: str) -> None:
        """Write a block of its own."""
        self._flush()
        self.blocks.append(block)

    def _flush(self) -> None:
        if self.lines:
            self.blocks.append("\n".join(self.lines))
            self.lines = []

    def _is_record(self, node: Any) -> bool:
        """Tell whether a title is one of the values of a record, as in `<book><title/><price/></book>`."""
        parent = node.getparent()
        return (
            not self.prose
            and parent is not None
            and parent is not self.root
            and local(parent) not in SECTIONS
            and local(parent) not in TITLED
        )

    def _section(self, node: Any, level: int, path: tuple[str, ...]) -> None:
        self._flush()
        name = local(node)
        children = list(node)
        heads = [child for child in children if local(child) in HEADS]
        root = node is self.root or (name == "channel" and level == 1)
        own = level if root else max(level, 2)
        inner = own + 1
        label = next((text_of(child) for child in children if local(child) in ("label", "sectnum")), "")
        if heads:
            self.heading(heads[0], own, label)
        elif NAMED.get(name):
            self.add(f"{'#' * min(own, 6)} {NAMED[name]}")
        elif root or name in PLAIN_FRAMES:
            inner = level
        if (node.text or "").strip():
            self.paragraph(text_of(node, own_text=True))
        for child in children:
            if heads and child is heads[0] or (heads and label and local(child) == "label"):
                continue
            self.block(child, inner, path[-1:] if name in ("item", "entry", "channel") else path)
            if child.tail and child.tail.strip():
                self.paragraph(" ".join(child.tail.split()))
        self._flush()

    def _frame(self, node: Any, level: int, path: tuple[str, ...]) -> None:
        holds_leaves = any(not len(child) for child in node)
        if holds_leaves:
            self._flush()
        if not self.prose:
            self._attributes(node, path)
        for child in node:
            self.block(child, level, path)
        if holds_leaves:
            self._flush()

    def _leaf(self, node: Any, path: tuple[str, ...]) -> None:
        name = local(node)
        value = text_of(node, compact=self.compact)
        if has_html(value):
            value = html_text(node.text or "")
            if "\n" in value:
                self.add(value)
                return
        label = "/".join(filter(None, path[1:][-PATH:]))
        if name == "link" and not value and node.get("href"):
            value = node.get("href")
        elif not self.prose:
            label += _attribute_text(node)
        if name in PARAGRAPHS and self.prose or len(value) > PROSE:
            self.paragraph(value)
        elif value:
            self.line(label, value)
        elif not self.prose and node.attrib and label:
            self.bullet(label)

    def _attributes(self, node: Any, path: tuple[str, ...]) -> None:
        label = _attribute_text(node)
        if label:
            self.bullet("/".join(filter(None, path[1:][-PATH:])) + label)

    def _mixed(self, node: Any, level: int) -> None:
        """Write a paragraph that may have lists, tables and the like in it."""
        parts: list[str] = [node.text or ""]

        def out() -> None:
            said = " ".join("".join(parts).split())
            parts.clear()
            if has_html(said):
                said = html_text(said)
            self.paragraph(said)

        for child in node:
            name = local(child)
            if child in self.frames or name in BLOCKS or name in LISTS or name in CODE:
                out()
                self.block(child, level, ("", ""))
            else:
                inner = text_of(child, compact=self.compact, strip=False)
                parts.append(inner)
            tail = child.tail or ""
            parts.append("" if self.compact and not tail.strip() else tail)
        out()

    def _list(self, node: Any, level: int, depth: int = 0) -> None:
        self._flush()
        for child in node:
            if local(child) in HEADS:
                self.heading(child, level + 1)
        self._items(node, 0)
        self._flush()

    def _items(self, node: Any, depth: int) -> None:
        number = 0
        self.bullet(text_of(node, own_text=True))
        for child in node:
            self.bullet(" ".join((child.tail or "").split()))
            name = local(child)
            if not name:
                continue
            if name in HEADS:
                if depth and (title := spaced(child)):  # that of the outermost list is a heading
                    self.lines.append(f"{'  ' * min(depth, 8)}- {title}")
                continue
            number += 1
            mark = f"{number}." if local(node) in ORDERED else "-"
            inner = [each for each in child.iter() if local(each) in LISTS and each is not child]
            nested = [each for each in inner if not any(up in inner for up in _between(each, child))]
            if name in LISTS:
                self._items(child, depth + 1)
                continue
            said = spaced(child, skip=frozenset(nested))
            if said:
                self.lines.append(f"{'  ' * min(depth, 8)}{mark} {said}")
            for each in nested:
                self._items(each, depth + 1)

    def _captioned(self, node: Any, level: int) -> None:
        """Write a figure or a table with its number and caption."""
        said = [spaced(child) for child in node if local(child) in ("label", "caption", *HEADS)]
        if local(node) == "caption":
            said = [spaced(node)]
        self.paragraph(" ".join(filter(None, said)))
        if local(node) == "caption":
            return
        for child in node:
            if local(child) not in ("label", "caption") and local(child) not in HEADS:
                self.block(child, level, ("", ""))

    def _table(self, node: Any, level: int) -> None:
        for child in node:
            if local(child) in HEADS or local(child) == "caption":
                self.paragraph(spaced(child))
        self._flush()
        if table := table_text(node):
            self.add(table)

    def _code(self, node: Any) -> None:
        code = "".join(node.itertext()).strip("\r\n")
        fence = "`" * max(3, max((len(run) for run in re.findall("`+", code)), default=0) + 1)
        if code.strip():
            self.add(f"{fence}\n{code}\n{fence}")

    def _front(self, node: Any, level: int, path: tuple[str, ...]) -> None:
        """Write the head of an article: title, authors and abstract before what catalogues want to know."""
        meta = next(node.iter("{*}article-meta"), node)
        for name in FRONT:
            for child in meta:
                if local(child) == name:
                    if name == "title-group":
                        for each in child.iter("{*}article-title"):
                            self.heading(each, 1)
                    else:
                        self.block(child, 2, ("", ""))
        for child in [*(each for each in node if each is not meta), *meta]:
            if local(child) == "title-group":
                for each in child:
                    if local(each) != "article-title":
                        self.block(each, 2, ("", ""))
            elif local(child) not in FRONT:
                self.block(child, 2, ("", ""))

    def _contributors(self, node: Any, level: int, path: tuple[str, ...]) -> None:
        people = [person(each) for each in node.iter("{*}contrib")]
        self.paragraph(", ".join(filter(None, people)))
        for child in node:
            if local(child) != "contrib":
                self.block(child, level, path)
        for contributor in node.iter("{*}contrib"):
            if roles := ", ".join(filter(None, (spaced(child) for child in contributor if local(child) == "role"))):
                self.line(person(contributor), roles)
            for child in contributor:
                if local(child) in ("aff", "bio", "email", "address"):
                    self.paragraph(spaced(child))

    def _patent(self) -> None:
        """Write title, abstract, description and claims before the codes of the patent office."""
        title = next((each for each in self.root.iter() if local(each) in ("invention-title", "b540")), None)
        if title is not None:
            self.heading(title, 1)
        parts = list(self.root)
        order = ("abstract", "sdoab", "description", "sdode", "claims", "sdocl", "us-claim-statement")
        for name in order:
            for part in parts:
                if local(part) == name:
                    if name in ("description", "claims"):
                        if name in NAMED:
                            self.add(f"## {NAMED[name]}")
                        self._frame(part, 2, ("", ""))
                    else:
                        self.block(part, 2, ("", ""))
        for part in parts:
            if local(part) not in order:
                self._frame(part, 3, (local(part),))


def _claim(node: Any, compact: bool) -> str:
    said = text_of(node, compact=compact)
    number = (node.get("num") or node.get("ID") or "").lstrip("0")
    return f"{number}. {said}" if number.isdecimal() and not said.startswith(f"{number}.") else said


def _frames(root: Any) -> frozenset[Any]:
    """Find the elements that hold one which is no part of a line."""
    found: set[Any] = set()
    for node in root.iter():
        if local(node) in BLOCKS:
            node = node.getparent()
            while node is not None and node not in found:
                found.add(node)
                node = node.getparent()
    return frozenset(found)


def _between(node: Any, top: Any) -> Iterator[Any]:
    node = node.getparent()
    while node is not None and node is not top:
        yield node
        node = node.getparent()


def _is_mixed(node: Any) -> bool:
    return bool((node.text or "").strip()) or any((child.tail or "").strip() for child in node)


def _path_name(node: Any) -> str:
    return str(node.tag).rpartition("}")[2] if isinstance(node.tag, str) else ""


def _attribute_text(node: Any) -> str:
    said = [
        f"{str(key).rpartition('}')[2]}={' '.join(value.split())}"
        for key, value in node.attrib.items()
        if value.strip() and "XMLSchema-instance" not in str(key)
    ]
    return f" ({', '.join(said)})" if said else ""
