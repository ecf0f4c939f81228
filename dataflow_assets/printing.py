"""What the command prints: JSON for programs and tables for people on standard output, the rest on standard error."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dataflow_assets.search.results import SearchAnswer


def print_json(value: Any) -> None:
    """Print a value for a program."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    return value.isoformat(sep=" ") if hasattr(value, "isoformat") else str(value)


def print_table(names: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int | None = None) -> None:
    """Print rows for a person; the last `numbers` columns stand to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, name in enumerate(names):
        right = numbers is not None and position >= len(names) - numbers
        table.add_column(Text(name), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(100, 30 * len(names)))
    console.print(table)


def print_results(answer: SearchAnswer) -> None:
    """Print the results of a search for a person."""
    if not answer.results:
        click.echo("Nothing found.")
        return
    for place, result in enumerate(answer.results, 1):
        where = " > ".join(result.heading_path) or result.title
        click.echo(f"{click.style(f'{place}. {where}', bold=True)}  {result.score:.3f}")
        click.echo(click.style(f"   {result.library}  {result.source_uri}:{result.start_position}", fg="cyan"))
        text = " ".join((result.corrected_text or result.text).split())
        click.echo(f"   {text[:300]}{'...' if len(text) > 300 else ''}")
        if result.scores is not None:
            said = result.scores
            similar = "no vector" if said.semantic is None else f"{said.semantic:.3f}"
            factors = "".join(f", {name} x{factor:g}" for name, factor in said.features.items())
            click.echo(
                click.style(
                    f"   similarity {similar}, BM25 {said.keyword:.2f}, together {said.fused:.3f}{factors}", dim=True
                )
            )
        click.echo()


def cell(value: Any) -> str:
    """Give a value of a table, shortened."""
    text = "" if value is None else str(value)
    return text if len(text) <= 200 else text[:197] + "..."


def counted(count: int, thing: str) -> str:
    """Give a number with what it counts: `1 document`, `12 documents`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def shortest(path: str) -> str:
    """Give a path relative to the current folder where that is shorter."""
    return min(os.path.relpath(path), path, key=len)


def say(text: str) -> None:
    """Say something to the person, on standard error."""
    click.echo(text, err=True)


def say_all(notes: Sequence[str]) -> None:
    """Say several things."""
    for note in notes:
        say(note)
