"""The pace: places in time that all processes of a home share."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dataflow_assets.models.base import Allowance
from dataflow_assets.models.pace import BURST_SECONDS, SHARE, Pace


def places(pace: Pace, count: int, tokens: float = 0.0) -> list[float]:
    return [pace.reserve(tokens) for _ in range(count)]


def test_places_are_spread_at_what_is_allowed(tmp_path: Path) -> None:
    found = places(Pace(tmp_path, "m", requests_per_minute=60), 11)
    assert found == sorted(found)
    assert found[-1] - time.time() == pytest.approx(10 / SHARE - BURST_SECONDS, abs=1.0)


def test_four_share_what_one_would_have(tmp_path: Path) -> None:
    four = [Pace(tmp_path, "m", requests_per_minute=60) for _ in range(4)]
    found = [pace.reserve(0) for _ in range(5) for pace in four]
    assert max(found) - time.time() == pytest.approx(19 / SHARE - BURST_SECONDS, abs=1.0)
    assert Pace(tmp_path, "other", requests_per_minute=60).reserve(0) - time.time() < 1


def test_tokens_count_too(tmp_path: Path) -> None:
    found = places(Pace(tmp_path, "m", requests_per_minute=6000, tokens_per_minute=6000), 3, tokens=1000)
    assert found[2] - found[1] == pytest.approx(10 / SHARE, abs=0.6)


def test_what_the_service_says_holds_until_the_catalog_says_otherwise(tmp_path: Path) -> None:
    pace = Pace(tmp_path, "m")
    assert places(pace, 50)[-1] <= time.time()
    pace.learn(Allowance(requests_per_minute=60))
    assert places(Pace(tmp_path, "m"), 5)[-1] > time.time() + 2
    assert places(Pace(tmp_path, "m", requests_per_minute=6_000_000), 1)[0] <= time.time() + 6


def test_a_refusal_makes_everybody_wait_and_slows_them(tmp_path: Path) -> None:
    one, other = (Pace(tmp_path, "m", requests_per_minute=600) for _ in range(2))
    place = one.reserve(0)
    assert not one.held_up(place)
    other.refused(30)
    assert one.held_up(place)
    found = places(one, 21)
    assert found[0] >= time.time() + 29
    assert found[-1] - found[0] > 20 * 60 / 600 / SHARE


def test_a_wish_to_wait_is_honoured_up_to_a_minute(tmp_path: Path) -> None:
    pace = Pace(tmp_path, "m")
    pace.refused(100_000)
    assert pace.reserve(0) - time.time() < 61


@pytest.mark.parametrize("said", [b"", b"{", b"[1, 2]", b'{"next_request": 1e12, "pause": 1e12}'])
def test_a_broken_file_starts_anew(tmp_path: Path, said: bytes) -> None:
    pace = Pace(tmp_path, "m", requests_per_minute=60)
    pace.reserve(0)
    (path,) = tmp_path.glob("pace-*.json")
    path.write_bytes(said)
    assert pace.reserve(0) - time.time() < 700
