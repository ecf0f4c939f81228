"""A package that adds a kind of source."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataflow_assets.catalog import load_catalog
from dataflow_assets.catalog_schema import json_schema
from dataflow_assets.errors import CatalogError
from dataflow_assets.sources.base import open_source
from dataflow_assets_tests.sources.plugin import install


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(install(folder)))
    monkeypatch.delitem(sys.modules, "my_notes", raising=False)
    return folder


def catalog(tmp_path: Path, source: str) -> Path:
    path = tmp_path / "catalog.yaml"
    path.write_text(f"libraries: {{notes: {{source: {source}}}}}")
    return path


def test_the_catalog_knows_its_settings(installed: Path, tmp_path: Path) -> None:
    settings = load_catalog(catalog(tmp_path, "{type: notes, count: 2}")).library("notes").source
    source = open_source(settings, base=tmp_path)
    assert [item.uri for item in source.list()] == ["notes/0.md", "notes/1.md"]
    assert json_schema()["$defs"]["Settings"]["properties"]["count"]["minimum"] == 1
    with pytest.raises(CatalogError, match=r"source\.count is 0; allowed is a whole number of at least 1"):
        load_catalog(catalog(tmp_path, "{type: notes, count: 0}"))


def test_without_the_package_the_type_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"source\.type is 'notes'; allowed are files"):
        load_catalog(catalog(tmp_path, "{type: notes}"))


def test_a_library_of_its_documents_is_searchable(installed: Path, tmp_path: Path) -> None:
    catalog(tmp_path, "{type: notes, count: 2}")
    environment = {**os.environ, "PYTHONPATH": str(installed), "DATAFLOW_HOME": str(tmp_path / "home")}
    environment.pop("DATAFLOW_CATALOG", None)

    def dataflow(*words: str) -> dict[str, object]:
        command = [sys.executable, "-m", "dataflow_assets.cli", *words, "--json"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    assert dataflow("run")["libraries"]["notes"]["stages"]["raw_documents"]["new"] == 2  # type: ignore[index]
    assert dataflow("search", "note")["results"]
    assert dataflow("run")["libraries"]["notes"]["stages"]["raw_documents"]["unchanged"] == 2  # type: ignore[index]
