"""Bringing libraries up to date: `run`, what a run would cost: `plan`, and the Dagster UI: `dev`."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dataflow_assets.commands.options import as_json, library_arguments, named_catalog, usable_home
from dataflow_assets.errors import ConfigurationError
from dataflow_assets.home import catalog_path, open_index, prepare_dagster_home
from dataflow_assets.printing import print_json, print_table, say, say_all
from dataflow_assets.warehouse.store import Warehouse

if TYPE_CHECKING:
    from dataflow_assets.flow.plan import Plan, StagePlan
    from dataflow_assets.settings import LibrarySettings

QUIET_DAGSTER = (
    "import runpy, warnings; from dagster import SupersessionWarning; "
    "warnings.simplefilter('ignore', SupersessionWarning); runpy.run_module('dagster', run_name='__main__', alter_sys=True)"
)
"""`python -m dagster`, which begins with a warning that there is another command for what was asked for: not for whoever asked us.

Python imports no category of a package for `-W`."""


@click.command()
@library_arguments
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Libraries worked on at a time.")
@click.option("--accept-deletes", is_flag=True, help="Agree to a delete that was withheld. Name the libraries.")
@as_json
def run(libraries: tuple[str, ...], jobs: int, accept_deletes: bool, as_json: bool) -> None:
    """Bring libraries up to date: all of the catalog, or those named."""
    catalog = named_catalog(libraries)
    if accept_deletes and not libraries:
        raise ConfigurationError("--accept-deletes needs the names of the libraries whose deletes you agree to.")
    usable_home(made=True)
    hear_signals()
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


@click.command()
@library_arguments
@as_json
def plan(libraries: tuple[str, ...], as_json: bool) -> None:
    """Say what a run would do and cost; nothing is stored and no model is called."""
    from dataflow_assets.flow.library_run import LibraryRun
    from dataflow_assets.flow.plan import StagePlan
    from dataflow_assets.flow.plan import plan as make_plan

    catalog, home = named_catalog(libraries), usable_home()
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


@click.command()
@click.option("--port", type=int, default=3000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
def dev(port: int, host: str) -> None:
    """Open the Dagster UI, with its daemon, on the instance that `dataflow run` uses."""
    home = usable_home(made=True)
    hear_signals()
    prepare_dagster_home(home)
    os.environ["DATAFLOW_HOME"], os.environ["DATAFLOW_CATALOG"] = str(home), str(catalog_path())
    words = ["dev", "-m", "dataflow_assets.definitions", "-p", str(port), "-h", host]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-c", QUIET_DAGSTER, *words])  # noqa: S606 - our own interpreter, no shell


def hear_signals() -> None:
    """Have this process, and what it starts, stop when it is told to, however it was started.

    A shell starts a command in the background of a script with SIGINT ignored. Dagster gives SIGTERM whatever SIGINT has, so
    SIGTERM would be ignored from the first run on, and by every process that is started from then on.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
