"""`dataflow search`: what its options do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dataflow_assets.cli import cli
from dataflow_assets_tests.search.test_api import Home


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("command"))


def search(home: Home, *words: str) -> Result:
    environment = {"DATAFLOW_HOME": str(home.home), "DATAFLOW_CATALOG": str(home.catalog), "QDRANT_URL": ""}
    return CliRunner().invoke(cli, ["search", *words], env=environment, catch_exceptions=False)


def test_options_reach_the_search(made: Home) -> None:
    said = json.loads(search(made, "red apple", "--explain", "--passages", "--per-document", "1", "--json").stdout)
    assert said["results"][0]["scores"]["features"]
    assert said["results"][0]["passage"]["text"] == "The apple is red."
    plain = json.loads(search(made, "red apple", "--no-rerank", "--explain", "--json").stdout)
    assert plain["results"][0]["scores"]["features"] == {}
    assert "passage" not in plain["results"][0]
    one = search(made, "apple", "--mode", "semantic", "--min-similarity", "0.999", "--json")
    assert json.loads(one.stdout)["results"] == []


def test_an_explanation_for_people(made: Home) -> None:
    told = search(made, "red apple", "--explain", "--top-k", "1").stdout
    assert "similarity" in told
    assert "BM25" in told
    assert " x1." in told


def test_a_filter_by_date(made: Home, tmp_path: Path) -> None:
    assert json.loads(search(made, "apple", "--filter", "since=2026-01-01", "--json").stdout)["results"] == []
