"""What the package of a workbook says beside its cells.

What belongs here: how far its sheets reach, its properties and its charts, all of it in Excel's XML formats and
OpenDocument. What does not: whether a package is safe to unpack (`package`), and cells (`sheets`).

Charts carry the figures that they show, which may come from another workbook.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.markdown_table import cell, write_table
from dataflow_assets.stages.readers.package import Element, Package, elements

_MAX_MEMBER = 200_000_000
_MAX_RATIO = 1_000
"""Sheets full of the same figures pack tightly."""
_MAX_PART = 10_000_000
"""Bytes of a part that is parsed here: relations, properties, a chart."""
_MAX_CHARTS = 200
_MAX_POINTS = 5_000
_OVERLAP = 300
_CELL = re.compile(rb"<(?:\w{1,20}:)?(?:row|c)\s(?:[^<>]{0,200}?\s)?r=[\"']([A-Z]{0,3})(\d{1,7})[\"']")
_REPEATED = re.compile(
    rb"<table:table-(?P<what>row|cell)\s(?:[^<>]{0,500}?\s)?table:number-(?:rows|columns)-repeated=\"(?P<times>\d{1,9})\"[^<>]{0,500}(?P<end>/?)>"
)
_WORKSHEET = re.compile(r"(?:^|/)worksheets/[^/]+\.xml$")
_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_TEXT = "{http://schemas.openxmlformats.org/drawingml/2006/main}t"
_PROPERTIES = {"creator": "authors", "created": "date", "modified": "modified", "description": "description"}


@dataclass(frozen=True, slots=True)
class WorkbookFacts:
    """What is known of a workbook before its cells are read."""

    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    extents: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Rows and columns of the sheets whose extents could be found."""
    charts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The charts of each sheet, as Markdown."""


def facts_of(content: bytes, name: str) -> WorkbookFacts:
    """Look into a workbook; an old binary one has nothing to look into.

    Raises:
        ReadError: It is damaged, or unpacks to more than is safe.
    """
    if not content.startswith(b"PK"):
        return WorkbookFacts()
    package = Package(content, f"spreadsheet {name}", max_member=_MAX_MEMBER, max_ratio=_MAX_RATIO)
    names = set(package.names)
    reach = {member: _reach(package, member) for member in names if _WORKSHEET.search(member)}
    if "content.xml" in names:
        _check_repeats(package, name)
    parts = _sheet_parts(package)
    title, metadata = _properties(package)
    return WorkbookFacts(
        title=title,
        metadata=metadata,
        extents={sheet: reach[part] for sheet, part in parts.items() if part in reach},
        charts={sheet: tuple(_charts(package, part)) for sheet, part in parts.items()},
    )


def _reach(package: Package, member: str) -> tuple[int, int]:
    """Give the last row and column of a sheet of Excel's."""
    last_row = 0
    columns: set[bytes] = set()
    rest = b""
    for piece in package.pieces(member):
        if found := _CELL.findall(rest + piece):
            columns.update(letters for letters, _ in found)
            last_row = max(last_row, *(int(number) for _, number in {*found}), 0)
        rest = piece[-_OVERLAP:]
    return last_row, max((_column(letters) for letters in columns), default=0)


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _check_repeats(package: Package, name: str) -> None:
    """Refuse an OpenDocument sheet in which one cell stands for millions; empty ones at the end are harmless."""
    rest = b""
    repeated = 1
    total = 0
    for piece in package.pieces("content.xml"):
        for found in _REPEATED.finditer(rest + piece):
            times = int(found["times"])
            if found["what"] == b"row":
                repeated = times
            elif not found["end"]:
                total += times * repeated
        rest = piece[-_OVERLAP:]
    if total > 4_000_000:
        raise ReadError(f"A sheet of {name} repeats cells into millions, more than is safe to unpack; exclude it.")


def _part(package: Package, name: str) -> Element | None:
    """Parse a small part; None where there is none, or where nothing of it can be read."""
    return package.xml(name) if package.size(name) <= _MAX_PART else None


def _sheet_parts(package: Package) -> dict[str, str]:
    root = _part(package, "xl/workbook.xml")
    if root is None:
        return {}
    relations = package.relations("xl/workbook.xml")
    parts = {}
    for sheet in elements(root, "sheet"):
        identity = next((value for key, value in sheet.attrib.items() if str(key).endswith("}id")), "")
        if identity in relations and sheet.get("name"):
            parts[sheet.get("name")] = relations[identity][1]
    return parts


def _charts(package: Package, sheet: str) -> Iterator[str]:
    count = 0
    for kind, drawing in package.relations(sheet).values():
        if kind != "drawing":
            continue
        for chart_kind, part in package.relations(drawing).values():
            root = _part(package, part) if chart_kind == "chart" and count < _MAX_CHARTS else None
            if root is not None:
                count += 1
                if text := _chart(root):
                    yield text
        root = _part(package, drawing)
        for shape in root.iter("{*}txBody") if root is not None else ():
            if said := " ".join(_words(shape)):
                yield said


def _chart(root: Any) -> str:
    """Write a chart's titles, and the figures that it shows as a table."""
    titles = [" ".join(_words(title)) for title in root.iter(f"{_CHART}title")]
    labels: dict[int, str] = {}
    series: list[tuple[str, dict[int, str]]] = []
    for number, each in enumerate(root.iter(f"{_CHART}ser"), 1):
        named = list(_points(each.find(f"{_CHART}tx")).values())
        for key in ("cat", "xVal"):
            labels = _points(each.find(f"{_CHART}{key}")) | labels
        series.extend(
            (named[0] if named else f"Series {number}", points)
            for key in ("val", "yVal", "bubbleSize")
            if (points := _points(each.find(f"{_CHART}{key}")))
        )
    places = sorted(set(labels).union(*(points for _, points in series)))[:_MAX_POINTS]
    table = write_table(
        ["", *(name for name, _ in series)],
        [[labels.get(place, str(place + 1)), *(points.get(place, "") for _, points in series)] for place in places],
    )
    kind = next((str(node.tag)[len(_CHART) :] for node in root.iter() if str(node.tag).endswith("Chart")), "")
    said = re.sub(r"(?<=[a-z])(?=[A-Z0-9])", " ", kind).capitalize()
    if not any(titles) and not series:
        return ""
    return "\n\n".join(filter(None, (f"{said}: {cell(', '.join(filter(None, titles)))}".rstrip(": "), table)))


def _points(node: Any) -> dict[int, str]:
    found: dict[int, str] = {}
    for point in node.iter(f"{_CHART}pt") if node is not None else ():
        value = point.findtext(f"{_CHART}v")
        if value and len(found) < _MAX_POINTS and str(point.get("idx", "")).isdecimal():
            found[int(point.get("idx"))] = _figure(value)
    return found


def _figure(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return value
    return f"{number:.15g}"


def _words(node: Any) -> list[str]:
    return [text for each in node.iter(_TEXT) if (text := (each.text or "").strip())]


def _properties(package: Package) -> tuple[str | None, dict[str, Any]]:
    title = None
    metadata: dict[str, Any] = {}
    for part in ("docProps/core.xml", "meta.xml"):
        root = _part(package, part)
        for node in root.iter("{*}*") if root is not None else ():
            key, value = etree.QName(node).localname, (node.text or "").strip()[:1000]
            if key == "title" and value:
                title = value
            elif key in _PROPERTIES and value:
                metadata.setdefault(_PROPERTIES[key], value)
    return title, metadata
