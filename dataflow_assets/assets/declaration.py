"""What all assets of the flow share: how they are declared, and how a stage becomes a materialization with its checks."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from dataflow_assets.errors import ConfigurationError, DataflowError
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.partitions import library_partitions
from dataflow_assets.records import Record, columns_of
from dataflow_assets.resources import Workspace
from dataflow_assets.warehouse.changes import Changes

if TYPE_CHECKING:
    import duckdb

    from dataflow_assets.models.question import Tally

# Partitions of checks are a preview, and there is no other way to see a check's state by library.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

ASKING = ("raw_documents", "validated_documents", "corrections", "embeddings")
"""Stages before which the paid models' keys and prices are looked at: the first of a run, and those that ask."""
CONFIGURATION = "configuration"
"""Metadata of a failure that only a person can mend, in the catalog or the environment."""

OWNERS = ["team:documents"]
GROUP = "library"


def library_asset(
    record: type[Record], kinds: Iterable[str] = ()
) -> Callable[[Callable[..., dg.MaterializeResult[Changes]]], dg.AssetsDefinition]:
    """Declare an asset of the flow: partitioned by library, stored by the warehouse's IO manager, described by its record.

    Args:
        record: The record of the asset's table.
        kinds: What Dagster shows beside DuckDB.
    """
    columns = [
        dg.TableColumn(name=name, type=column.sql, description=column.meaning)
        for name, column in columns_of(record).items()
    ]
    columns.append(
        dg.TableColumn(name="updated_at", type="TIMESTAMP", description="When the content of the row changed.")
    )
    return dg.asset(
        partitions_def=library_partitions,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"duckdb", *kinds},
        io_manager_key="warehouse_io",
        metadata={
            "dagster/column_schema": dg.TableSchema(columns=columns),
            "dagster/table_name": f"main.{record.TABLE}",
        },
    )


def materialize(
    workspace: Workspace,
    table: str,
    make: Callable[[LibraryRun], Changes],
    describe: Callable[[Changes], Mapping[str, Any]] = lambda changes: {},
) -> dg.MaterializeResult[Changes]:
    """Let a stage do its outstanding work, and give what it made to the IO manager.

    Args:
        workspace: With the library's run.
        table: The stage's table.
        make: Does the work and leaves it in the spool.
        describe: Metadata beside the counts, which the IO manager attaches.
    """
    run = workspace.run
    finish = run.begin(table)
    try:
        if table in ASKING:
            run.check_models()
        changes = make(run)
    except ConfigurationError as error:
        run.failure = str(error)
        # Without its cause: what a service said may lie in it, and the sentence has all that a person needs.
        raise dg.Failure(description=str(error), metadata={CONFIGURATION: True}, allow_retries=False) from None
    except DataflowError as error:
        run.failure = str(error)
        raise dg.Failure(description=str(error)) from error
    changes.finished = finish
    run.details[table] = changes.details
    return dg.MaterializeResult(value=changes, metadata=dict(describe(changes)))


def describe_asking(changes: Changes) -> dict[str, Any]:
    """Tell what a stage's asking took, in numbers that Dagster plots, and in sentences where something was refused."""
    tally: Tally | None = changes.details.get("asking")
    if tally is None:
        return {}
    told: dict[str, Any] = {
        "calls": tally.calls,
        "input_tokens": tally.input_tokens,
        "output_tokens": tally.output_tokens,
        "cached_tokens": tally.cached_tokens,
        "asked_anew": tally.asked,
        "answers_from_store": max(0, tally.from_store),
        "asked_again_alone": tally.asked_again,
        "saved_usd": round(max(0.0, tally.saved_usd), 9),
        "possibly_billed_usd": tally.lost_usd,
        "refused_answers": sum(tally.refused.values()),
        "retries": sum(tally.retries.values()),
        "left": tally.left,
        "peak_calls_at_once": tally.peak_concurrency,
    }
    told |= {f"retries_{kind}": count for kind, count in sorted(tally.retries.items())}
    if tally.refused:
        rows = [
            dg.TableRecord({"reason": reason, "texts": count})
            for reason, count in sorted(tally.refused.items(), key=lambda item: -item[1])[:20]
        ]
        told["refusals"] = dg.MetadataValue.table(rows)
    if tally.stopped:
        told["stopped"] = tally.stopped
    if tally.unpriced:
        told["price"] = "unknown: calls are booked at 0 USD; say the price in the catalog (prices)"
    return told


@dataclass(frozen=True, slots=True)
class Rule:
    """One check of an asset: what must hold of the rows of a partition."""

    name: str
    description: str
    offenders: Callable[[LibraryRun], str]
    """SQL of the rows that break the rule, or of those among the rows changed by this run."""
    blocking: bool = False
    """Whether what is further down must not be made of such rows."""
    figures: Callable[[LibraryRun], str] | None = None
    """SQL of the one row, if any, whose columns say beside the verdict how near it was."""


def checks_of(
    asset: str,
    rules: Sequence[Rule],
    notes: Mapping[str, tuple[str, Callable[[LibraryRun], str | None]]] | None = None,
) -> dg.AssetChecksDefinition:
    """Make the checks of an asset, evaluated in one step and over one connection.

    Args:
        asset: The asset.
        rules: What must hold of its rows. A blocking rule that is broken is an error, another one a warning.
        notes: Name -> description, and what this run has to say against it; None passes.
    """
    notes = notes or {}
    specs = [
        dg.AssetCheckSpec(
            rule.name,
            asset=asset,
            description=rule.description,
            blocking=rule.blocking,
            partitions_def=library_partitions,
        )
        for rule in rules
    ]
    specs += [
        dg.AssetCheckSpec(name, asset=asset, description=description, partitions_def=library_partitions)
        for name, (description, _) in notes.items()
    ]

    @dg.multi_asset_check(name=f"{asset}_checks", specs=specs, can_subset=False)
    def checks(workspace: Workspace) -> Iterator[dg.AssetCheckResult]:
        run = workspace.run
        with run.warehouse.reading() as connection:
            for rule in rules:
                yield _verdict(connection, asset, rule, run)
        for name, (_, say) in notes.items():
            objection = say(run)
            yield dg.AssetCheckResult(
                asset_key=asset,
                check_name=name,
                passed=objection is None,
                severity=dg.AssetCheckSeverity.WARN,
                description=objection,
            )

    return checks


def _verdict(connection: "duckdb.DuckDBPyConnection", asset: str, rule: Rule, run: LibraryRun) -> dg.AssetCheckResult:
    query = rule.offenders(run)
    found = connection.execute(f"SELECT count(*) FROM ({query})").fetchone()
    broken = int(found[0]) if found else 0
    sample = (
        [str(row[0]) for row in connection.execute(f"SELECT * FROM ({query}) LIMIT 3").fetchall()] if broken else []
    )
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=rule.name,
        passed=broken == 0,
        severity=dg.AssetCheckSeverity.ERROR if rule.blocking else dg.AssetCheckSeverity.WARN,
        description=f"{broken} rows, such as {', '.join(sample)}" if broken else None,
        metadata={"rows": broken, **(_figures(connection, rule.figures(run)) if rule.figures else {})},
    )


def _figures(connection: "duckdb.DuckDBPyConnection", query: str) -> dict[str, Any]:
    found = connection.execute(query)
    names = [column[0] for column in found.description or ()]
    return dict(zip(names, found.fetchone() or (), strict=False))


def changed(run: LibraryRun, table: str = "") -> str:
    """Give the SQL condition that a row of the partition was changed by this run."""
    prefix = f"{table}." if table else ""
    return f"{run.scope.where(table)} AND {prefix}updated_at >= TIMESTAMP '{run.started_at.isoformat(sep=' ')}'"
