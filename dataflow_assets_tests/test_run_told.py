"""What a run tells a person of the documents that are not searched, and where it says why."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from dataflow_assets.command_run import print_outcome, run_libraries
from dataflow_assets_tests.conftest import Project


def test_rejected_documents_and_duplicates_are_told_with_the_report(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATAFLOW_HOME", str(project.home))
    monkeypatch.setenv("DATAFLOW_CATALOG", str(project.catalog_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.chdir(tmp_path)
    project.page("one", "one")

    def run() -> tuple[dict[str, object], list[str]]:
        answer = run_libraries(project.load(), [], jobs=1, accept_deletes=False, show=False)
        capsys.readouterr()
        print_outcome(answer)
        told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("docs:")]
        return answer["libraries"]["docs"], told

    def report() -> str:
        return max(str(path.relative_to(tmp_path)) for path in (project.home / "reports" / "docs").glob("*.html"))

    outcome, told = run()
    assert (outcome["documents"], outcome["rejected"], outcome["duplicates"]) == (1, 0, 0)
    assert told == [f"docs: the report is {report()}"]
    assert run()[1] == []

    project.page("two", "one").write_text((project.docs / "one.md").read_text())
    (project.docs / "empty.md").write_text("")
    outcome, told = run()
    assert (outcome["documents"], outcome["rejected"], outcome["duplicates"]) == (3, 1, 1)
    assert outcome["report"] == str(tmp_path / report())
    assert told == [f"docs: 1 of 3 documents rejected, 1 duplicate. The report says why: {report()}"]
    assert run()[1] == told


def test_the_check_of_the_score_says_the_score_and_what_it_is_held_against(project: Project) -> None:
    project.write("empty.md", "")
    project.run()
    assert project.checks["good_enough"] is False
    ((run_id,),) = project.rows("SELECT run_id FROM quality_reports")
    logs = project.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    checks = [log.dagster_event.asset_check_evaluation_data for log in logs if log.dagster_event is not None]
    (check,) = [check for check in checks if check.check_name == "good_enough"]
    assert {name: value.value for name, value in check.metadata.items()} == {
        "rows": 1, "overall_score": 0.0, "threshold": 0.5,
    }  # fmt: skip
