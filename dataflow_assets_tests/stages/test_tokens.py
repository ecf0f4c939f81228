from __future__ import annotations

import warnings
from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dataflow_assets.stages.tokens import SEAM, count_tokens, is_sound, token_ends

AWKWARD = [
    " ", "  ", "\n", "\r", "\r\n", "\t", "\x0c", "\x1c", "\x85", "\xa0", "\u2028", ".", ",", "'", "'s", "'LL", "```", "``", "(",
    "#", "-", "|", "the", "don't", "Foo", "12345", "é", "漢字", "かな", "。", "、", "😀", "\u0301", "ſ", ".\n\n", "<|endoftext|>",
]  # fmt: skip
texts = st.lists(st.sampled_from(AWKWARD), max_size=30).map("".join) | st.text(max_size=80)


@pytest.fixture(scope="module")
def reference():
    """The tokenizer's public face, told that special tokens are text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of its own way to read its vocabularies
        from bpe_openai import get_encoding

    encoding = get_encoding("cl100k_base")
    return lambda text: len(encoding.encode(text, disallowed_special=()))


@given(text=texts)
@hypothesis_settings(deadline=None)
def test_counts_what_the_public_tokenizer_counts(reference, text):
    assert count_tokens(text) == reference(text)


def test_counts_special_tokens_as_text_and_surrogates_as_replacements(reference):
    assert count_tokens("<|endoftext|>") > 1
    assert count_tokens("a\ud800b") == reference("a\ufffdb")
    assert count_tokens("a\ud83d\ude00b") == reference("a😀b")
    assert count_tokens("") == 0


def test_counts_more_than_a_million_characters():
    assert count_tokens("word " * 250_000) > 250_000


@given(text=texts)
@hypothesis_settings(deadline=None)
def test_tokens_on_both_sides_of_a_seam_add_up(text):
    if not is_sound(text):
        return
    ends = token_ends(text)
    whole = count_tokens(text)
    for match in SEAM.finditer(text):
        seam = match.start()
        assert count_tokens(text[:seam]) + count_tokens(text[seam:]) == whole
        assert bisect_right(ends, seam) == count_tokens(text[:seam])


@given(text=texts)
@hypothesis_settings(deadline=None)
def test_ends_of_tokens_lead_to_the_end_of_the_text(text):
    ends = token_ends(text).tolist()
    assert ends == sorted(ends)
    assert ends[-1:] == [len(text)][: len(ends)]
    if is_sound(text):
        assert len(ends) == count_tokens(text)


def test_ends_of_a_text_that_is_encoded_in_slabs():
    text = "Some words, 12 of them.\n" * 90_000
    ends = token_ends(text)
    assert len(ends) == count_tokens(text)
    assert ends[-1] == len(text)
