"""The report in short, as Markdown.

What belongs here: which of the figures it shows, and texts from documents written so that they cannot break it. What does not:
the page (`page`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dataflow_assets.stages.figures import Figures
from dataflow_assets.stages.report import words
from dataflow_assets.stages.report.verdict import attention, verdict

_MARKDOWN_LIMIT = 9_500

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~$&-])")


def summary_markdown(figures: Figures, notes: Sequence[str] = ()) -> str:
    """Give the report in short as Markdown of less than 10 kB.

    Args:
        figures: What is shown.
        notes: Sentences about the run that a person must act on.
    """
    funnel = figures.funnel
    lines = [
        f"**{verdict(figures)[1]}**",
        "",
        *(f"- {_marked(sentence, 400)}" for _, sentence in attention(figures, notes)),
        "",
        "| | |",
        "|---|---:|",
        f"| Overall score | {words.score(figures.overall_score) if funnel.listed else '–'} |",
        f"| Documents | {funnel.listed:,} |",
        f"| valid, rejected, duplicate | {funnel.valid:,}, {funnel.rejected:,}, {funnel.duplicates:,} |",
        f"| Chunks | {funnel.chunks:,} |",
        f"| corrected, refused | {funnel.corrected:,}, {funnel.refused:,} |",
        f"| Embedded | {funnel.embedded:,} |",
        f"| Searchable points | {funnel.indexed:,} |",
        f"| Text covered by chunks | {words.share(figures.coverage.share)} |",
        *([f"| {label} | {value} |" for label, value in _money_in_short(figures)] if figures.paid else []),
    ]
    if figures.asking:
        lines += ["", "| This run | Asked, from store | Calls; tokens in, out, cached | Cost |", "|---|---:|---:|---:|"]
        lines += [
            f"| {_marked(took.stage, 40)} | {took.asked:,}, {took.from_store:,} | {took.calls:,}; {took.input_tokens:,}, "
            f"{took.output_tokens:,}, {took.cached_tokens:,} | {words.cost(took)} |"
            for took in figures.asking
        ]
    if figures.rejections:
        lines += ["", "| Rejected because | Documents |", "|---|---:|"]
        lines += [f"| {_marked(group.reason, 200)} | {group.count:,} |" for group in figures.rejections[:8]]
    if figures.findings:
        lines += ["", "| Finding | Severity | On | Rows |", "|---|---|---|---:|"]
        lines += [
            f"| {_marked(group.message, 160)} | {_marked(group.severity, 20)} | {group.table} | {group.rows:,} |"
            for group in figures.findings[:8]
        ]
    if figures.languages:
        said = ", ".join(f"{_marked(share.name, 20)} {share.count:,}" for share in figures.languages[:8])
        lines += ["", f"Languages: {said}"]
    text = "\n".join(lines)
    while len(text.encode()) > _MARKDOWN_LIMIT:
        lines.pop()
        text = "\n".join(lines)
    return text


def _money_in_short(figures: Figures) -> Iterator[tuple[str, str]]:
    yield "Cost so far", words.money(figures.cost_usd)
    if figures.cost_usd:
        yield "for 1,000 documents", words.money(figures.cost_per_1000_documents)
    if figures.saved_texts:
        yield "Saved by the store", f"{words.money(figures.saved_usd)}, {words.counted(figures.saved_texts, 'text')}"
    if figures.held_usd:
        yield "Perhaps billed besides", words.money(figures.held_usd)
    for budget in figures.budgets:
        name = words.BUDGETS.get(budget.setting, _marked(budget.setting, 40))
        yield f"Used of the {name}", f"{words.money(budget.used_usd)} of {words.money(budget.limit_usd)}"
    if figures.waiting:
        yield "Chunks that wait", f"{figures.waiting_chunks:,}"


def _marked(text: str, limit: int) -> str:
    return _MARKDOWN.sub(r"\\\1", words.one_line(text, limit))
