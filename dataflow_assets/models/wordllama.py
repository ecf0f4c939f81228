"""Local embeddings: the token vectors that the `wordllama` wheel carries, pooled.

Only the wheel's data files are used. Its own `embed` pads every batch to the longest text, which costs four fifths of the
time, and importing it costs 0.8 s; tokenising without padding and pooling text by text gives the same vectors.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dataflow_assets.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIGURATION = "l2_supercat"
WIDTH = 256
"""Length of the vectors in the wheel; shorter ones are their beginnings, as the model was trained for."""
BATCH = 64
"""Texts tokenised at once; bounds the memory of their tokens."""


class WordLlamaEmbedder:
    """Embeds a text as the mean of its tokens' vectors, with norm 1.

    Args:
        dimension: Length of the vectors: 64, 128 or 256.
    """

    def __init__(self, dimension: int = WIDTH) -> None:
        self._dimension = dimension

    @property
    def name(self) -> str:
        """The model's name and version."""
        return f"wordllama-{importlib.metadata.version('wordllama')}-{CONFIGURATION}"

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._dimension

    def embed(self, texts: Sequence[str], *, kind: Literal["document", "query"] = "document") -> NDArray[np.float32]:
        """Embed texts; one without tokens comes back as a row of NaN."""
        import numpy as np

        vectors = np.full((len(texts), self._dimension), np.nan, dtype=np.float32)
        for start in range(0, len(texts), BATCH):
            # Lone surrogates are no text that a tokenizer takes.
            batch = [text.encode("utf-8", "replace").decode() for text in texts[start : start + BATCH]]
            for row, encoding in enumerate(self._tokenizer.encode_batch_fast(batch, add_special_tokens=False), start):
                ids = np.asarray(encoding.ids, dtype=np.intp)
                if len(ids):
                    pooled = self._table.take(ids, axis=0).sum(axis=0)
                    vectors[row] = pooled / (np.linalg.norm(pooled) or 1.0)
        return vectors

    @cached_property
    def _table(self) -> NDArray[np.float32]:
        import numpy as np
        from safetensors.numpy import load_file

        tensors = load_file(_data("weights", f"{CONFIGURATION}_{WIDTH}.safetensors"))
        return np.ascontiguousarray(next(iter(tensors.values()))[:, : self._dimension], dtype=np.float32)

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(_data("tokenizers", f"{CONFIGURATION}_tokenizer_config.json")))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer


def _data(*parts: str) -> Path:
    found = importlib.util.find_spec("wordllama")  # finds the folder and imports nothing
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder).joinpath(*parts)
        if path.is_file():
            return path
    raise ModelError(f"The local embedding model is incomplete: {parts[-1]} is missing. Reinstall the package wordllama.")
