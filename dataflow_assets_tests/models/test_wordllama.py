from __future__ import annotations

import logging
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_assets.errors import ModelError
from dataflow_assets.models import wordllama as ours
from dataflow_assets.models.wordllama import WordLlamaEmbedder

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "x",
    "  two spaces, and a tab\tin a line  ",
    "# Heading\n\n```python\nprint('hello')\n```\n\n- a list\n",
    "Größe, naïve, 漢字, 日本語の文書, emoji 👩‍👩‍👧, \x00 NUL",
    "<s> tokens of the model itself </s> <unk>",
    "word " * 3000,
]


@pytest.fixture(scope="module")
def embedder() -> WordLlamaEmbedder:
    return WordLlamaEmbedder()


def test_vectors_are_those_of_the_package(embedder: WordLlamaEmbedder) -> None:
    import wordllama

    logging.getLogger().handlers.clear()  # importing the package configures the root logger
    folder = Path(wordllama.__file__).parent
    theirs = wordllama.WordLlama.load(cache_dir=folder, disable_download=True).embed(TEXTS, norm=True)
    np.testing.assert_allclose(embedder.embed(TEXTS), theirs, atol=1e-5)


def test_vectors_have_norm_1_at_every_dimension_and_are_truncations(embedder: WordLlamaEmbedder) -> None:
    whole = embedder.embed(TEXTS)
    for dimension in ours.DIMENSIONS:
        short = WordLlamaEmbedder(dimension).embed(TEXTS)
        assert short.shape == (len(TEXTS), dimension)
        assert short.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(short, axis=1), 1, atol=1e-6)
        cut = whole[:, :dimension]
        np.testing.assert_allclose(short, cut / np.linalg.norm(cut, axis=1, keepdims=True), atol=1e-5)


def test_a_dimension_without_weights_is_refused_in_words() -> None:
    with pytest.raises(ModelError, match="64, 128, 256"):
        WordLlamaEmbedder(100)


def test_a_text_without_tokens_is_a_row_of_nan_and_spoils_no_other(embedder: WordLlamaEmbedder) -> None:
    vectors = embedder.embed(["", "something", ""])
    assert np.isnan(vectors[[0, 2]]).all()
    np.testing.assert_array_equal(vectors[1], embedder.embed(["something"])[0])
    assert embedder.embed([]).shape == (0, 256)


@cache
def small() -> WordLlamaEmbedder:
    return WordLlamaEmbedder(64)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=200), max_size=8))
def test_any_text_has_a_vector_that_its_neighbours_do_not_touch(texts: list[str]) -> None:
    embedder = small()
    together = embedder.embed(texts)
    assert together.shape == (len(texts), 64)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_array_equal(vector, embedder.embed([text])[0])
        assert bool(np.isfinite(vector).all()) == (text != "")


def test_lone_surrogates_count_as_replacement_characters(embedder: WordLlamaEmbedder) -> None:
    lone, replaced = embedder.embed(["before \ud800 after", "before \ufffd after"])
    np.testing.assert_array_equal(lone, replaced)


@pytest.mark.parametrize("text", ["a" * 1_000_000, "\n" * 1_000_000, "漢字" * 200_000, "some words, " * 80_000])
def test_very_long_texts_are_embedded(embedder: WordLlamaEmbedder, text: str) -> None:
    assert np.isfinite(embedder.embed([text])).all()


def test_cutting_a_long_text_at_its_spaces_changes_nothing(
    embedder: WordLlamaEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(f"Sentence {n} of a long text,  with two spaces (and more). " for n in range(300))
    whole = embedder.embed([text])
    monkeypatch.setattr(ours, "PIECE_CHARACTERS", 200)
    monkeypatch.setattr(ours, "POOL_TOKENS", 7)
    assert len(list(ours._pieces(text))) > 50
    np.testing.assert_allclose(embedder.embed([text]), whole, atol=1e-6)


def test_the_name_tells_the_version_and_the_weights(embedder: WordLlamaEmbedder) -> None:
    from importlib.metadata import version

    assert embedder.name == f"wordllama-{version('wordllama')}-l2_supercat"


def test_a_forked_child_can_embed_and_nobody_is_warned() -> None:
    program = (
        "import os, warnings; from dataflow_assets.models.wordllama import WordLlamaEmbedder\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"
        "e = WordLlamaEmbedder(64); e.embed(['one', 'two'])\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if e.embed(['one', 'two']).shape == (2, 64) else 1)\n"
        "import sys; status = os.waitpid(child, 0)[1]\n"
        "assert 'wordllama' not in sys.modules and 'requests' not in sys.modules\n"
        "sys.exit(status)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
