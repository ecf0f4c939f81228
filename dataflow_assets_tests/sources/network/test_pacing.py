from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.sources.network.pacing import HostPace


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def pace(self, per_second: float | None = None) -> HostPace:
        return HostPace(per_second, sleep=self.sleep, clock=lambda: self.now)


def starts(time: Time, pace: HostPace, *hosts: str) -> list[float]:
    found = []
    for host in hosts:
        pace.wait(host)
        found.append(round(time.now - 100, 6))
    return found


def test_requests_to_a_host_are_spread_and_other_hosts_do_not_wait() -> None:
    time = Time()
    assert starts(time, time.pace(2), "a", "a", "b", "a") == [0, 0.5, 0.5, 1.0]


def test_without_a_limit_nobody_waits() -> None:
    time = Time()
    assert starts(time, time.pace(), *"aaaa") == [0, 0, 0, 0]


def test_a_host_may_ask_for_more_distance_but_not_for_less() -> None:
    time = Time()
    pace = time.pace(2)
    pace.slow("a", 3)
    pace.slow("b", 0.1)
    assert starts(time, pace, "a", "a", "a") == [0, 3, 6]
    assert starts(time, pace, "b", "b") == [6, 6.5]


@pytest.mark.parametrize(("asked", "waited"), [(5, 5), (1e9, 60), (float("inf"), 60), (-5, 0), (float("nan"), 0)])
def test_pauses_and_distances_are_bounded(asked: float, waited: float) -> None:
    time = Time()
    pace = time.pace()
    pace.pause("a", asked)
    assert starts(time, pace, "a", "b") == [waited, waited]
    time = Time()
    pace = time.pace()
    pace.slow("a", asked)
    assert starts(time, pace, "a", "a") == [0, waited]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 3)), max_size=30), st.floats(0.1, 10))
def test_two_requests_are_never_closer_than_the_limit(steps: list[tuple[str, float]], per_second: float) -> None:
    time = Time()
    pace = time.pace(per_second)
    last: dict[str, float] = {}
    for host, idle in steps:
        time.now += idle
        pace.wait(host)
        assert time.now - last.get(host, -1e9) >= 1 / per_second - 1e-6
        last[host] = time.now
