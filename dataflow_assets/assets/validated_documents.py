"""`validated_documents`: every document's text, and the verdict on it."""

import dagster as dg

from dataflow_assets.assets.declaration import Rule, checks_of, describe_asking, library_asset, materialize
from dataflow_assets.flow.steps import VALIDATED_DOCUMENTS, run_step
from dataflow_assets.records import ValidatedDocument
from dataflow_assets.resources import Workspace
from dataflow_assets.warehouse.changes import Changes
from dataflow_assets.warehouse.io_manager import Rows


@library_asset(ValidatedDocument)
def validated_documents(workspace: Workspace, raw_documents: Rows) -> dg.MaterializeResult[Changes]:
    """One row for each raw document, in exactly one state: `valid`, `rejected` or `duplicate`, with a reason where not valid.

    The bytes are decoded and read, the text is held against the document validators, and of documents with the same text
    one stays. Rejected rows stand here for a person to see, and nothing further down is made of them.
    """
    return materialize(
        workspace, "validated_documents", lambda run: run_step(run, VALIDATED_DOCUMENTS), describe_asking
    )


validated_documents_checks = checks_of(
    "validated_documents",
    [
        Rule(
            "one_state_each",
            "Every raw document has exactly one row here, with a reason where it is not valid.",
            lambda run: (
                f"SELECT r.document_id FROM raw_documents r LEFT JOIN validated_documents v USING (document_id) "
                f"WHERE {run.scope.where('r')} GROUP BY 1 HAVING count(v.document_id) <> 1 "
                "OR bool_or(v.status <> 'valid' AND coalesce(v.reason, '') = '')"
            ),
            blocking=True,
        ),
        Rule(
            "nothing_rejected",
            "No document is rejected. Rejected ones are kept apart; the reason stands in the row.",
            lambda run: f"SELECT uri FROM validated_documents WHERE {run.scope.where()} AND status = 'rejected'",
        ),
    ],
)
