"""What the package of a workbook says beside its cells.

What belongs here: whether it is safe to unpack, how far its sheets reach, its properties and its charts, all of it in
Excel's XML formats and OpenDocument. What does not: cells (`sheets`).

Headers of a zip file lie, so members are unpacked piece by piece and counted before the library that wants them whole
gets them. Charts carry the figures that they show, which may come from another workbook.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.markdown_table import cell, write_table

_MAX_MEMBER = 200_000_000
_MAX_TOTAL = 300_000_000
_MAX_PART = 10_000_000
"""Bytes of a part that is parsed here: relations, properties, a chart."""
_MAX_MEMBERS = 10_000
_MAX_CHARTS = 200
_MAX_POINTS = 5_000
_PIECE = 1_048_576
_OVERLAP = 300
_CELL = re.compile(rb"<(?:\w{1,20}:)?(?:row|c)\s(?:[^<>]{0,200}?\s)?r=[\"']([A-Z]{0,3})(\d{1,7})[\"']")
_REPEATED = re.compile(
    rb"<table:table-(?P<what>row|cell)\s(?:[^<>]{0,500}?\s)?table:number-(?:rows|columns)-repeated=\"(?P<times>\d{1,9})\"[^<>]{0,500}(?P<end>/?)>"
)
_READ_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    ValueError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    KeyError,
)
_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_TEXT = "{http://schemas.openxmlformats.org/drawingml/2006/main}t"
_PROPERTIES = {"creator": "authors", "created": "date", "modified": "modified", "description": "description"}


@dataclass(frozen=True, slots=True)
class Package:
    """What is known of a workbook before its cells are read."""

    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    extents: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Rows and columns of the sheets whose extents could be found."""
    charts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The charts of each sheet, as Markdown."""


def open_package(content: bytes, name: str) -> Package:
    """Look into a workbook; an old binary one has nothing to look into.

    Raises:
        ReadError: It is damaged, or unpacks to more than is safe.
    """
    if not content.startswith(b"PK"):
        return Package()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _look(archive, name)
    except _READ_ERRORS as error:
        raise ReadError(
            f"The spreadsheet {name} is damaged or truncated and cannot be read ({str(error)[:160]}); save it again."
        ) from error


def _look(archive: zipfile.ZipFile, name: str) -> Package:
    members = archive.infolist()
    if len(members) > _MAX_MEMBERS:
        raise ReadError(f"The spreadsheet {name} has {len(members)} parts, more than is safe to unpack; exclude it.")
    if any(member.flag_bits & 1 for member in members):
        raise ReadError(f"The spreadsheet {name} is protected by a password; save it without, or exclude it.")
    reach: dict[str, tuple[int, int]] = {}
    total = 0
    for member in members:
        is_sheet = bool(re.search(r"(?:^|/)worksheets/[^/]+\.xml$", member.filename))
        size, rows, columns = _measure(archive, member, is_sheet, _MAX_TOTAL - total)
        total += size
        if size > _MAX_MEMBER or total > _MAX_TOTAL:
            raise ReadError(
                f"The spreadsheet {name} unpacks to more than is safe (a zip bomb, or too large); exclude it."
            )
        if is_sheet:
            reach[member.filename] = rows, columns
    names = {member.filename for member in members}
    if "content.xml" in names:
        _check_repeats(archive, name)
    parts = _sheet_parts(archive, names)
    title, metadata = _properties(archive, names)
    return Package(
        title=title,
        metadata=metadata,
        extents={sheet: reach[part] for sheet, part in parts.items() if part in reach},
        charts={sheet: tuple(_charts(archive, names, part)) for sheet, part in parts.items()},
    )


def _measure(archive: zipfile.ZipFile, member: zipfile.ZipInfo, is_sheet: bool, most: int) -> tuple[int, int, int]:
    """Unpack a member piece by piece: its size, and for a sheet of Excel's its last row and column."""
    size = 0
    last_row = 0
    columns: set[bytes] = set()
    rest = b""
    with archive.open(member) as stream:
        while piece := stream.read(_PIECE):
            size += len(piece)
            if size > _MAX_MEMBER or size > most:
                break
            if is_sheet:
                found = _CELL.findall(rest + piece)
                if found:
                    columns.update(letters for letters, _ in found)
                    last_row = max(last_row, *(int(number) for _, number in {*found}), 0)
                rest = piece[-_OVERLAP:]
    return size, last_row, max((_column(letters) for letters in columns), default=0)


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _check_repeats(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse an OpenDocument sheet in which one cell stands for millions; empty ones at the end are harmless."""
    rest = b""
    repeated = 1
    total = 0
    with archive.open("content.xml") as stream:
        while piece := stream.read(_PIECE):
            for found in _REPEATED.finditer(rest + piece):
                times = int(found["times"])
                if found["what"] == b"row":
                    repeated = times
                elif not found["end"]:
                    total += times * repeated
            rest = piece[-_OVERLAP:]
    if total > 4_000_000:
        raise ReadError(f"A sheet of {name} repeats cells into millions, more than is safe to unpack; exclude it.")


def _part(archive: zipfile.ZipFile, names: set[str], part: str) -> Any:
    """Parse a small part; None where there is none or it is no sound XML."""
    if part not in names:
        return None
    with archive.open(part) as stream:
        content = stream.read(_MAX_PART + 1)
    if len(content) > _MAX_PART:
        return None
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(content, parser)
    except etree.XMLSyntaxError:
        return None


def _relations(archive: zipfile.ZipFile, names: set[str], part: str) -> dict[str, tuple[str, str]]:
    """Give what a part refers to: its id, the kind, and the other part's name."""
    folder, base = posixpath.split(part)
    root = _part(archive, names, posixpath.join(folder, "_rels", f"{base}.rels"))
    found = {}
    for each in root if root is not None else ():
        if each.get("TargetMode") == "External" or not each.get("Target"):
            continue
        target = posixpath.normpath(posixpath.join("/", folder, each.get("Target"))).lstrip("/")
        found[each.get("Id", "")] = (each.get("Type", "").rpartition("/")[2], target)
    return found


def _sheet_parts(archive: zipfile.ZipFile, names: set[str]) -> dict[str, str]:
    root = _part(archive, names, "xl/workbook.xml")
    if root is None:
        return {}
    relations = _relations(archive, names, "xl/workbook.xml")
    parts = {}
    for sheet in root.iter("{*}sheet"):
        identity = next((value for key, value in sheet.attrib.items() if str(key).endswith("}id")), "")
        if identity in relations and sheet.get("name"):
            parts[sheet.get("name")] = relations[identity][1]
    return parts


def _charts(archive: zipfile.ZipFile, names: set[str], sheet: str) -> Iterator[str]:
    count = 0
    for kind, drawing in _relations(archive, names, sheet).values():
        if kind != "drawing":
            continue
        for chart_kind, part in _relations(archive, names, drawing).values():
            root = _part(archive, names, part) if chart_kind == "chart" and count < _MAX_CHARTS else None
            if root is not None:
                count += 1
                if text := _chart(root):
                    yield text
        root = _part(archive, names, drawing)
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


def _properties(archive: zipfile.ZipFile, names: set[str]) -> tuple[str | None, dict[str, Any]]:
    title = None
    metadata: dict[str, Any] = {}
    for part in ("docProps/core.xml", "meta.xml"):
        root = _part(archive, names, part)
        for node in root.iter("{*}*") if root is not None else ():
            key, value = etree.QName(node).localname, (node.text or "").strip()[:1000]
            if key == "title" and value:
                title = value
            elif key in _PROPERTIES and value:
                metadata.setdefault(_PROPERTIES[key], value)
    return title, metadata
