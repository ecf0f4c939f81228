"""The quality report: figures in, one HTML page out.

What belongs here: which figures are shown, in which words, and the page around them; the same in short as Markdown. What does
not: collecting the figures (`warehouse.figures`), their records (`figures`), drawing (`plots`), and writing the file.

The page is one file that needs nothing else, now or in ten years: no script, no request, its policy forbids both. Whatever
comes from documents is hostile until it is escaped, so all text goes through `_Page.said`. The same input gives the same page.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from typing import Literal, TypeAlias

from dataflow_assets.stages.figures import (
    AskingFigures,
    BudgetFigures,
    CorrectionSample,
    Figures,
    Histogram,
    ReasonGroup,
    Sample,
    Share,
    headline,
)
from dataflow_assets.stages.plots import bar, histogram, ring, short_number

__all__ = ["CODE_VERSION", "StageTiming", "headline", "render_report", "summary_markdown"]

CODE_VERSION = 2
"""Grows when the same figures give another page."""

MAX_BYTES = 300_000
"""No page is larger, whatever the documents are called."""

_TEXT_LIMITS = (300, 80, 24, 8)
_MARKDOWN_LIMIT = 9_500

Level: TypeAlias = Literal["good", "warn", "bad"]

_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufff9-\ufffc\ufffe\uffff]"
)
"""Controls, direction overrides, surrogates: what could hide or turn round the text beside it, or is no text."""

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~$&-])")


@dataclass(frozen=True, slots=True)
class StageTiming:
    """What one stage of the run did and took."""

    name: str
    """The asset's name."""
    seconds: float
    peak_memory_bytes: int
    new: int
    changed: int
    unchanged: int
    deleted: int
    failed: int


def render_report(
    figures: Figures,
    *,
    library: str,
    run_id: str,
    generated_at: dt.datetime,
    stages: Sequence[StageTiming] = (),
    notes: Sequence[str] = (),
) -> str:
    """Draw the quality report of a library.

    Args:
        figures: What is shown; `figures.previous` is what it is compared with.
        library: The library's name.
        run_id: The run that made the report.
        generated_at: When; UTC.
        stages: What the stages of the run did, in the order of the flow.
        notes: Sentences about the run that a person must act on, such as deletes that were withheld.

    Returns:
        An HTML document of at most `MAX_BYTES` bytes in UTF-8. Texts from documents are shortened further if it takes that.
    """
    page = ""
    for limit in _TEXT_LIMITS:
        page = _Page(figures, library, run_id, generated_at, stages, notes, limit).html()
        if len(page.encode()) <= MAX_BYTES:
            break
    return page


def summary_markdown(figures: Figures, notes: Sequence[str] = ()) -> str:
    """Give the report in short as Markdown of less than 10 kB.

    Args:
        figures: What is shown.
        notes: Sentences about the run that a person must act on.
    """
    funnel = figures.funnel
    lines = [
        f"**{_verdict(figures)[1]}**",
        "",
        *(f"- {_marked(sentence, 400)}" for _, sentence in _attention(figures, notes)),
        "",
        "| | |",
        "|---|---:|",
        f"| Overall score | {_score(figures.overall_score) if funnel.listed else '–'} |",
        f"| Documents | {funnel.listed:,} |",
        f"| valid, rejected, duplicate | {funnel.valid:,}, {funnel.rejected:,}, {funnel.duplicates:,} |",
        f"| Chunks | {funnel.chunks:,} |",
        f"| corrected, refused | {funnel.corrected:,}, {funnel.refused:,} |",
        f"| Embedded | {funnel.embedded:,} |",
        f"| Searchable points | {funnel.indexed:,} |",
        f"| Text covered by chunks | {_share(figures.coverage.share)} |",
        *([f"| {label} | {value} |" for label, value in _money_in_short(figures)] if figures.paid else []),
    ]
    if figures.asking:
        lines += ["", "| This run | Asked, from store | Calls; tokens in, out, cached | Cost |", "|---|---:|---:|---:|"]
        lines += [
            f"| {_marked(took.stage, 40)} | {took.asked:,}, {took.from_store:,} | {took.calls:,}; {took.input_tokens:,}, "
            f"{took.output_tokens:,}, {took.cached_tokens:,} | {_cost(took)} |"
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


class _Page:
    """One rendering, at one limit for texts from documents."""

    def __init__(
        self,
        figures: Figures,
        library: str,
        run_id: str,
        generated_at: dt.datetime,
        stages: Sequence[StageTiming],
        notes: Sequence[str],
        limit: int,
    ) -> None:
        self.figures = figures
        self.library = library
        self.run_id = run_id
        self.generated_at = generated_at
        self.stages = stages
        self.notes = notes
        self.limit = limit

    def html(self) -> str:
        """Give the whole document."""
        style, digest = _style()
        policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        made = self.generated_at.strftime("%Y-%m-%d %H:%M")
        name = self.said(self.library)
        tokens = "Tokens are cl100k&#8217;s" + (
            ", those of calls the provider&#8217;s own." if self.figures.paid else "."
        )
        sections = "\n".join(filter(None, (section() for section in self._sections())))
        return (
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy, quote=False)}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="referrer" content="no-referrer">\n<meta name="robots" content="noindex">\n'
            f"<title>{escape(_shown(self.library, self.limit), quote=False)} · Quality report</title>\n"
            f"<style>{style}</style>\n</head>\n<body>\n<main>\n"
            f'<header>\n<p class="over">Quality report</p>\n<h1>{name}</h1>\n'
            f'<p class="meta"><time datetime="{self.generated_at.strftime("%Y-%m-%dT%H:%M:%SZ")}">{made} UTC</time>'
            f" · run <code>{self.said(self.run_id)}</code></p>\n</header>\n{sections}\n"
            f"<footer>Counts are rows of the library's tables at the time of the report. {tokens} "
            "The same figures stand in <code>quality_reports.metrics</code>.</footer>\n</main>\n</body>\n</html>\n"
        )

    def said(self, text: str) -> str:
        """Escape a text that anybody may have written, in its own direction."""
        return f"<bdi>{escape(_shown(text, self.limit), quote=False)}</bdi>"

    def _sections(self) -> Iterator[Callable[[], str]]:
        yield self._headline
        yield self._funnel
        yield self._changes
        yield self._stages
        yield self._rejections
        yield self._findings
        yield self._distributions
        yield self._kinds
        yield self._duplicates
        yield self._corrections
        yield self._index
        yield self._evaluations
        yield self._cost

    def _headline(self) -> str:
        figures, funnel = self.figures, self.figures.funnel
        level, sentence = _verdict(figures)
        score = _score(figures.overall_score) if funnel.listed else "–"
        name: Level = "good" if figures.overall_score >= 0.8 else "warn" if figures.overall_score >= 0.5 else "bad"
        drawn = ring(
            figures.overall_score if funnel.listed else 0.0, score, label=f"Overall score {score} of 1", name=name
        )
        items = "".join(
            f'<li class="{grade}">{_commands(self.said(text))}</li>' for grade, text in _attention(figures, self.notes)
        )
        tiles = (
            ("Documents", f"{funnel.listed:,}", _size(funnel.size_bytes)),
            ("Searchable", _share(figures.searchable_share) if funnel.listed else "–", "of the documents"),
            ("Chunks", f"{funnel.chunks:,}", f"{short_number(figures.chunk_tokens)} tokens"),
            ("Coverage", _share(figures.coverage.share) if funnel.valid else "–", "of the text is in chunks"),
            ("Cost", _money(figures.cost_usd), "so far")
            if figures.paid
            else ("Index", f"{funnel.indexed:,}", "points to search"),
        )
        told = "".join(
            f"<div><dt>{label}</dt><dd>{value}<small>{small}</small></dd></div>" for label, value, small in tiles
        )
        return (
            f'<section aria-label="Verdict" class="verdict {level}">\n'
            f'<figure class="score">{drawn}<figcaption>overall score, of 1</figcaption></figure>\n'
            f'<div><p class="lead">{escape(sentence, quote=False)}</p>\n<ul class="attention">{items}</ul></div>\n'
            f'<dl class="tiles">{told}</dl>\n</section>'
        )

    def _funnel(self) -> str:
        figures, funnel = self.figures, self.figures.funnel
        if not funnel.listed:
            return _section(
                "From the source to the search",
                "<p>The source lists no documents, so there is nothing to show yet.</p>",
            )
        away = [
            _counted(funnel.rejected, "rejected") if funnel.rejected else "",
            _counted(funnel.duplicates, "duplicate", "duplicates") if funnel.duplicates else "",
        ]
        unchunked = figures.coverage.documents_without_chunks
        without = funnel.chunks - funnel.embedded
        looked = funnel.corrected + funnel.unchanged + funnel.refused
        documents = (
            ("Listed", funnel.listed, "at the source", "s1"),
            ("Fetched", funnel.fetched, _lost(funnel.listed - funnel.fetched, "could not be fetched"), "s1"),
            ("Valid", funnel.valid, ", ".join(filter(None, away)), "s1"),
            ("Chunked", funnel.chunked, _lost(unchunked, "without chunks"), "s1"),
            (
                "Searchable",
                funnel.searchable_documents,
                "duplicates count through the one that stays" if funnel.duplicates else "",
                "good",
            ),
        )
        chunks = (
            ("Chunks", funnel.chunks, f"{funnel.distinct_texts:,} different texts", "s1"),
            *([("Text checked", looked, _checked(figures), "s1")] if funnel.skipped < funnel.chunks else []),
            ("Embedded", funnel.embedded, _lost(without, "without a vector"), "s1"),
            ("Searchable", funnel.indexed, _lost(funnel.missing_points, "not in the index"), "good"),
        )
        rows = ['<div class="unit">Documents</div>', *(_step(*row, whole=funnel.listed) for row in documents)]
        rows += ['<div class="unit">Chunks</div>', *(_step(*row, whole=funnel.chunks) for row in chunks)]
        return _section("From the source to the search", f'<div class="steps">{"".join(rows)}</div>')

    def _changes(self) -> str:
        previous = self.figures.previous
        title = "What changed since the last report"
        if previous is None:
            return _section(
                title, "<p>This is the library&#8217;s first report: there is nothing to compare it with.</p>"
            )
        since = (
            f'<p class="note">Compared with the report of {self.said(previous.generated_at)} UTC.</p>'
            if previous.generated_at
            else ""
        )
        now = headline(self.figures)
        rows = []
        for key, (label, form, better) in _MEASURES.items():
            before = previous.headline.get(key)
            if before is None or abs(before - now[key]) < 1e-9:
                continue
            delta = now[key] - before
            tone = "" if better == 0 else ' class="n up"' if delta * better > 0 else ' class="n down"'
            rows.append(
                f'<tr><td class="name">{label}</td><td class="n">{form(before)}</td><td class="n">{form(now[key])}</td>'
                f"<td{tone or _N}>{'+' if delta > 0 else '−'}{form(abs(delta))}</td></tr>"
            )
        snapshot = self.figures.snapshot()
        moved = [
            *_moved("Rejected", previous.rejections, snapshot.rejections),
            *_moved("Finding", previous.findings, snapshot.findings),
        ]
        if not rows and not moved:
            return _section(title, f"{since}<p>No figure changed.</p>")
        table = _table(("Measure", "Before", "Now", "Change"), rows, numbers=(1, 2, 3)) if rows else ""
        lines = "".join(
            f"<li>{kind}: {self.said(name)} <span>{before:,} → {after:,}</span></li>"
            for kind, name, before, after in moved[:12]
        )
        listed = f'<ul class="samples">{lines}</ul>' if lines else ""
        return _section(title, since + table + listed)

    def _stages(self) -> str:
        if not self.stages:
            return ""
        longest = max(stage.seconds for stage in self.stages) or 1.0
        rows = []
        for stage in self.stages:
            label = f"{stage.name}: {_seconds(stage.seconds)}"
            numbers = "".join(
                f'<td class="n{"" if value else " none"}">{value:,}</td>'
                for value in (stage.new, stage.changed, stage.unchanged, stage.deleted, stage.failed)
            )
            rows.append(
                f'<tr><td class="name">{self.said(stage.name)}</td>{numbers}<td class="n">{_seconds(stage.seconds)}</td>'
                f'<td class="plotted">{bar([(stage.seconds / longest, "s1")], label=label)}</td>'
                f'<td class="n">{_size(stage.peak_memory_bytes)}</td></tr>'
            )
        total, peak = sum(stage.seconds for stage in self.stages), max(stage.peak_memory_bytes for stage in self.stages)
        columns = ("Stage", "New", "Changed", "Unchanged", "Deleted", "Failed", "Time", "", "Peak memory")
        return _section(
            "The run, stage by stage",
            _table(columns, rows, numbers=(1, 2, 3, 4, 5, 6, 8))
            + f'<p class="note">{_seconds(total)} in all, {_size(peak)} of memory at the peak. '
            "Counts are rows; the peak is the process&#8217;s.</p>",
        )

    def _rejections(self) -> str:
        funnel = self.figures.funnel
        if not funnel.rejected:
            return ""
        told = (
            f"<p>{_counted(funnel.rejected, 'document')} of {funnel.listed:,} cannot be used as they are. "
            "The rest of the library is not affected.</p>"
        )
        return _section("Rejected, and why", told + self._reasons(self.figures.rejections, "Documents"))

    def _findings(self) -> str:
        figures = self.figures
        if not figures.findings:
            return ""
        rows = [
            f'<tr><td><span class="tag {_severity(group.severity)}">{self.said(group.severity)}</span></td>'
            f"<td>{self.said(group.message)}{self._suggestion(group.suggestion)}{self._samples(group.samples)}</td>"
            f'<td class="where rule"><code>{self.said(group.validator)}</code></td>'
            f'<td class="n">{_rows(group.table, group.rows)}</td></tr>'
            for group in figures.findings
        ]
        body = _table(("Severity", "Finding", "Rule", "Found on"), rows, numbers=(3,), stack=True)
        if figures.weakest:
            weak = [
                f'<tr><td class="n">{_score(document.quality_score)}</td><td>{self._document(document.document)}</td>'
                f"<td>{'<br>'.join(self.said(finding) for finding in document.findings)}</td></tr>"
                for document in figures.weakest
            ]
            body += (
                '<div class="block"><h3>Valid documents with the lowest scores</h3>'
                + _table(("Score", "Document", "Because"), weak, numbers=(0,), stack=True)
                + "</div>"
            )
        return _section("What the checks found", body)

    def _distributions(self) -> str:
        figures = self.figures
        plots = (
            ("Length of documents, characters", "characters", figures.document_characters, short_number, "documents"),
            ("Length of documents, tokens", "tokens", figures.document_tokens, short_number, "documents"),
            ("Length of chunks, tokens", "chunks", figures.chunk_token_counts, short_number, "chunks"),
            ("Quality score of documents", "score", figures.quality_scores, _tenth, "documents"),
            ("Content quality of documents", "content", figures.content_quality, _tenth, "documents"),
        )
        drawn = "".join(
            f"<figure><h3>{title}</h3>{histogram(shown, name=name, title=title, format_value=form)}"
            f"<figcaption>{_statistics(shown, unit)}</figcaption></figure>"
            for title, name, shown, form, unit in plots
            if shown.total
        )
        if not drawn:
            return ""
        note = (
            '<p class="note block">The dashed line is the median. '
            "Lengths of documents are binned at 1, 2 and 5 times the powers of ten.</p>"
        )
        return _section("How lengths and scores are distributed", f'<div class="grid3 plots">{drawn}</div>{note}')

    def _kinds(self) -> str:
        figures = self.figures
        parts = (
            ("Languages", figures.languages, figures.funnel.valid),
            ("Types of document", figures.doc_types, figures.funnel.valid),
            ("Media types", figures.media_types, figures.funnel.listed),
        )
        drawn = "".join(
            f'<div><h3>{title}</h3><div class="bars">{"".join(self._kind(share, whole) for share in shares)}</div></div>'
            for title, shares, whole in parts
            if shares
        )
        return _section("Languages and kinds", f'<div class="grid3">{drawn}</div>') if drawn else ""

    def _kind(self, share: Share, whole: int) -> str:
        part = share.count / whole if whole else 0.0
        drawn = bar([(part, "s1")], label=f"{_shown(share.name, 80)}: {_share(part)}")
        return (
            f"<span>{self.said(share.name or 'unknown')}</span>{drawn}"
            f'<span class="value">{share.count:,} <small>{_share(part)}</small></span>'
        )

    def _duplicates(self) -> str:
        figures = self.figures
        count = figures.funnel.duplicates
        if not count:
            return ""
        rows = [
            f"<tr><td>{self._document(group.kept)}</td><td>{self._samples(group.samples)}</td>"
            f'<td class="n" data-name="behind it:">{group.count:,}</td></tr>'
            for group in figures.duplicates
        ]
        more = figures.duplicate_groups - len(figures.duplicates)
        rest = f'<p class="note">and {_counted(more, "more group")}.</p>' if more > 0 else ""
        told = (
            f"<p>{_counted(count, 'document')} {_verb(count, 'has', 'have')} exactly the text "
            f"of another one. Of each group one stays and is searched for all.</p>"
        )
        return _section(
            "Duplicates",
            told
            + _table(("The one that stays", "Behind it, for example", "Documents"), rows, numbers=(2,), stack=True)
            + rest,
        )

    def _corrections(self) -> str:
        figures, funnel = self.figures, self.figures.funnel
        asked = funnel.corrected + funnel.unchanged + funnel.refused + funnel.failed
        if not funnel.chunks:
            return ""
        if not asked:
            return _section(
                "Corrections", "<p>Corrections are off for this library: chunks are searched as they were written.</p>"
            )
        parts = (
            ("corrected", funnel.corrected, "good"), ("unchanged", funnel.unchanged, "s2"), ("refused", funnel.refused, "warn"),
            ("failed", funnel.failed - funnel.waiting, "bad"), ("waiting", funnel.waiting, "s1"),
            ("skipped", funnel.skipped, "s3"),
        )  # fmt: skip
        label = ", ".join(f"{count:,} {name}" for name, count, _ in parts if count)
        drawn = bar([(count / funnel.chunks, name) for _, count, name in parts], label=label)
        legend = "".join(
            f'<li><svg aria-hidden="true"><rect class="{name}" width="100%" height="100%"/></svg>{count:,} {said}</li>'
            for said, count, name in parts
            if count
        )
        who = ", ".join(self.said(share.name) for share in figures.correctors)
        body = f'{drawn}<ul class="legend">{legend}</ul>' + (
            f'<p class="note block">Corrected by {who}.</p>' if who else ""
        )
        if figures.corrections:
            body += (
                '<div class="block"><h3>Some of what was mended</h3>'
                + "".join(map(self._diff, figures.corrections))
                + "</div>"
            )
        if figures.refusals:
            body += (
                '<div class="block"><h3>Refused: the proposal broke a rule, and the original stands</h3>'
                + self._reasons(figures.refusals, "Chunks")
                + "</div>"
            )
        return _section("Corrections", body)

    def _diff(self, sample: CorrectionSample) -> str:
        marks = {"gone": "del", "new": "ins"}
        parts = []
        for segment in sample.diff:
            if segment.kind == "cut":
                parts.append('<span class="cut"> … </span>')
                continue
            text = escape(_cleaned(segment.text)[: self.limit], quote=False)
            mark = marks.get(segment.kind)
            parts.append(f"<{mark}>{text}</{mark}>" if mark else text)
        where = " › ".join(self.said(heading) for heading in sample.heading_path)
        where = " · ".join(filter(None, (where, self.said(sample.model) if sample.model else "")))
        return (
            f'<div class="diff"><p class="where">{self._document(sample.document)}'
            f'{f" <small>{where}</small>" if where else ""}</p><pre dir="auto">{"".join(parts)}</pre></div>'
        )

    def _index(self) -> str:
        figures, funnel = self.figures, self.figures.funnel
        if not funnel.chunks:
            return ""
        rows = [
            f'<tr><td class="name">{self.said(made.model)}</td><td class="n">{made.dimension:,}</td>'
            f'<td class="n">{made.vectors:,}</td>'
            f'<td class="n">{made.norm_min:.3f}</td><td class="n">{made.norm_mean:.3f}</td><td class="n">{made.norm_max:.3f}</td>'
            f'<td class="n{"" if made.not_finite else " none"}">{made.not_finite:,}</td></tr>'
            for made in figures.embeddings
        ]
        columns = ("Model", "Dimension", "Vectors", "Least norm", "Mean norm", "Largest norm", "Not finite")
        body = _table(columns, rows, numbers=range(1, 7)) if rows else "<p>No chunk has a vector yet.</p>"
        generations = f" in {_counted(figures.generations, 'generation')}" if figures.generations else ""
        body += (
            f'<p class="note">{_counted(funnel.indexed, "point")} in the search index{generations}; '
            f"{funnel.distinct_texts:,} different texts among {_counted(funnel.chunks, 'chunk')}.</p>"
        )
        if figures.unanswered:
            body += (
                '<div class="block"><h3>Without an answer</h3>' + self._reasons(figures.unanswered, "Chunks") + "</div>"
            )
        return _section("Embeddings and index", body)

    def _evaluations(self) -> str:
        made = self.figures.evaluations
        if not made:
            return ""
        rows = [
            f'<tr><td class="name">{self.said(one.at)}</td><td>{self.said(one.generation)}'
            f"{' · in use' if one.in_use else ' · refused' if one.refused else ''}</td>"
            f'<td class="n">{one.questions:,}</td><td class="n">{one.recall:.3f}</td><td class="n">{one.mrr:.3f}</td>'
            f'<td class="n">{one.ndcg:.3f}</td><td class="n">{one.semantic:.3f}</td></tr>'
            for one in reversed(made)
        ]
        last = made[-1]
        columns = (
            "Measured (UTC)",
            "Generation",
            "Questions",
            f"Recall@{last.k}",
            "MRR",
            f"nDCG@{last.k}",
            "By meaning alone",
        )
        made_from = {"golden": "golden queries", "model": "questions that a language model wrote"}
        source = made_from.get(last.kind, "questions made from headings")
        note = f'<p class="note">Last by {source}: hybrid search, before reranking.</p>'
        return _section("Search quality", _table(columns, rows, numbers=range(2, 7)) + note)

    def _cost(self) -> str:
        figures = self.figures
        if not figures.paid:
            return ""
        told = f"{_money(figures.cost_usd)} so far"
        if figures.cost_usd and figures.funnel.listed:
            told += f", which is {_money(figures.cost_per_1000_documents)} for 1,000 documents"
        told += "."
        if figures.saved_texts:
            told += (
                f" Answers from the store saved {_money(figures.saved_usd)}: "
                f"{_counted(figures.saved_texts, 'text')} {_verb(figures.saved_texts, 'was', 'were')} not asked about again."
            )
        if figures.held_usd:
            told += (
                f" Another {_money(figures.held_usd)} may have been billed for calls whose answers were lost; "
                "it counts against the budget."
            )
        body = f"<p>{told}</p>"
        if figures.budgets:
            rows = [self._budget(budget) for budget in figures.budgets]
            body += _table(("Budget", "Used", "Limit", "Left", ""), rows, numbers=(1, 2, 3))
            body += '<p class="note">Used is what is spent, reserved for calls in flight, or held for answers that were lost.</p>'
        if figures.asking:
            body += f'<div class="block"><h3>This run</h3>{self._asking()}</div>'
        if figures.calls:
            body += f'<div class="block"><h3>Every call so far</h3>{self._calls()}</div>'
        if figures.failed_calls:
            rows = [
                f'<tr><td class="name">{self.said(failed.status)}</td><td>{_FAILURES.get(failed.status, "")}'
                f"{self._suggestion(failed.error)}</td>"
                f'<td class="n" data-name="Calls:">{failed.calls:,}</td>'
                f'<td class="n{"" if failed.held_usd else " none"}" data-name="Held:">{_money(failed.held_usd)}</td></tr>'
                for failed in figures.failed_calls
            ]
            body += (
                '<div class="block"><h3>Calls without an answer</h3>'
                + _table(
                    ("Status", "What it means, and one of them", "Calls", "Held"), rows, numbers=(2, 3), stack=True
                )
                + "</div>"
            )
        return _section("Cost", body)

    def _budget(self, budget: BudgetFigures) -> str:
        colour = "bad" if budget.left_usd <= 0 else "warn" if budget.share >= _NEARLY else "s1"
        name = _BUDGETS.get(budget.setting, budget.setting)
        drawn = bar([(budget.share, colour)], label=f"{_shown(name, 80)}: {_share(budget.share)} used")
        return (
            f'<tr><td class="name">{self.said(name)}</td><td class="n">{_money(budget.used_usd)}</td>'
            f'<td class="n">{_money(budget.limit_usd)}</td><td class="n">{_money(budget.left_usd)}</td>'
            f'<td class="plotted">{drawn}</td></tr>'
        )

    def _asking(self) -> str:
        rows = []
        lines = []
        for took in self.figures.asking:
            counts = (took.texts, took.from_store, took.asked, took.calls, took.input_tokens, took.output_tokens,
                      took.cached_tokens)  # fmt: skip
            numbers = "".join(f'<td class="n{"" if count else " none"}">{count:,}</td>' for count in counts)
            rows.append(
                f'<tr><td class="name">{self.said(took.stage)}</td>{numbers}<td class="n">{_cost(took)}</td>'
                f'<td class="n{"" if took.saved_usd else " none"}">{_money(took.saved_usd)}</td></tr>'
            )
            lines += [f"{self.said(took.stage)}: {sentence}" for sentence in self._incidents(took)]
        columns = (
            "Stage",
            "Texts",
            "From the store",
            "Asked",
            "Calls",
            "Tokens in",
            "Tokens out",
            "Cached",
            "Cost",
            "Saved",
        )
        listed = "".join(f"<li>{line}</li>" for line in lines)
        return (
            _table(columns, rows, numbers=range(1, 10))
            + (f'<ul class="samples">{listed}</ul>' if listed else "")
            + '<p class="note">A text that repeats another one of the run counts under Texts, and is asked about once.</p>'
        )

    def _incidents(self, took: AskingFigures) -> Iterator[str]:
        """Say what did not go as it should, in sentences that are HTML."""
        if took.retries:
            kinds = ", ".join(f"{self.said(kind.name)} {kind.count:,}" for kind in took.retries)
            yield f"{_counted(sum(kind.count for kind in took.retries), 'further try', 'further tries')}: {kinds}."
        if took.asked_again:
            yield f"{_counted(took.asked_again, 'text')} asked about once more, alone, since the first answer was no good."
        if took.refused:
            reasons = "; ".join(f"{self.said(reason.name)} ({reason.count:,})" for reason in took.refused)
            yield f"without an answer for good: {reasons}."
        if took.held_usd:
            yield f"{_money(took.held_usd)} may have been billed for answers that were lost."
        if took.left:
            yield f"{_counted(took.left, 'text')} left: {_commands(self.said(_sentence(took.left_for or 'the next run asks')))}"
        if took.unpriced:
            yield "the price of its model is not known, so its calls count as $0.00. Say it in the catalog, under prices."

    def _calls(self) -> str:
        figures = self.figures
        held = any(call.held_usd for call in figures.calls)
        rows = []
        for call in figures.calls:
            counts = (call.calls, call.failed, call.items, call.input_tokens, call.output_tokens, call.cached_tokens)
            numbers = "".join(f'<td class="n{"" if count else " none"}">{count:,}</td>' for count in counts)
            rows.append(
                f'<tr><td class="name">{self.said(call.stage)}</td><td>{self.said(call.provider)} {self.said(call.model)}</td>'
                f'{numbers}<td class="n">{_seconds(call.seconds)}</td><td class="n">{_money(call.cost_usd)}</td>'
                + (f'<td class="n{"" if call.held_usd else " none"}">{_money(call.held_usd)}</td>' if held else "")
                + "</tr>"
            )
        columns = ("Stage", "Model", "Calls", "Failed", "Texts", "Tokens in", "Tokens out", "Cached", "Time", "Cost")
        return _table((*columns, "Held") if held else columns, rows, numbers=range(2, 11))

    def _reasons(self, groups: Sequence[ReasonGroup], unit: str) -> str:
        rows = [
            f"<tr><td>{self.said(group.reason)}{self._samples(group.samples)}</td>"
            f'<td class="n" data-name="{unit}:">{group.count:,}</td></tr>'
            for group in groups
        ]
        return _table(("Reason, and some of them", unit), rows, numbers=(1,), stack=True)

    def _samples(self, samples: Sequence[Sample]) -> str:
        listed = "".join(f"<li>{self._document(sample)}</li>" for sample in samples)
        return f'<ul class="samples">{listed}</ul>' if listed else ""

    def _suggestion(self, text: str) -> str:
        return f" <small>{self.said(text)}</small>" if text else ""

    def _document(self, sample: Sample) -> str:
        title = f"{self.said(sample.title)} " if sample.title else ""
        return f'<span class="where">{title}<code>{self.said(sample.source_uri)}</code></span>'


def _commands(escaped: str) -> str:
    """Set what stands between backticks as code."""
    return re.sub("`([^`<>]{1,200})`", r"<code>\1</code>", escaped)


def _verdict(figures: Figures) -> tuple[Level, str]:
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
        return "bad", f"None of {_counted(funnel.listed, 'document')} is searchable."
    return level, f"{found:,} of {funnel.listed:,} documents are searchable, {_share(figures.searchable_share)}."


def _attention(figures: Figures, notes: Sequence[str]) -> list[tuple[Level, str]]:
    """Say what needs a person's attention, in plain sentences, the gravest first."""
    funnel, coverage = figures.funnel, figures.coverage
    bad = list(notes)
    warn: list[str] = []
    if funnel.missing_points:
        bad.append(
            f"{_counted(funnel.missing_points, 'chunk')} of {funnel.chunks:,} {_verb(funnel.missing_points)} "
            "not in the search index."
        )
    failed = figures.failed - figures.waiting
    if failed > 0:
        bad.append(f"{_counted(failed, 'row')} failed for a reason that may pass; the next run asks again.")
    if coverage.share < 0.995:
        bad.append(
            f"{_counted(coverage.lost, 'character')} of the valid documents {_verb(coverage.lost)} in no chunk: "
            f"{_share(coverage.share)} of the text is covered."
        )
    broken = sum(made.not_finite for made in figures.embeddings)
    if broken:
        bad.append(f"{_counted(broken, 'vector')} {_verb(broken)} not finite.")
    if funnel.rejected:
        often = figures.rejections[0] if figures.rejections else None
        why = (
            f" Most often ({often.count:,}): {_sentence(often.reason)}"
            if often and funnel.rejected > 1
            else f" {_sentence(often.reason)}"
            if often
            else ""
        )
        warn.append(f"{_counted(funnel.rejected, 'document')} {_verb(funnel.rejected, 'was', 'were')} rejected.{why}")
    if funnel.embedding_refused:
        warn.append(
            f"{_counted(funnel.embedding_refused, 'chunk')} {_verb(funnel.embedding_refused, 'has', 'have')} "
            "no vector, because the model refused the text."
        )
    if figures.waiting and not notes:  # the run's own notes say why
        parts = (("correction", funnel.waiting), ("embedding", funnel.embedding_waiting))
        told = " and ".join(_counted(count, name) for name, count in parts if count)
        warn.append(f"{told} {_verb(figures.waiting)} not asked for yet: a budget, or a batch that is being answered.")
    warn += [
        f"{_share(budget.share)} of the {_BUDGETS.get(budget.setting, budget.setting)} is used: "
        f"{_money(budget.used_usd)} of {_money(budget.limit_usd)}."
        for budget in figures.budgets
        if budget.share >= _NEARLY
    ]
    severe = sum(
        group.rows for group in figures.findings if group.severity in ("critical", "error") and group.table == "chunks"
    )
    if severe:
        warn.append(f"{_counted(severe, 'chunk')} {_verb(severe, 'has', 'have')} an error.")
    warned = [group for group in figures.findings if group.severity == "warning"]
    if warned:
        total = sum(group.rows for group in warned)
        warn.append(
            f"{_counted(total, 'warning')} from {_counted(len(warned), 'check')}, "
            f"most often {warned[0].validator.replace('_', ' ')} ({warned[0].rows:,})."
        )
    if funnel.refused:
        warn.append(
            f"{_counted(funnel.refused, 'correction')} {_verb(funnel.refused, 'was', 'were')} refused, "
            "and the original text stands."
        )
    if funnel.duplicates > 0.1 * funnel.listed:
        warn.append(
            f"{_counted(funnel.duplicates, 'document')} "
            f"{_verb(funnel.duplicates, 'is a duplicate', 'are duplicates')} of another one."
        )
    found: list[tuple[Level, str]] = [("bad", sentence) for sentence in bad] + [("warn", sentence) for sentence in warn]
    if not found and funnel.listed:
        return [("good", "Nothing needs your attention.")]
    return found or [("warn", "Check the source's path and patterns in the catalog if you expected documents.")]


_N = ' class="n"'
_NEARLY = 0.8
"""Share of a budget from which on a person is told."""

_BUDGETS = {"budget_usd": "budget for life", "monthly_budget_usd": "budget of this month"}

_FAILURES = {
    "throttled": "429: too many requests or tokens a minute",
    "overloaded": "529 or 503: the service had no room",
    "server": "another fault of the service",
    "connection": "the connection was refused, reset or cut",
    "timeout": "no answer in time",
    "garbled": "an answer that was none",
    "too_large": "too much for one call; it was asked again in halves",
    "credential": "the key was not accepted",
    "payment": "the account has no credit",
    "invalid": "the service refuses what it was asked",
    "lost": "the process died while the call was in flight",
}
"""The statuses of calls in `model_calls`, apart from `ok`, in words."""


def _checked(figures: Figures) -> str:
    funnel = figures.funnel
    parts = [
        f"{count:,} {name}"
        for name, count in (
            ("corrected", funnel.corrected), ("refused", funnel.refused), ("failed", funnel.failed - funnel.waiting),
            ("waiting", funnel.waiting), ("skipped", funnel.skipped),
        )
        if count
    ]  # fmt: skip
    return ", ".join(parts)


def _step(name: str, count: int, why: str, colour: str, *, whole: int) -> str:
    part = count / whole if whole else 0.0
    drawn = bar([(part, colour)], label=f"{name}: {count:,} of {whole:,}")
    return (
        f'<div class="step"><div class="name">{name}</div>{drawn}<div class="value">{count:,}</div>'
        f'<div class="why">{why}</div></div>'
    )


def _moved(kind: str, before: Mapping[str, int], now: Mapping[str, int]) -> list[tuple[str, str, int, int]]:
    names = sorted({*before, *now})
    return [
        (kind, name, before.get(name, 0), now.get(name, 0)) for name in names if before.get(name, 0) != now.get(name, 0)
    ]


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{body}\n</section>"


def _table(columns: Sequence[str], rows: Sequence[str], *, numbers: Sequence[int] = (), stack: bool = False) -> str:
    head = "".join(
        f'<th{_N if place in numbers else ""} scope="col">{column}</th>' for place, column in enumerate(columns)
    )
    kind = ' class="stack"' if stack else ""
    return f'<div class="wide"><table{kind}><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _statistics(shown: Histogram, unit: str) -> str:
    if shown.discrete:
        return f"{shown.total:,} {unit} · mean {shown.mean:.3f} · least {shown.minimum:.2f}"
    return f"{shown.total:,} {unit} · median {shown.median:,.0f} · 90% up to {shown.p90:,.0f} · largest {shown.maximum:,.0f}"


def _severity(severity: str) -> str:
    return severity if severity in ("critical", "error", "warning") else "warning"


def _cleaned(text: str) -> str:
    return _UNSHOWABLE.sub("\ufffd", text.replace("\r", ""))


def _shown(text: str, limit: int) -> str:
    """Make a text fit to stand in a line: no controls, and its middle left out where it is long."""
    line = " ".join(_cleaned(text[: 4 * limit] if len(text) > 8 * limit else text).split())
    if len(line) <= limit:
        return line
    half = max(1, limit // 2)
    return f"{line[:half]}…{line[-(half - 1) :] if half > 1 else ''}"


def _marked(text: str, limit: int) -> str:
    return _MARKDOWN.sub(r"\\\1", _shown(text, limit))


def _counted(count: int, one: str, many: str | None = None) -> str:
    if one in ("rejected",):
        return f"{count:,} {one}"
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _rows(table: str, count: int) -> str:
    """Say how many rows, in the table's own word."""
    word = table.removesuffix("s") if count == 1 else table
    return f"{count:,}&nbsp;<small>{escape(word, quote=False)}</small>"


def _verb(count: int, one: str = "is", many: str = "are") -> str:
    return one if count == 1 else many


def _sentence(text: str) -> str:
    shown = _shown(text, 200)
    return shown if shown.endswith((".", "!", "?", "…")) else shown + "."


def _lost(count: int, what: str) -> str:
    return f"{count:,} {what}" if count > 0 else ""


def _score(value: float) -> str:
    return f"{value:.3f}"


def _tenth(value: float) -> str:
    return f"{value:.1f}"


def _share(value: float) -> str:
    """Write a share in per cent, so that only all is 100 and only none is 0."""
    if 0 < value < 0.001:
        return "< 0.1%"
    if 0.999 < value < 1:
        return "> 99.9%"
    return f"{100 * value:.1f}%" if 0 < value < 1 else f"{100 * value:.0f}%"


def _money(value: float) -> str:
    """Write dollars: in cents, and where that would say little, in hundredths of them."""
    if 0 < value < 0.0001:
        return "< $0.0001"
    return f"${value:,.2f}" if value == 0 or value >= 0.1 else f"${value:.4f}"


def _cost(took: AskingFigures) -> str:
    return "price unknown" if took.unpriced else _money(took.cost_usd)


def _money_in_short(figures: Figures) -> Iterator[tuple[str, str]]:
    yield "Cost so far", _money(figures.cost_usd)
    if figures.cost_usd:
        yield "for 1,000 documents", _money(figures.cost_per_1000_documents)
    if figures.saved_texts:
        yield "Saved by the store", f"{_money(figures.saved_usd)}, {_counted(figures.saved_texts, 'text')}"
    if figures.held_usd:
        yield "Perhaps billed besides", _money(figures.held_usd)
    for budget in figures.budgets:
        name = _BUDGETS.get(budget.setting, _marked(budget.setting, 40))
        yield f"Used of the {name}", f"{_money(budget.used_usd)} of {_money(budget.limit_usd)}"
    if figures.waiting:
        yield "Chunks that wait", f"{figures.waiting_chunks:,}"


def _seconds(value: float) -> str:
    if value < 0.0095:
        return f"{1000 * value:.0f} ms" if value >= 0.0005 else "0 ms"
    if value < 60:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes:,} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def _size(value: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


_MEASURES: dict[str, tuple[str, Callable[[float], str], int]] = {
    "overall_score": ("Overall score", _score, 1),
    "searchable_share": ("Searchable documents", _share, 1),
    "coverage": ("Text covered by chunks", _share, 1),
    "documents": ("Documents", _whole, 0),
    "valid": ("Valid", _whole, 0),
    "rejected": ("Rejected", _whole, -1),
    "duplicates": ("Duplicates", _whole, 0),
    "tokens": ("Tokens", _whole, 0),
    "chunks": ("Chunks", _whole, 0),
    "corrected": ("Corrected chunks", _whole, 0),
    "refused": ("Refused corrections", _whole, -1),
    "failed": ("Failed rows", _whole, -1),
    "embedded": ("Embedded chunks", _whole, 0),
    "indexed": ("Points in the index", _whole, 0),
    "findings": ("Findings", _whole, -1),
    "cost_usd": ("Cost", _money, 0),
}
"""The headline's numbers: what they are called, how they are written, and whether more is better (1), worse (-1) or neither."""


@cache
def _style() -> tuple[str, str]:
    """Give the style sheet and its hash as the policy wants it."""
    style = files("dataflow_assets.stages").joinpath("report.css").read_text("utf-8")
    return style, base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
