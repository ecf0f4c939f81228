from __future__ import annotations

import gzip
import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.sources.network.bodies import BLOCK_BYTES, BodyDamaged, EncodingUnknown, unpacked

PACK = {"gzip": gzip.compress, "deflate": zlib.compress, "": bytes}


def cut(content: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({min(place, len(content)) for place in places} | {0, len(content)})
    return [content[start:end] for start, end in itertools.pairwise(marks)]


@given(st.binary(max_size=500), st.sampled_from(sorted(PACK)), st.lists(st.integers(0, 600), max_size=5))
def test_a_body_comes_out_as_it_went_in_however_it_is_cut(body: bytes, encoding: str, places: list[int]) -> None:
    assert b"".join(unpacked(cut(PACK[encoding](body), places), encoding)) == body


@given(st.binary(min_size=1, max_size=300), st.integers(1, 30))
def test_a_body_that_was_cut_off_never_looks_whole(body: bytes, missing: int) -> None:
    packed = gzip.compress(body)
    with pytest.raises(BodyDamaged):
        list(unpacked([packed[: max(1, len(packed) - missing)]], "gzip"))


def test_no_piece_is_larger_than_a_block() -> None:
    packed = gzip.compress(b"\0" * 10_000_000)
    assert max(map(len, unpacked([packed], "gzip"))) <= BLOCK_BYTES


def test_several_members_and_padding_are_read_as_one() -> None:
    assert b"".join(unpacked([gzip.compress(b"a") + gzip.compress(b"b") + b"\0" * 99], "gzip")) == b"ab"


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, br", "x" * 1000])
def test_other_packings_are_named(encoding: str) -> None:
    with pytest.raises(EncodingUnknown, match=encoding[:40]):
        list(unpacked([b"x"], encoding))


@given(st.binary(max_size=200))
def test_anything_else_is_damaged_or_read(content: bytes) -> None:
    for encoding in ("gzip", "deflate"):
        try:
            list(unpacked([content], encoding))
        except BodyDamaged:
            continue
