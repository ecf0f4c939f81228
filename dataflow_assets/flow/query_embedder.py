"""Who embeds questions for an index: the model that made it, or one of the same space.

What belongs here: from what an index says of itself to an embedder, for those who search and for the gate alike. What does not:
asking (`models`), and what becomes of a question without a vector. A question that was asked before costs nothing: the ledger
has the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow_assets.errors import ConfigurationError, CredentialError

if TYPE_CHECKING:
    from dataflow_assets.models.base import Embedder
    from dataflow_assets.settings import LibrarySettings


def query_embedder(
    description: Mapping[str, Any],
    library: str,
    settings: LibrarySettings | None,
    home: Path,
    *,
    run_id: str = "",
    retries: int | None = None,
) -> Embedder:
    """Give what embeds questions for an index.

    Args:
        description: What the index says of itself.
        library: Who pays.
        settings: Its settings: manners, limits, prices; None for a library that left the catalog.
        home: The home.
        run_id: Dagster's run; empty outside one.
        retries: Further tries of a call that failed in passing, where the library's own number does not fit.

    Raises:
        ConfigurationError: The index was made by a model that is not here, or one whose key is missing.
    """
    if description.get("embedding_model", "local") == "local":
        from dataflow_assets.models.wordllama import WordLlamaEmbedder

        embedder = WordLlamaEmbedder(int(description["dimension"]))
        if description.get("model_name") != embedder.name:
            raise ConfigurationError(
                f"The index was made with {description.get('model_name')}, and this installation has {embedder.name}. "
                "Run the library again."
            )
        return embedder
    from dataflow_assets.flow.paid import credential_problem, paid_embedder
    from dataflow_assets.models.question import Tally
    from dataflow_assets.settings import LibrarySettings
    from dataflow_assets.source_settings import FilesSource

    mine = settings or LibrarySettings(source=FilesSource(path="."))
    changed: dict[str, Any] = {
        "model": description["embedding_model"],
        "dimension": int(description["dimension"]),
        "query_model": description.get("query_model"),
    }
    if retries is not None:
        changed["retries"] = retries
    made_by = mine.embeddings.model_copy(update=changed)
    problem = credential_problem(made_by.query_model or made_by.model)
    if problem is not None:
        raise CredentialError(problem)
    return paid_embedder(home, library, mine.model_copy(update={"embeddings": made_by}), run_id=run_id, tally=Tally())
