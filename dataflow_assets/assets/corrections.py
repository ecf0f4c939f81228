"""`corrections`: the mended text of the chunks."""

import dagster as dg

from dataflow_assets.assets.declaration import Rule, checks_of, describe_asking, library_asset, materialize
from dataflow_assets.flow.steps import CORRECTIONS, run_step
from dataflow_assets.records import Correction
from dataflow_assets.resources import Workspace
from dataflow_assets.warehouse.changes import Changes
from dataflow_assets.warehouse.io_manager import Rows


@library_asset(Correction)
def corrections(workspace: Workspace, chunks: Rows) -> dg.MaterializeResult[Changes]:
    """One row for each chunk: its mended text, or why it stays as it is.

    A correction may mend text; the guard refuses one that changes a number, a name, code, a link or the meaning. The
    original stands in `chunks` either way.
    """
    return materialize(workspace, "corrections", lambda run: run_step(run, CORRECTIONS), describe_asking)


corrections_checks = checks_of(
    "corrections",
    [
        Rule(
            "one_row_per_chunk",
            "Every chunk has exactly one row here, with a text where it is corrected and nowhere else.",
            lambda run: (
                "SELECT c.chunk_id FROM chunks c LEFT JOIN corrections x USING (chunk_id) "
                f"WHERE {run.scope.where('c')} GROUP BY 1 HAVING count(x.chunk_id) <> 1 "
                "OR bool_or((x.status = 'corrected') <> (x.corrected_text IS NOT NULL))"
            ),
            blocking=True,
        ),
        Rule(
            "nothing_failed",
            "No correction failed for a reason that may pass; the next run asks again.",
            lambda run: f"SELECT chunk_id FROM corrections WHERE {run.scope.where()} AND status = 'failed'",
        ),
    ],
)
