"""The spool: rows on their way between the warehouse and a stage, as Parquet files that a person can open.

A run has a folder of its own, emptied when it starts; what a killed run left there is of no use to the next, which asks
the warehouse again. Batches bound the memory, by rows and by characters.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dataflow_assets.records import Record, arrow_schema, to_arrow

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 500
"""Rows that a stage works on at once."""
BATCH_CHARACTERS = 2_000_000
"""Characters of text that a stage works on at once; one longer document is a batch of its own."""


def open_spool(home: Path, partition: str) -> Path:
    """Give the empty spool folder of a partition. Its run holds the partition's lock, so nobody else is in it."""
    folder = home / "spool" / partition
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def read_batches(path: Path, *, without: str | None = None) -> Iterator[list[dict[str, Any]]]:
    """Read exported rows in batches bounded by `BATCH_ROWS` and `BATCH_CHARACTERS` of their column `text`.

    Args:
        path: The Parquet file, or a folder of some.
        without: A heavy column that is not needed.
    """
    import pyarrow.parquet as pq

    batch: list[dict[str, Any]] = []
    characters = 0
    for part in sorted(path.glob("*.parquet")) if path.is_dir() else [path]:
        with pq.ParquetFile(part, memory_map=True) as file:
            names = [name for name in file.schema_arrow.names if name != without]
            for rows in file.iter_batches(batch_size=128, columns=names, use_threads=False):
                for row in _plain_rows(rows):
                    size = len(row.get("text") or "")
                    if batch and (len(batch) >= BATCH_ROWS or characters + size > BATCH_CHARACTERS):
                        yield batch
                        batch, characters = [], 0
                    batch.append(row)
                    characters += size
    if batch:
        yield batch


def _plain_rows(rows: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Give rows as Python has them, but vectors as NumPy arrays: as lists they would take eight times the memory."""
    import pyarrow as pa

    wide = [f.name for f in rows.schema if pa.types.is_list(f.type) and pa.types.is_float32(f.type.value_type)]
    vectors = {}
    for name in wide:
        column = rows.column(name)
        vectors[name] = (
            column.values.to_numpy(),
            column.offsets.to_numpy(),
            column.is_valid().to_numpy(zero_copy_only=False),
        )
    for place, row in enumerate(rows.drop_columns(wide).to_pylist() if wide else rows.to_pylist()):
        for name, (values, offsets, valid) in vectors.items():
            row[name] = values[offsets[place] : offsets[place + 1]].copy() if valid[place] else None
        yield row


class RowWriter:
    """Writes rows of one record to a Parquet file, batch by batch; no file is made where there are no rows."""

    def __init__(self, path: Path, record: type[Record]) -> None:
        self.path = path
        self.rows = 0
        self._record = record
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[Any] = []
        self._weight = 0

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def add(self, row: Any, weight: int = 0) -> None:
        """Append a row of about `weight` characters."""
        self._waiting.append(row)
        self._weight += weight
        if len(self._waiting) >= BATCH_ROWS or self._weight >= BATCH_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow.parquet as pq

        if not self._waiting:
            return
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(
                self.path, arrow_schema(self._record), compression="lz4", use_dictionary=False, write_statistics=False
            )
        self._writer.write_batch(to_arrow(self._record, self._waiting))
        self.rows += len(self._waiting)
        self._waiting, self._weight = [], 0

    @property
    def file(self) -> Path | None:
        """The file, or None where nothing was written."""
        return self.path if self.rows else None


def write_keys(path: Path, name: str, keys: Sequence[str]) -> Path:
    """Write a Parquet file of one column of keys."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: pa.array(keys, type=pa.string())}), path, compression="none")
    return path
