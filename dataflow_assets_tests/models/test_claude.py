"""Claude's adapter: the real SDK over real sockets, and what answers, headers and errors are taken to mean."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import subprocess
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, TypeVar

import pytest

from dataflow_assets.models.base import MAYBE_BILLED, CallFailed, Completion, Prompt, Usage
from dataflow_assets.models.claude import ClaudeBatches, ClaudeModel, credential_problem
from dataflow_assets_tests.loopback import Loopback, Trouble
from dataflow_assets_tests.models.canned import Canned, Reply, Request

KEY = "sk-ant-api03-canned_0123456789-abcdef"
SCHEMA = {
    "type": "object",
    "properties": {"texts": {"type": "array", "items": {"type": "string"}}},
    "required": ["texts"],
    "additionalProperties": False,
}
PROMPT = Prompt("Mend the texts.", 'teh "text" \ud800', SCHEMA, 500)
T = TypeVar("T")
OTHER_KEYS = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_PROFILE")


def message(content: Any = None, stop: Any = "end_turn", **usage: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": [{"type": "text", "text": "{}"}] if content is None else content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 3, **usage},
    }


def error_body(kind: str, said: str, **details: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": said, **({"details": details} if details else {})}}


class Service(Canned):
    """A server, and clients of it that are kept over tests: making one takes 50 ms."""

    def __enter__(self) -> Service:
        super().__enter__()
        self.runner = asyncio.Runner()
        self.models: dict[tuple[str, float], ClaudeModel] = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for model in self.models.values():
            self.runner.run(model.close())
        self.runner.close()
        super().__exit__(kind, error, trace)

    def model(self, name: str = "claude-haiku-5-5", timeout_seconds: float = 10.0) -> ClaudeModel:
        key = (name, timeout_seconds)
        if key not in self.models:
            self.models[key] = ClaudeModel(name, timeout_seconds=timeout_seconds)
        return self.models[key]

    def ask(self, name: str = "claude-haiku-5-5", timeout_seconds: float = 10.0, prompt: Prompt = PROMPT) -> Completion:
        return self.runner.run(self.model(name, timeout_seconds).complete(prompt))

    def batches(self, call: Callable[[ClaudeBatches], Coroutine[Any, Any, T]]) -> T:
        return self.runner.run(call(self.model().batches))


@pytest.fixture(scope="module")
def server() -> Iterator[Service]:
    with Service() as server:
        yield server


@pytest.fixture
def service(server: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    server.answer = lambda request: Reply(message())
    server.requests.clear()
    for name in OTHER_KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    return server


def ask_anew() -> Completion:
    """Ask with a client that is made for the environment as it is now."""

    async def once() -> Completion:
        model = ClaudeModel("claude-haiku-5-5", timeout_seconds=10)
        try:
            return await model.complete(PROMPT)
        finally:
            await model.close()

    return asyncio.run(once())


def failure_of(call: Any) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        call()
    # The SDK's errors carry the request with its headers, and repeat what the service said.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert KEY not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    return caught.value


# ---- what is sent


@pytest.mark.parametrize(
    ("name", "thinking", "effort", "max_tokens"),
    [
        ("claude-haiku-5-5", {"type": "disabled"}, None, 500),
        ("claude-sonnet-5-5", {"type": "between_tools"}, "low", 2500),
        ("claude-opus-5-5", None, "low", 2500),
        ("claude-haiku-4-5", None, None, 500),
    ],
)
def test_a_request_keeps_the_model_from_thinking(
    service: Service, name: str, thinking: Any, effort: str | None, max_tokens: int
) -> None:
    service.ask(name)
    (request,) = service.requests
    shape = {"type": "json_schema", "schema": SCHEMA}
    assert request.path == "/v1/messages"
    assert request.body == {
        "model": name,
        "max_tokens": max_tokens,
        "system": [{"type": "text", "text": "Mend the texts.", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": 'teh "text" \N{REPLACEMENT CHARACTER}'}],
        "output_config": {"format": shape} if effort is None else {"format": shape, "effort": effort},
    } | ({} if thinking is None else {"thinking": thinking})
    wanted = {name: value for name, value in (("thinking", thinking), ("effort", effort)) if value}
    assert ClaudeModel(name, timeout_seconds=1).parameters == wanted


def test_no_more_is_asked_for_than_a_model_can_answer(service: Service) -> None:
    service.ask("claude-haiku-4-5", prompt=Prompt("s", "u", SCHEMA, 10**6))
    service.ask("claude-opus-5-5", prompt=Prompt("s", "u", SCHEMA, 127_999))
    assert [request.body["max_tokens"] for request in service.requests] == [64_000, 128_000]


# ---- what is answered


def test_texts_are_joined_and_thinking_is_passed_over(service: Service) -> None:
    blocks = [
        {"type": "thinking", "thinking": "Hm.", "signature": "x"},
        {"type": "text", "text": '{"texts": '},
        {"type": "something_new", "text": "no"},
        {"type": "text", "text": "[]}"},
    ]
    usage = {"cache_read_input_tokens": 100, "cache_creation_input_tokens": 20}
    service.answer = lambda request: Reply(message(blocks, **usage))
    answer = service.ask()
    assert json.loads(answer.text) == {"texts": []}
    assert answer.usage == Usage(7, 3, cached_tokens=100, cache_write_tokens=20)
    assert answer.stop == "end"


@pytest.mark.parametrize(
    ("said", "stop"),
    [
        ("end_turn", "end"),
        ("stop_sequence", "end"),
        ("max_tokens", "max_tokens"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "context"),
        ("tool_use", "other"),
        ("pause_turn", "other"),
        ("something_new", "other"),
        (None, "other"),
        ({}, "other"),
    ],
)
def test_why_an_answer_ended(service: Service, said: Any, stop: str) -> None:
    service.answer = lambda request: Reply(message([], said))
    answer = service.ask()
    assert (answer.text, answer.stop) == ("", stop)


LIMITS = {
    "anthropic-ratelimit-requests-limit": "1000",
    "anthropic-ratelimit-requests-remaining": "998",
    "anthropic-ratelimit-input-tokens-limit": "450000",
    "anthropic-ratelimit-output-tokens-limit": "90000",
}


def test_an_answer_tells_the_limits(service: Service) -> None:
    soon = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=100)).isoformat().replace("+00:00", "Z")
    service.answer = lambda request: Reply(message(), headers={**LIMITS, "anthropic-ratelimit-requests-reset": soon})
    said = service.ask().allowance
    assert (said.requests_per_minute, said.input_tokens_per_minute, said.output_tokens_per_minute) == (1e3, 4.5e5, 9e4)
    assert said.requests_left == 998
    assert said.reset_seconds is not None
    assert 0 < said.reset_seconds <= 100


def test_nonsense_in_headers_is_no_limit(service: Service) -> None:
    nonsense = dict.fromkeys(LIMITS, "many") | {
        "anthropic-ratelimit-requests-remaining": "inf",
        "anthropic-ratelimit-requests-reset": "2001-01-01T00:00:00Z",
    }
    service.answer = lambda request: Reply(message(), headers=nonsense)
    said = service.ask().allowance
    assert (said.requests_per_minute, said.requests_left, said.reset_seconds) == (None, None, 0.0)


# ---- what goes wrong


@pytest.mark.parametrize(
    ("status", "kind", "said", "failure"),
    [
        (400, "invalid_request_error", "prompt is too long: 212345 tokens > 200000 maximum", "too_large"),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 199000 + 8000",
            "too_large",
        ),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.", "payment"),
        (400, "invalid_request_error", "You have reached your specified API usage limits.", "payment"),
        (400, "invalid_request_error", "temperature: Extra inputs are not permitted", "invalid"),
        (401, "authentication_error", "invalid bearer token", "credential"),
        (402, "billing_error", "pay", "payment"),
        (403, "permission_error", "not for you", "credential"),
        (404, "not_found_error", "model: claude-nothing", "invalid"),
        (408, "timeout_error", "slow", "server"),
        (409, "conflict_error", "twice", "server"),
        (413, "request_too_large", "Request exceeds the maximum size", "too_large"),
        (422, "invalid_request_error", "no", "invalid"),
        (429, "rate_limit_error", "This request would exceed your organization's rate limit", "throttled"),
        (500, "api_error", "oops", "server"),
        (502, "api_error", "oops", "server"),
        (503, "api_error", "later", "overloaded"),
        (504, "timeout_error", "late", "server"),
        (529, "overloaded_error", "Overloaded", "overloaded"),
        (599, "x", "y", "server"),
    ],
)
def test_what_a_status_means(service: Service, status: int, kind: str, said: str, failure: str) -> None:
    service.answer = lambda request: Reply(error_body(kind, said), status, LIMITS)
    failed = failure_of(service.ask)
    assert (failed.kind, failed.status) == (failure, status)
    assert failed.allowance.requests_per_minute == 1000
    assert failed.retry_after is None
    assert str(status) in str(failed)
    assert said[:30] in str(failed)
    assert len(service.requests) == 1, "the SDK's own retries are off"


def test_a_spending_limit_is_a_matter_of_payment_whatever_its_status(service: Service) -> None:
    body = error_body("rate_limit_error", "Stop.", error_code="enforced_spend_limit_reached")
    service.answer = lambda request: Reply(body, 429)
    assert failure_of(service.ask).kind == "payment"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "3600"}, 3600.0),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_how_long_the_service_asks_to_wait(service: Service, headers: dict[str, str], seconds: float | None) -> None:
    service.answer = lambda request: Reply(error_body("rate_limit_error", "slowly"), 429, headers)
    assert failure_of(service.ask).retry_after == seconds


def test_a_date_to_wait_for_is_turned_into_seconds(service: Service) -> None:
    soon = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=100)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    service.answer = lambda request: Reply(error_body("rate_limit_error", "slowly"), 429, {"retry-after": soon})
    assert 0 < (failure_of(service.ask).retry_after or 0) <= 100


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(mute=True), "connection"),
        (Reply(message(), missing=10), "connection"),
        (Reply(json.dumps(message())[:-40]), "garbled"),
        (Reply("<html>Sign in to the hotel</html>", headers={"content-type": "text/html"}), "garbled"),
        (Reply("<html>Sign in to the hotel</html>"), "garbled"),
        (Reply(""), "garbled"),
        (Reply("null"), "garbled"),
        (Reply("[]"), "garbled"),
        (Reply("[" * 100_000), "garbled"),
        (Reply({"type": "message"}), "garbled"),
        (Reply({**message(), "usage": None}), "garbled"),
        (Reply({**message(), "usage": {"input_tokens": "many"}}), "garbled"),
        (Reply(b"\xff\xfe{}"), "garbled"),
        (Reply("<html>Bad gateway</html>", 502, {"content-type": "text/html"}), "server"),
        (Reply("", 500), "server"),
        (Reply("[1]", 400), "invalid"),
        (Reply('{"error": 5}', 400), "invalid"),
        (Reply("gone", 302, {"location": "ftp://127.0.0.1/"}), "invalid"),
    ],
)
def test_answers_that_are_none(service: Service, reply: Reply, kind: str) -> None:
    service.answer = lambda request: reply
    failed = failure_of(service.ask)
    assert failed.kind == kind
    assert "<html>" not in str(failed)
    assert len(str(failed)) < 400


def test_an_answer_without_blocks_says_what_it_bills(service: Service) -> None:
    service.answer = lambda request: Reply({**message(), "content": "text"})
    failed = failure_of(service.ask)
    assert (failed.kind, failed.usage) == ("garbled", Usage(7, 3))


def test_blocks_without_sense_are_no_text(service: Service) -> None:
    service.answer = lambda request: Reply(message(["x", None, 5, {"type": "text"}, {"type": "text", "text": 7}, {}]))
    assert service.ask().text == ""


def test_a_service_that_says_nothing_is_not_waited_for(service: Service) -> None:
    service.answer = lambda request: Reply(hang=True)
    failed = failure_of(lambda: service.ask(timeout_seconds=0.1))
    assert failed.kind == "timeout"
    assert failed.kind in MAYBE_BILLED


def test_nobody_there(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    assert failure_of(ask_anew).kind == "connection"


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://[::1", "http://127.0.0.1:port"])
def test_a_wrong_address_is_said_to_be_one(service: Service, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
    failed = failure_of(ask_anew)
    assert failed.kind == "invalid"
    assert "ANTHROPIC_BASE_URL" in str(failed)


def test_a_call_that_is_given_up_stays_given_up(service: Service) -> None:
    service.answer = lambda request: Reply(hang=True)

    async def give_up() -> None:
        model = ClaudeModel("claude-haiku-5-5", timeout_seconds=10)
        task = asyncio.create_task(model.complete(PROMPT))
        while not service.requests:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await model.close()

    asyncio.run(give_up())


# ---- keys


def test_where_the_key_comes_from(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", f" {KEY}\n")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "another-token")
    ask_anew()
    monkeypatch.setenv("ANTHROPIC_API_KEY", "")
    ask_anew()
    assert [r.headers["authorization"] for r in service.requests] == [f"Bearer {KEY}", "Bearer another-token"]
    assert credential_problem() is None


@pytest.mark.parametrize("key", [None, "", "  ", "key with words", "“sk-ant-quoted”", "sk-ant\nx: y"])
def test_a_key_that_is_none_is_never_sent(service: Service, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    if key is not None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    problem = credential_problem()
    assert problem is not None
    assert "ANTHROPIC_API_KEY" in problem
    failed = failure_of(ask_anew)
    assert failed.kind == "credential"
    for said in (problem, str(failed)):
        assert not (key or "").strip() or (key or "").strip() not in said
    assert service.requests == []


def test_no_key_stands_in_what_is_said(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-team: swordfish-team\nx-gate: open-sesame")
    said = (
        f"bad key {KEY}, {KEY[:20]}, Bearer abc.def, pa-0123456789abcdef01, swordfish-team, open-sesame. " + "x" * 500
    )

    def echo(request: Request) -> Reply:
        assert request.headers["x-gate"] == "open-sesame"
        return Reply(error_body("authentication_error", said), 401)

    service.answer = echo
    whole = str(failure_of(ask_anew))
    service.answer = lambda request: Reply(f"oops: {said}", 500, {"content-type": "text/plain"})
    whole += str(failure_of(ask_anew))
    for secret in (KEY, "sk-ant", "abc.def", "pa-0123", "swordfish", "sesame"):
        assert secret not in whole
    assert whole.count("bad key [key]") == 2


def test_the_password_in_an_address_is_a_secret_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "ftp://user:hunter2@127.0.0.1/")
    assert "hunter2" not in str(failure_of(ask_anew))


def test_nothing_that_is_sent_is_logged(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        service.ask()
    assert KEY not in caplog.text
    assert "Mend the texts" not in caplog.text


def test_the_client_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from dataflow_assets.models import claude, voyage; claude.credential_problem(); "
        "voyage.credential_problem(); claude.ClaudeModel('claude-haiku-5-5', timeout_seconds=1).parameters; "
        "voyage.VoyageModel('voyage-4', dimension=256, timeout_seconds=1).max_tokens; "
        "sys.exit(','.join(n for n in ('anthropic', 'voyageai', 'numpy', 'aiohttp', 'httpx2') if n in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# ---- connections


def test_connections_are_kept_and_belong_to_a_loop(service: Service) -> None:
    model = ClaudeModel("claude-haiku-5-5", timeout_seconds=10)

    async def twice(*, close: bool) -> None:
        await model.complete(PROMPT)
        await model.complete(PROMPT)
        if close:
            await model.close()

    for close in (False, True, True):
        asyncio.run(twice(close=close))
    asyncio.run(model.close())
    ports = [request.connection for request in service.requests]
    assert ports[0::2] == ports[1::2]
    assert len(set(ports)) == 3


def test_many_calls_at_once(service: Service) -> None:
    service.answer = lambda request: Reply(message([{"type": "text", "text": request.body["messages"][0]["content"]}]))

    async def many() -> list[Completion]:
        model = ClaudeModel("claude-haiku-5-5", timeout_seconds=10)
        try:
            return await asyncio.gather(*(model.complete(Prompt("s", f"text {n}", SCHEMA, 9)) for n in range(40)))
        finally:
            await model.close()

    assert [answer.text for answer in asyncio.run(many())] == [f"text {n}" for n in range(40)]


# ---- the cheap lane


def user(text: str) -> Prompt:
    return Prompt("Mend.", json.dumps({"texts": [{"id": "1", "text": text}]}), SCHEMA, 500)


# What the server registers its handlers as is no concern of these tests.
bare = pytest.mark.filterwarnings("ignore:Bare functions are deprecated:DeprecationWarning")


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with Loopback() as server:
        for name in OTHER_KEYS:
            monkeypatch.delenv(name, raising=False)
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def with_batches(call: Callable[[ClaudeBatches], Coroutine[Any, Any, T]]) -> T:
    async def run() -> T:
        model = ClaudeModel("claude-haiku-5-5", timeout_seconds=10)
        try:
            return await call(model.batches)
        finally:
            await model.close()

    return asyncio.run(run())


@bare
def test_a_batch_from_its_sending_to_its_results(loopback: Loopback) -> None:
    async def go(lane: ClaudeBatches) -> Any:
        name = await lane.submit([(f"item-{n}", user(f"teh text {n}")) for n in range(5)])
        assert await lane.ended(name)
        assert list(await lane.recent()) == [name]
        return await lane.results(name), await lane.custom_ids(name)

    results, ids = with_batches(go)
    assert {item.custom_id for item in results} == ids == {f"item-{n}" for n in range(5)}
    for item in results:
        assert json.loads(item.completion.text)["texts"] == [
            {"id": "1", "edits": [{"original": "teh", "corrected": "the"}]}
        ]
        assert item.completion.usage.input_tokens > 0
    sent = loopback.made("batches")[0].body["requests"][0]["params"]
    assert sent["output_config"]["format"]["schema"] == SCHEMA
    assert sent["thinking"] == {"type": "disabled"}


@bare
def test_a_batch_whose_answer_was_lost_is_found_again(loopback: Loopback) -> None:
    loopback.trouble = lambda number, call: Trouble(reset_after=call.endpoint == "batches")

    async def go(lane: ClaudeBatches) -> Any:
        with pytest.raises(CallFailed) as caught:
            await lane.submit([("mine-1", user("teh"))])
        (name,) = await lane.recent()
        return caught.value.kind, await lane.custom_ids(name)

    assert with_batches(go) == ("connection", {"mine-1"})


@bare
def test_a_batch_that_is_given_up(loopback: Loopback) -> None:
    loopback.batch_seconds = 1000.0

    async def go(lane: ClaudeBatches) -> Any:
        name = await lane.submit([("a", user("teh")), ("b", user("teh"))])
        assert not await lane.ended(name)
        with pytest.raises(CallFailed) as caught:
            await lane.results(name)
        assert caught.value.kind == "server"
        await lane.cancel(name)
        return await lane.results(name)

    assert [(item.completion, item.again) for item in with_batches(go)] == [(None, True)] * 2


BATCH = {"id": "b1", "type": "message_batch", "processing_status": "ended", "request_counts": {}}


def results_of(service: Service, *lines: Any, **reply: Any) -> None:
    raw = "".join(json.dumps(line) + "\n" for line in lines)

    def answer(request: Request) -> Reply:
        if request.path.endswith("/results"):
            return Reply(raw, headers={"content-type": "application/x-jsonl"}, **reply)
        return Reply({**BATCH, "results_url": f"{service.url}/v1/messages/batches/b1/results"})

    service.answer = answer


def line_of(key: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"custom_id": key, "result": {"type": kind, **more}}


def test_what_became_of_the_requests_of_a_batch(service: Service) -> None:
    def error(kind: str, said: str) -> dict[str, Any]:
        return {"error": error_body(kind, said)}

    results_of(
        service,
        line_of("expired", "expired"),
        line_of("busy", "errored", **error("overloaded_error", f"busy with {KEY}")),
        line_of("wrong", "errored", **error("invalid_request_error", "no such field")),
        line_of("long", "errored", **error("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum")),
        line_of("fine", "succeeded", message=message()),
        line_of("cut", "succeeded", message=message(stop="max_tokens")),
        line_of("odd", "succeeded", message={"content": 5}),
        line_of("new", "something_new"),
        line_of("none", "errored"),
    )
    found = {item.custom_id: item for item in service.batches(lambda lane: lane.results("b1"))}
    assert {key for key, item in found.items() if item.completion} == {"fine", "cut"}
    assert found["cut"].completion is not None
    assert found["cut"].completion.stop == "max_tokens"
    assert {key for key, item in found.items() if not item.again} == {"wrong"}
    assert all(item.error for item in found.values() if not item.completion)
    assert KEY not in repr(found)


@pytest.mark.parametrize(
    ("lines", "reply", "kind"),
    [
        ([line_of("a", "expired"), 5], {}, "garbled"),
        ([{"result": {"type": "expired"}}], {}, "garbled"),
        ([line_of("a", "expired")], {"missing": 10}, "connection"),
        ([{"error": "x"}], {"status": 500}, "server"),
    ],
)
def test_results_that_cannot_be_read_to_their_end_are_none(
    service: Service, lines: list[Any], reply: dict[str, Any], kind: str
) -> None:
    results_of(service, *lines, **reply)
    assert failure_of(lambda: service.batches(lambda lane: lane.results("b1"))).kind == kind


def test_the_newest_batches_are_listed_over_pages(service: Service) -> None:
    names = [f"batch-{n:03}" for n in range(250)]

    def page(request: Request) -> Reply:
        after = request.path.partition("after_id=")[2].partition("&")[0]
        start = names.index(after) + 1 if after else 0
        shown = names[start : start + 100]
        data = [{**BATCH, "id": name} for name in shown]
        return Reply({"data": data, "has_more": start + 100 < 250, "first_id": shown[0], "last_id": shown[-1]})

    service.answer = page
    assert service.batches(lambda lane: lane.recent()) == names[:200]
    assert len(service.requests) == 2
    service.answer = lambda request: Reply({"data": [], "has_more": False, "first_id": None, "last_id": None})
    assert service.batches(lambda lane: lane.recent()) == []


@pytest.mark.parametrize("answer", [Reply({}), Reply("[]"), Reply({**BATCH, "id": 5})])
def test_a_batch_without_a_name_may_be_one_all_the_same(service: Service, answer: Reply) -> None:
    service.answer = lambda request: answer
    failed = failure_of(lambda: service.batches(lambda lane: lane.submit([("a", PROMPT)])))
    assert failed.kind in MAYBE_BILLED
