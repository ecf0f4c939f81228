"""Embed: a vector for every text that is searched, and the checks on it.

What belongs here: one vector per text for all its copies, vectors that are known already, and what makes a vector
unsound. What does not: how a vector is made (`models`), and what is searched of a chunk, its own text or the corrected
one (the warehouse chooses).

An unsound vector is never stored: the row says `refused`, with the reason. The chunk is still found by its words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dataflow_assets.model_settings import EmbeddingSettings
from dataflow_assets.models.base import Asked
from dataflow_assets.records import Embedding, Finding
from dataflow_assets.settings_base import Severity

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


WAITS = "It waits for its correction, so that no other text than the one that is searched is paid for."


def embed_chunks(
    chunks: Iterable[SearchedText], *, embedder: Embedder, settings: EmbeddingSettings
) -> Iterator[Embedding]:
    """Embed the texts of chunks, each text once.

    Args:
        chunks: The chunks; read ahead as far as the embedder can use. Those with the same text share a vector.
        embedder: Makes the vectors.
        settings: What is asked for.

    Returns:
        One row per chunk, in any order: `embedded` with a vector of shape (settings.length,), or `refused` or `failed` with
        a reason.

    Raises:
        ModelError: The embedder cannot be used at all.
    """
    waiting: dict[str, SearchedText] = {}

    def asked() -> Iterator[Asked]:
        for chunk in chunks:
            waiting[chunk.chunk_id] = chunk
            yield Asked(chunk.chunk_id, chunk.text)

    for found in embedder.vectors(asked(), kind="document"):
        chunk = waiting.pop(found.key)
        if found.status == "embedded":
            yield _row(chunk, embedder, settings, found.vector)
        else:
            yield _row(chunk, embedder, settings, None, found.status, found.reason)


def reuse_vector(
    chunk: SearchedText, vector: NDArray[np.float32], *, embedder: Embedder, settings: EmbeddingSettings
) -> Embedding | None:
    """Make a chunk's row with a vector that the model made of the same text before; None if that vector is not sound."""
    row = _row(chunk, embedder, settings, vector)
    return row if row.status == "embedded" else None


def wait_for_correction(chunk: SearchedText, *, embedder: Embedder, settings: EmbeddingSettings) -> Embedding:
    """Make the row of a chunk whose text may still change."""
    return _row(chunk, embedder, settings, None, "failed", WAITS)


def _row(
    chunk: SearchedText,
    embedder: Embedder,
    settings: EmbeddingSettings,
    vector: NDArray[np.float32] | None,
    status: Literal["embedded", "refused", "failed"] = "embedded",
    reason: str | None = None,
) -> Embedding:
    if status == "embedded":
        reason = _fault(embedding_issues(vector, settings.length))
        status = "refused" if reason else "embedded"
    return Embedding(
        library=chunk.library,
        chunk_id=chunk.chunk_id,
        document_id=chunk.document_id,
        text_hash=chunk.text_hash,
        model=embedder.name,
        dimension=settings.length,
        vector=vector if status == "embedded" else None,
        status=status,
        reason=reason,
        input_hash=chunk.input_hash,
    )


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
