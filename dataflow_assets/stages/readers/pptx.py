"""Presentations (PowerPoint's Open XML) become Markdown, a page a slide.

What belongs here: slides, their shapes, tables, charts and diagrams, notes and comments. What does not: the zip file and XML
(`package`), tables as such (`markdown_table`).

Read here, since the libraries for it give up on a slide with a broken picture and leave out charts, notes or comments; what
is on a slide is a tree of a dozen kinds of element. A part that is missing or malformed costs itself and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from dataflow_assets.errors import ReadError
from dataflow_assets.records import Finding
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.markdown_table import write_table
from dataflow_assets.stages.readers.package import Element, Package, attribute, child, elements, local
from dataflow_assets.stages.readers.pages import join_pages, page_list
from dataflow_assets.stages.readers.pptx_parts import chart_text, comments_of, people_of

_TITLES = frozenset(("title", "ctrTitle"))
_BODIES = frozenset(("body", "obj", "subTitle", "tx", ""))
_FURNITURE = frozenset(("sldNum",))
"""The number of the slide is its section's page."""
_MAX_SLIDES = 5_000
_PICTURE_NAME = re.compile(
    r"(?:picture|image|graphic|bild|grafik|.*\.(?:png|jpe?g|gif|emf|wmf|tiff?|bmp|svg))\s*\d*", re.IGNORECASE
)
_MARKED = re.compile(r"(?:\d{1,3}[.)]|[-*])\s")
_LINK = re.compile(r"(?:https?://|mailto:)\S{1,2000}")


def read_pptx(item: Item) -> Reading:
    """Read a presentation; raises ReadError where it is damaged, protected, or has no text."""
    package = Package(item.content, "presentation")
    slides = _slides(package)
    if not slides:
        raise ReadError("The presentation is damaged (truncated or corrupt): it has no slide; replace the file.")
    people = people_of(package)
    texts: dict[int, str] = {}
    damaged: list[int] = []
    title = None
    for number, name in enumerate(slides, 1):
        root = package.xml(name)
        if root is None:
            damaged.append(number)
            continue
        slide = _Slide(package, name)
        texts[number] = slide.text(root, people)
        title = title or slide.title
    if len(damaged) == len(slides):
        raise ReadError(
            "The presentation is damaged (truncated or corrupt): none of its slides can be read; replace the file."
        )
    text, sections = join_pages(texts.items())
    if not text.strip():
        raise ReadError("The presentation has no text: its slides are images or blank.")
    said = package.properties()
    with_text = {section.page for section in sections}
    findings: tuple[Finding, ...] = ()
    if damaged:
        message = f"Damaged and left out: {page_list(damaged)}."
        findings = (Finding("damaged_pages", "warning", message, "text", str(len(damaged)), "Replace the file."),)
    return Reading(
        text=text,
        markup="markdown",
        title=said.pop("title", None) or title,
        language=said.pop("language", None),
        tags=tuple(said.pop("tags", ())),
        sections=sections,
        metadata={
            **said,
            "pages": len(slides),
            "pages_without_text": [number for number in range(1, len(slides) + 1) if number not in with_text],
        },
        findings=findings,
    )


def _slides(package: Package) -> list[str]:
    """The slides' members in the order of the presentation; by their numbers where it does not say."""
    listed: list[str] = []
    for main in ("ppt/presentation.xml", *(name for name in package.names if name.endswith("presentation.xml"))):
        root = package.xml(main)
        if root is None:
            continue
        relations = package.relations(main)
        for entry in elements(root, "sldId"):
            kind, target = relations.get(_relation(entry), ("", ""))
            if kind == "slide":
                listed.append(target)
        break
    there = set(package.names)
    numbered = sorted(
        (int(found[1]), name) for name in there if (found := re.fullmatch(r"ppt/slides/slide(\d{1,6})\.xml", name))
    )
    known = [name for name in dict.fromkeys(listed) if name in there]
    return (known or [name for _, name in numbered])[:_MAX_SLIDES]


def _relation(entry: Element) -> str:
    """The id of a relation: the attribute `id` that has a namespace; the plain one is the slide's own."""
    return next((str(value) for key, value in entry.attrib.items() if key.endswith("}id")), "")


class _Slide:
    """One slide and the parts that it names."""

    def __init__(self, package: Package, name: str) -> None:
        self.package = package
        self.relations = package.relations(name)
        self.title: str | None = None

    def text(self, root: Element, people: Mapping[str, str]) -> str:
        tree = child(root, "cSld", "spTree")
        blocks = list(self._shapes(tree)) if tree is not None else []
        # The title comes first, wherever it stands among the shapes.
        blocks.sort(key=lambda block: not block.startswith("# "))
        for kind, target in self.relations.values():
            if kind == "notesSlide":
                notes = self.package.xml(target)
                if notes is not None and (said := "\n\n".join(self._notes(notes))):
                    blocks.append(f"Notes:\n\n{said}")
        for kind, target in self.relations.values():
            if kind == "comments":
                comments = self.package.xml(target)
                if comments is not None:
                    blocks.extend(comments_of(comments, people))
        return "\n\n".join(blocks)

    def _notes(self, root: Element) -> Iterator[str]:
        for shape in elements(root, "sp"):
            kind = attribute(child(shape, "nvSpPr", "nvPr", "ph"), "type") or ""
            body = child(shape, "txBody")
            if body is not None and kind not in ("sldNum", "sldImg", "hdr", "ftr", "dt"):
                yield from self._paragraphs(body, listed=False)

    def _shapes(self, tree: Element) -> Iterator[str]:
        """Give the text of each shape; groups are opened without recursion, since they nest as deep as someone likes."""
        waiting = [iter(tree)]
        while waiting:
            shape = next(waiting[-1], None)
            if shape is None:
                waiting.pop()
                continue
            kind = local(shape)
            if kind == "grpSp":
                waiting.append(iter(shape))
            elif kind == "AlternateContent":
                # The same content in several forms, the preferred one first.
                choice = child(shape, "Choice")
                waiting.append(iter(choice if choice is not None and len(choice) else shape.findall("{*}Fallback/*")))
            elif kind == "sp":
                yield from self._shape(shape)
            elif kind == "graphicFrame":
                yield from self._graphic(shape)
            elif kind == "pic":
                yield from self._picture(shape)

    def _shape(self, shape: Element) -> Iterator[str]:
        body = child(shape, "txBody")
        place = child(shape, "nvSpPr", "nvPr", "ph")
        kind = "" if place is None else (attribute(place, "type") or "")
        if body is None or kind in _FURNITURE:
            return
        if place is not None and kind in _TITLES:
            title = " ".join(" ".join(self._runs(paragraph).split()) for paragraph in elements(body, "p")).strip()
            if title:
                self.title = self.title or title
                yield f"# {title}"
            return
        yield from self._paragraphs(body, listed=place is not None and kind in _BODIES and kind != "subTitle")

    def _paragraphs(self, body: Element, *, listed: bool) -> Iterator[str]:
        """Write paragraphs; those that follow each other as a list make one block.

        Args:
            body: The text of a shape.
            listed: Whether several paragraphs make a list unless they say otherwise, as in the body of a slide.
        """
        paragraphs = [(paragraph, " ".join(self._runs(paragraph).split())) for paragraph in elements(body, "p")]
        paragraphs = [(paragraph, text) for paragraph, text in paragraphs if text]
        items: list[str] = []
        numbers: dict[int, int] = {}
        for paragraph, text in paragraphs:
            said = child(paragraph, "pPr")
            level = min(int(value), 8) if (value := attribute(said, "lvl") or "0").isdigit() else 0
            numbered = child(said, "buAutoNum") is not None
            bullet = numbered or child(said, "buChar") is not None or child(said, "buBlip") is not None
            if not bullet and (child(said, "buNone") is not None or not listed or len(paragraphs) == 1):
                if items:
                    yield "\n".join(items)
                items, numbers = [], {}
                yield text
                continue
            numbers = {depth: count for depth, count in numbers.items() if depth <= level}
            if numbered:
                start = attribute(child(said, "buAutoNum"), "startAt") or "1"
                first = int(start) if start.isdigit() and len(start) < 7 else 1
                numbers[level] = numbers.get(level, first - 1) + 1
            else:
                numbers.pop(level, None)
            mark = f"{numbers[level]}. " if numbered else "" if _MARKED.match(text) else "- "
            items.append("  " * level + mark + text)
        if items:
            yield "\n".join(items)

    def _runs(self, paragraph: Element) -> str:
        parts: list[str] = []
        for run in paragraph:
            kind = local(run)
            if kind in ("r", "fld"):
                text = "".join(piece.text or "" for piece in elements(run, "t"))
                link = child(run, "rPr", "hlinkClick")
                target = self.relations.get(_relation(link), ("", ""))[1] if link is not None else ""
                parts.append(
                    f"[{text}]({target})" if text.strip() and _LINK.fullmatch(target) and target != text else text
                )
            elif kind == "br":
                parts.append(" ")
            elif kind not in ("pPr", "endParaRPr"):
                # Formulas, in their own markup or as an alternative of the text.
                source = run.find("{*}Choice") if kind == "AlternateContent" else run
                parts.extend(piece.text or "" for piece in elements(source if source is not None else run, "t"))
        return "".join(parts)

    def _graphic(self, frame: Element) -> Iterator[str]:
        for table in elements(frame, "tbl"):
            rows = list(self._rows(table))
            if rows and (text := write_table(rows[0], rows[1:])):
                yield text
        for element in elements(frame, "chart", "chartex"):
            root = self.package.xml(self.relations.get(_relation(element), ("", ""))[1])
            if root is not None and (text := chart_text(root)):
                yield text
        for diagram in elements(frame, "relIds"):
            data = next((str(value) for key, value in diagram.attrib.items() if key.endswith("}dm")), "")
            root = self.package.xml(self.relations.get(data, ("", ""))[1])
            if root is not None:
                texts = [" ".join(self._runs(paragraph).split()) for paragraph in elements(root, "p")]
                if items := [f"- {text}" for text in texts if text]:
                    yield "\n".join(items)

    def _rows(self, table: Element) -> Iterator[list[str]]:
        """Give the rows of a table; a merged cell stands in each place that it covers, so that each row says all."""
        above: list[str] = []
        for row in elements(table, "tr"):
            cells: list[str] = []
            for place, cell in enumerate(row.iterchildren("{*}tc")):
                if cell.get("vMerge") in ("1", "true"):
                    text = above[place] if place < len(above) else ""
                elif cell.get("hMerge") in ("1", "true"):
                    text = cells[-1] if cells else ""
                else:
                    text = " ".join(self._runs(paragraph) for paragraph in elements(cell, "p"))
                cells.append(text)
            above = cells
            yield cells

    def _picture(self, picture: Element) -> Iterator[str]:
        """What a picture's author says is on it."""
        said = " ".join((attribute(child(picture, "nvPicPr", "cNvPr"), "descr") or "").split())
        if said and not _PICTURE_NAME.fullmatch(said):
            yield f"![{said.replace(']', ')')}](picture)"
