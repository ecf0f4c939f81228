"""The verdict: how the library stands, and what needs a person's attention.

What belongs here: the sentences that the page and its Markdown both begin with, and how grave each is. What does not: how they
look (`overview`, `markdown`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from dataflow_assets.stages.figures import Figures
from dataflow_assets.stages.report import words

Level: TypeAlias = Literal["good", "warn", "bad"]

NEARLY = 0.8
"""Share of a budget from which on a person is told."""


def verdict(figures: Figures) -> tuple[Level, str]:
    """Say in one sentence how the library stands."""
    funnel = figures.funnel
    if not funnel.listed:
        return "warn", "The library is empty: its source lists no documents."
    found = funnel.searchable_documents
    if found == funnel.listed:
        everything = "The one document is" if found == 1 else f"All {found:,} documents are"
        return "good", f"{everything} searchable."
    level: Level = "warn" if found >= 0.9 * funnel.listed else "bad"
    if not found:
        return "bad", f"None of {words.counted(funnel.listed, 'document')} is searchable."
    return level, f"{found:,} of {funnel.listed:,} documents are searchable, {words.share(figures.searchable_share)}."


def attention(figures: Figures, notes: Sequence[str]) -> list[tuple[Level, str]]:
    """Say what needs a person's attention, in plain sentences, the gravest first."""
    funnel, coverage = figures.funnel, figures.coverage
    bad = list(notes)
    warn: list[str] = []
    if funnel.missing_points:
        bad.append(
            f"{words.counted(funnel.missing_points, 'chunk')} of {funnel.chunks:,} {words.verb(funnel.missing_points)} "
            "not in the search index."
        )
    failed = figures.failed - figures.waiting
    if failed > 0:
        bad.append(f"{words.counted(failed, 'row')} failed for a reason that may pass; the next run asks again.")
    if coverage.share < 0.995:
        bad.append(
            f"{words.counted(coverage.lost, 'character')} of the valid documents {words.verb(coverage.lost)} in no chunk: "
            f"{words.share(coverage.share)} of the text is covered."
        )
    broken = sum(made.not_finite for made in figures.embeddings)
    if broken:
        bad.append(f"{words.counted(broken, 'vector')} {words.verb(broken)} not finite.")
    if funnel.rejected:
        often = figures.rejections[0] if figures.rejections else None
        why = (
            f" Most often ({often.count:,}): {words.sentence(often.reason)}"
            if often and funnel.rejected > 1
            else f" {words.sentence(often.reason)}"
            if often
            else ""
        )
        warn.append(
            f"{words.counted(funnel.rejected, 'document')} {words.verb(funnel.rejected, 'was', 'were')} rejected.{why}"
        )
    if funnel.embedding_refused:
        warn.append(
            f"{words.counted(funnel.embedding_refused, 'chunk')} {words.verb(funnel.embedding_refused, 'has', 'have')} "
            "no vector, because the model refused the text."
        )
    if figures.waiting and not notes:  # the run's own notes say why
        parts = (("correction", funnel.waiting), ("embedding", funnel.embedding_waiting))
        told = " and ".join(words.counted(count, name) for name, count in parts if count)
        warn.append(
            f"{told} {words.verb(figures.waiting)} not asked for yet: a budget, or a batch that is being answered."
        )
    warn += [
        f"{words.share(budget.share)} of the {words.BUDGETS.get(budget.setting, budget.setting)} is used: "
        f"{words.money(budget.used_usd)} of {words.money(budget.limit_usd)}."
        for budget in figures.budgets
        if budget.share >= NEARLY
    ]
    severe = sum(
        group.rows for group in figures.findings if group.severity in ("critical", "error") and group.table == "chunks"
    )
    if severe:
        warn.append(f"{words.counted(severe, 'chunk')} {words.verb(severe, 'has', 'have')} an error.")
    warned = [group for group in figures.findings if group.severity == "warning"]
    if warned:
        total = sum(group.rows for group in warned)
        warn.append(
            f"{words.counted(total, 'warning')} from {words.counted(len(warned), 'check')}, "
            f"most often {warned[0].validator.replace('_', ' ')} ({warned[0].rows:,})."
        )
    if funnel.refused:
        warn.append(
            f"{words.counted(funnel.refused, 'correction')} {words.verb(funnel.refused, 'was', 'were')} refused, "
            "and the original text stands."
        )
    if funnel.duplicates > 0.1 * funnel.listed:
        warn.append(
            f"{words.counted(funnel.duplicates, 'document')} "
            f"{words.verb(funnel.duplicates, 'is a duplicate', 'are duplicates')} of another one."
        )
    found: list[tuple[Level, str]] = [("bad", sentence) for sentence in bad] + [("warn", sentence) for sentence in warn]
    if not found and funnel.listed:
        return [("good", "Nothing needs your attention.")]
    return found or [("warn", "Check the source's path and patterns in the catalog if you expected documents.")]
