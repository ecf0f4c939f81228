"""Voyage's embeddings and rerankers, through its own client.

What belongs here: one call to the service, and what answers and errors mean. What does not: what is asked (`models.vectors`),
whether vectors are any good, and retries, limits and memory (`models.asking`).

Of the client its lowest layer is used, since the one above drops each vector's `index`, makes Python floats of all numbers,
and ignores `retry-after`. Answers are read in `_Session`, below the client: it would fail with an `AttributeError` on a status
that it does not know, and print bodies that were cut.
"""

from __future__ import annotations

import asyncio
import binascii
import json
import logging
import os
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dataflow_assets.known_models import TOKENS_PER_BYTE, VOYAGE_MODELS, VOYAGE_TEXTS
from dataflow_assets.models.base import CallFailed, Failure, Kind, Ranking, Usage, Vectors
from dataflow_assets.models.secrets import fault_of, key_from, read_key_file, shown
from dataflow_assets.models.service import PerLoop, count, encodable, kind_of_status, retry_after

if TYPE_CHECKING:
    import aiohttp
    import numpy as np
    from numpy.typing import NDArray

KEY = "VOYAGE_API_KEY"
KEY_PATH = "VOYAGE_API_KEY_PATH"
BASE_URL = "VOYAGE_BASE_URL"

_TOO_LARGE = re.compile(
    r"\btokens\b|context (?:length|window)|batch size|too (?:long|large|many)|payload|\bexceed", re.IGNORECASE
)


def credential_problem() -> str | None:
    """Say which variable to set where there is no key for Voyage; None where there is one."""
    path = os.environ.get(KEY_PATH, "").strip()
    key = read_key_file(path) if path else key_from((KEY,))
    if key is None and path:
        return f"There is no key for Voyage in the file that the environment variable {KEY_PATH} names ({path})."
    if key is None:
        return f"There is no key for Voyage: set the environment variable {KEY}."
    fault = fault_of(key)
    return f"The key for Voyage from the environment variable {KEY_PATH if path else KEY} {fault}." if fault else None


def _key_place() -> str:
    """Name where the key in use lies."""
    return f"the file that {KEY_PATH} names" if os.environ.get(KEY_PATH, "").strip() else KEY


class VoyageModel:
    """One embedding model of Voyage's.

    Args:
        name: Its id, such as `voyage-code-3`.
        dimension: How long vectors are asked for.
        timeout_seconds: How long an answer may take.
    """

    def __init__(self, name: str, *, dimension: int, timeout_seconds: float) -> None:
        self._name = name
        self._dimension = dimension
        self._service = _Service(timeout_seconds)

    @property
    def provider(self) -> str:
        """Voyage's."""
        return "voyage"

    @property
    def name(self) -> str:
        """The model's id."""
        return self._name

    @property
    def dimension(self) -> int:
        """Length of the vectors asked for."""
        return self._dimension

    @property
    def max_texts(self) -> int:
        """Texts that one call takes."""
        return VOYAGE_TEXTS

    @property
    def max_tokens(self) -> int:
        """Tokens that one call takes."""
        limits = VOYAGE_MODELS.get(self._name)
        return limits.call_tokens if limits else min(known.call_tokens for known in VOYAGE_MODELS.values())

    async def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Ask once. The vectors are not judged; rows whose place cannot be told, or that cannot be read, are missing.

        Raises:
            CallFailed: There is no answer.
        """
        if not texts:
            return Vectors({}, Usage())
        asked = [encodable(text) for text in texts]
        limits = VOYAGE_MODELS.get(self._name)

        def call(voyageai: Any, access: Mapping[str, Any]) -> Coroutine[Any, Any, Any]:
            answer: Coroutine[Any, Any, Any] = voyageai.Embedding.acreate(
                model=self._name,
                input=asked,
                input_type=kind,
                truncation=False,
                # A model that gives one length only is not asked for it.
                output_dimension=None if limits and len(limits.dimensions) == 1 else self._dimension,
                encoding_format="base64",  # said by us, the client hands it back as it came
                **access,
            )
            return answer

        answer = await self._service.ask(call)
        rows = {}
        for position, item in _placed(answer, len(texts)).items():
            vector = _decoded(item.get("embedding"))
            if vector is not None:
                rows[position] = vector
        return Vectors(rows, _usage(answer, asked))

    async def close(self) -> None:
        """Close connections; another call opens new ones."""
        await self._service.close()


class VoyageReranker:
    """One reranker of Voyage's.

    Args:
        name: Its id, such as `rerank-2.5`.
        timeout_seconds: How long an answer may take.
    """

    def __init__(self, name: str, *, timeout_seconds: float) -> None:
        self._name = name
        self._service = _Service(timeout_seconds)

    @property
    def provider(self) -> str:
        """Voyage's."""
        return "voyage"

    @property
    def name(self) -> str:
        """The model's id."""
        return self._name

    async def rerank(self, query: str, documents: Sequence[str]) -> Ranking:
        """Ask once. Documents that the answer says nothing clear about are missing.

        Raises:
            CallFailed: There is no answer.
        """
        if not documents:
            return Ranking({}, Usage())
        asked, among = encodable(query), [encodable(document) for document in documents]

        def call(voyageai: Any, access: Mapping[str, Any]) -> Coroutine[Any, Any, Any]:
            answer: Coroutine[Any, Any, Any] = voyageai.Reranking.acreate(
                model=self._name, query=asked, documents=among, top_k=None, truncation=True, **access
            )
            return answer

        answer = await self._service.ask(call)
        scores = {}
        for position, item in _placed(answer, len(documents)).items():
            score = item.get("relevance_score")
            if isinstance(score, (int, float)) and not isinstance(score, bool):
                scores[position] = float(score)
        return Ranking(scores, _usage(answer, [asked] * len(among) + among))

    async def close(self) -> None:
        """Close connections; another call opens new ones."""
        await self._service.close()


class _Service:
    """Makes one call at a time out of the client's parts, over connections that are kept."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._sessions: PerLoop[_Session] = PerLoop(_Session, lambda session: session.close())

    async def ask(self, call: Callable[[Any, Mapping[str, Any]], Coroutine[Any, Any, Any]]) -> Any:
        """Make a call.

        Raises:
            CallFailed: Instead of whatever the client raises. Nothing is chained to it.
        """
        failure: CallFailed
        try:
            access = {
                "api_key": _key(),
                "base_url": os.environ.get(BASE_URL, "").strip().rstrip("/") or None,
                "request_timeout": self._timeout,
            }
            voyageai = _client()
            # The client looks for a session in this variable. It is the task's own, so it is set at every call.
            before = voyageai.aiosession.set(self._sessions.get())
            try:
                async with asyncio.timeout(self._timeout):
                    answer = await call(voyageai, access)
            finally:
                voyageai.aiosession.reset(before)
        except CallFailed as error:
            failure = error
        except Exception as error:
            failure = _failure(error, self._timeout)
        else:
            if isinstance(answer, dict) and isinstance(answer.get("data"), list):
                return answer
            failure = CallFailed("garbled", "the answer has no data")
        raise failure

    async def close(self) -> None:
        await self._sessions.close()


class _Session:
    """What the client sends its requests through: a session of aiohttp's that reads answers to their end, and judges them."""

    def __init__(self) -> None:
        import aiohttp

        # How many calls are made at once is not decided here.
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def request(self, **request: Any) -> aiohttp.ClientResponse:
        """Send a request; give an answer that was read, and is one."""
        response = await self._session.request(**request)
        try:
            body = await response.read()
        except BaseException:
            response.close()
            raise
        if response.status != 200:
            raise _refusal(response.status, response.headers, body)
        return response

    async def close(self) -> None:
        await self._session.close()


def _client() -> Any:
    import voyageai
    from voyageai import util

    util.VOYAGE_LOG = None  # what it writes down is what was sent
    logger = logging.getLogger("voyage")
    logger.setLevel(max(logger.level, logging.WARNING))
    return voyageai


def _key() -> str:
    problem = credential_problem()
    if problem is not None:
        raise CallFailed("credential", problem.rstrip("."))
    path = os.environ.get(KEY_PATH, "").strip()
    return (read_key_file(path) if path else key_from((KEY,))) or ""


def _placed(answer: Mapping[str, Any], texts: int) -> dict[int, Mapping[str, Any]]:
    """Give items by the position that they name; a position that none names, or more than one, is left out."""
    placed: dict[int, Mapping[str, Any]] = {}
    twice = set()
    for item in answer["data"]:
        position = item.get("index") if isinstance(item, dict) else None
        if isinstance(position, int) and not isinstance(position, bool) and 0 <= position < texts:
            if position in placed:
                twice.add(position)
            placed[position] = item
    return {position: item for position, item in placed.items() if position not in twice}


def _decoded(said: object) -> NDArray[np.float32] | None:
    """Read a vector: little-endian float32 in base64, or plain numbers."""
    import numpy as np

    if isinstance(said, str):
        try:
            raw = binascii.a2b_base64(said, strict_mode=True)
        except ValueError:
            return None
        return np.frombuffer(raw, dtype="<f4").astype(np.float32, copy=False) if len(raw) % 4 == 0 else None
    if isinstance(said, list):
        try:
            numbers = np.array(said)
        except ValueError:
            return None
        if numbers.ndim == 1 and numbers.dtype.kind in "fiu":
            with np.errstate(over="ignore"):
                return numbers.astype(np.float32)
    return None


def _usage(answer: Mapping[str, Any], sent: Sequence[str]) -> Usage:
    """Read what is billed; an answer that does not say is taken to bill what the texts are taken to be."""
    usage = answer.get("usage")
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    if not isinstance(total, int):
        total = round(sum(len(text.encode()) for text in sent) * TOKENS_PER_BYTE)
    return Usage(input_tokens=count(total))


def _refusal(status: int, headers: Mapping[str, str], body: bytes) -> CallFailed:
    """Say what an answer with another status than 200 means."""
    text = body.decode("utf-8", "replace").strip()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    detail = (
        next((found[name] for name in ("detail", "message", "error") if found.get(name)), text)
        if isinstance(found, dict)
        else text
    )
    said = "a web page, no answer of the service" if text.startswith("<") else shown(str(detail))
    kind: Failure = kind_of_status(status)
    if status in (400, 422) and _TOO_LARGE.search(said):
        kind = "too_large"
    return CallFailed(
        kind,
        f"HTTP status {status}: {said}" if said else f"HTTP status {status}",
        retry_after=retry_after(headers),
        status=status,
        key_place=_key_place() if kind == "credential" else None,
    )


def _failure(error: Exception, seconds: float) -> CallFailed:
    """Say what an exception of the client means."""
    import aiohttp
    from voyageai import error as voyage

    cause = error.__cause__ if isinstance(error, voyage.APIConnectionError) and error.__cause__ else error
    if isinstance(cause, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return CallFailed("invalid", f"{shown(str(cause))} is no address of a service (is {BASE_URL} right?)")
    if isinstance(error, voyage.Timeout) or isinstance(cause, TimeoutError):
        return CallFailed("timeout", f"no answer in {seconds:g} seconds")
    if isinstance(error, voyage.APIConnectionError) or isinstance(cause, aiohttp.ClientError | OSError):
        return CallFailed("connection", f"the connection failed ({shown(str(cause)) or type(cause).__name__})")
    status = getattr(error, "http_status", None)
    return CallFailed("garbled", f"the answer cannot be read ({type(error).__name__})", status=status)
