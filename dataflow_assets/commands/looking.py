"""Looking at what is there: `status`, `sql`, `catalog`; and removing it: `forget`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from dataflow_assets.catalog_schema import json_schema
from dataflow_assets.commands.options import as_json, named_catalog, usable_home
from dataflow_assets.errors import CatalogError, ConfigurationError
from dataflow_assets.home import open_index
from dataflow_assets.printing import cell, counted, print_json, print_table, say, say_all
from dataflow_assets.warehouse.store import Warehouse

if TYPE_CHECKING:
    from dataflow_assets.catalog import Catalog


@click.command()
@as_json
def status(as_json: bool) -> None:
    """Show the libraries: rows, points, freshness, last run, cost so far."""
    from dataflow_assets.flow.status import library_states

    home = usable_home()
    try:
        catalog: Catalog | None = named_catalog()
    except ConfigurationError as error:
        if not Warehouse(home).path.exists():
            raise
        catalog = None
        say(str(error))
    answer = library_states(catalog, home)
    if as_json:
        print_json(answer)
        return
    rows = []
    for name, told in answer["libraries"].items():
        counts, last = told["rows"], told["last_run"] or {}
        rows.append(
            [
                name + (" (retired)" if told["retired"] else ""),
                f"{counts['raw_documents']:,}",
                f"{told['valid']:,}",
                f"{counts['chunks']:,}",
                f"{told['points']:,}",
                told["fresh_as_of"] or "never",
                last.get("status", "never run"),
                f"{told['cost_usd']:.4f}",
                f"{told.get('month_usd', 0.0):.4f}",
                _left(told),
            ]
        )
    print_table(
        [
            "library",
            "documents",
            "valid",
            "chunks",
            "points",
            "last change (UTC)",
            "last run",
            "USD",
            "this month",
            "left",
        ],
        rows,
    )
    print_table(
        ["library", "source", "last listing (UTC)", "items", "not fetched", "last error"],
        [
            [name, one["type"] or "", (one["listed_at"] or "never").replace("T", " "), f"{one['listed'] or 0:,}", f"{one['items_failed']:,}",
             one["error"] or ""]
            for name, told in answer["libraries"].items()
            if (one := told["source"])["type"] or one["listed_at"]
        ],
    )  # fmt: skip
    for name, told in answer["libraries"].items():
        if told["last_run"] and told["last_run"]["message"]:
            say(f"{name}: {told['last_run']['message']}")
        if told["waiting_documents"]:
            say(
                f"{name}: {_they(told['waiting_documents'], 'document', 'has', 'have')} pages that wait to be read by a model."
            )
        if told.get("waiting"):
            say(f"{name}: {_they(told['waiting'], 'chunk', 'waits', 'wait')} for a budget or a batch.")
        for batch in told.get("batches", ()):
            named = batch["batch_id"] or "A batch"
            say(
                f"{name}: {named} is being answered since {batch['sent_at']} UTC ({counted(batch['requests'], 'request')})."
            )
        if told.get("held_usd"):
            say(
                f"{name}: {told['held_usd']:.4f} USD may have been billed besides, for answers that were lost on the way."
            )
        if told["retired"]:
            say(f"{name}: no longer in the catalog; it is kept, and searchable, until `dataflow forget {name}`.")


def _they(count: int, thing: str, one_does: str, many_do: str) -> str:
    return f"{counted(count, thing)} {one_does if count == 1 else many_do}"


def _left(told: Mapping[str, Any]) -> str:
    """Say how much of its budgets a library has left."""
    left = [told[name] for name in ("budget_left_usd", "monthly_budget_left_usd") if name in told]
    return f"{min(left):.4f}" if left else ""


@click.command()
@click.argument("statement")
@as_json
def sql(statement: str, as_json: bool) -> None:
    """Ask the warehouse in SQL; nothing can be changed."""
    import duckdb

    try:
        with Warehouse(usable_home()).reading() as connection:
            # Read-only is the warehouse alone: COPY would still write files, and functions read them.
            connection.execute("SET enable_external_access = false")
            cursor = connection.execute(statement)
            names = [column[0] for column in cursor.description or ()]
            rows: list[tuple[Any, ...]] = cursor.fetchall()
    except duckdb.Error as error:
        raise ConfigurationError(f"The warehouse cannot answer that: {str(error).strip()}") from error
    if as_json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_table(names, [[cell(value) for value in row] for row in rows])


@click.group()
def catalog() -> None:
    """The catalog: its JSON Schema, and the verdict on it."""


@catalog.command("schema")
@click.option("--json", is_flag=True, hidden=True, expose_value=False)
def catalog_schema() -> None:
    """Print the JSON Schema of the catalog."""
    print_json(json_schema())


@catalog.command("check")
@as_json
def catalog_check(as_json: bool) -> None:
    """Say whether the catalog is right, and everything that is wrong with it."""
    try:
        found = named_catalog()
        _check_golden(found)
    except CatalogError as error:
        if as_json:
            print_json({"ok": False, "problems": error.problems})
        raise
    if as_json:
        print_json({"ok": True, "problems": [], "notes": list(found.notes), "libraries": list(found.libraries)})
    else:
        count = "1 library" if len(found.libraries) == 1 else f"{len(found.libraries):,} libraries"
        click.echo(f"{found.path} is right: {count} ({', '.join(found.libraries) or 'none'}).")
        say_all(found.notes)


def _check_golden(found: Catalog) -> None:
    """Read the golden queries that the catalog names, as a run does before it begins."""
    from dataflow_assets.flow.evaluate import golden_questions

    problems = []
    for name, settings in found.libraries.items():
        try:
            golden_questions(name, settings, found.folder)
        except ConfigurationError as error:
            problems.append(str(error))
    if problems:
        raise CatalogError(problems)


@click.command()
@click.argument("library")
@as_json
def forget(library: str, as_json: bool) -> None:
    """Remove a library from every table and the index. Its source is not touched."""
    from dataflow_assets.flow.forget import forget as remove
    from dataflow_assets.flow.status import libraries_in

    home = usable_home()
    warehouse = Warehouse(home)
    known = libraries_in(warehouse)
    if library not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise ConfigurationError(f"The warehouse has no library {library!r}. It has: {listed}.")
    removed = remove(library, home=home, warehouse=warehouse, index=open_index(home))
    if as_json:
        print_json({"library": library, "removed": removed})
    else:
        click.echo(
            f"{library} is forgotten: {counted(removed['raw_documents'], 'document')}, {counted(removed['chunks'], 'chunk')}."
        )
