"""Models of other providers: the real package and OpenAI's real client, against a server on the loopback."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.models.base import CallFailed, Completion, Prompt, Usage, Vectors
from dataflow_assets.models.pydantic_ai import OtherEmbedder, OtherModel, credential_problem

KEY = "sk-loopback-0123456789abcdef"
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
PROMPT = Prompt("Mend the text.", "teh text \ud800", SCHEMA, 500)
CHAT, RESPONSES, EMBEDDINGS = "openai-chat:gpt-4o-mini", "openai:gpt-5.2", "embeddings"


Answer = TypeVar("Answer")


@dataclass
class Reply:
    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    """So many bytes are announced and not sent."""
    mute: bool = False
    """The connection is closed without a word."""


@dataclass
class Service:
    """A service that answers by a function, and remembers what it was asked."""

    url: str
    answer: Callable[[str, Any], Reply]
    asked: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    waits: threading.Event = field(default_factory=threading.Event)
    runner: asyncio.Runner = field(default_factory=asyncio.Runner)
    models: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def ask(self, name: str, *, timeout_seconds: float = 10.0, fresh: bool = False) -> Completion:
        """Ask with a client that other tests use too, unless the environment is another."""
        model: OtherModel = self._kept(
            (name, timeout_seconds), fresh, lambda: OtherModel(name, timeout_seconds=timeout_seconds)
        )
        return self.runner.run(self._closing(model, model.complete(PROMPT), fresh))

    def vectors(self, texts: list[str], name: str = "openai:text-embedding-3-small", dimension: int = 2) -> Vectors:
        model: OtherEmbedder = self._kept(
            (name, dimension), False, lambda: OtherEmbedder(name, dimension=dimension, timeout_seconds=10)
        )
        return self.runner.run(self._closing(model, model.embed(texts, "document"), False))

    def failure(self, name: str = CHAT, **options: Any) -> CallFailed:
        with pytest.raises(CallFailed) as caught:
            self.vectors(["a"]) if name == EMBEDDINGS else self.ask(name, **options)
        # Errors of the clients carry the request with its headers.
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        return caught.value

    def _kept(self, key: tuple[Any, ...], fresh: bool, make: Callable[[], Any]) -> Any:
        return make() if fresh else self.models.get(key) or self.models.setdefault(key, make())

    @staticmethod
    async def _closing(model: Any, answer: Awaitable[Answer], fresh: bool) -> Answer:
        try:
            return await answer
        finally:
            if fresh:
                await model.close()

    def end(self) -> None:
        self.waits.set()
        for model in self.models.values():
            self.runner.run(model.close())
        self.runner.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    pytest.importorskip("pydantic_ai")
    pytest.importorskip("openai")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet, or the client waits for the second

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.asked.append((self.path, body, {k.lower(): v for k, v in self.headers.items()}))
            reply = service.answer(self.path, body)
            if reply.mute:
                self.close_connection = True
                return
            data = reply.body.encode() if isinstance(reply.body, str) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            headers = {"Content-Type": "application/json", "Content-Length": str(len(data) + reply.cut)}
            for name, value in {**headers, **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = bool(reply.cut)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that waits no longer is no error here."""

    server = Server(("127.0.0.1", 0), Handler)
    service = Service(f"http://127.0.0.1:{server.server_address[1]}/v1", lambda path, body: Reply({}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield service
    service.end()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(name="service")
def of_openai(running: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    running.asked.clear()
    monkeypatch.setenv("OPENAI_BASE_URL", running.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_LOG"):
        monkeypatch.delenv(name, raising=False)
    return running


def chat(text: str | None = '{"a": "the text"}', stop: str | None = "stop", **message: Any) -> dict[str, Any]:
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "finish_reason": stop, "message": {"role": "assistant", "content": text, **message}}],
        "usage": {
            "prompt_tokens": 1000,
            "completion_tokens": 20,
            "total_tokens": 1020,
            "prompt_tokens_details": {"cached_tokens": 600},
        },
    }


def responses(text: str = '{"a": "the text"}', reason: str | None = None, refusal: str | None = None) -> dict[str, Any]:
    part = (
        {"type": "refusal", "refusal": refusal} if refusal else {"type": "output_text", "text": text, "annotations": []}
    )
    return {
        "id": "r1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5.2",
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": [{"id": "m1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 1000,
            "input_tokens_details": {"cached_tokens": 600},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 5},
            "total_tokens": 1020,
        },
    }


@pytest.mark.parametrize(("model", "body"), [(CHAT, chat()), (RESPONSES, responses())])
def test_a_prompt_is_answered_and_counted(service: Service, model: str, body: dict[str, Any]) -> None:
    service.answer = lambda path, asked: Reply(body)
    completion = service.ask(model)
    assert completion == Completion('{"a": "the text"}', "end", Usage(400, 20, cached_tokens=600))
    assert len(service.asked) == 1
    path, sent, headers = service.asked[0]
    assert headers["authorization"] == f"Bearer {KEY}"
    if model == CHAT:
        assert path == "/v1/chat/completions"
        assert [message["role"] for message in sent["messages"]] == ["system", "user"]
        form = sent["response_format"]["json_schema"]
        assert sent["max_completion_tokens"] == 500
    else:
        assert path == "/v1/responses"
        form = sent["text"]["format"]
        assert sent["max_output_tokens"] == 500
        assert sent["reasoning"]["effort"] == "none"
    assert sent["store"] is False
    assert form["strict"] is True
    assert form["schema"] == SCHEMA
    said = json.dumps(sent, ensure_ascii=False)
    assert "Mend the text." in said
    assert "teh text \N{REPLACEMENT CHARACTER}" in said
    assert "temperature" not in said


def test_a_model_that_must_think_gets_room_for_it(service: Service) -> None:
    service.answer = lambda path, asked: Reply(responses())
    service.ask("openai:o3")
    sent = service.asked[0][1]
    assert sent["max_output_tokens"] > 500 + 1000
    assert sent["reasoning"]["effort"] in ("minimal", "low")


def test_a_provider_that_cannot_be_held_to_a_schema_is_told_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_BASE_URL", service.url)
    service.answer = lambda path, asked: Reply(chat('```json\n{"a": "```"}\n```'))
    completion = service.ask("ollama:llama3-cloud", fresh=True)
    assert (completion.text, completion.stop) == ('{"a": "```"}', "end")
    sent = service.asked[0][1]
    assert "json_schema" not in json.dumps(sent.get("response_format"))
    assert '\\"additionalProperties\\"' in json.dumps(sent["messages"])


@pytest.mark.parametrize(
    ("model", "body", "stop", "text"),
    [
        (CHAT, chat('{"a": "th', "length"), "max_tokens", '{"a": "th'),
        (CHAT, chat("", "content_filter"), "refusal", ""),
        (CHAT, chat(None, "stop", refusal="I will not."), "refusal", ""),
        (CHAT, chat('{"a": ""}', None), "end", '{"a": ""}'),
        (CHAT, chat('{"a": ""}', "odd"), "end", '{"a": ""}'),
        (CHAT, chat("", "odd"), "other", ""),
        (CHAT, chat('{"a": ""}', "tool_calls"), "other", '{"a": ""}'),
        (CHAT, chat("\ud83d", "stop"), "end", "\N{REPLACEMENT CHARACTER}"),
        (RESPONSES, responses('{"a": "th', "max_output_tokens"), "max_tokens", '{"a": "th'),
        (RESPONSES, responses("", "content_filter"), "refusal", ""),
        (RESPONSES, responses(refusal="I will not."), "refusal", ""),
    ],
)
def test_why_an_answer_ends(service: Service, model: str, body: dict[str, Any], stop: str, text: str) -> None:
    service.answer = lambda path, asked: Reply(body)
    completion = service.ask(model)
    assert completion.usage.output_tokens == 20
    assert (completion.stop, completion.text) == (stop, text)


def test_what_a_service_does_not_count_is_not_taken_for_nothing(service: Service) -> None:
    body = chat()
    del body["usage"]
    service.answer = lambda path, asked: Reply(body)
    usage = service.ask(CHAT).usage
    assert usage.input_tokens >= 4
    assert usage.output_tokens >= 2


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"message": "Invalid schema."}, "invalid"),
        (400, {"message": "too long", "code": "context_length_exceeded"}, "too_large"),
        (400, {"message": "This model's maximum context length is 8192 tokens, you asked for 9000."}, "too_large"),
        (400, {"message": "Requested 310000 tokens, max 300000 tokens per request."}, "too_large"),
        (401, {"message": f"Incorrect API key provided: {KEY[:9]}*****cdef."}, "credential"),
        (402, {"message": "No credit."}, "payment"),
        (403, {"message": "Not for you."}, "credential"),
        (404, {"message": "There is no such model.", "code": "model_not_found"}, "invalid"),
        (408, {"message": "Slow."}, "server"),
        (409, {"message": "Conflict."}, "server"),
        (413, {"message": "Large."}, "too_large"),
        (422, {"message": "No."}, "invalid"),
        (429, {"message": "Slow down.", "code": "rate_limit_exceeded"}, "throttled"),
        (429, {"message": "You exceeded your quota.", "code": "insufficient_quota"}, "payment"),
        (429, {"message": "Request too large for gpt-4o: Limit 30000, Requested 40000."}, "too_large"),
        (500, {"message": "Oh."}, "server"),
        (502, "<html>Bad gateway</html>", "server"),
        (503, {"message": "No room."}, "overloaded"),
        (529, {"message": "No room."}, "overloaded"),
        (504, None, "server"),
    ],
)
@pytest.mark.parametrize("model", [CHAT, RESPONSES, EMBEDDINGS])
def test_a_refused_call_says_what_may_be_done_and_is_made_once(
    service: Service, model: str, status: int, error: Any, kind: str
) -> None:
    headers = {"retry-after": "7"} if status in (429, 503) else {}
    service.answer = lambda path, asked: Reply({"error": error} if isinstance(error, dict) else error, status, headers)
    failed = service.failure(model)
    assert (failed.kind, failed.status) == (kind, status)
    assert failed.retry_after == (7.0 if headers else None)
    assert f"{status}" in str(failed)
    assert "<" not in str(failed)
    if kind not in ("credential",) and isinstance(error, dict):
        assert error["message"].rstrip(".") in str(failed)
    assert "cdef" not in str(failed)
    assert len(service.asked) == 1


@pytest.mark.parametrize("model", [CHAT, RESPONSES, EMBEDDINGS])
@pytest.mark.parametrize(
    ("reply", "kinds"),
    [
        (Reply("<html>Welcome</html>", headers={"Content-Type": "text/html"}), {"garbled"}),
        (Reply('{"choices": [{"mess'), {"garbled"}),
        (Reply("[]"), {"garbled"}),
        (Reply({"hello": "world"}), {"garbled"}),
        (Reply('{"a": 1}', cut=100), {"connection"}),
        (Reply("", mute=True), {"connection"}),
    ],
)
def test_an_answer_that_is_none(service: Service, model: str, reply: Reply, kinds: set[str]) -> None:
    service.answer = lambda path, asked: reply
    assert service.failure(model).kind in kinds
    assert len(service.asked) == 1


def test_no_answer_in_time(service: Service) -> None:
    service.waits.clear()

    def wait(path: str, asked: Any) -> Reply:
        service.waits.wait(5)
        return Reply(chat())

    service.answer = wait
    assert service.failure(timeout_seconds=0.2).kind == "timeout"
    service.waits.set()
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("url", "kind"), [("http://127.0.0.1:9/v1", "connection"), ("nonsense", "invalid"), ("ftp://x/v1", "invalid")]
)
def test_an_address_where_nobody_answers(
    service: Service, monkeypatch: pytest.MonkeyPatch, url: str, kind: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    assert service.failure(fresh=True).kind == kind


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
@pytest.mark.parametrize("model", [CHAT, RESPONSES])
def test_no_key_in_what_is_said(
    service: Service, model: str, status: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def echo(path: str, asked: Any) -> Reply:
        return Reply({"error": {"message": f"You sent {service.asked[-1][2]}", "type": KEY, "code": KEY}}, status)

    service.answer = echo
    with caplog.at_level("DEBUG"):
        failed = service.failure(model, fresh=True)
    said = capfd.readouterr()
    for text in (str(failed), repr(failed), str(vars(failed)), caplog.text, said.out, said.err):
        assert KEY[3:] not in text
        assert "teh text" not in text


def test_connections_are_closed_and_opened_again_also_in_another_loop(service: Service) -> None:
    service.answer = lambda path, asked: Reply(chat())
    model = OtherModel(CHAT, timeout_seconds=10)

    async def twice() -> list[str]:
        stops: list[str] = []
        for _ in range(2):
            stops.append((await model.complete(PROMPT)).stop)
            await model.close()
        await model.close()
        return stops

    assert asyncio.run(twice()) + asyncio.run(twice()) == ["end"] * 4

    async def together() -> list[Completion]:
        answers = await asyncio.gather(*(model.complete(PROMPT) for _ in range(20)))
        await model.close()
        return answers

    assert {answer.stop for answer in asyncio.run(together())} == {"end"}
    assert len(service.asked) == 24


def test_what_a_model_says_of_itself() -> None:
    pytest.importorskip("openai")
    model = OtherModel("openai:ft:gpt-4o:x", timeout_seconds=5)
    assert (model.provider, model.name, model.batches) == ("openai", "ft:gpt-4o:x", None)
    assert json.dumps(dict(model.parameters))
    embedder = OtherEmbedder("openai:text-embedding-3-small", dimension=256, timeout_seconds=5)
    assert (embedder.provider, embedder.name, embedder.dimension) == ("openai", "text-embedding-3-small", 256)
    assert embedder.max_texts >= 1
    assert embedder.max_tokens >= 8192


@pytest.mark.parametrize("make", [OtherModel, lambda m, **k: OtherEmbedder(m, dimension=8, **k)])
@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("anthropic:claude-haiku-5-5", "named without their provider, for example claude-haiku-5-5"),
        ("voyageai:voyage-4", "named without their provider, for example voyage-code-3"),
        ("opnai:gpt-5.2", r"allowed before the colon are openai, .* \(did you mean openai\?\)"),
        ("gpt-5.2", "allowed before the colon are openai"),
        ("openai:", "allowed before the colon are openai"),
        (f"{KEY}:x", "allowed before the colon are openai"),
        ("groq:llama", r"pip install 'pydantic-ai-slim\[groq\]|embeddings of groq are not supported"),
    ],
)
def test_what_is_no_model_of_another_provider(make: Any, model: str, said: str) -> None:
    pytest.importorskip("openai")
    with pytest.raises(ConfigurationError, match=said) as caught:
        make(model, timeout_seconds=5)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("package", ["pydantic_ai", "openai"])
def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'dataflow-assets\[providers\]'"):
        OtherModel(CHAT, timeout_seconds=5)
    with pytest.raises(ConfigurationError, match=r"pip install 'dataflow-assets\[providers\]'"):
        OtherEmbedder("openai:x", dimension=8, timeout_seconds=5)


VARIABLES = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "GOOGLE_API_KEY", "GEMINI_API_KEY", "OLLAMA_BASE_URL")


@pytest.mark.parametrize(
    ("model", "set_to", "said"),
    [
        ("openai:x", {}, "There is no key for openai: set the environment variable OPENAI_API_KEY."),
        ("openai:x", {"OPENAI_API_KEY": " "}, "There is no key for openai"),
        ("openai:x", {"OPENAI_API_KEY": KEY}, None),
        ("openai:x", {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, None),
        ("openai:x", {"OPENAI_API_KEY": f"{KEY}\n"}, "the environment variable OPENAI_API_KEY contains characters"),
        ("openai-chat:x", {"OPENAI_API_KEY": f"“{KEY}”"}, "the environment variable OPENAI_API_KEY contains"),
        ("google:x", {}, "set the environment variable GOOGLE_API_KEY or GEMINI_API_KEY"),
        ("google:x", {"GEMINI_API_KEY": KEY}, None),
        ("google-cloud:x", {}, None),
        ("ollama:x", {}, "OLLAMA_BASE_URL"),
        ("somebody:x", {}, None),
    ],
)
def test_a_missing_credential_is_named(
    monkeypatch: pytest.MonkeyPatch, model: str, set_to: dict[str, str], said: str | None
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    problem = credential_problem(model)
    assert (problem is None) == (said is None)
    assert (said or "") in (problem or "")
    assert KEY not in (problem or "")


def test_without_a_key_nothing_is_asked(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    failed = service.failure(fresh=True)
    assert failed.kind == "credential"
    assert "OPENAI_API_KEY" in str(failed)
    assert service.asked == []


def test_nothing_is_imported_before_the_first_call() -> None:
    pytest.importorskip("openai")
    code = (
        "import sys; from dataflow_assets.models.pydantic_ai import *;"
        "credential_problem('openai:x'); OtherModel('openai:x', timeout_seconds=1);"
        "OtherEmbedder('openai:x', dimension=1, timeout_seconds=1);"
        "print([m for m in ('pydantic_ai', 'openai', 'httpx2', 'numpy', 'genai_prices') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- embeddings ----


def embeddings(*items: tuple[Any, Any], tokens: int | None = 12) -> dict[str, Any]:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in items]
    usage = {} if tokens is None else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    return {"object": "list", "model": "m", "data": data, **usage}


def test_vectors_stand_where_they_say(service: Service) -> None:
    service.answer = lambda path, asked: Reply(embeddings((2, [2.0, 0.5]), (0, [0.0, 1.0])))
    answer = service.vectors(["a", "b \udfff", "c"])
    assert {position: row.tolist() for position, row in answer.rows.items()} == {0: [0.0, 1.0], 2: [2.0, 0.5]}
    assert all(row.dtype == np.float32 for row in answer.rows.values())
    assert answer.usage == Usage(input_tokens=12)
    path, sent, headers = service.asked[0]
    assert path == "/v1/embeddings"
    assert sent["input"] == ["a", "b \N{REPLACEMENT CHARACTER}", "c"]
    assert (sent["dimensions"], sent["model"]) == (2, "text-embedding-3-small")
    assert headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("items", "kept"),
    [
        ([(0, [1, 2]), (0, [3, 4]), (1, [5, 6])], {1}),
        ([(-1, [1, 2]), (2, [3, 4]), (True, [3, 4]), (None, [1, 2]), ("0", [1, 2])], set()),
        ([(0, None), (1, "abc")], set()),
        ([(0, [[1, 2]]), (1, ["1", "2"])], set()),
        ([(0, [1, None]), (1, [1, 1e300])], {1}),
        ([(0, []), (1, [float("nan"), 1])], {0, 1}),
        ([], set()),
    ],
)
def test_what_cannot_be_placed_or_read_is_missing(service: Service, items: Any, kept: set[int]) -> None:
    service.answer = lambda path, asked: Reply(embeddings(*items))
    assert set(service.vectors(["a", "b"]).rows) == kept


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(indexes=st.lists(st.integers(-2, 12), max_size=15))
def test_no_text_ever_gets_the_vector_of_another(service: Service, indexes: list[int]) -> None:
    service.answer = lambda path, asked: Reply(embeddings(*[(index, [index, n]) for n, index in enumerate(indexes)]))
    answer = service.vectors([f"text {n}" for n in range(10)])
    assert set(answer.rows) == {index for index in indexes if 0 <= index < 10 and indexes.count(index) == 1}
    assert all(row[0] == position for position, row in answer.rows.items())


def test_no_texts_are_no_call(service: Service) -> None:
    assert service.vectors([]).rows == {}
    assert service.asked == []


def test_tokens_that_are_not_counted_are_guessed(service: Service) -> None:
    service.answer = lambda path, asked: Reply(embeddings((0, [1, 2]), tokens=None))
    assert 200 < service.vectors(["four " * 200]).usage.input_tokens < 400


def test_a_service_that_takes_no_length_is_not_told_one(service: Service) -> None:
    def fixed(path: str, asked: Any) -> Reply:
        if "dimensions" in asked:
            return Reply({"error": {"message": "This model does not support dimensions."}}, 400)
        return Reply(embeddings((0, [1, 2])))

    service.answer = fixed
    embedder = OtherEmbedder("openai:nomic-embed", dimension=2, timeout_seconds=10)

    async def twice() -> list[Any]:
        answers = [await embedder.embed(["a"], "document"), await embedder.embed(["a"], "query")]
        await embedder.close()
        return answers

    assert [set(answer.rows) for answer in asyncio.run(twice())] == [{0}, {0}]
    assert ["dimensions" in sent for _, sent, _ in service.asked] == [True, False, False]
    service.asked.clear()
    service.vectors(["a"], "openai:text-embedding-ada-002", 1536)
    assert len(service.asked) == 1
