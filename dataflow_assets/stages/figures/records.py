"""The records that a library's figures are made of.

What belongs here: one frozen record for each kind of thing that a report shows, with a default for each field that was added
later. What does not: all of them together (`library`), and their way to JSON and back (`stored`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

DiffKind: TypeAlias = Literal["same", "gone", "new", "cut"]


@dataclass(frozen=True, slots=True)
class Funnel:
    """How many documents and chunks reached each stage."""

    listed: int = 0
    """Documents that the source lists."""
    fetched: int = 0
    """Those whose bytes could be had."""
    size_bytes: int = 0
    valid: int = 0
    rejected: int = 0
    duplicates: int = 0
    chunked: int = 0
    """Documents with at least one chunk."""
    chunks: int = 0
    distinct_texts: int = 0
    """Different texts among the chunks."""
    corrected: int = 0
    unchanged: int = 0
    refused: int = 0
    skipped: int = 0
    failed: int = 0
    """Corrections that are asked again by the next run."""
    waiting: int = 0
    """Of these, the ones that were not asked yet, for a budget or a batch."""
    embedded: int = 0
    embedding_refused: int = 0
    embedding_failed: int = 0
    embedding_waiting: int = 0
    """Of these, the ones that were not asked yet, for a budget or since their correction waits."""
    indexed: int = 0
    """Points in the search index."""
    missing_points: int = 0
    """Chunks without a point in the search index."""
    searchable_documents: int = 0
    """Documents whose text a search can find; a duplicate counts where the document that stays is searchable."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A document, as an example of something."""

    title: str = ""
    source_uri: str = ""


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """Rows that share a reason, numbers in it apart."""

    reason: str = ""
    count: int = 0
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class FindingGroup:
    """What one validator said of the rows of one table."""

    table: str = ""
    validator: str = ""
    severity: str = "warning"
    count: int = 0
    rows: int = 0
    """Rows that it was said of."""
    message: str = ""
    """One of the messages."""
    suggestion: str = ""
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """A text that several documents share."""

    kept: Sample = field(default_factory=Sample)
    count: int = 0
    """Documents that stand behind the kept one."""
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class Histogram:
    """How a number is distributed.

    Bin `i` counts the values in `edges[i] <= value < edges[i + 1]`. Where `discrete`, `edges` has one entry per bin, which is
    the value itself.
    """

    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    discrete: bool = False
    total: int = 0
    minimum: float = 0.0
    median: float = 0.0
    p90: float = 0.0
    maximum: float = 0.0
    mean: float = 0.0


@dataclass(frozen=True, slots=True)
class Share:
    """One value of a category."""

    name: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the valid documents' text stands in chunks."""

    characters: int = 0
    """Of all valid documents."""
    covered: int = 0
    """Of these, within at least one chunk."""
    lost: int = 0
    """Outside every chunk and not whitespace; seams of a few characters between chunks count as whitespace."""
    share: float = 1.0
    """1 - lost / characters."""
    documents_without_chunks: int = 0
    """Valid documents that have none."""


@dataclass(frozen=True, slots=True)
class WeakDocument:
    """A valid document with a low score."""

    document: Sample = field(default_factory=Sample)
    quality_score: float = 0.0
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DiffSegment:
    """A piece of a word diff: the same in both, gone, new, or `cut` where equal text was left out."""

    kind: DiffKind = "same"
    text: str = ""


@dataclass(frozen=True, slots=True)
class CorrectionSample:
    """One corrected chunk, as a word diff."""

    document: Sample = field(default_factory=Sample)
    chunk_index: int = 0
    heading_path: tuple[str, ...] = ()
    diff: tuple[DiffSegment, ...] = ()
    model: str = ""
    """Who corrected."""


@dataclass(frozen=True, slots=True)
class EmbeddingFigures:
    """The vectors of one model."""

    model: str = ""
    dimension: int = 0
    vectors: int = 0
    not_finite: int = 0
    """Vectors with a NaN or an infinity."""
    norm_min: float = 0.0
    norm_mean: float = 0.0
    norm_max: float = 0.0


@dataclass(frozen=True, slots=True)
class CallFigures:
    """The paid calls of one stage to one model, over the library's life."""

    stage: str = ""
    provider: str = ""
    model: str = ""
    calls: int = 0
    failed: int = 0
    """Those without an answer."""
    items: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    seconds: float = 0.0
    cost_usd: float = 0.0
    held_usd: float = 0.0
    """What may have been billed besides: the answer was lost."""


@dataclass(frozen=True, slots=True)
class FailedCalls:
    """The calls that one kind of failure kept from an answer, over the library's life."""

    status: str = ""
    """As it stands in `model_calls`: throttled, overloaded, timeout, lost ..."""
    calls: int = 0
    held_usd: float = 0.0
    error: str = ""
    """What one of them was told."""


@dataclass(frozen=True, slots=True)
class AskingFigures:
    """What one stage's asking of a paid model took in the run that made the report."""

    stage: str = ""
    texts: int = 0
    """Texts that wanted an answer; those that repeat another one of the run among them."""
    asked: int = 0
    """Texts that the model was asked about."""
    from_store: int = 0
    """Texts whose answers were there."""
    calls: int = 0
    asked_again: int = 0
    """Texts whose first answer was no good, asked about once more, alone."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float = 0.0
    saved_usd: float = 0.0
    """What the answers from the store had cost."""
    held_usd: float = 0.0
    """What calls without an answer may have cost."""
    retries: tuple[Share, ...] = ()
    """Further tries, by what made them necessary."""
    refused: tuple[Share, ...] = ()
    """Texts that will have no answer, by reason."""
    left: int = 0
    """Texts that were not asked about, or wait for a batch."""
    left_for: str = ""
    """What they wait for."""
    unpriced: bool = False
    """Whether the model's price is not known: its calls count as 0."""


@dataclass(frozen=True, slots=True)
class BudgetFigures:
    """One budget of the library."""

    setting: str = ""
    """Its key in the catalog's `limits`: `budget_usd` or `monthly_budget_usd`."""
    limit_usd: float = 0.0
    used_usd: float = 0.0
    """What is spent, reserved for calls in flight, or held for calls whose answer was lost."""

    @property
    def left_usd(self) -> float:
        """What may still be spent."""
        return max(0.0, self.limit_usd - self.used_usd)

    @property
    def share(self) -> float:
        """Share of the limit that is used, 0 to 1."""
        return min(1.0, self.used_usd / self.limit_usd) if self.limit_usd > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the next report needs of this one to tell what changed."""

    generated_at: str = ""
    """ISO 8601, or empty where it is not known."""
    headline: dict[str, float] = field(default_factory=dict)
    rejections: dict[str, int] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EvaluationFigures:
    """How well a generation of the index found what it should."""

    at: str
    """When it was measured; UTC."""
    generation: str
    kind: str
    """`golden` for golden queries, `headings` for questions made from headings."""
    questions: int
    k: int
    """Results of a question that count."""
    recall: float
    mrr: float
    ndcg: float
    semantic: float = 0.0
    """nDCG of semantic search alone."""
    in_use: bool = False
    """Whether searches read this generation when the report was made."""
    refused: bool = False
    """Whether the gate kept it from taking over then."""
