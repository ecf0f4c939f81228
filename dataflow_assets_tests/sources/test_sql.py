from __future__ import annotations

import datetime as dt
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dataflow_assets.errors import ConfigurationError, CredentialError, FetchFailed, ItemRefused, SourceUnavailable
from dataflow_assets.source_settings import SqlSource as SqlSettings
from dataflow_assets.sources.base import Context as SourceContext
from dataflow_assets.sources.base import Fetched, Item
from dataflow_assets.sources.sql import SqlSource
from dataflow_assets_tests.sources.worlds.sql import PASSWORD, Postgres, connected

Execute = Callable[..., None]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    database = Postgres()
    yield database
    database.drop()


@pytest.fixture(params=["postgresql", "sqlite", "duckdb"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Execute]:
    """A database with an empty table `t`; its URL, and how it is changed."""
    create = 'CREATE TABLE t (id bigint, "Body" text, changed timestamp, author text)'
    if request.param == "postgresql":
        postgres = request.getfixturevalue("postgres")
        postgres.execute("DROP TABLE IF EXISTS t CASCADE")
        postgres.execute(create)
        return postgres.url.replace("reader@", "postgres@"), postgres.execute
    path = tmp_path / "data.db"

    def execute(statement: str, values: Any = ()) -> None:
        statement = statement.replace("%s", "?")
        if request.param == "sqlite":
            with sqlite3.connect(path) as connection:
                connection.execute(statement, values)
            connection.close()
        else:
            with duckdb.connect(str(path)) as connection:
                connection.execute(statement, values)

    execute(create)
    return f"{request.param}:///data.db", execute


def opened(tmp_path: Path, url: str, **settings: Any) -> SqlSource:
    given = {"query": "SELECT * FROM t", "key": ("id",), "text": "{Body}", **settings}
    return SqlSource(SqlSettings(url=url, **given), SourceContext(tmp_path, tmp_path / "cache", "lib"))


def texts(source: SqlSource) -> dict[str, str]:
    found = {}
    for item, result in source.fetch_all(source.list()):
        assert isinstance(result, Fetched), result
        assert isinstance(result.content, bytes)
        found[item.path_key] = result.content.decode()
    return found


def rows(execute: Execute, *texts: str) -> None:
    values = [value for row in enumerate(texts, 1) for value in row]
    execute("INSERT INTO t VALUES " + ", ".join(["(%s, %s, '2024-01-01', 'Ann')"] * len(texts)), values)


@pytest.mark.parametrize("page_size", [1, 3])
def test_rows_become_documents(tmp_path: Path, table: tuple[str, Execute], page_size: int) -> None:
    url, execute = table
    rows(execute, "One", "Two", "Three")
    source = opened(
        tmp_path,
        url,
        page_size=page_size,
        text="# {Body}\n\n{id} {{x}}\n",
        title="No. {id}",
        metadata=("author", "changed"),
    )
    items = list(source.list())
    assert [(item.uri, item.path_key, item.media_type) for item in items] == [
        (f"lib/{n}", f"{n}", "text/markdown") for n in (1, 2, 3)
    ]
    found = texts(source)
    assert found["2"].endswith("---\n# Two\n\n2 {x}\n")
    assert "title: No. 2\n" in found["2"]
    assert "author: Ann\n" in found["2"]
    assert "2024-01-01" in found["2"]
    assert list(source.list()) == items
    assert source.fetch(items[1]).content == found["2"].encode()


def test_a_change_of_what_is_used_changes_one_fingerprint(tmp_path: Path, table: tuple[str, Execute]) -> None:
    url, execute = table
    rows(execute, "One", "Two", "Three")
    before = list(opened(tmp_path, url).list())
    execute("UPDATE t SET author = 'Bob' WHERE id = 1")
    assert list(opened(tmp_path, url).list()) == before
    execute("UPDATE t SET \"Body\" = 'Zwei' WHERE id = 2")
    after = list(opened(tmp_path, url).list())
    assert [old.path_key for old, new in zip(before, after, strict=True) if old != new] == ["2"]
    execute("DELETE FROM t WHERE id = 1")
    assert [item.path_key for item in opened(tmp_path, url).list()] == ["2", "3"]
    assert next(iter(opened(tmp_path, url, text="{Body}!").list())).fingerprint != after[1].fingerprint


def test_a_column_that_says_when_a_row_changed(tmp_path: Path, table: tuple[str, Execute]) -> None:
    url, execute = table
    rows(execute, "One", "Two", "Three")
    execute("UPDATE t SET changed = NULL WHERE id = 3")
    before = list(opened(tmp_path, url, updated_at="changed").list())
    execute("UPDATE t SET \"Body\" = 'other'")  # the rows with a time say that nothing changed
    execute("UPDATE t SET changed = '2024-01-02' WHERE id = 2")
    after = list(opened(tmp_path, url, updated_at="changed").list())
    assert [old.path_key for old, new in zip(before, after, strict=True) if old != new] == ["2", "3"]


@pytest.mark.parametrize("page_size", [1, 2, 5])
def test_keys_that_identify_nothing_are_told(tmp_path: Path, table: tuple[str, Execute], page_size: int) -> None:
    url, execute = table
    numbers = (1, 2, 2, 2, 3, 4, 4, None, None)
    execute('INSERT INTO t (id, "Body") VALUES ' + ", ".join(["(%s, 'x')"] * len(numbers)), numbers)
    source = opened(tmp_path, url, page_size=page_size)
    problems = {item.path_key: item.problem for item in source.list()}
    assert {key for key, problem in problems.items() if problem is None} == {"1", "3"}
    assert "2 rows have NULL in the key id" in (problems["no-key"] or "")
    assert "3 rows have this key" in (problems["2"] or "")
    assert "2 rows have this key" in (problems["4"] or "")
    with pytest.raises(ItemRefused):
        source.fetch(next(item for item in source.list() if item.path_key == "2"))


def test_a_key_that_identifies_hardly_anything_is_refused(tmp_path: Path, table: tuple[str, Execute]) -> None:
    url, execute = table
    numbers = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 150) SELECT n FROM s) a"
    execute(f"INSERT INTO t (id, \"Body\") SELECT a.n, 'x' FROM {numbers}, (SELECT 1 UNION ALL SELECT 2) b")
    with pytest.raises(SourceUnavailable, match=r"more than 100 .* id .*source\.key"):
        list(opened(tmp_path, url).list())


def test_a_key_of_several_columns(tmp_path: Path, table: tuple[str, Execute]) -> None:
    url, execute = table
    pairs = ((1, "a"), (1, "b"), (2, "a"), (2, "a/b"), (2, "größe"), (3, "a"))
    values = [value for number, author in pairs for value in (number, f"{number}{author}", author)]
    execute('INSERT INTO t (id, "Body", author) VALUES ' + ", ".join(["(%s, %s, %s)"] * len(pairs)), values)
    for page_size in (1, 4):
        found = texts(opened(tmp_path, url, key=("id", "author"), page_size=page_size))
        assert {text.rpartition("---\n")[2] for text in found.values()} == {"1a", "1b", "2a", "2a/b", "2größe", "3a"}
        assert len(found) == 6


def test_text_that_is_hard_for_statements(tmp_path: Path, table: tuple[str, Execute]) -> None:
    url, execute = table
    rows(execute, "100 % sure :name \\:x \\\\ {y} 'quoted'")
    query = (
        "SELECT id, \"Body\" || ' :a % \\:b ::c' AS \"Body\" FROM t WHERE '12:30:00' <> ':x%s%(y)s' ; -- a comment : %s"
    )
    (text,) = texts(opened(tmp_path, url, query=query.rpartition(" ;")[0] + " -- a comment : %s\n;")).values()
    assert text.endswith("100 % sure :name \\:x \\\\ {y} 'quoted' :a % \\:b ::c")


@pytest.mark.parametrize(
    "query",
    ["SELECT nothing FROM t", "DELETE FROM t", "SELECT * FROM t) AS x; DELETE FROM t; --", "SELEC", "DROP TABLE t"],
)
def test_what_is_no_select_does_nothing(tmp_path: Path, table: tuple[str, Execute], query: str) -> None:
    url, execute = table
    rows(execute, "One")
    with pytest.raises(SourceUnavailable, match="Nothing was deleted"):
        list(opened(tmp_path, url, query=query).list())
    assert len(list(opened(tmp_path, url).list())) == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [("key", ("nope",)), ("text", "{nope}"), ("title", "{nope}"), ("updated_at", "nope"), ("metadata", ("nope",))],
)
def test_a_column_that_is_not_there_is_named(
    tmp_path: Path, table: tuple[str, Execute], setting: str, value: Any
) -> None:
    with pytest.raises(SourceUnavailable, match=rf"no column nope, which source\.{setting} names; it gives id, Body"):
        list(opened(tmp_path, table[0], **{setting: value}).list())


def test_a_row_that_went_away_and_one_that_is_too_large(tmp_path: Path, table: tuple[str, Execute]) -> None:
    url, execute = table
    rows(execute, "x" * 2000, "gone", "small")
    source = opened(tmp_path, url, max_bytes=1000)
    items = list(source.list())
    execute("DELETE FROM t WHERE id = 2")
    other = Item("lib/s.a/b", "s.a/s.b", "text/markdown")
    results = dict(source.fetch_all([*items, other]))
    assert isinstance(results[items[0]], ItemRefused)
    assert isinstance(results[items[1]], FetchFailed)
    assert isinstance(results[items[2]], Fetched)
    assert isinstance(results[other], FetchFailed)


def test_a_row_without_text_is_an_empty_document(tmp_path: Path, table: tuple[str, Execute]) -> None:
    url, execute = table
    execute("INSERT INTO t (id) VALUES (1)")
    assert texts(opened(tmp_path, url)) == {"1": "---\n---\n"}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("uuid", ["00000000-0000-4000-8000-000000000001", "10000000-0000-4000-8000-000000000001"]),
        ("numeric(30, 2)", ["-5", "1.25", "12345678901234567890"]),
        ("timestamptz", ["2024-01-01 00:00:00.000001+00", "2024-06-01 00:00:00+00"]),
        ("date", ["2024-01-01", "2024-01-02"]),
        ("text", ["", " ", "A", "a", "Ä", "a/b", "%", "5", "no-key", "x" * 1000]),
        ("bytea", ["\\x00ff", "\\x01"]),
        ("boolean", ["false", "true"]),
        ("double precision", ["-1.5", "0.1", "1e300"]),
        ("bigint", ["-9223372036854775808", "1", "3000000000", "9223372036854775807"]),
        ("varchar(5)", ["a", "b"]),
        ("mood", ["sad", "happy"]),
        ('text COLLATE "C"', ["Abc", "abd"]),
    ],
)
def test_keys_of_all_types_of_postgresql(tmp_path: Path, postgres: Postgres, kind: str, values: list[str]) -> None:
    postgres.execute("DROP TABLE IF EXISTS k")
    postgres.execute("DROP TYPE IF EXISTS mood")
    postgres.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
    postgres.execute(f"CREATE TABLE k (id {kind} PRIMARY KEY, body text)")
    for value in values:
        postgres.execute("INSERT INTO k VALUES (%s, %s)", (value, f"-{value}-"))
    url = postgres.url.replace("reader@", "postgres@")
    source = opened(tmp_path, url, query="SELECT * FROM k", text="{body}", page_size=1)
    found = [text.rpartition("---\n")[2] for text in texts(source).values()]
    assert sorted(found) == sorted(f"-{value}-" for value in values)
    assert len({item.uri for item in source.list()}) == len(values)


@settings(max_examples=20)
@given(
    st.dictionaries(st.none() | st.integers(-5, 5) | st.text("a5'/%", max_size=3) | st.binary(max_size=2), st.text())
)
def test_keys_of_mixed_types(tmp_path_factory: pytest.TempPathFactory, given_rows: dict[Any, str]) -> None:
    folder = tmp_path_factory.mktemp("mixed")
    connection = sqlite3.connect(folder / "data.db")
    connection.execute('CREATE TABLE t (id, "Body" text)')
    connection.executemany(
        "INSERT INTO t VALUES (?, ?)", [(key, text.replace("\0", "")) for key, text in given_rows.items()]
    )
    connection.commit()
    connection.close()
    items = list(opened(folder, "sqlite:///data.db", page_size=2).list())
    assert len(items) == len(given_rows)
    assert len({item.uri for item in items}) == len({item.path_key for item in items}) == len(items)
    good = [item for item in items if item.problem is None]
    assert len(good) == len(given_rows) - (None in given_rows)
    assert all(isinstance(result, Fetched) for _, result in opened(folder, "sqlite:///data.db").fetch_all(good))


def test_a_listing_is_one_state_of_the_database(tmp_path: Path, postgres: Postgres) -> None:
    postgres.execute("DROP TABLE IF EXISTS s")
    postgres.execute("CREATE TABLE s (id int, body text)")
    postgres.execute("INSERT INTO s SELECT n, 'x' FROM generate_series(1, 10) n")
    source = opened(
        tmp_path, postgres.url.replace("reader@", "postgres@"), query="SELECT * FROM s", text="{body}", page_size=2
    )
    listing = source.list()
    first = next(listing)
    postgres.execute("DELETE FROM s WHERE id > 5")
    postgres.execute("INSERT INTO s VALUES (11, 'y')")
    assert [item.path_key for item in (first, *listing)] == [str(n) for n in range(1, 11)]
    assert len(list(source.list())) == 6


def test_keys_that_are_equal_in_the_eyes_of_the_database(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "data.db")
    connection.execute('CREATE TABLE t (id text COLLATE NOCASE, "Body" text)')
    connection.executemany("INSERT INTO t VALUES (?, 'x')", [("a",), ("A",), ("b",)])
    connection.commit()
    connection.close()
    with pytest.raises(SourceUnavailable, match="equal in the database's eyes"):
        list(opened(tmp_path, "sqlite:///data.db", page_size=1).list())


def test_the_database_is_only_read(tmp_path: Path, postgres: Postgres) -> None:
    postgres.execute("DROP SEQUENCE IF EXISTS q")
    postgres.execute("CREATE SEQUENCE q")
    url = postgres.url.replace("reader@", "postgres@")
    with pytest.raises(SourceUnavailable, match="read-only"):
        list(opened(tmp_path, url, query="SELECT nextval('q') AS id, 'x' AS \"Body\"").list())


@pytest.mark.parametrize("kind", ["postgresql", "sqlite", "duckdb"])
def test_a_statement_that_takes_too_long_is_ended(tmp_path: Path, postgres: Postgres, kind: str) -> None:
    url, slow = f"{kind}:///data.db", "SELECT count(*) AS id FROM (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL "
    slow += "SELECT n + 1 FROM s WHERE n < 2000000000) SELECT n FROM s) AS x"
    if kind == "postgresql":
        url, slow = postgres.url.replace("reader@", "postgres@"), "SELECT 1 AS id FROM pg_sleep(30)"
    elif kind == "sqlite":
        sqlite3.connect(tmp_path / "data.db").close()
        (tmp_path / "data.db").touch()
    else:
        duckdb.connect(str(tmp_path / "data.db")).close()
        slow = "SELECT count(*) AS id FROM range(10000000) a, range(10000000) b WHERE a.range * b.range % 7 = 3"
    source = opened(tmp_path, url, query=slow, text="{id}", timeout_seconds=0.2)
    started = dt.datetime.now()
    with pytest.raises(SourceUnavailable):
        list(source.list())
    assert dt.datetime.now() - started < dt.timedelta(seconds=10)


def test_a_connection_that_is_lost_in_the_middle(tmp_path: Path, postgres: Postgres) -> None:
    postgres.execute("DROP TABLE IF EXISTS c")
    postgres.execute("CREATE TABLE c (id int, body text)")
    postgres.execute("INSERT INTO c SELECT n, repeat('x', 10000) FROM generate_series(1, 3000) n")
    url = postgres.url.replace("reader@", "postgres@")
    source = opened(tmp_path, url, query="SELECT * FROM c", text="{body}", page_size=10)
    listing = source.list()
    first = next(listing)
    with connected(postgres.host, postgres.name) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dataflow-assets'"
        )
    with pytest.raises(SourceUnavailable, match="Nothing was deleted"):
        list(listing)
    assert isinstance(source.fetch(first), Fetched)  # by another connection


def test_connections_are_given_back(tmp_path: Path, postgres: Postgres) -> None:
    rows_there = opened(tmp_path, postgres.url.replace("reader@", "postgres@"), query="SELECT 1 AS id", text="{id}")
    items = list(rows_there.list())
    list(rows_there.fetch_all(items))
    next(iter(rows_there.list()))
    threads = [threading.Thread(target=rows_there.fetch, args=(items[0],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with connected(postgres.host, postgres.name) as connection:
        for _ in range(100):
            found = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dataflow-assets'"
            ).fetchone()
            if found == (0,):
                return
            connection.execute("SELECT pg_sleep(0.02)")
    pytest.fail("connections are still open")


def test_passwords_come_from_the_environment_and_are_never_shown(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = {"query": "SELECT 1 AS id", "text": "{id}"}
    with pytest.raises(CredentialError, match="PGSECRET is not set"):
        list(opened(tmp_path, postgres.url, password="PGSECRET", **query).list())
    monkeypatch.setenv("PGSECRET", "wr0ng-secret")
    with pytest.raises(CredentialError, match="PGSECRET") as said:
        list(opened(tmp_path, postgres.url, password="PGSECRET", **query).list())
    assert "wr0ng" not in str(said.value)
    monkeypatch.setenv("PGSECRET", PASSWORD)
    assert len(list(opened(tmp_path, postgres.url, password="PGSECRET", **query).list())) == 1
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:wr0ng-secret@/secretname?host=" + postgres.host)
    given = SqlSettings(url_variable="DATABASE_URL", key=("id",), **query)
    with pytest.raises((CredentialError, SourceUnavailable)) as told:
        list(SqlSource(given, SourceContext(tmp_path, tmp_path)).list())
    assert not any(secret in str(told.value) for secret in ("wr0ng", "secretname", "someone"))


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("sqlite:///nowhere.db", SourceUnavailable), ("duckdb:///nowhere.db", SourceUnavailable),
        ("sqlite://", ConfigurationError), ("duckdb:///:memory:", ConfigurationError), ("nothing", ConfigurationError),
        ("nosuch://host/db", ConfigurationError), ("postgresql://u@127.0.0.1:1/db", SourceUnavailable),
        ("mssql+nodriver://u@host/db", ConfigurationError),
    ],
)  # fmt: skip
def test_a_database_that_is_none(tmp_path: Path, url: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"\.$"):
        list(opened(tmp_path, url).list())
    assert not list(tmp_path.iterdir())


def test_a_duckdb_query_reaches_nothing_else(tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "data.db")).close()
    (tmp_path / "secret.txt").write_text("secret")
    query = f"SELECT 1 AS id, content AS \"Body\" FROM read_text('{tmp_path}/secret.txt')"
    with pytest.raises(SourceUnavailable, match="disabled"):
        list(opened(tmp_path, "duckdb:///data.db", query=query).list())


@pytest.mark.parametrize(
    "url", ["postgresql://u:secret@host/db", "postgresql://host/db?password=secret", "mysql+pymysql://u:@host/db"]
)
def test_a_url_with_a_password_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="password"):
        SqlSettings(url=url, query="SELECT 1", key=("id",), text="{id}")
