"""The chunks: what became of their texts, their vectors and points, and how well a search finds them.

What belongs here: the sections of the page about corrections, embeddings, the index, and the quality of searches. What does not:
what models were paid for them (`money`).
"""

from __future__ import annotations

from html import escape

from dataflow_assets.stages.figures import CorrectionSample
from dataflow_assets.stages.plots import bar
from dataflow_assets.stages.report import words
from dataflow_assets.stages.report.elements import Part, section, table


class Chunks(Part):
    """The sections about chunks."""

    def corrections(self) -> str:
        """Show what became of the chunks' texts, with samples of what was mended and refused."""
        figures, funnel = self.figures, self.figures.funnel
        asked = funnel.corrected + funnel.unchanged + funnel.refused + funnel.failed
        if not funnel.chunks:
            return ""
        if not asked:
            return section(
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
        return section("Corrections", body)

    def _diff(self, sample: CorrectionSample) -> str:
        marks = {"gone": "del", "new": "ins"}
        parts = []
        for segment in sample.diff:
            if segment.kind == "cut":
                parts.append('<span class="cut"> … </span>')
                continue
            text = escape(words.cleaned(segment.text)[: self.limit], quote=False)
            mark = marks.get(segment.kind)
            parts.append(f"<{mark}>{text}</{mark}>" if mark else text)
        where = " › ".join(self.said(heading) for heading in sample.heading_path)
        where = " · ".join(filter(None, (where, self.said(sample.model) if sample.model else "")))
        return (
            f'<div class="diff"><p class="where">{self._document(sample.document)}'
            f'{f" <small>{where}</small>" if where else ""}</p><pre dir="auto">{"".join(parts)}</pre></div>'
        )

    def index(self) -> str:
        """Show the vectors by model, and what of them stands in the index."""
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
        body = table(columns, rows, numbers=range(1, 7)) if rows else "<p>No chunk has a vector yet.</p>"
        generations = f" in {words.counted(figures.generations, 'generation')}" if figures.generations else ""
        body += (
            f'<p class="note">{words.counted(funnel.indexed, "point")} in the search index{generations}; '
            f"{funnel.distinct_texts:,} different texts among {words.counted(funnel.chunks, 'chunk')}.</p>"
        )
        if figures.unanswered:
            body += (
                '<div class="block"><h3>Without an answer</h3>' + self._reasons(figures.unanswered, "Chunks") + "</div>"
            )
        return section("Embeddings and index", body)

    def evaluations(self) -> str:
        """Show how well searches found what they were asked for, each time that it was measured."""
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
        return section("Search quality", table(columns, rows, numbers=range(2, 7)) + note)
