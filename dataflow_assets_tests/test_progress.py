"""What a run is doing is told to whoever started it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataflow_assets.command_run import run_libraries
from dataflow_assets_tests.conftest import Project


def test_a_program_that_starts_the_command_can_follow_it(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.page("one", "one")
    told = tmp_path / "progress.json"
    monkeypatch.setenv("DATAFLOW_HOME", str(project.home))
    monkeypatch.setenv("DATAFLOW_CATALOG", str(project.catalog_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setenv("DATAFLOW_PROGRESS", str(told))
    assert (
        run_libraries(project.load(), [], jobs=1, accept_deletes=False, show=False)["libraries"]["docs"]["status"]
        == "ok"
    )
    said = json.loads(told.read_text())
    assert said["partition"] == "docs"
    assert said["stage"] in ("raw_documents", "validated_documents", "chunks", "embeddings", "search_index")
    assert 0 <= said["done"] <= said["total"]
