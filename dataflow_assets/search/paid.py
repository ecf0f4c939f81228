"""Whom a search asks that costs money: embedders of questions, and rerankers, on the account of the library they serve.

What belongs here: putting model, ledger, pace and budget together for questions. What does not: asking (`models`), and what
becomes of an answer (`searcher`). A question that was asked before costs nothing: the ledger has the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow_assets.errors import ConfigurationError, CredentialError, ModelError

if TYPE_CHECKING:
    from dataflow_assets.models.base import Embedder
    from dataflow_assets.settings import LibrarySettings

RERANK_SECONDS = 10.0
"""A person waits: what takes longer is reranked here."""
RERANK_CHARACTERS = 16_000
"""Of each text so much is sent."""


def embedder_of(description: Mapping[str, Any], settings: Mapping[str, LibrarySettings], home: Path) -> Embedder:
    """Give what embeds questions for an index.

    Args:
        description: What the index says of itself.
        settings: The libraries of the catalog.
        home: The home.

    Raises:
        ConfigurationError: The index was made by a model that is not here, or one whose key is missing.
    """
    if description.get("embedding_model", "local") != "local":
        return _paid_embedder(description, settings, home)
    from dataflow_assets.models.wordllama import WordLlamaEmbedder

    embedder = WordLlamaEmbedder(int(description["dimension"]))
    if description.get("model_name") != embedder.name:
        raise ConfigurationError(
            f"The index was made with {description.get('model_name')}, and this installation has {embedder.name}. "
            "Run the library again."
        )
    return embedder


def _paid_embedder(description: Mapping[str, Any], settings: Mapping[str, LibrarySettings], home: Path) -> Embedder:
    """Give what embeds questions for an index that a paid model made: its own model, or one of the same space."""
    from dataflow_assets.flow.paid import credential_problem, paid_embedder
    from dataflow_assets.models.question import Tally
    from dataflow_assets.settings import EmbeddingSettings, LibrarySettings
    from dataflow_assets.source_settings import FilesSource

    name = str(description.get("library", ""))
    mine = settings.get(name) or LibrarySettings(source=FilesSource(path="."))
    made_by = EmbeddingSettings(
        model=description["embedding_model"],
        dimension=int(description["dimension"]),
        query_model=description.get("query_model"),
        timeout_seconds=mine.embeddings.timeout_seconds,
        retries=1,
    )
    problem = credential_problem(made_by.query_model or made_by.model)
    if problem is not None:
        raise CredentialError(problem)
    return paid_embedder(home, name, mine.model_copy(update={"embeddings": made_by}), run_id="", tally=Tally())


class PaidReranker:
    """Reranks the results of one library with a model of Voyage's.

    Args:
        home: The home.
        library: Who pays.
        settings: Its settings; `search.rerank` names the model.
    """

    def __init__(self, home: Path, library: str, settings: LibrarySettings) -> None:
        self._home = home
        self._library = library
        self._settings = settings

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """Give how well texts answer a question, 0 to 1.

        Raises:
            CredentialError: There is no key, or the service does not accept it.
            ModelError: Not every text has a score: the budget is reached, or the service gives no answer.
        """
        from dataflow_assets.flow.paid import budget_of, credential_problem, open_ledger, price_of
        from dataflow_assets.known_models import VOYAGE_REQUESTS_PER_MINUTE
        from dataflow_assets.models.asking import Asking
        from dataflow_assets.models.pace import Pace
        from dataflow_assets.models.question import Account, Manners
        from dataflow_assets.models.rankings import RankingQuestion, score_of
        from dataflow_assets.models.voyage import VoyageReranker

        name = self._settings.search.rerank
        problem = credential_problem(name)
        if problem is not None:
            raise CredentialError(problem)
        ledger = open_ledger(self._home)
        model = VoyageReranker(name, timeout_seconds=RERANK_SECONDS)
        question = RankingQuestion(
            model,
            query,
            learned=ledger.learned(model.provider, name, RankingQuestion.stage),
            price=price_of(model.provider, name, self._settings.prices),
        )
        asking: Asking[int] = Asking(
            question,
            ledger=ledger,
            pace=Pace(self._home / "locks", f"{model.provider} {name}", base_requests=VOYAGE_REQUESTS_PER_MINUTE),
            account=Account(self._library, "", budget_of(self._library, self._settings)),
            manners=Manners(concurrency=1, max_concurrency=4, retries=1, timeout_seconds=RERANK_SECONDS),
        )
        scores: dict[int, float] = {}
        reason = "no answer"
        for place, outcome in asking.run((n, text[:RERANK_CHARACTERS]) for n, text in enumerate(texts)):
            if outcome.status == "answered":
                scores[place] = score_of(outcome.payload)
            else:
                reason = outcome.reason or reason
        if len(scores) < len(texts):
            raise ModelError(reason)
        return [scores[n] for n in range(len(texts))]
