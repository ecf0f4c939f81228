"""A real PostgreSQL, started once for all tests; a database of its own for each."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

PASSWORD = "s3cret:of@the/reader"
_numbers = count()


@cache
def server() -> str:
    """Start the server, and give the folder of its socket."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pgserver

        folder = tempfile.mkdtemp(prefix="pg")  # short: the path of a socket has a limit
        running = pgserver.get_server(folder, cleanup_mode="stop")
        rules = Path(folder, "pg_hba.conf")  # as it comes, it lets everybody in without a password
        rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        # Nothing of it outlives the tests, so nothing has to be safe on the disk.
        running.psql(
            "ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET synchronous_commit = off; SELECT pg_reload_conf();"
        )
    atexit.register(shutil.rmtree, folder, True)
    atexit.register(running.cleanup)
    host = running.get_uri().rpartition("host=")[2]
    with connected(host, "postgres") as connection:
        connection.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
    return host


@contextmanager
def connected(host: str, database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(host=host, user="postgres", dbname=database, autocommit=True) as connection:
        yield connection


class Postgres:
    """One database, with a table `pages` in it."""

    def __init__(self) -> None:
        self.host = server()
        self.name = f"docs{next(_numbers)}"
        with connected(self.host, "postgres") as connection:
            connection.execute(f"CREATE DATABASE {self.name}")
        self.url = f"postgresql://reader@/{self.name}?host={quote(self.host)}"
        self.execute("CREATE TABLE pages (name text PRIMARY KEY, body text, changed timestamptz DEFAULT now())")
        self.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        self.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader")

    def execute(self, statement: str, values: Any = None) -> None:
        with connected(self.host, self.name) as connection:
            connection.execute(statement, values)  # type: ignore[arg-type]

    def drop(self) -> None:
        with connected(self.host, "postgres") as connection:
            connection.execute(f"DROP DATABASE {self.name} WITH (FORCE)")


class World:
    """A table whose rows are documents."""

    requests = -1

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self.settings: dict[str, Any] = {
            "type": "sql",
            "url": database.url,
            "password": "READER_PASSWORD",
            "query": "SELECT name, body FROM pages",
            "key": ("name",),
            "text": "{body}",
            "title": "{name}",
            "page_size": 2,
        }
        self.environment = {"READER_PASSWORD": PASSWORD}

    def put(self, name: str, text: str) -> None:
        self._database.execute(
            "INSERT INTO pages VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET body = excluded.body", (name, text)
        )

    def remove(self, name: str) -> None:
        self._database.execute("DELETE FROM pages WHERE name = %s", (name,))

    def break_listing(self) -> None:
        """From the third row on, the server ends the connection: the first page is given, the second is not."""
        self._database.execute("ALTER TABLE pages RENAME TO sound")
        self._database.execute(
            "CREATE FUNCTION broken(n bigint, body text) RETURNS text LANGUAGE plpgsql AS "
            "$$BEGIN IF n > 2 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN body; END$$ "
            "SECURITY DEFINER"
        )
        self._database.execute(
            "CREATE VIEW pages AS SELECT name, broken(row_number() OVER (ORDER BY name), body) AS body FROM sound"
        )

    def mend(self) -> None:
        self._database.execute("DROP VIEW pages")
        self._database.execute("DROP FUNCTION broken")
        self._database.execute("ALTER TABLE sound RENAME TO pages")


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Give a table until the block ends."""
    database = Postgres()
    try:
        yield World(database)
    finally:
        database.drop()
