"""`raw_documents`: what the source lists, and the bytes of it."""

from typing import Any

import dagster as dg

from dataflow_assets.assets.declaration import Rule, checks_of, library_asset, materialize
from dataflow_assets.flow.ingest import ingest
from dataflow_assets.flow.library_run import LibraryRun, nothing_deleted, withheld_message
from dataflow_assets.records import RawDocument
from dataflow_assets.resources import Workspace
from dataflow_assets.warehouse.changes import Changes


class IngestConfig(dg.Config):
    """What a person may say to one run."""

    accept_deletes: bool = False
    """Agree to a delete that is larger than the library's limits."""


@library_asset(RawDocument, ["file"])
def raw_documents(workspace: Workspace, config: IngestConfig) -> dg.MaterializeResult[Changes]:
    """One row for each item that the library's source lists; its bytes lie in the document store.

    The source is listed in every run, and only what is new or has another fingerprint is fetched. What left the source
    leaves the library. When that is much at once the deletes are withheld until a person agrees, and a source that cannot
    be listed deletes nothing.
    """
    workspace.run.accept_deletes = config.accept_deletes
    return materialize(workspace, "raw_documents", ingest, _metadata)


def _metadata(changes: Changes) -> dict[str, Any]:
    told: dict[str, Any] = {"withheld_deletes": changes.details.get("withheld_deletes", 0)}
    if "unavailable" in changes.details:
        told["unavailable"] = changes.details["unavailable"]
    if "failures" in changes.details:
        told["not_fetched"] = dg.MetadataValue.json(dict(list(changes.details["failures"].items())[:50]))
    return told


def _unavailable(run: LibraryRun) -> str | None:
    said = run.details.get("raw_documents", {}).get("unavailable")
    return nothing_deleted(said) if said else None


def _withheld(run: LibraryRun) -> str | None:
    count = run.details.get("raw_documents", {}).get("withheld_deletes", 0)
    return withheld_message(run.library, count) if count else None


def _not_fetched(run: LibraryRun) -> str | None:
    failures = run.details.get("raw_documents", {}).get("failures", {})
    return f"{len(failures)} items: {next(iter(failures.values()))}" if failures else None


raw_documents_checks = checks_of(
    "raw_documents",
    [
        Rule(
            "one_row_per_item",
            "No item of the source has two rows.",
            lambda run: (
                f"SELECT document_id FROM raw_documents WHERE {run.scope.where()} GROUP BY 1 HAVING count(*) > 1"
            ),
            blocking=True,
        ),
    ],
    {
        "source_listed": ("The source could be listed.", _unavailable),
        "deletes_agreed": ("No delete waits for a person's agreement.", _withheld),
        "everything_fetched": ("Every item that had to be fetched could be.", _not_fetched),
    },
)
