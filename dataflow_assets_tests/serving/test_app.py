"""The routes: what they answer, and to whom."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from dataflow_assets.index.edge import EdgeIndex
from dataflow_assets.serving.keys import KeyStore, signing_secret
from dataflow_assets.serving.signatures import sign
from dataflow_assets_tests.serving.conftest import FRUIT
from dataflow_assets_tests.serving.worlds import LOOPBACK, World, bearer, chunk_id, document_id


def titles(client: TestClient, query: str, **more: Any) -> list[str]:
    answer = client.get("/v1/search", params={"query": query, "mode": "keyword", **more})
    assert answer.status_code == 200, answer.text
    return [result["title"] for result in answer.json()["results"]]


def is_problem(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["status"] == status
    assert said["title"]
    return str(said["detail"])


def test_search_by_address_and_by_body(client: TestClient) -> None:
    by_address = client.get("/v1/search", params={"query": "cool cellar", "library": "fruit", "top_k": 1}).json()
    by_body = client.post("/v1/search", json={"query": "cool cellar", "libraries": ["fruit"], "top_k": 1}).json()
    assert by_address["results"] == by_body["results"]
    (found,) = by_body["results"]
    assert found["text"] == FRUIT["apples"]
    assert found["corrected_text"] == FRUIT["apples"].replace("teh", "the")
    assert found["text"][slice(*found["highlights"][0])] == "cool"
    assert by_body["query"] == "cool cellar"
    assert by_body["took_ms"] > 0


def test_filters(client: TestClient) -> None:
    assert titles(client, "cellar sun warm", source_uri="docs/p*.md", library="fruit") in (
        ["plums", "pears"],
        ["pears", "plums"],
    )
    assert titles(client, "cellar", doc_type="tutorial") == []
    assert titles(client, "cellar", document_id=[document_id("fruit", "apples")]) == ["apples"]
    is_problem(client.get("/v1/search", params={"query": "x", "doc_type": "novel"}), 422)
    is_problem(client.get("/v1/search", params={"query": "x", "colour": "red"}), 422)
    is_problem(client.get("/v1/search", params={"query": "x", "since": "yesterday"}), 422)


def test_documents_and_chunks(client: TestClient) -> None:
    listed = client.get("/v1/documents", params={"library": "fruit", "limit": 2}).json()
    assert len(listed["documents"]) == 2
    rest = client.get("/v1/documents", params={"library": "fruit", "after": listed["next"]}).json()
    assert rest["next"] is None
    assert {d["title"] for d in listed["documents"] + rest["documents"]} == set(FRUIT)
    identity = document_id("fruit", "apples")
    whole = client.get(f"/v1/documents/{identity}").json()
    assert whole["text"] == FRUIT["apples"]
    assert whole["chunks"][0]["chunk_id"] == chunk_id("fruit", "apples")
    part = client.get(f"/v1/documents/{identity}", params={"start": 10, "length": 6}).json()
    assert (part["text"], part["start"], part["end"]) == (FRUIT["apples"][10:16], 10, 16)
    beyond = client.get(f"/v1/documents/{identity}", params={"start": 10_000}).json()
    assert (beyond["text"], beyond["chunks"]) == ("", [])
    around = client.get(f"/v1/chunks/{chunk_id('fruit', 'apples')}").json()
    assert around["text"] == FRUIT["apples"]
    is_problem(client.get(f"/v1/documents/{'0' * 32}"), 404)
    is_problem(client.get(f"/v1/chunks/{'0' * 32}"), 404)


def test_libraries_and_their_quality(client: TestClient) -> None:
    listed = client.get("/v1/libraries").json()["libraries"]
    assert [(one["name"], one["points"]) for one in listed] == [("fruit", 3), ("secret", 1)]
    assert listed[0]["quality"]["overall_score"] == 0.9
    assert client.get("/v1/libraries/fruit").json() == listed[0]
    told = client.get("/v1/evaluation", params={"library": "fruit"}).json()
    assert told["reports"][0]["metrics"] == {"retrieval": {"recall": 0.9}}


def test_a_run_is_seen_by_the_next_question_and_only_its_library_is_asked_anew(world: World) -> None:
    with world.serving() as client:

        def source(library: str, query: str = "cellar") -> str:
            return client.get("/v1/search", params={"query": query, "library": library}).headers["x-cache"]

        assert [source("fruit"), source("secret"), source("fruit"), source("secret")] == ["miss", "miss", "hit", "hit"]
        assert "apples" in titles(client, "cellar", library="fruit")
        world.publish("fruit", {"pears": FRUIT["pears"], "figs": "# Figs\n\nFigs grow on the wall."})
        assert titles(client, "cellar", library="fruit") == []
        assert titles(client, "wall", library="fruit") == ["figs"]
        assert [source("fruit"), source("secret")] == ["miss", "hit"]
        is_problem(client.get(f"/v1/chunks/{chunk_id('fruit', 'apples')}"), 404)
        is_problem(client.get(f"/v1/documents/{document_id('fruit', 'apples')}"), 404)


def test_a_library_that_is_new_or_forgotten_is_noticed(world: World) -> None:
    with world.serving() as client:
        catalog = json.loads(world.catalog.read_text())
        catalog["libraries"]["nuts"] = catalog["libraries"]["fruit"]
        world.catalog.write_text(json.dumps(catalog))
        world.publish("nuts", {"walnut": "# Walnut\n\nA walnut has a shell."})
        assert titles(client, "shell", library="nuts") == ["walnut"]
        del catalog["libraries"]["nuts"]
        world.catalog.write_text(json.dumps(catalog))
        EdgeIndex(world.home / "index").drop("nuts")
        is_problem(client.get("/v1/search", params={"query": "shell", "library": "nuts"}), 404)


# ---- keys


@pytest.fixture
def limited(world: World) -> str:
    return KeyStore(world.home).add("limited", libraries=["fruit"], per_minute=1000)[1]


def test_what_a_key_may_not_see_does_not_exist_for_it(world: World, limited: str) -> None:
    """Each request about the hidden library is answered as one about a library that was never there."""
    hidden = {
        "name": "secret",
        "document": document_id("secret", "merger"),
        "chunk": chunk_id("secret", "merger"),
    }
    made_up = {"name": "nowhere", "document": "1" * 32, "chunk": "2" * 32}
    with world.serving(require_key=True) as client:
        run = client.service.book.ask("secret").run_id  # type: ignore[attr-defined]

        def answers(what: dict[str, str], run_id: str) -> list[tuple[int, str]]:
            name = what["name"]
            asked = [
                client.get("/v1/search", params={"query": "cellar", "library": name}, headers=bearer(limited)),
                client.post("/v1/search", json={"query": "x", "libraries": ["fruit", name]}, headers=bearer(limited)),
                client.get(
                    "/v1/search", params={"query": "x", "document_id": what["document"]}, headers=bearer(limited)
                ),
                client.get(f"/v1/libraries/{name}", headers=bearer(limited)),
                client.get("/v1/documents", params={"library": name}, headers=bearer(limited)),
                client.get(f"/v1/documents/{what['document']}", headers=bearer(limited)),
                client.get(f"/v1/chunks/{what['chunk']}", headers=bearer(limited)),
                client.get("/v1/evaluation", params={"library": name}, headers=bearer(limited)),
                client.get("/v1/runs", params={"library": name}, headers=bearer(limited)),
                client.get(f"/v1/runs/{run_id}", headers=bearer(limited)),
                client.post("/v1/runs", json={"library": name}, headers=bearer(limited)),
            ]
            said = [(a.status_code, re.sub(r'"took_ms":[0-9.]+', "", a.text)) for a in asked]
            for value in (*what.values(), run_id):
                said = [(status, text.replace(value, "X")) for status, text in said]
            return said

        assert answers(hidden, run) == answers(made_up, "3" * 32)
        for path in ("/v1/libraries", "/v1/runs", "/v1/search?query=merger+Zanzibar+cellar"):
            told = client.get(path, headers=bearer(limited))
            assert told.status_code == 200
            assert "secret" not in told.text
            assert "Holdings" not in told.text
        is_problem(client.get("/metrics", headers=bearer(limited)), 403)


def test_keys_do_not_share_answers(world: World, limited: str) -> None:
    _, other = KeyStore(world.home).add("other", libraries=["fruit"])
    with world.serving(require_key=True) as client:
        asked = {"params": {"query": "cellar"}}
        assert client.get("/v1/search", headers=bearer(limited), **asked).headers["x-cache"] == "miss"
        assert client.get("/v1/search", headers=bearer(limited), **asked).headers["x-cache"] == "hit"
        assert client.get("/v1/search", headers=bearer(other), **asked).headers["x-cache"] == "miss"


@pytest.mark.parametrize(
    "shown", [None, "Bearer", "Bearer x", "Basic eDp5", "Bearer " + "x" * 5000, "bearer df_\xe9", "df_x"]
)
def test_a_wrong_key_is_told_the_same_as_none(locked: TestClient, shown: str | None) -> None:
    headers = {"Authorization": shown.encode("latin-1")} if shown is not None else {}
    answer = locked.get("/v1/libraries", headers=headers)  # type: ignore[arg-type]
    is_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "fruit" not in answer.text
    for path in ("/", "/health", "/ready", "/openapi.json"):
        assert locked.get(path, headers=headers).status_code == 200  # type: ignore[arg-type]


def test_a_wrong_key_is_refused_on_loopback_too(client: TestClient) -> None:
    is_problem(client.get("/v1/libraries", headers=bearer("df_wrong")), 401)


def test_of_two_keys_none_is_chosen(world: World, limited: str) -> None:
    _, other = KeyStore(world.home).add("other", libraries=None)
    both = [("Authorization", f"Bearer {limited}"), ("Authorization", f"Bearer {other}")]
    with world.serving(require_key=True) as client:
        is_problem(client.get("/v1/libraries", headers=both), 401)  # type: ignore[arg-type]
        is_problem(client.post("/mcp", json={}, headers=both), 401)  # type: ignore[arg-type]


def test_a_removed_key_opens_nothing(world: World, limited: str) -> None:
    with world.serving(require_key=True) as client:
        assert client.get("/v1/libraries", headers=bearer(limited)).status_code == 200
        KeyStore(world.home).remove("limited")
        is_problem(client.get("/v1/libraries", headers=bearer(limited)), 401)


def test_a_key_has_its_rate(world: World) -> None:
    _, slow = KeyStore(world.home).add("slow", libraries=None, per_minute=2)
    _, other = KeyStore(world.home).add("other", libraries=None, per_minute=2)
    with world.serving(require_key=True) as client:
        assert [client.get("/v1/libraries", headers=bearer(slow)).status_code for _ in range(2)] == [200, 200]
        answer = client.get("/v1/libraries", headers=bearer(slow))
        is_problem(answer, 429)
        assert 1 <= int(answer.headers["retry-after"]) <= 30
        assert client.get("/v1/libraries", headers=bearer(other)).status_code == 200


def test_a_key_asks_for_runs_only_where_it_may(world: World, limited: str) -> None:
    with world.serving(require_key=True) as client:
        is_problem(client.post("/v1/runs", json={"library": "fruit"}, headers=bearer(limited)), 403)


# ---- what comes from elsewhere


def test_pages_of_other_sites_do_not_reach_a_service_without_keys(client: TestClient) -> None:
    is_problem(client.get("/v1/libraries", headers={"Host": "evil.example"}), 403)
    is_problem(client.get("/v1/libraries", headers={"Sec-Fetch-Site": "cross-site"}), 403)
    for origin in ("http://evil.example", "null", "http://localhost.evil.example:8321", ""):
        is_problem(client.get("/v1/libraries", headers={"Origin": origin}), 403)
    is_problem(client.post("/v1/search", content='{"query": "x"}', headers={"Content-Type": "text/plain"}), 415)
    for host in ("localhost:8321", "[::1]:8321", "127.0.0.1"):
        assert client.get("/v1/libraries", headers={"Host": host}).status_code == 200
    answer = client.get("/v1/libraries", headers={"Origin": LOOPBACK})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "query",
    [
        "' OR 1=1 --", '"; DROP TABLE chunks; --', "{{7*7}}", "../../etc/passwd", "\x00", "a\x00b", "\u202e\u0000\ufffe", "e" + "\u0301" * 3000,
        "\U0001f468\u200d\U0001f469", "(" * 4000, "*" * 4000, "<script>alert(1)</script>", "\u2028",
    ],
)  # fmt: skip
def test_odd_questions_are_answered(client: TestClient, query: str) -> None:
    answer = client.post("/v1/search", json={"query": query})
    blank = not re.search(r"\S", query)
    assert answer.status_code == (422 if blank else 200), answer.text
    if not blank:
        assert answer.json()["query"] == query


@pytest.mark.parametrize("query", ["", " ", "\t\n", "\u2003"])
def test_a_question_that_says_nothing_is_refused_in_words(client: TestClient, query: str) -> None:
    for answer in (
        client.post("/v1/search", json={"query": query}),
        client.get("/v1/search", params={"query": query}),
    ):
        assert "Say what to look for." in is_problem(answer, 422)
        (error,) = answer.json()["errors"]
        assert error["field"].endswith("query")
        assert error["message"] == "Say what to look for."
    asked = client.get("/openapi.json").json()["components"]["schemas"]["SearchBody"]["properties"]["query"]
    assert (asked["minLength"], asked["pattern"]) == (1, r"\S")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b"[" * 60_000, 400),
        (b'{"query": "x"' + b" " * 200_000 + b"}", 413),
        (b'{"query": "' + b"x" * 9000 + b'"}', 422),
        (b'{"query": "\\ud800"}', 422),
        (b'{"query": 1}', 422),
        (b'{"query": "x", "top_k": 1e999}', 422),
        (b'{"query": "x", "top_k": 100000}', 422),
        (b'{"query": "x", "min_similarity": NaN}', 422),
        (b'{"query": "x", "libraries": "fruit"}', 422),
        (b'{"query": "x", "libraries": ["../secret"]}', 422),
        (b'{"query": "x", "filters": {"__class__": "x"}}', 422),
        (b'{"query": "x", "source_uri": ["' + b"*a" * 20 + b'"]}', 422),
        (b"\xff\xfe", 400),
    ],
)
def test_bodies_that_are_none_are_refused(client: TestClient, body: bytes, status: int) -> None:
    answer = client.post("/v1/search", content=body, headers={"Content-Type": "application/json"})
    is_problem(answer, status)
    assert len(answer.content) < 5000


def test_what_is_not_there_and_what_is_not_allowed_say_so(client: TestClient) -> None:
    is_problem(client.get("/v1/nothing"), 404)
    answer = client.delete("/v1/search")
    is_problem(answer, 405)
    assert answer.headers["allow"] == "GET, POST"


def test_a_mistake_of_ours_shows_nothing_of_this_machine(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.serving() as client:

        def broken(*_: Any, **__: Any) -> None:
            raise RuntimeError(f"secret path {world.home}")

        monkeypatch.setattr(client.service.search, "publications", broken)  # type: ignore[attr-defined]
        answer = client.get("/v1/search", params={"query": "x"})
        is_problem(answer, 500)
        assert str(world.home) not in answer.text


def test_a_question_that_takes_too_long_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.serving(request_seconds=0.2) as client:
        monkeypatch.setattr(client.service.search, "publications", lambda *_: time.sleep(1))  # type: ignore[attr-defined]
        is_problem(client.get("/v1/search", params={"query": "x"}), 503)
        assert client.get("/health").status_code == 200


# ---- events


def send(client: TestClient, secret: str, number: int, library: str = "fruit", **changed: Any) -> Any:
    body = json.dumps({"type": "document.updated", "library": library, "source_uri": f"docs/{number}.md"}).encode()
    stamp = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": f"evt-{number}",
        "webhook-timestamp": str(stamp),
        "webhook-signature": sign(signing_secret(secret), f"evt-{number}", stamp, body),
        **changed,
    }
    return client.post("/v1/events", content=body, headers=headers)


def test_events_are_taken_from_whom_they_may_and_make_one_run(world: World) -> None:
    key, _ = KeyStore(world.home).add("hook", libraries=["fruit"], events=True)
    assert key.events_secret is not None
    with world.serving(event_quiet_seconds=60, event_wait_seconds=60) as client:
        taken = [send(client, key.events_secret, number) for number in range(50)]
        assert {answer.status_code for answer in taken} == {202}
        (run_id,) = {answer.json()["run_id"] for answer in taken}
        again = send(client, key.events_secret, 7)
        assert (again.status_code, again.json()["status"]) == (200, "duplicate")
        run = client.get(f"/v1/runs/{run_id}").json()
        assert (run["status"], run["requests"], run["asked_by"]) == ("waiting", 50, "event")
        is_problem(send(client, "whsec_AAAA", 100), 401)
        is_problem(send(client, key.events_secret, 101, **{"webhook-timestamp": "1000000000"}), 401)
        is_problem(client.post("/v1/events", json={"type": "document.updated", "library": "fruit"}), 401)
        hidden = is_problem(send(client, key.events_secret, 102, library="secret"), 404)
        assert hidden.replace("secret", "X") == is_problem(
            send(client, key.events_secret, 103, library="nowhere"), 404
        ).replace("nowhere", "X")
        assert len(client.get("/v1/runs").json()["runs"]) == 1


# ---- what tells of the service


def test_metrics_count(world: World) -> None:
    with world.serving() as client:
        titles(client, "cellar")
        titles(client, "cellar")
        client.get("/v1/documents/' OR 1=1")
        said = client.get("/metrics")
        assert said.headers["content-type"].startswith("text/plain")
        assert 'dataflow_requests_total{method="GET",route="/v1/search",status="200"} 2.0' in said.text
        assert 'dataflow_answers_total{source="cache"} 1.0' in said.text
        assert 'dataflow_library_points{library="fruit"} 3.0' in said.text
        assert "OR 1=1" not in said.text


def test_the_description_names_every_route_and_its_errors(client: TestClient, locked: TestClient) -> None:
    said = client.get("/openapi.json").json()
    assert said["openapi"].startswith("3.1")
    assert set(said["paths"]) == {
        "/v1/search", "/v1/libraries", "/v1/libraries/{library}", "/v1/documents", "/v1/documents/{document_id}",
        "/v1/chunks/{chunk_id}", "/v1/evaluation", "/v1/runs", "/v1/runs/{run_id}", "/v1/events", "/health", "/ready", "/metrics",
    }  # fmt: skip
    for operation in (o for methods in said["paths"].values() for o in methods.values()):
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"]
    assert said["paths"]["/v1/search"]["get"]["security"] == [{}, {"key": []}]
    said = locked.get("/openapi.json").json()
    assert said["paths"]["/v1/search"]["get"]["security"] == [{"key": []}]
    assert "security" not in said["paths"]["/health"]["get"]


def test_the_guide_names_every_route(client: TestClient) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "http-api.md").read_text()
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in guide
    assert LOOPBACK in guide
