"""The settings of a library: frozen, validated models, with the numbers that the product starts from.

What belongs here: one model per stage or boundary, each field with its default, its range and one sentence that the
JSON Schema and the guide repeat. What does not: models that are asked, and their money (`model_settings`), reading the
catalog file (`catalog`), and anything that acts.

A stage's fingerprint is a hash of its settings model (`fingerprint_of`), so a field belongs to the model of exactly the
stage whose result it decides.
"""

from __future__ import annotations

import codecs
import difflib
import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SerializeAsAny, field_validator, model_validator

from dataflow_assets.known_models import CLAUDE_MODELS, provider_of
from dataflow_assets.model_settings import CorrectionSettings, EmbeddingSettings, LimitSettings, PriceSettings
from dataflow_assets.settings_base import DocType, Settings, conflict, unusable
from dataflow_assets.source_settings import SourceSettings, settings_class

LIBRARY_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""What a library may be called; partition keys and folder names are made of it."""


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
