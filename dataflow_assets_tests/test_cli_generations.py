"""The commands about generations: what they print, and their exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dataflow_assets.cli import cli
from dataflow_assets.errors import ConfigurationError
from dataflow_assets_tests.flow.test_generations import SMALLER, Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(tmp_path)
    for name in ("apples", "pears", "plums"):
        home.page(name)
    monkeypatch.delenv("QDRANT_URL", raising=False)
    monkeypatch.setenv("DATAFLOW_HOME", str(home.path))
    monkeypatch.setenv("DATAFLOW_CATALOG", str(tmp_path / "catalog.yaml"))
    return home


def ask(*words: str) -> Result:
    return CliRunner().invoke(cli, words, catch_exceptions=True)


def test_listing_measuring_and_going_back(home: Home) -> None:
    home.run()
    first = home.used
    home.run(**SMALLER)
    second = home.used

    listed = json.loads(ask("generations", "docs", "--json").stdout)["generations"]
    assert [(one["generation"], one["state"]) for one in listed] == [(second, "in use"), (first, "kept")]
    done = ask("evaluate", "--json")
    told = json.loads(done.stdout)["libraries"]["docs"]
    assert (done.exit_code, told["passed"], told["not_found"]) == (0, True, [])
    assert [one["generation"] for one in told["generations"]] == [second]
    assert second in ask("evaluate", "docs").stdout

    assert json.loads(ask("rollback", "docs", "--json").stdout) == {"library": "docs", "left": second, "in_use": first}
    assert home.used == first
    assert "refused" in ask("generations", "docs").stdout
    assert isinstance(ask("rollback", "docs").exception, ConfigurationError)
    assert ask("generations", "docs", "--use", second).exit_code == 0
    assert home.used == second


@pytest.mark.parametrize(
    "words",
    [("rollback", "nobody"), ("generations", "nobody"), ("evaluate", "nobody"), ("generations", "docs", "--use", "x")],
)
def test_what_is_not_there_is_a_sentence(home: Home, words: tuple[str, ...]) -> None:
    home.run()
    done = ask(*words)
    assert isinstance(done.exception, ConfigurationError)
    assert words[-1] in str(done.exception)


def test_a_library_that_never_ran_cannot_be_measured(home: Home) -> None:
    (home.root / "catalog.yaml").write_text(json.dumps({"libraries": {"docs": {"source": {"path": "docs"}}}}))
    done = ask("evaluate")
    assert done.exit_code == 1
    assert "dataflow run docs" in done.stderr
