"""The `dataflow` command: words for a person, `--json` for a program, and an exit status that both can rely on.

What belongs here: options, printing, exit statuses. What does not: what a command does (`flow`, `search`, `command_run`).
Results go to standard output, everything else to standard error. Only `run` and `dev` import Dagster; the others answer
without waiting for it.

Exit status: 0 all is up to date, 1 something could not be done or was withheld, 2 the call, the catalog or the configuration
is wrong and nothing was changed.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dataflow_assets import __version__
from dataflow_assets.catalog import Catalog, load_catalog
from dataflow_assets.catalog_schema import json_schema
from dataflow_assets.errors import ConfigurationError, DataflowError
from dataflow_assets.home import catalog_path, home_path, open_index, prepare_dagster_home
from dataflow_assets.printing import cell, print_json, print_results, print_table, say, say_all
from dataflow_assets.warehouse.store import Warehouse

if TYPE_CHECKING:
    from dataflow_assets.flow.plan import Plan, StagePlan
    from dataflow_assets.index.base import SearchIndex
    from dataflow_assets.search.results import SearchAnswer
    from dataflow_assets.settings import LibrarySettings

as_json = click.option("--json", "as_json", is_flag=True, help="Print machine-readable output on standard output.")
library_arguments = click.argument("libraries", nargs=-1, metavar="[LIBRARY]...")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="dataflow")
def cli() -> None:
    """Keep libraries of documents searchable.

    The catalog (DATAFLOW_CATALOG, or catalog.yaml here) names the libraries; the home (DATAFLOW_HOME, or .dataflow here)
    holds all state.
    """


@cli.command()
@library_arguments
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Libraries worked on at a time.")
@click.option("--accept-deletes", is_flag=True, help="Agree to a delete that was withheld. Name the libraries.")
@as_json
def run(libraries: tuple[str, ...], jobs: int, accept_deletes: bool, as_json: bool) -> None:
    """Bring libraries up to date: all of the catalog, or those named."""
    catalog = _catalog(libraries)
    if accept_deletes and not libraries:
        raise ConfigurationError("--accept-deletes needs the names of the libraries whose deletes you agree to.")
    from dataflow_assets.command_run import run_libraries

    say_all(catalog.notes)
    answer = run_libraries(catalog, libraries, jobs=jobs, accept_deletes=accept_deletes, show=not as_json)
    if as_json:
        print_json(answer)
    else:
        from dataflow_assets.command_run import print_outcome

        print_outcome(answer)
    for name, outcome in answer["libraries"].items():
        if outcome["message"]:
            say(f"{name}: {outcome['message']}")
    outcomes = answer["libraries"].values()
    sys.exit(
        2 if any("configuration" in o for o in outcomes) else 0 if all(o["status"] == "ok" for o in outcomes) else 1
    )


@cli.command()
@library_arguments
@as_json
def plan(libraries: tuple[str, ...], as_json: bool) -> None:
    """Say what a run would do and cost; nothing is stored and no model is called."""
    from dataflow_assets.flow.library_run import LibraryRun
    from dataflow_assets.flow.plan import StagePlan
    from dataflow_assets.flow.plan import plan as make_plan

    catalog, home = _catalog(libraries), home_path()
    answer: dict[str, Any] = {"libraries": {}}
    for name in libraries or catalog.libraries:
        plans: list[Plan] = []
        for partition in catalog.partition_keys(name):
            library_run = LibraryRun.of(
                catalog, partition, home=home, warehouse=Warehouse(home), index=open_index(home), spool=home
            )
            plans.append(make_plan(library_run))
        stages = {stage: sum((p.stages[stage] for p in plans), StagePlan()) for stage in plans[0].stages}
        answer["libraries"][name] = {
            "stages": {stage: _planned(told) for stage, told in stages.items()},
            "deletes": sum(p.deletes for p in plans),
            "withheld_deletes": max(p.withheld_deletes for p in plans),
            "message": plans[0].message,
            **_budget(home, name, catalog.library(name), sum(told.cost_usd for told in stages.values())),
        }
    if as_json:
        print_json(answer)
    else:
        print_table(
            ["library", "stage", "texts", "tokens", "asked", "from store", "USD", "how sure"],
            [
                [name, stage, f"{s['texts']:,}", f"{s['tokens']:,}", f"{s['asked']:,}", f"{s['stored']:,}",
                 f"{s['cost_usd']:.4f}", s["sureness"]]
                for name, told in answer["libraries"].items()
                for stage, s in told["stages"].items()
            ],
            numbers=6,
        )  # fmt: skip
        for name, told in answer["libraries"].items():
            if told.get("budget_message"):
                say(f"{name}: {told['budget_message']}")
    for name, told in answer["libraries"].items():
        if told["message"]:
            say(f"{name}: {told['message']}")
    if any(told["message"] for told in answer["libraries"].values()):
        sys.exit(1)


def _planned(stage: StagePlan) -> dict[str, Any]:
    """Give a stage's plan as JSON says it; `cost_usd` comes before what is saved."""
    return {"cost_usd": stage.cost_usd, **asdict(stage)}


def _budget(home: Path, name: str, settings: LibrarySettings, usd: float) -> dict[str, Any]:
    """Say what is left of a library's budgets, and whether a run would pass them; nothing where there are none."""
    from dataflow_assets.flow.paid import budget_of, open_ledger

    budget = budget_of(name, settings)
    if budget is None:
        return {}
    spent = open_ledger(home).spent(name)
    left = [limit - used for limit, used in ((budget.life_usd, spent.life_usd), (budget.month_usd, spent.month_usd))
            if limit is not None]  # fmt: skip
    over = open_ledger(home).room(budget, usd) if usd else None
    return {
        "budget_left_usd": max(0.0, min(left)),
        "budget_message": f"a run would stop before its end: {over}" if over else None,
    }


@cli.command()
@as_json
def status(as_json: bool) -> None:
    """Show the libraries: rows, points, freshness, last run, cost so far."""
    from dataflow_assets.flow.status import library_states

    try:
        catalog: Catalog | None = _catalog()
    except ConfigurationError as error:
        if not Warehouse(home_path()).path.exists():
            raise
        catalog = None
        say(str(error))
    answer = library_states(catalog, home_path())
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
            [name, one["type"] or "", one["listed_at"] or "never", f"{one['listed'] or 0:,}", f"{one['items_failed']:,}",
             one["error"] or ""]
            for name, told in answer["libraries"].items()
            if (one := told["source"])["type"] or one["listed_at"]
        ],
    )  # fmt: skip
    for name, told in answer["libraries"].items():
        if told["last_run"] and told["last_run"]["message"]:
            say(f"{name}: {told['last_run']['message']}")
        if told.get("waiting"):
            say(f"{name}: {told['waiting']:,} chunks wait for a budget or a batch.")
        for batch in told.get("batches", ()):
            named = batch["batch_id"] or "A batch"
            say(f"{name}: {named} is being answered since {batch['sent_at']} UTC ({batch['requests']:,} requests).")
        if told.get("held_usd"):
            say(
                f"{name}: {told['held_usd']:.4f} USD may have been billed besides, for answers that were lost on the way."
            )
        if told["retired"]:
            say(f"{name}: no longer in the catalog; it is kept, and searchable, until `dataflow forget {name}`.")


def _left(told: Mapping[str, Any]) -> str:
    """Say how much of its budgets a library has left."""
    left = [told[name] for name in ("budget_left_usd", "monthly_budget_left_usd") if name in told]
    return f"{min(left):.4f}" if left else ""


@cli.command()
@click.argument("query", required=False)
@click.option("--library", "-l", "libraries", multiple=True, metavar="L", help="Where to look; everywhere if left out.")
@click.option("--mode", type=click.Choice(["hybrid", "semantic", "keyword"]), default="hybrid", show_default=True)
@click.option("--top-k", type=click.IntRange(1, 1000), help="How many results; the library's setting if left out.")
@click.option(
    "--filter", "filters", multiple=True, metavar="K=V", help="What results must have, such as doc_type=guide."
)
@click.option(
    "--min-similarity", type=click.FloatRange(-1, 1), help="Leave out what is less similar and shares no word."
)
@click.option("--no-rerank", is_flag=True, help="Keep the order of the fused scores.")
@click.option("--per-document", type=click.IntRange(1, 1000), help="Results of one document at most.")
@click.option("--passages", is_flag=True, help="Add each result's neighbours, read as one.")
@click.option("--explain", is_flag=True, help="Say how each result came by its place.")
@click.option(
    "--queries",
    type=click.Path(dir_okay=False, path_type=Path),
    help='A file of JSON lines {"id", "text"}; each is answered by a line of JSON.',
)
@as_json
def search(
    query: str | None,
    libraries: tuple[str, ...],
    mode: Any,
    top_k: int | None,
    filters: tuple[str, ...],
    min_similarity: float | None,
    no_rerank: bool,
    per_document: int | None,
    passages: bool,
    explain: bool,
    queries: Path | None,
    as_json: bool,
) -> None:
    """Search libraries by meaning and by words."""
    if (query is None) == (queries is None):
        raise ConfigurationError("Give one QUERY, or a file of them with --queries.")
    wanted = _filters(filters)
    from dataflow_assets.search.api import open_search

    with open_search() as found_in:

        def answer(text: str) -> SearchAnswer:
            return found_in.search(
                text,
                libraries=libraries,
                mode=mode,
                top_k=top_k,
                filters=wanted,
                min_similarity=min_similarity,
                rerank=not no_rerank,
                per_document=per_document,
                passages=passages,
                explain=explain,
            )

        if queries is not None:
            for line_number, (identity, text) in enumerate(_queries(queries)):
                found = answer(text)
                if line_number == 0:
                    say_all(found.notes)
                click.echo(json.dumps({"id": identity, **found.to_dict()}, ensure_ascii=False))
            return
        found = answer(query or "")
    say_all(found.notes)
    if as_json:
        print_json(found.to_dict())
    else:
        print_results(found)


@cli.command()
@click.argument("statement")
@as_json
def sql(statement: str, as_json: bool) -> None:
    """Ask the warehouse in SQL; nothing can be changed."""
    import duckdb

    try:
        with Warehouse(home_path()).reading() as connection:
            cursor = connection.execute(statement)
            names = [column[0] for column in cursor.description or ()]
            rows: list[tuple[Any, ...]] = cursor.fetchall()
    except duckdb.Error as error:
        raise ConfigurationError(f"The warehouse cannot answer that: {str(error).strip()}") from error
    if as_json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_table(names, [[cell(value) for value in row] for row in rows])


@cli.group()
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
    from dataflow_assets.errors import CatalogError

    try:
        found = _catalog()
    except CatalogError as error:
        if as_json:
            print_json({"ok": False, "problems": error.problems})
        raise
    if as_json:
        print_json({"ok": True, "problems": [], "notes": list(found.notes), "libraries": list(found.libraries)})
    else:
        click.echo(f"{found.path} is right: {len(found.libraries)} libraries ({', '.join(found.libraries) or 'none'}).")
        say_all(found.notes)


@cli.command()
@click.argument("library")
@as_json
def forget(library: str, as_json: bool) -> None:
    """Remove a library from every table and the index. Its source is not touched."""
    from dataflow_assets.flow.forget import forget as remove
    from dataflow_assets.flow.status import libraries_in

    home = home_path()
    warehouse = Warehouse(home)
    known = libraries_in(warehouse)
    if library not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise ConfigurationError(f"The warehouse has no library {library!r}. It has: {listed}.")
    removed = remove(library, home=home, warehouse=warehouse, index=open_index(home))
    if as_json:
        print_json({"library": library, "removed": removed})
    else:
        click.echo(f"{library} is forgotten: {removed['raw_documents']} documents, {removed['chunks']} chunks.")


@cli.command()
@click.option("--host", help="Address to listen on; 127.0.0.1 if left out.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 8321 if left out, 0 takes a free one.")
@click.option("--require-key", is_flag=True, default=None, help="Ask for a key on the loopback address too.")
def serve(host: str | None, port: int | None, require_key: bool | None) -> None:
    """Answer questions over HTTP, with a page at /, until told to stop."""
    from dataflow_assets.serving.settings import ServingSettings

    settings = ServingSettings.of({"host": host, "port": port, "require_key": require_key})
    from dataflow_assets.serving.server import bind, check, make_server, run

    check(settings, home_path())
    listening = bind(settings)
    server = make_server(settings, home_path(), catalog_path())
    name = f"[{settings.host}]" if ":" in settings.host else settings.host
    say(f"Serving {home_path()} at http://{name}:{listening.getsockname()[1]}/ - stop with Ctrl-C.")
    run(server, listening)


@cli.command()
@click.option("--http", metavar="HOST:PORT", help="Listen there at /mcp; on standard input and output if left out.")
def mcp(http: str | None) -> None:
    """Answer coding agents over MCP: on standard input and output, or over HTTP."""
    from dataflow_assets.serving.mcp_server import address, serve_http, serve_stdio

    if http is None:
        serve_stdio(home_path(), catalog_path())
        return
    from dataflow_assets.serving.settings import ServingSettings

    host, port = address(http)
    settings = ServingSettings.of({"host": host, "port": port, "require_key": None})
    serve_http(settings, home_path(), catalog_path(), say)


@cli.group()
def keys() -> None:
    """Keys of those who ask over HTTP: each with its libraries and its rate."""


@keys.command("add")
@click.argument("name")
@click.option(
    "--library", "-l", "libraries", multiple=True, metavar="L", help="What it may see; everything if left out."
)
@click.option(
    "--per-minute", type=click.IntRange(1, 1_000_000), default=600, show_default=True, help="Requests a minute."
)
@click.option("--runs", is_flag=True, help="Let it ask for runs, which may cost money.")
@click.option("--events", is_flag=True, help="Make a secret too, that signs events for /v1/events.")
@as_json
def keys_add(name: str, libraries: tuple[str, ...], per_minute: int, runs: bool, events: bool, as_json: bool) -> None:
    """Make a key. It is shown once, and kept as a hash."""
    from dataflow_assets.catalog import split_partition
    from dataflow_assets.home import open_index
    from dataflow_assets.serving.keys import KeyStore

    if libraries:
        known = {*_catalog().libraries, *(split_partition(p)[0] for p in open_index(home_path()).partitions())}
        for library in libraries:
            if library not in known:
                raise ConfigurationError(
                    f"There is no library {library!r}. There are: {', '.join(sorted(known)) or 'none'}."
                )
    key, token = KeyStore(home_path()).add(
        name, libraries=libraries or None, per_minute=per_minute, runs=runs, events=events
    )
    if as_json:
        print_json({"name": key.name, "key": token, "events_secret": key.events_secret, "libraries": key.libraries})
        return
    say(
        f"{key.name} may see {', '.join(key.libraries) if key.libraries else 'every library'}. Its key, shown this once:"
    )
    click.echo(token)
    if key.events_secret:
        say("It signs events with:")
        click.echo(key.events_secret)


@keys.command("list")
@as_json
def keys_list(as_json: bool) -> None:
    """List the keys, without what they open."""
    from dataflow_assets.serving.keys import KeyStore

    listed = KeyStore(home_path()).all()
    if as_json:
        names = ("name", "libraries", "per_minute", "runs", "created_at")
        print_json(
            {
                "keys": [
                    {**{name: getattr(key, name) for name in names}, "events": key.events_secret is not None}
                    for key in listed
                ]
            }
        )
    else:
        print_table(
            ["name", "libraries", "a minute", "runs", "events", "made (UTC)"],
            [
                [key.name, ", ".join(key.libraries) if key.libraries is not None else "all", f"{key.per_minute:,}",
                 "yes" if key.runs else "", "yes" if key.events_secret else "", key.created_at]
                for key in listed
            ],
        )  # fmt: skip


@keys.command("remove")
@click.argument("name")
def keys_remove(name: str) -> None:
    """Take a key back; a service that runs refuses it from its next request on."""
    from dataflow_assets.serving.keys import KeyStore

    KeyStore(home_path()).remove(name)
    say(f"{name} is removed.")


@cli.command()
@library_arguments
@click.option(
    "--golden",
    type=click.Path(dir_okay=False, path_type=Path),
    help='Golden queries to ask in place of the library\'s own: JSON lines {"query", "expected": [...]}.',
)
@click.option("-k", "k", type=click.IntRange(1, 100), help="Results that count; the library's setting if left out.")
@as_json
def evaluate(libraries: tuple[str, ...], golden: Path | None, k: int | None, as_json: bool) -> None:
    """Measure how well searches find what they should: recall, MRR and nDCG.

    A new generation that is not in use yet is measured beside the one that is.
    """
    from dataflow_assets.flow.measuring import measure

    catalog, home = _catalog(libraries), home_path()
    index, warehouse = open_index(home), Warehouse(home)
    answer: dict[str, Any] = {"libraries": {}}
    for name in libraries or catalog.libraries:
        answer["libraries"][name] = measure(
            name, catalog, home=home, warehouse=warehouse, index=index, golden=golden, k=k
        )
    if as_json:
        print_json(answer)
    else:
        print_table(
            ["library", "generation", "", "questions", "recall", "MRR", "nDCG"],
            [
                [name, one["generation"], one["state"], f"{one['questions']:,}", f"{one['recall']:.3f}",
                 f"{one['mrr']:.3f}", f"{one['ndcg']:.3f}"]
                for name, told in answer["libraries"].items()
                for one in told["generations"]
            ],
            numbers=4,
        )  # fmt: skip
    for name, told in answer["libraries"].items():
        if told["message"]:
            say(f"{name}: {told['message']}")
    if any(not told["generations"] or not told["passed"] for told in answer["libraries"].values()):
        sys.exit(1)


@cli.command()
@click.argument("library")
@click.option("--use", "chosen", metavar="NAME", help="Put this generation into use, whatever the gate says.")
@as_json
def generations(library: str, chosen: str | None, as_json: bool) -> None:
    """List the generations of a library's index: in use, kept, new."""
    from dataflow_assets.flow.generations import choose, describe

    home, index = home_path(), open_index(home_path())
    _there(library, index)
    if chosen is not None:
        choose(home, index, library, chosen)
    told = describe(home, index, library)
    if as_json:
        print_json({"library": library, "generations": told})
        return
    print_table(
        ["generation", "state", "points", "model", "dimension", "waiting", "left (UTC)"],
        [
            [one["generation"], one["state"], f"{one['points']:,}", one["model"] or "", f"{one['dimension']:,}",
             f"{one['waiting']:,}", one["left_at"] or ""]
            for one in told
        ],
    )  # fmt: skip
    for one in told:
        if one["note"]:
            say(f"{one['generation']}: {one['note']}")


@cli.command()
@click.argument("library")
@as_json
def rollback(library: str, as_json: bool) -> None:
    """Go back to the generation of a library's index that was in use before."""
    from dataflow_assets.flow.generations import go_back

    home, index = home_path(), open_index(home_path())
    _there(library, index)
    left, used = go_back(home, index, library)
    if as_json:
        print_json({"library": library, "left": left, "in_use": used})
    else:
        click.echo(f"{library} is searched with the generation {used} again; {left} is kept, and refused from now on.")
        say("Change the settings in the catalog back too: until then, runs only delete from what is in use.")


def _there(library: str, index: SearchIndex) -> None:
    known = sorted({partition.partition(".")[0] for partition in index.partitions()})
    if library not in known:
        raise ConfigurationError(f"No library {library!r} is indexed. There are: {', '.join(known) or 'none'}.")


@cli.command()
@click.option("--port", type=int, default=3000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
def dev(port: int, host: str) -> None:
    """Open the Dagster UI, with its daemon, on the instance that `dataflow run` uses."""
    prepare_dagster_home(home_path())
    os.environ["DATAFLOW_HOME"], os.environ["DATAFLOW_CATALOG"] = str(home_path()), str(catalog_path())
    words = ["dagster", "dev", "-m", "dataflow_assets.definitions", "-p", str(port), "-h", host]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", *words])  # noqa: S606 - our own interpreter, no shell


def main() -> None:
    """Run the command; a person's mistake ends in a sentence, never in a traceback."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        say("Stopped. What was stored stays; the next run goes on.")
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DataflowError as error:
        say(str(error))
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _catalog(libraries: Sequence[str] = ()) -> Catalog:
    found = load_catalog(catalog_path())
    for name in libraries:
        found.library(name)
    return found


def _queries(path: Path) -> Iterator[tuple[Any, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The queries in {path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                said = json.loads(line)
                yield said["id"], str(said["text"])
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigurationError(f'{path}, line {number} is no JSON object with "id" and "text".') from error


def _filters(said: Sequence[str]) -> dict[str, list[str]]:
    filters: dict[str, list[str]] = {}
    for word in said:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigurationError(f"--filter takes KEY=VALUE, such as doc_type=guide; {word!r} has no =.")
        filters.setdefault(key, []).append(value)
    return filters


if __name__ == "__main__":
    main()
