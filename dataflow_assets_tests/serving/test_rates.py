"""Rates: a minute's requests at once, and then as time passes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.serving.rates import Rates


def test_a_minutes_requests_come_at_once_and_the_next_waits() -> None:
    rates = Rates(lambda: 0.0)
    assert [rates.take("a", 3) for _ in range(4)] == [0, 0, 0, 20]


def test_keys_do_not_share() -> None:
    rates = Rates(lambda: 0.0)
    assert rates.take("a", 1) == 0
    assert rates.take("a", 1) > 0
    assert rates.take("b", 1) == 0


@given(st.integers(1, 100), st.lists(st.floats(0, 30), max_size=80))
def test_never_more_than_the_rate_allows_and_waiting_helps(per_minute: int, pauses: list[float]) -> None:
    clock = [0.0]
    rates = Rates(lambda: clock[0])
    taken = 0
    for pause in pauses:
        clock[0] += pause
        wait = rates.take("a", per_minute)
        taken += wait == 0
        assert taken <= per_minute * (1 + clock[0] / 60) + 1e-6
        if wait:
            clock[0] += wait + 1e-6
            assert rates.take("a", per_minute) == 0
            taken += 1
