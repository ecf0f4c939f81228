"""Reading around a chunk: its neighbours in the document, as one stretch of text.

What belongs here: fetching the neighbours from the index that holds the chunk, and joining them. What does not: which chunks
are worth it (`searcher`). The warehouse is never read: a passage is of the same published state as its chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataflow_assets.index.base import IndexReader
from dataflow_assets.search.results import Passage

MOST_NEIGHBOURS = 50
"""Chunks that are read to one side at most."""


def neighbours(
    reader: IndexReader, found: Sequence[Mapping[str, Any]], before: int, after: int
) -> list[list[Mapping[str, Any]]]:
    """Fetch chunks with what stands around them.

    Args:
        reader: What the chunks were found in.
        found: The chunks' payloads.
        before: How many in front of each.
        after: How many behind it.

    Returns:
        For each chunk payloads in the order of the text, without a hole; its own is among them.
    """
    before, after = min(max(0, before), MOST_NEIGHBOURS), min(max(0, after), MOST_NEIGHBOURS)
    documents: dict[str, dict[int, Mapping[str, Any]]] = {}
    for each in found:
        documents.setdefault(each["document_id"], {})[int(each["chunk_index"])] = each
    for document, there in documents.items():
        near = {n for here in there for n in range(max(0, here - before), here + after + 1)}
        for first, last in _runs(near.difference(there)):
            there.update(reader.stretch(document, first, last))
    rows = []
    for each in found:
        there, here = documents[each["document_id"]], int(each["chunk_index"])
        first = last = here
        while here - first < before and first - 1 in there:
            first -= 1
        while last - here < after and last + 1 in there:
            last += 1
        rows.append([there[index] for index in range(first, last + 1)])
    return rows


def _runs(places: Iterable[int]) -> list[tuple[int, int]]:
    """Give places as runs: the first and the last of each."""
    runs: list[tuple[int, int]] = []
    for place in sorted(places):
        if runs and runs[-1][1] == place - 1:
            runs[-1] = runs[-1][0], place
        else:
            runs.append((place, place))
    return runs


def passage_of(payloads: Sequence[Mapping[str, Any]]) -> Passage:
    """Join neighbouring chunks.

    Args:
        payloads: Of chunks of one document that follow each other, in order; at least one.
    """
    first = payloads[0]
    pages = [page for each in payloads for page in (each.get("first_page"), each.get("last_page")) if page is not None]
    corrected = any(each["corrected_text"] for each in payloads)
    return Passage(
        text=_joined(payloads, corrected=False),
        chunks=tuple(each["chunk_id"] for each in payloads),
        library=first["library"],
        document_id=first["document_id"],
        title=first["title"],
        source_uri=first["source_uri"],
        heading_path=tuple(first["heading_path"]),
        start_position=first["start_position"],
        end_position=max(each["end_position"] for each in payloads),
        first_page=min(pages, default=None),
        last_page=max(pages, default=None),
        corrected_text=_joined(payloads, corrected=True) if corrected else None,
    )


def _joined(payloads: Sequence[Mapping[str, Any]], *, corrected: bool) -> str:
    """Join the texts of chunks. What they share stands once; between them is white space, shown as line breaks."""
    parts: list[str] = []
    reach: int | None = None
    for each in payloads:
        start, text = each["start_position"], str(each["text"])
        if reach is not None and start > reach:
            parts.append("\n" * (start - reach))
        shared = 0 if reach is None else max(0, reach - start)
        # A correction moves positions: where chunks overlap, the part that a chunk adds is shown as it was.
        mended = str(each["corrected_text"]) if corrected and each["corrected_text"] and not shared else text
        parts.append(mended[shared:])
        reach = max(reach or 0, each["end_position"])
    return "".join(parts)
