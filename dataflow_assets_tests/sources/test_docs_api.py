from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dataflow_assets.errors import CredentialError, FetchFailed, SourceUnavailable
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.source_settings import DocsApiSource as DocsApiSettings
from dataflow_assets.sources.base import Context, Item
from dataflow_assets.sources.docs_api import DocsApiSource
from dataflow_assets.stages.read import read_document
from dataflow_assets_tests.sources.small_server import Answer, Asked, SmallServer, as_json, small_server

LONG = "Install it with pip, and read the notes. " * 40
VARIABLE = "DOCS_TEST_KEY"


class Service:
    """A documentation service; `texts` are its documents, by id and topic."""

    def __init__(self, server: SmallServer) -> None:
        self.server, self.key, self.broken = server, "", False
        self.libraries: list[dict[str, Any]] = [
            {"id": "/vercel/next.js", "title": "Next.js", "lastUpdateDate": "2026-01-01"},
            {"id": "/other/next", "title": "Next", "lastUpdateDate": "2026-01-01"},
        ]
        self.texts: dict[tuple[str, str], str | Answer] = {
            ("/vercel/next.js", "usage"): f"# Usage\n\n{LONG}",
            ("/vercel/next.js", "api"): f"# API\n\n{LONG}",
        }
        self.fetched: list[tuple[str, str]] = []
        self.searched: list[str] = []
        server.answer = self.answer

    def update(self, text: str | Answer | None, topic: str = "usage", stamp: str | None = None) -> None:
        if text is None:
            del self.texts["/vercel/next.js", topic]
        else:
            self.texts["/vercel/next.js", topic] = text
        self.libraries[0]["lastUpdateDate"] = stamp or f"{self.libraries[0]['lastUpdateDate']}x"

    def answer(self, asked: Asked) -> Answer:
        if self.broken:
            return Answer(b"", 503)
        if self.key and asked.headers.get("authorization") != f"Bearer {self.key}":
            return as_json({"error": "unauthorized"}, 401)
        if asked.path in ("/search", "/v2/libs/search"):
            query = asked.query.get("libraryName", asked.query["query"])
            self.searched.append(query)
            found = [each for each in self.libraries if query.casefold() in (each["title"] + each["id"]).casefold()]
            return as_json({"results": found})
        place = asked.path, asked.query.get("topic", "")
        if asked.path == "/v2/context":
            place = asked.query["libraryId"], asked.query["query"]
        assert (asked.query["type"], asked.query["tokens"]) == ("txt", "10000")
        self.fetched.append(place)
        text = self.texts.get(place)
        if text is None:
            return as_json({"error": "not_found"}, 404)
        return text if isinstance(text, Answer) else Answer(text.encode(), 200, {"Content-Type": "text/plain"})


@pytest.fixture
def service() -> Iterator[Service]:
    with small_server(lambda asked: Answer()) as server:
        yield Service(server)


class Waits(list[float]):
    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def make(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DocsApiSource]:
    monkeypatch.delenv("CONTEXT7_API_KEY", raising=False)
    monkeypatch.delenv(VARIABLE, raising=False)

    def made(path: str = "", sleep: Callable[[float], None] | None = None, **settings: Any) -> DocsApiSource:
        whole = {
            "type": "docs_api", "base_url": service.server.url + path, "libraries": ["next.js"],
            "topics": ["usage", "api"], "retries": 0, "allow_hosts": ["127.0.0.1"], **settings,
        }  # fmt: skip
        return DocsApiSource(
            DocsApiSettings.model_validate(whole, strict=False),
            Context(tmp_path, tmp_path / "cache", "web"),
            sleep=sleep,
        )

    return made


def run(source: DocsApiSource) -> dict[str, bytes]:
    """List, fetch everything, and store it."""
    found = {}
    for item in source.list():
        content = source.fetch(item).content
        assert isinstance(content, bytes)
        found[item.path_key] = content
    source.stored()
    return found


def keys(items: Iterator[Item]) -> list[str]:
    return [item.path_key for item in items]


def test_each_topic_of_a_library_is_a_document(make: Callable[..., DocsApiSource], service: Service) -> None:
    source = make()
    items = list(source.list())
    assert keys(iter(items)) == ["/vercel/next.js#usage", "/vercel/next.js#api"]
    assert items[0].uri == f"{service.server.url}/vercel/next.js?topic=usage"
    content = source.fetch(items[0]).content
    assert isinstance(content, bytes)
    document = read_document(
        content, source_uri=items[0].uri, media_type=items[0].media_type, settings=ReadingSettings()
    )
    assert (document.title, document.text) == ("Next.js: usage", f"# Usage\n\n{LONG}")
    assert document.metadata["front_matter"]["library"] == "/vercel/next.js"


def test_what_was_not_updated_is_not_fetched_again(make: Callable[..., DocsApiSource], service: Service) -> None:
    run(make())
    assert len(service.fetched) == 2
    first = list(make().list())
    assert len(service.fetched) == 2
    service.update(f"# Usage\n\n{LONG} And more.")
    source = make()
    again = list(source.list())
    assert [one == other for one, other in zip(first, again, strict=True)] == [False, True]
    assert b"And more" in source.fetch(again[0]).content  # type: ignore[operator]
    source.stored()
    assert len(service.fetched) == 4  # an update is one of the whole library, whose topics are compared by their hashes
    assert list(make().list()) == again
    assert len(service.fetched) == 4


def test_without_dates_each_listing_fetches_and_compares(make: Callable[..., DocsApiSource], service: Service) -> None:
    for library in service.libraries:
        del library["lastUpdateDate"]
    run(make())
    first = list(make().list())
    service.texts["/vercel/next.js", "api"] = LONG + "changed"
    assert [one in first for one in make().list()] == [True, False]


def test_a_run_that_was_killed_before_it_stored_is_given_the_same_again(
    make: Callable[..., DocsApiSource], service: Service
) -> None:
    run(make())
    service.update(LONG + " More.")
    changed = list(make().list())
    source = make()
    assert list(source.list()) == changed
    assert b"More" in source.fetch(changed[0]).content  # type: ignore[operator]


def test_a_lost_cache_costs_requests_and_nothing_else(
    make: Callable[..., DocsApiSource], service: Service, tmp_path: Path
) -> None:
    items = list(make().list())
    (tmp_path / "cache" / "records.sqlite").write_bytes(b"half written")
    assert LONG.encode() in make().fetch(items[0]).content  # type: ignore[operator]
    service.texts["/vercel/next.js", "api"] = "Other words. " * 50
    with pytest.raises(FetchFailed, match="not what it was"):
        make().fetch(items[1])
    assert list(make().list())[1] != items[1]


@pytest.mark.parametrize("text", ["# Usage\n\nInstall it.", "", "No content available", "No context data available."])
def test_a_document_that_shrinks_keeps_its_state_until_a_person_agrees(
    make: Callable[..., DocsApiSource], service: Service, text: str
) -> None:
    run(make())
    first = list(make().list())
    service.update(text)
    source = make()
    assert list(source.list()) == first
    assert "dataflow run web --accept-deletes" in source.notes[0]
    source.stored()
    fetched = len(service.fetched)
    again = make()
    assert list(again.list()) == first
    assert "shrank from" in again.notes[0]
    assert again.withheld == 1
    assert len(service.fetched) == fetched  # it was seen already that this update shrinks it
    agreed = make()
    agreed.accept_deletes = True
    found = run(agreed)
    assert ("/vercel/next.js#usage" in found) == text.startswith("#")
    assert keys(make().list()) == list(found)


def test_a_document_that_comes_back_whole_is_no_longer_withheld(
    make: Callable[..., DocsApiSource], service: Service
) -> None:
    run(make())
    first = list(make().list())
    service.update("short")
    run_without_fetching(make())
    service.update(f"# Usage\n\n{LONG}")
    source = make()
    assert list(source.list()) == first
    assert source.notes == ()
    assert source.withheld == 0


def run_without_fetching(source: DocsApiSource) -> None:
    list(source.list())
    source.stored()


def test_another_limit_of_tokens_may_shrink_documents(make: Callable[..., DocsApiSource], service: Service) -> None:
    assert len(run(make(max_tokens=10_000, max_shrink=0.0))) == 2
    service.update(LONG[:-100])
    assert b"shrank" not in b"".join(run(make(max_shrink=0.2)).values())
    service.update(LONG[:-200])
    source = make(max_shrink=0.0)
    list(source.list())
    assert "shrank" in source.notes[0]


def test_an_unknown_topic_is_no_document_and_a_known_one_leaves(
    make: Callable[..., DocsApiSource], service: Service
) -> None:
    run(make())
    source = make(topics=["usage", "api", "cooking"])
    assert len(list(source.list())) == 2
    assert any("cooking" in note for note in source.notes)
    service.update(None, "api")
    assert keys(make().list()) == ["/vercel/next.js#usage"]


def test_a_name_is_resolved_once_and_a_loose_match_is_told(
    make: Callable[..., DocsApiSource], service: Service
) -> None:
    service.libraries.reverse()
    assert keys(make().list())[0] == "/vercel/next.js#usage"  # the name, rather than the first result
    service.libraries.insert(0, {"id": "/fork/next.js", "title": "Next.js"})
    assert keys(make().list())[0] == "/vercel/next.js#usage"
    source = make(libraries=["vercel"])
    list(source.list())
    assert "was taken for /vercel/next.js" in source.notes[0]
    source = make(libraries=["nothing like it", "next.js"])
    assert len(list(source.list())) == 2
    assert "nothing like it" in source.notes[0]


def test_an_id_is_taken_as_it_is_with_its_version(make: Callable[..., DocsApiSource], service: Service) -> None:
    service.texts["/vercel/next.js/v15", "usage"] = LONG
    assert keys(make(libraries=["/vercel/next.js/v15"], topics=["usage"]).list()) == ["/vercel/next.js/v15#usage"]
    assert service.searched == ["next.js"]


def test_ids_that_lead_elsewhere_are_not_followed(make: Callable[..., DocsApiSource], service: Service) -> None:
    service.libraries = [
        {"id": "/../next.js", "title": "next.js"},
        {"id": "//evil.example/next.js", "title": "next.js"},
    ]
    assert list(make().list()) == []
    for wrong in ("/a", "/../b", "/a/b?x=1", "/a/b/../c", "a\nb"):
        with pytest.raises(ValidationError, match="allowed is names"):
            DocsApiSettings(libraries=(wrong,))


def test_the_second_version_of_the_service_is_asked_in_its_way(
    make: Callable[..., DocsApiSource], service: Service
) -> None:
    assert keys(make("/v2").list()) == ["/vercel/next.js#usage", "/vercel/next.js#api"]


def test_a_service_that_fails_deletes_nothing(make: Callable[..., DocsApiSource], service: Service) -> None:
    first = run(make())
    service.broken = True
    with pytest.raises(SourceUnavailable, match="Nothing was deleted"):
        list(make().list())
    service.broken = False
    for topic in ("usage", "api"):
        service.update(Answer(b"", 500), topic)
    with pytest.raises(SourceUnavailable, match="Nothing was deleted"):
        list(make().list())
    service.update(LONG, "api")
    source = make()
    assert keys(source.list()) == list(first)
    assert "Its last state stays" in source.notes[0]


def test_a_new_document_that_fails_is_tried_again(make: Callable[..., DocsApiSource], service: Service) -> None:
    service.update(Answer(b"", 500))
    source = make()
    usage, _ = source.list()
    assert usage.fingerprint is None
    with pytest.raises(FetchFailed):
        source.fetch(usage)
    source.stored()
    service.update(LONG, stamp=str(service.libraries[0]["lastUpdateDate"]))
    assert next(iter(make().list())).fingerprint is not None


def test_a_library_that_moved_keeps_its_state_and_is_told(make: Callable[..., DocsApiSource], service: Service) -> None:
    run(make())
    first = list(make().list())
    service.update(as_json({"redirectUrl": "/new/next.js"}, 301))
    source = make(topics=["usage", "api", "more"])
    service.texts["/vercel/next.js", "more"] = as_json({"redirectUrl": "/new/next.js"}, 301)
    *kept, new = source.list()
    assert kept == first
    assert new.problem is not None
    assert "status 301" in source.notes[0]


def test_what_is_not_ready_is_waited_for(make: Callable[..., DocsApiSource], service: Service) -> None:
    service.update(Answer(b"{}", 202, {"Retry-After": "7"}))
    waits = Waits()
    source = make(retries=2, sleep=waits)
    assert [item.fingerprint is None for item in source.list()] == [True, False]
    assert waits == [7.0, 7.0]
    assert "still working" in source.notes[0]


def test_a_web_page_is_no_document(make: Callable[..., DocsApiSource], service: Service) -> None:
    run(make())
    first = list(make().list())
    service.update(Answer(b"<html>Log in, please</html>" * 200, 200, {"Content-Type": "text/html"}))
    source = make()
    assert list(source.list()) == first
    assert "web page" in source.notes[0]


def test_a_key_is_sent_and_a_missing_or_wrong_one_is_named(
    make: Callable[..., DocsApiSource], service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.key = "the-secret"
    with pytest.raises(CredentialError, match="CONTEXT7_API_KEY"):
        list(make().list())
    with pytest.raises(CredentialError, match=f"{VARIABLE}.*not set"):
        list(make(key=VARIABLE).list())
    monkeypatch.setenv(VARIABLE, "wrong-secret")
    with pytest.raises(CredentialError, match=VARIABLE) as raised:
        list(make(key=VARIABLE).list())
    assert "wrong-secret" not in str(raised.value)
    monkeypatch.setenv(VARIABLE, "the-secret")
    assert len(run(make(key=VARIABLE))) == 2


def test_a_document_too_large_is_an_item_with_the_reason(make: Callable[..., DocsApiSource]) -> None:
    items = list(make(max_bytes=500).list())
    assert [item.problem is not None for item in items] == [True, True]


def test_what_is_no_search_result_is_said(make: Callable[..., DocsApiSource], service: Service) -> None:
    service.server.answer = lambda asked: as_json({"message": "hello"})
    with pytest.raises(SourceUnavailable, match="something else than results"):
        list(make().list())
    service.server.answer = lambda asked: Answer(b"<html>")
    with pytest.raises(SourceUnavailable, match="cannot be searched"):
        list(make().list())
