"""The figures of one library, and what is made of all of them: the headline, the snapshot, the row.

What belongs here: the record that holds all others, and the numbers that follow from it. What does not: the others (`records`).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from dataflow_assets.records import QualityReport
from dataflow_assets.stages.figures.records import (
    AskingFigures,
    BudgetFigures,
    CallFigures,
    CorrectionSample,
    Coverage,
    DuplicateGroup,
    EmbeddingFigures,
    EvaluationFigures,
    FailedCalls,
    FindingGroup,
    Funnel,
    Histogram,
    ReasonGroup,
    Share,
    Snapshot,
    WeakDocument,
)
from dataflow_assets.stages.figures.stored import plain, restored

FIGURES_VERSION = 1
"""Stored with the figures. Fields are only ever added, so older ones can still be read."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that a quality report shows of a library."""

    version: int = FIGURES_VERSION
    library: str = ""
    overall_score: float = 0.0
    """Mean quality score over the documents, rejected ones as 0; 0 for a library without documents."""
    characters: int = 0
    """Of all valid documents."""
    tokens: int = 0
    """Of all valid documents."""
    chunk_tokens: int = 0
    """Of all chunks."""
    funnel: Funnel = field(default_factory=Funnel)
    rejections: tuple[ReasonGroup, ...] = ()
    findings: tuple[FindingGroup, ...] = ()
    weakest: tuple[WeakDocument, ...] = ()
    duplicate_groups: int = 0
    duplicates: tuple[DuplicateGroup, ...] = ()
    """The largest groups."""
    document_characters: Histogram = field(default_factory=Histogram)
    document_tokens: Histogram = field(default_factory=Histogram)
    chunk_token_counts: Histogram = field(default_factory=Histogram)
    quality_scores: Histogram = field(default_factory=Histogram)
    content_quality: Histogram = field(default_factory=Histogram)
    languages: tuple[Share, ...] = ()
    """Of the valid documents; the last entry may be `other`."""
    doc_types: tuple[Share, ...] = ()
    media_types: tuple[Share, ...] = ()
    """Of all documents that the source lists."""
    coverage: Coverage = field(default_factory=Coverage)
    corrections: tuple[CorrectionSample, ...] = ()
    refusals: tuple[ReasonGroup, ...] = ()
    """Corrections that were refused, by reason."""
    unanswered: tuple[ReasonGroup, ...] = ()
    """Corrections and embeddings that failed, and embeddings that were refused, by reason."""
    correctors: tuple[Share, ...] = ()
    embeddings: tuple[EmbeddingFigures, ...] = ()
    generations: int = 0
    """Index generations that hold points; more than one only while a model is being changed."""
    evaluations: tuple[EvaluationFigures, ...] = ()
    """How well searches found what they should, oldest first."""
    calls: tuple[CallFigures, ...] = ()
    failed_calls: tuple[FailedCalls, ...] = ()
    cost_usd: float = 0.0
    """What the library cost so far."""
    held_usd: float = 0.0
    """What may have been billed besides: answers that were lost."""
    saved_texts: int = 0
    """Texts that were not asked about so far, since their answers were in the store."""
    saved_usd: float = 0.0
    """What those answers had cost."""
    asking: tuple[AskingFigures, ...] = ()
    """What asking took in this run; only stages that had something to ask."""
    budgets: tuple[BudgetFigures, ...] = ()
    previous: Snapshot | None = None
    """What the report before said; None for the first."""

    @property
    def searchable_share(self) -> float:
        """Share of the listed documents whose text a search can find."""
        return _ratio(self.funnel.searchable_documents, self.funnel.listed)

    @property
    def failed(self) -> int:
        """Rows that the next run asks for again."""
        return self.funnel.failed + self.funnel.embedding_failed

    @property
    def waiting(self) -> int:
        """Of these, the rows that were not asked yet, for a budget or a batch."""
        return self.funnel.waiting + self.funnel.embedding_waiting

    @property
    def waiting_chunks(self) -> int:
        """Chunks that were not asked about yet; one whose correction waits waits for its embedding too."""
        return max(self.funnel.waiting, self.funnel.embedding_waiting)

    @property
    def paid(self) -> bool:
        """Whether paid models have a part in the library; without them nothing is said of money."""
        return bool(self.calls or self.asking or self.budgets or self.saved_texts)

    @property
    def cost_per_1000_documents(self) -> float:
        """What the library cost so far for each 1,000 documents that its source lists, in US dollars."""
        return 1000 * _ratio(self.cost_usd, self.funnel.listed)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can say."""
        return cast(dict[str, Any], plain(self))

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Figures:
        """Read what `to_dict` gave, now or in an earlier version: unknown keys are left out, missing ones get defaults.

        Raises:
            ValueError: A value has another type than its field.
        """
        return cast(Figures, restored(cls, stored, "figures"))

    def snapshot(self, generated_at: str = "") -> Snapshot:
        """Give what the next report compares itself with."""
        findings: dict[str, int] = {}
        for group in self.findings:
            findings[group.validator] = findings.get(group.validator, 0) + group.count
        return Snapshot(
            generated_at=generated_at,
            headline={name: float(value) for name, value in headline(self).items()},
            rejections={group.reason: group.count for group in self.rejections},
            findings=findings,
        )

    def quality_report(
        self, *, run_id: str, generated_at: dt.datetime, report_path: str, input_hash: str
    ) -> QualityReport:
        """Give the row of `quality_reports` that holds these figures.

        Args:
            run_id: The run that made the report.
            generated_at: When; UTC without a zone.
            report_path: The HTML file, relative to the home.
            input_hash: Hash of what the report was made from.
        """
        return QualityReport(
            library=self.library,
            run_id=run_id,
            generated_at=generated_at,
            overall_score=self.overall_score,
            documents=self.funnel.listed,
            valid=self.funnel.valid,
            rejected=self.funnel.rejected,
            duplicates=self.funnel.duplicates,
            chunks=self.funnel.chunks,
            corrected=self.funnel.corrected,
            refused=self.funnel.refused,
            embedded=self.funnel.embedded,
            indexed=self.funnel.indexed,
            cost_usd=self.cost_usd,
            report_path=report_path,
            metrics=json.dumps(self.to_dict(), ensure_ascii=True, allow_nan=False),
            input_hash=input_hash,
        )


def headline(figures: Figures) -> dict[str, int | float]:
    """Give the numbers that are worth plotting over time, by name; the names stay.

    Those of paid models beside the cost are there only for a library that has to do with them, and those of searches where
    the generation in use was measured.
    """
    funnel = figures.funnel
    numbers: dict[str, int | float] = {
        "overall_score": figures.overall_score,
        "searchable_share": round(figures.searchable_share, 6),
        "coverage": figures.coverage.share,
        "documents": funnel.listed,
        "valid": funnel.valid,
        "rejected": funnel.rejected,
        "duplicates": funnel.duplicates,
        "tokens": figures.tokens,
        "chunks": funnel.chunks,
        "corrected": funnel.corrected,
        "refused": funnel.refused,
        "failed": figures.failed,
        "embedded": funnel.embedded,
        "indexed": funnel.indexed,
        "findings": sum(group.count for group in figures.findings),
        "cost_usd": figures.cost_usd,
    }
    measured = [one for one in figures.evaluations if one.in_use]
    if measured:
        numbers |= {"recall_at_k": measured[-1].recall, "mrr": measured[-1].mrr, "ndcg_at_k": measured[-1].ndcg}
    if figures.paid:
        numbers |= {
            "cost_usd_per_1000_documents": round(figures.cost_per_1000_documents, 6),
            "held_usd": figures.held_usd,
            "saved_texts": figures.saved_texts,
            "saved_usd": figures.saved_usd,
            "waiting": figures.waiting_chunks,
        }
    return numbers


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
