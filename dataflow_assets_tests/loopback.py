"""A small Claude and Voyage on the loopback interface: real sockets, so that tests use the real SDKs.

It corrects a few misspellings, makes a vector of each text's hash, bills by bytes, keeps limits, and does on request what
services do on bad days. It knows what it was asked: `calls`, with the texts of each, and what it billed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import re
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
from aiohttp import web

TYPOS = {"teh": "the", "recieve": "receive", "seperate": "separate", "untill": "until", "adress": "address"}
KEY = "sk-ant-loopback-secret-0123456789"
VOYAGE_KEY = "pa-loopback-secret-0123456789"


@dataclass
class Call:
    """One request."""

    endpoint: str
    texts: list[str]
    body: dict[str, Any]
    at: float
    at_once: int
    status: int = 200
    billed: bool = False


@dataclass
class Trouble:
    """What goes wrong with a call."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    """Sent in place of the answer, as it is."""
    reset: bool = False
    reset_after: bool = False
    """The work is done and billed, and then the connection breaks."""
    hang: float = 0.0
    cut: bool = False
    """Half of the body, then the end."""
    say: str | Callable[[list[tuple[str, str]]], str] | None = None
    """What the language model says, from the ids and texts."""
    stop: str = "end_turn"
    think: bool = False
    vectors: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] | None = None
    """Changes the list of vectors."""


class Loopback:
    """The server.

    Args:
        trouble: Is asked about every call: its number, from 0, and the call; None where all goes well.
        latency: Seconds until an answer.
        requests_per_minute: More are refused.
        batch_seconds: How long a batch takes.
    """

    def __init__(
        self,
        trouble: Callable[[int, Call], Trouble | None] | None = None,
        *,
        latency: float = 0.0,
        requests_per_minute: float | None = None,
        batch_seconds: float = 0.0,
        largest: int = 10**9,
    ) -> None:
        self.trouble = trouble or (lambda number, call: None)
        self.latency = latency
        self.batch_seconds = batch_seconds
        self.largest = largest
        self.calls: list[Call] = []
        self.batches: dict[str, dict[str, Any]] = {}
        self._rpm = requests_per_minute
        self._level, self._filled = requests_per_minute or 0.0, time.monotonic()
        self._active = 0
        self._started = threading.Event()

    # ---- what tests ask

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": self.url,
            "VOYAGE_API_KEY": VOYAGE_KEY,
            "VOYAGE_BASE_URL": f"{self.url}/v1",
        }

    def made(self, endpoint: str) -> list[Call]:
        return [call for call in self.calls if call.endpoint == endpoint]

    def billed(self) -> Counter[tuple[str, str]]:
        """Count how often each text was paid for, by endpoint."""
        return Counter((call.endpoint, text) for call in self.calls if call.billed for text in call.texts)

    # ---- the server

    def __enter__(self) -> Loopback:
        threading.Thread(target=lambda: asyncio.run(self._serve()), name="loopback", daemon=True).start()
        assert self._started.wait(20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=1 << 28)
        app.router.add_post("/v1/messages", partial(self._answer, "messages"))
        app.router.add_post("/v1/embeddings", partial(self._answer, "embeddings"))
        app.router.add_post("/v1/rerank", partial(self._answer, "rerank"))
        app.router.add_post("/v1/messages/batches", partial(self._answer, "batches"))
        app.router.add_get("/v1/messages/batches", self._list)
        app.router.add_get("/v1/messages/batches/{id}", self._get)
        app.router.add_post("/v1/messages/batches/{id}/cancel", self._cancel)
        app.router.add_get("/v1/messages/batches/{id}/results", self._results)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self._started.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, endpoint: str, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        call = Call(endpoint, [text for _, text in asked_in(endpoint, body)], body, time.monotonic(), self._active + 1)
        number = len(self.calls)
        self.calls.append(call)
        self._active += 1
        try:
            return await self._respond(request, call, number)
        finally:
            self._active -= 1

    async def _respond(self, request: web.Request, call: Call, number: int) -> web.StreamResponse:
        trouble = self.trouble(number, call) or Trouble()
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if key not in (KEY, VOYAGE_KEY):
            return self._error(call, 401, "invalid x-api-key")
        if trouble.hang:
            await asyncio.sleep(trouble.hang)
        if trouble.reset:
            return self._break(request, call)
        if not self._room():
            return self._error(call, 429, "too many requests", {"retry-after": "1"})
        if trouble.status != 200:
            return self._error(call, trouble.status, trouble.body or "trouble", trouble.headers)
        if sum(map(len, call.texts)) > self.largest:
            return self._error(call, 400, "The max allowed tokens per submitted batch is exceeded.")
        answer = getattr(self, f"_{call.endpoint}")(call, trouble)
        if self.latency:
            await asyncio.sleep(self.latency)
        if trouble.reset_after:
            return self._break(request, call)
        text = trouble.body if trouble.body is not None else json.dumps(answer)
        headers = {"content-type": "application/json", **trouble.headers}
        if self._rpm:
            headers["anthropic-ratelimit-requests-limit"] = str(int(self._rpm))
            headers["anthropic-ratelimit-requests-remaining"] = str(int(self._level))
        return web.Response(text=text[: len(text) // 2] if trouble.cut else text, headers=headers)

    def _room(self) -> bool:
        if self._rpm is None:
            return True
        now = time.monotonic()
        self._level = min(self._rpm, self._level + (now - self._filled) * self._rpm / 60)
        self._filled = now
        self._level -= self._level >= 1
        return self._level > 0

    def _error(self, call: Call, status: int, said: str, headers: dict[str, str] | None = None) -> web.Response:
        call.status = status
        if call.endpoint in ("embeddings", "rerank"):
            body: dict[str, Any] = {"detail": said}
        else:
            body = {"type": "error", "error": {"type": "api_error", "message": said}}
        return web.json_response(body, status=status, headers=headers)

    def _break(self, request: web.Request, call: Call) -> web.Response:
        call.status = 0
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    # ---- the models

    def _messages(self, call: Call, trouble: Trouble) -> dict[str, Any]:
        call.billed = True
        return message(call.body, trouble)

    def _embeddings(self, call: Call, trouble: Trouble) -> dict[str, Any]:
        call.billed = True
        dimension = call.body.get("output_dimension") or 1024
        rows = [
            {
                "object": "embedding",
                "index": place,
                "embedding": encoded(vector_of(text, call.body["model"], dimension)),
            }
            for place, text in enumerate(call.texts)
        ]
        if trouble.vectors is not None:
            rows = trouble.vectors(rows)
        return {
            "object": "list",
            "data": rows,
            "model": call.body["model"],
            "usage": {"total_tokens": tokens(*call.texts)},
        }

    def _rerank(self, call: Call, trouble: Trouble) -> dict[str, Any]:
        words = set(call.body["query"].split())
        scores = [(len(words & set(text.split())) / max(1, len(words)), n) for n, text in enumerate(call.texts)]
        data = [{"relevance_score": score, "index": n} for score, n in sorted(scores, reverse=True)]
        return {
            "object": "list",
            "data": data,
            "model": call.body["model"],
            "usage": {"total_tokens": tokens(*call.texts)},
        }

    def _batches(self, call: Call, trouble: Trouble) -> dict[str, Any]:
        name = f"msgbatch_{len(self.batches):04}"
        self.batches[name] = {
            "requests": call.body["requests"],
            "ends": time.monotonic() + self.batch_seconds,
            "off": False,
        }
        return self._public(name)

    def _public(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        done = batch["off"] or time.monotonic() >= batch["ends"]
        return {
            "id": name, "type": "message_batch", "processing_status": "ended" if done else "in_progress",
            "request_counts": dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0),
            "ended_at": None, "created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-02T00:00:00Z",
            "archived_at": None, "cancel_initiated_at": None,
            "results_url": f"{self.url}/v1/messages/batches/{name}/results" if done else None,
        }  # fmt: skip

    async def _list(self, request: web.Request) -> web.Response:
        names = sorted(self.batches, reverse=True)
        data = [self._public(name) for name in names]
        return web.json_response({"data": data, "has_more": False, "first_id": None, "last_id": None})

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._public(request.match_info["id"]))

    async def _cancel(self, request: web.Request) -> web.Response:
        self.batches[request.match_info["id"]]["off"] = True
        return web.json_response(self._public(request.match_info["id"]))

    async def _results(self, request: web.Request) -> web.Response:
        batch, lines = self.batches[request.match_info["id"]], []
        if "answer" in batch:  # it is worked on, and billed, once
            return web.Response(text=batch["answer"])
        for one in batch["requests"]:
            if batch["off"]:
                lines.append({"custom_id": one["custom_id"], "result": {"type": "canceled"}})
                continue
            call = Call(
                "batch_item", [t for _, t in asked_in("messages", one["params"])], one["params"], time.monotonic(), 1
            )
            trouble = self.trouble(len(self.calls), call) or Trouble()
            if trouble.status != 200:
                error = {"type": "error", "error": {"type": "api_error", "message": "trouble"}}
                lines.append({"custom_id": one["custom_id"], "result": {"type": "errored", "error": error}})
                continue
            call.billed = True
            self.calls.append(call)
            result = {"type": "succeeded", "message": message(one["params"], trouble)}
            lines.append({"custom_id": one["custom_id"], "result": result})
        batch["answer"] = "".join(json.dumps(line) + "\n" for line in reversed(lines))
        return web.Response(text=batch["answer"])


def asked_in(endpoint: str, body: dict[str, Any]) -> list[tuple[str, str]]:
    """Find the texts of a request, with their ids."""
    if endpoint == "messages":
        content = body["messages"][-1]["content"]
        if shown := pictures_in(body):
            return [("page", hashlib.sha256(picture).hexdigest()) for picture in shown]
        said = content if isinstance(content, str) else content[-1]["text"]
        return [(each["id"], each["text"]) for each in json.loads(said)["texts"]]
    if endpoint == "batches":
        return [pair for one in body["requests"] for pair in asked_in("messages", one["params"])]
    return [(str(place), text) for place, text in enumerate(body.get("input") or body.get("documents") or [])]


def pictures_in(body: dict[str, Any]) -> list[bytes]:
    """Find the pictures of a request; they count as texts, by the hashes of their bytes."""
    content = body["messages"][-1]["content"]
    blocks = [] if isinstance(content, str) else [block for block in content if block["type"] == "image"]
    assert all(block["source"]["media_type"] == "image/png" for block in blocks)
    return [base64.b64decode(block["source"]["data"], validate=True) for block in blocks]


def page_text(seen: str) -> str:
    """Say what this Claude reads on a picture, from its hash."""
    return f"# Page {seen[:8]}\n\nIt tells of {seen[8:16]}, and a person can read every word of it without effort."


def message(body: dict[str, Any], trouble: Trouble) -> dict[str, Any]:
    """Answer as Claude does."""
    asked = asked_in("messages", body)
    say = trouble.say(asked) if callable(trouble.say) else trouble.say
    text = say if say is not None else json.dumps({"texts": [{"id": i, "edits": edits_of(t)} for i, t in asked]})
    sent = json.dumps(body)
    if shown := pictures_in(body):
        if say is None:
            text = json.dumps({"text": page_text(asked[0][1]), "illegible": False})
        tokens_shown = (min(1600, math.prod(struct.unpack(">II", picture[16:24])) // 750) for picture in shown)
        sent = "x" * (3600 + round(3.6 * sum(tokens_shown)))
    content: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    if trouble.think:
        content.insert(0, {"type": "thinking", "thinking": "Hm.", "signature": "x"})
    usage = {"input_tokens": tokens(sent), "output_tokens": tokens(text)}
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": content,
        "stop_reason": trouble.stop, "stop_sequence": None, "usage": usage,
    }  # fmt: skip


def edits_of(text: str) -> list[dict[str, str]]:
    """Find the misspellings that this Claude knows, one edit for each place."""
    return [{"original": word, "corrected": TYPOS[word]} for word in re.findall(r"\w+", text) if word in TYPOS]


def vector_of(text: str, model: str, dimension: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Make the vector that this Voyage gives to a text."""
    seed = int.from_bytes(hashlib.sha256(f"{model}\0{text}".encode("utf-8", "replace")).digest()[:8])
    vector = np.random.default_rng(seed).normal(size=dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def encoded(vector: np.ndarray[Any, np.dtype[np.float32]]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def tokens(*texts: str) -> int:
    return sum(math.ceil(len(text.encode("utf-8", "replace")) / 3.6) for text in texts)
