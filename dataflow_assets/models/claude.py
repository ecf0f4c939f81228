"""Claude, through Anthropic's own client.

What belongs here: one call to the Messages API and to the Message Batches API, and what the answers, headers and errors mean.
What does not: what is asked (`models.editor`), and retries, limits and memory (`models.asking`): the client's own retries are
off, since they obey any `retry-after` without a cap and are not written down.

Importing `anthropic` takes a second and 54 MB; it happens at the first call. What the client raises is turned into `CallFailed`
and not chained to it: its errors carry the request with its headers, and repeat what the service said.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from dataflow_assets.known_models import max_output_tokens, may_think, thinking_off
from dataflow_assets.models.base import (
    Allowance,
    BatchItem,
    CallFailed,
    Completion,
    Failure,
    Prompt,
    Usage,
)
from dataflow_assets.models.secrets import fault_of, key_from, shown
from dataflow_assets.models.service import (
    PerLoop,
    count,
    encodable,
    kind_of_status,
    number,
    retry_after,
    seconds_until,
)

if TYPE_CHECKING:
    import anthropic
    from anthropic import AsyncAnthropic

KEY = "ANTHROPIC_API_KEY"
TOKEN = "ANTHROPIC_AUTH_TOKEN"
BASE_URL = "ANTHROPIC_BASE_URL"
DEFAULT_BASE_URL = "https://api.anthropic.com"

THINKING_ROOM = 2000
"""Tokens more than the answer may be long, where a model thinks whatever it is told: thinking counts."""
BATCH_SECONDS = 600.0
"""No answer to a call about a batch takes longer; sending one may mean 200 MB."""
READ_SECONDS = 3600.0
"""Reading all results takes no longer."""
RECENT_BATCHES = 200
PAGE = 100

_STOPS: Mapping[str, Literal["end", "max_tokens", "refusal", "context"]] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "max_tokens": "max_tokens",
    "refusal": "refusal",
    "model_context_window_exceeded": "context",
}
_TOO_LARGE = re.compile(
    r"too (?:long|large|many tokens)|\b(?:tokens?|context|prompt|length|size)\b[^.]{0,200}\bexceed|"
    r"\bexceed[^.]{0,200}\b(?:tokens?|context|length|size)\b",
    re.IGNORECASE,
)
_UNPAID = re.compile(r"credit balance|usage limits?\b|spend limit", re.IGNORECASE)
_UNPAID_TYPES = re.compile(r"billing_error|spend_limit_reached|billing_not_authorized|not_billable")

T = TypeVar("T")


def credential_problem() -> str | None:
    """Say which variable to set where there is no key for Claude; None where there is one."""
    key = key_from((KEY, TOKEN))
    if key is None:
        return f"There is no key for Claude: set the environment variable {KEY}."
    fault = fault_of(key)
    return f"The key for Claude in the environment variable {_key_variable()} {fault}." if fault else None


def _key_variable() -> str:
    """Name the variable that the key in use is in."""
    return KEY if key_from((KEY,)) else TOKEN


class ClaudeModel:
    """One Claude model.

    Args:
        name: Its id, such as `claude-haiku-5-5`.
        timeout_seconds: How long an answer may take.
    """

    def __init__(self, name: str, *, timeout_seconds: float) -> None:
        self._name = name
        self._timeout = timeout_seconds
        self._clients: PerLoop[AsyncAnthropic] = PerLoop(self._make, lambda client: client.close())
        self._batches = ClaudeBatches(self)

    @property
    def provider(self) -> str:
        """Anthropic's."""
        return "anthropic"

    @property
    def name(self) -> str:
        """The model's id."""
        return self._name

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What keeps the model from thinking: `thinking` and `effort`, where they are sent."""
        thinking, effort = thinking_off(self._name)
        return {**({"thinking": dict(thinking)} if thinking else {}), **({"effort": effort} if effort else {})}

    @property
    def batches(self) -> ClaudeBatches:
        """The Message Batches API."""
        return self._batches

    async def complete(self, prompt: Prompt) -> Completion:
        """Ask once.

        Raises:
            CallFailed: There is no answer.
        """

        async def call(client: AsyncAnthropic) -> tuple[Any, Allowance]:
            response = await client.messages.with_raw_response.create(**self.request(prompt))
            return await response.parse(), _allowance(response.headers)

        message, allowance = await self.ask(call, self._timeout)
        return _completion(message, allowance)

    async def close(self) -> None:
        """Close connections; another call opens new ones."""
        await self._clients.close()

    def request(self, prompt: Prompt) -> dict[str, Any]:
        """Give what is sent; the same in both lanes."""
        thinking, effort = thinking_off(self._name)
        room = prompt.max_tokens + (THINKING_ROOM if may_think(self._name) else 0)
        shape = {"type": "json_schema", "schema": dict(prompt.schema)}
        system = {"type": "text", "text": encodable(prompt.system), "cache_control": {"type": "ephemeral"}}
        return {
            "model": self._name,
            "max_tokens": max(1, min(room, max_output_tokens(self._name))),
            "system": [system],
            "messages": [{"role": "user", "content": _content(prompt)}],
            "output_config": {"format": shape, **({"effort": effort} if effort else {})},
            **({"thinking": dict(thinking)} if thinking else {}),
        }

    async def ask(self, call: Callable[[AsyncAnthropic], Awaitable[T]], seconds: float) -> T:
        """Make a call with the running loop's client, within a time.

        Raises:
            CallFailed: Instead of whatever the client raises. Nothing is chained to it.
        """
        failure: CallFailed
        try:
            client = self._clients.get()
            async with asyncio.timeout(seconds):
                return await call(client)
        except CallFailed as error:
            failure = error
        except TimeoutError:
            failure = CallFailed("timeout", f"no answer in {seconds:g} seconds")
        except Exception as error:
            failure = _failure(error)
        raise failure

    def _make(self) -> AsyncAnthropic:
        problem = credential_problem()
        if problem is not None:
            raise CallFailed("credential", problem.rstrip("."))
        import anthropic

        for name in ("anthropic", "httpx2", "httpcore2"):  # at debug they write down every text that is sent
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, logging.WARNING))
        key = key_from((KEY,))
        return anthropic.AsyncAnthropic(
            api_key=key,
            auth_token=None if key else key_from((TOKEN,)),
            base_url=os.environ.get(BASE_URL, "").strip() or DEFAULT_BASE_URL,
            max_retries=0,
            timeout=self._timeout,
        )


class ClaudeBatches:
    """The cheap lane: half the price, an answer within a day, most within the hour.

    Args:
        model: Whose requests they are.
    """

    discount = 0.5
    max_requests = 10_000
    """The service takes 100,000; a batch that is lost costs its asking again."""
    max_bytes = 200_000_000
    """The service takes 256 MB."""

    def __init__(self, model: ClaudeModel) -> None:
        self._model = model

    async def submit(self, requests: Sequence[tuple[str, Prompt]]) -> str:
        """Send requests, each under its custom id; give the batch's id.

        Raises:
            CallFailed: There is no id. After `connection`, `timeout` and `garbled` there may be a batch all the same.
        """
        params: list[Any] = [{"custom_id": key, "params": self._model.request(prompt)} for key, prompt in requests]
        batch = await self._model.ask(lambda client: client.messages.batches.create(requests=params), BATCH_SECONDS)
        return _text_of(batch, "id")

    async def ended(self, batch_id: str) -> bool:
        """Say whether the results are there.

        Raises:
            CallFailed: It cannot be told.
        """
        batch = await self._model.ask(lambda client: client.messages.batches.retrieve(batch_id), BATCH_SECONDS)
        return _text_of(batch, "processing_status") == "ended"

    async def results(self, batch_id: str) -> Sequence[BatchItem]:
        """Give what became of every request, in any order.

        Raises:
            CallFailed: The results are not there yet, or cannot be read to their end.
        """
        return await self._read(batch_id, _item)

    async def custom_ids(self, batch_id: str) -> frozenset[str]:
        """Give the custom ids of an ended batch.

        Raises:
            CallFailed: The results are not there yet, or cannot be read to their end.
        """
        return frozenset(await self._read(batch_id, lambda line: _text_of(line, "custom_id")))

    async def recent(self) -> Sequence[str]:
        """List the ids of the account's newest batches, at most 200, the newest first.

        Raises:
            CallFailed: They cannot be listed.
        """

        async def call(client: AsyncAnthropic) -> list[str]:
            found: list[str] = []
            async for batch in client.messages.batches.list(limit=PAGE):
                found.append(_text_of(batch, "id"))
                if len(found) == RECENT_BATCHES:
                    break
            return found

        return await self._model.ask(call, BATCH_SECONDS)

    async def cancel(self, batch_id: str) -> None:
        """Have what is not yet answered given up.

        Raises:
            CallFailed: The service did not take it in.
        """
        await self._model.ask(lambda client: client.messages.batches.cancel(batch_id), BATCH_SECONDS)

    async def _read(self, batch_id: str, make: Callable[[Any], T]) -> list[T]:
        if not await self.ended(batch_id):
            raise CallFailed("server", f"the batch {shown(batch_id, 80)} has not ended yet")

        async def call(client: AsyncAnthropic) -> list[T]:
            lines = await client.messages.batches.results(batch_id, timeout=BATCH_SECONDS)
            try:
                return [make(line) async for line in lines]
            finally:
                await lines.close()

        return await self._model.ask(call, READ_SECONDS)


def _content(prompt: Prompt) -> str | list[dict[str, Any]]:
    """Give what is said: a text, after pictures where there are any, as the makers of the models advise."""
    said = encodable(prompt.user)
    if not prompt.images:
        return said
    sources = (
        {"type": "base64", "media_type": "image/png", "data": base64.b64encode(image).decode("ascii")}
        for image in prompt.images
    )
    return [*({"type": "image", "source": source} for source in sources), {"type": "text", "text": said}]


def _completion(message: Any, allowance: Allowance) -> Completion:
    usage = _usage(getattr(message, "usage", None))
    blocks = getattr(message, "content", None)
    if usage is None or not isinstance(blocks, list):
        raise CallFailed("garbled", "the answer is no message", allowance=allowance, usage=usage)
    texts = [getattr(block, "text", None) for block in blocks if getattr(block, "type", None) == "text"]
    stop = getattr(message, "stop_reason", None)
    return Completion(
        encodable("".join(text for text in texts if isinstance(text, str))),
        _STOPS.get(stop, "other") if isinstance(stop, str) else "other",
        usage,
        allowance,
    )


def _usage(usage: Any) -> Usage | None:
    sent, answered = getattr(usage, "input_tokens", None), getattr(usage, "output_tokens", None)
    if not isinstance(sent, int) or not isinstance(answered, int):
        return None
    read, written = getattr(usage, "cache_read_input_tokens", 0), getattr(usage, "cache_creation_input_tokens", 0)
    return Usage(count(sent), count(answered), cached_tokens=count(read), cache_write_tokens=count(written))


def _item(line: Any) -> BatchItem:
    key = _text_of(line, "custom_id")
    result = getattr(line, "result", None)
    kind = getattr(result, "type", None)
    if kind == "succeeded":
        try:
            return BatchItem(key, _completion(getattr(result, "message", None), Allowance()))
        except CallFailed as failure:
            return BatchItem(key, error=str(failure))
    if kind == "errored":
        error = getattr(getattr(result, "error", None), "error", None)
        said = shown(str(getattr(error, "message", "")))
        name = getattr(error, "type", None)
        # What is wrong with a request stays wrong, unless it is its length: asked directly, it can be halved.
        again = name not in ("invalid_request_error", "not_found_error") or _TOO_LARGE.search(said) is not None
        return BatchItem(key, error=f"{shown(str(name), 80)}: {said}", again=again)
    if kind in ("canceled", "expired"):
        return BatchItem(
            key, error=f"the batch {'was canceled' if kind == 'canceled' else 'expired'} before it was asked"
        )
    return BatchItem(key, error="the answer is no result of a batch")


def _text_of(thing: Any, name: str) -> str:
    value = getattr(thing, name, None)
    if not isinstance(value, str) or not value:
        raise CallFailed("garbled", f"the answer has no {name}")
    return value


def _allowance(headers: Mapping[str, str]) -> Allowance:
    def said(name: str) -> str | None:
        return headers.get(f"anthropic-ratelimit-{name}")

    left = number(said("requests-remaining"))
    return Allowance(
        requests_per_minute=number(said("requests-limit")),
        input_tokens_per_minute=number(said("input-tokens-limit")),
        output_tokens_per_minute=number(said("output-tokens-limit")),
        requests_left=None if left is None else int(left),
        reset_seconds=seconds_until(said("requests-reset")),
    )


def _failure(error: Exception) -> CallFailed:
    """Say what an exception of the client means."""
    import anthropic
    import httpx2

    if isinstance(error, anthropic.APIStatusError):
        said = _said(error)
        kind = _kind(error, said)
        return CallFailed(
            kind,
            f"HTTP status {error.status_code}: {said}" if said else f"HTTP status {error.status_code}",
            retry_after=retry_after(error.response.headers),
            status=error.status_code,
            allowance=_allowance(error.response.headers),
            key_place=_key_variable() if kind == "credential" else None,
        )
    cause = error.__cause__ if isinstance(error, anthropic.APIConnectionError) and error.__cause__ else error
    if isinstance(cause, (httpx2.UnsupportedProtocol, httpx2.InvalidURL, httpx2.LocalProtocolError)):
        return CallFailed("invalid", f"{shown(str(cause))} (is {BASE_URL} right?)")
    if isinstance(error, anthropic.APITimeoutError) or isinstance(cause, httpx2.TimeoutException):
        return CallFailed("timeout", f"no answer in time ({type(cause).__name__})")
    if isinstance(error, anthropic.APIConnectionError) or isinstance(cause, (httpx2.HTTPError, OSError)):
        return CallFailed("connection", f"the connection failed ({shown(str(cause)) or type(cause).__name__})")
    return CallFailed("garbled", f"the answer cannot be read ({type(error).__name__}: {shown(str(error), 120)})")


def _kind(error: anthropic.APIStatusError, said: str) -> Failure:
    status = error.status_code
    if _UNPAID_TYPES.search(f"{error.type} {error.error_code}") or (status == 400 and _UNPAID.search(said)):
        return "payment"
    if status in (400, 422) and _TOO_LARGE.search(said):
        return "too_large"
    return kind_of_status(status)


def _said(error: anthropic.APIStatusError) -> str:
    said = error.api_message if isinstance(error.api_message, str) else error.body
    if said is None or not str(said).strip():
        return ""
    return "a web page, no answer of the service" if str(said).lstrip().startswith("<") else shown(str(said))
