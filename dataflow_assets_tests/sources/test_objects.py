from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations
from fsspec.spec import AbstractFileSystem
from pydantic import ValidationError

from dataflow_assets.errors import ConfigurationError, CredentialError, FetchFailed, ItemRefused, SourceUnavailable
from dataflow_assets.source_settings import ObjectsSource as ObjectsSettings
from dataflow_assets.sources import objects as objects_module
from dataflow_assets.sources.base import Context as SourceContext
from dataflow_assets.sources.base import Fetched
from dataflow_assets.sources.object_stores import is_marker
from dataflow_assets.sources.objects import ObjectsSource
from dataflow_assets_tests.sources.worlds.objects import Bucket


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    made = Bucket()
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    yield made
    made.server.reset()


def opened(settings: dict[str, Any], **changed: Any) -> ObjectsSource:
    slept: list[float] = []
    given = ObjectsSettings.model_validate({**settings, **changed})
    return ObjectsSource(given, SourceContext(Path("/nowhere"), Path("/nowhere/cache"), "lib"), sleep=slept.append)


def contents(source: ObjectsSource) -> dict[str, bytes]:
    found = {}
    for item, result in source.fetch_all(source.list()):
        assert isinstance(result, Fetched), result
        assert isinstance(result.content, bytes)
        found[item.path_key] = result.content
    return found


def test_what_lies_below_the_prefix_is_listed_page_by_page(bucket: Bucket) -> None:
    for key in ("docs/a.md", "docs/sub/b.md", "docs/sub/deep/c.txt", "docs-too/no.md", "other.md", "docs/.hidden"):
        bucket.put(key, key.encode())
    bucket.server.page_size = 1
    source = opened(bucket.settings)
    items = list(source.list())
    assert [(item.uri, item.path_key, item.media_type, item.size_bytes) for item in items] == [
        (f"s3://{bucket.name}/docs/a.md", "a.md", "text/markdown", 9),
        (f"s3://{bucket.name}/docs/sub/b.md", "sub/b.md", "text/markdown", 13),
        (f"s3://{bucket.name}/docs/sub/deep/c.txt", "sub/deep/c.txt", "text/plain", 19),
    ]
    assert bucket.gets() == []
    assert contents(source)["sub/b.md"] == b"docs/sub/b.md"
    assert contents(opened(bucket.settings, include=("**/*.md",), exclude=("sub/**",))).keys() == {"a.md"}
    whole = opened(bucket.settings, url=f"s3://{bucket.name}")
    assert {item.path_key for item in whole.list()} >= {"docs/a.md", "docs-too/no.md", "other.md"}


def test_keys_are_any_text(bucket: Bucket) -> None:
    names = [
        "a b.md", "größe 漢字.md", "100%.md", "100%41.md", "a+b&c=d?e#f.md", "two//slashes.md", "x/../y.md",
        "/slash first.md", "back\\slash.md", "quote'\".md", "k?versionId=1", "%2F.md", "tilde~.md", "*[x].md", "‮.md",
    ]  # fmt: skip
    for name in names:
        bucket.put(f"docs/{name}", name.encode())
    source = opened(bucket.settings, include=("**/*", "**/.*/**"))
    items = list(source.list())
    assert len({item.path_key for item in items}) == len({item.uri for item in items}) == len(names)
    assert all(item.uri.isprintable() for item in items)
    assert sorted(source.fetch(item).content for item in items) == sorted(name.encode() for name in names)  # type: ignore[type-var]


def test_objects_that_stand_for_folders_are_left_out(bucket: Bucket) -> None:
    for key in ("docs/", "docs/sub/", "docs/sub_$folder$"):
        bucket.put(key, b"")
    bucket.put("docs/empty.md", b"")
    assert contents(opened(bucket.settings)) == {"empty.md": b""}
    assert is_marker("a/", 0)
    assert not is_marker("a", 0)
    assert not is_marker("a/", 1)


def test_an_etag_is_the_fingerprint(bucket: Bucket) -> None:
    bucket.put("docs/a.md", b"one")
    bucket.put("docs/b.md", b"two")
    before = list(opened(bucket.settings).list())
    bucket.put("docs/a.md", b"ONE")
    after = list(opened(bucket.settings).list())
    assert [old.path_key for old, new in zip(before, after, strict=True) if old != new] == ["a.md"]


def test_a_large_object_is_read_in_blocks_of_one_version(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "_BLOCK", 1000)
    bucket.put("docs/a.md", b"a" * 2500)
    source = opened(bucket.settings)
    (item,) = source.list()
    assert source.fetch(item).content == b"a" * 2500
    assert [each["HTTP_RANGE"] for each in bucket.gets()] == ["bytes=0-999", "bytes=1000-1999", "bytes=2000-2999"]
    changes = iter([b"b" * 2500])

    def change(environ: dict[str, Any]) -> None:
        if environ.get("HTTP_RANGE") == "bytes=1000-1999" and (content := next(changes, None)):
            bucket.put("docs/a.md", content)

    bucket.server.before = change
    assert source.fetch(item).content == b"b" * 2500


def test_what_is_too_large_is_never_read_whole(bucket: Bucket) -> None:
    bucket.put("docs/a.md", b"a" * 1001)
    source = opened(bucket.settings, max_bytes=1000)
    (item,) = source.list()
    assert "1,001 bytes" in (item.problem or "")
    with pytest.raises(ItemRefused):
        source.fetch(item)
    assert bucket.gets() == []
    bucket.put("docs/a.md", b"a" * 1000)
    (item,) = source.list()
    bucket.put("docs/a.md", b"a" * 100_000)
    with pytest.raises(ItemRefused, match="100,000"):
        source.fetch(item)
    assert {each["HTTP_RANGE"] for each in bucket.gets()} == {"bytes=0-1000"}


def test_what_went_away_fails(bucket: Bucket) -> None:
    bucket.put("docs/a.md", b"a")
    source = opened(bucket.settings)
    (item,) = source.list()
    bucket.client.delete_object(Bucket=bucket.name, Key="docs/a.md")
    with pytest.raises(FetchFailed, match="went away"):
        source.fetch(item)
    assert list(source.list()) == []


@pytest.mark.parametrize("times", [1, 2])
def test_what_fails_in_passing_is_tried_again(bucket: Bucket, times: int) -> None:
    for name in ("a", "b"):
        bucket.put(f"docs/{name}.md", name.encode())
    bucket.server.page_size = 1
    left = {"list": times, "get": times}

    def refuse(environ: dict[str, Any]) -> bool:
        query = environ["QUERY_STRING"]
        kind = "list" if "continuation-token" in query else "get" if environ["PATH_INFO"].endswith("a.md") else ""
        if left.get(kind, 0) == 0:
            return False
        left[kind] -= 1
        return True

    bucket.server.refuse = refuse
    assert contents(opened(bucket.settings, retries=2)) == {"a.md": b"a", "b.md": b"b"}
    assert left == {"list": 0, "get": 0}


def test_a_listing_that_breaks_off_is_none(bucket: Bucket) -> None:
    for name in "abc":
        bucket.put(f"docs/{name}.md", b"x")
    bucket.server.page_size = 2
    bucket.server.refuse = lambda environ: "continuation-token" in environ["QUERY_STRING"]
    listing = opened(bucket.settings, retries=1).list()
    assert next(listing).path_key == "a.md"
    with pytest.raises(SourceUnavailable, match="Nothing was deleted"):
        list(listing)


@pytest.mark.parametrize(
    "changed",
    [{"url": "s3://no-such-bucket/docs"}, {"options": {"endpoint_url": "http://127.0.0.1:1", "region": "eu-1"}}],
)
def test_a_store_that_is_not_there(bucket: Bucket, changed: dict[str, Any]) -> None:
    with pytest.raises(SourceUnavailable, match="Nothing was deleted"):
        list(opened(bucket.settings, **changed).list())


def test_credentials_come_from_the_environment_and_are_never_shown(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BUCKET_SECRET")
    with pytest.raises(CredentialError, match="BUCKET_SECRET is not set"):
        list(opened(bucket.settings).list())
    monkeypatch.setenv("BUCKET_SECRET", "the-secret-key")
    bucket.put("docs/a.md", b"a")
    list(opened(bucket.settings).list())
    assert any("the-key-id" in each.get("HTTP_AUTHORIZATION", "") for each in bucket.server.asked)
    bucket.server.refuse_with = "403 Forbidden"
    bucket.server.refuse = lambda _: True
    with pytest.raises(CredentialError, match="BUCKET_KEY, BUCKET_SECRET") as said:
        list(opened(bucket.settings).list())
    assert "the-secret-key" not in str(said.value)


def test_a_private_address_is_asked_only_where_it_is_allowed(bucket: Bucket) -> None:
    with pytest.raises(SourceUnavailable, match="allow_hosts"):
        list(opened(bucket.settings, allow_hosts=()).list())
    assert bucket.gets() == []


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    yield store
    store.store.clear()


MEMORY = {"url": "memory://docs", "include": ("**/*.md",)}


def test_any_other_store(memory: MemoryFileSystem) -> None:
    for name in ("b.md", "a.md", "sub/c.md", "sub/d.txt", "100%41.md"):
        memory.pipe_file(f"/docs/{name}", name.encode())
    memory.pipe_file("/docs-too/no.md", b"no")
    source = opened(MEMORY)
    items = list(source.list())
    assert [item.uri for item in items] == [
        "memory://docs/100%2541.md", "memory://docs/a.md", "memory://docs/b.md", "memory://docs/sub/c.md",
    ]  # fmt: skip
    assert contents(source)["sub/c.md"] == b"sub/c.md"
    assert contents(source)["100%2541.md"] == b"100%41.md"
    memory.store["/docs/a.md"].modified = memory.store["/docs/a.md"].created = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    after = list(opened(MEMORY).list())
    assert [old.path_key for old, new in zip(items, after, strict=True) if old != new] == ["a.md"]


def test_a_folder_of_a_store_that_fails_makes_the_listing_fail(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("/docs/a.md", b"a")
    memory.pipe_file("/docs/sub/b.md", b"b")
    plain = MemoryFileSystem.ls

    def ls(store: MemoryFileSystem, path: str, *given: Any, **named: Any) -> Any:
        if path.endswith("sub"):
            raise OSError("the share is gone")
        return plain(store, path, *given, **named)

    monkeypatch.setattr(MemoryFileSystem, "ls", ls)
    monkeypatch.setattr(MemoryFileSystem, "find", AbstractFileSystem.find)  # as most stores have it
    with pytest.raises(SourceUnavailable, match="the share is gone"):
        list(opened(MEMORY).list())


def test_a_store_without_the_folder_is_unavailable(memory: MemoryFileSystem) -> None:
    with pytest.raises(SourceUnavailable):
        list(opened(MEMORY).list())


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc", "local:///etc", "s3://b::file:///x", "zip://a.md::file:///x.zip", "https://host/x", "nosuch://b/x",
        "dir://x", "reference://x", "data://x",
    ],
)  # fmt: skip
def test_what_is_no_store_opens_nothing(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"source\.url"):
        list(opened({"url": url}).list())


@pytest.mark.parametrize(("url", "extra"), [("gs://b/x", "gs"), ("az://b/x", "az")])
def test_a_package_that_is_missing_is_named(url: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(known_implementations, url[:2], {"class": "no_such_package.X", "err": "none"})
    with pytest.raises(ConfigurationError, match=rf'pip install "dataflow-assets\[{extra}\]"'):
        list(opened({"url": url}).list())


def test_options_that_the_store_does_not_take(bucket: Bucket) -> None:
    with pytest.raises(ConfigurationError, match=r"source\.options"):
        list(opened(bucket.settings, options={**bucket.settings["options"], "nonsense": 1}).list())


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "bucket/x"}, {"url": "simplecache::s3://b/x"}, {"url": "s3://"}, {"url": "s3://b", "headers": {"X": "Y"}}, {"url": "s3://key:secret@b/x"},
        {"url": "gs://b", "proxies": ("P",)}, {"url": "s3://b", "options": {"secret": "x"}},
    ],
)  # fmt: skip
def test_settings_that_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ObjectsSettings.model_validate(settings)
