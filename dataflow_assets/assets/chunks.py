"""`chunks`: the spans that are corrected, embedded and searched."""

import dagster as dg

from dataflow_assets.assets.declaration import Rule, changed, checks_of, library_asset, materialize
from dataflow_assets.flow.steps import CHUNKS, run_step
from dataflow_assets.records import Chunk
from dataflow_assets.resources import Workspace
from dataflow_assets.warehouse.changes import Changes
from dataflow_assets.warehouse.io_manager import Rows


@library_asset(Chunk)
def chunks(workspace: Workspace, validated_documents: Rows) -> dg.MaterializeResult[Changes]:
    """The spans that valid documents are cut into, each exactly `document.text[start_position:end_position]`.

    A chunk's id follows its own text, never its position: an edit near the top of a page does not rename what follows, and
    costs only the chunks that it touches.
    """
    return materialize(workspace, "chunks", lambda run: run_step(run, CHUNKS))


chunks_checks = checks_of(
    "chunks",
    [
        Rule(
            "exact_spans",
            "The text of every chunk is the document's text between its positions (rows of this run).",
            lambda run: (
                "SELECT c.chunk_id FROM chunks c JOIN validated_documents v USING (document_id) "
                f"WHERE {changed(run, 'c')} AND (c.character_count <> c.end_position - c.start_position "
                "OR c.text IS DISTINCT FROM substring(v.text, c.start_position + 1, c.character_count))"
            ),
            blocking=True,
        ),
        Rule(
            "every_valid_document_is_cut",
            "Every valid document has chunks, numbered from 0 without a gap, and no chunk is there twice.",
            lambda run: (
                "SELECT v.document_id FROM validated_documents v LEFT JOIN chunks c USING (document_id) "
                f"WHERE {run.scope.where('v')} AND v.status = 'valid' GROUP BY 1 "
                "HAVING count(DISTINCT c.chunk_id) <> coalesce(max(c.total_chunks), -1) "
                "OR min(c.chunk_index) <> 0 OR max(c.chunk_index) <> max(c.total_chunks) - 1"
            ),
            blocking=True,
        ),
        Rule(
            "within_max_tokens",
            "No chunk has more tokens than the library allows.",
            lambda run: (
                f"SELECT chunk_id FROM chunks WHERE {changed(run)} AND token_count > {run.settings.chunking.max_tokens}"
            ),
        ),
    ],
)
