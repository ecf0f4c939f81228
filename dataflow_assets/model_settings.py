"""The settings of what models are asked for: corrections and embeddings, how they are asked, and what that may cost.

What belongs here: the stages whose work a model does, paid or built in, with the budgets and prices of the paid ones. What does
not: the rest of a library's settings (`settings`), what is known of models (`known_models`), and anything that acts.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from dataflow_assets.known_models import CLAUDE_MODELS, VOYAGE_MODELS, provider_of
from dataflow_assets.settings_base import DocType, Settings, conflict, unusable


class CorrectionSettings(Settings):
    """Who corrects the text, which texts, and how far a correction may go."""

    model: Annotated[str, Field(min_length=1)] = Field(
        "none",
        description="`none`, `local` for the built-in spelling corrector, a Claude model such as claude-haiku-5-5, or "
        "provider:model for another one.",
    )
    max_change: Annotated[float, Field(gt=0, le=1)] = Field(
        0.2, description="A correction that changes a larger share of a chunk's characters is refused."
    )
    prompt: Literal["v1"] = Field("v1", description="The version of the prompt that a language model gets.")
    glossary: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        (), max_length=500, description="Names and terms that must stay as they are written."
    )
    languages: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...] = Field(
        (), description="ISO 639 codes: only documents in these languages are corrected; all if left out."
    )
    doc_types: tuple[DocType, ...] = Field(
        (), description="Only documents of these types are corrected; all if left out."
    )
    roles: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        (),
        description="Only what was said in these roles, such as user, is corrected; all texts, also those that nobody said, "
        "if left out.",
    )
    include: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="Only documents whose address matches one of these patterns (* and ?) are corrected."
    )
    exclude: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="Documents whose address matches one of these patterns are not corrected."
    )
    batch_size: Annotated[int, Field(ge=1, le=200)] = Field(
        15,
        description="Texts of ordinary length in one call of a language model; up to four times as many short ones, and "
        "fewer long ones.",
    )
    context_tokens: Annotated[int, Field(ge=256, le=100_000)] = Field(
        8192, description="Tokens of text that one call holds; a longer text is asked about in parts."
    )
    lane: Literal["direct", "batch"] = Field(
        "direct", description="`batch` sends texts through the provider's cheap lane: half the price, within a day."
    )
    deadline_seconds: Annotated[int, Field(ge=0)] = Field(
        86_400, description="A batch that has no results after this long is given up; its texts go the direct way."
    )
    concurrency: Annotated[int, Field(ge=1, le=256)] = Field(
        5, description="Calls at once to begin with; more while the service allows it, fewer where it does not."
    )
    max_concurrency: Annotated[int, Field(ge=1, le=512)] = Field(64, description="Calls at once at most.")
    retries: Annotated[int, Field(ge=0, le=20)] = Field(
        3, description="Further tries of a call that failed in passing."
    )
    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(30.0, description="How long one call may take.")
    requests_per_minute: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Calls a minute that all runs of a home make together; what the service allows if left out."
    )
    tokens_per_minute: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Tokens sent a minute by all runs of a home together; what the service allows if left out."
    )

    @field_validator("model")
    @classmethod
    def _model_is_known(cls, model: str) -> str:
        if model not in ("none", "local") and (provider_of(model) in (None, "voyage")):
            close = difflib.get_close_matches(model, ("none", "local", *CLAUDE_MODELS), n=1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            raise unusable(
                f"none, local, one of {', '.join(CLAUDE_MODELS)}, or provider:model for another provider{meant}"
            )
        return model

    @model_validator(mode="after")
    def _lane_is_there(self) -> CorrectionSettings:
        if self.lane == "batch" and provider_of(self.model) != "anthropic":
            raise conflict("direct: only Claude models have a cheap lane", "lane", "model")
        return self

    @model_validator(mode="after")
    def _concurrency_leaves_room(self) -> CorrectionSettings:
        if self.concurrency > self.max_concurrency:
            raise conflict(f"at most max_concurrency ({self.max_concurrency})", "concurrency", "max_concurrency")
        return self

    @property
    def deciding(self) -> dict[str, Any]:
        """What decides a correction's result; how it is asked for is not among it."""
        names = {"model", "max_change", "prompt", "glossary", "languages", "doc_types", "roles", "include", "exclude"}
        return self.model_dump(mode="json", include=names)

    @property
    def selective(self) -> bool:
        """Whether some documents, or some messages, may be left out."""
        return bool(self.languages or self.doc_types or self.roles or self.include or self.exclude)

    @property
    def paid(self) -> bool:
        """Whether corrections cost money."""
        return self.model not in ("none", "local")


LOCAL_DIMENSIONS: tuple[int, ...] = (256, 128, 64)


class EmbeddingSettings(Settings):
    """Which vectors are made."""

    model: Annotated[str, Field(min_length=1)] = Field(
        "local",
        description="`local` for the built-in static embeddings, a Voyage model such as voyage-code-3, or provider:model "
        "for another one.",
    )
    dimension: Annotated[int, Field(ge=1, le=8192)] | None = Field(
        None, description="Length of the vectors; 256 for `local`, 2048 for voyage-code-3, the model's own otherwise."
    )
    query_model: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="The model for questions, where one of the same space is cheaper: voyage-4-lite beside voyage-4-large.",
    )
    batch_size: Annotated[int, Field(ge=1, le=1000)] = Field(
        1000, description="Texts of one call at most; the tokens that a call takes bound it too."
    )
    concurrency: Annotated[int, Field(ge=1, le=64)] = Field(
        5, description="Calls at once to begin with; more while the service allows it, fewer where it does not."
    )
    max_concurrency: Annotated[int, Field(ge=1, le=64)] = Field(
        8, description="Calls at once at most; an answer with 1,000 vectors takes some 15 MB while it is read."
    )
    retries: Annotated[int, Field(ge=0, le=20)] = Field(
        3, description="Further tries of a call that failed in passing."
    )
    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(60.0, description="How long one call may take.")
    requests_per_minute: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Calls a minute that all runs of a home make together; the service's base tier if left out."
    )
    tokens_per_minute: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Tokens sent a minute by all runs of a home together; the service's base tier if left out."
    )

    @field_validator("model")
    @classmethod
    def _model_is_known(cls, model: str) -> str:
        if model != "local" and model not in VOYAGE_MODELS and (":" not in model or provider_of(model) is None):
            close = difflib.get_close_matches(model, ("local", *VOYAGE_MODELS), n=1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            raise unusable(f"local, one of {', '.join(VOYAGE_MODELS)}, or provider:model for another provider{meant}")
        return model

    @model_validator(mode="after")
    def _dimension_is_one_of_the_models(self) -> EmbeddingSettings:
        known = LOCAL_DIMENSIONS if self.model == "local" else ()
        known = VOYAGE_MODELS[self.model].dimensions if self.model in VOYAGE_MODELS else known
        if self.dimension is None and not known:
            raise conflict("this model with a dimension beside it: say how long its vectors are", "model")
        if self.dimension is not None and known and self.dimension not in known:
            listed = ("one of " if len(known) > 1 else "") + ", ".join(map(str, sorted(known)))
            raise conflict(f"{listed} with the model {self.model}", "dimension", "model")
        return self

    @model_validator(mode="after")
    def _query_model_shares_the_space(self) -> EmbeddingSettings:
        if self.query_model is not None:
            space = VOYAGE_MODELS[self.model].space if self.model in VOYAGE_MODELS else None
            shared = [name for name, limits in VOYAGE_MODELS.items() if limits.space == space]
            if self.query_model not in shared:
                listed = ("one of " if len(shared) > 1 else "") + (", ".join(shared) or "nothing")
                raise conflict(
                    f"{listed} with the model {self.model}{'' if shared else ': leave it out'}", "query_model", "model"
                )
        return self

    @model_validator(mode="after")
    def _concurrency_leaves_room(self) -> EmbeddingSettings:
        if self.concurrency > self.max_concurrency:
            raise conflict(f"at most max_concurrency ({self.max_concurrency})", "concurrency", "max_concurrency")
        return self

    @property
    def length(self) -> int:
        """The length of the vectors in force."""
        if self.dimension is not None:
            return self.dimension
        return VOYAGE_MODELS[self.model].dimensions[0] if self.model in VOYAGE_MODELS else LOCAL_DIMENSIONS[0]

    @property
    def paid(self) -> bool:
        """Whether embeddings cost money."""
        return self.model != "local"


class LimitSettings(Settings):
    """What a library may cost."""

    budget_usd: Annotated[float, Field(ge=0)] | None = Field(None, description="For the library's whole life.")
    monthly_budget_usd: Annotated[float, Field(ge=0)] | None = Field(None, description="For a calendar month.")


class PriceSettings(Settings):
    """What a model costs, in US dollars for a million tokens."""

    input: Annotated[float, Field(ge=0)] = Field(description="Tokens sent.")
    output: Annotated[float, Field(ge=0)] = Field(0.0, description="Tokens answered.")
    cache_read: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Tokens read from the prompt cache; a tenth of input if left out."
    )
    cache_write: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Tokens written to the prompt cache; 1.25 times input if left out."
    )
    batch: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Share of these prices that the cheap lane costs."
    )
