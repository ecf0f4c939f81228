"""What the parts of the page are made of.

What belongs here: the HTML that several parts need, and the way by which a text from a document enters the page. What does not:
which figures are shown (`overview`, `documents`, `chunks`, `money`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from dataflow_assets.stages.figures import Figures, ReasonGroup, Sample
from dataflow_assets.stages.report import words

NUMBER = ' class="n"'
"""The attribute of a cell that holds a number."""


class Part:
    """Sections of the page that belong together, at one limit for texts from documents."""

    def __init__(self, figures: Figures, limit: int) -> None:
        self.figures = figures
        self.limit = limit

    def said(self, text: str) -> str:
        """Escape a text that anybody may have written, in its own direction."""
        return f"<bdi>{escape(words.one_line(text, self.limit), quote=False)}</bdi>"

    def _reasons(self, groups: Sequence[ReasonGroup], unit: str) -> str:
        rows = [
            f"<tr><td>{self.said(group.reason)}{self._samples(group.samples)}</td>"
            f'<td class="n" data-name="{unit}:">{group.count:,}</td></tr>'
            for group in groups
        ]
        return table(("Reason, and some of them", unit), rows, numbers=(1,), stack=True)

    def _samples(self, samples: Sequence[Sample]) -> str:
        listed = "".join(f"<li>{self._document(sample)}</li>" for sample in samples)
        return f'<ul class="samples">{listed}</ul>' if listed else ""

    def _suggestion(self, text: str) -> str:
        return f" <small>{self.said(text)}</small>" if text else ""

    def _document(self, sample: Sample) -> str:
        title = f"{self.said(sample.title)} " if sample.title else ""
        return f'<span class="where">{title}<code>{self.said(sample.source_uri)}</code></span>'


def section(title: str, body: str) -> str:
    """Give a section under its title; the body is HTML."""
    return f"<section>\n<h2>{title}</h2>\n{body}\n</section>"


def table(columns: Sequence[str], rows: Sequence[str], *, numbers: Sequence[int] = (), stack: bool = False) -> str:
    """Give a table of rows that are HTML; the columns in `numbers` hold numbers, and `stack` is for narrow screens."""
    head = "".join(
        f'<th{NUMBER if place in numbers else ""} scope="col">{column}</th>' for place, column in enumerate(columns)
    )
    kind = ' class="stack"' if stack else ""
    return f'<div class="wide"><table{kind}><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def commands(escaped: str) -> str:
    """Set what stands between backticks as code."""
    return re.sub("`([^`<>]{1,200})`", r"<code>\1</code>", escaped)
