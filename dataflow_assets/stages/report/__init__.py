"""The quality report: figures in, one HTML page out.

What belongs here: which figures are shown, in which words, and the page around them; the same in short as Markdown. What does
not: collecting the figures (`warehouse.figures`), their records (`figures`), drawing (`plots`), and writing the file.

`page` puts together what four parts draw: `overview`, `documents`, `chunks` and `money`. They are made of the same `elements`,
and tell the same `verdict` as the `markdown`, in the same `words`.

The page is one file that needs nothing else, now or in ten years: no script, no request, its policy forbids both. Whatever
comes from documents is hostile until it is escaped, so all text goes through `Part.said`. The same input gives the same page.
"""

from __future__ import annotations

from dataflow_assets.stages.figures import headline
from dataflow_assets.stages.report.markdown import summary_markdown
from dataflow_assets.stages.report.overview import StageTiming
from dataflow_assets.stages.report.page import CODE_VERSION, MAX_BYTES, render_report

__all__ = ["CODE_VERSION", "MAX_BYTES", "StageTiming", "headline", "render_report", "summary_markdown"]
