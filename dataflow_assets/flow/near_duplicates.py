"""Finding near duplicates among the documents that a run made and those that are there.

What belongs here: reading texts in small portions, so that the warehouse is never held while they are compared, and leaving
what was found in the spool. What does not: the verdict on two texts (`stages.near_duplicates`), and which of a group stays
(`warehouse.duplicates`).

Both what is known of a text and the verdict on a pair are kept under the texts' hashes: what was compared once is never
compared again, and adding a hundredth of a library compares that hundredth.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow_assets.catalog import partition_of
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.flow.state import forget_state
from dataflow_assets.records import TextBands
from dataflow_assets.stages.near_duplicates import CODE_VERSION
from dataflow_assets.warehouse import duplicates
from dataflow_assets.warehouse.changes import Changes, bucket_of, copy_to_parquet, literal, parquet
from dataflow_assets.warehouse.duplicates import (
    Pair,
    alike_pairs,
    find_likely_pairs,
    kept_texts,
    pair,
    places_of,
    verdicts_within,
)
from dataflow_assets.warehouse.spool import RowWriter, read_batches
from dataflow_assets.warehouse.store import now

if TYPE_CHECKING:
    import duckdb

_PORTION = 400
_PORTION_CHARACTERS = 8_000_000
"""Texts, and characters of them, that are read at a time."""
_MEETINGS = 10
"""Buckets that store their documents at the same moment meet so often at most."""


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


def find_near_duplicates(run: LibraryRun, made: Path | None = None, gone: str = "SELECT NULL WHERE FALSE") -> Found:
    """Compare what has to be compared.

    Also where documents only leave: a likely pair may have been hidden behind one that leaves.

    Args:
        run: The run.
        made: The documents made, as Parquet.
        gone: SQL of the ids that leave.
    """
    from dataflow_assets.stages.near_duplicates import bands, shingles, substance

    found = Found()
    library = f"library = {literal(run.library)}"
    current = f"{library} AND input_hash = {literal(str(CODE_VERSION))}"
    columns = "document_id, uri, text_hash, text, status, character_count, metadata"
    documents = f"SELECT {columns} FROM validated_documents WHERE {library} AND document_id NOT IN ({gone})"
    if made is not None:
        documents = (
            f"SELECT {columns} FROM {parquet(made)} UNION ALL {documents} "
            f"AND document_id NOT IN (SELECT document_id FROM {parquet(made)})"
        )
    documents = f"({documents})"
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
                runs = shingles(row["text"])
                each = tuple(bands(runs, substance(row["text"]))) if len(runs) else ()
                writer.add(TextBands(run.library, row["text_hash"], each, str(CODE_VERSION)))
    new.unlink(missing_ok=True)
    found.bands = writer.file
    verdicts = f"(SELECT * FROM text_pairs WHERE {current})"
    with run.warehouse.reading() as connection:
        known = f"SELECT text_hash, bands FROM text_bands WHERE {current}"
        if found.bands is not None:
            known += f" UNION ALL SELECT text_hash, bands FROM {parquet(found.bands)}"
        find_likely_pairs(connection, f"({known})", f"SELECT text_hash FROM {texts}")
        alike, waiting = alike_pairs(connection, verdicts, run.settings.duplicates)
        either = [*alike, *waiting]
        judged = {
            (first, second): (share, differ)
            for first, second, share, differ in verdicts_within(connection, verdicts, either)
        }
        places = places_of(connection, documents, run.settings.duplicates, (text for both in either for text in both))
    if either:
        judge = _Judge(run, documents, judged, found)
        judge.announce([text for both in waiting for text in both])
        alike += [both for both in waiting if judge(*both) > 0]
        kept_texts(alike, places, judge, judge.announce)
    return found


class _Judge:
    """Gives the verdict on two texts: the known one, or a new one that is noted in `found`.

    Texts are read many at a time, since each time the warehouse is opened, and held up to `_PORTION_CHARACTERS`.
    """

    def __init__(self, run: LibraryRun, documents: str, judged: dict[Pair, tuple[float, bool]], found: Found) -> None:
        self._run, self._documents, self._judged, self._found = run, documents, judged, found
        self._least = run.settings.duplicates.similarity
        self._texts: OrderedDict[str, str | None] = OrderedDict()
        self._runs: dict[str, Any] = {}
        self._held = 0
        self._coming: list[str] = []
        self._place: dict[str, int] = {}
        self._read_to = 0

    def announce(self, texts: list[str]) -> None:
        """Hear which texts will be asked about, in their order."""
        self._coming = list(dict.fromkeys(texts))
        self._place = {text: place for place, text in enumerate(self._coming)}
        self._read_to = 0

    def __call__(self, one: str, other: str) -> float:
        """Say how alike two texts are; 0 where they are no near duplicates."""
        both = pair(one, other)
        if both not in self._judged:
            verdict = self._verdict(*both)
            if verdict is None:
                return 0.0  # one of them went away meanwhile
            self._judged[both] = self._found.pairs[both] = verdict
        share, differ = self._judged[both]
        return share if share >= self._least and not differ else 0.0

    def _verdict(self, one: str, other: str) -> tuple[float, bool] | None:
        from dataflow_assets.stages.near_duplicates import differ_in_substance, similarity

        self._load(one, other)
        mine, theirs = self._texts[one], self._texts[other]
        if mine is None or theirs is None:
            return None
        share = similarity(self._runs_of(one, mine), self._runs_of(other, theirs))
        # Texts that share little are told apart by that alone.
        return share, share >= 0.5 and differ_in_substance(mine, theirs)

    def _runs_of(self, text_hash: str, text: str) -> Any:
        from dataflow_assets.stages.near_duplicates import shingles

        if text_hash not in self._runs:
            self._runs[text_hash] = shingles(text)
        return self._runs[text_hash]

    def _load(self, *hashes: str) -> None:
        missing = [text for text in hashes if text not in self._texts]
        if missing:
            # With what comes next, unless it was read before and had to make room.
            place = max(self._place.get(text, -1) for text in missing)
            coming = self._coming[place : place + _PORTION] if place >= self._read_to else []
            wanted = list(dict.fromkeys((*missing, *(text for text in coming if text not in self._texts))))
            with self._run.warehouse.reading() as connection:
                rows = connection.execute(
                    f"""
                    SELECT text_hash, text FROM (
                        SELECT text_hash, any_value(text) AS text, any_value(character_count) AS size,
                            list_position($wanted, text_hash) AS place
                        FROM {self._documents} WHERE text_hash IN (SELECT unnest($wanted)) GROUP BY text_hash
                    ) QUALIFY place <= {len(missing)} OR sum(size) OVER (ORDER BY place) <= {_PORTION_CHARACTERS}
                    """,
                    {"wanted": wanted},
                ).fetchall()
            read = dict(rows)
            for text in wanted:
                if text in read or text in missing:
                    self._texts[text] = read.get(text)
                    self._held += len(read.get(text) or "")
                    self._read_to = max(self._read_to, self._place.get(text, -1) + 1)
        for text in hashes:
            self._texts.move_to_end(text)
        while self._held > 2 * _PORTION_CHARACTERS and len(self._texts) > len(hashes):
            dropped, content = self._texts.popitem(last=False)
            self._held -= len(content or "")
            self._runs.pop(dropped, None)


def settle_duplicates(run: LibraryRun, changes: Changes) -> None:
    """Have changes of the documents find duplicates, and settle which ones stay when they are stored."""
    lost: list[str] = changes.details.get("lost", [])
    settings, gone = run.settings.duplicates, changes.gone or "SELECT NULL WHERE FALSE"
    elsewhere: set[str] = set()
    unjudged = False
    found = find_near_duplicates(run, changes.made, gone) if settings.near else Found()

    def source(connection: duckdb.DuckDBPyConnection, incoming: str) -> str:
        found.store(connection, run.library)
        return duplicates.resolve_incoming(connection, run.library, incoming, gone, settings)

    def settled(connection: duckdb.DuckDBPyConnection) -> int:
        nonlocal unjudged
        changed, unjudged = duplicates.settle(connection, run.library, settings)
        elsewhere.update(document_id for document_id in changed if not run.scope.holds(document_id))
        return sum(run.scope.holds(document_id) for document_id in changed)

    def settle(connection: duckdb.DuckDBPyConnection) -> int:
        if lost:  # the next run fetches them again
            listed = ", ".join(literal(document_id) for document_id in lost)
            connection.execute(f"UPDATE raw_documents SET fingerprint = NULL WHERE document_id IN ({listed})")
        if changes.made is None:
            found.store(connection, run.library)
        return settled(connection)

    def after() -> None:
        # Another bucket stored its documents while this one compared its own: whoever is last sees them all.
        for _ in range(_MEETINGS):
            if not unjudged:
                break
            more = find_near_duplicates(run)
            with run.warehouse.transaction() as connection:
                more.store(connection, run.library)
                settled(connection)
        # Their buckets have work to do now, though nothing changed in their part of the source.
        for document_id in elsewhere:
            bucket = bucket_of(document_id, run.settings.buckets)
            forget_state(run.home, partition_of(run.library, bucket, run.settings.buckets))

    changes.source, changes.settle, changes.after = source, settle, after
