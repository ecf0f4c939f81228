"""From a library's settings to the paid models behind them: who is asked, from which account, at which pace.

What belongs here: putting models, ledger, pace, prices and budgets together, and what can be said about them before anything
is asked: a key that is missing, a price that nobody knows. What does not: asking (`models`), and what is asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from dataflow_assets.errors import CredentialError, PriceUnknown
from dataflow_assets.known_models import VOYAGE_MODELS, VOYAGE_REQUESTS_PER_MINUTE, provider_of
from dataflow_assets.model_settings import CorrectionSettings, EmbeddingSettings, PriceSettings
from dataflow_assets.models.asking import Asking, Tag
from dataflow_assets.models.base import Kind, LanguageModel, Usage, VectorModel
from dataflow_assets.models.editor import CorrectionQuestion, LanguageModelCorrector
from dataflow_assets.models.eyes import PageQuestion
from dataflow_assets.models.ledger import Budget, Ledger
from dataflow_assets.models.pace import Pace
from dataflow_assets.models.prices import cost_usd, price_known
from dataflow_assets.models.question import Account, Check, Manners, Parked, Tally
from dataflow_assets.models.vectors import PaidEmbedder, VectorQuestion
from dataflow_assets.settings import LibrarySettings

READS_PAGES = Manners(concurrency=5, max_concurrency=32, retries=3, timeout_seconds=120.0)
"""How pages are shown to a model: a page full of small print takes it half a minute to write down."""


@cache
def open_ledger(home: Path) -> Ledger:
    """Give the ledger of a home, one object for this process."""
    return Ledger(home)


def language_model(settings: CorrectionSettings) -> LanguageModel:
    """Give the language model that corrects; nothing is imported or opened before it is asked."""
    if provider_of(settings.model) == "anthropic":
        from dataflow_assets.models.claude import ClaudeModel

        return ClaudeModel(settings.model, timeout_seconds=settings.timeout_seconds)
    from dataflow_assets.models.pydantic_ai import OtherModel

    return OtherModel(settings.model, timeout_seconds=settings.timeout_seconds)


def vector_model(settings: EmbeddingSettings, kind: Kind) -> VectorModel:
    """Give the model that embeds texts of a kind."""
    name = settings.query_model or settings.model if kind == "query" else settings.model
    if name in VOYAGE_MODELS:
        from dataflow_assets.models.voyage import VoyageModel

        return VoyageModel(name, dimension=settings.length, timeout_seconds=settings.timeout_seconds)
    from dataflow_assets.models.pydantic_ai import OtherEmbedder

    return OtherEmbedder(name, dimension=settings.length, timeout_seconds=settings.timeout_seconds)


def credential_problem(model: str) -> str | None:
    """Say which variable is to be set so that a model can be asked; None where nothing is missing."""
    provider = provider_of(model)
    if provider is None:
        return None
    if provider == "anthropic":
        from dataflow_assets.models import claude

        return claude.credential_problem()
    if provider == "voyage":
        from dataflow_assets.models import voyage

        return voyage.credential_problem()
    from dataflow_assets.models import pydantic_ai

    return pydantic_ai.credential_problem(model)


def check_paid_models(library: str, settings: LibrarySettings) -> None:
    """Find what would stop a library's paid models, before anything starts.

    Raises:
        CredentialError: A key is missing.
        PriceUnknown: A budget is set, and a model's price is not known.
    """
    budget = settings.limits.budget_usd is not None or settings.limits.monthly_budget_usd is not None
    for section, model in paid_models(settings).items():
        problem = credential_problem(model)
        if problem is not None:
            raise CredentialError(f"{library} uses {model} ({section}), which needs a key. {problem}")
        if budget and not price_known(provider_of(model) or "", model, settings.prices):
            raise PriceUnknown(
                f"{library} has a budget, and the price of {model} ({section}) is not known. Say it in the catalog: "
                f"prices: {{{model}: {{input: ..., output: ...}}}}, in US dollars for a million tokens."
            )


def paid_models(settings: LibrarySettings) -> dict[str, str]:
    """Give a library's paid models by the setting that names them."""
    found = {}
    if settings.reading.vision is not None:
        found["reading.vision"] = settings.reading.vision
    if settings.corrections.paid:
        found["corrections.model"] = settings.corrections.model
    if settings.embeddings.paid:
        found["embeddings.model"] = settings.embeddings.model
        if settings.embeddings.query_model:
            found["embeddings.query_model"] = settings.embeddings.query_model
    return found


def budget_of(library: str, settings: LibrarySettings) -> Budget | None:
    """Give what a library may cost; None where nobody said."""
    limits = settings.limits
    if limits.budget_usd is None and limits.monthly_budget_usd is None:
        return None
    return Budget(library, limits.budget_usd, limits.monthly_budget_usd)


def price_of(
    provider: str, model: str, overrides: Mapping[str, PriceSettings], *, batch: bool = False
) -> Callable[[Usage], float | None]:
    """Give what says the price of a model's calls."""
    return lambda usage: cost_usd(provider, model, usage, batch=batch, overrides=overrides)


def correction_question(settings: LibrarySettings, ledger: Ledger, *, batch: bool = False) -> CorrectionQuestion:
    """Give the question that a library's settings ask about its texts."""
    wanted = settings.corrections
    model = language_model(wanted)
    return CorrectionQuestion(
        model,
        prompt=wanted.prompt,
        glossary=wanted.glossary,
        batch_size=wanted.batch_size,
        context_tokens=wanted.context_tokens,
        learned=ledger.learned(model.provider, model.name, CorrectionQuestion.stage),
        price=price_of(model.provider, model.name, settings.prices, batch=batch),
    )


def vector_question(settings: LibrarySettings, ledger: Ledger, kind: Kind = "document") -> VectorQuestion:
    """Give the question for the vectors of a library's texts."""
    wanted = settings.embeddings
    model = vector_model(wanted, kind)
    stage = "embeddings" if kind == "document" else "search"
    return VectorQuestion(
        model,
        kind=kind,
        batch_size=wanted.batch_size,
        learned=ledger.learned(model.provider, model.name, stage),
        price=price_of(model.provider, model.name, settings.prices),
    )


def page_question(settings: LibrarySettings, ledger: Ledger) -> PageQuestion:
    """Give the question about pages without text; the library's settings name a model for it."""
    from dataflow_assets.models.claude import ClaudeModel

    model = ClaudeModel(settings.reading.vision or "", timeout_seconds=READS_PAGES.timeout_seconds)
    return PageQuestion(
        model,
        learned=ledger.learned(model.provider, model.name, PageQuestion.stage),
        price=price_of(model.provider, model.name, settings.prices),
    )


def pace_of(home: Path, provider: str, model: str, settings: CorrectionSettings | EmbeddingSettings) -> Pace:
    """Give the pace that all processes of a home keep with a model."""
    known = VOYAGE_MODELS.get(model)
    return Pace(
        home / "locks",
        f"{provider} {model}",
        requests_per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
        base_requests=VOYAGE_REQUESTS_PER_MINUTE if known else None,
        base_tokens=known.tokens_per_minute if known else None,
    )


def manners_of(settings: CorrectionSettings | EmbeddingSettings) -> Manners:
    """Give how a stage makes its calls."""
    return Manners(settings.concurrency, settings.max_concurrency, settings.retries, settings.timeout_seconds)


def paid_corrector(
    home: Path, library: str, settings: LibrarySettings, *, run_id: str, tally: Tally, parked: Parked | None = None
) -> LanguageModelCorrector:
    """Give the corrector behind which a language model stands."""
    ledger = open_ledger(home)
    question = correction_question(settings, ledger)
    account = Account(library, run_id, budget_of(library, settings))

    def asking(check: Check) -> Asking[tuple[str, int]]:
        return Asking(
            question,
            ledger=ledger,
            pace=pace_of(home, question.provider, question.model, settings.corrections),
            account=account,
            manners=manners_of(settings.corrections),
            check=check,
            parked=parked,
            tally=tally,
        )

    return LanguageModelCorrector(question, asking, tally)


def paid_embedder(home: Path, library: str, settings: LibrarySettings, *, run_id: str, tally: Tally) -> PaidEmbedder:
    """Give the embedder behind which a paid model stands."""
    ledger = open_ledger(home)
    account = Account(library, run_id, budget_of(library, settings))

    def asking(kind: Kind) -> Asking[str]:
        question = vector_question(settings, ledger, kind)
        return Asking(
            question,
            ledger=ledger,
            pace=pace_of(home, question.provider, question.model, settings.embeddings),
            account=account,
            manners=manners_of(settings.embeddings),
            tally=tally,
        )

    return PaidEmbedder(settings.embeddings.model, settings.embeddings.length, asking, tally)


def page_asking(
    question: PageQuestion,
    home: Path,
    library: str,
    settings: LibrarySettings,
    *,
    run_id: str,
    tally: Tally,
) -> Asking[Tag]:
    """Give what shows pages to the model that reads them, while others are being drawn.

    A limit that the catalog sets on calls a minute holds for all calls of the same model.
    """
    limits = settings.corrections.model_copy(
        update={}
        if settings.corrections.model == question.model
        else {"requests_per_minute": None, "tokens_per_minute": None}
    )
    return Asking(
        question,
        ledger=open_ledger(home),
        pace=pace_of(home, question.provider, question.model, limits),
        account=Account(library, run_id, budget_of(library, settings)),
        manners=READS_PAGES,
        tally=tally,
        slow=True,
    )
