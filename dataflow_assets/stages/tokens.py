"""Counting cl100k tokens, and where they begin and end in a text.

What belongs here: the only use of the tokenizer in the house, exact for every text that Python can hold. What does not:
deciding where a text is cut (`stages.chunk`).

The tokenizer's low-level binding is used, since its public wrapper refuses special-token text such as `<|endoftext|>` and
everything from a million characters on; a document that merely mentions such a text is still a document. It is loaded
beside its package, on first use: importing the package unpacks three vocabularies that nobody here reads, which takes half
a second and 60 MB.

Counting a text again for every piece that it may be cut into is what makes splitters slow. It is not needed where the
tokenizer cannot see across a cut: cl100k first divides a text by a regular expression without look-behind and merges
bytes only inside of each part. At a **seam** a part ends and another begins whatever stands around it, so the tokens of
both sides add up exactly. Seams are

- before a space or tab that follows a visible character (only a part that starts there can hold that space),
- at the start of a line that is not blank (white space before it ends in its last newline, with or without the line),
- between a letter or digit and the punctuation after it (runs of letters and of digits are taken whole).

Classes of characters are named by ranges that no version of Unicode changes.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow_assets.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ENCODING = "cl100k_base"

SEAM = re.compile(
    r"(?<=[!-~])[ \t]|(?<=[\n\r])(?=[!-~])"
    r"|(?<=[A-Za-z0-9\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3])[!-/:-@\[-`{-~、。，！？；：]"
)
"""Finds seams: the start of a match is one. It does not find all."""

_SLAB = 1_000_000
"""Characters that are encoded at once: the tokenizer's answer takes about ten bytes of memory per character."""
_SURROGATES = re.compile("[\ud800-\udfff]")


@cache
def _package() -> Path:
    spec = importlib.util.find_spec("bpe_openai")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            "The package bpe-openai is not installed: install dataflow_assets with its requirements."
        )
    return Path(spec.submodule_search_locations[0])


@cache
def _tokenizer() -> Any:
    found = importlib.machinery.PathFinder.find_spec("bpe_openai._bindings", [str(_package())])
    if found is None or found.loader is None:
        raise ConfigurationError(
            "The package bpe-openai has no compiled part for this machine: install its wheel again."
        )
    bindings = importlib.util.module_from_spec(found)
    found.loader.exec_module(bindings)
    return bindings.tokenizer_for_encoding(ENCODING)


@cache
def counter() -> Callable[[str], int]:
    """Give the tokenizer's own counting function: fastest, but it refuses lone surrogates with UnicodeEncodeError."""
    count: Callable[[str], int] = _tokenizer().count
    return count


def count_tokens(text: str) -> int:
    """Count the tokens of any text; text that looks like a special token is text, a lone surrogate counts as U+FFFD."""
    try:
        return counter()(text)
    except UnicodeEncodeError:
        return counter()(sound(text))


def sound(text: str) -> str:
    """Join surrogate pairs to the character that they mean and replace lone surrogates, as every cl100k tokenizer does."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def is_sound(text: str) -> bool:
    """Whether a text holds no surrogates, so that every position in it is a position between characters."""
    return text.isascii() or _SURROGATES.search(text) is None


@cache
def _byte_lengths() -> NDArray[np.uint8]:
    """The length in bytes of every token, from the vocabulary: lines of a token in base64 and its number."""
    import gzip

    import numpy as np

    lines = gzip.decompress((_package() / "data" / f"{ENCODING}.tiktoken.gz").read_bytes()).split()
    numbers = np.array(lines[1::2], np.int64)
    lengths = np.zeros(numbers.max() + 1, np.uint8)
    lengths[numbers] = [len(token) // 4 * 3 - token.count(b"=") for token in lines[::2]]
    return lengths


def token_ends(text: str) -> NDArray[np.int32]:
    """Find where the tokens of a text end.

    Args:
        text: Any text. Surrogates are taken as U+FFFD one by one, so around pairs of them the tokens are not exact; nor
            are they where a million characters without a seam had to be encoded in two parts.

    Returns:
        One position per token, in code points, never falling. A token that ends inside a character has the position
        after that character, so several may share one position.
        The number of tokens before a seam is `bisect_right(ends, seam)`.
    """
    import numpy as np

    if not is_sound(text):
        text = _SURROGATES.sub("\ufffd", text)
    if len(text) <= _SLAB:
        return _ends(text)
    parts = []
    start = 0
    while start < len(text):
        stop = min(len(text), start + _SLAB)
        if stop < len(text):
            near = next((m.start() for m in SEAM.finditer(text, stop - 10_000, stop)), None)
            stop = stop if near is None else near
        parts.append(_ends(text[start:stop]) + np.int32(start))
        start = stop
    return np.concatenate(parts)


def _ends(text: str) -> NDArray[np.int32]:
    from array import array

    import numpy as np

    tokens = np.frombuffer(array("I", _tokenizer().encode(text)), np.uint32)
    ends: NDArray[np.int32] = np.cumsum(_byte_lengths().take(tokens), dtype=np.int32)
    if text.isascii() or not len(ends):
        return ends
    encoded = np.frombuffer(text.encode(), np.int8)
    characters: NDArray[np.int32] = np.cumsum(encoded > -65, dtype=np.int32)
    return characters.take(ends - 1)
