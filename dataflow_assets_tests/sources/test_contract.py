"""What holds for every kind of source, tried on the real thing behind it: folders, servers, databases, repositories."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataflow_assets.errors import SourceUnavailable
from dataflow_assets.source_settings import SETTINGS, settings_class
from dataflow_assets.sources.base import Fetched, Item, Source, open_source

TEXTS = {"one": "The first document says this.", "two": "The second document says that.", "three": "And a third one."}


@pytest.fixture(params=list(SETTINGS))
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made = importlib.import_module(f"dataflow_assets_tests.sources.worlds.{request.param}")
    (tmp_path / "world").mkdir()
    with made.world(tmp_path / "world") as there:
        for name, value in there.environment.items():
            monkeypatch.setenv(name, value)
        there.kind = request.param
        there.cache = tmp_path / "cache"
        there.base = tmp_path / "world"
        yield there


def opened(world: Any) -> Source:
    """Open the source anew, as every run does."""
    kind = settings_class(world.kind)
    assert kind is not None
    settings = kind.model_validate({"type": world.kind, **world.settings})
    return open_source(settings, base=world.base, cache=world.cache, library="lib")


def listed(source: Source) -> list[Item]:
    return [item for item in source.list() if not item.gone]


def content(source: Source, item: Item) -> bytes:
    found = source.fetch(item).content
    return found if isinstance(found, bytes) else found.read_bytes()


def whole(world: Any) -> dict[str, Item]:
    """A first run: list, fetch, and tell the source that all is stored."""
    source = opened(world)
    items = {item.path_key: item for item in listed(source)}
    for _, result in source.fetch_all(iter(items.values())):
        assert isinstance(result, Fetched)
    source.stored()
    return items


def test_what_is_there_is_listed_and_fetched(world: Any) -> None:
    for name in ("one", "two"):
        world.put(name, TEXTS[name])
    source = opened(world)
    items = listed(source)
    assert len({item.path_key for item in items}) == len({item.uri for item in items}) == len(items)
    if world.kind == "archive":  # one item, whatever lies in it
        assert len(items) == 1
        return
    assert len(items) == 2
    fetched = [content(source, item) for item in items]
    assert {name for name in ("one", "two") if any(TEXTS[name].encode() in each for each in fetched)} == {"one", "two"}
    assert all(item.fingerprint for item in items)
    together = dict(source.fetch_all(iter(items)))
    assert [together[item].content for item in items] == fetched


def test_two_listings_of_the_same_thing_are_equal(world: Any) -> None:
    for name, text in TEXTS.items():
        world.put(name, text)
    first = whole(world)
    source = opened(world)
    again = {item.path_key: item for item in source.list()}
    if not source.partial:
        assert list(again.items()) == list(first.items())


def test_a_second_run_asks_for_no_content(world: Any) -> None:
    world.put("one", TEXTS["one"])
    before = whole(world)
    served = world.requests
    source = opened(world)
    again = {item.path_key: item for item in source.list()}
    source.stored()
    assert all(before[key].fingerprint == item.fingerprint for key, item in again.items())
    assert world.requests == served


def test_one_change_changes_one_fingerprint(world: Any) -> None:
    for name in ("one", "two"):
        world.put(name, TEXTS[name])
    before = whole(world)
    world.put("one", "The first document says something else now, and more of it.")
    source = opened(world)
    after = {item.path_key: item for item in listed(source)}
    changed = [key for key in after if before[key].fingerprint != after[key].fingerprint]
    assert len(changed) == 1
    if world.kind != "archive":
        assert b"something else" in content(source, after[changed[0]])


def test_what_leaves_is_not_listed(world: Any) -> None:
    for name, text in TEXTS.items():
        world.put(name, text)
    before = whole(world)
    world.remove("two")
    source = opened(world)
    after = list(source.list())
    if world.kind == "archive":
        assert after[0].fingerprint != before[after[0].path_key].fingerprint
    elif source.partial:
        assert all(item.path_key in before for item in after)
    else:
        assert len(after) == 2
        assert {item.path_key for item in after} < before.keys()


def test_a_listing_that_fails_is_no_listing(world: Any) -> None:
    for name, text in TEXTS.items():
        world.put(name, text)
    before = whole(world)
    world.break_listing()
    with pytest.raises(SourceUnavailable) as said:
        list(opened(world).list())
    assert str(said.value).endswith(".")
    world.mend()
    source = opened(world)
    after = listed(source)
    assert all(before[item.path_key].fingerprint == item.fingerprint for item in after)
    assert source.partial or len(after) == len(before)


def test_a_folder_of_its_own_that_was_lost_costs_requests_and_nothing_else(world: Any) -> None:
    for name in ("one", "two"):
        world.put(name, TEXTS[name])
    before = whole(world)
    for folder, _, files in os.walk(world.cache, topdown=False):
        for file in files:
            os.unlink(os.path.join(folder, file))
    source = opened(world)
    after = {item.path_key: item for item in listed(source)}
    assert {key: item.fingerprint for key, item in after.items()} == {
        key: item.fingerprint for key, item in before.items()
    }
    for item in after.values():
        assert content(source, item)


def test_a_folder_of_its_own_that_is_damaged_is_made_anew(world: Any) -> None:
    world.put("one", TEXTS["one"])
    before = whole(world)
    for folder, _, files in os.walk(world.cache):
        for file in files:
            path = Path(folder, file)
            path.chmod(0o644)
            path.write_bytes(b"\x00garbage" * 10)
    source = opened(world)
    after = {item.path_key: item for item in listed(source)}
    assert after.keys() == before.keys()
    assert all(content(source, item) for item in after.values())


def test_no_secret_stands_in_an_item(world: Any) -> None:
    world.put("one", TEXTS["one"])
    source = opened(world)
    said = " ".join(str(item) for item in source.list()) + " ".join(source.notes)
    assert not any(value in said for value in world.environment.values() if len(value) > 3)
