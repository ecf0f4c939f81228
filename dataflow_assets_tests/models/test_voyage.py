"""Voyage's adapter: the real SDK over real sockets, and what answers and errors are taken to mean."""

from __future__ import annotations

import asyncio
import base64
import gc
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow_assets.models.base import MAYBE_BILLED, CallFailed, Ranking, Usage, Vectors
from dataflow_assets.models.voyage import VoyageModel, VoyageReranker, credential_problem
from dataflow_assets_tests.models.canned import Canned, Reply, Request

KEY = "pa-canned_0123456789-abcdef"


def packed(*numbers: float) -> str:
    return base64.b64encode(np.array(numbers, dtype="<f4").tobytes()).decode()


def vectors(*items: Any, **more: Any) -> dict[str, Any]:
    return {"object": "list", "data": list(items), "model": "m", "usage": {"total_tokens": 12}, **more}


def item(index: Any, said: Any) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": said}


class Service(Canned):
    """A server, and clients of it that are kept over tests."""

    def __enter__(self) -> Service:
        super().__enter__()
        self.runner = asyncio.Runner()
        self.model = VoyageModel("voyage-code-3", dimension=2, timeout_seconds=10)
        self.reranker = VoyageReranker("rerank-2.5", timeout_seconds=10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self.model, self.reranker):
            self.runner.run(one.close())
        self.runner.close()
        super().__exit__(kind, error, trace)

    def embed(self, texts: list[str], model: VoyageModel | None = None) -> Vectors:
        return self.runner.run((model or self.model).embed(texts, "document"))

    def embed_two(self) -> Vectors:
        return self.embed(["a", "b"])

    def rerank(self, query: str, documents: list[str]) -> Ranking:
        return self.runner.run(self.reranker.rerank(query, documents))


@pytest.fixture(scope="module")
def server() -> Iterator[Service]:
    with Service() as server:
        yield server


@pytest.fixture
def service(server: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    server.answer = lambda request: Reply(vectors(item(0, packed(1, 0)), item(1, packed(0, 1))))
    server.requests.clear()
    monkeypatch.delenv("VOYAGE_API_KEY_PATH", raising=False)
    monkeypatch.setenv("VOYAGE_API_KEY", KEY)
    monkeypatch.setenv("VOYAGE_BASE_URL", f"{server.url}/v1/")
    return server


def failure_of(call: Callable[[], object]) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        call()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert KEY not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    return caught.value


def rows(answer: Vectors) -> dict[int, list[float]]:
    assert all(row.dtype == np.float32 for row in answer.rows.values())
    return {place: row.tolist() for place, row in answer.rows.items()}


# ---- what is sent


def test_texts_are_asked_about_whole_as_what_they_are(service: Service) -> None:
    service.runner.run(service.model.embed(["teh \ud800", "b"], "query"))
    (request,) = service.requests
    assert request.path == "/v1/embeddings"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body == {
        "model": "voyage-code-3",
        "input": ["teh \N{REPLACEMENT CHARACTER}", "b"],
        "input_type": "query",
        "truncation": False,
        "output_dimension": 2,
        "encoding_format": "base64",
    }


def test_a_model_of_one_length_is_not_asked_for_it(service: Service) -> None:
    service.embed(["a"], VoyageModel("voyage-law-2", dimension=1024, timeout_seconds=10))
    assert service.requests[0].body["output_dimension"] is None


def test_what_a_call_takes() -> None:
    limits = {name: VoyageModel(name, dimension=1024, timeout_seconds=1) for name in ("voyage-4-lite", "voyage-code-3")}
    assert {name: (one.max_texts, one.max_tokens) for name, one in limits.items()} == {
        "voyage-4-lite": (1000, 1_000_000),
        "voyage-code-3": (1000, 120_000),
    }


def test_nothing_is_asked_about_no_texts(service: Service) -> None:
    assert service.embed([]) == Vectors({}, Usage())
    assert service.rerank("q", []) == Ranking({}, Usage())
    assert service.requests == []


# ---- what is answered


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.floats(width=32), max_size=5), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_every_vector_is_the_one_that_was_sent_for_its_text(
    service: Service, sent: list[list[float]], rng: Any
) -> None:
    items = [item(place, packed(*numbers)) for place, numbers in enumerate(sent)]
    rng.shuffle(items)
    service.answer = lambda request: Reply(vectors(*items))
    answer = service.embed(["x"] * len(sent))
    assert answer.usage == Usage(input_tokens=12)
    assert set(answer.rows) == set(range(len(sent)))
    for place, numbers in enumerate(sent):
        assert answer.rows[place].dtype == np.float32
        np.testing.assert_array_equal(answer.rows[place], np.array(numbers, dtype=np.float32))


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ([item(1, packed(0, 1))], {1: [0, 1]}),
        ([item(0, packed(1, 0)), item(0, packed(0, 1)), item(1, packed(2, 2))], {1: [2, 2]}),
        ([item(0, packed(1, 0)), item(2, packed(0, 1)), item(-1, packed(0, 1))], {0: [1, 0]}),
        ([item(True, packed(1, 0)), item("0", packed(1, 0)), item(None, packed(1, 0)), item(0.0, "")], {}),
        ([{"embedding": packed(1, 0)}, 5, None, "x", [item(0, packed(1, 0))]], {}),
        ([item(0, "AAA"), item(1, packed(0, 1))], {1: [0, 1]}),
        ([item(0, "!!!!"), item(1, base64.b64encode(b"12345").decode())], {}),
        ([item(0, packed(1, 0) + "\n"), item(1, "ééé")], {}),
        ([item(0, None), item(1, {"a": 1})], {}),
        ([item(0, [1, 2.5]), item(1, [1, 2, 3])], {0: [1, 2.5], 1: [1, 2, 3]}),
        ([item(0, ["1", "2"]), item(1, [[1, 2]])], {}),
        ([item(0, [1, None]), item(1, [[1], 2])], {}),
        ([item(0, [1e300, -1e300]), item(1, [True, False])], {0: [np.inf, -np.inf]}),
        ([], {}),
    ],
)
def test_what_cannot_be_placed_or_read_is_left_out(
    service: Service, said: list[Any], found: dict[int, list[float]]
) -> None:
    service.answer = lambda request: Reply(vectors(*said))
    assert rows(service.embed_two()) == found


@pytest.mark.parametrize("usage", [None, {}, {"total_tokens": "many"}, 5])
def test_a_bill_that_is_missing_is_reckoned(service: Service, usage: Any) -> None:
    service.answer = lambda request: Reply(vectors(usage=usage))
    assert service.embed(["x" * 180, "y" * 180]).usage == Usage(input_tokens=100)


def test_documents_are_ranked(service: Service) -> None:
    data = [
        {"index": 2, "relevance_score": 0.9},
        {"index": 0, "relevance_score": 0},
        {"index": 1, "relevance_score": "high"},
        {"index": 7, "relevance_score": 0.5},
    ]
    service.answer = lambda request: Reply({"object": "list", "data": data, "usage": {"total_tokens": 9}})
    assert service.rerank("q \ud800", ["a", "b", "c \ud800"]) == Ranking({2: 0.9, 0: 0.0}, Usage(input_tokens=9))
    (request,) = service.requests
    assert request.path == "/v1/rerank"
    assert request.body["model"] == "rerank-2.5"
    assert request.body["query"] == "q \N{REPLACEMENT CHARACTER}"
    assert request.body["documents"] == ["a", "b", "c \N{REPLACEMENT CHARACTER}"]


# ---- what goes wrong


@pytest.mark.parametrize(
    ("status", "said", "failure"),
    [
        (400, "The max allowed tokens per submitted batch is 120000. Your batch has 250000 tokens.", "too_large"),
        (400, "The example at index 0 does not fit into the model's context window of 32000.", "too_large"),
        (400, "The batch size limit is 1000. Your batch size is 1500.", "too_large"),
        (400, "Model voyage-9 is not supported.", "invalid"),
        (401, "Provided API key is invalid.", "credential"),
        (402, "pay", "payment"),
        (403, "Forbidden", "credential"),
        (404, "nothing here", "invalid"),
        (408, "slow", "server"),
        (413, "big", "too_large"),
        (422, "malformed", "invalid"),
        (429, "slowly", "throttled"),
        (500, "oops", "server"),
        (502, "oops", "server"),
        (503, "later", "overloaded"),
        (504, "late", "server"),
        (529, "overloaded", "overloaded"),
        (599, "x", "server"),
    ],
)
@pytest.mark.parametrize("endpoint", ["embed", "rerank"])
def test_what_a_status_means(service: Service, endpoint: str, status: int, said: str, failure: str) -> None:
    service.answer = lambda request: Reply({"detail": said}, status, {"retry-after": "2"})
    failed = failure_of(service.embed_two if endpoint == "embed" else lambda: service.rerank("q", ["a"]))
    assert (failed.kind, failed.status, failed.retry_after) == (failure, status, 2.0)
    assert str(status) in str(failed)
    assert said[:20] in str(failed)
    assert len(service.requests) == 1


def test_a_service_that_does_not_say_how_long_to_wait(service: Service) -> None:
    service.answer = lambda request: Reply({"detail": "slowly"}, 429)
    assert failure_of(service.embed_two).retry_after is None


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(mute=True), "connection"),
        (Reply(vectors(), missing=10), "connection"),
        (Reply('{"data": [{"ind'), "garbled"),
        (Reply("<html>Sign in</html>", headers={"content-type": "text/html"}), "garbled"),
        (Reply("plain words", headers={"content-type": "text/plain"}), "garbled"),
        (Reply(""), "garbled"),
        (Reply("null"), "garbled"),
        (Reply("[]"), "garbled"),
        (Reply("[" * 100_000), "garbled"),
        (Reply({"data": "x"}), "garbled"),
        (Reply({"detail": "x"}), "garbled"),
        (Reply(b"\xff\xfe{}"), "garbled"),
        (Reply("", 204), "garbled"),
        (Reply("<html>Bad gateway</html>", 502, {"content-type": "text/html"}), "server"),
        (Reply("<html>Not yours</html>", 400, {"content-type": "text/html"}), "invalid"),
        (Reply("", 500), "server"),
        (Reply("[" * 100_000, 429), "throttled"),
        (Reply("{}", 400), "invalid"),
        (Reply({"error": {"message": "unknown field"}}, 400), "invalid"),
    ],
)
def test_answers_that_are_none(service: Service, reply: Reply, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    service.answer = lambda request: reply
    failed = failure_of(service.embed_two)
    assert failed.kind == kind
    assert "<html>" not in str(failed)
    assert len(str(failed)) < 400
    assert capfd.readouterr() == ("", "")


def test_a_service_that_says_nothing_is_not_waited_for(service: Service) -> None:
    service.answer = lambda request: Reply(hang=True)
    hasty = VoyageModel("voyage-4", dimension=256, timeout_seconds=0.1)
    failed = failure_of(lambda: service.embed(["a"], hasty))
    service.runner.run(hasty.close())
    assert failed.kind == "timeout"
    assert failed.kind in MAYBE_BILLED


def test_nobody_there(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOYAGE_BASE_URL", "http://127.0.0.1:1/v1")
    assert failure_of(service.embed_two).kind == "connection"


@pytest.mark.parametrize("url", ["127.0.0.1:8000/v1", "ftp://127.0.0.1", "http://[::1", "http://127.0.0.1:port", "x"])
def test_a_wrong_address_is_said_to_be_one(service: Service, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("VOYAGE_BASE_URL", url)
    failed = failure_of(service.embed_two)
    assert failed.kind == "invalid"
    assert "VOYAGE_BASE_URL" in str(failed)


# ---- keys


def test_the_key_may_lie_in_a_file(service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("pa-of-the-file-0123456789\n")
    monkeypatch.setenv("VOYAGE_API_KEY_PATH", str(tmp_path / "key"))
    assert credential_problem() is None
    service.embed_two()
    assert service.requests[0].headers["authorization"] == "Bearer pa-of-the-file-0123456789"
    (tmp_path / "key").write_text("")
    problem = credential_problem()
    assert problem is not None
    assert "VOYAGE_API_KEY_PATH" in problem
    assert failure_of(service.embed_two).kind == "credential"


@pytest.mark.parametrize("key", [None, "", " ", "two words", "pa-\u201cquoted\u201d"])
def test_a_key_that_is_none_is_never_sent(service: Service, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    monkeypatch.delenv("VOYAGE_API_KEY")
    if key is not None:
        monkeypatch.setenv("VOYAGE_API_KEY", key)
    problem = credential_problem()
    assert problem is not None
    assert "VOYAGE_API_KEY" in problem
    assert failure_of(service.embed_two).kind == "credential"
    assert failure_of(lambda: service.rerank("q", ["a"])).kind == "credential"
    assert service.requests == []


def test_no_key_stands_in_what_is_said(service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("key of no known form".replace(" ", "_"))
    monkeypatch.setenv("VOYAGE_API_KEY_PATH", str(tmp_path / "key"))
    said = f"bad key {KEY}, {KEY[:-3]}, key_of_no_known_form"
    service.answer = lambda request: Reply({"detail": said}, 401)
    assert str(failure_of(service.embed_two)) == "HTTP status 401: bad key [key], [key], [key]"
    service.answer = lambda request: Reply(f"oops {said}", 500, {"content-type": "text/plain"})
    assert str(failure_of(service.embed_two)) == "HTTP status 500: oops bad key [key], [key], [key]"


def test_nothing_that_is_sent_is_logged(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    import voyageai.util

    monkeypatch.setattr(voyageai.util, "VOYAGE_LOG", "debug")
    with caplog.at_level(logging.DEBUG):
        service.embed(["a secret text", "b"])
        service.answer = lambda request: Reply({"detail": f"no: a secret text {KEY}"}, 400)
        failure_of(lambda: service.embed(["a secret text"]))
    said = caplog.text + "".join(capfd.readouterr())
    assert "secret text" not in said
    assert KEY not in said


# ---- connections


def test_connections_are_kept_and_belong_to_a_loop(service: Service) -> None:
    model = VoyageModel("voyage-4", dimension=2, timeout_seconds=10)

    async def twice(*, close: bool) -> None:
        # Each in a task of its own, as the loop that asks does it.
        await asyncio.create_task(model.embed(["a"], "document"))
        await asyncio.create_task(model.embed(["a"], "document"))
        if close:
            await model.close()

    for close in (False, True, True):
        asyncio.run(twice(close=close))
    asyncio.run(model.close())
    gc.collect()  # the session that was left open complains here and not into another test
    ports = [request.connection for request in service.requests]
    assert ports[0::2] == ports[1::2]
    assert len(set(ports)) == 3


def test_many_calls_at_once(service: Service) -> None:
    def echo(request: Request) -> Reply:
        return Reply(vectors(*(item(place, packed(float(text))) for place, text in enumerate(request.body["input"]))))

    service.answer = echo

    async def many() -> list[Vectors]:
        return await asyncio.gather(*(service.model.embed([str(n), str(-n)], "document") for n in range(40)))

    assert [rows(answer) for answer in service.runner.run(many())] == [{0: [n], 1: [-n]} for n in range(40)]
