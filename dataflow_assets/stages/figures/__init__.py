"""The figures of a library: everything that its quality report shows, as frozen records that JSON can carry.

What belongs here: the records (`records`) and what is made of all of them (`library`), their way to JSON and back (`stored`),
and the word diff that a sample of a correction is made of (`diffs`). What does not: getting the numbers out of the tables
(`warehouse.figures`) and drawing them (`report`). They stand apart so that a report can be drawn again from what is stored of it,
and compared with the next one, without the tables.

Every list is bounded and every text is clipped, so that the figures of a large library are as small as those of a small one.
"""

from dataflow_assets.stages.figures.diffs import word_diff
from dataflow_assets.stages.figures.library import Figures, headline
from dataflow_assets.stages.figures.records import (
    AskingFigures,
    BudgetFigures,
    CallFigures,
    CorrectionSample,
    Coverage,
    DiffSegment,
    DuplicateGroup,
    EmbeddingFigures,
    EvaluationFigures,
    FailedCalls,
    FindingGroup,
    Funnel,
    Histogram,
    ReasonGroup,
    Sample,
    Share,
    Snapshot,
    WeakDocument,
)

__all__ = [
    "AskingFigures",
    "BudgetFigures",
    "CallFigures",
    "CorrectionSample",
    "Coverage",
    "DiffSegment",
    "DuplicateGroup",
    "EmbeddingFigures",
    "EvaluationFigures",
    "FailedCalls",
    "Figures",
    "FindingGroup",
    "Funnel",
    "Histogram",
    "ReasonGroup",
    "Sample",
    "Share",
    "Snapshot",
    "WeakDocument",
    "headline",
    "word_diff",
]
