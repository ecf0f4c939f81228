"""What a model's own bills tell of how it counts.

What belongs here: how many tokens texts have in a model's counting. What does not: prices, and what is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from dataflow_assets.known_models import TOKENS_PER_BYTE
from dataflow_assets.models.base import Usage
from dataflow_assets.models.ledger import Learned

SURE_CALLS = 3
"""From this many bills on, a model's own figures count."""


class Ratio:
    """How many tokens texts have in a model's own counting, learnt from its bills, those of this run among them."""

    def __init__(self, learned: Learned) -> None:
        self._learned = learned

    @property
    def sure(self) -> bool:
        """Whether the figures are the model's own."""
        return self._learned.calls >= SURE_CALLS

    @property
    def tokens_per_byte(self) -> float:
        """Tokens sent for each byte sent."""
        known = self._learned
        return known.sent_tokens / known.sent_bytes if known.sent_bytes else TOKENS_PER_BYTE

    def output_tokens(self, texts: int, size: int, mistakes: int | None = None) -> float:
        """Say how long the answer about so many texts of so many bytes, with so many mistakes, will be: none, for vectors."""
        return 0.0

    def learn(self, sent_bytes: int, texts: Sequence[str], usage: Usage) -> None:
        """Take in a bill."""
        known = self._learned
        if usage.sent:
            self._learned = Learned(
                known.calls + 1,
                known.sent_bytes + sent_bytes,
                known.sent_tokens + usage.sent,
                known.text_bytes + sum(len(text.encode("utf-8", "replace")) for text in texts),
                known.output_tokens + usage.output_tokens,
                known.texts + len(texts),
            )
