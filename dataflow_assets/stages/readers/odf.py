"""OpenDocument texts and presentations become Markdown: headings, lists, tables, notes; a page a slide.

What belongs here: what stands in `content.xml`, and in the headers and footers of `styles.xml`. What does not: the zip file and
XML (`package`), spreadsheets (`sheets`).
"""

from __future__ import annotations

from collections.abc import Iterator

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.markdown_table import write_table
from dataflow_assets.stages.readers.package import Element, Package, attribute, child, elements, local
from dataflow_assets.stages.readers.pages import join_pages

_WHAT = {"presentation": "presentation", "text": "document"}
_SKIPPED = frozenset(
    (
        "tracked-changes", "sequence-decls", "variable-decls", "user-field-decls", "forms", "settings", "animations", "par",
        "event-listeners", "desc", "title", "plugin", "object-ole", "image", "soft-page-break",
    )
)  # fmt: skip
_FURNITURE = frozenset(("page-number", "page-count"))
_MAX_SPACES = 8
_MAX_REPEATED = 64


def read_odf(item: Item) -> Reading:
    """Read a text or a presentation; raises ReadError where it is damaged, protected, or has no text."""
    what = "presentation" if "presentation" in item.media_type else "document"
    package = Package(item.content, what)
    manifest = package.read("META-INF/manifest.xml") or b""
    if b"encryption-data" in manifest:
        raise ReadError(
            f"The {what} is protected by a password, which cannot be opened here; save it without one "
            "(reading.passwords does not help)."
        )
    root = package.xml("content.xml")
    body = child(root, "body")
    if body is None or not len(body):
        raise ReadError(f"The {what} is damaged (truncated or corrupt): it has no content; replace the file.")
    slides = list(body[0].iterchildren("{*}page"))
    styles = package.xml("styles.xml")
    numbered = _numbered(root) | (_numbered(styles) if styles is not None else frozenset())
    if slides:
        text, sections = join_pages((number, _slide(slide, numbered)) for number, slide in enumerate(slides, 1))
    else:
        beside = _furniture(styles, numbered) if styles is not None else ()
        text, sections = "\n\n".join((*beside, *_Blocks(body[0], numbered))) + "\n", ()
    if not text.strip():
        raise ReadError(f"The {what} has no text: it holds images only, or is blank.")
    said = package.properties()
    heading = next((line[2:] for line in text[:5_000].splitlines() if line.startswith("# ")), None)
    metadata = {**said}
    if slides:
        with_text = {section.page for section in sections}
        metadata["pages"] = len(slides)
        metadata["pages_without_text"] = [number for number in range(1, len(slides) + 1) if number not in with_text]
    return Reading(
        text=text,
        markup="markdown",
        title=metadata.pop("title", None) or heading,
        language=metadata.pop("language", None),
        tags=tuple(metadata.pop("tags", ())),
        sections=sections,
        metadata=metadata,
    )


def _numbered(root: Element) -> frozenset[tuple[str, str]]:
    """Give the list styles, each with the level, whose items have numbers."""
    return frozenset(
        (attribute(style, "name") or "", attribute(level, "level") or "")
        for style in elements(root, "list-style")
        for level in style
        if local(level) == "list-level-style-number" and attribute(level, "num-format")
    )


def _furniture(styles: Element, numbered: frozenset[tuple[str, str]]) -> Iterator[str]:
    """Headers and footers, once each."""
    said = (
        block
        for part in elements(styles, "header", "header-left", "header-first", "footer", "footer-left", "footer-first")
        for block in _Blocks(part, numbered)
    )
    yield from dict.fromkeys(said)


def _slide(slide: Element, numbered: frozenset[tuple[str, str]]) -> str:
    title, blocks, notes = "", [], []
    for part in slide:
        if local(part) == "notes":
            notes += [note for note in _Blocks(part, numbered) if note != "<number>"]
        elif attribute(part, "class") == "title" and not title:
            title = " ".join(_Blocks(part, numbered)).lstrip("#- ")
        else:
            blocks += list(_Blocks([part], numbered))
    return "\n\n".join(([f"# {title}"] if title else []) + blocks + (["Notes:", *notes] if notes else []))


class _Blocks:
    """The blocks of text below an element, in order; lists and tables are blocks of several lines.

    Elements are visited without recursion, since they nest as deep as someone likes.
    """

    def __init__(self, parts: Element, numbered: frozenset[tuple[str, str]]) -> None:
        self.parts = parts
        self.numbered = numbered

    def __iter__(self) -> Iterator[str]:
        waiting = [iter(self.parts)]
        while waiting:
            part = next(waiting[-1], None)
            if part is None:
                waiting.pop()
                continue
            kind = local(part)
            if kind == "h":
                level = attribute(part, "outline-level") or "1"
                text, inner = _inline(part)
                if text:
                    yield "#" * (min(int(level), 6) if level.isdigit() and level != "0" else 1) + " " + text
                waiting.append(iter(inner))
            elif kind == "p":
                text, inner = _inline(part)
                if text:
                    yield text
                waiting.append(iter(inner))
            elif kind == "list":
                lines, inner = _list(part, self.numbered)
                if lines:
                    yield "\n".join(lines)
                waiting.append(iter(inner))
            elif kind == "table":
                rows = list(_rows(part))
                if rows and (table := write_table(rows[0], rows[1:])):
                    yield table
            elif kind and kind not in _SKIPPED:
                waiting.append(iter(part))


def _inline(paragraph: Element) -> tuple[str, list[Element]]:
    """Give a paragraph's text on one line, and what is anchored in it: frames, notes, comments."""
    pieces: list[str] = []
    inner: list[Element] = []
    # Each entry is text, or an element that is still to be opened.
    waiting: list[Element | str] = [*reversed(_opened(paragraph))]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            pieces.append(part)
            continue
        kind = local(part)
        if kind == "s":
            count = attribute(part, "c") or "1"
            pieces.append(" " * (min(int(count), _MAX_SPACES) if count.isdigit() else 1))
        elif kind in ("tab", "line-break"):
            pieces.append(" ")
        elif kind in (
            "frame",
            "note",
            "annotation",
            "custom-shape",
            "g",
            "text-box",
            "rect",
            "ellipse",
            "line",
            "connector",
        ):
            inner.append(part)
        elif kind == "a":
            text = " ".join("".join(part.itertext()).split())
            target = attribute(part, "href") or ""
            linked = (
                text and target.startswith(("http://", "https://", "mailto:")) and target != text and " " not in target
            )
            if linked and not any(local(below) in ("frame", "note", "annotation") for below in part.iter()):
                pieces.append(f"[{text}]({target})")
            else:
                waiting.extend(reversed(_opened(part)))
        elif kind and kind not in _SKIPPED and kind not in _FURNITURE:
            waiting.extend(reversed(_opened(part)))
    return " ".join("".join(pieces).split()), inner


def _opened(element: Element) -> list[Element | str]:
    """An element's text and children in order."""
    parts: list[Element | str] = [element.text or ""]
    for part in element:
        parts += [part, part.tail or ""]
    return parts


def _list(listed: Element, numbered: frozenset[tuple[str, str]]) -> tuple[list[str], list[Element]]:
    """Give the lines of a list, and what is neither paragraph nor list in it."""
    lines: list[str] = []
    rest: list[Element] = []
    waiting: list[tuple[Element, int, str, int]] = [(listed, 0, "", 0)]
    while waiting:
        part, depth, style, number = waiting.pop()
        kind = local(part)
        if kind == "list":
            style = attribute(part, "style-name") or style
            waiting.extend(reversed([(entry, depth, style, count) for count, entry in enumerate(part, 1)]))
        elif kind in ("list-item", "list-header"):
            mark = f"{number}. " if (style, str(depth + 1)) in numbered else "- "
            below: list[tuple[Element, int, str, int]] = []
            for entry in part:
                if local(entry) in ("p", "h"):
                    text, inner = _inline(entry)
                    rest += inner
                    if text:
                        lines.append("  " * min(depth, 8) + (mark if kind == "list-item" else "") + text)
                        mark = "  "
                else:
                    below.append((entry, depth + 1, style, 0))
            waiting.extend(reversed(below))
        elif kind:
            rest.append(part)
    return lines, rest


def _rows(table: Element) -> Iterator[list[str]]:
    for row in elements(table, "table-row"):
        cells: list[str] = []
        for cell in row:
            if local(cell) not in ("table-cell", "covered-table-cell"):
                continue
            texts = []
            for paragraph in elements(cell, "p", "h"):
                text, _ = _inline(paragraph)
                texts.append(text)
            repeated = attribute(cell, "number-columns-repeated") or "1"
            count = min(int(repeated), _MAX_REPEATED) if repeated.isdigit() and len(repeated) < 9 else 1
            cells += [" ".join(filter(None, texts))] * count
        yield cells
