"""What a result shows for itself: the words that were found, and where exactly it stands at its source.

What belongs here: highlights and links, pure. What does not: deciding what is a result (`searcher`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataflow_assets.search.results import Passage, Scores, SearchResult

MAX_HIGHLIGHTS = 20


def result_of(
    payload: Mapping[str, Any],
    score: float,
    words: Sequence[str],
    *,
    passage: Passage | None = None,
    scores: Scores | None = None,
) -> SearchResult:
    """Make a result of a point's payload.

    Args:
        payload: What the index says of the chunk.
        score: The result's score.
        words: Of the question, in lower case.
        passage: The chunk with its neighbours.
        scores: How it came by its place.
    """
    text = str(payload["text"])
    first_page = payload.get("first_page")
    return SearchResult(
        chunk_id=payload["chunk_id"],
        document_id=payload["document_id"],
        library=payload["library"],
        title=payload["title"],
        source_uri=payload["source_uri"],
        score=round(score, 6),
        text=text,
        corrected_text=payload["corrected_text"],
        start_position=payload["start_position"],
        end_position=payload["end_position"],
        heading_path=tuple(payload["heading_path"]),
        highlights=highlights(text, words),
        doc_type=payload["doc_type"],
        language=payload["language"],
        tags=tuple(payload["tags"]),
        link=link(payload["source_uri"], payload["start_position"], payload["end_position"], first_page),
        first_page=first_page,
        last_page=payload.get("last_page"),
        role=payload.get("role"),
        said_at=payload.get("said_at"),
        date=payload.get("date"),
        passage=passage,
        scores=scores,
    )


def highlights(text: str, words: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Find words in a text.

    Args:
        text: Any text.
        words: In lower case.

    Returns:
        Start and end of the first of them, in order; only whole words, whatever their case.
    """
    lower = text.lower()
    if len(lower) != len(text):  # some capitals have longer small forms: letter by letter positions stay
        lower = "".join(small if len(small := letter.lower()) == 1 else letter for letter in text)
    spans = []
    for word in words:
        at, count = lower.find(word), 0
        while at >= 0 and count < MAX_HIGHLIGHTS:
            end = at + len(word)
            if not lower[at - 1 : at].isalnum() and not lower[end : end + 1].isalnum():
                spans.append((at, end))
                count += 1
            at = lower.find(word, end)
    return tuple(sorted(set(spans))[:MAX_HIGHLIGHTS])


def link(source_uri: str, start: int, end: int, page: int | None) -> str:
    """Name a span at its source: the page where there are pages, and the characters (RFC 5147) of the document's text."""
    sign = "&" if "#" in source_uri else "#"
    paged = f"page={page}&" if page is not None else ""
    return f"{source_uri}{sign}{paged}char={start},{end}"
