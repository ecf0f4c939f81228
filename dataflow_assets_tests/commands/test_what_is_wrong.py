"""What a person did wrong, or has not done yet, ends in a sentence that says what to do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dataflow_assets.cli import cli
from dataflow_assets.errors import CatalogError, ConfigurationError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a catalog of two libraries that were never run."""
    (tmp_path / "docs").mkdir()
    libraries = {name: {"source": {"path": "docs"}, "evaluation": {"golden": f"{name}.jsonl"}} for name in ("a", "b")}
    (tmp_path / "catalog.yaml").write_text(json.dumps({"libraries": libraries}))
    monkeypatch.chdir(tmp_path)
    for name in ("DATAFLOW_HOME", "DATAFLOW_CATALOG", "DAGSTER_HOME", "QDRANT_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def refused(*words: str) -> str:
    done = CliRunner().invoke(cli, words)
    assert isinstance(done.exception, ConfigurationError), done.output
    return str(done.exception)


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("command", ["rollback", "generations"])
def test_a_library_that_was_never_run_is_told_from_one_that_there_is_not(command: str) -> None:
    assert "run `dataflow run a`" in refused(command, "a")
    assert "No library 'c' is indexed" in refused(command, "c")


def test_the_check_of_the_catalog_reads_the_golden_queries(root: Path) -> None:
    (root / "a.jsonl").write_text('{"query": "x", "expected": ["y"]}\nnonsense\n')
    done = CliRunner().invoke(cli, ["catalog", "check", "--json"])
    assert isinstance(done.exception, CatalogError)
    first, second = json.loads(done.stdout)["problems"]
    assert "a.jsonl, line 2" in first
    assert "b.jsonl" in second
    for name in ("a", "b"):
        (root / f"{name}.jsonl").write_text('{"query": "x", "expected": ["y"]}\n')
    assert "is right: 2 libraries" in CliRunner().invoke(cli, ["catalog", "check"]).stdout


@pytest.mark.usefixtures("root")
def test_a_kind_of_page_that_there_is_not_is_no_search_that_finds_nothing() -> None:
    assert "allowed are reference, tutorial" in refused("search", "x", "--filter", "doc_type=guides")
    assert CliRunner().invoke(cli, ["search", "x", "--filter", "doc_type=guide"]).exit_code == 0


def test_an_empty_question_among_many_is_named_by_its_line(root: Path) -> None:
    (root / "many.jsonl").write_text('{"id": 1, "text": "x"}\n{"id": 2, "text": " "}\n')
    assert "many.jsonl, line 2" in refused("search", "--queries", "many.jsonl")


def test_an_id_that_is_half_a_character_is_given_back(root: Path) -> None:
    (root / "many.jsonl").write_text('{"id": "\\ud800", "text": "x"}\n')
    done = CliRunner().invoke(cli, ["search", "--queries", "many.jsonl"])
    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["id"] == "\ud800"


@pytest.mark.parametrize(
    "words",
    [
        ("run",), ("status",), ("plan",), ("evaluate",), ("sql", "SELECT 1"), ("rollback", "a"), ("forget", "a"), ("serve",),
        ("keys", "add", "x"), ("keys", "remove", "x"), ("dev",),
    ],
)  # fmt: skip
def test_a_home_that_is_no_folder(root: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    (root / "file").write_text("")
    monkeypatch.setenv("DATAFLOW_HOME", str(root / "file"))
    assert "is no folder. Set DATAFLOW_HOME" in refused(*words)


def test_a_home_cannot_be_made_below_a_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "file").write_text("")
    monkeypatch.setenv("DATAFLOW_HOME", str(root / "file" / "home"))
    assert f"{root / 'file'} is no folder" in refused("run")


@pytest.mark.parametrize("words", [("run",), ("status",), ("keys", "add", "x"), ("serve", "--port", "0")])
def test_a_home_of_somebody_else(root: Path, words: tuple[str, ...]) -> None:
    (root / "home").mkdir()
    (root / "home").chmod(0o555)
    command = [sys.executable, "-m", "dataflow_assets.cli", *words]
    if os.geteuid() == 0:  # who may write everywhere, unless this is taken away
        if shutil.which("setpriv") is None:
            pytest.skip("There is no setpriv, and this is root.")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    done = subprocess.run(
        command, env={**os.environ, "DATAFLOW_HOME": "home"}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "this user may not write to the folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_system_refuses_is_a_sentence(root: Path) -> None:
    (root / "catalog.yaml").write_text(json.dumps({"libraries": {"a": {"source": {"path": "docs"}}}}))
    done = subprocess.run(
        [sys.executable, "-m", "dataflow_assets.cli", "run"],
        env={**os.environ, "DATAFLOW_HOME": "/proc/home"}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "The operating system refused something: No such file or directory (/proc/home" in done.stderr
    assert "Traceback" not in done.stderr
