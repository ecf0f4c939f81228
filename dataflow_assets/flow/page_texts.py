"""The texts of pages at their places in a document, and what is said of pages that have none.

What belongs here: joining a document's own pages with those that a model read, what its metadata, findings and reason say
of them, and what only its whole text shows. What does not: having pages read (`flow.eyes`). Nothing here acts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dataflow_assets.flow.reading import Read
from dataflow_assets.records import Finding, ReadDocument, Section
from dataflow_assets.settings import ReadingSettings

Fate = Literal["read", "blank", "illegible", "refused", "undrawn", "waits"]
"""What became of a page. All but the last are final."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one page."""

    fate: Fate
    text: str = ""
    reason: str = ""


def with_pages(
    read: Read,
    document: ReadDocument,
    pages: Sequence[int],
    seen: Mapping[int, Seen],
    model: str,
    settings: ReadingSettings,
) -> Read:
    """Put the texts of pages at their places.

    Args:
        read: What reading gave.
        document: The document of it.
        pages: Its pages without text.
        seen: What became of them; one that is not here could not be drawn.
        model: Who read them.
        settings: What the catalog knows of the library's documents.
    """
    from dataflow_assets.stages.read import described

    fates = {page: seen.get(page, Seen("undrawn")) for page in pages}
    by_fate: dict[Fate, list[int]] = {}
    for page, what in fates.items():
        by_fate.setdefault(what.fate, []).append(page)
    text, sections = _joined(document, fates)
    waiting = "waits" in by_fate
    if not has_text(text) or not ("read" in by_fate or _has_own_text(document)):
        said = document.metadata.get("no_text")
        reason = said if isinstance(said, str) else "The document has no text."
        return replace(read, read=None, failure=f"{reason} {_why(by_fate, fates, model)}", waiting=waiting)
    metadata = {key: value for key, value in document.metadata.items() if key not in _NOTES}
    metadata["pages_without_text"] = [page for page in pages if fates[page].fate != "read"]
    findings = [*document.findings, *_findings(by_fate, fates, model)]
    if all(fates[page].fate == "read" for page in _unreadable(document)):
        findings = [finding for finding in findings if finding.validator != "broken_text_layer"]
    changed = replace(document, metadata=metadata, findings=tuple(findings))
    if "read" in by_fate:
        metadata["pages_read_by"] = {str(page): model for page in by_fate["read"]}
        markup = "markdown" if document.markup == "text" else document.markup
        changed = described(
            replace(changed, text=text, sections=sections, markup=markup),
            source_uri=read.unread.source_uri,
            settings=settings,
            titled=_has_own_text(document),
        )
    elif text != document.text:
        changed = replace(changed, text=text, sections=sections)
    return replace(read, read=changed, waiting=waiting)


_NOTES = ("no_text", "unreadable")
"""What readers say in metadata to who reads here, and to nobody else."""


def without_notes(read: Read) -> Read:
    """Take out what a reader said to who reads pages, where none was read."""
    document = read.read
    if document is None or not any(key in document.metadata for key in _NOTES):
        return read
    metadata = {key: value for key, value in document.metadata.items() if key not in _NOTES}
    return replace(read, read=replace(document, metadata=metadata))


def _unreadable(document: ReadDocument) -> dict[int, int]:
    """Give the pages whose own text is no writing, with how many of their characters are not."""
    said = document.metadata.get("unreadable")
    return {
        int(page): length
        for page, length in (said.items() if isinstance(said, dict) else ())
        if str(page).isascii()
        and str(page).isdigit()
        and len(str(page)) < 7
        and isinstance(length, int)
        and length >= 0
    }


def _own_pages(document: ReadDocument) -> dict[int, str]:
    return {
        section.page: document.text[section.start : section.end]
        for section in document.sections
        if section.page is not None
    }


def _has_own_text(document: ReadDocument) -> bool:
    unreadable = _unreadable(document)
    return any(has_text(text[unreadable.get(page, 0) :]) for page, text in _own_pages(document).items())


def _joined(document: ReadDocument, fates: Mapping[int, Seen]) -> tuple[str, tuple[Section, ...]]:
    """Join a document's own pages and those that were read; what stood beside no writing, such as comments, stays."""
    from dataflow_assets.stages.readers.pages import join_pages

    pages, unreadable = _own_pages(document), _unreadable(document)
    for page, what in fates.items():
        own = pages.get(page, "")
        if what.fate in ("read", "waits"):  # else it is kept for a person to judge, as it would be without eyes
            own = own[unreadable.get(page, 0) :].strip("\n")
        pages[page] = "\n\n".join(filter(None, (what.text, own)))
    return join_pages(sorted(pages.items()))


def has_text(text: str) -> bool:
    """Say whether there is a letter or a digit in a text."""
    return any(character.isalnum() for character in text)


def _why(by_fate: Mapping[Fate, list[int]], fates: Mapping[int, Seen], model: str) -> str:
    """Say why there is no text, without what differs from run to run, such as the state of a budget."""
    if "waits" in by_fate:
        return f"It waits to be read by {model}; the next run asks again."
    reasons = []
    if pages := by_fate.get("refused"):
        reasons.append(f"{model} did not read it: {_short(fates[pages[0]].reason)}")
    if "illegible" in by_fate:
        reasons.append(f"{model} finds it illegible")
    if pages := by_fate.get("undrawn"):
        reasons.append(f"{model} cannot be shown it: {_short(fates[pages[0]].reason) or 'it cannot be drawn'}")
    if not reasons:
        return f"{model} finds no writing on it."
    return f"{'; '.join(reasons)}."


def _findings(by_fate: Mapping[Fate, list[int]], fates: Mapping[int, Seen], model: str) -> Iterator[Finding]:
    from dataflow_assets.stages.readers.pages import page_list

    def finding(validator: str, fate: Fate, said: str, advice: str) -> Finding:
        pages = by_fate[fate]
        reason = _short(fates[pages[0]].reason) if fate in ("refused", "undrawn") else ""
        message = f"{said}: {page_list(pages)}{f' ({reason})' if reason else ''}."
        return Finding(validator, "warning", message, "text", str(len(pages)), advice)

    told: tuple[tuple[Fate, str, str, str], ...] = (
        ("read", "pages_read_by_model", f"Read by {model} from pictures, which may err",
         "Look at the page itself before you rely on a number or a name."),
        ("illegible", "pages_illegible", f"Found illegible by {model}", "Scan again, more sharply."),
        ("refused", "pages_refused", f"Not read by {model}", "Name another model as reading.vision, or type the text."),
        ("undrawn", "pages_not_drawn", f"Not to be shown to {model}", "Mend the file."),
        ("waits", "pages_waiting", f"Not yet read by {model}", "Run again; the run says what is in the way."),
    )  # fmt: skip
    for fate, validator, said, advice in told:
        if fate in by_fate:
            yield finding(validator, fate, said, advice)


def _short(reason: str) -> str:
    return " ".join(reason.split())[:200].rstrip(".")
