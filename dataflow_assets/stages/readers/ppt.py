"""PowerPoint's old binary format: the texts of its slides and notes, slide by slide.

What belongs here: the records of [MS-PPT] that lead to text, which are a tree of containers in one stream. What does not: what
becomes of the texts (`office`).

Libraries give all texts of the stream in one run, those of the masters first and those of deleted slides among them; the slides
are found here in the way that PowerPoint finds them, from the user's last edit on, so that each page is a slide.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from dataflow_assets.stages.readers.markdown_table import write_table

_MAX_STREAM = 200_000_000
_MAX_EDITS = 1_000
_MAX_RECORDS = 2_000_000
_CONTAINER = 0x0F
_USER_EDIT, _DIRECTORY, _DOCUMENT, _SLIDE, _NOTES = 0x0FF5, 0x1772, 0x03E8, 0x03EE, 0x03F0
_LIST, _PERSIST, _NOTES_ATOM = 0x0FF0, 0x03F3, 0x03F1
_HEADER, _CHARACTERS, _BYTES, _OUTLINE, _TEXTBOX = 0x0F9F, 0x0FA0, 0x0FA8, 0x0F9E, 0xF00D
_TITLES = frozenset((0, 6))
_BODIES = frozenset((1, 5, 7, 8))
_NOTES_TEXT = 2
_TABLE = -1
_GROUP, _SHAPE, _ANCHOR = 0xF003, 0xF004, 0xF00F
_MAX_CELLS = 4_000
_SLACK = 0.03
"""Share of a table's area that rounding may leave open."""


@dataclass(frozen=True, slots=True)
class _Text:
    kind: int
    text: str


@dataclass(slots=True)
class Slide:
    """What stands on one slide."""

    title: str = ""
    blocks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The slide as Markdown."""
        parts = ([f"# {self.title}"] if self.title else []) + self.blocks
        return "\n\n".join(parts + (["Notes:", *self.notes] if self.notes else []))


def slides_of(content: bytes) -> list[Slide]:
    """Give the slides of a presentation, in its order.

    Raises:
        ValueError: It is damaged, or not built as expected.
    """
    import olefile

    try:
        with olefile.OleFileIO(io.BytesIO(content)) as container:
            stream = container.openstream("PowerPoint Document").read(_MAX_STREAM)
            current = container.openstream("Current User").read(64)
        return _slides(stream, struct.unpack_from("<I", current, 16)[0])
    except (OSError, struct.error, IndexError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _slides(stream: bytes, edit: int) -> list[Slide]:
    places, document = _places(stream, edit)
    outline: list[tuple[int, int, list[_Text]]] = []
    notes_places: list[int] = []
    for instance, start, end in _containers(stream, places[document], _LIST):
        for place, identity, texts in _listed(stream, start, end):
            if instance == 0:
                outline.append((places[place], identity, texts))
            elif instance == 2 and place in places:
                notes_places.append(places[place])
    notes: dict[int, list[str]] = {}
    for place in notes_places:
        identity, said = _notes(stream, place)
        if said:
            notes.setdefault(identity, []).extend(said)
    return [_slide(stream, place, texts, notes.get(identity, [])) for place, identity, texts in outline]


def _places(stream: bytes, edit: int) -> tuple[dict[int, int], int]:
    """Follow the user's edits back from the last: where each part lies now, and which of them is the document."""
    places: dict[int, int] = {}
    document = 0
    for _ in range(_MAX_EDITS):
        kind = struct.unpack_from("<H", stream, edit + 2)[0]
        if kind != _USER_EDIT:
            raise ValueError("The last edit is not where the presentation says.")
        before, directory, named = struct.unpack_from("<III", stream, edit + 16)
        document = document or named
        length = struct.unpack_from("<I", stream, directory + 4)[0]
        at, end = directory + 8, min(directory + 8 + length, len(stream))
        while at + 4 <= end:
            entry = struct.unpack_from("<I", stream, at)[0]
            first, count = entry & 0xFFFFF, entry >> 20
            at += 4
            for number in range(count):
                if at + 4 > end:
                    break
                places.setdefault(first + number, struct.unpack_from("<I", stream, at)[0])
                at += 4
        if not before or before >= edit:
            break
        edit = before
    return places, document


def _records(stream: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int, bool]]:
    """Give instance, kind, start and end of the records of one level, and whether each holds others."""
    while start + 8 <= min(end, len(stream)):
        version, kind, length = struct.unpack_from("<HHI", stream, start)
        stop = min(start + 8 + length, end, len(stream))
        yield version >> 4, kind, start + 8, stop, version & 0x0F == _CONTAINER
        start = stop if stop > start else end


def _containers(stream: bytes, place: int, wanted: int) -> Iterator[tuple[int, int, int]]:
    """Give the records of one kind, at any depth below the record at a place, without recursion."""
    length = struct.unpack_from("<I", stream, place + 4)[0]
    waiting = [_records(stream, place + 8, place + 8 + length)]
    seen = 0
    while waiting and seen < _MAX_RECORDS:
        record = next(waiting[-1], None)
        seen += 1
        if record is None:
            waiting.pop()
            continue
        instance, kind, start, end, holds = record
        if kind == wanted:
            yield instance, start, end
        elif holds:
            waiting.append(_records(stream, start, end))


def _listed(stream: bytes, start: int, end: int) -> Iterator[tuple[int, int, list[_Text]]]:
    """Give place and identity of each slide of a list, with the texts that the outline shows of it."""
    place, identity, texts, header = -1, 0, list[_Text](), 4
    for _, kind, at, stop, _ in _records(stream, start, end):
        if kind == _PERSIST:
            if place >= 0:
                yield place, identity, texts
            place, identity, texts = *struct.unpack_from("<I8xI", stream, at), []
        elif kind == _HEADER:
            header = struct.unpack_from("<I", stream, at)[0]
        elif kind in (_CHARACTERS, _BYTES):
            texts.append(_Text(header, _decoded(stream, kind, at, stop)))
    if place >= 0:
        yield place, identity, texts


def _boxes(stream: bytes, place: int) -> Iterator[_Text | int | list[list[str]]]:
    """Give what the boxes of a slide hold: a text, the number of a text that the outline holds, or the rows of a table."""
    length = struct.unpack_from("<I", stream, place + 4)[0]
    waiting = [_records(stream, place + 8, place + 8 + length)]
    seen = 0
    while waiting and seen < _MAX_RECORDS:
        record = next(waiting[-1], None)
        seen += 1
        if record is None:
            waiting.pop()
            continue
        _, kind, start, end, holds = record
        if kind == _TEXTBOX:
            yield from _held(stream, start, end)
        elif kind == _GROUP and (rows := _grid(stream, start, end)):
            yield rows
        elif holds:
            waiting.append(_records(stream, start, end))


def _held(stream: bytes, start: int, end: int) -> Iterator[_Text | int]:
    header = 4
    for _, kind, at, stop, _ in _records(stream, start, end):
        if kind == _HEADER:
            header = struct.unpack_from("<I", stream, at)[0]
        elif kind == _OUTLINE:
            yield int(struct.unpack_from("<I", stream, at)[0])
        elif kind in (_CHARACTERS, _BYTES):
            yield _Text(header, _decoded(stream, kind, at, stop))


def _grid(stream: bytes, start: int, end: int) -> list[list[str]]:
    """Give the rows of a table: a group whose boxes fill a rectangle without a gap. A merged cell stands in each place."""
    cells: list[tuple[int, int, int, int, str]] = []
    for _, kind, at, stop, _ in _records(stream, start, end):
        if kind == _GROUP:
            return []
        anchor, words, boxed = None, "", False
        for _, inner, first, last, _ in _records(stream, at, stop) if kind == _SHAPE else ():
            if inner == _ANCHOR and last - first >= 16:
                anchor = struct.unpack_from("<iiii", stream, first)
            elif inner == _TEXTBOX:
                boxed = True
                words = " ".join(text.text for text in _held(stream, first, last) if isinstance(text, _Text))
        if anchor is not None and boxed:
            cells.append((*anchor, " ".join(_paragraphs(words))))
    lefts, tops = sorted({cell[0] for cell in cells}), sorted({cell[1] for cell in cells})
    if len(lefts) < 2 or len(tops) < 2 or max(len(cells), len(lefts) * len(tops)) > _MAX_CELLS:
        return []
    width = max(cell[2] for cell in cells) - lefts[0]
    height = max(cell[3] for cell in cells) - tops[0]
    filled = sum((right - left) * (bottom - top) for left, top, right, bottom, _ in cells)
    if abs(filled - width * height) > _SLACK * width * height:
        return []
    rows = [[""] * len(lefts) for _ in tops]
    for left, top, right, bottom, text in cells:
        for row, there in enumerate(tops):
            for column, here in enumerate(lefts):
                if left <= here < right and top <= there < bottom:
                    rows[row][column] = text
    return rows


def _slide(stream: bytes, place: int, outline: list[_Text], notes: list[str]) -> Slide:
    slide = Slide(notes=notes)
    missing = dict(enumerate(outline))
    texts: list[_Text] = []
    for box in _boxes(stream, place):
        if isinstance(box, _Text):
            texts.append(box)
        elif isinstance(box, list):
            texts.append(_Text(_TABLE, write_table(box[0], box[1:])))
        elif box in missing:
            texts.append(missing.pop(box))
    for text in [*texts, *missing.values()]:
        if text.kind == _TABLE:
            slide.blocks += [text.text] if text.text else []
            continue
        paragraphs = _paragraphs(text.text)
        if text.kind in _TITLES and not slide.title:
            slide.title = " ".join(paragraphs)
        elif text.kind in _BODIES and len(paragraphs) > 1:
            slide.blocks.append("\n".join(f"- {paragraph}" for paragraph in paragraphs))
        else:
            slide.blocks += paragraphs
    return slide


def _notes(stream: bytes, place: int) -> tuple[int, list[str]]:
    identity = next(
        (struct.unpack_from("<I", stream, at)[0] for _, at, _ in _containers(stream, place, _NOTES_ATOM)), 0
    )
    said = [box.text for box in _boxes(stream, place) if isinstance(box, _Text) and box.kind == _NOTES_TEXT]
    return identity, [paragraph for text in said for paragraph in _paragraphs(text)]


def _decoded(stream: bytes, kind: int, start: int, end: int) -> str:
    return stream[start:end].decode("utf-16-le" if kind == _CHARACTERS else "latin-1", "replace")


def _paragraphs(text: str) -> list[str]:
    return [
        line for part in text.split("\r") if (line := " ".join(part.replace("\x0b", " ").replace("*\0", "").split()))
    ]
