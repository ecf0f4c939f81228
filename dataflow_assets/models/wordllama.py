"""The embedder that costs nothing: WordLlama's table of token vectors, pooled without its Python code.

What belongs here: finding the two files that the package `wordllama` carries, and making vectors of texts with them.
What does not: which texts are embedded, and what a sound vector is (`stages.embed`).

The package itself is never imported: that takes 0.6 s, loads an HTTP client, and configures the process's logging. Its
`embed` pads every text to the longest of its batch; here each text takes what it needs, and the vectors are the same.

The pooling is the plain mean. What is said to help static embeddings was measured, cosine alone, nDCG@10 on
SciFact / Cranfield: plain 0.488 / 0.349; without stop words and punctuation 0.471 / 0.352; without punctuation
0.492 / 0.350; SIF weights by the token's rank 0.472 / 0.347; centred 0.483 / 0.332; the square root of a token's count
0.505 / 0.331; lower case 0.491 / 0.349. Nothing helps clearly on both.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from dataflow_assets.errors import ModelError
from dataflow_assets.models.base import Asked, Kind, VectorOf

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

CONFIG = "l2_supercat"
"""The only set of weights that the package carries."""

DIMENSIONS = (64, 128, 256)
"""Lengths that the weights were trained for (Matryoshka): the first values are a vector of their own."""

TEXTS_AT_ONCE = 500
"""Texts that are read ahead."""

BATCH_TEXTS = 64
"""Texts that are tokenised at once, on all cores."""

BATCH_CHARACTERS = 400_000
"""Characters that are tokenised at once; a token takes about 100 bytes until its text is pooled."""

PIECE_CHARACTERS = 100_000
"""A longer text is tokenised in pieces of about this length, so that its tokens are never in memory all at once."""

POOL_TOKENS = 4_096
"""Tokens whose vectors are summed at once."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_PARALLELISM = "TOKENIZERS_PARALLELISM"
_at_fork = False


class WordLlamaEmbedder:
    """Embeds texts with WordLlama's static token vectors; nothing is downloaded.

    A vector depends on its own text alone, never on the texts beside it. Queries and documents are embedded alike. A
    text without tokens (the empty text) gives a row of NaN. Lone surrogates count as U+FFFD.

    Args:
        dimension: Length of the vectors, one of `DIMENSIONS`.

    Raises:
        ModelError: There are no weights for that dimension, or the package is not installed whole.
    """

    def __init__(self, dimension: int = 256) -> None:
        if dimension not in DIMENSIONS:
            raise ModelError(
                f"The local embedding model has no vectors of length {dimension}. "
                f"Set embeddings.dimension to one of {', '.join(map(str, DIMENSIONS))}."
            )
        try:
            self._name = f"wordllama-{metadata.version('wordllama')}-{CONFIG}"
        except metadata.PackageNotFoundError as error:
            raise _broken("or not there") from error
        self._dimension = dimension
        self._loaded: tuple[Tokenizer, NDArray[np.float32]] | None = None

    @property
    def name(self) -> str:
        """`wordllama-`, the package's version, and the name of its weights."""
        return self._name

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._dimension

    def vectors(self, texts: Iterable[Asked], *, kind: Kind = "document") -> Iterator[VectorOf]:
        """Give one vector per text, in order; a text without tokens has none."""
        rest = iter(texts)
        while batch := list(islice(rest, TEXTS_AT_ONCE)):
            places = {text: place for place, text in enumerate(dict.fromkeys(asked.text for asked in batch))}
            made = self.embed(list(places), kind=kind)
            for asked in batch:
                yield VectorOf(asked.key, made[places[asked.text]])

    def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> NDArray[np.float32]:
        """Embed texts.

        Args:
            texts: Any texts.
            kind: Makes no difference to this model.

        Returns:
            Shape (len(texts), dimension): the mean of the vectors of each text's tokens, brought to norm 1; NaN where a
            text has no tokens.

        Raises:
            ModelError: The package is not installed whole.
        """
        import numpy as np

        if not texts:
            return np.empty((0, self._dimension), dtype=np.float32)
        tokenizer, table = self._load()
        sums = np.zeros((len(texts), self._dimension), dtype=np.float64)
        for batch in _batches(texts):
            pieces = [piece for _, piece in batch]
            for (row, _), encoding in zip(
                batch, tokenizer.encode_batch_fast(pieces, add_special_tokens=False), strict=True
            ):
                ids = np.asarray(encoding.ids, dtype=np.intp)
                for start in range(0, len(ids), POOL_TOKENS):
                    sums[row] += table[ids[start : start + POOL_TOKENS]].sum(axis=0)
        # The sum points where the mean does; where there was no token, 0 / 0 is the NaN that is wanted.
        with np.errstate(invalid="ignore"):
            sums /= np.linalg.norm(sums, axis=1, keepdims=True)
        return sums.astype(np.float32)

    def _load(self) -> tuple[Tokenizer, NDArray[np.float32]]:
        if self._loaded is None:
            self._loaded = _tokenizer(), _table(self._dimension)
        return self._loaded


def _batches(texts: Sequence[str]) -> Iterator[list[tuple[int, str]]]:
    """Yield (index of the text, a piece of it), in order, in batches that bound the memory."""
    batch: list[tuple[int, str]] = []
    size = 0
    for index, text in enumerate(texts):
        for piece in _pieces(text):
            if batch and (len(batch) >= BATCH_TEXTS or size + len(piece) > BATCH_CHARACTERS):
                yield batch
                batch, size = [], 0
            batch.append((index, piece))
            size += len(piece)
    if batch:
        yield batch


def _pieces(text: str) -> Iterator[str]:
    """Cut a long text at spaces between words, which changes no token; elsewhere only where there are none.

    The tokenizer puts a space in front of every text. A piece therefore leaves out the one that it starts with.
    """
    if not text.isascii():
        text = _SURROGATE.sub("\ufffd", text)
    start = 0
    while len(text) - start > PIECE_CHARACTERS:
        cut = _cut(text, start)
        yield text[start:cut]
        start = cut + (text[cut] == " ")
    if start < len(text) or not start:
        yield text[start:]


def _cut(text: str, start: int) -> int:
    """Find a single space after a word to cut at; a run of spaces is one token and is left whole."""
    end = start + PIECE_CHARACTERS
    at = end
    while (at := text.rfind(" ", start + PIECE_CHARACTERS // 2, at)) > 0:
        if text[at - 1].isalnum() and text[at + 1].isalnum():
            return at
    return end


def _tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer

    _tokenise_in_parallel()
    path = _folder() / "tokenizers" / f"{CONFIG}_tokenizer_config.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more special
        raise _broken(f"{path.name} cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _table(dimension: int) -> NDArray[np.float32]:
    """Read the token vectors, shape (tokens, dimension)."""
    import numpy as np
    from safetensors import safe_open

    path = _folder() / "weights" / f"{CONFIG}_{max(DIMENSIONS)}.safetensors"
    try:
        with safe_open(path, framework="np") as file:
            weights = file.get_tensor("embedding.weight")
    except Exception as error:  # what it raises depends on what is wrong with the file
        raise _broken(f"{path.name} cannot be read: {error}") from error
    return np.ascontiguousarray(weights[:, :dimension], dtype=np.float32)


def _folder() -> Path:
    """Find the package's folder without importing it."""
    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise _broken("or not there")
    return Path(spec.origin).parent


def _broken(what: str) -> ModelError:
    return ModelError(
        f"The local embedding model cannot be used: the Python package `wordllama` is not whole, {what}. "
        "Install it again."
    )


def _tokenise_in_parallel() -> None:
    """Let the tokenizer use all cores, and not in the children of a fork, where its threads are missing.

    Left to itself it prints a warning in every forked child; told to be parallel, it would hang there.
    """
    global _at_fork
    if not _at_fork:
        _at_fork = True
        os.environ.setdefault(_PARALLELISM, "true")
        os.register_at_fork(after_in_child=lambda: os.environ.__setitem__(_PARALLELISM, "false"))
