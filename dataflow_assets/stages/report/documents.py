"""The documents: why some were rejected, what the checks found, how long they are, of what kinds, and which are the same.

What belongs here: the sections of the page about documents, and the plots that show them beside their chunks. What does not:
what became of the chunks (`chunks`).
"""

from __future__ import annotations

from html import escape

from dataflow_assets.stages.figures import Histogram, Share
from dataflow_assets.stages.plots import bar, histogram, short_number
from dataflow_assets.stages.report import words
from dataflow_assets.stages.report.elements import Part, section, table


class Documents(Part):
    """The sections about documents."""

    def rejections(self) -> str:
        """Show why documents were rejected."""
        funnel = self.figures.funnel
        if not funnel.rejected:
            return ""
        told = (
            f"<p>{words.counted(funnel.rejected, 'document')} of {funnel.listed:,} cannot be used as they are. "
            "The rest of the library is not affected.</p>"
        )
        return section("Rejected, and why", told + self._reasons(self.figures.rejections, "Documents"))

    def findings(self) -> str:
        """Show what the checks found, and the valid documents with the lowest scores."""
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
        body = table(("Severity", "Finding", "Rule", "Found on"), rows, numbers=(3,), stack=True)
        if figures.weakest:
            weak = [
                f'<tr><td class="n">{words.score(document.quality_score)}</td><td>{self._document(document.document)}</td>'
                f"<td>{'<br>'.join(self.said(finding) for finding in document.findings)}</td></tr>"
                for document in figures.weakest
            ]
            body += (
                '<div class="block"><h3>Valid documents with the lowest scores</h3>'
                + table(("Score", "Document", "Because"), weak, numbers=(0,), stack=True)
                + "</div>"
            )
        return section("What the checks found", body)

    def distributions(self) -> str:
        """Show how lengths and scores are distributed."""
        figures = self.figures
        plots = (
            ("Length of documents, characters", "characters", figures.document_characters, short_number, "documents"),
            ("Length of documents, tokens", "tokens", figures.document_tokens, short_number, "documents"),
            ("Length of chunks, tokens", "chunks", figures.chunk_token_counts, short_number, "chunks"),
            ("Quality score of documents", "score", figures.quality_scores, words.tenth, "documents"),
            ("Content quality of documents", "content", figures.content_quality, words.tenth, "documents"),
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
        return section("How lengths and scores are distributed", f'<div class="grid3 plots">{drawn}</div>{note}')

    def kinds(self) -> str:
        """Show languages, types of document and media types."""
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
        return section("Languages and kinds", f'<div class="grid3">{drawn}</div>') if drawn else ""

    def _kind(self, share: Share, whole: int) -> str:
        part = share.count / whole if whole else 0.0
        drawn = bar([(part, "s1")], label=f"{words.one_line(share.name, 80)}: {words.share(part)}")
        return (
            f"<span>{self.said(share.name or 'unknown')}</span>{drawn}"
            f'<span class="value">{share.count:,} <small>{words.share(part)}</small></span>'
        )

    def duplicates(self) -> str:
        """Show which documents have the same text."""
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
        rest = f'<p class="note">and {words.counted(more, "more group")}.</p>' if more > 0 else ""
        told = (
            f"<p>{words.counted(count, 'document')} {words.verb(count, 'has', 'have')} exactly the text "
            f"of another one. Of each group one stays and is searched for all.</p>"
        )
        return section(
            "Duplicates",
            told
            + table(("The one that stays", "Behind it, for example", "Documents"), rows, numbers=(2,), stack=True)
            + rest,
        )


def _statistics(shown: Histogram, unit: str) -> str:
    if shown.discrete:
        return f"{shown.total:,} {unit} · mean {shown.mean:.3f} · least {shown.minimum:.2f}"
    return f"{shown.total:,} {unit} · median {shown.median:,.0f} · 90% up to {shown.p90:,.0f} · largest {shown.maximum:,.0f}"


def _severity(severity: str) -> str:
    return severity if severity in ("critical", "error", "warning") else "warning"


def _rows(table: str, count: int) -> str:
    """Say how many rows, in the table's own word."""
    word = table.removesuffix("s") if count == 1 else table
    return f"{count:,}&nbsp;<small>{escape(word, quote=False)}</small>"
