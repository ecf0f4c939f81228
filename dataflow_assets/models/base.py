"""What is known of a model, whoever stands behind it.

Two layers. Stages see a `Corrector` and an `Embedder`: texts in, proposals and vectors out. Paid ones are made of a
`LanguageModel` or a `VectorModel`, which each do exactly one thing: one call to one service, without retries, limits or
memory. Those stand once for all of them in `models.asking`, and what was paid for in `models.ledger`.

A call that does not give an answer raises `CallFailed`, which says what kind of failure it was and what may be done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from dataflow_assets.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# ---- what stages see ----


@dataclass(frozen=True, slots=True)
class Asked:
    """A text that somebody is asked to correct."""

    key: str
    """What the caller knows it by; the answer carries it."""
    text: str
    """The text."""


Edits: TypeAlias = Sequence[tuple[str, str]]
"""What to replace in a text, and by what. An edit that is listed n times is meant for n places."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What came of asking about a text."""

    key: str
    parts: tuple[tuple[str, Edits], ...] = ()
    """The parts of the text, in order, each with the edits that it needs; nothing where there is no answer."""
    text: str | None = None
    """The whole text as it should be, from who knows no edits."""
    reason: str | None = None
    """Why there is no answer."""
    status: Literal["answered", "refused", "failed", "waits"] = "answered"
    """`failed`: asking later may help. `waits`: it was not asked, and what follows from it had better wait too."""


Objection: TypeAlias = Callable[[str, Edits], str | None]
"""Is asked about a text, or a part of one, and its edits; says why they are no corrections at all, or None."""


class Corrector(Protocol):
    """Proposes mended texts; what may be kept of a proposal is the guard's to say."""

    @property
    def name(self) -> str:
        """The model's name and version, as it stands in the tables."""

    def propose(self, texts: Iterable[Asked], objection: Objection | None = None) -> Iterator[Proposal]:
        """Give one proposal per text, in any order, reading ahead no more than it can work on.

        Args:
            texts: What to correct.
            objection: What speaks against a proposal so much that the text is worth asking about once more, alone.
        """


Kind: TypeAlias = Literal["document", "query"]
"""Whether a text is searched or searched for."""


@dataclass(frozen=True, slots=True)
class VectorOf:
    """What came of asking for a text's vector."""

    key: str
    vector: NDArray[np.float32] | None
    """Shape (dimension,)."""
    status: Literal["embedded", "refused", "failed"] = "embedded"
    reason: str | None = None
    """Why there is none."""


class Embedder(Protocol):
    """Makes vectors of texts."""

    @property
    def name(self) -> str:
        """The model's name and version, as it stands in the tables; another version is another name."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    def vectors(self, texts: Iterable[Asked], *, kind: Kind = "document") -> Iterator[VectorOf]:
        """Give one vector per text, in any order, reading ahead no more than it can work on."""

    def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> NDArray[np.float32]:
        """Embed a few texts.

        Args:
            texts: Any texts; what the model cannot embed comes back as a row of NaN, never as an exception.
            kind: Whether they are searched or searched for.

        Returns:
            Shape (len(texts), dimension), in the order of the texts.
        """


# ---- one call to a service ----


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call is billed by, in the provider's tokens."""

    input_tokens: int = 0
    """Tokens sent, those of the prompt cache not among them."""
    output_tokens: int = 0
    """Tokens answered, thinking among them."""
    cached_tokens: int = 0
    """Tokens read from the prompt cache."""
    cache_write_tokens: int = 0
    """Tokens written to the prompt cache."""

    def __add__(self, other: Usage) -> Usage:
        """Add up."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
        )

    @property
    def sent(self) -> int:
        """All tokens sent."""
        return self.input_tokens + self.cached_tokens + self.cache_write_tokens


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a service said of its limits with an answer; None where it said nothing."""

    requests_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None
    requests_left: int | None = None
    reset_seconds: float | None = None
    """After this the requests left are full again."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a language model is asked."""

    system: str
    """What holds for every text; the part that a prompt cache keeps."""
    user: str
    schema: Mapping[str, Any]
    """JSON Schema of the answer: every property required, no additional ones."""
    max_tokens: int
    """What the answer may be long, without thinking."""
    images: tuple[bytes, ...] = ()
    """Pictures, PNG, that the model sees before `user`; only Claude takes them."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a language model answered."""

    text: str
    """JSON by the schema, unless the answer was cut or refused."""
    stop: Literal["end", "max_tokens", "refusal", "context", "other"]
    usage: Usage
    allowance: Allowance = field(default_factory=Allowance)


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One request of a batch, or what became of it."""

    custom_id: str
    completion: Completion | None = None
    error: str | None = None
    again: bool = True
    """Whether asking again may help, where there is no completion."""


class BatchLane(Protocol):
    """A service's cheap lane: many requests at once, answered within a day."""

    discount: float
    """What a call costs there, as a share of its price."""
    max_requests: int
    max_bytes: int

    async def submit(self, requests: Sequence[tuple[str, Prompt]]) -> str:
        """Send requests, each under its custom id (at most 64 of a-z, A-Z, 0-9, _ and -); give the batch's id."""

    async def ended(self, batch_id: str) -> bool:
        """Say whether the results are there."""

    async def results(self, batch_id: str) -> Sequence[BatchItem]:
        """Give what became of every request, in any order."""

    async def recent(self) -> Sequence[str]:
        """List the ids of this account's batches, the newest first."""

    async def custom_ids(self, batch_id: str) -> frozenset[str]:
        """Give the custom ids of an ended batch."""

    async def cancel(self, batch_id: str) -> None:
        """Have what is not yet answered given up."""


class LanguageModel(Protocol):
    """One language model of one service."""

    @property
    def provider(self) -> str:
        """Whose service it is: anthropic, openai, google ..."""

    @property
    def name(self) -> str:
        """The model's id at its provider."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What is sent beside the prompt and decides the answer, such as thinking; part of what was asked."""

    async def complete(self, prompt: Prompt) -> Completion:
        """Ask once.

        Raises:
            CallFailed: There is no answer.
        """

    @property
    def batches(self) -> BatchLane | None:
        """The cheap lane, where there is one."""

    async def close(self) -> None:
        """Close connections; another call opens new ones."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """What a vector model answered."""

    rows: Mapping[int, NDArray[np.float32]]
    """Position of a text in the call -> its vector; positions that the service left out are missing."""
    usage: Usage
    allowance: Allowance = field(default_factory=Allowance)


class VectorModel(Protocol):
    """One embedding model of one service."""

    @property
    def provider(self) -> str:
        """Whose service it is."""

    @property
    def name(self) -> str:
        """The model's id at its provider."""

    @property
    def dimension(self) -> int:
        """Length of the vectors asked for."""

    @property
    def max_texts(self) -> int:
        """Texts that one call takes."""

    @property
    def max_tokens(self) -> int:
        """Tokens that one call takes."""

    async def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Ask once. The vectors are not judged.

        Raises:
            CallFailed: There is no answer.
        """

    async def close(self) -> None:
        """Close connections; another call opens new ones."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a reranker answered."""

    scores: Mapping[int, float]
    """Position of a document in the call -> how well it answers the query; higher is better."""
    usage: Usage
    allowance: Allowance = field(default_factory=Allowance)


class Reranker(Protocol):
    """One reranking model of one service."""

    @property
    def provider(self) -> str:
        """Whose service it is."""

    @property
    def name(self) -> str:
        """The model's id at its provider."""

    async def rerank(self, query: str, documents: Sequence[str]) -> Ranking:
        """Ask once.

        Raises:
            CallFailed: There is no answer.
        """

    async def close(self) -> None:
        """Close connections; another call opens new ones."""


Failure: TypeAlias = Literal[
    "throttled",
    "overloaded",
    "server",
    "connection",
    "timeout",
    "garbled",
    "too_large",
    "credential",
    "payment",
    "invalid",
]
"""What kept a call from an answer.

throttled    429: too many requests or tokens            overloaded   529, 503: the service has no room
server       another 5xx, 408, 409                       connection   refused, reset, cut
timeout      no answer in time                           garbled      an answer that is none: cut JSON, HTML
too_large    413, or a 400 that says so                  credential   401, 403
payment      402: the account has no credit              invalid      another 4xx: the same call will never do
"""

PASSING: frozenset[Failure] = frozenset({"throttled", "overloaded", "server", "connection", "timeout", "garbled"})
"""Kinds that asking again may mend."""

MAYBE_BILLED: frozenset[Failure] = frozenset({"connection", "timeout", "garbled"})
"""Kinds after which nobody can tell whether the service did the work, and bills it."""


class CallFailed(ModelError):
    """A call gave no answer.

    Attributes:
        kind: What kept it from one.
        retry_after: Seconds that the service asks to wait, where it does.
        status: HTTP status, where there was one.
        allowance: What the service said of its limits.
        usage: What it says it bills, where an answer came that is none.
        key_place: Where the key that was sent lies, such as ANTHROPIC_API_KEY, unless the message says so.
    """

    def __init__(
        self,
        kind: Failure,
        message: str,
        *,
        retry_after: float | None = None,
        status: int | None = None,
        allowance: Allowance | None = None,
        usage: Usage | None = None,
        key_place: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind: Failure = kind
        self.retry_after = retry_after
        self.status = status
        self.allowance = allowance or Allowance()
        self.usage = usage
        self.key_place = key_place

    def refused_key(self, provider: str) -> str:
        """Say what to do where the service does not accept the key."""
        where = f" in {self.key_place}" if self.key_place else ""
        return f"{provider} does not accept the key: {self}. Set the right one{where} and run again; what was stored stays."
