"""Vectors from a paid model: what is asked, and what of an answer is a vector.

What belongs here: packing texts into calls, and the judgement on each vector by itself: it is there, it has the length that was
asked for, it is finite and not nothing. What does not: everything about making calls (`models.asking`).

A vector that is no good is asked for once more, alone, and is then `failed`: services heal. It is never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from dataflow_assets.known_models import VOYAGE_MODELS
from dataflow_assets.models.asking import Asking
from dataflow_assets.models.base import Asked, Kind, Usage, VectorModel, VectorOf
from dataflow_assets.models.language_question import sendable
from dataflow_assets.models.ledger import Learned, key_of
from dataflow_assets.models.question import Estimate, Fault, Reply, Tally
from dataflow_assets.models.ratio import Ratio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

READING_VERSION = "1"
"""Part of what was asked: raised when the same answer would be stored differently."""

ANSWER_BYTES = 4_194_304
"""Bytes of vectors that one call asks for at most: several copies of an answer stand in memory while it is read."""

FILLED = 0.9
"""So much of the tokens that a call takes is filled: the count is an estimate."""


class VectorQuestion:
    """Which vectors do these texts have?

    Args:
        model: Who is asked.
        kind: Whether the texts are searched or searched for.
        batch_size: Texts of a call at most.
        learned: What the model's bills told so far.
        price: What usage costs.
    """

    def __init__(
        self,
        model: VectorModel,
        *,
        kind: Kind,
        batch_size: int,
        learned: Learned,
        price: Callable[[Usage], float | None],
    ) -> None:
        self.vector_model = model
        self.price = price
        self.stage = "embeddings" if kind == "document" else "search"
        self._kind: Kind = kind
        self._texts = max(1, min(batch_size, model.max_texts, ANSWER_BYTES // (4 * model.dimension)))
        self.ratio = Ratio(learned)
        self._asked = key_of(model.provider, model.name, READING_VERSION, kind, str(model.dimension))

    @property
    def provider(self) -> str:
        """Whose model it is."""
        return self.vector_model.provider

    @property
    def model(self) -> str:
        """The model's id at its provider."""
        return self.vector_model.name

    @property
    def call_texts(self) -> int:
        """Texts of a large call; chunks have about 200 tokens."""
        return min(self._texts, self.vector_model.max_tokens // 200)

    def key(self, text: str, *, again: bool = False) -> str:
        """Hash exactly what is asked about a text. Asked alone it has the same vector: there is no other question."""
        return key_of(self._asked, "", text)

    def fits(self, texts: int, size: int, more: int) -> bool:
        """Say whether a call with so many texts of so many bytes takes another one."""
        if texts >= self._texts:
            return False
        return (size + more) * self.ratio.tokens_per_byte <= FILLED * self.vector_model.max_tokens

    def estimate(self, texts: Sequence[str]) -> Estimate:
        """Say what a call will take."""
        return self.estimate_of(len(texts), sum(len(text.encode("utf-8", "replace")) for text in texts))

    def estimate_of(self, texts: int, size: int, mistakes: int | None = None) -> Estimate:
        """Say what a call with so many texts of so many bytes will take; their mistakes make no difference."""
        return Estimate(size, size * self.ratio.tokens_per_byte, 0.0)

    async def ask(self, texts: Sequence[str], *, alone: bool) -> Reply:
        """Make one call."""
        vectors = await self.vector_model.embed([sendable(text) for text in texts], self._kind)
        self.ratio.learn(self.estimate(texts).sent_bytes, texts, vectors.usage)
        answers: dict[int, bytes] = {}
        faults: dict[int, Fault] = {}
        for place in range(len(texts)):
            row = vectors.rows.get(place)
            wrong = vector_fault(row, self.vector_model.dimension)
            if wrong is None and row is not None:
                answers[place] = row.astype("<f4").tobytes()
            else:
                faults[place] = Fault(wrong or "", passing=True)
        return Reply(answers, faults, vectors.usage, vectors.allowance)

    async def close(self) -> None:
        """Close connections."""
        await self.vector_model.close()


def vector_fault(vector: NDArray[np.float32] | None, dimension: int) -> str | None:
    """Say why a service's vector cannot be used; None where it can."""
    import numpy as np

    if vector is None:
        return "the service left out its vector"
    if vector.shape != (dimension,):
        return f"the service gave {vector.size} values instead of {dimension}"
    if not np.isfinite(vector).all():
        return "the service gave values that are no finite numbers"
    return None if np.any(vector) else "the service gave a vector of zeros"


class PaidEmbedder:
    """Embeds texts with a paid model.

    Args:
        name: The model of the documents, as it stands in the tables.
        dimension: Length of the vectors.
        asking: Makes an `Asking` for a kind of text.
        tally: What the asking took.
    """

    def __init__(self, name: str, dimension: int, asking: Callable[[Kind], Asking[str]], tally: Tally) -> None:
        self.name = name
        self.dimension = dimension
        self.tally = tally
        self._asking = asking

    def vectors(self, texts: Iterable[Asked], *, kind: Kind = "document") -> Iterator[VectorOf]:
        """Give one vector per text, in any order."""
        import numpy as np

        pairs = ((asked.key, asked.text) for asked in texts)
        for key, outcome in self._asking(kind).run(pairs):
            if outcome.status == "answered":
                yield VectorOf(key, np.frombuffer(outcome.payload, dtype="<f4"))
            else:
                yield VectorOf(key, None, "refused" if outcome.status == "refused" else "failed", outcome.reason)

    def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> NDArray[np.float32]:
        """Embed texts; what cannot be had comes back as a row of NaN."""
        import numpy as np

        made = np.full((len(texts), self.dimension), np.nan, dtype=np.float32)
        asked = (Asked(str(place), text) for place, text in enumerate(texts))
        for found in self.vectors(asked, kind=kind):
            if found.vector is not None:
                made[int(found.key)] = found.vector
        return made


def same_space(one: str, other: str) -> bool:
    """Say whether vectors of two models can be compared."""
    if one == other:
        return True
    return one in VOYAGE_MODELS and other in VOYAGE_MODELS and VOYAGE_MODELS[one].space == VOYAGE_MODELS[other].space
