"""Texts as BM25 sees them: sparse vectors of word weights.

What belongs here: cutting any text into words, and the parameters of BM25. What does not: storing or searching the
vectors. Both adapters make their sparse vectors here, with the `Bm25` that Qdrant Edge carries (the same that the server
has), so that an embedded index and a server rank alike. The index itself applies the inverse document frequency.

The engine's word tokenizer finds words where letters meet other characters, and folds accents; it keeps numbers, which its
multilingual tokenizer drops. It knows no words in scripts that are written without spaces, so runs of those are handed over
as overlapping pairs of characters, the way search engines have long indexed Chinese, Japanese and Korean: every
word of two or more characters is found wherever it stands, whatever surrounds it. (The multilingual tokenizer takes a lone
`検索` for Chinese and the same word between kana for Japanese, and then does not find one with the other.)
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from qdrant_edge import Bm25, SparseVector

K: Final = 1.2
B: Final = 0.75
AVERAGE_LENGTH: Final = 128.0
"""Words of an average chunk after stop words; fixed, so that a vector depends on its own text and nothing else."""

_UNSPACED: Final = re.compile(
    "["
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Myanmar, Khmer
    "\u1100-\u11ff\uac00-\ud7af"  # Hangul: spaced, but particles stick to the words
    "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "]+"
)
_KATAKANA: Final = re.compile("[\u30a0-\u30fa\u30fc-\u30ff]+")
"""Katakana spells whole, mostly foreign, words; what follows in hiragana is grammar."""


@cache
def _model() -> Bm25:
    from qdrant_edge import Bm25, Bm25Config, TokenizerType

    return Bm25(
        Bm25Config(
            k=K,
            b=B,
            avg_len=AVERAGE_LENGTH,
            tokenizer=TokenizerType.Word,
            language="english",
            ascii_folding=True,
        )
    )


def document_vector(text: str) -> SparseVector:
    """Weigh the words of a text that is searched.

    Args:
        text: Any text; lone surrogates count as no word.

    Returns:
        Word ids and their BM25 weights, without the inverse document frequency; empty if the text has no words.
    """
    return _model().embed_document(words_apart(text, "document"))


def query_vector(text: str) -> SparseVector:
    """Weigh the words of a question: each counts once.

    Args:
        text: Any text; lone surrogates count as no word.

    Returns:
        Word ids and ones; empty if the text has no words.
    """
    return _model().embed_query(words_apart(text, "query"))


def words_apart(text: str, kind: Literal["document", "query"]) -> str:
    """Put spaces where the engine's tokenizer would not see the edge of a word.

    Args:
        text: Any text.
        kind: A document also gets the single characters of unspaced runs, so that a query of one character finds them.

    Returns:
        ASCII as it is; else the text in Unicode's compatibility form, unspaced runs as overlapping pairs.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode(errors="replace").decode()
    text = unicodedata.normalize("NFKC", text)
    text = _KATAKANA.sub(r" \g<0> ", text)
    return _UNSPACED.sub(_with_characters if kind == "document" else _pairs, text)


def _pairs(match: re.Match[str]) -> str:
    run = match[0]
    if len(run) == 1:
        return f" {run} "
    return f" {' '.join(map(str.__add__, run, run[1:]))} "


def _with_characters(match: re.Match[str]) -> str:
    run = match[0]
    return _pairs(match) if len(run) == 1 else f"{_pairs(match)}{' '.join(run)} "
