"""Keys are kept out of everything that is said."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow_assets.models.secrets import SHOWN_CHARACTERS, redacted, shown

LETTERS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=20, max_size=60)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.text(max_size=400), key=LETTERS, after=st.text(max_size=50))
def test_the_value_of_a_key_is_never_shown(monkeypatch: pytest.MonkeyPatch, before: str, key: str, after: str) -> None:
    monkeypatch.setenv("SOMEBODYS_API_KEY", key)
    said = f"{before} {key}{after}"
    assert key not in redacted(said)
    line = shown(said)
    assert key not in line
    assert key[:20] not in line or key[:20] in redacted(said)  # not the half of it either
    assert len(line) <= SHOWN_CHARACTERS
    assert line.isprintable()


@pytest.mark.parametrize(
    "key",
    ["sk-ant-api03-abcDEF_123-x", "sk-proj-abcdefghij", "pa-0123456789abcdefghij", "al-0123456789abcdefghij"],
)
def test_what_looks_like_a_key_is_taken_out(key: str) -> None:
    assert redacted(f"Incorrect API key provided: {key}. Mind it.") == "Incorrect API key provided: [key]. Mind it."


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Authorization: Bearer abc.def-ghi, no", "Authorization: Bearer [key], no"),
        ("{'x-api-key: 1234'}", "{'x-api-key: [key]'}"),
        ("http://me:swordfish@host/v1", "http://[key]@host/v1"),
        ("invalid bearer token", "invalid bearer token"),
        ("the pa-per and the risk-averse task-force", "the pa-per and the risk-averse task-force"),
        ("http://host:80/a@b", "http://host:80/a@b"),
    ],
)
def test_what_is_a_secret_and_what_is_not(said: str, left: str) -> None:
    assert redacted(said) == left


def test_short_values_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.endswith(("KEY", "TOKEN"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SORT_KEY", "e")
    assert redacted("every letter") == "every letter"


def test_one_line_of_it_is_shown() -> None:
    assert shown(" a\n\tb\x00\x1b[31m.  ") == "a b\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[31m"
    assert shown("x" * 1000) == "x" * (SHOWN_CHARACTERS - 1) + "…"


@pytest.mark.parametrize("piece", ["sk-", "://", "://a:", "bearer ", "pa-a", "bearer a", " ", "x-api-key: "])
def test_a_long_text_takes_no_longer_than_it_must(piece: str) -> None:
    started = time.process_time()
    shown(piece * (1_000_000 // len(piece)))
    assert time.process_time() - started < 3  # a tenth of a second; a quadratic one would take minutes
