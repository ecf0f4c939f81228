"""What becomes of generations that are not brought up to date: they lose what was deleted, and go after their time.

What belongs here: looking after everything of a library's index but the generation that the settings ask for. What does not:
which of them is in use (`generations`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from dataflow_assets.catalog import partition_of
from dataflow_assets.flow.evaluate import Library
from dataflow_assets.settings import fingerprint_of
from dataflow_assets.warehouse.changes import Scope, literal
from dataflow_assets.warehouse.store import now


def partitions_of(library: Library) -> list[str]:
    """Name the partitions that the settings give a library."""
    buckets = library.settings.buckets
    return [partition_of(library.name, bucket, buckets) for bucket in range(buckets)]


def forget_deleted(library: Library, partition: str, wanted: str) -> None:
    """Delete what left the source from what is not brought up to date: kept generations, former buckets.

    Nobody finds a deleted document, whichever generation is in use or comes into use.
    """
    index = library.index
    current = set(partitions_of(library))
    for other in [p for p in index.partitions() if p.partition(".")[0] == library.name]:
        if other in current and other != partition:
            continue  # looked after by its own runs
        states = [s for s in index.generations(other).values() if (other, s.generation.name) != (partition, wanted)]
        if not states:
            continue
        scope = _scope(other, library)
        with library.warehouse.reading() as connection:
            key = _documents_key(connection, scope)
        for state in states:
            described = dict(state.generation.description)
            if described.get("documents") == key:
                continue
            with index.read(other, state.generation.name) as reader:
                held = sorted(reader.document_ids())
            with library.warehouse.reading() as connection:
                gone = _gone(connection, scope, held)
            described["documents"] = key
            if gone:
                described.pop("token", None)  # it is no longer what its table tells of
            with index.write(replace(state.generation, description=described)) as writer:
                if gone:
                    writer.delete_documents(gone)


_THERE = "status IN ('valid', 'duplicate')"


def _scope(partition: str, library: Library) -> Scope:
    bucket = partition.partition(".")[2]
    if partition in partitions_of(library) and bucket:
        return Scope(library.name, int(bucket), library.settings.buckets)
    return Scope(library.name)


def _documents_key(connection: Any, scope: Scope) -> str:
    found = connection.execute(
        "SELECT count(*), coalesce(bit_xor(md5_number(document_id)), 0) FROM validated_documents "
        f"WHERE {scope.where()} AND {_THERE}"
    ).fetchone()
    return fingerprint_of([str(value) for value in found])


def _gone(connection: Any, scope: Scope, held: list[str]) -> list[str]:
    return [
        row[0]
        for row in connection.execute(
            "SELECT held FROM (SELECT unnest(?::VARCHAR[]) AS held) WHERE held NOT IN "
            f"(SELECT document_id FROM validated_documents WHERE library = {literal(scope.library)} AND {_THERE})",
            [held],
        ).fetchall()
    ]


def remove_expired(library: Library, partition: str, wanted: str) -> None:
    """Remove from a partition what was left longer ago than the grace period, and what never came into use."""
    use = library.index.usage(library.name)
    if use is None:
        return
    until = now() - dt.timedelta(days=library.settings.evaluation.grace_days)
    for name in library.index.generations(partition):
        if name in (use.generation, wanted):
            continue
        left = use.left.get(name)
        if left is None or dt.datetime.fromisoformat(left) <= until:
            library.index.remove(partition, name)
