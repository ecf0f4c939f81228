"""What the stages know of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Embedder(Protocol):
    """Makes vectors of texts."""

    @property
    def name(self) -> str:
        """The model's name and version, as it stands in the tables; another version is another name."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    def embed(self, texts: Sequence[str], *, kind: Literal["document", "query"] = "document") -> NDArray[np.float32]:
        """Embed texts.

        Args:
            texts: Any texts; what the model cannot embed comes back as a row of NaN, never as an exception.
            kind: Whether they are searched or searched for.

        Returns:
            Shape (len(texts), dimension), in the order of the texts.
        """


class Corrector(Protocol):
    """Proposes mended texts; what may be kept of a proposal is the guard's to say."""

    @property
    def name(self) -> str:
        """The model's name and version, as it stands in the tables."""

    def propose(self, texts: Sequence[str]) -> Sequence[str]:
        """Give one proposal per text, in order; a text that needs nothing comes back as it is."""
