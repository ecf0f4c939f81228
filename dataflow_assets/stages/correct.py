"""Corrections: what became of each chunk's text when somebody proposed to mend it.

What belongs here: which chunks are asked about, where in a text a proposed edit belongs, holding every proposal against the
guard, and the row that says what came of it. What does not: the rules (`stages.guard`), who proposes (`models`), and which
chunks are stale.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dataflow_assets.model_settings import CorrectionSettings
from dataflow_assets.models.base import Asked, Corrector, Edits, Proposal
from dataflow_assets.records import Correction
from dataflow_assets.stages.guard import (
    Edit,
    Span,
    Verdict,
    is_rewriting,
    keep_good_edits,
    keep_good_replacements,
    protected_pieces,
)

CODE_VERSION = "6"
"""Part of the stage's fingerprint: raised when the same proposer, settings and text may give another row, that is with
every change of the rules here, in `stages.guard`, and of what `models.typos` chooses."""

SKIPPED = "corrections are off for this library (corrections.model is none)"
LEFT_OUT = "the library's settings leave this document out"
LEFT_OUT_ROLE = "the library's settings leave out what was not said in one of corrections.roles"


@dataclass(frozen=True, slots=True)
class ChunkText:
    """What the stage needs of a chunk."""

    library: str
    """The library."""
    chunk_id: str
    """The chunk."""
    document_id: str
    """Its document."""
    text: str
    """The chunk's text."""
    text_hash: str
    """SHA-256 of it."""
    protected_spans: tuple[int, ...]
    """Start, end, start, end ...: code blocks that only the whole document shows, as positions in the text."""
    input_hash: str
    """What the correction's row will carry."""
    language: str = "und"
    """The document's language."""
    doc_type: str = "other"
    """The document's type."""
    source_uri: str = ""
    """The document's address."""
    role: str | None = None
    """Who said it; None where it is no message."""


def correct_chunks(
    chunks: Iterable[ChunkText], *, corrector: Corrector, settings: CorrectionSettings
) -> Iterator[Correction]:
    """Correct chunks.

    Args:
        chunks: The chunks, of one or more documents; read ahead as far as the corrector can use.
        corrector: Who proposes.
        settings: How far a correction may go.

    Returns:
        One row per chunk, in any order. `corrected_text` is None unless the status is `corrected`.

    Raises:
        ModelError: The corrector cannot work at all.
    """
    waiting: dict[str, ChunkText] = {}

    def asked() -> Iterator[Asked]:
        for chunk in chunks:
            waiting[chunk.chunk_id] = chunk
            yield Asked(chunk.chunk_id, chunk.text)

    def objection(text: str, edits: Edits) -> str | None:
        if not edits:
            return None
        spans = _glossary_spans(text, settings.glossary)
        verdict = keep_good_replacements(text, located(text, edits, spans), spans, max_change=settings.max_change)
        return verdict.reason if is_rewriting(verdict) else None

    for proposal in corrector.propose(asked(), objection):
        yield _judged(waiting.pop(proposal.key), proposal, corrector.name, settings)


def skip_chunk(chunk: ChunkText, settings: CorrectionSettings) -> Correction | None:
    """Make the row of a chunk that nobody is asked about; None where somebody is."""
    if settings.model == "none":
        return _row(chunk, "skipped", SKIPPED, None, "none")
    if not _is_corrected(chunk, settings):
        return _row(chunk, "skipped", LEFT_OUT, None, "none")
    if settings.roles and chunk.role not in settings.roles:
        return _row(chunk, "skipped", LEFT_OUT_ROLE, None, "none")
    return None


def _is_corrected(chunk: ChunkText, settings: CorrectionSettings) -> bool:
    if settings.languages and chunk.language not in settings.languages:
        return False
    if settings.doc_types and chunk.doc_type not in settings.doc_types:
        return False
    if settings.include and not any(fnmatchcase(chunk.source_uri, pattern) for pattern in settings.include):
        return False
    return not any(fnmatchcase(chunk.source_uri, pattern) for pattern in settings.exclude)


def _judged(chunk: ChunkText, proposal: Proposal, model: str, settings: CorrectionSettings) -> Correction:
    """Hold a proposal against the guard."""
    if proposal.status == "waits":
        return _row(chunk, "failed", proposal.reason, None, model, waiting=True)
    if proposal.status != "answered":
        return _row(chunk, proposal.status, proposal.reason, None, model)
    if proposal.text == chunk.text or (proposal.text is None and not any(edits for _, edits in proposal.parts)):
        return _row(chunk, "unchanged", None, None, model)
    flat = chunk.protected_spans
    spans = [*zip(flat[::2], flat[1::2], strict=False), *_glossary_spans(chunk.text, settings.glossary)]
    if proposal.text is not None:
        verdict = keep_good_edits(chunk.text, proposal.text, spans, max_change=settings.max_change)
    else:
        verdict = _replaced(chunk.text, proposal.parts, spans, settings.max_change)
    if not verdict.accepted:
        return _row(chunk, "refused", verdict.reason, None, model)
    if verdict.text == chunk.text:
        return _row(chunk, "unchanged", None, None, model)
    return _row(chunk, "corrected", None, verdict.text, model)


def _replaced(text: str, parts: Sequence[tuple[str, Edits]], spans: Sequence[Span], max_change: float) -> Verdict:
    """Judge the edits of a text's parts together."""
    replacements: list[Edit] = []
    start = 0
    for part, edits in parts:
        if edits:
            inner = [
                (max(s - start, 0), min(e - start, len(part))) for s, e in spans if s < start + len(part) and e > start
            ]
            replacements += [
                Edit(start + edit.start, start + edit.end, edit.new) for edit in located(part, edits, inner)
            ]
        start += len(part)
    return keep_good_replacements(text, replacements, spans, max_change=max_change)


def located(text: str, edits: Edits, protected: Sequence[Span] = ()) -> list[Edit]:
    """Find the places in a text that edits are meant for.

    An edit is meant for whole words outside of protected pieces. Listed as often as its words occur there, it is meant for
    all of them; listed less often, nobody knows for which, and it is left out. If its words occur only in protected pieces,
    it is placed there, for the guard to refuse.

    Returns:
        What would be replaced, in order, none overlapping another.
    """
    pieces: list[Span] | None = None
    listed = Counter(edits)
    corrections_of = Counter(original for original, _ in listed)
    found: list[Edit] = []
    for (original, corrected), times in listed.items():
        if corrections_of[original] > 1:
            continue
        places = [(match.start(), match.end()) for match in re.finditer(_whole_words(original), text)]
        if not places:
            continue
        if pieces is None:
            pieces = sorted(protected_pieces(text, sorted(protected)))
        free = [place for place in places if not _touches(pieces, place)]
        chosen = free if 0 < len(free) <= times else [] if free else places
        found += [Edit(start, end, corrected) for start, end in chosen]
    found.sort(key=lambda edit: (edit.start, edit.end))
    kept: list[Edit] = []
    for edit in found:
        if not kept or edit.start >= kept[-1].end:
            kept.append(edit)
    return kept


def _whole_words(words: str) -> str:
    before = r"(?<!\w)" if words[:1].isalnum() or words[:1] == "_" else ""
    after = r"(?!\w)" if words[-1:].isalnum() or words[-1:] == "_" else ""
    return before + re.escape(words) + after


def _touches(pieces: Sequence[Span], place: Span) -> bool:
    at = bisect_right(pieces, place[1] - 1, key=lambda piece: piece[0])
    return at > 0 and pieces[at - 1][1] > place[0]


def _glossary_spans(text: str, glossary: Sequence[str]) -> list[Span]:
    return [match.span() for term in glossary for match in re.finditer(_whole_words(term), text)]


def _row(
    chunk: ChunkText, status: str, reason: str | None, corrected: str | None, model: str, *, waiting: bool = False
) -> Correction:
    return Correction(
        library=chunk.library,
        chunk_id=chunk.chunk_id,
        document_id=chunk.document_id,
        text_hash=chunk.text_hash,
        corrected_text=corrected,
        status=status,
        reason=reason,
        model=model,
        waiting=waiting,
        input_hash=chunk.input_hash,
    )
