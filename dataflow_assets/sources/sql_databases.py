"""Connections to databases, for reading only.

What belongs here: opening a database, one consistent state of it for as long as a reading lasts, time limits of statements,
and what a driver's error means. What does not: which statements are made (`sql`).

Everything goes through SQLAlchemy but DuckDB, which is asked by its own client: statements are written by SQLAlchemy for
both. Where the database can, a reading is one transaction that sees one state and may write nothing.

An error of SQLAlchemy or of a driver may hold the address, the password and the values of a statement. None is passed on:
messages here are the first line of what the database said, without what is secret.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.sqlite_files import FILE_FAILURES

Row: TypeAlias = Sequence[Any]
Read: TypeAlias = Callable[[sa.sql.expression.Executable], tuple[Sequence[str], Iterator[Row]]]
"""Runs a statement; gives the names of its columns, and its rows as they come."""

_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}
_WRONG_CREDENTIALS = re.compile(
    r"password authentication failed|no password supplied|access denied for user|login failed|authentication failed|"
    r"role \"[^\"]*\" does not exist",
    re.IGNORECASE,
)
_ROWS_AT_ONCE = 100
_STEPS = 10_000
"""Instructions of SQLite between two looks at the clock."""
_FAILURES: tuple[type[Exception], ...] = (SQLAlchemyError, *FILE_FAILURES)


class DatabaseFailed(Exception):
    """A database could not be asked.

    Attributes:
        said: What it said, on one line, without secrets.
        unauthorized: Whether it wants other credentials.
    """

    def __init__(self, said: str) -> None:
        self.said = said
        self.unauthorized = bool(_WRONG_CREDENTIALS.search(said))
        super().__init__(said)


class Database(Protocol):
    """A database that is read."""

    typeless: bool
    """Whether one column can hold values of several types."""
    one_state: bool
    """Whether a reading sees one state of the database from its first statement to its last."""

    def reading(self) -> AbstractContextManager[Read]:
        """Read within one transaction.

        Raises:
            DatabaseFailed: It cannot be reached, or refuses a statement.
        """

    def close(self) -> None:
        """Close all connections that are idle; the next reading opens another."""


def open_database(
    url: str, password: str | None, *, base: Path, timeout: float, pool_size: int, secret_url: bool
) -> Database:
    """Say how a database is read. Nothing is opened yet.

    Args:
        url: SQLAlchemy's URL; files are relative to `base`.
        password: The password, where it does not stand in the URL.
        base: The folder that relative paths start from.
        timeout: Seconds that one statement may take.
        pool_size: Connections at once.
        secret_url: Whether the URL itself is a secret.

    Raises:
        ConfigurationError: The URL is none, or its driver is not installed.
    """
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "The URL of the library's database is none that SQLAlchemy knows. Write it as dialect://user@host/database."
        ) from None
    if password is not None:
        parsed = parsed.set(password=password)
    parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
    kind = parsed.get_backend_name()
    hidden = [parsed.password or ""]
    if secret_url:
        hidden += [url, parsed.host or "", parsed.username or "", parsed.database or ""]
    secrets = sorted((str(each) for each in hidden if each), key=len, reverse=True)
    if kind in ("sqlite", "duckdb"):
        name = parsed.database or ""
        if name in ("", ":memory:") or name.startswith("file:"):
            raise ConfigurationError(f"The URL of the library's database names no file. Write {kind}:///path/to/file.")
        path = base / name
        if kind == "duckdb":
            return DuckDatabase(path, timeout=timeout, secrets=secrets)
        return SqlDatabase(sa.URL.create("sqlite"), timeout=timeout, pool_size=pool_size, secrets=secrets, path=path)
    return SqlDatabase(parsed, timeout=timeout, pool_size=pool_size, secrets=secrets)


class SqlDatabase:
    """A database that SQLAlchemy knows.

    Args:
        url: Where it is.
        timeout: Seconds that one statement may take; PostgreSQL, MySQL and SQLite keep to it.
        pool_size: Connections at once.
        secrets: What no message may show.
        path: The file of an SQLite database.
    """

    def __init__(
        self, url: sa.URL, *, timeout: float, pool_size: int, secrets: Sequence[str], path: Path | None = None
    ) -> None:
        self._kind, self._timeout, self._secrets, self._path = url.get_backend_name(), timeout, secrets, path
        self.typeless = self._kind == "sqlite"
        self.one_state = self._kind in ("postgresql", "sqlite", "mysql", "mariadb")
        self._ends = 0.0
        connect: dict[str, Any] = {}
        if url.drivername == "postgresql+psycopg":
            seconds = max(2, int(timeout))
            connect = {
                "connect_timeout": min(30, seconds),
                "keepalives_idle": min(30, seconds),
                "tcp_user_timeout": 1000 * seconds,
                "application_name": "dataflow-assets",
                "prepare_threshold": None,  # poolers between here and there know no prepared statements
            }
        elif url.drivername.endswith("+pymysql"):
            connect = {"connect_timeout": 30, "read_timeout": max(1, int(timeout))}
        try:
            self._engine = sa.create_engine(
                url,
                poolclass=QueuePool,
                pool_size=pool_size,
                max_overflow=0,
                pool_timeout=timeout,
                pool_pre_ping=path is None,
                hide_parameters=True,
                connect_args=connect,
                **({"creator": self._open_file} if path is not None else {}),
            )
        except (NoSuchModuleError, ImportError):
            raise ConfigurationError(
                f"No driver for databases of the kind {url.drivername} is installed. Install the package that SQLAlchemy "
                f"names for it, or write the driver that is installed into the URL ({self._kind}+driver://)."
            ) from None
        except (SQLAlchemyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"The URL of the library's database is not usable: {self._said(error)}.") from None

    @contextmanager
    def reading(self) -> Iterator[Read]:
        """Read within one transaction."""
        try:
            with self._engine.connect() as plain:
                connection = self._begun(plain)
                try:
                    yield lambda statement: self._read(connection, statement)
                finally:
                    connection.rollback()
        except _FAILURES as error:
            raise DatabaseFailed(self._said(error)) from None

    def close(self) -> None:
        """Close all connections that are idle."""
        self._engine.dispose()

    def _begun(self, connection: sa.Connection) -> sa.Connection:
        milliseconds = max(1, int(self._timeout * 1000))
        if self._kind == "postgresql":
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
        elif self._kind == "mysql":
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
            connection.exec_driver_sql(f"SET SESSION MAX_EXECUTION_TIME = {milliseconds}")
            connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        elif self._kind == "sqlite":
            connection.exec_driver_sql("BEGIN")
        return connection

    def _read(
        self, connection: sa.Connection, statement: sa.sql.expression.Executable
    ) -> tuple[Sequence[str], Iterator[Row]]:
        self._ends = time.monotonic() + self._timeout
        result = connection.execute(
            statement, execution_options={"stream_results": True, "max_row_buffer": _ROWS_AT_ONCE}
        )
        return list(result.keys()), self._rows(result)

    def _rows(self, result: sa.CursorResult[Any]) -> Iterator[Row]:
        while True:
            self._ends = time.monotonic() + self._timeout  # whoever takes the rows may be slow: that is not counted
            row = result.fetchone()
            if row is None:
                return
            yield tuple(row)

    def _open_file(self) -> sqlite3.Connection:
        # Read-only: a file that is not there is not made.
        uri = "file:" + quote(str(self._path)) + "?mode=ro"
        connection = sqlite3.connect(
            uri, uri=True, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        connection.set_progress_handler(lambda: time.monotonic() > self._ends, _STEPS)
        return connection

    def _said(self, error: Exception) -> str:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        told = getattr(getattr(cause, "diag", None), "message_primary", None)
        if isinstance(cause, sa.exc.TimeoutError):
            told = "no connection became free in time"
        return _one_line(told or str(cause), self._secrets)


class DuckDatabase:
    """A DuckDB file, opened for reading only and without a way to other files or the network.

    Args:
        path: The file.
        timeout: Seconds that one statement may take.
        secrets: What no message may show.
    """

    typeless = False
    one_state = True
    _dialect = postgresql.dialect(paramstyle="qmark")  # type: ignore[no-untyped-call]

    def __init__(self, path: Path, *, timeout: float, secrets: Sequence[str]) -> None:
        self._path, self._timeout, self._secrets = path, timeout, secrets

    @contextmanager
    def reading(self) -> Iterator[Read]:
        """Read within one transaction; the file is closed at its end, since it keeps others from writing."""
        import duckdb

        try:
            with duckdb.connect(
                str(self._path),
                read_only=True,
                config={
                    "enable_external_access": "false",
                    "autoinstall_known_extensions": "false",
                    "autoload_known_extensions": "false",
                },
            ) as connection:
                connection.execute("BEGIN TRANSACTION")
                yield lambda statement: self._read(connection, statement)
        except duckdb.Error as error:
            raise DatabaseFailed(_one_line(str(error), self._secrets)) from None

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def _read(self, connection: Any, statement: Any) -> tuple[Sequence[str], Iterator[Row]]:
        compiled = statement.compile(dialect=self._dialect, compile_kwargs={"render_postcompile": True})
        values = [compiled.params[name] for name in compiled.positiontup or ()]
        timer = threading.Timer(self._timeout, connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            connection.execute(str(compiled), values)
        finally:
            timer.cancel()
        names = [column[0] for column in connection.description or ()]
        batches = iter(lambda: connection.fetchmany(_ROWS_AT_ONCE), [])
        return names, itertools.chain.from_iterable(batches)


def _one_line(message: str, secrets: Sequence[str]) -> str:
    line = next((line.strip() for line in message.splitlines() if line.strip()), "no reason given")
    for secret in secrets:
        line = line.replace(secret, "***")
    return "".join(char if char.isprintable() else " " for char in line)[:300].rstrip(". ")
