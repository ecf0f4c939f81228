"""Small plots as SVG that stands inside an HTML page.

What belongs here: bars, a ring and a histogram, from numbers to markup. What does not: which numbers are shown and what is
said of them (`report`). Colours come from the page's classes, so that one style sheet serves screen, dark screen and paper.
No element needs a namespace, a script or a style attribute, so the page can forbid all three.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from dataflow_assets.stages.figures import Histogram

_WIDTH, _HEIGHT = 320, 168
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 10, 12, 24
_LABEL_ROOM = 36


def bar(parts: Sequence[tuple[float, str]], *, label: str) -> str:
    """Draw a horizontal bar that fills the width it is given.

    Args:
        parts: Shares of the whole width (0 to 1) with the class of each piece, from left to right.
        label: What a screen reader says.
    """
    drawn, start = [], 0.0
    for share, name in parts:
        width = max(0.0, min(share, 1.0 - start))
        if width > 0:
            # A piece that is there must be seen.
            shown = max(width, 0.004)
            drawn.append(
                f'<rect class="{name}" x="{_percent(min(start, 1 - shown))}" width="{_percent(shown)}" height="100%"/>'
            )
        start += width
    return (
        f'<svg class="bar" role="img" aria-label="{escape(label)}" width="100%" height="12">'
        f'<rect class="track" width="100%" height="100%"/>{"".join(drawn)}</svg>'
    )


def ring(share: float, text: str, *, label: str, name: str) -> str:
    """Draw a ring that is filled to a share, with a text inside.

    Args:
        share: 0 to 1.
        text: A few characters.
        label: What a screen reader says.
        name: Class of the filled part.
    """
    filled = round(100 * max(0.0, min(share, 1.0)), 2)
    arc = (
        f'<circle class="{name}" cx="60" cy="60" r="52" fill="none" stroke-width="9" pathLength="100" '
        f'stroke-dasharray="{filled:g} 100" transform="rotate(-90 60 60)"/>'
    )
    return (
        f'<svg class="ring" role="img" aria-label="{escape(label)}" viewBox="0 0 120 120">'
        f'<circle class="hole" cx="60" cy="60" r="52" fill="none" stroke-width="9"/>{arc if filled else ""}'
        f'<text x="60" y="70" text-anchor="middle">{escape(text)}</text></svg>'
    )


def histogram(shown: Histogram, *, name: str, title: str, format_value: Callable[[float], str]) -> str:
    """Draw a histogram with axes, and a mark at the median.

    Args:
        shown: The bins; at least one.
        name: An identifier, unique in the page.
        title: What is distributed, for the accessible title.
        format_value: How values of the horizontal axis are written.
    """
    bins, highest = len(shown.counts), max(shown.counts)
    inner, base = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _BOTTOM
    step, ticks = inner / bins, _ticks(highest)
    scale = (base - _TOP) / ticks[-1]
    parts = []
    for tick in ticks:
        y = base - tick * scale
        parts.append(
            f'<line class="{"axis" if tick == 0 else "grid"}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{short_number(tick)}</text>')
    gap = min(2.0, step * 0.15)
    for place, count in enumerate(shown.counts):
        if not count:
            continue
        height = max(1.0, count * scale)
        parts.append(
            f'<rect class="s1" x="{_LEFT + place * step + gap / 2:.1f}" y="{base - height:.1f}" width="{step - gap:.1f}" '
            f'height="{height:.1f}"><title>{escape(_bin_name(shown, place, format_value))}: {count:,}</title></rect>'
        )
    labels = list(shown.edges)
    every = max(1, math.ceil(len(labels) * _LABEL_ROOM / inner))
    if shown.discrete and every > 1:
        every = 5 if len(labels) == 11 else every
    for place, edge in enumerate(labels):
        if place % every:
            continue
        x = _LEFT + (place + (0.5 if shown.discrete else 0)) * step
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{base}" y2="{base + 4}"/>')
        parts.append(f'<text x="{x:.1f}" y="{base + 16}" text-anchor="middle">{escape(format_value(edge))}</text>')
    middle = _LEFT + _position(shown, shown.median) * step
    parts.append(f'<path class="median" d="M{middle:.1f} {_TOP - 4}V{base}"/>')
    described = f"{shown.total:,} values from {format_value(shown.minimum)} to {format_value(shown.maximum)}"
    return (
        f'<svg class="plot" role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(described)}, median {escape(format_value(shown.median))}</desc>{"".join(parts)}</svg>'
    )


def short_number(value: float) -> str:
    """Write a number in few characters: 950, 1.2k, 34k, 5M."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            scaled = value / limit
            return f"{scaled:.0f}{letter}" if scaled >= 100 else f"{math.floor(scaled * 10) / 10:g}{letter}"
    return f"{value:g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def _ticks(highest: int) -> list[int]:
    """Choose up to five round numbers from 0 to above the highest count."""
    power = 1
    while True:
        for lead in (1, 2, 5):
            if lead * power * 4 >= highest:
                width = lead * power
                return [width * place for place in range(max(1, math.ceil(highest / width)) + 1)]
        power *= 10


def _bin_name(shown: Histogram, place: int, format_value: Callable[[float], str]) -> str:
    if shown.discrete:
        return format_value(shown.edges[place])
    return f"{format_value(shown.edges[place])} to below {format_value(shown.edges[place + 1])}"


def _position(shown: Histogram, value: float) -> float:
    """Give the place of a value along the axis, in bins."""
    bins = len(shown.counts)
    if shown.discrete:
        nearest = min(range(bins), key=lambda place: abs(shown.edges[place] - value))
        return nearest + 0.5
    for place in range(bins):
        low, high = shown.edges[place], shown.edges[place + 1]
        if low <= value < high:
            return place + (value - low) / (high - low)
    return float(bins) if value >= shown.edges[-1] else 0.0
