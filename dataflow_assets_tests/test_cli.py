"""The command: exit statuses, sentences, and the JSON that others rely on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SENTENCE = "It is long enough to be taken for a document, and says one thing that no other page of the library says."


class Command:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "docs").mkdir()
        for word in ("apples", "pears", "plums"):
            (root / "docs" / f"{word}.md").write_text(f"# {word}\n\nThis page tells of {word}. {SENTENCE}\n")
        self.catalog({"fruit": {"source": {"type": "files", "path": "docs"}}})

    def catalog(self, libraries: object) -> None:
        (self.root / "catalog.yaml").write_text(json.dumps({"libraries": libraries}))

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DAGSTER", "DATAFLOW", "QDRANT"))}
        done = subprocess.run(
            [sys.executable, "-m", "dataflow_assets.cli", *words],
            cwd=self.root,
            env=kept,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    command = Command(tmp_path_factory.mktemp("cli"))
    fresh = command("plan", "--json")
    assert fresh.returncode == 0
    assert json.loads(fresh.stdout)["libraries"]["fruit"]["stages"]["embeddings"]["texts"] == 3
    assert command("search", "pears").returncode == 0
    done = command("run", "--json")
    assert done.returncode == 0, done.stderr
    (outcome,) = json.loads(done.stdout)["libraries"].values()
    assert outcome["status"] == "ok"
    assert set(outcome) == {
        "status", "run_id", "message", "withheld_deletes", "stages", "documents", "rejected", "duplicates", "report",
    }  # fmt: skip
    assert outcome["stages"]["chunks"]["new"] == 3
    return command


def test_search(command: Command) -> None:
    answer = json.loads(command("search", "tells of pears", "--json").stdout)
    first = answer["results"][0]
    assert first["source_uri"] == "docs/pears.md"
    assert {"chunk_id", "document_id", "library", "title", "score", "text", "start_position", "end_position"} <= set(
        first
    )
    assert {"heading_path", "highlights", "corrected_text"} <= set(first)
    scores = [result["score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    for start, end in first["highlights"]:
        assert first["text"][start:end].lower() in "tells of pears"


def test_many_queries_are_answered_in_order(command: Command) -> None:
    (command.root / "queries.jsonl").write_text('{"id": "a", "text": "apples"}\n{"id": 2, "text": "plums"}\n')
    done = command("search", "--queries", "queries.jsonl", "--mode", "keyword", "--top-k", "1", "--json")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == ["a", 2]
    assert [answer["results"][0]["source_uri"] for answer in answers] == ["docs/apples.md", "docs/plums.md"]


def test_status_and_sql(command: Command) -> None:
    told = json.loads(command("status", "--json").stdout)["libraries"]["fruit"]
    assert (told["points"], told["rows"]["chunks"], told["retired"], told["last_run"]["status"]) == (3, 3, False, "ok")
    assert json.loads(command("sql", "SELECT count(*) AS n FROM chunks", "--json").stdout) == [{"n": 3}]
    assert "[/b]" in command("sql", 'SELECT 1 AS "[/b]"').stdout
    shown = command("status").stdout
    assert len(re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", shown)) == 2, "the last change and the last listing"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "frut"), "fruit"),
        (("plan", "nothing"), "nothing"),
        (("search", "x", "--library", "nothing"), "no library"),
        (("search", "x", "--filter", "colour=red"), "doc_type"),
        (("search", "  "), "empty"),
        (("search",), "QUERY"),
        (("sql", "DELETE FROM chunks"), "read-only"),
        (("sql", "SELEC 1"), "syntax"),
        (("sql", "COPY chunks TO 'chunks.csv'"), "file system operations are disabled"),
        (("sql", "SELECT * FROM read_text('catalog.yaml')"), "file system operations are disabled"),
        (("forget", "nothing"), "nothing"),
        (("run", "--accept-deletes"), "names"),
        (("nonsense",), "nonsense"),
    ],
)
def test_a_wrong_call_is_status_2_and_a_sentence(command: Command, words: tuple[str, ...], said: str) -> None:
    done = command(*words)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_catalog_commands(command: Command) -> None:
    assert json.loads(command("catalog", "schema").stdout)["$schema"].startswith("https://json-schema.org")
    checked = command("catalog", "check")
    assert checked.returncode == 0
    assert "1 library (fruit)" in checked.stdout
    good = (command.root / "catalog.yaml").read_text()
    try:
        command.catalog(
            {"fruit": {"source": {"type": "files", "path": "docs"}, "chunking": {"strategy": "structured"}}}
        )
        done = command("run")
        assert done.returncode == 2
        assert "structure" in done.stderr
        assert json.loads(command("catalog", "check", "--json").stdout)["ok"] is False
    finally:
        (command.root / "catalog.yaml").write_text(good)


def test_a_missing_folder_is_status_1_and_a_retired_library_can_be_forgotten(tmp_path: Path) -> None:
    command = Command(tmp_path)
    assert command("run").returncode == 0
    (tmp_path / "docs").rename(tmp_path / "away")
    done = command("run", "--json")
    assert done.returncode == 1
    assert "Nothing was deleted" in done.stderr
    command.catalog({"other": {"source": {"type": "files", "path": "away"}}})
    assert json.loads(command("status", "--json").stdout)["libraries"]["fruit"]["retired"] is True
    assert json.loads(command("search", "pears", "--json").stdout)["results"]
    assert command("forget", "fruit").returncode == 0
    assert json.loads(command("sql", "SELECT count(*) AS n FROM chunks", "--json").stdout) == [{"n": 0}]
    assert not list((tmp_path / ".dataflow" / "documents").glob("??/??*"))
