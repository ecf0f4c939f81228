"""`search_index`: the published index."""

from typing import Any

import dagster as dg

from dataflow_assets.assets.declaration import Rule, checks_of, describe_asking, library_asset, materialize
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.flow.publish import generation_of, publish
from dataflow_assets.records import IndexedChunk
from dataflow_assets.resources import Workspace
from dataflow_assets.warehouse.changes import Changes
from dataflow_assets.warehouse.io_manager import Rows


@library_asset(IndexedChunk, ["qdrant"])
def search_index(
    workspace: Workspace, validated_documents: Rows, chunks: Rows, corrections: Rows, embeddings: Rows
) -> dg.MaterializeResult[Changes]:
    """The points of the published index, one for each chunk: a dense vector and a BM25 vector, with all that a result says.

    Searches answer from the last whole state and see nothing of a run until it is published at once. A chunk that merely
    moved within its document gets a new payload, not a new vector. Another model, dimension, chunker or prompt makes a new
    generation beside the one in use, which takes over when it covers the library and passes the gate.
    """
    return materialize(workspace, "search_index", publish, _metadata)


def _metadata(changes: Changes) -> dict[str, Any]:
    told: dict[str, Any] = {
        name: changes.details[name] for name in ("withheld", "took_over") if name in changes.details
    }
    measured = changes.details.get("evaluation")
    if measured is not None:
        told |= {name: float(measured[name]) for name in ("recall", "mrr", "ndcg")}
        told["questions"] = int(measured["questions"])
        told["questions_are"] = measured["kind"]
        if measured.get("note"):
            told["questions_note"] = measured["note"]
    return told | describe_asking(changes)


def _points_published(run: LibraryRun) -> str | None:
    published = run.index.generations(run.partition).get(generation_of(run).name)
    with run.warehouse.reading() as connection:
        found = connection.execute(f"SELECT count(*) FROM chunks WHERE {run.scope.where()}").fetchone()
    wanted, points = int(found[0]) if found else 0, published.points if published else 0
    return None if wanted == points else f"{points} points are published for {wanted} chunks."


def _in_use(run: LibraryRun) -> str | None:
    withheld: str | None = run.details.get("search_index", {}).get("withheld")
    return withheld


search_index_checks = checks_of(
    "search_index",
    [
        Rule(
            "every_chunk_is_a_point",
            "Every chunk has exactly one row here.",
            lambda run: (
                "SELECT coalesce(c.chunk_id, i.chunk_id) FROM "
                f"(SELECT chunk_id FROM chunks WHERE {run.scope.where()}) c FULL JOIN "
                f"(SELECT chunk_id FROM search_index WHERE {run.scope.where()}) i USING (chunk_id) "
                "WHERE c.chunk_id IS NULL OR i.chunk_id IS NULL"
            ),
        ),
    ],
    {
        "as_many_points_as_chunks": ("The generation has as many points as there are chunks.", _points_published),
        "generation_in_use": (
            "Searches read the generation that the settings ask for: it covers the library and passed the gate.",
            _in_use,
        ),
    },
)
