"""The page: everything around the sections, and the sections in their order.

What belongs here: one HTML document that needs nothing else and is never too large, its policy and its style. What does not:
what a section shows (`overview`, `documents`, `chunks`, `money`).
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from html import escape
from importlib.resources import files

from dataflow_assets.stages.figures import Figures
from dataflow_assets.stages.report import words
from dataflow_assets.stages.report.chunks import Chunks
from dataflow_assets.stages.report.documents import Documents
from dataflow_assets.stages.report.elements import Part
from dataflow_assets.stages.report.money import Money
from dataflow_assets.stages.report.overview import Overview, StageTiming

CODE_VERSION = 2
"""Grows when the same figures give another page."""

MAX_BYTES = 300_000
"""No page is larger, whatever the documents are called."""

_TEXT_LIMITS = (300, 80, 24, 8)


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


class _Page(Part):
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
        super().__init__(figures, limit)
        self.library = library
        self.run_id = run_id
        self.generated_at = generated_at
        self.stages = stages
        self.notes = notes

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
            f"<title>{escape(words.one_line(self.library, self.limit), quote=False)} · Quality report</title>\n"
            f"<style>{style}</style>\n</head>\n<body>\n<main>\n"
            f'<header>\n<p class="over">Quality report</p>\n<h1>{name}</h1>\n'
            f'<p class="meta"><time datetime="{self.generated_at.strftime("%Y-%m-%dT%H:%M:%SZ")}">{made} UTC</time>'
            f" · run <code>{self.said(self.run_id)}</code></p>\n</header>\n{sections}\n"
            f"<footer>Counts are rows of the library's tables at the time of the report. {tokens} "
            "The same figures stand in <code>quality_reports.metrics</code>.</footer>\n</main>\n</body>\n</html>\n"
        )

    def _sections(self) -> Iterator[Callable[[], str]]:
        overview = Overview(self.figures, self.limit, self.notes, self.stages)
        documents = Documents(self.figures, self.limit)
        chunks = Chunks(self.figures, self.limit)
        money = Money(self.figures, self.limit)
        yield overview.headline
        yield overview.funnel
        yield overview.changes
        yield overview.run
        yield documents.rejections
        yield documents.findings
        yield documents.distributions
        yield documents.kinds
        yield documents.duplicates
        yield chunks.corrections
        yield chunks.index
        yield chunks.evaluations
        yield money.cost


@cache
def _style() -> tuple[str, str]:
    """Give the style sheet and its hash as the policy wants it."""
    style = files("dataflow_assets.stages.report").joinpath("report.css").read_text("utf-8")
    return style, base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
