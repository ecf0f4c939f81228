"""The stage that embeds: one sound vector for each chunk, and one request for each text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataflow_assets.models.base import Embedder
from dataflow_assets.records import Embedding, Finding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CODE_VERSION = 1

NORM_RANGE = (0.1, 10.0)
"""A vector outside it gets a warning: models give norms near 1."""


@dataclass(frozen=True, slots=True)
class SearchedText:
    """The text of a chunk that is searched: the corrected one where there is one."""

    library: str
    chunk_id: str
    document_id: str
    text: str
    text_hash: str
    input_hash: str


def embed_chunks(
    chunks: Sequence[SearchedText], *, embedder: Embedder, known: Mapping[str, NDArray[np.float32]] | None = None
) -> list[Embedding]:
    """Embed chunks.

    Args:
        chunks: What is embedded; a text that several share is embedded once.
        embedder: The model.
        known: Text hash -> vector of this model that is there already.

    Returns:
        One row per chunk, in order. A vector that is not sound is `refused`, with the reason.
    """
    vectors = dict(known or {})
    asked = {chunk.text_hash: chunk.text for chunk in chunks if chunk.text_hash not in vectors}
    if asked:
        vectors.update(zip(asked, embedder.embed(list(asked.values()), kind="document"), strict=True))
    rows = []
    for chunk in chunks:
        vector = vectors[chunk.text_hash]
        errors = [f.message for f in embedding_findings(vector, embedder.dimension) if f.severity != "warning"]
        rows.append(
            Embedding(
                library=chunk.library,
                chunk_id=chunk.chunk_id,
                document_id=chunk.document_id,
                text_hash=chunk.text_hash,
                model=embedder.name,
                dimension=embedder.dimension,
                vector=None if errors else vector,
                status="refused" if errors else "embedded",
                reason=" ".join(errors) or None,
                input_hash=chunk.input_hash,
            )
        )
    return rows


def embedding_findings(vector: NDArray[np.float32] | None, dimension: int) -> tuple[Finding, ...]:
    """Say what is wrong with a vector of a model that makes vectors of a dimension."""
    import numpy as np

    def finding(validator: str, severity: str, message: str, value: str) -> Finding:
        suggestion = "Look at the chunk's text: one without words has no vector. The chunk is found by its words alone."
        return Finding(validator, severity, message, "vector", value, suggestion)  # type: ignore[arg-type]

    if vector is None:
        return (finding("vector_there", "error", "The model gave no vector.", "NULL"),)
    if len(vector) != dimension:
        said = f"The vector has {len(vector)} numbers instead of {dimension}."
        return (finding("dimension", "error", said, str(len(vector))),)
    norm = float(np.linalg.norm(vector))
    if not math.isfinite(norm):
        return (finding("finite", "error", "The vector has values that are no finite numbers.", "NaN or infinite"),)
    if not NORM_RANGE[0] <= norm <= NORM_RANGE[1]:
        said = f"The vector's norm is {norm:.3g}, outside {NORM_RANGE[0]} to {NORM_RANGE[1]}."
        return (finding("norm", "warning", said, f"{norm:.3g}"),)
    return ()
