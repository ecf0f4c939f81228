"""What a listing brought with it, kept until it is stored: a small SQLite file in the source's own folder.

What belongs here: contents that `fetch` is answered from, and the few facts that a source remembers from run to run, such
as a cursor or an ETag. What does not: what any of them mean.

Everything here may be lost: a file that is damaged, or of another make, is thrown away, and a content that does not have
its own hash any more is not there. Then more is fetched again, and nothing is wrong. For that reason writing does not wait
for the disk either.

Contents that a listing brings are dropped when it is stored: the document store has them then. Facts stay.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from dataflow_assets.errors import SourceUnavailable
from dataflow_assets.sqlite_files import FILE_FAILURES, SQLITE_FAILURES

_MAKE = 1
_BUSY_SECONDS = 30.0
_MOST_WAITING = 4_000_000
"""Bytes that wait to be written at most."""
_OVERHEAD = 200
_SCHEMA = """
CREATE TABLE IF NOT EXISTS contents (
    key TEXT, fingerprint TEXT, digest BLOB, content BLOB, media_type TEXT, PRIMARY KEY (key, fingerprint)
);
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT);
"""
T = TypeVar("T")


class RecordCache:
    """The contents and facts of one source. Safe for threads and for several processes.

    What is put in waits in memory and is written in short transactions, so that nobody else waits while a source does.
    Nothing is made on disk before the first thing is written.

    Args:
        folder: The source's own folder; made when needed.
        name: The file's name.
    """

    def __init__(self, folder: Path, name: str = "records.sqlite") -> None:
        self._path = folder / name
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._contents: dict[tuple[str, str], tuple[bytes, bytes, str | None]] = {}
        self._facts: dict[str, str | None] = {}
        self._waiting = 0

    def put(self, key: str, fingerprint: str, content: bytes, *, media_type: str | None = None) -> None:
        """Keep the content of an item that is listed with a fingerprint."""
        packed = zlib.compress(content, 1)
        with self._lock:
            self._contents[_text(key), fingerprint] = hashlib.sha256(content).digest(), packed, media_type
            self._waiting += len(packed) + _OVERHEAD
            if self._waiting >= _MOST_WAITING:
                self._flush({})

    def get(self, key: str, fingerprint: str | None) -> tuple[bytes, str | None] | None:
        """Give a content and its media type; None where there is none, no sound one, or it cannot be read."""
        if fingerprint is None:
            return None
        rows: list[Any] = []
        with self._lock, contextlib.suppress(SourceUnavailable):
            found = self._contents.get((_text(key), fingerprint))
            rows = (
                [found]
                if found is not None
                else self._read(
                    "SELECT digest, content, media_type FROM contents WHERE key = ? AND fingerprint = ?",
                    (_text(key), fingerprint),
                )
            )
        for digest, packed, media_type in rows:
            with contextlib.suppress(zlib.error, TypeError):
                content = zlib.decompress(packed)
                if hashlib.sha256(content).digest() == digest:
                    return content, media_type
        return None

    def fact(self, key: str) -> Any:
        """Give a fact; None where there is none."""
        key = _text(key)
        with self._lock:
            if key in self._facts:
                return _value(self._facts[key])
            rows = self._read("SELECT value FROM facts WHERE key = ?", (key,))
        return _value(rows[0][0]) if rows else None

    def facts(self, prefix: str) -> dict[str, Any]:
        """Give the facts whose keys begin with a text, by the rest of their keys."""
        prefix = _text(prefix)
        with self._lock:
            rows = self._read(
                "SELECT key, value FROM facts WHERE substr(key, 1, ?) = ? ORDER BY key", (len(prefix), prefix)
            )
            both = dict(rows) | {key: value for key, value in self._facts.items() if key.startswith(prefix)}
        found = {key[len(prefix) :]: _value(value) for key, value in both.items()}
        return {key: value for key, value in found.items() if value is not None}

    def set_fact(self, key: str, value: Any) -> None:
        """Remember a fact, JSON, from the next `commit` on; None forgets it."""
        with self._lock:
            self._facts[_text(key)] = None if value is None else json.dumps(value)

    def drop_contents(self) -> None:
        """Drop all contents: they are stored elsewhere."""
        with self._lock:
            self._contents, self._waiting = {}, 0
            if self._path.exists():
                self._guarded(lambda connection: connection.execute("DELETE FROM contents"))

    def settle(self) -> None:
        """Write the facts and drop all contents, once they are stored elsewhere.

        Where that fails, nothing is said: what is not remembered is asked for again.
        """
        with self._lock, contextlib.suppress(SourceUnavailable):
            self._contents, self._waiting = {}, 0
            self.commit()
            self.drop_contents()

    def commit(self) -> None:
        """Write what was put in, all facts together: other processes see it, and it survives a kill."""
        with self._lock:
            facts, self._facts = self._facts, {}
            self._flush(facts)

    def close(self) -> None:
        """Commit and close; the next call opens it again."""
        with self._lock:
            self.commit()
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _flush(self, facts: dict[str, str | None]) -> None:
        contents, self._contents, self._waiting = self._contents, {}, 0
        if not contents and not facts:
            return

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.executemany(
                    "INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?, ?)",
                    ((*names, *content) for names, content in contents.items()),
                )
                connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())
                connection.execute("DELETE FROM facts WHERE value IS NULL")
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

        self._guarded(write)

    def _read(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            if self._connection is None and not self._path.exists():
                return []
            return self._guarded(lambda connection: connection.execute(statement, values).fetchall())

    def _guarded(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Act on the database; on a new one where the old one is damaged."""
        try:
            try:
                return act(self._opened())
            except SQLITE_FAILURES as error:
                if not _is_damage(error):
                    raise
            self._discard()
            return act(self._opened())
        except FILE_FAILURES as error:
            raise SourceUnavailable(
                f"The file {self._path.name} in the library's folder of the home cannot be used: {error}. Free some space, "
                "make the folder writable, or remove the file: nothing in it is needed. Nothing was deleted."
            ) from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                make = connection.execute("PRAGMA user_version").fetchone()[0]
                if make not in (0, _MAKE):
                    raise sqlite3.DatabaseError("file is not a database of this make")
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("PRAGMA auto_vacuum = FULL")  # contents come and go: so does their space
                connection.executescript(_SCHEMA)
                connection.execute(f"PRAGMA user_version = {_MAKE}")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _discard(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        for suffix in ("", "-journal", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def _is_damage(error: Exception) -> bool:
    """Tell a file that is no sound database from one that is busy, full or may not be written."""
    if isinstance(error, UnicodeDecodeError):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return "of this make" in str(error)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def _value(written: Any) -> Any:
    try:
        return None if written is None else json.loads(written)
    except (ValueError, TypeError):
        return None


def _text(key: str) -> str:
    """SQLite takes no lone surrogates."""
    return key.encode("utf-8", "backslashreplace").decode()
