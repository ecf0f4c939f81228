"""WordprocessingML: what stands in the parts of a Word document, as Markdown.

What belongs here: the parts beside the text (headers, footers, notes, comments, charts, diagrams), which converters leave
out; and a plain conversion of the text itself for documents that they cannot read. What does not: the zip file and XML
(`package`), and who is asked first (`office`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dataflow_assets.stages.readers.markdown_table import write_table
from dataflow_assets.stages.readers.package import Element, Package, attribute, child, elements, local
from dataflow_assets.stages.readers.pptx_parts import chart_text

_BESIDE = (
    ("header", ""), ("footer", ""), ("footnotes", "Footnote"), ("endnotes", "Endnote"), ("comments", "Comment"),
    ("chart", ""), ("diagramData", ""),
)  # fmt: skip
_HEADING = re.compile(
    r"(?:heading|berschrift|titre|titolo|encabezado|ttulo|rubrik|kop|nagwek)\s?([1-9])$", re.IGNORECASE
)


def main_part(package: Package) -> str:
    """Give the member that holds the text."""
    for kind, target in package.relations("").values():
        if kind == "officeDocument" and target in package.names:
            return target
    return next((name for name in package.names if re.fullmatch(r"word/document\d*\.xml", name)), "word/document.xml")


def body_blocks(package: Package, main: str) -> Iterator[str]:
    """Give the blocks of the document's text."""
    root = package.xml(main)
    body = child(root, "body")
    if body is not None:
        yield from blocks(body)


def beside_blocks(package: Package, main: str) -> Iterator[tuple[str, str]]:
    """Give what stands beside the text, each with the kind of part that it stands in: `header`, `comments` ..."""
    relations = package.relations(main).values()
    for kind, named in _BESIDE:
        # Three headers, for first, odd and even pages, often say the same.
        for target in dict.fromkeys(target for found, target in relations if found == kind):
            root = package.xml(target)
            if root is None:
                continue
            if kind == "chart":
                if text := chart_text(root):
                    yield kind, text
            elif named:
                for note in root:
                    if (attribute(note, "type") or "normal") == "normal" and (said := " ".join(blocks(note))):
                        author = attribute(note, "author") if kind == "comments" else None
                        yield kind, f"{named}{f' by {author}' if author else ''}: {said}"
            elif kind == "diagramData":
                texts = [
                    " ".join("".join(piece.text or "" for piece in elements(p, "t")).split())
                    for p in elements(root, "p")
                ]
                if items := [f"- {text}" for text in texts if text]:
                    yield kind, "\n".join(items)
            else:
                for block in blocks(root):
                    yield kind, block


def blocks(root: Element) -> Iterator[str]:
    """Give the paragraphs, lists and tables below an element, in order, without recursion."""
    items: list[str] = []
    waiting = [iter(root)]
    while waiting:
        part = next(waiting[-1], None)
        if part is None:
            waiting.pop()
            continue
        kind = local(part)
        if kind == "p":
            text, inner = _paragraph(part)
            listed = child(part, "pPr", "numPr") is not None
            level = _heading(part)
            if items and (level or not listed) and text:
                yield "\n".join(items)
                items = []
            if text and level:
                yield "#" * level + " " + text
            elif text and listed:
                depth = attribute(child(part, "pPr", "numPr", "ilvl"), "val") or "0"
                items.append("  " * (min(int(depth), 8) if depth.isdigit() and len(depth) < 4 else 0) + "- " + text)
            elif text:
                yield text
            if inner:
                waiting.append(iter(inner))
        elif kind == "tbl":
            if items:
                yield "\n".join(items)
                items = []
            rows = [_row(row) for row in elements(part, "tr") if _table_of(row) is part]
            if rows and (table := write_table(rows[0], rows[1:])):
                yield table
        elif kind == "AlternateContent":
            waiting.append(iter(_chosen(part)))
        elif kind and kind not in ("sectPr", "pPr", "del", "moveFrom", "tblPr", "sdtPr"):
            waiting.append(iter(part))
    if items:
        yield "\n".join(items)


def _heading(paragraph: Element) -> int:
    style = attribute(child(paragraph, "pPr", "pStyle"), "val") or ""
    if style.lower() in ("title", "titel", "titre"):
        return 1
    outline = attribute(child(paragraph, "pPr", "outlineLvl"), "val") or ""
    found = _HEADING.search(style)
    level = (
        int(found[1]) if found else int(outline) + 1 if outline.isdigit() and len(outline) == 1 and outline < "9" else 0
    )
    return min(level, 6)


def _paragraph(paragraph: Element) -> tuple[str, list[Element]]:
    """Give a paragraph's text on one line, and the text boxes that are anchored in it."""
    pieces: list[str] = []
    inner: list[Element] = []
    waiting = [iter(paragraph)]
    while waiting:
        part = next(waiting[-1], None)
        if part is None:
            waiting.pop()
            continue
        kind = local(part)
        if kind == "t":
            pieces.append(part.text or "")
        elif kind in ("tab", "br", "cr", "ptab"):
            pieces.append(" ")
        elif kind == "noBreakHyphen":
            pieces.append("-")
        elif kind == "txbxContent":
            inner.append(part)
        elif kind == "AlternateContent":
            waiting.append(iter(_chosen(part)))
        elif kind and kind not in ("pPr", "rPr", "del", "moveFrom", "instrText", "delText", "sdtPr"):
            waiting.append(iter(part))
    return " ".join("".join(pieces).split()), inner


def _chosen(alternatives: Element) -> list[Element]:
    """The same content stands there in several forms; one is taken."""
    choice = child(alternatives, "Choice")
    if choice is not None and len(choice):
        return list(choice)
    fallback = child(alternatives, "Fallback")
    return list(fallback) if fallback is not None else []


def _row(row: Element) -> list[str]:
    cells = []
    for cell in elements(row, "tc"):
        if _table_of(cell) is _table_of(row):
            cells.append(" ".join(text for p in elements(cell, "p") if (text := _paragraph(p)[0])))
            span = attribute(child(cell, "tcPr", "gridSpan"), "val") or "1"
            cells += [""] * (min(int(span), 64) - 1 if span.isdigit() and len(span) < 4 else 0)
    return cells


def _table_of(element: Element) -> Element | None:
    return next(element.iterancestors("{*}tbl"), None)
