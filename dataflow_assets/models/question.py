"""What is asked of a paid model, for whom, and what comes of it: the words of the loop that asks (`models.asking`).

What belongs here: the interface of a question, and the records that go in and out. What does not: anything that acts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from dataflow_assets.models.base import Allowance, Usage
from dataflow_assets.models.ledger import Budget


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a call's answer says nothing usable about one of its texts."""

    reason: str
    passing: bool = False
    """Whether asking another day may help; else the text is refused for good."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A call's answer, read."""

    answers: Mapping[int, bytes]
    """Position of a text in the call -> what is stored of the answer about it."""
    faults: Mapping[int, Fault]
    """Position -> why there is none. Every position is in one of the two."""
    usage: Usage
    allowance: Allowance = field(default_factory=Allowance)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call will take, before it is made."""

    sent_bytes: int
    sent_tokens: float
    output_tokens: float


class Question(Protocol):
    """What is asked about texts, and how the answers are read."""

    @property
    def stage(self) -> str:
        """The asset that asks."""

    @property
    def provider(self) -> str:
        """Whose model it is."""

    @property
    def model(self) -> str:
        """The model's id at its provider."""

    @property
    def call_texts(self) -> int:
        """Texts of a large call, about."""

    def key(self, text: str, *, again: bool = False) -> str:
        """Hash exactly what is asked about a text; asking again, alone, is another question."""

    def fits(self, texts: int, size: int, more: int) -> bool:
        """Say whether a call with so many texts of so many bytes takes another one of `more` bytes."""

    def estimate(self, texts: Sequence[str]) -> Estimate:
        """Say what a call will take."""

    def price(self, usage: Usage) -> float | None:
        """Say what usage costs in US dollars; None where nobody knows."""

    async def ask(self, texts: Sequence[str], *, alone: bool) -> Reply:
        """Make one call.

        Raises:
            CallFailed: There is no answer.
        """

    async def close(self) -> None:
        """Close connections."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of asking about a text."""

    status: Literal["answered", "refused", "failed", "waits"]
    payload: bytes = b""
    reason: str | None = None
    stored: bool = False
    """Whether the answer was there before."""


Check = Callable[[str, bytes], str | None]
"""Is asked about a text and what was answered; says why it should be asked again, alone, or None."""


Parked = Callable[[Sequence[str]], Mapping[str, str]]
"""Is asked about the keys of texts without an answer; gives, for those that have to wait, what they wait for."""


@dataclass(slots=True)
class Tally:
    """What a stage's asking took. Numbers are sums over the run."""

    texts: int = 0
    from_store: int = 0
    asked: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float = 0.0
    saved_usd: float = 0.0
    """What the answers from the store had cost when they were asked for."""
    asked_again: int = 0
    """Texts whose first answer was no good, asked about alone."""
    lost_usd: float = 0.0
    """What calls without an answer may have cost."""
    refused: dict[str, int] = field(default_factory=dict)
    """Texts without an answer for good, by reason."""
    retries: dict[str, int] = field(default_factory=dict)
    """Further tries, by what made them necessary."""
    stopped: str | None = None
    """Why not everything was asked."""
    left: int = 0
    """Texts that were not asked about because of that."""
    parked: int = 0
    """Texts that wait for a batch."""
    parked_for: str | None = None
    peak_concurrency: int = 0
    unpriced: bool = False
    """Whether the model's price is not known: its calls are booked at 0."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How calls are made."""

    concurrency: int
    max_concurrency: int
    retries: int
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Account:
    """For whom calls are made."""

    library: str
    run_id: str
    budget: Budget | None = None
