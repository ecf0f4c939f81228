"""The settings of a library: frozen, validated models, with the numbers that the product starts from.

What belongs here: one model per stage or boundary, each field with its default, its range and one sentence that the
JSON Schema and the guide repeat. What does not: reading the catalog file (`catalog`), and anything that acts.

A stage's fingerprint is a hash of its settings model (`fingerprint_of`), so a field belongs to the model of exactly the
stage whose result it decides.
"""

from __future__ import annotations

import codecs
import difflib
import hashlib
import json
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field, SerializeAsAny, field_validator, model_validator

from dataflow_assets.known_models import CLAUDE_MODELS, VOYAGE_MODELS, provider_of
from dataflow_assets.settings_base import Settings, conflict, unusable
from dataflow_assets.source_settings import SourceSettings, settings_class

LIBRARY_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""What a library may be called; partition keys and folder names are made of it."""

DocType: TypeAlias = Literal["reference", "tutorial", "guide", "example", "changelog", "message", "other"]
Severity: TypeAlias = Literal["critical", "error", "warning"]


_NO_ENCODINGS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
"""Codecs from bytes to text that are no encoding of documents."""


class ReadingSettings(Settings):
    """What is known about all documents of a library before they are read."""

    doc_type: DocType | None = Field(
        None, description="The type of every document; found document by document if left out."
    )
    tags: tuple[Annotated[str, Field(min_length=1)], ...] = Field((), description="Tags that every document gets.")
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")] | None = Field(
        None, description="ISO 639 code of every document's language; detected if left out."
    )
    encoding: str | None = Field(None, description="The encoding of every document; detected if left out.")
    main_text: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Whether only the main text of web pages is taken, without menus and advertisements; `auto` looks "
        "whether a page is an article.",
    )
    passwords: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")], ...] = Field(
        (), description="Environment variables that hold passwords of protected documents; each is tried."
    )
    ocr: Literal["none", "tesseract"] = Field(
        "none", description="Who reads pages without text: `tesseract` is a program that must be installed."
    )
    ocr_languages: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_]{3,12}$")], ...] = Field(
        ("eng",), min_length=1, description="Tesseract's names of the languages on these pages."
    )
    vision: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="A model that reads pages without text, such as claude-haiku-5-5; paid, within the budget."
    )
    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] | None = Field(
        None, description="A document whose parsing takes longer is rejected; 20 if left out, 600 with OCR."
    )
    memory_mb: Annotated[int, Field(ge=64)] = Field(
        400, description="A document whose parsing takes more memory is rejected."
    )

    @property
    def timeout(self) -> float:
        """How long parsing one document may take, in seconds. OCR takes up to some seconds a page."""
        return self.timeout_seconds or (20.0 if self.ocr == "none" else 600.0)

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, encoding: str | None) -> str | None:
        if encoding is not None:
            try:
                codec = codecs.lookup(encoding)
            except (LookupError, ValueError):
                codec = None
            if codec is None or codec.name in _NO_ENCODINGS or not getattr(codec, "_is_text_encoding", True):
                raise unusable("the name of a text encoding, such as utf-8, latin-1, cp1252 or euc-kr")
        return encoding

    @field_validator("vision")
    @classmethod
    def _vision_has_eyes(cls, vision: str | None) -> str | None:
        if vision is not None and provider_of(vision) != "anthropic":
            close = difflib.get_close_matches(vision, CLAUDE_MODELS, n=1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            raise unusable(
                f"nothing, or a Claude model, since only those read pages: {', '.join(CLAUDE_MODELS)}{meant}"
            )
        return vision


class ValidationSettings(Settings):
    """The limits that documents are held against."""

    min_characters: Annotated[int, Field(ge=0)] = Field(100, description="Shorter documents get a warning.")
    max_characters: Annotated[int, Field(ge=1)] = Field(1_000_000, description="Longer documents get a finding.")
    too_long: Literal["warning", "error"] = Field(
        "warning", description="How a longer document is judged; `error` rejects it."
    )
    min_content_quality: Annotated[float, Field(ge=0, le=1)] = Field(0.3, description="Below it, a warning.")

    @model_validator(mode="after")
    def _limits_leave_room(self) -> ValidationSettings:
        if self.min_characters > self.max_characters:
            raise conflict(f"at most max_characters ({self.max_characters})", "min_characters", "max_characters")
        return self


class DuplicateSettings(Settings):
    """Which documents of a library count as the same, and which of them stays."""

    near: bool = Field(
        True,
        description="Whether documents that say the same in nearly the same words are duplicates, not only equal ones.",
    )
    similarity: Annotated[float, Field(ge=0.5, le=1)] = Field(
        0.9, description="Share of their runs of five words that near duplicates have in common."
    )
    prefer: Literal["path", "newest", "longest"] = Field(
        "path",
        description="Which document stays: the first by address, the newest by its own date, or the longest; then the first "
        "by address.",
    )


class ChunkingSettings(Settings):
    """How documents are cut."""

    strategy: Literal["structure", "tokens", "sentences", "paragraphs", "messages"] | None = Field(
        None,
        description="What the boundaries follow; `messages` for documents that have messages and `structure` for others, "
        "if left out.",
    )
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = Field(
        1000, description="Upper bound of a chunk, in cl100k tokens."
    )
    overlap_tokens: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Tokens that neighbours share; a fifth of max_tokens for `tokens`, else 0, if left out."
    )

    @model_validator(mode="after")
    def _overlap_leaves_room(self) -> ChunkingSettings:
        if self.overlap_tokens is not None and self.overlap_tokens > self.max_tokens // 2:
            raise conflict(
                f"at most half of max_tokens ({self.max_tokens}), which is {self.max_tokens // 2}",
                "overlap_tokens",
                "max_tokens",
            )
        return self

    @property
    def overlap(self) -> int:
        """The overlap in force, in tokens."""
        if self.overlap_tokens is not None:
            return self.overlap_tokens
        return self.max_tokens // 5 if self.strategy == "tokens" else 0


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


class IndexSettings(Settings):
    """How the search index is built."""

    hnsw_threshold: Annotated[int, Field(ge=0)] = Field(
        50_000, description="From this many points on a graph (HNSW) is built; below it every vector is compared."
    )


class SearchSettings(Settings):
    """How a library is searched."""

    semantic_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        0.6, description="Weight of vector similarity in hybrid search."
    )
    keyword_weight: Annotated[float, Field(ge=0, le=1)] = Field(0.4, description="Weight of BM25 in hybrid search.")
    top_k: Annotated[int, Field(ge=1, le=1000)] = Field(
        10, description="Results of a search, if the caller names no number."
    )
    prefetch_factor: Annotated[int, Field(ge=1, le=100)] = Field(
        2, description="Candidates that each side fetches, as a multiple of the results asked for."
    )
    min_similarity: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.1,
        description="Below this cosine similarity a chunk is no answer, unless words of the question stand in it.",
    )
    rerank: Literal["local", "rerank-2.5", "rerank-2.5-lite"] = Field(
        "local",
        description="Who reranks: `local` by features that can be explained, or a model of Voyage's, which is paid; without a "
        "key, or over the budget, the local one.",
    )

    @model_validator(mode="after")
    def _one_side_counts(self) -> SearchSettings:
        if self.semantic_weight == 0 and self.keyword_weight == 0:
            raise conflict("a number above 0 for one of the two weights", "semantic_weight", "keyword_weight")
        return self


class EvaluationSettings(Settings):
    """How good a search of the library has to stay: by what it is measured, and what a new generation may lose."""

    golden: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="A file of JSON lines with golden queries, relative to the catalog; questions made from the library's own "
        "headings, or written by `question_model`, if left out.",
    )
    question_model: Annotated[str, Field(min_length=1)] = Field(
        "none",
        description="Who writes questions where there are no golden queries: `none`, a Claude model such as claude-haiku-5-5, "
        "or provider:model for another one. It is paid for each question once.",
    )
    k: Annotated[int, Field(ge=1, le=100)] = Field(10, description="Results of a question that count.")
    allowed_loss: Annotated[float, Field(ge=0, le=1)] = Field(
        0.05,
        description="How much recall, MRR or nDCG of hybrid search may fall against the generation in use for a new one to "
        "take over.",
    )
    allowed_semantic_loss: Annotated[float, Field(ge=0, le=1)] = Field(
        0.2,
        description="How much nDCG of semantic search alone may fall: the words of a question must not hide a model that "
        "understands nothing.",
    )
    questions: Annotated[int, Field(ge=1, le=10_000)] = Field(
        100, description="How many questions are made or written where there are no golden queries."
    )
    grace_days: Annotated[float, Field(ge=0, le=3650)] = Field(
        7.0, description="How long a generation is kept, to go back to, after another one took over."
    )

    @field_validator("question_model")
    @classmethod
    def _model_is_known(cls, model: str) -> str:
        if model != "none" and provider_of(model) in (None, "voyage"):
            close = difflib.get_close_matches(model, ("none", *CLAUDE_MODELS), n=1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            raise unusable(f"none, one of {', '.join(CLAUDE_MODELS)}, or provider:model for another provider{meant}")
        return model

    @property
    def paid(self) -> bool:
        """Whether questions are written by a model, for money."""
        return self.golden is None and self.question_model != "none"


class DeleteSettings(Settings):
    """When a delete needs a person's agreement: when both limits are passed, or nothing would be left."""

    max_documents: Annotated[int, Field(ge=0)] = Field(
        10, description="Up to this many documents leave without a question."
    )
    max_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="Up to this share of the library leaves without a question."
    )


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


class LibrarySettings(Settings):
    """One library of the catalog, with the defaults applied."""

    source: SerializeAsAny[SourceSettings]
    reading: ReadingSettings = ReadingSettings()
    validation: ValidationSettings = ValidationSettings()
    duplicates: DuplicateSettings = DuplicateSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    corrections: CorrectionSettings = CorrectionSettings()
    embeddings: EmbeddingSettings = EmbeddingSettings()
    index: IndexSettings = IndexSettings()
    search: SearchSettings = SearchSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    deletes: DeleteSettings = DeleteSettings()
    limits: LimitSettings = LimitSettings()
    prices: dict[Annotated[str, Field(min_length=1)], PriceSettings] = Field(
        {}, description="Prices by model that hold instead of the published ones."
    )
    buckets: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="Partitions that a very large library is split into."
    )

    @field_validator("source", mode="before")
    @classmethod
    def _source_of_its_kind(cls, source: Any) -> Any:
        if isinstance(source, dict) and (kind := settings_class(source.get("type", "files"))) is not None:
            return kind.model_validate(source)
        return source

    def __hash__(self) -> int:
        """Hash by value, as all settings are, the prices in any order."""
        return hash(tuple(frozenset(v.items()) if isinstance(v, dict) else v for v in self.__dict__.values()))


def fingerprint_of(*parts: Any) -> str:
    """Hash what decides a stage's result apart from its input: settings, code version, model, prompt.

    Args:
        parts: Settings models, or values that JSON can say.

    Returns:
        16 hexadecimal digits, the same on every machine.
    """
    plain = [part.model_dump(mode="json") if isinstance(part, BaseModel) else part for part in parts]
    said = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
