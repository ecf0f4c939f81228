"""From a listing to rows: items that are listed twice, refused, healed, renamed; and sources that tell only what changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.catalog import load_catalog
from dataflow_assets.errors import FetchFailed, ItemRefused, SourceError, SourceUnavailable
from dataflow_assets.flow.fingerprint import ListingHash
from dataflow_assets.flow.ingest import ingest
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.flow.opening import item_of, listed_row
from dataflow_assets.index.edge import EdgeIndex
from dataflow_assets.settings import LibrarySettings
from dataflow_assets.sources.base import BaseSource, Fetched, Item
from dataflow_assets.warehouse.changes import Counts, store
from dataflow_assets.warehouse.spool import open_spool
from dataflow_assets.warehouse.store import Warehouse


@dataclass
class Scripted(BaseSource):
    """A source that does as it is told."""

    items: Sequence[Item] = ()
    contents: dict[str, bytes | SourceError | Fetched] = field(default_factory=dict)
    partial: bool = False
    cut: bool = False
    forgetful: bool = False
    fetched: list[str] = field(default_factory=list)
    told: int = 0

    def list(self) -> Iterator[Item]:
        yield from self.items
        if self.cut:
            raise SourceUnavailable("The listing broke off.")

    def fetch(self, item: Item) -> Fetched:
        self.fetched.append(item.path_key)
        found = self.contents.get(item.path_key, item.path_key.encode("utf-8", "surrogatepass") * 9)
        if isinstance(found, SourceError):
            raise found
        return found if isinstance(found, Fetched) else Fetched(found)

    def fetch_all(self, items: Any) -> Iterator[tuple[Item, Fetched | SourceError]]:
        pairs = super().fetch_all(items)
        return (pair for pair in pairs if not self.forgetful)

    def stored(self) -> None:
        self.told += 1


class Home:
    """A library of which only the first stage runs."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, root / "home"
        (root / "docs").mkdir(exist_ok=True)
        self.catalog({})

    def catalog(self, settings: dict[str, Any], **source: Any) -> None:
        library = {"source": {"type": "files", "path": "docs", **source}, **settings}
        (self.root / "catalog.yaml").write_text(json.dumps({"libraries": {"docs": library}}))

    def run(
        self, source: Scripted, partition: str = "docs", *, accept_deletes: bool = False
    ) -> tuple[Counts, dict[str, Any]]:
        source.fetched.clear()
        run = LibraryRun.of(
            load_catalog(self.root / "catalog.yaml"),
            partition,
            home=self.home,
            warehouse=Warehouse(self.home),
            index=EdgeIndex(self.home / "index"),
            spool=open_spool(self.home, partition),
        )
        run.accept_deletes = accept_deletes
        run.__dict__["source"] = source
        changes = ingest(run)
        return store(run.warehouse, changes), changes.details

    def rows(self, columns: str) -> list[Any]:
        with Warehouse(self.home).reading() as connection:
            found = connection.execute(f"SELECT {columns} FROM raw_documents ORDER BY ALL").fetchall()
        return [row[0] if len(row) == 1 else row for row in found]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def item(key: str, version: str | None = "1", **more: Any) -> Item:
    return Item(f"docs/{key}", key, "text/plain", None, version, **more)


def test_of_an_item_that_is_listed_twice_what_was_said_last_counts(home: Home) -> None:
    source = Scripted([item("a", "1"), item("b"), item("a", "2"), item("b")])
    counts, details = home.run(source)
    assert (counts.new, source.fetched) == (2, ["a", "b"])
    assert home.rows("source_uri, fingerprint") == [("docs/a", "2"), ("docs/b", "1")]
    assert details["repeated"] == 2
    home.run(source)
    assert source.fetched == []


def test_a_refused_item_is_not_asked_for_again_until_what_refused_it_changed(home: Home) -> None:
    source = Scripted([item("a.zip"), item("b")], {"a.zip": ItemRefused("too large"), "b": ItemRefused("too large")})
    source.items = [replace(source.items[0], media_type="application/zip"), source.items[1]]
    home.run(source)
    assert home.rows("fetch_error") == ["too large", "too large"]
    home.run(source)
    assert source.fetched == []
    home.catalog({}, max_bytes=99_000_000)
    source.contents = {"a.zip": b"no archive at all " * 9}
    home.run(source)
    assert sorted(source.fetched) == ["a.zip", "b"]
    home.run(source)
    assert source.fetched == []


def test_an_empty_file_with_the_name_of_an_archive_is_fetched_once(home: Home) -> None:
    source = Scripted([replace(item("a.zip"), media_type="application/zip")], {"a.zip": b""})
    home.run(source)
    home.run(source)
    assert source.fetched == []


def test_bytes_that_are_something_else_than_was_listed_are_fetched_once(home: Home) -> None:
    source = Scripted([replace(item("a"), media_type="text/html")], {"a": Fetched(b"# A page", "text/markdown")})
    home.run(source)
    assert home.rows("media_type") == ["text/markdown"]
    home.run(source)
    assert source.fetched == []


def test_a_problem_that_heals_is_fetched_though_nothing_else_changed(home: Home) -> None:
    source = Scripted([item("a", problem="It may not be read."), item("b", None, problem="It is a pipe.")])
    home.run(source)
    assert home.rows("fetch_error") == ["It is a pipe.", "It may not be read."]
    assert home.run(source)[0].unchanged == 2
    source.items = [item("a"), item("b", None)]
    home.run(source)
    assert (sorted(source.fetched), home.rows("fetch_error")) == (["a", "b"], [None, None])


def test_a_source_that_goes_away_while_items_are_fetched_says_nothing_about_them(home: Home) -> None:
    source = Scripted([item("a"), item("b")])
    home.run(source)
    good = home.rows("source_uri, content_hash")
    source.items = [item("a", "2"), item("b", "2")]
    source.contents = {"a": SourceUnavailable("The host is down."), "b": FetchFailed("Time-out.")}
    _, details = home.run(source)
    assert set(details["failures"].values()) == {"The host is down.", "Time-out."}
    assert home.rows("source_uri, content_hash") == good


def test_items_that_a_source_gives_nothing_for_have_failed(home: Home) -> None:
    source = Scripted([item("a")], forgetful=True)
    _, details = home.run(source)
    assert list(details["failures"]) == ["docs/a"]
    source.forgetful = False
    home.run(source)
    assert home.rows("fetch_error") == [None]


def test_refusals_that_end_are_no_deletes_that_wait_for_a_person(home: Home) -> None:
    packed = zipped("one.md")
    items = [replace(item(f"{n}.zip"), media_type="application/zip") for n in range(12)]
    source = Scripted(items, {each.path_key: FetchFailed("Time-out.") for each in items})
    home.run(source)
    assert len(home.rows("source_uri")) == 12
    source.contents = {each.path_key: packed for each in items}
    _, details = home.run(source)
    assert "withheld_deletes" not in details
    assert home.rows("source_uri") == sorted(f"docs/{n}.zip!/one.md" for n in range(12))


def test_an_archive_that_becomes_a_document_of_the_same_name_and_back(home: Home) -> None:
    packed = zipped("one.md")
    there = item("more")
    for version, content, uris in (
        ("1", packed, ["docs/more!/one.md"]),
        ("2", b"# A page", ["docs/more"]),
        ("3", packed, ["docs/more!/one.md"]),
    ):
        source = Scripted(
            [replace(there, media_type="application/octet-stream", fingerprint=version)], {"more": content}
        )
        home.run(source)
        assert home.rows("source_uri") == uris
        home.run(source)
        assert source.fetched == []


def test_a_member_and_a_file_of_the_same_address_are_two_documents(home: Home) -> None:
    packed = zipped("one.md")
    source = Scripted([item("a.zip"), item("a.zip!/one.md")], {"a.zip": packed})
    home.run(source)
    assert home.rows("source_uri") == ["docs/a.zip!/one.md"] * 2
    assert len(set(home.rows("document_id"))) == 2
    home.run(source)
    assert source.fetched == []


def mail() -> bytes:
    from email.message import EmailMessage

    made = EmailMessage()
    made["Subject"], made["From"] = "The harvest", "ann@example.org"
    made.set_content("Dear Bob, here is the list.")
    made.add_attachment(b"# The list", maintype="text", subtype="markdown", filename="list.md")
    return bytes(made)


def test_attachments_come_when_the_catalog_lets_archives_be_opened(home: Home) -> None:
    source = Scripted([replace(item("m.eml"), media_type="message/rfc822")], {"m.eml": mail()})
    home.catalog({}, archives={"open": False})
    home.run(source)
    home.run(source)
    assert (home.rows("source_uri"), source.fetched) == (["docs/m.eml"], [])
    home.catalog({})
    home.run(source)
    assert home.rows("source_uri") == ["docs/m.eml", "docs/m.eml!/list.md"]
    source.contents, source.items = (
        {"m.eml": b"Subject: Short\n\nNo list."},
        [replace(source.items[0], fingerprint="2")],
    )
    home.run(source)
    assert home.rows("source_uri") == ["docs/m.eml"]


def test_an_archive_of_which_nothing_is_taken_is_opened_once_and_says_so(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = zipped("one.txt")
    source = Scripted([replace(item("a.zip"), media_type="application/zip")], {"a.zip": packed})
    monkeypatch.setattr(source, "takes_member", lambda path: path.endswith(".md"))
    home.run(source)
    (reason,) = home.rows("fetch_error")
    assert "no member that the source's include and exclude take" in reason
    home.run(source)
    assert source.fetched == []


def test_a_protected_archive_is_tried_again_when_the_catalog_names_a_password(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Scripted([replace(item("a.zip"), media_type="application/zip")], {"a.zip": b"PK\x03\x04 damaged" * 9})
    home.run(source)
    home.run(source)
    assert source.fetched == []
    monkeypatch.setenv("A_PASSWORD", "secret")
    home.catalog({"reading": {"passwords": ["A_PASSWORD"]}})
    home.run(source)
    assert source.fetched == ["a.zip"]
    home.run(source)
    assert source.fetched == []


def test_a_renamed_archive_takes_its_members_along(home: Home) -> None:
    packed = zipped("one.md", "two.md")
    source = Scripted([item("a"), item("b")], {"a": packed, "b": packed})
    home.run(source)
    assert len(set(home.rows("document_id"))) == 4
    source = Scripted([item("c"), item("b")], {"c": packed})
    home.run(source)
    assert home.rows("source_uri") == ["docs/b!/one.md", "docs/b!/two.md", "docs/c!/one.md", "docs/c!/two.md"]
    assert source.fetched == ["c"]


def zipped(*names: str) -> bytes:
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name in names:
            file.writestr(name, f"# This is {name}")
    return packed.getvalue()


# Sources that tell only what changed ---------------------------------------------------------------------------------


def test_what_a_partial_listing_does_not_name_stays_and_what_is_gone_leaves(home: Home) -> None:
    source = Scripted([item("a"), item("b"), item("c")], partial=True)
    home.run(source)
    source.items, source.contents = [item("b", "2"), item("a", gone=True)], {"b": b"something else"}
    counts, details = home.run(source)
    assert (counts.changed, counts.deleted, source.told) == (1, 1, 2)
    assert details["listed"] == 2
    assert home.rows("source_uri") == ["docs/b", "docs/c"]
    source.items = []
    home.run(source)
    assert home.rows("source_uri") == ["docs/b", "docs/c"]


def test_a_partial_listing_may_tell_the_story_of_an_item(home: Home) -> None:
    source = Scripted([item("a"), item("x"), item("a", gone=True), item("b", gone=True), item("b", "3")], partial=True)
    _, details = home.run(source)
    assert home.rows("source_uri, fingerprint") == [("docs/b", "3"), ("docs/x", "1")]
    assert "repeated" not in details


def test_a_source_keeps_its_place_while_something_could_not_be_done(home: Home) -> None:
    """Else nobody would name it again."""
    items = [item(f"{n:02}") for n in range(30)]
    source = Scripted(items, {"07": FetchFailed("Time-out.")}, partial=True)
    home.run(source)
    assert source.told == 0
    source.contents = {}
    home.run(source)
    assert (source.fetched, source.told) == (["07"], 1)
    source.items = [replace(each, gone=True) for each in items[:20]]
    _, details = home.run(source)
    assert (details["withheld_deletes"], source.told, len(home.rows("source_uri"))) == (20, 1, 30)
    home.run(source, accept_deletes=True)
    assert (source.told, len(home.rows("source_uri"))) == (2, 10)


def test_a_partial_listing_of_nothing_but_deletes_waits_for_a_person(home: Home) -> None:
    source = Scripted([item("a"), item("b")], partial=True)
    home.run(source)
    source.items = [item("a", gone=True), item("b", gone=True)]
    _, details = home.run(source)
    assert details["withheld_deletes"] == 2
    assert len(home.rows("source_uri")) == 2


@pytest.mark.parametrize("partial", [False, True])
def test_a_listing_that_breaks_off_changes_nothing(home: Home, partial: bool) -> None:
    source = Scripted([item("a"), item("b")], partial=partial)
    home.run(source)
    before = home.rows("*")
    source.items, source.cut = [item("c"), item("a", gone=True)], True
    _, details = home.run(source)
    assert "broke off" in details["unavailable"]
    assert (home.rows("*"), source.told) == (before, 1)


# Keys, and the hash of a listing -------------------------------------------------------------------------------------


@given(st.text(max_size=40), st.none() | st.text(max_size=20), st.none() | st.text(max_size=20), st.booleans())
def test_an_item_comes_back_from_the_listing_as_its_source_gave_it(
    key: str, fingerprint: str | None, problem: str | None, gone: bool
) -> None:
    given_item = Item("docs/x", key, "text/plain", 7, fingerprint, problem, gone)
    row = json.loads(json.dumps(listed_row("docs", given_item)))
    back = item_of(row)
    assert (back.path_key, back.fingerprint, back.size_bytes) == (key, fingerprint, 7)
    for value in row.values():
        assert "\x00" not in str(value)
        str(value).encode("utf-8")  # what the tables hold is valid


def test_odd_names_go_through(home: Home) -> None:
    names = [
        "\udcff.md",
        "a\x00b",
        "e\u0301",
        "\u00e9",
        "'; DROP TABLE raw_documents; --",
        "\u202etxt",
        "new\nline",
        '"',
    ]
    source = Scripted([item(name, name) for name in names])
    assert home.run(source)[0].new == len(names)
    assert sorted(source.fetched) == sorted(names)
    assert home.run(source)[0].unchanged == len(names)
    assert source.fetched == []


@given(st.lists(st.tuples(st.text(max_size=3), st.none() | st.text(max_size=3)), max_size=8), st.randoms())
def test_the_order_of_a_listing_is_no_change_and_its_content_is(
    pairs: list[tuple[str, str | None]], chance: Any
) -> None:
    settings = LibrarySettings.model_validate({"source": {"type": "files", "path": "docs"}})

    def told(of: list[tuple[str, str | None]]) -> str:
        seen = ListingHash(settings)
        for key, version in of:
            seen.add(Item(key, key, "text/plain", None, version))
        return seen.done()

    shuffled = list(pairs)
    chance.shuffle(shuffled)
    assert told(pairs) == told(shuffled)
    assert told([*pairs, ("new", "1")]) != told(pairs)
