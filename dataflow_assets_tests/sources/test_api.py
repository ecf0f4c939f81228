from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dataflow_assets.errors import CredentialError, FetchFailed, ItemRefused, SourceUnavailable
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.source_settings import ApiSource as ApiSettings
from dataflow_assets.sources.api import ApiSource
from dataflow_assets.sources.api_pages import pages
from dataflow_assets.sources.base import Context, Item
from dataflow_assets.stages.read import read_document
from dataflow_assets_tests.sources.small_server import Answer, Asked, SmallServer, as_json, small_server

RECORDS = [
    {"id": number, "title": f"Title {number}", "body": f"Body of {number}.", "at": f"2026-01-{number:02}T00:00:00Z"}
    for number in range(1, 8)
]


@pytest.fixture
def server() -> Iterator[SmallServer]:
    with small_server(lambda asked: as_json(RECORDS)) as made:
        yield made


@pytest.fixture
def make(tmp_path: Path, server: SmallServer) -> Callable[..., ApiSource]:
    def made(**settings: Any) -> ApiSource:
        whole = {
            "type": "api", "url": f"{server.url}/records", "text": "{body}", "title": "{title}", "retries": 0,
            "allow_hosts": ["127.0.0.1"], **settings,
        }  # fmt: skip
        return ApiSource(
            ApiSettings.model_validate(whole, strict=False), Context(tmp_path, tmp_path / "cache", "tickets")
        )

    return made


def keys(source: ApiSource) -> list[str]:
    return [item.path_key for item in source.list()]


def bytes_of(source: ApiSource, item: Item) -> bytes:
    content = source.fetch(item).content
    assert isinstance(content, bytes)
    return content


ALL = [str(record["id"]) for record in RECORDS]

# ---- what a record becomes


def test_a_record_becomes_markdown_with_front_matter(make: Callable[..., ApiSource], server: SmallServer) -> None:
    record = {
        "id": "A-1", "fields": {"title": "Yes: it works", "labels": ["x", "y"], "by": {"name": "Ada"}},
        "body": "---\nnot: front matter\n---\n", "at": "2026-01-02",
    }  # fmt: skip
    server.answer = lambda asked: as_json([record])
    source = make(
        text="{body}{{{fields.labels | join(' ', @)}}}",
        title="{fields.title}",
        metadata={"date": "at", "authors": "fields.by.name", "tags": "fields.labels", "missing": "no.such"},
    )
    (item,) = source.list()
    document = read_document(
        bytes_of(source, item), source_uri=item.uri, media_type=item.media_type, settings=ReadingSettings()
    )
    assert (document.title, document.text) == ("Yes: it works", "---\nnot: front matter\n---\n{x y}")
    assert (document.metadata["date"], document.metadata["authors"]) == ("2026-01-02", "Ada")
    assert {"x", "y"} <= set(document.tags)
    assert (item.path_key, item.uri) == ("A-1", f"{server.url}/records#A-1")


def test_a_record_without_key_or_text_or_too_large_is_an_item_with_the_reason(
    make: Callable[..., ApiSource], server: SmallServer
) -> None:
    server.answer = lambda asked: as_json([{"body": "x"}, {"id": 2}, {"id": 3, "body": "x" * 900}, {"id": {}}, "text"])
    problems = [item.problem for item in make(max_bytes=800).list()]
    assert [str(problem).split(" ", 3)[3][:11] for problem in problems] == [
        "has no key ", "has nothing", "has 908 byt", "has no key ", "has no key ",
    ]  # fmt: skip


def test_odd_keys_are_one_line_and_different(make: Callable[..., ApiSource], server: SmallServer) -> None:
    odd = ["a\nb", "a\u202eb", "\ud800", "k" * 1_000, "k" * 1_001, "a b", 1.0, 2.5]
    server.answer = lambda asked: as_json([{"id": key, "body": "x"} for key in odd])
    found = keys(make())
    assert len(set(found)) == len(odd)
    assert all(key.isprintable() and len(key) <= 300 for key in found)
    assert found[-2:] == ["1", "2.5"]


def test_a_key_that_comes_twice_is_taken_once(make: Callable[..., ApiSource], server: SmallServer) -> None:
    server.answer = lambda asked: as_json([RECORDS[0], RECORDS[0], {"id": 1, "body": "another"}])
    source = make()
    assert keys(source) == ["1"]
    assert source.notes == ("A record has a key that another record has, and was left out. Check source.key (id).",)


# ---- changes


def test_only_what_changed_has_another_fingerprint(make: Callable[..., ApiSource], server: SmallServer) -> None:
    source = make()
    first = list(source.list())
    assert bytes_of(source, first[0]).endswith(b"Body of 1.")
    source.stored()
    server.answer = lambda asked: as_json([{**record, "views": 99} for record in RECORDS])
    assert list(make().list()) == first  # what is in no document is no change
    server.answer = lambda asked: as_json([{**RECORDS[0], "body": "New."}, *RECORDS[1:]])
    assert [one == other for one, other in zip(make().list(), first, strict=True)] == [False] + [True] * 6
    server.answer = lambda asked: as_json(RECORDS[1:])
    assert keys(make()) == ALL[1:]


def test_a_lost_cache_only_costs_another_listing(
    make: Callable[..., ApiSource], server: SmallServer, tmp_path: Path
) -> None:
    items = list(make().list())
    (tmp_path / "cache" / "records.sqlite").write_bytes(b"half")
    other = make()
    assert [bytes_of(other, item)[-2:] for item in items[:3]] == [b"1.", b"2.", b"3."]
    assert len(server.asked) == 2
    (tmp_path / "cache" / "records.sqlite").unlink()
    server.answer = lambda asked: as_json(RECORDS[1:])
    with pytest.raises(FetchFailed, match="changed or deleted"):
        make().fetch(items[0])


# ---- pages


def paged(style: str, size: int = 3) -> Callable[[Asked], Answer]:
    """An API that pages in some style, and never gives more than `size` records."""

    def answer(asked: Asked) -> Answer:
        number = int(asked.query.get("p", asked.query.get("cursor", "0")) or 0)
        if style == "page":
            number = (number - 1) * size
        found, after = RECORDS[number : number + size], number + size
        more = after < len(RECORDS)
        if style == "link":
            link = f'</records?p=0>; rel="first", </records?p={after}>; rel="next"; title="x"'
            return as_json(found, Link=link if more else '</records?p=0>; rel="prev"')
        if style == "url":
            return as_json({"items": found, "next": f"/records?p={after}" if more else None})
        return as_json({"items": found, "meta": {"next": str(after) if more else None, "total": len(RECORDS)}})

    return answer


PAGING: dict[str, tuple[Callable[[Asked], Answer], dict[str, Any], int]] = {
    "page": (paged("page"), {"kind": "page", "parameter": "p"}, 4),
    "page to a total": (paged("page"), {"kind": "page", "parameter": "p", "total": "meta.total"}, 3),
    "offset": (paged("offset"), {"kind": "offset", "parameter": "p", "size_parameter": "limit", "size": 50}, 4),
    "cursor": (paged("cursor"), {"kind": "cursor", "next": "meta.next"}, 3),
    "next url": (paged("url"), {"kind": "next_url", "next": "next"}, 3),
}


@pytest.mark.parametrize("name", PAGING)
def test_every_way_of_paging_gives_every_record_once(
    make: Callable[..., ApiSource], server: SmallServer, name: str
) -> None:
    server.answer, pagination, requests = PAGING[name]
    assert keys(make(records="items", pagination=pagination)) == ALL
    assert len(server.asked) == requests


def test_link_headers_are_followed(make: Callable[..., ApiSource], server: SmallServer) -> None:
    server.answer = paged("link")
    assert keys(make(pagination={"kind": "link"}, parameters={"sort": "id"})) == ALL
    assert server.asked[0].query == {"sort": "id"}
    assert server.asked[1].query == {"p": "3"}


def test_an_expression_may_say_that_there_is_more(make: Callable[..., ApiSource], server: SmallServer) -> None:
    def answer(asked: Asked) -> Answer:
        after = int(asked.query.get("after", "0"))
        return as_json({"data": RECORDS[after : after + 2], "has_more": after + 2 < len(RECORDS)})

    server.answer = answer
    paging = {"kind": "cursor", "parameter": "after", "next": "has_more && data[-1].id"}
    assert keys(make(records="data", pagination=paging)) == ALL


def circle(asked: Asked) -> Answer:
    return as_json({"items": [RECORDS[len(asked.query) % 7]], "next": "same", "url": "/records?p=again"})


@pytest.mark.parametrize(
    ("answer", "settings", "said"),
    [
        (circle, {"kind": "cursor", "next": "next"}, "circle"),
        (circle, {"kind": "next_url", "next": "url"}, "circle"),
        (lambda asked: as_json({"items": RECORDS}), {"kind": "page"}, "same page again"),
        (lambda asked: as_json({"items": RECORDS}), {"kind": "offset"}, "same page again"),
        (paged("cursor"), {"kind": "cursor", "next": "meta"}, "an object where source.pagination.next"),
        (paged("cursor"), {"kind": "cursor", "next": "meta.next", "max_pages": 2}, "more than the 2 pages"),
        (paged("page"), {"kind": "page", "parameter": "p", "total": "meta.next"}, "asks for a number"),
        (lambda asked: as_json({"items": [], "all": 9}), {"kind": "page", "total": "all"}, "not whole"),
        (lambda asked: as_json({"error": "quota"}), {"kind": "none"}, "nothing where source.records"),
        (lambda asked: as_json({"items": {"a": 1}}), {"kind": "none"}, "an object where source.records"),
        (lambda asked: Answer(b"<html>"), {"kind": "none"}, "did not answer with JSON"),
        (lambda asked: Answer(b"[" * 100_000), {"kind": "none"}, "did not answer with JSON"),
        (lambda asked: Answer(b'{"items": []}', 500), {"kind": "none"}, "status 500"),
        (lambda asked: Answer(b'{"items": []}', 404), {"kind": "none"}, "is not there"),
        (lambda asked: Answer(b'{"items": []}', cut=True), {"kind": "none"}, "cannot be listed"),
        (lambda asked: Answer(b"", 304), {"kind": "none"}, "did not change"),
        (
            lambda asked: as_json({"items": RECORDS, "next": "https://other.example/"}),
            {"kind": "next_url", "next": "next"},
            "another host",
        ),
    ],
)
def test_a_listing_that_is_not_whole_is_none(
    make: Callable[..., ApiSource], server: SmallServer, answer: Callable[[Asked], Answer], settings: Any, said: str
) -> None:
    server.answer = answer
    with pytest.raises(SourceUnavailable, match=said) as raised:
        list(make(records="items", pagination=settings).list())
    assert "Nothing was deleted" in str(raised.value)
    assert len(server.asked) < 10


def test_a_page_that_fails_makes_no_whole_listing(make: Callable[..., ApiSource], server: SmallServer) -> None:
    whole = paged("url")
    server.answer = lambda asked: whole(asked) if asked.query.get("p") != "6" else Answer(b"", 503)
    with pytest.raises(SourceUnavailable, match="status 503"):
        list(make(records="items", pagination={"kind": "next_url", "next": "next"}).list())
    assert [asked.query.get("p") for asked in server.asked] == [None, "3", "6"]


def test_a_page_too_large_makes_no_whole_listing(make: Callable[..., ApiSource]) -> None:
    with pytest.raises(SourceUnavailable, match="more than the 300 bytes"):
        list(make(max_page_bytes=300).list())


@given(
    st.lists(st.integers(), unique=True, max_size=40),
    st.integers(1, 7),
    st.sampled_from(["offset", "page", "cursor", "next_url"]),
    st.booleans(),
)
def test_paging_conserves_records(numbers: list[int], size: int, kind: str, named: bool) -> None:
    def ask(url: str, params: Any) -> tuple[dict[str, str], Any]:
        place = int((params or {}).get(kind, url.rpartition("=")[2] if "=" in url else 0))
        start = (place - 1) * size if kind == "page" else place
        after = start + size
        following = None if after >= len(numbers) else f"/?at={after}" if kind == "next_url" else after
        return {}, {"items": numbers[start:after], "next": following, "total": len(numbers)}

    paging: dict[str, Any] = {"kind": kind}
    if kind in ("cursor", "next_url"):
        paging["next"] = "next"
    elif named:
        paging["total"] = "total"
    settings = ApiSettings.model_validate(
        {"type": "api", "url": "http://h.example/", "text": "{@}", "records": "items", "pagination": paging}
    )
    assert [number for page in pages(settings, ask, {}) for number in page] == numbers


# ---- records in parts


def detailed(asked: Asked) -> Answer:
    if asked.path == "/records":
        return as_json([{"id": "a/1", "at": "1"}, {"id": "b", "at": "1"}])
    if asked.path == "/records/b":
        return as_json({"message": "no"}, 404)
    return as_json({"title": "T", "body": f"Whole {asked.path}"})


def test_a_record_may_be_asked_for_by_itself(make: Callable[..., ApiSource], server: SmallServer) -> None:
    server.answer = detailed
    source = make(detail_url="/records/{id}", updated_at="at", concurrency=2)
    one, other = source.list()
    assert len(server.asked) == 1
    assert source.concurrency == 2
    assert one.uri == f"{server.url}/records/a%2F1"
    assert bytes_of(source, one).endswith(b"Whole /records/a%2F1")
    with pytest.raises(ItemRefused, match="is not there"):
        source.fetch(other)
    server.answer = lambda asked: as_json([{"id": "a/1", "at": "1", "views": 3}, {"id": "b", "at": "2"}])
    assert [item in (one, other) for item in make(detail_url="/records/{id}", updated_at="at").list()] == [True, False]


def test_a_record_does_not_lead_to_another_host(make: Callable[..., ApiSource], server: SmallServer) -> None:
    server.answer = lambda asked: as_json([{"id": "//evil.example/x"}, {"id": "@evil.example"}, {"other": 1, "id": 3}])
    source = make(detail_url=server.url + "{id}")
    problems = [item.problem for item in source.list()]
    assert all(problem is None or "another host" in problem for problem in problems)
    assert not any(
        item.problem is None and "evil" in item.uri.partition("//")[2].partition("/")[0] for item in source.list()
    )


# ---- the cursor


class Log:
    """An API of changes: gives records that changed since a cursor, deleted ones marked."""

    def __init__(self, server: SmallServer) -> None:
        self.records: list[dict[str, Any]] = [dict(record) for record in RECORDS[:3]]
        self.since: list[str | None] = []
        server.answer = self.answer

    def change(self, id: int, at: str, **fields: Any) -> None:
        self.records = [record for record in self.records if record["id"] != id]
        self.records.append({"id": id, "at": at, "body": "changed", **fields})

    def answer(self, asked: Asked) -> Answer:
        since = asked.query.get("since")
        self.since.append(since)
        return as_json([record for record in self.records if since is None or record["at"] >= since])


CURSOR = {"cursor_parameter": "since", "cursor": "at", "deleted": "deleted"}


def test_a_cursor_asks_for_what_changed_and_moves_when_that_is_stored(
    make: Callable[..., ApiSource], server: SmallServer
) -> None:
    log = Log(server)
    source = make(**CURSOR)
    first = list(source.list())
    assert source.partial
    assert [item.path_key for item in first] == ["1", "2", "3"]
    list(make(**CURSOR).list())  # killed before it was stored: the same again
    assert log.since == [None, None]
    source.stored()
    log.change(1, "2026-02-01T00:00:00Z")
    log.change(2, "2026-02-02T00:00:00Z", deleted=True)
    source = make(**CURSOR)
    found = list(source.list())
    assert log.since[-1] == "2026-01-03T00:00:00Z"
    assert [(item.path_key, item.gone) for item in found] == [("3", False), ("1", False), ("2", True)]
    assert found[0] == first[2]
    assert bytes_of(source, found[1]).endswith(b"changed")
    source.stored()
    list(make(**CURSOR).list())
    assert log.since[-1] == "2026-02-02T00:00:00Z"


def test_other_settings_list_everything_again(make: Callable[..., ApiSource], server: SmallServer) -> None:
    log = Log(server)
    source = make(**CURSOR)
    list(source.list())
    source.stored()
    list(make(**CURSOR, text="Another template: {body}").list())
    assert log.since == [None, None]


def test_a_listing_that_fails_or_a_fetch_moves_no_cursor(make: Callable[..., ApiSource], server: SmallServer) -> None:
    log = Log(server)
    source = make(**CURSOR, detail_url="/records/{id}")
    items = list(source.list())
    server.answer = lambda asked: Answer(b"", 500)
    with pytest.raises(FetchFailed):
        source.fetch(items[0])
    source.stored()
    source = make(**CURSOR)
    with pytest.raises(SourceUnavailable):
        list(source.list())
    source.stored()
    server.answer = log.answer
    list(make(**CURSOR).list())
    assert log.since == [None, None]


def test_of_several_versions_in_one_listing_the_last_is_taken(
    make: Callable[..., ApiSource], server: SmallServer
) -> None:
    server.answer = lambda asked: as_json(
        [{"id": 1, "at": 9, "body": "old"}, {"id": 1, "at": 10, "body": "new"}, {"id": 2, "at": None}]
    )
    source = make(**CURSOR)
    one, _ = source.list()
    assert bytes_of(source, one).endswith(b"new")
    source.stored()
    list(make(**CURSOR).list())
    assert server.asked[-1].query["since"] == "10"


def test_times_are_compared_as_times(make: Callable[..., ApiSource], server: SmallServer) -> None:
    times = ["2026-01-01T10:00:00+02:00", "2026-01-01T09:00:00Z", "2026-01-01T09:30:00+01:00"]
    server.answer = lambda asked: as_json([{"id": time, "at": time, "body": "x"} for time in times])
    source = make(**CURSOR)
    list(source.list())
    source.stored()
    list(make(**CURSOR).list())
    assert server.asked[-1].query["since"] == times[1]


def test_a_record_marked_as_deleted_is_not_listed(make: Callable[..., ApiSource], server: SmallServer) -> None:
    marks: list[Any] = [True, "true", 1, False, "false", 0, None]
    server.answer = lambda asked: as_json(
        [{**record, "deleted": mark} for record, mark in zip(RECORDS, marks, strict=True)]
    )
    assert keys(make(deleted="deleted")) == ALL[3:]


# ---- credentials


def test_a_key_is_sent_in_a_header_or_in_the_query(
    make: Callable[..., ApiSource], server: SmallServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CredentialError, match="TEST_API_KEY"):
        list(make(api_key="TEST_API_KEY").list())
    assert server.asked == []
    monkeypatch.setenv("TEST_API_KEY", "s3cret")
    list(make(api_key="TEST_API_KEY").list())
    assert server.asked[-1].headers["authorization"] == "Bearer s3cret"
    list(make(api_key="TEST_API_KEY", api_key_header="X-Key", api_key_prefix="").list())
    assert server.asked[-1].headers["x-key"] == "s3cret"
    server.answer = paged("url")
    source = make(
        api_key="TEST_API_KEY",
        api_key_parameter="key",
        records="items",
        pagination={"kind": "next_url", "next": "next"},
    )
    items = list(source.list())
    assert [asked.query["key"] for asked in server.asked[-3:]] == ["s3cret"] * 3
    assert "authorization" not in server.asked[-1].headers
    assert not any("s3cret" in repr(item) for item in items)


def test_a_key_that_is_not_taken_is_named_and_not_shown(
    make: Callable[..., ApiSource], server: SmallServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_API_KEY", "s3cret")
    server.answer = lambda asked: as_json({}, 401)
    with pytest.raises(CredentialError, match="TEST_API_KEY") as raised:
        list(make(api_key="TEST_API_KEY", api_key_parameter="key").list())
    assert "s3cret" not in str(raised.value)


class Tokens:
    """An API behind OAuth; `good` is the only token that it takes."""

    def __init__(self, server: SmallServer) -> None:
        self.forms: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.good = "token-1"
        self.token: Answer | None = None
        self.gives = 0
        server.answer = self.answer

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/token":
            self.forms.append(asked.form)
            self.headers.append(asked.headers)
            self.gives += 1
            return self.token or as_json(
                {"access_token": f"token-{self.gives}", "expires_in": 3600, "refresh_token": "r2"}
            )
        if asked.headers.get("authorization") != f"Bearer {self.good}":
            return as_json({"error": "invalid_token"}, 401)
        return paged("url")(asked)


@pytest.fixture
def oauth(server: SmallServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name, value in {"TEST_ID": "me", "TEST_SECRET": "s3:cret", "TEST_REFRESH": "r1"}.items():
        monkeypatch.setenv(name, value)
    own = {"token_url": f"{server.url}/token", "client_id": "TEST_ID", "client_secret": "TEST_SECRET"}
    return {"records": "items", "pagination": {"kind": "next_url", "next": "next"}, "oauth": own}


def test_client_credentials_are_changed_for_one_token(
    make: Callable[..., ApiSource], server: SmallServer, oauth: dict[str, Any]
) -> None:
    tokens = Tokens(server)
    oauth["oauth"] |= {"scope": "read", "parameters": {"audience": "a"}}
    assert keys(make(**oauth)) == ALL
    assert tokens.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "me",
            "client_secret": "s3:cret",
            "scope": "read",
            "audience": "a",
        }
    ]


def test_the_client_may_stand_in_a_header(
    make: Callable[..., ApiSource], server: SmallServer, oauth: dict[str, Any]
) -> None:
    tokens = Tokens(server)
    oauth["oauth"]["client_in"] = "header"
    assert keys(make(**oauth)) == ALL
    assert base64.b64decode(tokens.headers[0]["authorization"].removeprefix("Basic ")) == b"me:s3%3Acret"
    assert tokens.forms == [{"grant_type": "client_credentials"}]


def test_a_token_that_is_not_taken_any_more_is_renewed_once(
    make: Callable[..., ApiSource], server: SmallServer, oauth: dict[str, Any]
) -> None:
    tokens = Tokens(server)
    oauth["oauth"]["refresh_token"] = "TEST_REFRESH"
    source = make(**oauth)
    assert keys(source) == ALL
    tokens.good = "token-2"
    assert keys(source) == ALL
    assert [form["refresh_token"] for form in tokens.forms] == ["r1", "r2"]
    tokens.good = "none"
    with pytest.raises(CredentialError, match="TEST_SECRET"):
        list(source.list())
    assert tokens.gives == 3


@pytest.mark.parametrize(
    ("token", "error", "said"),
    [
        (as_json({"error": "invalid_client"}, 401), CredentialError, "TEST_ID, TEST_SECRET"),
        (as_json({"error": "invalid_grant"}, 400), CredentialError, "TEST_ID, TEST_SECRET"),
        (as_json({"token": "x"}), SourceUnavailable, "without a token"),
        (as_json({"access_token": "a\nb"}), SourceUnavailable, "without a token"),
        (Answer(b"<html>"), SourceUnavailable, "did not answer with JSON"),
        (Answer(b"", 503), SourceUnavailable, "status 503"),
    ],
)
def test_a_token_that_cannot_be_had_is_said(
    make: Callable[..., ApiSource], server: SmallServer, oauth: dict[str, Any], token: Answer, error: Any, said: str
) -> None:
    Tokens(server).token = token
    with pytest.raises(error, match=said) as raised:
        list(make(**oauth).list())
    assert "s3:cret" not in str(raised.value)


def test_a_token_lives_as_long_as_the_service_says(
    server: SmallServer, oauth: dict[str, Any], make: Callable[..., ApiSource]
) -> None:
    from dataflow_assets.sources.api_access import ApiAccess
    from dataflow_assets.sources.http import HttpClient

    tokens = Tokens(server)
    tokens.good = "t"
    tokens.token = as_json({"access_token": "t", "expires_in": "100"})
    settings = ApiSettings.model_validate(
        {"type": "api", "url": f"{server.url}/records", "text": "{body}", "allow_hosts": ["127.0.0.1"], **oauth},
        strict=False,
    )
    now = [0.0]
    with HttpClient(settings) as client:
        access = ApiAccess(settings, client, clock=lambda: now[0])
        for seconds, gives in ((0, 1), (69, 1), (71, 2)):
            now[0] = seconds
            access.get(f"{server.url}/records")
            assert tokens.gives == gives


# ---- settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": "{body"},
        {"text": "no place"},
        {"text": "{a[}"},
        {"key": "a..b"},
        {"metadata": {"a": "]"}},
        {"cursor": "at"},
        {"pagination": {"kind": "cursor"}},
        {"pagination": {"kind": "link", "total": "a"}},
        {"api_key": "A", "oauth": {"token_url": "https://h.example", "client_id": "A", "client_secret": "B"}},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ApiSettings.model_validate({"type": "api", "url": "https://h.example/x", "text": "{body}", **wrong})
