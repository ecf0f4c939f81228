"""Pages become one text whose sections say where each page lies.

What belongs here: the joining of pages, and how pages are named in sentences. What does not: reading pages of any format.

Every character of the joined text lies in the section of its page, the blank line after a page too, so that whoever
looks up the page of a position always finds one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dataflow_assets.records import Section

BETWEEN = "\n\n"
"""What stands between two pages that have text."""
_LISTED = 20


def join_pages(pages: Iterable[tuple[int, str]]) -> tuple[str, tuple[Section, ...]]:
    """Join pages to one text.

    Args:
        pages: Number, from 1, and text of each page, in order. A page without text gets no section.

    Returns:
        The text, and one section per page that has text; together they cover it.
    """
    kept = [(number, stripped) for number, text in pages if (stripped := text.strip("\n").rstrip())]
    parts, sections, start = [], [], 0
    for place, (number, text) in enumerate(kept, 1):
        whole = text + (BETWEEN if place < len(kept) else "\n")
        parts.append(whole)
        sections.append(Section(start, start + len(whole), page=number))
        start += len(whole)
    return "".join(parts), tuple(sections)


def page_list(numbers: Sequence[int]) -> str:
    """Name pages in a sentence: `page 3`, `pages 1-4, 9`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    named = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:_LISTED]]
    return ("page " if len(numbers) == 1 else "pages ") + ", ".join(named) + (" ..." if len(runs) > _LISTED else "")
