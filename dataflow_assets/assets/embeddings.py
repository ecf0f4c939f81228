"""`embeddings`: vectors of the texts that are searched."""

import dagster as dg

from dataflow_assets.assets.declaration import Rule, changed, checks_of, describe_asking, library_asset, materialize
from dataflow_assets.flow.steps import EMBEDDINGS, run_step
from dataflow_assets.records import Embedding
from dataflow_assets.resources import Workspace
from dataflow_assets.warehouse.changes import Changes
from dataflow_assets.warehouse.io_manager import Rows


@library_asset(Embedding, ["ai"])
def embeddings(workspace: Workspace, chunks: Rows, corrections: Rows) -> dg.MaterializeResult[Changes]:
    """One row for each chunk: a vector of its text, the corrected one where there is one.

    A text that has a vector of the same model anywhere in the home is not embedded again.
    """
    return materialize(workspace, "embeddings", lambda run: run_step(run, EMBEDDINGS), describe_asking)


embeddings_checks = checks_of(
    "embeddings",
    [
        Rule(
            "one_row_per_chunk",
            "Every chunk has exactly one row here, with a vector where it is embedded and nowhere else.",
            lambda run: (
                "SELECT c.chunk_id FROM chunks c LEFT JOIN embeddings e USING (chunk_id) "
                f"WHERE {run.scope.where('c')} GROUP BY 1 HAVING count(e.chunk_id) <> 1 "
                "OR bool_or((e.status = 'embedded') <> (e.vector IS NOT NULL))"
            ),
            blocking=True,
        ),
        Rule(
            "sound_vectors",
            "Every vector has the dimension that its row says, is finite, and has a norm between 0.1 and 10 (rows of this run).",
            lambda run: (
                f"SELECT chunk_id FROM embeddings WHERE {changed(run)} AND vector IS NOT NULL AND (len(vector) <> dimension "
                "OR NOT isfinite(list_sum(vector)) OR sqrt(list_inner_product(vector, vector)) NOT BETWEEN 0.1 AND 10)"
            ),
            blocking=True,
        ),
        Rule(
            "nothing_failed",
            "No embedding failed or was refused.",
            lambda run: f"SELECT chunk_id FROM embeddings WHERE {run.scope.where()} AND status <> 'embedded'",
        ),
    ],
)
