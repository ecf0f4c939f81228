"""How the service is set up, and when it refuses to start."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.serving.keys import KeyStore
from dataflow_assets.serving.server import bind, check
from dataflow_assets.serving.settings import ServingSettings


def test_options_win_over_the_environment_and_that_over_the_defaults() -> None:
    environment = {"DATAFLOW_SERVE_PORT": "9000", "DATAFLOW_SERVE_THREADS": "3", "OTHER": "x"}
    settings = ServingSettings.of({"port": 9001, "host": None}, environment)
    assert (settings.port, settings.threads, settings.host) == (9001, 3, "127.0.0.1")


@pytest.mark.parametrize(
    "environment",
    [{"DATAFLOW_SERVE_PORT": "many"}, {"DATAFLOW_SERVE_COLOUR": "red"}, {"DATAFLOW_SERVE_REQUEST_SECONDS": "inf"}],
)
def test_what_is_wrong_is_named_and_not_quoted(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(environment))) as error:
        ServingSettings.of({}, environment)
    assert next(iter(environment.values())) not in str(error.value).replace(next(iter(environment)), "")


def test_secrets_do_not_show() -> None:
    settings = ServingSettings.of({}, {"DATAFLOW_REDIS_URL": "redis://:hush@x", "DATAFLOW_EVENTS_SECRET": "hush"})
    assert settings.events_secret == "hush"
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("192.168.0.1", False), ("::", False),
     ("10.0.0.1", False), ("example.org", False), ("localhost.example.org", False), ("", False)],
)  # fmt: skip
def test_only_this_machine_is_let_in_without_a_key(tmp_path: Path, host: str, loopback: bool) -> None:
    settings = ServingSettings.model_construct(host=host, require_key=False)
    assert settings.keyless is loopback
    if not loopback:
        with pytest.raises(ConfigurationError, match="dataflow keys add"):
            check(settings, tmp_path)
        KeyStore(tmp_path).add("reader", libraries=None)
    check(settings, tmp_path)


def test_loopback_asks_for_a_key_where_it_is_told_to(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no key"):
        check(ServingSettings(require_key=True), tmp_path)


def test_an_address_that_is_taken_is_a_sentence() -> None:
    with bind(ServingSettings(port=0)) as taken:
        with pytest.raises(ConfigurationError, match="cannot listen"):
            bind(ServingSettings(port=taken.getsockname()[1]))
