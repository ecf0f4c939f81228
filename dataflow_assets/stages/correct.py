"""Corrections: what became of each chunk's text when somebody proposed to mend it.

What belongs here: asking the corrector once for each distinct text, holding every proposal against the guard, and the
row that says what came of it. What does not: the rules (`stages.guard`), who proposes (`models`), and which chunks are
stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dataflow_assets.models.base import Corrector
from dataflow_assets.records import Correction
from dataflow_assets.settings import CorrectionSettings
from dataflow_assets.stages.guard import keep_good_edits

CODE_VERSION = "2"
"""Part of the stage's fingerprint: raised when the same proposer, settings and text may give another row, that is with
every change of the rules here, in `stages.guard`, and of what `models.typos` chooses."""

SKIPPED = "corrections are off for this library (corrections.model is none)"


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


def correct_chunks(
    chunks: Sequence[ChunkText], *, corrector: Corrector | None, settings: CorrectionSettings
) -> list[Correction]:
    """Correct chunks, each distinct text asked about once.

    Args:
        chunks: The chunks, of one or more documents.
        corrector: Who proposes; None where corrections are off.
        settings: How far a correction may go.

    Returns:
        One row per chunk, in order. `corrected_text` is None unless the status is `corrected`.

    Raises:
        ModelError: The corrector cannot work at all.
    """
    if corrector is None or settings.model == "none":
        return [_row(chunk, "skipped", SKIPPED, None, "none") for chunk in chunks]
    texts = list(dict.fromkeys(chunk.text for chunk in chunks))
    proposals = dict(zip(texts, corrector.propose(texts), strict=True)) if texts else {}
    model = corrector.name
    rows = []
    for chunk in chunks:
        proposal = proposals[chunk.text]
        if proposal == chunk.text:
            rows.append(_row(chunk, "unchanged", None, None, model))
            continue
        flat = chunk.protected_spans
        spans = zip(flat[::2], flat[1::2], strict=False)
        verdict = keep_good_edits(chunk.text, proposal, spans, max_change=settings.max_change)
        if not verdict.accepted:
            rows.append(_row(chunk, "refused", verdict.reason, None, model))
        elif verdict.text == chunk.text:
            rows.append(_row(chunk, "unchanged", None, None, model))
        else:
            rows.append(_row(chunk, "corrected", None, verdict.text, model))
    return rows


def _row(chunk: ChunkText, status: str, reason: str | None, corrected: str | None, model: str) -> Correction:
    return Correction(
        library=chunk.library,
        chunk_id=chunk.chunk_id,
        document_id=chunk.document_id,
        text_hash=chunk.text_hash,
        corrected_text=corrected,
        status=status,
        reason=reason,
        model=model,
        input_hash=chunk.input_hash,
    )
