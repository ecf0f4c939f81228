"""What every model does, whoever stands behind it: the local ones, and the paid ones over real sockets."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from dataflow_assets.flow.paid import open_ledger, paid_corrector, paid_embedder
from dataflow_assets.model_settings import CorrectionSettings, EmbeddingSettings, PriceSettings
from dataflow_assets.models import asking
from dataflow_assets.models.asking import Tally
from dataflow_assets.models.base import (
    Asked,
    CallFailed,
    Corrector,
    Embedder,
    LanguageModel,
    Prompt,
    Reranker,
    VectorModel,
)
from dataflow_assets.models.claude import ClaudeModel
from dataflow_assets.models.editor import SCHEMA
from dataflow_assets.models.pydantic_ai import OtherEmbedder, OtherModel
from dataflow_assets.models.typos import TyposCorrector
from dataflow_assets.models.voyage import VoyageModel, VoyageReranker
from dataflow_assets.models.wordllama import WordLlamaEmbedder
from dataflow_assets.settings import LibrarySettings
from dataflow_assets.source_settings import FilesSource
from dataflow_assets_tests.loopback import KEY, VOYAGE_KEY, Loopback, Trouble, vector_of

OTHER_KEY = "sk-other-loopback-0123456789"
ANSWER = '{"texts": [{"id": "1", "edits": [{"original": "teh", "corrected": "the"}]}]}'
PROMPT = Prompt("You mend texts.", '{"texts": [{"id": "1", "text": "teh end \ud800"}]}', SCHEMA, 500)

Given = TypeVar("Given")


def run(call: Coroutine[Any, Any, Given]) -> Given:
    return asyncio.run(call)


# ---- the services ----


@pytest.fixture(scope="module")
def running() -> Iterator[Loopback]:
    with ExitStack() as stack:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # aiohttp would have handlers written otherwise
            loopback = stack.enter_context(Loopback())
        yield loopback


class Other:
    """A service that speaks OpenAI's protocol, as far as one call needs it."""

    def __init__(self) -> None:
        self.status, self.asked = 200, 0
        other = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                other.asked += 1
                answer = (vectors_in if "input" in body and "messages" not in body else chat_in)(body)
                said = json.dumps(answer if other.status == 200 else {"error": {"message": "trouble"}}).encode()
                self.send_response(other.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def chat_in(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "c", "object": "chat.completion", "created": 1, "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ANSWER}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }  # fmt: skip


def vectors_in(body: dict[str, Any]) -> dict[str, Any]:
    data = [
        {"object": "embedding", "index": place, "embedding": vector_of(text, "other", body["dimensions"]).tolist()}
        for place, text in enumerate(body["input"])
    ]
    return {"object": "list", "model": "m", "data": data[::-1], "usage": {"prompt_tokens": 9, "total_tokens": 9}}


@pytest.fixture(scope="module")
def other() -> Iterator[Other]:
    server = Other()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def environment(running: Loopback, other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    running.calls.clear()
    running.trouble = lambda number, call: None
    other.status, other.asked = 200, 0
    said = {**running.environment, "OPENAI_API_KEY": OTHER_KEY, "OPENAI_BASE_URL": other.url, "NO_PROXY": "127.0.0.1"}
    for name, value in said.items():
        monkeypatch.setenv(name, value)


class Services:
    """What a contract needs to know of the services, whichever is behind a model."""

    def __init__(self, loopback: Loopback, other: Other) -> None:
        self.loopback, self.other = loopback, other

    def refuse(self, status: int) -> None:
        self.loopback.trouble = lambda number, call: Trouble(status=status)
        self.other.status = status

    @property
    def calls(self) -> int:
        return len(self.loopback.calls) + self.other.asked


@pytest.fixture
def services(running: Loopback, other: Other) -> Services:
    return Services(running, other)


# ---- one call to a language model, an embedding model, a reranker ----

providers = pytest.mark.skipif(not (find_spec("pydantic_ai") and find_spec("openai")), reason="an extra is needed")
LANGUAGE_MODELS: list[Any] = [
    pytest.param(lambda: ClaudeModel("claude-haiku-5-5", timeout_seconds=10), id="claude"),
    pytest.param(lambda: OtherModel("openai-chat:gpt-4o-mini", timeout_seconds=10), id="other", marks=providers),
]
VECTOR_MODELS: list[Any] = [
    pytest.param(lambda: VoyageModel("voyage-4", dimension=256, timeout_seconds=10), id="voyage"),
    pytest.param(
        lambda: OtherEmbedder("openai:text-embedding-3-small", dimension=256, timeout_seconds=10),
        id="other", marks=providers,
    ),
]  # fmt: skip
RERANKERS: list[Any] = [pytest.param(lambda: VoyageReranker("rerank-2.5", timeout_seconds=10), id="voyage")]


async def asked(model: Any, call: Callable[[Any], Coroutine[Any, Any, Given]]) -> Given:
    try:
        return await call(model)
    finally:
        await model.close()


def call_of(model: Any) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    """Give an ordinary call to a model of any kind."""
    if hasattr(model, "complete"):
        return lambda model: model.complete(PROMPT)
    if hasattr(model, "embed"):
        return lambda model: model.embed(["a text", "another \udfff"], "document")
    return lambda model: model.rerank("a text", ["a text", "another"])


@pytest.mark.parametrize("make", LANGUAGE_MODELS)
def test_a_language_model_answers_a_prompt(services: Services, make: Callable[[], LanguageModel]) -> None:
    services.loopback.trouble = lambda number, call: Trouble(say=ANSWER)
    model = make()
    completion = run(asked(model, lambda model: model.complete(PROMPT)))
    assert json.loads(completion.text) == json.loads(ANSWER)
    assert completion.stop == "end"
    assert completion.usage.sent > 0
    assert completion.usage.output_tokens > 0
    assert services.calls == 1
    assert json.loads(json.dumps(dict(model.parameters))) == dict(model.parameters)
    assert model.provider
    assert model.provider not in model.name


@pytest.mark.parametrize("make", VECTOR_MODELS)
def test_a_vector_model_gives_each_text_its_own_vector(services: Services, make: Callable[[], VectorModel]) -> None:
    services.loopback.trouble = lambda number, call: Trouble(vectors=lambda rows: rows[::-1])
    model = make()
    texts = ["one", "two", "", "three \ud800"]
    found = run(asked(model, lambda model: model.embed(texts, "document")))
    name = "other" if isinstance(model, OtherEmbedder) else model.name
    assert set(found.rows) == {0, 1, 2, 3}
    for place, text in enumerate(["one", "two", "", "three \N{REPLACEMENT CHARACTER}"]):
        row = found.rows[place]
        assert (row.shape, row.dtype) == ((model.dimension,), np.float32)
        np.testing.assert_allclose(row, vector_of(text, name, 256), rtol=1e-6)
    assert found.usage.input_tokens > 0
    assert found.usage.output_tokens == 0
    assert min(model.max_texts, model.max_tokens) > 0
    assert run(asked(model, lambda model: model.embed([], "query"))).rows == {}
    assert services.calls == 1


@pytest.mark.parametrize("make", RERANKERS)
def test_a_reranker_scores_each_document(services: Services, make: Callable[[], Reranker]) -> None:
    found = run(asked(make(), lambda model: model.rerank("a b c", ["x y", "a b c", "a x"])))
    assert sorted(found.scores, key=lambda place: -found.scores[place]) == [1, 2, 0]
    assert found.usage.sent > 0
    assert run(asked(make(), lambda model: model.rerank("a", []))).scores == {}
    assert services.calls == 1


@pytest.mark.parametrize("make", [*LANGUAGE_MODELS, *VECTOR_MODELS, *RERANKERS])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid"), (401, "credential"), (402, "payment"), (403, "credential"), (404, "invalid"), (408, "server"),
        (409, "server"), (413, "too_large"), (429, "throttled"), (500, "server"), (503, "overloaded"), (529, "overloaded"),
    ],
)  # fmt: skip
def test_a_refused_call_is_made_once_and_says_what_may_be_done(
    services: Services, make: Callable[[], Any], status: int, kind: str
) -> None:
    services.refuse(status)
    model = make()
    with pytest.raises(CallFailed) as caught:
        run(asked(model, call_of(model)))
    assert (caught.value.kind, caught.value.status) == (kind, status)
    assert services.calls == 1
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    for key in (KEY, VOYAGE_KEY, OTHER_KEY):
        for shown in (str(caught.value), repr(caught.value), repr(model), str(vars(model))):
            assert key not in shown


@pytest.mark.parametrize("make", [*LANGUAGE_MODELS, *VECTOR_MODELS, *RERANKERS])
def test_a_model_serves_several_loops_and_many_calls_at_once(services: Services, make: Callable[[], Any]) -> None:
    model = make()
    call = call_of(model)

    async def many() -> int:
        found = await asyncio.gather(*(call(model) for _ in range(8)))
        await model.close()
        await model.close()
        return len(found)

    assert run(many()) + run(many()) == 16
    assert services.calls == 16


@pytest.mark.parametrize("make", [*LANGUAGE_MODELS, *VECTOR_MODELS, *RERANKERS])
def test_without_a_key_nobody_is_asked(
    services: Services, make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "VOYAGE_API_KEY",
        "VOYAGE_API_KEY_PATH",
        "OPENAI_API_KEY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL")
    model = make()
    with pytest.raises(CallFailed) as caught:
        run(asked(model, call_of(model)))
    assert caught.value.kind == "credential"
    assert "_API_KEY" in str(caught.value)
    assert services.calls == 0


def test_no_sdk_is_imported_before_anybody_is_asked() -> None:
    code = (
        "import sys\n"
        "from dataflow_assets.models.claude import ClaudeModel, credential_problem\n"
        "from dataflow_assets.models.voyage import VoyageModel, VoyageReranker\n"
        "from dataflow_assets.models import editor, vectors, asking\n"
        "credential_problem(); ClaudeModel('claude-haiku-5-5', timeout_seconds=1).parameters\n"
        "VoyageModel('voyage-4', dimension=256, timeout_seconds=1).max_tokens\n"
        "print([m for m in ('anthropic', 'voyageai', 'aiohttp', 'httpx2', 'numpy', 'genai_prices') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- what stages see ----


def library(**settings: Any) -> LibrarySettings:
    prices = {"claude-haiku-5-5": PriceSettings(input=1, output=5), "voyage-4": PriceSettings(input=0.1)}
    return LibrarySettings(source=FilesSource(path="docs"), prices=prices, **settings)


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture(params=["typos", "language model"])
def corrector(request: pytest.FixtureRequest, tmp_path: Path, tally: Tally) -> Iterator[Corrector]:
    if request.param == "typos":
        yield TyposCorrector()
    else:
        settings = library(corrections=CorrectionSettings(model="claude-haiku-5-5"))
        yield paid_corrector(tmp_path, "lib", settings, run_id="r", tally=tally)
        open_ledger(tmp_path).close()


@pytest.fixture(params=["wordllama", "voyage"])
def embedder(request: pytest.FixtureRequest, tmp_path: Path, tally: Tally) -> Iterator[Embedder]:
    if request.param == "wordllama":
        yield WordLlamaEmbedder()
    else:
        settings = library(embeddings=EmbeddingSettings(model="voyage-4", dimension=256))
        yield paid_embedder(tmp_path, "lib", settings, run_id="r", tally=tally)
        open_ledger(tmp_path).close()


def some(count: int) -> list[Asked]:
    names = [f"{chr(97 + n // 26 % 26)}{chr(97 + n % 26)}" for n in range(count)]
    return [
        Asked(f"key {n}", f"In the {name} row we recieve the letters, and that is all.") for n, name in enumerate(names)
    ]


def proposed(corrector: Corrector, texts: Sequence[Asked]) -> dict[str, str | None]:
    """Give the proposed text by key; None where nothing is to be changed."""
    found: dict[str, str | None] = {}
    originals = {asked.key: asked.text for asked in texts}
    for proposal in corrector.propose(iter(texts), lambda text, edits: None):
        assert proposal.status == "answered"
        assert proposal.reason is None
        assert proposal.key not in found
        new = proposal.text
        if new is None:
            assert "".join(part for part, _ in proposal.parts) == originals[proposal.key]
            new = "".join(applied(part, edits) for part, edits in proposal.parts)
        found[proposal.key] = None if new == originals[proposal.key] else new
    return found


def applied(part: str, edits: Sequence[tuple[str, str]]) -> str:
    for old, new in edits:
        part = part.replace(old, new, 1)
    return part


def test_a_corrector_gives_one_proposal_for_each_text(corrector: Corrector) -> None:
    odd = ["", "\x00", "\ud800 and so on", "Nothing is wrong here, I think.", "a" * 50_000, "Größe 漢字 👩‍👩‍👧"]
    texts = [*some(40), *(Asked(f"odd {n}", text) for n, text in enumerate(odd)), Asked("same", some(1)[0].text)]
    found = proposed(corrector, texts)
    assert set(found) == {asked.key for asked in texts}
    for asked in texts:
        assert found[asked.key] == (asked.text.replace("recieve", "receive") if "recieve" in asked.text else None)
    assert corrector.name.strip() == corrector.name != ""


def test_a_corrector_asked_nothing_proposes_nothing(corrector: Corrector, services: Services) -> None:
    assert list(corrector.propose([])) == []
    assert services.calls == 0


def test_a_corrector_reads_no_further_ahead_than_it_can_work(corrector: Corrector) -> None:
    read = 0

    def texts() -> Iterator[Asked]:
        nonlocal read
        for asked in some(600) * 20:
            read += 1
            yield Asked(f"{asked.key} {read}", asked.text)

    proposals = corrector.propose(texts())
    for _ in range(10):
        next(proposals)
    proposals.close()  # type: ignore[attr-defined]
    assert read <= 10 + max(500, asking.WINDOW_CALLS * 60) + asking.READ_AT_ONCE


def test_a_corrector_that_is_left_can_be_asked_again(corrector: Corrector) -> None:
    proposals = corrector.propose(iter(some(30)))
    next(proposals)
    proposals.close()  # type: ignore[attr-defined]
    assert len(proposed(corrector, some(30))) == 30


def test_a_source_that_breaks_off_is_heard_of(corrector: Corrector, embedder: Embedder) -> None:
    def broken() -> Iterator[Asked]:
        yield from some(5)
        raise OSError("the spool is gone")

    with pytest.raises(OSError, match="the spool is gone"):
        list(corrector.propose(broken()))
    with pytest.raises(OSError, match="the spool is gone"):
        list(embedder.vectors(broken()))


def test_an_embedder_gives_one_vector_for_each_text(embedder: Embedder, services: Services) -> None:
    texts = [
        *some(40),
        Asked("odd", "漢字 \ud800 \x00 👩‍👩‍👧"),
        Asked("long", "word " * 5_000),
        Asked("same", some(1)[0].text),
    ]
    found = list(embedder.vectors(iter(texts)))
    assert sorted(one.key for one in found) == sorted(asked.key for asked in texts)
    by_key = {one.key: one.vector for one in found}
    for vector in by_key.values():
        assert vector is not None
        assert (vector.shape, vector.dtype) == ((embedder.dimension,), np.float32)
        assert np.isfinite(vector).all()
    np.testing.assert_array_equal(by_key["same"], by_key["key 0"])
    together = embedder.embed([asked.text for asked in texts])
    assert (together.shape, together.dtype) == ((len(texts), embedder.dimension), np.float32)
    for asked, row in zip(texts, together, strict=True):
        np.testing.assert_allclose(row, by_key[asked.key], atol=1e-6)
    assert embedder.embed([]).shape == (0, embedder.dimension)
    assert len({vector.tobytes() for vector in by_key.values() if vector is not None}) == len(texts) - 1


def test_a_vector_depends_on_its_own_text_alone(embedder: Embedder) -> None:
    texts = [asked.text for asked in some(20)]
    np.testing.assert_allclose(embedder.embed(texts[::-1])[::-1], embedder.embed(texts), atol=1e-6)


def test_an_embedder_reads_no_further_ahead_than_it_can_work(embedder: Embedder, services: Services) -> None:
    read = 0

    def texts() -> Iterator[Asked]:
        nonlocal read
        for asked in some(500) * 200:
            read += 1
            yield Asked(f"{asked.key} {read}", asked.text)

    services.loopback.latency = 0.0
    vectors = embedder.vectors(texts())
    for _ in range(10):
        next(vectors)
    vectors.close()  # type: ignore[attr-defined]
    assert read < 80_000


def test_what_was_paid_for_is_reported(tmp_path: Path, services: Services) -> None:
    settings = library(
        corrections=CorrectionSettings(model="claude-haiku-5-5"),
        embeddings=EmbeddingSettings(model="voyage-4", dimension=256),
    )
    texts = [*some(20), Asked("same", some(1)[0].text)]
    tallies = []
    for _ in range(2):
        corrected, embedded = Tally(), Tally()
        corrector = paid_corrector(tmp_path, "lib", settings, run_id="r", tally=corrected)
        assert len(list(corrector.propose(iter(texts)))) == 21
        embedder = paid_embedder(tmp_path, "lib", settings, run_id="r", tally=embedded)
        assert len(list(embedder.vectors(iter(texts)))) == 21
        tallies.append((corrected, embedded))
    open_ledger(tmp_path).close()
    (corrected, embedded), again = tallies
    assert (corrected.calls, embedded.calls) == (len(services.loopback.made("messages")), 1)
    assert (corrected.texts, corrected.asked, embedded.texts, embedded.asked) == (21, 20, 21, 20)
    assert corrected.output_tokens > 0
    assert corrected.cost_usd == pytest.approx((corrected.input_tokens + 5 * corrected.output_tokens) / 1e6)
    assert embedded.cost_usd == pytest.approx(embedded.input_tokens * 0.1 / 1e6)
    for first, second in zip((corrected, embedded), again, strict=True):
        assert (second.calls, second.asked, second.cost_usd) == (0, 0, 0.0)
        assert second.from_store == 21
        assert second.saved_usd == pytest.approx(first.cost_usd, rel=0.2)
    assert set(services.loopback.billed().values()) == {1}
