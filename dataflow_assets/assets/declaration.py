"""What all assets of the flow share: how they are declared, and how a stage becomes a materialization with its checks."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from dataflow_assets.errors import ConfigurationError, DataflowError
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.partitions import library_partitions
from dataflow_assets.records import columns_of
from dataflow_assets.resources import Workspace
from dataflow_assets.warehouse.changes import Changes

if TYPE_CHECKING:
    import duckdb

# Partitions of checks are a preview, and there is no other way to see a check's state by library.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

OWNERS = ["team:documents"]
GROUP = "library"


def library_asset(
    record: type, kinds: Iterable[str] = ()
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
            "dagster/table_name": f"main.{record.TABLE}",  # type: ignore[attr-defined]
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
        changes = make(run)
    except ConfigurationError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    except DataflowError as error:
        raise dg.Failure(description=str(error)) from error
    changes.finished = finish
    run.details[table] = changes.details
    return dg.MaterializeResult(value=changes, metadata=dict(describe(changes)))


@dataclass(frozen=True, slots=True)
class Rule:
    """One check of an asset: what must hold of the rows of a partition."""

    name: str
    description: str
    offenders: Callable[[LibraryRun], str]
    """SQL of the rows that break the rule, or of those among the rows changed by this run."""
    blocking: bool = False
    """Whether what is further down must not be made of such rows."""


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
        metadata={"rows": broken},
    )


def changed(run: LibraryRun, table: str = "") -> str:
    """Give the SQL condition that a row of the partition was changed by this run."""
    prefix = f"{table}." if table else ""
    return f"{run.scope.where(table)} AND {prefix}updated_at >= TIMESTAMP '{run.started_at.isoformat(sep=' ')}'"
