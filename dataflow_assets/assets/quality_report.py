"""`quality_report`: what the run made, for a person to judge."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from dataflow_assets.assets.declaration import Rule, checks_of, library_asset, materialize
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.flow.report import report
from dataflow_assets.records import QualityReport
from dataflow_assets.resources import Workspace
from dataflow_assets.warehouse.changes import Changes, literal
from dataflow_assets.warehouse.io_manager import Rows


@library_asset(QualityReport, ["html"])
def quality_report(
    workspace: Workspace, validated_documents: Rows, corrections: Rows, embeddings: Rows, search_index: Rows
) -> dg.MaterializeResult[Changes]:
    """The library's quality in one HTML file and one row: the funnel, what was rejected and why, distributions, cost.

    Made only when something changed since the last one.
    """
    return materialize(workspace, "quality_reports", report, _metadata)


def _metadata(changes: Changes) -> dict[str, Any]:
    told: dict[str, Any] = dict(changes.details.get("headline", {}))
    if "summary" in changes.details:
        told["summary"] = dg.MetadataValue.md(changes.details["summary"])
        told["report"] = dg.MetadataValue.path(changes.details["report"])
    return told


GOOD_ENOUGH = 0.5


def _newest(columns: str, where: str = "true") -> Callable[[LibraryRun], str]:
    """Give the SQL of columns of the library's newest report, where it is like that."""
    return lambda run: (
        f"SELECT {columns} FROM (SELECT * FROM quality_reports WHERE library = {literal(run.library)} "
        f"ORDER BY generated_at DESC LIMIT 1) WHERE {where}"
    )


quality_report_checks = checks_of(
    "quality_report",
    [
        Rule(
            "good_enough",
            f"The library's overall score is at least {GOOD_ENOUGH}.",
            _newest("run_id", f"documents > 0 AND overall_score < {GOOD_ENOUGH}"),
            figures=_newest(f"round(overall_score, 4) AS overall_score, {GOOD_ENOUGH}::DOUBLE AS threshold"),
        ),
    ],
)
