"""Models of other providers, through the package `pydantic-ai-slim`, which is an extra that may be missing.

What belongs here: one call to a model that is named `provider:model`, and what answers and errors mean, the same for all
providers. What does not: Claude and Voyage, which have adapters of their own that know more of them (the cheap lane, limits,
positions), and retries, limits and memory (`models.asking`).

The package takes care of how each provider wants a prompt and a schema, and turns their errors into categories of its own. Its
retries and those of the clients below it are off. For embeddings of services that speak OpenAI's protocol it is asked only for
the client, since what it makes of their answers drops each vector's `index`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeAlias, TypeVar

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.known_models import TOKENS_PER_BYTE
from dataflow_assets.models.base import CallFailed, Completion, Failure, Kind, Prompt, Usage, Vectors
from dataflow_assets.models.secrets import fault_of, key_from, shown
from dataflow_assets.models.service import PerLoop, count, encodable, kind_of_status, retry_after

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

THINKING_ROOM = 4000
"""Tokens more than the answer may be long, where a model thinks whatever it is told: thinking counts."""
RANGE = ">=2.68,<2.69"
"""The versions of pydantic-ai-slim that this was written for; it is released every week."""


@dataclass(frozen=True, slots=True)
class _Provider:
    keys: tuple[str, ...]
    """Variables of which one must be set; none where credentials may lie elsewhere."""
    package: str = "openai"
    """What its client is imported as; most speak OpenAI's protocol."""
    extra: str = "openai"
    """The extra of pydantic-ai-slim that brings the client."""
    base_url: str | None = None
    """A variable that names another service of the same protocol, which may want no key."""


_GEMINI = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
_PROVIDERS: Mapping[str, _Provider] = {
    # As pydantic-ai-slim 2.68 has them; left out are those whose own retries cannot be switched off.
    "openai": _Provider(("OPENAI_API_KEY",), base_url="OPENAI_BASE_URL"),
    "openai-chat": _Provider(("OPENAI_API_KEY",), base_url="OPENAI_BASE_URL"),
    "openai-responses": _Provider(("OPENAI_API_KEY",), base_url="OPENAI_BASE_URL"),
    "azure": _Provider(("AZURE_OPENAI_API_KEY",)),
    "google": _Provider(_GEMINI, "google.genai", "google"),
    "google-cloud": _Provider((), "google.genai", "google"),
    "groq": _Provider(("GROQ_API_KEY",), "groq", "groq"),
    "mistral": _Provider(("MISTRAL_API_KEY",), "mistralai", "mistral"),
    "alibaba": _Provider(("ALIBABA_API_KEY", "DASHSCOPE_API_KEY")),
    "cerebras": _Provider(("CEREBRAS_API_KEY",)),
    "deepseek": _Provider(("DEEPSEEK_API_KEY",)),
    "fireworks": _Provider(("FIREWORKS_API_KEY",)),
    "heroku": _Provider(("HEROKU_INFERENCE_KEY",)),
    "moonshotai": _Provider(("MOONSHOTAI_API_KEY",)),
    "nebius": _Provider(("NEBIUS_API_KEY",)),
    "ollama": _Provider(("OLLAMA_BASE_URL",)),
    "openrouter": _Provider(("OPENROUTER_API_KEY",)),
    "ovhcloud": _Provider(("OVHCLOUD_API_KEY",)),
    "sambanova": _Provider(("SAMBANOVA_API_KEY",)),
    "together": _Provider(("TOGETHER_API_KEY",)),
    "vercel": _Provider(("VERCEL_AI_GATEWAY_API_KEY", "VERCEL_OIDC_TOKEN")),
    "vllm": _Provider(("VLLM_BASE_URL",)),
    "zai": _Provider(("ZAI_API_KEY",)),
}
_OWN_ADAPTERS = {"anthropic": "claude-haiku-5-5", "voyage": "voyage-code-3", "voyageai": "voyage-code-3"}
"""Providers that are asked another way, and how a model of theirs is named."""

_CHATTY = ("openai", "httpx", "httpcore", "httpx2", "httpcore2", "google_genai", "groq", "mistralai")
"""Loggers that at debug write down every text that is sent."""

Stop: TypeAlias = Literal["end", "max_tokens", "refusal", "other"]
_STOPS: Mapping[object, Stop] = {
    "stop": "end",
    "length": "max_tokens",
    "content_filter": "refusal",
}
_CATEGORIES: Mapping[str, Failure] = {
    "ModelQuotaExceededError": "payment",
    "ModelContextWindowExceededError": "too_large",
    "ModelAuthenticationError": "credential",
    "ModelRateLimitError": "throttled",
    "ModelUnavailableError": "overloaded",
    "ModelServerError": "server",
    "ModelRequestRejectedError": "invalid",
}
"""What pydantic-ai's categories of errors mean; of two, the first counts."""

_UNPAID = re.compile(r"insufficient_quota|credit_balance|billing|spend_limit|usage_limit")
_TOO_LARGE = re.compile(
    r"context[_ ](?:length|window)|maximum (?:input|request|context|number of tokens)|too (?:long|large|many tokens)"
    r"|reduce the length|tokens? (?:count )?exceed|exceeds? the maximum|tokens per request",
    re.IGNORECASE,
)

Client = TypeVar("Client")
Answer = TypeVar("Answer")


def credential_problem(model: str) -> str | None:
    """Say which variable to set where there is no key for a model; None where nothing speaks against asking it.

    Args:
        model: `provider:model`.
    """
    name = model.partition(":")[0]
    provider = _PROVIDERS.get(name)
    if provider is None or not provider.keys:
        return None
    if key_from(provider.keys) is None:
        if provider.base_url and key_from((provider.base_url,)):
            return None
        return f"There is no key for {name}: set the environment variable {' or '.join(provider.keys)}."
    for variable in provider.keys:
        # The value as it is: what is around a key goes to the service with it.
        if (value := os.environ.get(variable)) and (fault := fault_of(value)):
            return f"What {name} needs from the environment variable {variable} {fault}."
    return None


class OtherModel:
    """One language model of another provider.

    Args:
        model: `provider:model`, such as `openai:gpt-5.2`.
        timeout_seconds: How long an answer may take.

    Raises:
        ConfigurationError: The provider is not known, or a package is missing; the message says which.
    """

    def __init__(self, model: str, *, timeout_seconds: float) -> None:
        self._model = model
        self._provider, self._name = _parsed(model)
        self._timeout = timeout_seconds
        self._service: _Service[Any] = _Service(model, self._make, _leave, timeout_seconds)

    @property
    def provider(self) -> str:
        """What stands before the colon."""
        return self._provider

    @property
    def name(self) -> str:
        """The model's id."""
        return self._name

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Thinking is off, or as little as the model can."""
        return {"thinking": False}

    @property
    def batches(self) -> None:
        """There is no cheap lane."""
        return

    async def complete(self, prompt: Prompt) -> Completion:
        """Ask once.

        Raises:
            CallFailed: There is no answer.
        """

        async def call(model: Any) -> Completion:
            from pydantic_ai.direct import model_request
            from pydantic_ai.messages import ModelRequest, UserPromptPart
            from pydantic_ai.models import ModelRequestParameters
            from pydantic_ai.output import OutputObjectDefinition

            room = THINKING_ROOM if model.profile.get("thinking_always_enabled") else 0
            manners: Any = {
                "max_tokens": max(16, prompt.max_tokens + room),  # OpenAI takes no fewer
                "thinking": False,
                "timeout": self._timeout,
                "max_retries": 0,
                "framing_announcement": "never",  # nothing is added to the prompt
            }
            if self._provider.startswith("openai"):
                manners["openai_store"] = False  # one of its protocols keeps answers unless told not to
            response = await model_request(
                model,
                [ModelRequest([UserPromptPart(encodable(prompt.user))], instructions=encodable(prompt.system))],
                model_settings=manners,
                model_request_parameters=ModelRequestParameters(
                    # What a provider cannot be held to is said in the prompt.
                    output_mode="native" if model.profile.get("supports_json_schema_output") else "prompted",
                    output_object=OutputObjectDefinition(dict(prompt.schema), name="answer", strict=True),
                ),
                instrument=False,
            )
            text = _unfenced(encodable(response.text or ""))
            stop: Stop = _STOPS.get(response.finish_reason, "other")
            if response.finish_reason is None and text:  # some services do not say; a cut answer is no JSON
                stop = "end"
            return Completion(text, stop, _usage(response.usage, prompt, text))

        return await self._service.ask(call)

    async def close(self) -> None:
        """Close connections; another call opens new ones."""
        await self._service.close()

    def _make(self) -> Any:
        from pydantic_ai.models import infer_model

        return infer_model(self._model)


class OtherEmbedder:
    """One embedding model of another provider: of OpenAI, of any service that speaks its protocol, or of Google.

    Args:
        model: `provider:model`, such as `openai:text-embedding-3-small`.
        dimension: How long vectors are asked for; a service that gives one length only is not asked.
        timeout_seconds: How long an answer may take.

    Raises:
        ConfigurationError: The provider is not known or has no embeddings here, or a package is missing.
    """

    def __init__(self, model: str, *, dimension: int, timeout_seconds: float) -> None:
        self._model = model
        self._provider, self._name = _parsed(model)
        package = _PROVIDERS[self._provider].package
        if package not in ("openai", "google.genai"):
            raise ConfigurationError(
                f"{shown(model)}: embeddings of {self._provider} are not supported; take a model of "
                f"{', '.join(name for name, known in _PROVIDERS.items() if known.package in ('openai', 'google.genai'))}."
            )
        self._google = package == "google.genai"
        self._dimension = dimension
        self._sized = not self._name.endswith("ada-002")
        self._timeout = timeout_seconds
        self._service: _Service[Any] = _Service(model, self._make, _leave, timeout_seconds)

    @property
    def provider(self) -> str:
        """What stands before the colon."""
        return self._provider

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
        """Texts that one call takes: 2,048 at OpenAI, 100 at Google."""
        return 100 if self._google else 2048

    @property
    def max_tokens(self) -> int:
        """Tokens that one call takes: 300,000 at OpenAI."""
        return 100 * 2048 if self._google else 300_000

    async def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Ask once; a service that refuses to be told a length is asked once more without one, which costs nothing.

        The vectors are not judged; rows whose place cannot be told, or that cannot be read, are missing.

        Raises:
            CallFailed: There is no answer.
        """
        if not texts:
            return Vectors({}, Usage())
        asked = [encodable(text) for text in texts]
        if self._google:
            return await self._service.ask(lambda provider: self._of_google(provider, asked, kind))
        sized = self._sized
        try:
            return await self._service.ask(lambda provider: self._of_openai(provider, asked, sized))
        except CallFailed as error:
            if not sized or error.kind != "invalid" or "dimension" not in str(error).lower():
                raise
        self._sized = False
        return await self._service.ask(lambda provider: self._of_openai(provider, asked, sized=False))

    async def close(self) -> None:
        """Close connections; another call opens new ones."""
        await self._service.close()

    async def _of_openai(self, provider: Any, texts: list[str], sized: bool) -> Vectors:
        answer = await provider.client.with_options(max_retries=0, timeout=self._timeout).embeddings.create(
            model=self._name,
            input=texts,
            encoding_format="float",
            **({"dimensions": self._dimension} if sized else {}),
        )
        items = getattr(answer, "data", None)
        if not isinstance(items, list):
            raise CallFailed("garbled", "the answer has no data")
        placed: dict[int, object] = {}
        twice = set()
        for item in items:
            position = getattr(item, "index", None)
            if isinstance(position, int) and not isinstance(position, bool) and 0 <= position < len(texts):
                if position in placed:
                    twice.add(position)
                placed[position] = getattr(item, "embedding", None)
        rows = {position: row for position, said in placed.items() if (row := _vector(said)) is not None}
        for position in twice:
            rows.pop(position, None)
        sent = count(getattr(getattr(answer, "usage", None), "prompt_tokens", None))
        return Vectors(rows, Usage(input_tokens=sent or _guessed(texts)))

    async def _of_google(self, provider: Any, texts: list[str], kind: Kind) -> Vectors:
        from pydantic_ai.embeddings import EmbeddingSettings, infer_embedding_model

        model = infer_embedding_model(self._model, provider_factory=lambda name: provider)
        answer = await model.embed(texts, input_type=kind, settings=EmbeddingSettings(dimensions=self._dimension))
        # These vectors carry no position, and one that is missing moves all that follow.
        if len(answer.embeddings) != len(texts):
            raise CallFailed("garbled", f"the answer has {len(answer.embeddings)} vectors for {len(texts)} texts")
        rows = {position: row for position, said in enumerate(answer.embeddings) if (row := _vector(said)) is not None}
        return Vectors(rows, Usage(input_tokens=count(answer.usage.input_tokens) or _guessed(texts)))

    def _make(self) -> Any:
        from pydantic_ai.providers import infer_provider

        return infer_provider(self._provider)


class _Service(Generic[Client]):
    """Makes calls over connections that are kept."""

    def __init__(
        self, model: str, make: Callable[[], Client], close: Callable[[Client], Awaitable[object]], seconds: float
    ) -> None:
        self._model, self._make_client, self._seconds = model, make, seconds
        self._clients: PerLoop[Client] = PerLoop(self._make, close)

    async def ask(self, call: Callable[[Client], Awaitable[Answer]]) -> Answer:
        """Make a call.

        Raises:
            CallFailed: Instead of whatever the packages raise. Nothing is chained to it: their errors carry requests.
        """
        failure: CallFailed
        try:
            client = self._clients.get()
            async with asyncio.timeout(self._seconds):
                return await call(client)
        except CallFailed as error:
            failure = error
        except TimeoutError:
            failure = CallFailed("timeout", f"no answer in {self._seconds:g} seconds")
        except Exception as error:
            failure = _failure(self._model, error)
        raise failure

    async def close(self) -> None:
        await self._clients.close()

    def _make(self) -> Client:
        if (problem := credential_problem(self._model)) is not None:
            raise CallFailed("credential", problem.rstrip("."))
        for name in _CHATTY:
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, logging.WARNING))
        return self._make_client()


async def _leave(client: Any) -> None:
    """Close what a model or provider of pydantic-ai opened: it does so when it is left."""
    async with client:
        pass


def _parsed(model: str) -> tuple[str, str]:
    """Take `provider:model` apart.

    Raises:
        ConfigurationError: The provider is not known, or what asks it is not installed.
    """
    name, colon, rest = model.partition(":")
    if name in _OWN_ADAPTERS and colon:
        raise ConfigurationError(
            f"{shown(model)}: models of {name} are named without their provider, for example {_OWN_ADAPTERS[name]}."
        )
    if name not in _PROVIDERS or not rest:
        close = get_close_matches(name, _PROVIDERS, n=1)
        raise ConfigurationError(
            f"{shown(model)} names no known provider and its model; allowed before the colon are "
            f"{', '.join(_PROVIDERS)}{f' (did you mean {close[0]}?)' if close else ''}."
        )
    provider = _PROVIDERS[name]
    if not _installed("pydantic_ai") or not _installed(provider.package):
        _not_installed(model, provider)
    return name, rest


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _not_installed(model: str, provider: _Provider) -> NoReturn:
    package = (
        "dataflow-assets[providers]" if provider.extra == "openai" else f"pydantic-ai-slim[{provider.extra}]{RANGE}"
    )
    raise ConfigurationError(f"{shown(model)} needs packages that are not installed: pip install '{package}'.")


def _unfenced(text: str) -> str:
    """Take JSON out of a block of code, where a model that is not held to a schema likes to put it."""
    bare = text.strip()
    if bare.startswith("```") and bare.endswith("```") and "\n" in bare:
        return bare.partition("\n")[2].removesuffix("```").strip()
    return text


def _usage(said: Any, prompt: Prompt, text: str) -> Usage:
    """Read what is billed; there, tokens sent include those of the prompt cache.

    An answer that does not say is taken to bill what its texts are taken to be: nobody bills nothing.
    """
    sent, answered = count(getattr(said, "input_tokens", 0)), count(getattr(said, "output_tokens", 0))
    read, written = count(getattr(said, "cache_read_tokens", 0)), count(getattr(said, "cache_write_tokens", 0))
    return Usage(
        max(0, sent - read - written) if sent else _guessed([prompt.system, prompt.user]),
        answered or (0 if sent else _guessed([text])),
        cached_tokens=read,
        cache_write_tokens=written,
    )


def _guessed(texts: Sequence[str]) -> int:
    return round(sum(len(text.encode(errors="replace")) for text in texts) * TOKENS_PER_BYTE)


def _vector(said: object) -> NDArray[np.float32] | None:
    import numpy as np

    if not isinstance(said, Sequence) or isinstance(said, str | bytes):
        return None
    try:
        numbers = np.array(said)
    except ValueError:
        return None
    if numbers.ndim != 1 or numbers.dtype.kind not in "fiu":
        return None
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32)


def _failure(model: str, error: Exception) -> CallFailed:
    """Say what an exception of pydantic-ai, or of a client below it, means.

    The clients are many and raise their own; by the names of the classes all are known without importing any.
    """
    names = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    provider = _PROVIDERS[model.partition(":")[0]]
    kind = next((meant for name, meant in _CATEGORIES.items() if name in names), None)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= 400:
        return _refusal(provider, error, status, kind)
    if "UserError" in names or isinstance(error, ImportError):
        return CallFailed("invalid", f"{shown(model)} cannot be asked: {shown(str(error))}")
    if names & {"UnsupportedProtocol", "InvalidURL", "LocalProtocolError"}:
        last = list(_causes(error))[-1]
        return CallFailed("invalid", f"the request cannot be sent ({shown(str(last)) or type(last).__name__})")
    if names & {"TimeoutError", "TimeoutException", "APITimeoutError", "ModelTimeoutError", "ModelRequestTimeout"}:
        return CallFailed("timeout", "no answer in time")
    if names & {"ModelConnectionError", "APIConnectionError", "TransportError", "OSError"}:
        last = list(_causes(error))[-1]
        return CallFailed("connection", f"the connection failed ({shown(str(last)) or type(last).__name__})")
    if kind is not None:
        return CallFailed(kind, shown(str(error)), retry_after=getattr(error, "retry_after", None))
    return CallFailed("garbled", f"the answer cannot be read ({type(error).__name__}: {shown(str(error), 120)})")


def _refusal(provider: _Provider, error: Exception, status: int, kind: Failure | None) -> CallFailed:
    """Say what an answer with a status of 400 or more means."""
    said = _said(getattr(error, "body", None))
    code = (
        f"{getattr(error, 'code', None) or getattr(error, 'provider_error_code', None)} {getattr(error, 'type', None)}"
    )
    kind = kind or ("payment" if _UNPAID.search(code) else kind_of_status(status))
    # A call that is larger than what a minute allows is refused as if it came too early.
    if (kind == "invalid" and _TOO_LARGE.search(said)) or (status == 429 and "request too large" in said.lower()):
        kind = "too_large"
    if kind == "credential":
        # What the services say to this repeats parts of the key.
        where = f" in {' or '.join(provider.keys)}" if provider.keys else ""
        said = f"the service does not accept the credentials{where}, or not for this model"
    after = getattr(error, "retry_after", None)
    if after is None and (response := getattr(error, "response", None)) is not None:
        after = retry_after(response.headers)
    return CallFailed(
        kind, f"HTTP status {status}: {said}" if said else f"HTTP status {status}", retry_after=after, status=status
    )


def _said(body: object) -> str:
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    for name in ("error", "message", "detail"):
        if isinstance(body, dict) and body.get(name):
            body = body[name]
    text = "" if body is None else str(body).strip()
    return "a web page, no answer of the service" if text.startswith("<") else shown(text)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Go from an error to what caused it, a few steps at most."""
    cause: BaseException | None = error
    for _ in range(8):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__
