"""Finding near duplicates among the documents that a run made and those that are there.

What belongs here: reading texts in small portions, so that the warehouse is never held while they are compared, and leaving
what was found in the spool. What does not: the verdict on two texts (`stages.near_duplicates`), and which of a group stays
(`warehouse.duplicates`).

Both what is known of a text and the verdict on a pair are kept under the texts' hashes: what was compared once is never
compared again, and adding a hundredth of a library compares that hundredth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.records import TextBands
from dataflow_assets.stages.near_duplicates import CODE_VERSION
from dataflow_assets.warehouse.changes import copy_to_parquet, literal, parquet
from dataflow_assets.warehouse.duplicates import Pair, kept_texts, likely_pairs, pair, places_of
from dataflow_assets.warehouse.spool import RowWriter, read_batches
from dataflow_assets.warehouse.store import now

if TYPE_CHECKING:
    import duckdb

_PORTION = 200
"""Texts that are read at a time."""


@dataclass(slots=True)
class Found:
    """What is to be stored with the documents."""

    bands: Path | None = None
    """Parquet file of `TextBands`."""
    pairs: dict[Pair, tuple[float, bool]] = field(default_factory=dict)
    """Pair -> similarity, and whether they differ in substance."""

    def store(self, connection: duckdb.DuckDBPyConnection, library: str) -> None:
        """Write it, inside the caller's transaction."""
        for table in ("text_bands", "text_pairs"):
            connection.execute(
                f"DELETE FROM {table} WHERE library = ? AND input_hash <> ?", [library, str(CODE_VERSION)]
            )
        if self.bands is not None:
            connection.execute(
                "INSERT INTO text_bands (library, text_hash, bands, input_hash, updated_at) "
                f"SELECT library, text_hash, bands, input_hash, $now FROM {parquet(self.bands)} "
                "WHERE text_hash NOT IN (SELECT text_hash FROM text_bands WHERE library = $library)",
                {"library": library, "now": now()},
            )
        if self.pairs:
            connection.execute(
                "INSERT INTO text_pairs (library, first_hash, second_hash, similarity, substance, input_hash, updated_at) "
                "SELECT $library, f, s, j, d, $version, $now FROM (SELECT unnest($firsts) AS f, unnest($seconds) AS s, "
                "unnest($similarities) AS j, unnest($substances) AS d) WHERE (f, s) NOT IN "
                "(SELECT (first_hash, second_hash) FROM text_pairs WHERE library = $library)",
                {"library": library, "version": str(CODE_VERSION), "now": now(),
                 "firsts": [first for first, _ in self.pairs], "seconds": [second for _, second in self.pairs],
                 "similarities": [j for j, _ in self.pairs.values()],
                 "substances": [d for _, d in self.pairs.values()]},
            )  # fmt: skip


def find_near_duplicates(run: LibraryRun, made: Path | None, gone: str) -> Found:
    """Compare what has to be compared.

    Args:
        run: The run.
        made: The documents made, as Parquet.
        gone: SQL of the ids that leave.
    """
    from dataflow_assets.stages.near_duplicates import bands, shingles

    found = Found()
    if made is None:
        return found
    library = f"library = {literal(run.library)}"
    current = f"{library} AND input_hash = {literal(str(CODE_VERSION))}"
    columns = "document_id, source_uri, text_hash, text, status, character_count, metadata"
    documents = (
        f"(SELECT {columns} FROM {parquet(made)} UNION ALL SELECT {columns} FROM validated_documents WHERE {library} "
        f"AND document_id NOT IN (SELECT document_id FROM {parquet(made)}) AND document_id NOT IN ({gone}))"
    )
    texts = f"{documents} WHERE status IN ('valid', 'duplicate') AND text IS NOT NULL"
    new = run.spool / "texts.parquet"
    with run.warehouse.reading() as connection:
        copy_to_parquet(
            connection,
            f"SELECT text_hash, any_value(text) AS text FROM {texts} "
            f"AND text_hash NOT IN (SELECT text_hash FROM text_bands WHERE {current}) GROUP BY text_hash",
            new,
        )
    with RowWriter(run.spool / "text_bands.parquet", TextBands) as writer:
        for batch in read_batches(new):
            for row in batch:
                each = tuple(bands(shingles(row["text"])))
                writer.add(TextBands(run.library, row["text_hash"], each, str(CODE_VERSION)))
    new.unlink(missing_ok=True)
    found.bands = writer.file
    with run.warehouse.reading() as connection:
        known = f"SELECT text_hash, bands FROM text_bands WHERE {current}"
        if found.bands is not None:
            known += f" UNION ALL SELECT text_hash, bands FROM {parquet(found.bands)}"
        likely = likely_pairs(connection, f"({known})", f"SELECT text_hash FROM {texts}")
        judged = {
            (first, second): (similarity, substance)
            for first, second, similarity, substance in connection.execute(
                f"SELECT first_hash, second_hash, similarity, substance FROM text_pairs WHERE {current}"
            ).fetchall()
        }
        places = places_of(connection, documents, run.settings.duplicates, (text for both in likely for text in both))
    _judge(run, documents, likely, judged, places, found)
    return found


def _judge(
    run: LibraryRun,
    documents: str,
    likely: list[Pair],
    judged: dict[Pair, tuple[float, bool]],
    places: dict[str, int],
    found: Found,
) -> None:
    """Judge likely pairs, and those that the choice in a group needs besides."""
    from dataflow_assets.stages.near_duplicates import differ_in_substance, shingles, similarity

    least = run.settings.duplicates.similarity
    portion: dict[str, str] = {}

    @lru_cache(maxsize=_PORTION)
    def runs(text_hash: str) -> Any:
        return shingles(text_of(text_hash))

    def text_of(text_hash: str) -> str:
        return portion.get(text_hash, "")

    def load(hashes: Iterable[str]) -> None:
        wanted = [text for text in dict.fromkeys(hashes) if text not in portion]
        if len(portion) > 2 * _PORTION:
            portion.clear()
        if wanted:
            with run.warehouse.reading() as connection:
                portion.update(
                    connection.execute(
                        f"SELECT text_hash, any_value(text) FROM {documents} WHERE text_hash IN (SELECT unnest(?)) GROUP BY 1",
                        [wanted],
                    ).fetchall()
                )

    def judge(one: str, other: str) -> float:
        both = pair(one, other)
        if both not in judged:
            load(both)
            if not text_of(one) or not text_of(other):
                return 0.0  # it went away meanwhile
            share = similarity(runs(one), runs(other))
            # Texts that share little are told apart by that alone.
            substance = share >= 0.5 and differ_in_substance(text_of(one), text_of(other))
            judged[both] = found.pairs[both] = (share, substance)
        share, substance = judged[both]
        return share if share >= least and not substance else 0.0

    _in_portions(likely, judged, load, judge)
    alike = [both for both, (share, substance) in judged.items() if share >= least and not substance]
    kept_texts(alike, places, judge)


def _in_portions(
    likely: list[Pair],
    judged: dict[Pair, tuple[float, bool]],
    load: Callable[[Iterable[str]], None],
    judge: Callable[[str, str], float],
) -> None:
    waiting = [both for both in likely if pair(*both) not in judged]
    for start in range(0, len(waiting), _PORTION // 2):
        some = waiting[start : start + _PORTION // 2]
        load(text for both in some for text in both)
        for one, other in some:
            judge(one, other)
