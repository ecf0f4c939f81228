"""The words of the report: numbers, and texts from documents, as a person reads them.

What belongs here: how a count, a share, a sum of money, a time or a size is written, and a text made fit to stand in a line. What
does not: escaping, which differs between a page (`elements`) and Markdown (`markdown`), and whole sentences (`verdict`).
"""

from __future__ import annotations

import re

from dataflow_assets.stages.figures import AskingFigures

BUDGETS = {"budget_usd": "budget for life", "monthly_budget_usd": "budget of this month"}
"""What the settings that hold budgets are called."""

_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufff9-\ufffc\ufffe\uffff]"
)
"""Controls, direction overrides, surrogates: what could hide or turn round the text beside it, or is no text."""


def cleaned(text: str) -> str:
    """Replace what could hide or turn round the text beside it."""
    return _UNSHOWABLE.sub("\ufffd", text.replace("\r", ""))


def one_line(text: str, limit: int) -> str:
    """Make a text fit to stand in a line: no controls, and its middle left out where it is long."""
    line = " ".join(cleaned(text[: 4 * limit] if len(text) > 8 * limit else text).split())
    if len(line) <= limit:
        return line
    half = max(1, limit // 2)
    return f"{line[:half]}…{line[-(half - 1) :] if half > 1 else ''}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """Write a count and what is counted, in the singular or the plural."""
    if one in ("rejected",):
        return f"{count:,} {one}"
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def verb(count: int, one: str = "is", many: str = "are") -> str:
    """Give the verb's form for a count."""
    return one if count == 1 else many


def sentence(text: str) -> str:
    """Make a text fit to stand as a sentence."""
    shown = one_line(text, 200)
    return shown if shown.endswith((".", "!", "?", "…")) else shown + "."


def lost(count: int, what: str) -> str:
    """Write how many were lost; nothing if none were."""
    return f"{count:,} {what}" if count > 0 else ""


def score(value: float) -> str:
    """Write a score of 0 to 1."""
    return f"{value:.3f}"


def tenth(value: float) -> str:
    """Write a number to its tenths."""
    return f"{value:.1f}"


def share(value: float) -> str:
    """Write a share in per cent, so that only all is 100 and only none is 0."""
    if 0 < value < 0.001:
        return "< 0.1%"
    if 0.999 < value < 1:
        return "> 99.9%"
    return f"{100 * value:.1f}%" if 0 < value < 1 else f"{100 * value:.0f}%"


def money(value: float) -> str:
    """Write dollars: in cents, and where that would say little, in hundredths of them."""
    if 0 < value < 0.0001:
        return "< $0.0001"
    return f"${value:,.2f}" if value == 0 or value >= 0.1 else f"${value:.4f}"


def cost(took: AskingFigures) -> str:
    """Write what a stage's asking cost, if that is known."""
    return "price unknown" if took.unpriced else money(took.cost_usd)


def seconds(value: float) -> str:
    """Write a duration, in the units that a person would take."""
    if value < 0.0095:
        return f"{1000 * value:.0f} ms" if value >= 0.0005 else "0 ms"
    if value < 60:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes:,} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def size(value: float) -> str:
    """Write a number of bytes."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def whole(value: float) -> str:
    """Write a number without its fraction."""
    return f"{value:,.0f}"
