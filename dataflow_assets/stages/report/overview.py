"""The overview: the verdict, the way from the source to the search, what changed, and the run.

What belongs here: the sections of the page that show the library as a whole. What does not: what was found in its documents
(`documents`) and chunks (`chunks`), and what it costs (`money`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from dataflow_assets.stages.figures import Figures, headline
from dataflow_assets.stages.plots import bar, ring, short_number
from dataflow_assets.stages.report import words
from dataflow_assets.stages.report.elements import NUMBER, Part, commands, section, table
from dataflow_assets.stages.report.verdict import Level, attention, verdict


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


class Overview(Part):
    """The sections of the library as a whole."""

    def __init__(
        self, figures: Figures, limit: int, notes: Sequence[str] = (), stages: Sequence[StageTiming] = ()
    ) -> None:
        super().__init__(figures, limit)
        self.notes = notes
        self.stages = stages

    def headline(self) -> str:
        """Show the verdict with what needs attention, and the figures that say most."""
        figures, funnel = self.figures, self.figures.funnel
        level, sentence = verdict(figures)
        score = words.score(figures.overall_score) if funnel.listed else "–"
        name: Level = "good" if figures.overall_score >= 0.8 else "warn" if figures.overall_score >= 0.5 else "bad"
        drawn = ring(
            figures.overall_score if funnel.listed else 0.0, score, label=f"Overall score {score} of 1", name=name
        )
        items = "".join(
            f'<li class="{grade}">{commands(self.said(text))}</li>' for grade, text in attention(figures, self.notes)
        )
        tiles = (
            ("Documents", f"{funnel.listed:,}", words.size(funnel.size_bytes)),
            ("Searchable", words.share(figures.searchable_share) if funnel.listed else "–", "of the documents"),
            ("Chunks", f"{funnel.chunks:,}", f"{short_number(figures.chunk_tokens)} tokens"),
            ("Coverage", words.share(figures.coverage.share) if funnel.valid else "–", "of the text is in chunks"),
            ("Cost", words.money(figures.cost_usd), "so far")
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

    def funnel(self) -> str:
        """Show how many documents and chunks reached each stage."""
        figures, funnel = self.figures, self.figures.funnel
        if not funnel.listed:
            return section(
                "From the source to the search",
                "<p>The source lists no documents, so there is nothing to show yet.</p>",
            )
        away = [
            words.counted(funnel.rejected, "rejected") if funnel.rejected else "",
            words.counted(funnel.duplicates, "duplicate", "duplicates") if funnel.duplicates else "",
        ]
        unchunked = figures.coverage.documents_without_chunks
        without = funnel.chunks - funnel.embedded
        looked = funnel.corrected + funnel.unchanged + funnel.refused
        documents = (
            ("Listed", funnel.listed, "at the source", "s1"),
            ("Fetched", funnel.fetched, words.lost(funnel.listed - funnel.fetched, "could not be fetched"), "s1"),
            ("Valid", funnel.valid, ", ".join(filter(None, away)), "s1"),
            ("Chunked", funnel.chunked, words.lost(unchunked, "without chunks"), "s1"),
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
            ("Embedded", funnel.embedded, words.lost(without, "without a vector"), "s1"),
            ("Searchable", funnel.indexed, words.lost(funnel.missing_points, "not in the index"), "good"),
        )
        rows = ['<div class="unit">Documents</div>', *(_step(*row, whole=funnel.listed) for row in documents)]
        rows += ['<div class="unit">Chunks</div>', *(_step(*row, whole=funnel.chunks) for row in chunks)]
        return section("From the source to the search", f'<div class="steps">{"".join(rows)}</div>')

    def changes(self) -> str:
        """Show what is not as it was in the last report."""
        previous = self.figures.previous
        title = "What changed since the last report"
        if previous is None:
            return section(
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
                f"<td{tone or NUMBER}>{'+' if delta > 0 else '−'}{form(abs(delta))}</td></tr>"
            )
        snapshot = self.figures.snapshot()
        moved = [
            *_moved("Rejected", previous.rejections, snapshot.rejections),
            *_moved("Finding", previous.findings, snapshot.findings),
        ]
        if not rows and not moved:
            return section(title, f"{since}<p>No figure changed.</p>")
        measures = table(("Measure", "Before", "Now", "Change"), rows, numbers=(1, 2, 3)) if rows else ""
        lines = "".join(
            f"<li>{kind}: {self.said(name)} <span>{before:,} → {after:,}</span></li>"
            for kind, name, before, after in moved[:12]
        )
        listed = f'<ul class="samples">{lines}</ul>' if lines else ""
        return section(title, since + measures + listed)

    def run(self) -> str:
        """Show what each stage of the run did and took."""
        if not self.stages:
            return ""
        longest = max(stage.seconds for stage in self.stages) or 1.0
        rows = []
        for stage in self.stages:
            label = f"{stage.name}: {words.seconds(stage.seconds)}"
            numbers = "".join(
                f'<td class="n{"" if value else " none"}">{value:,}</td>'
                for value in (stage.new, stage.changed, stage.unchanged, stage.deleted, stage.failed)
            )
            rows.append(
                f'<tr><td class="name">{self.said(stage.name)}</td>{numbers}<td class="n">{words.seconds(stage.seconds)}</td>'
                f'<td class="plotted">{bar([(stage.seconds / longest, "s1")], label=label)}</td>'
                f'<td class="n">{words.size(stage.peak_memory_bytes)}</td></tr>'
            )
        total, peak = sum(stage.seconds for stage in self.stages), max(stage.peak_memory_bytes for stage in self.stages)
        columns = ("Stage", "New", "Changed", "Unchanged", "Deleted", "Failed", "Time", "", "Peak memory")
        return section(
            "The run, stage by stage",
            table(columns, rows, numbers=(1, 2, 3, 4, 5, 6, 8))
            + f'<p class="note">{words.seconds(total)} in all, {words.size(peak)} of memory at the peak. '
            "Counts are rows; the peak is the process&#8217;s.</p>",
        )


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


_MEASURES: dict[str, tuple[str, Callable[[float], str], int]] = {
    "overall_score": ("Overall score", words.score, 1),
    "searchable_share": ("Searchable documents", words.share, 1),
    "coverage": ("Text covered by chunks", words.share, 1),
    "documents": ("Documents", words.whole, 0),
    "valid": ("Valid", words.whole, 0),
    "rejected": ("Rejected", words.whole, -1),
    "duplicates": ("Duplicates", words.whole, 0),
    "tokens": ("Tokens", words.whole, 0),
    "chunks": ("Chunks", words.whole, 0),
    "corrected": ("Corrected chunks", words.whole, 0),
    "refused": ("Refused corrections", words.whole, -1),
    "failed": ("Failed rows", words.whole, -1),
    "embedded": ("Embedded chunks", words.whole, 0),
    "indexed": ("Points in the index", words.whole, 0),
    "findings": ("Findings", words.whole, -1),
    "cost_usd": ("Cost", words.money, 0),
}
"""The headline's numbers: what they are called, how they are written, and whether more is better (1), worse (-1) or neither."""
