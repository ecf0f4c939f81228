"""Rows of a database: one document per row.

What belongs here: the statements, and what rows become. What does not: connections (`sql_databases`), the text of keys
(`row_keys`), templates and the bytes of records (`record_text`).

The query is wrapped as a table, and read page by page: each page begins behind the last key of the one before, so that the
database can follow an index and no page is lost or seen twice when rows come and go. What would make a listing look whole
though it is not (rows without a key, keys that several rows have, a collation that skips) is counted and told.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from dataflow_assets.errors import CredentialError, FetchFailed, ItemRefused, SourceError, SourceUnavailable
from dataflow_assets.source_settings import SqlSource as SqlSettings
from dataflow_assets.sources.base import BaseSource, Context, Fetched, Item
from dataflow_assets.sources.record_text import MEDIA_TYPE, parse_template, record_bytes, value_text
from dataflow_assets.sources.row_keys import NoKey, read_key, show_key, write_key
from dataflow_assets.sources.sql_databases import Database, DatabaseFailed, Read, Row, open_database

_VERSION = 1
_AT_ONCE = 100
_MAX_REPEATED = 100
_NO_KEY = "no-key"
"""The identity of all rows without a key; no key is written like this."""


class SqlSource(BaseSource):
    """Lists and fetches the rows of a query.

    Args:
        settings: Database, query, key, templates.
        context: Its base is the folder that the path of a database file starts from.
    """

    def __init__(self, settings: SqlSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._database: Database | None = None
        self._readers, self._lock = 0, threading.Lock()
        self._prefix = f"{context.library or 'rows'}/"
        self._text = parse_template(settings.text)
        self._title = parse_template(settings.title, setting="title") if settings.title is not None else None
        places = [*self._text.places, *(self._title.places if self._title else ()), *settings.metadata]
        self._used = list(dict.fromkeys(places))
        about = (_VERSION, settings.query, settings.key, settings.text, settings.title, settings.metadata)
        self._form = hashlib.sha256(repr(about).encode("utf-8", "surrogatepass")).hexdigest()[:12]
        # A table that is the query itself. Every colon is escaped: none is a parameter of ours. The line break ends a
        # comment at the query's end.
        query = settings.query.strip().rstrip(";").replace(":", "\\:")
        self._rows = sa.text(f"(\n{query}\n) source_rows")

    def list(self) -> Iterator[Item]:
        """List the rows in the order of their keys.

        Raises:
            SourceUnavailable: The database cannot be reached or refuses the query, the connection was lost, the query has
                no such columns, or its rows cannot be told apart.
            CredentialError: A variable is not set, or the database wants another password.
        """
        try:
            with self._open() as database, database.reading() as read:
                self._check_columns(read)
                total, without_key = self._count(read)
                if without_key:
                    yield self._keyless(without_key)
                seen = repeated = 0
                for row, times in self._pages(read):
                    seen += times
                    repeated += times > 1
                    if repeated > _MAX_REPEATED:
                        raise self._unavailable(
                            f"more than {_MAX_REPEATED} values of its key {self._key_said()} stand in several rows. Name "
                            "the columns that identify a row as source.key"
                        )
                    yield self._item(row, times, typeless=database.typeless)
                if database.one_state and seen != total - without_key:
                    raise self._unavailable(
                        f"it has {total - without_key:,} rows with a key, and {seen:,} were found in the order of "
                        f"{self._key_said()}: several are equal in the database's eyes. Name another source.key"
                    )
        except DatabaseFailed as failed:
            raise self._failed(failed) from failed

    def fetch(self, item: Item) -> Fetched:
        """Fetch one row.

        Raises:
            FetchFailed: It is not there, or the database cannot be asked now.
            ItemRefused: It is larger than allowed.
        """
        ((_, result),) = self.fetch_all([item])
        if isinstance(result, SourceError):
            raise result
        return result

    def fetch_all(self, items: Iterable[Item]) -> Iterator[tuple[Item, Fetched | SourceError]]:
        """Fetch many rows, a hundred in one statement."""
        waiting = iter(items)
        with self._open() as database:
            while batch := tuple(itertools.islice(waiting, _AT_ONCE)):
                yield from self._fetch_batch(database, batch)

    @contextmanager
    def _open(self) -> Iterator[Database]:
        """Give the database; its connections are closed when the last one who reads is done."""
        with self._lock:
            if self._database is None:
                self._database = self._described()
            database = self._database
            self._readers += 1
        try:
            yield database
        finally:
            with self._lock:
                self._readers -= 1
                if self._readers == 0:
                    database.close()

    def _described(self) -> Database:
        settings = self._settings
        url = settings.url
        if settings.url_variable is not None:
            url = _variable(settings.url_variable, "the database's URL")
        password = _variable(settings.password, "the database's password") if settings.password is not None else None
        return open_database(
            url or "",
            password,
            base=self._context.base,
            timeout=settings.timeout_seconds,
            pool_size=settings.pool_size,
            secret_url=settings.url_variable is not None,
        )

    @property
    def _key(self) -> Sequence[sa.ColumnClause[Any]]:
        return [sa.column(name) for name in self._settings.key]

    def _key_said(self) -> str:
        return ", ".join(self._settings.key)

    def _select(self, columns: Iterable[sa.ColumnElement[Any]]) -> sa.Select[Any]:
        # Labelled, since the same column may stand among the key and the others.
        labelled = [column.label(f"c{n}") for n, column in enumerate(columns)]
        return sa.select(*self._key, *labelled).select_from(self._rows)

    def _whole(self) -> sa.Select[Any]:
        return self._select(sa.column(name) for name in self._used)

    def _listed(self) -> sa.Select[Any]:
        """Ask for the key, and for what the fingerprint is made from."""
        if self._settings.updated_at is None:
            return self._whole()
        updated: sa.ColumnClause[Any] = sa.column(self._settings.updated_at)
        # A row without a time is known by its content, which only such rows send.
        content = (sa.case((updated.is_(None), sa.column(name))) for name in self._used)
        return self._select([updated, *content])

    def _check_columns(self, read: Read) -> None:
        names, rows = read(sa.select(sa.text("*")).select_from(self._rows).where(sa.text("1 = 0")))
        for _ in rows:
            break
        settings = self._settings
        wanted = {
            "key": settings.key,
            "text": self._text.places,
            "title": self._title.places if self._title else (),
            "updated_at": (settings.updated_at,) if settings.updated_at else (),
            "metadata": settings.metadata,
        }
        for setting, columns in wanted.items():
            missing = [column for column in columns if column not in names]
            if missing:
                raise self._unavailable(
                    f"its query gives no column {missing[0]}, which source.{setting} names; it gives {', '.join(names)}"
                )

    def _count(self, read: Read) -> tuple[int, int]:
        """Count the rows, and those of them that have no key."""
        no_key = sa.or_(*(column.is_(None) for column in self._key))
        marked = sa.func.coalesce(sa.func.sum(sa.case((no_key, 1), else_=0)), 0)
        _, rows = read(sa.select(sa.func.count(), marked).select_from(self._rows))
        ((total, without_key),) = rows
        return int(total), int(without_key)

    def _pages(self, read: Read) -> Iterator[tuple[Row, int]]:
        """Give each key's first row with the number of rows that have the key."""
        size, width = self._settings.page_size, len(self._settings.key)
        after: Row | None = None
        while True:
            page = self._listed().where(*(column.isnot(None) for column in self._key))
            if after is not None:
                page = page.where(self._behind(after))
            # One more than a page: so a key that is repeated across the page's end is seen.
            _, rows = read(page.order_by(*self._key).limit(size + 1))
            held: Row | None = None
            beyond: Row | None = None
            times = 0
            for number, row in enumerate(rows):
                if number == size:
                    beyond = row
                elif held is not None and row[:width] == held[:width]:
                    times += 1
                else:
                    if held is not None:
                        yield held, times
                    held, times = row, 1
            if held is None:
                return
            after = held[:width]
            if beyond is not None and beyond[:width] == after:
                _, counted = read(sa.select(sa.func.count()).select_from(self._rows).where(self._is(after)))
                ((number_of_rows,),) = counted
                times = int(number_of_rows)
            yield held, times
            if beyond is None:
                return

    def _behind(self, after: Row) -> sa.ColumnElement[bool]:
        """Say that a row comes behind a key, in a way that every database knows."""
        columns = self._key
        steps = [
            sa.and_(*(columns[n] == _given(after[n]) for n in range(at)), columns[at] > _given(after[at]))
            for at in range(len(columns))
        ]
        return sa.and_(columns[0] >= _given(after[0]), sa.or_(*steps))

    def _is(self, key: Row) -> sa.ColumnElement[bool]:
        return sa.and_(*(column == _given(value) for column, value in zip(self._key, key, strict=True)))

    def _is_one_of(self, keys: Sequence[Row]) -> sa.ColumnElement[bool]:
        if len(self._key) == 1:
            values = [key[0] for key in keys]
            return self._key[0].in_(sa.bindparam(None, values, type_=sa.types.NullType(), expanding=True))
        return sa.or_(*(self._is(key) for key in keys))

    def _item(self, row: Row, times: int, *, typeless: bool) -> Item:
        width = len(self._settings.key)
        key, values = row[:width], row[width:]
        try:
            path_key = write_key(key)
        except NoKey as error:
            raise self._unavailable(
                f"its key {self._key_said()} has {error}, which identify nothing. Name other columns, or cast them to text"
            ) from error
        uri = self._prefix + show_key(key, typeless=typeless)
        if times > 1:
            problem = (
                f"{uri}: {times:,} rows have this key, so none of them can be told from the others. Name the columns that "
                "identify a row as source.key."
            )
            return Item(uri, path_key, MEDIA_TYPE, None, f"problem-{times}", problem)
        return Item(uri, path_key, MEDIA_TYPE, None, f"{self._form}-{_hash(values)}")

    def _keyless(self, count: int) -> Item:
        problem = (
            f"{count:,} row{'s have' if count > 1 else ' has'} NULL in the key {self._key_said()}, and can't be documents. "
            "Leave them out in the query, or name another source.key."
        )
        return Item(f"{self._prefix}%00", _NO_KEY, MEDIA_TYPE, None, f"problem-{count}", problem)

    def _fetch_batch(self, database: Database, batch: Sequence[Item]) -> Iterator[tuple[Item, Fetched | SourceError]]:
        wanted: dict[str, Item] = {}
        keys: list[Row] = []
        for item in batch:
            try:
                if item.problem is not None:
                    raise ItemRefused(item.problem)
                key = read_key(item.path_key)
                if len(key) != len(self._settings.key):
                    raise ValueError
            except ItemRefused as refused:
                yield item, refused
            except ValueError:
                yield item, FetchFailed(f"{item.uri} was listed with another key. The next run lists it anew.")
            else:
                keys.append(key)
                wanted[item.path_key] = item
        if not keys:
            return
        try:
            with database.reading() as read:
                _, rows = read(self._whole().where(self._is_one_of(keys)))
                for row in rows:
                    width = len(self._settings.key)
                    item_or_none = wanted.pop(write_key(row[:width]), None)
                    if item_or_none is not None:
                        yield item_or_none, self._document(item_or_none, row[width:])
        except DatabaseFailed as failed:
            if failed.unauthorized:
                raise self._failed(failed) from failed
            for item in wanted.values():
                yield item, FetchFailed(f"{item.uri} cannot be fetched now: {failed.said}. The next run tries again.")
            return
        for item in wanted.values():
            yield item, FetchFailed(f"{item.uri} is no longer in the database. The next run lists it anew.")

    def _document(self, item: Item, values: Row) -> Fetched | ItemRefused:
        row: Mapping[str, Any] = dict(zip(self._used, values, strict=True))
        title = self._title.fill(row.get) if self._title else None
        body = self._text.fill(row.get) or ""
        content = record_bytes(title, body, {name: row[name] for name in self._settings.metadata})
        if len(content) > self._settings.max_bytes:
            return ItemRefused(
                f"{item.uri} has {len(content):,} bytes, more than the {self._settings.max_bytes:,} that the library's "
                "source.max_bytes allows. Raise it, or leave the row out in the query."
            )
        return Fetched(content, MEDIA_TYPE)

    def _unavailable(self, what: str) -> SourceUnavailable:
        return SourceUnavailable(f"The database of the library cannot be listed: {what}. Nothing was deleted.")

    def _failed(self, failed: DatabaseFailed) -> SourceError | CredentialError:
        if not failed.unauthorized:
            return self._unavailable(f"{failed.said}. Check the database, and the library's source")
        variable = self._settings.password or self._settings.url_variable
        what = (
            f"Check the environment variable {variable}."
            if variable is not None
            else "Name the environment variable that holds the password as the library's source.password."
        )
        return CredentialError(f"The database does not let us in ({failed.said}). {what}")


def _given(value: Any) -> sa.BindParameter[Any]:
    """Hand a value over as it is: the database knows the column's type, and a cast could be to another."""
    return sa.bindparam(None, value, type_=sa.types.NullType())


def _hash(values: Row) -> str:
    """Hash values so that equal values of a database have equal hashes in every session."""
    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, datetime) and value.tzinfo is not None:
            value = value.astimezone(UTC)
        raw = value if isinstance(value, bytes) else value_text(value).encode("utf-8", "surrogatepass")
        kind = b"null" if value is None else b"bytes" if isinstance(value, bytes) else b"text"
        digest.update(b"%s %d " % (kind, len(raw)) + raw)
    return digest.hexdigest()[:32]


def _variable(name: str, what: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise CredentialError(f"The environment variable {name} is not set; it holds {what}. Set it, and run again.")
    return value
