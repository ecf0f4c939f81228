"""Embed: a vector for every text that is searched, and the checks on it.

What belongs here: one vector per text for all its copies, vectors that are known already, and what makes a vector
unsound. What does not: how a vector is made (`models`), and what is searched of a chunk, its own text or the corrected
one (the warehouse chooses).

An unsound vector is never stored: the row says `refused`, with the reason. The chunk is still found by its words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataflow_assets.records import Embedding, Finding
from dataflow_assets.settings import EmbeddingSettings, Severity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dataflow_assets.models.base import Embedder

CODE_VERSION = 1
"""Part of the stage's fingerprint: another number embeds every text again."""

MIN_NORM = 0.1
MAX_NORM = 10.0
"""A norm outside is a warning: models give vectors of norm 1, and dot products take them to be so."""


@dataclass(frozen=True, slots=True)
class SearchedText:
    """The text of a chunk as it is searched."""

    library: str
    chunk_id: str
    document_id: str
    text: str
    """The corrected text where there is one, else the chunk's own."""
    text_hash: str
    """Hash of `text`."""
    input_hash: str
    """Hash of what the row is made from; passed on."""


def embed_chunks(
    chunks: Sequence[SearchedText],
    *,
    embedder: Embedder,
    settings: EmbeddingSettings,
    known: Mapping[str, NDArray[np.float32]] | None = None,
) -> list[Embedding]:
    """Embed the texts of chunks, each text once.

    Args:
        chunks: The chunks; those with the same `text_hash` share a vector.
        embedder: Makes the vectors.
        settings: What is asked for.
        known: Vectors that this model made before, by `text_hash`; a sound one is not made again.

    Returns:
        One row per chunk, in order: `embedded` with a vector of shape (settings.length,), or `refused` with a
        reason.

    Raises:
        ModelError: The embedder cannot be used at all.
    """
    vectors: dict[str, NDArray[np.float32] | None] = {
        text_hash: vector
        for text_hash, vector in (known or {}).items()
        if _fault(embedding_issues(vector, settings.length)) is None
    }
    asked = {chunk.text_hash: chunk.text for chunk in chunks if chunk.text_hash not in vectors}
    if asked:
        made = embedder.embed(list(asked.values()), kind="document")
        # A row too few shows as a missing vector in the checks.
        vectors |= {text_hash: made[row] if row < len(made) else None for row, text_hash in enumerate(asked)}
    faults = {key: _fault(embedding_issues(vector, settings.length)) for key, vector in vectors.items()}
    return [
        Embedding(
            library=chunk.library,
            chunk_id=chunk.chunk_id,
            document_id=chunk.document_id,
            text_hash=chunk.text_hash,
            model=embedder.name,
            dimension=settings.length,
            vector=None if faults[chunk.text_hash] else vectors[chunk.text_hash],
            status="refused" if faults[chunk.text_hash] else "embedded",
            reason=faults[chunk.text_hash],
            input_hash=chunk.input_hash,
        )
        for chunk in chunks
    ]


def embedding_issues(vector: NDArray[np.float32] | None, dimension: int) -> tuple[Finding, ...]:
    """Check a vector.

    Args:
        vector: Shape (dimension,), or None where there is none.
        dimension: The length that it should have.

    Returns:
        What is wrong with it; an `error` makes it unusable, a `warning` does not.
    """
    import numpy as np

    if vector is None:
        return (_finding("missing", "error", "There is no vector.", "NULL", _AGAIN),)
    if vector.shape != (dimension,):
        return (
            _finding(
                "dimension",
                "error",
                f"The vector has the shape {vector.shape}, not ({dimension},).",
                str(vector.shape),
                "Set embeddings.dimension to what the model gives.",
            ),
        )
    values = vector.astype(np.float64)
    squares = float(values @ values)
    if not np.isfinite(squares):
        bad = int(np.count_nonzero(~np.isfinite(values)))
        return (
            _finding(
                "finite",
                "error",
                f"The vector has {bad} values that are no finite numbers: the model found nothing to embed.",
                str(bad),
                "Nothing needs to be done: the chunk is found by its words.",
            ),
        )
    norm = squares**0.5
    if not MIN_NORM <= norm <= MAX_NORM:
        return (
            _finding(
                "norm",
                "warning",
                f"The vector's norm is {norm:.3g}, outside of {MIN_NORM:g} to {MAX_NORM:g}.",
                f"{norm:.6g}",
                "Use a model that gives vectors of norm 1.",
            ),
        )
    return ()


_AGAIN = "Run again; if it stays so, choose another model."


def _finding(rule: str, severity: Severity, message: str, value: str, suggestion: str) -> Finding:
    return Finding(
        validator=rule, severity=severity, message=message, field="vector", value=value, suggestion=suggestion
    )


def _fault(findings: Sequence[Finding]) -> str | None:
    """Give the first error's message: why a vector cannot be used."""
    return next((finding.message for finding in findings if finding.severity in ("error", "critical")), None)
