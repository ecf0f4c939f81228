"""Whom a search asks that costs money: embedders of questions, and rerankers, on the account of the library they serve.

What belongs here: putting model, ledger, pace and budget together for questions. What does not: asking (`models`), and what
becomes of an answer (`searcher`). A question that was asked before costs nothing: the ledger has the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow_assets.errors import CredentialError, ModelError

if TYPE_CHECKING:
    from dataflow_assets.models.base import Embedder
    from dataflow_assets.settings import LibrarySettings

EMBED_RETRIES = 1
"""A person waits: without a vector, words have to do."""
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
    from dataflow_assets.flow.query_embedder import query_embedder

    name = str(description.get("library", ""))
    return query_embedder(description, name, settings.get(name), home, retries=EMBED_RETRIES)


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
