from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.sources.row_keys import NoKey, read_key, show_key, write_key

values: st.SearchStrategy[Any] = st.one_of(
    st.integers(), st.text(), st.text("5.-e'/%~ \\"), st.booleans(), st.binary(), st.uuids(), st.dates(), st.times(),
    st.datetimes(), st.datetimes(timezones=st.just(dt.UTC)), st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False),
)  # fmt: skip
keys = st.lists(values, min_size=1, max_size=3)


@given(keys)
def test_a_key_is_read_as_it_was_written(key: list[Any]) -> None:
    written = write_key(key)
    assert written.isascii()
    assert written.isprintable()
    again = read_key(written)
    assert list(again) == key
    assert write_key(again) == written


@given(keys, keys)
def test_different_keys_are_written_differently(one: list[Any], other: list[Any]) -> None:
    if write_key(one) == write_key(other):
        assert one == other


@given(st.lists(st.text() | st.text("5'%/.e-"), min_size=2, max_size=2), st.booleans())
def test_different_texts_are_shown_differently(texts: list[str], typeless: bool) -> None:
    one, other = (show_key([text], typeless=typeless) for text in texts)
    assert (one == other) == (texts[0] == texts[1])
    assert "/" not in one
    assert one.isprintable()


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False), st.text("0123456789.-e+", min_size=1))
def test_a_number_and_a_text_of_one_column_are_shown_differently(number: float, text: str) -> None:
    assert show_key([number], typeless=True) != show_key([text], typeless=True)


def test_keys_for_people() -> None:
    assert show_key([42, "größe", dt.date(2024, 1, 2)]) == "42/größe/2024-01-02"
    assert show_key(["a/b\n"]) == "a%2Fb%0A"
    assert len(show_key(["x" * 1_000_000])) < 200
    assert show_key(["x" * 1_000_000]) != show_key(["x" * 1_000_001])


def test_whole_numbers_are_written_alike_and_times_in_utc() -> None:
    assert write_key([5]) == write_key([Decimal("5.00")]) == "5"
    zone = dt.timezone(dt.timedelta(hours=2))
    assert write_key([dt.datetime(2024, 1, 1, 2, tzinfo=zone)]) == write_key([dt.datetime(2024, 1, 1, tzinfo=dt.UTC)])


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, float("nan"), Decimal("Infinity"), object()])
def test_what_is_no_key(value: Any) -> None:
    with pytest.raises(NoKey):
        write_key([value])


@pytest.mark.parametrize("key", ["", "x", "s", "uuid.x", "number.x", "float.", "date.2024", "no-key", "5/", "hex.g"])
def test_what_was_never_written_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_key(key)
