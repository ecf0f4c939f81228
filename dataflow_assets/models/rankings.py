"""Relevance from a paid reranking model: what is asked, and what of an answer is a score.

What belongs here: packing the texts of one question into calls, and the judgement on each score by itself. What does not:
everything about making calls (`models.asking`).

A model judges each text by itself, so what is remembered is one score for one question and one text.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence

from dataflow_assets.models.base import Reranker, Usage
from dataflow_assets.models.language_question import sendable
from dataflow_assets.models.ledger import Learned, key_of
from dataflow_assets.models.question import Estimate, Fault, Reply
from dataflow_assets.models.ratio import Ratio

READING_VERSION = "1"
"""Part of what was asked: raised when the same answer would be stored differently."""
CALL_TEXTS = 1000
CALL_TOKENS = 600_000
"""Voyage's limits of one call; its tokens are those of the texts and, for each of them, those of the question."""
FILLED = 0.9
"""So much of the tokens that a call takes is filled: the count is an estimate."""
SCORE = struct.Struct("<d")


class RankingQuestion:
    """How well do these texts answer a question?

    Args:
        model: Who is asked.
        query: The question.
        learned: What the model's bills told so far.
        price: What usage costs.
    """

    stage = "search"

    def __init__(
        self, model: Reranker, query: str, *, learned: Learned, price: Callable[[Usage], float | None]
    ) -> None:
        self.price = price
        self.ratio = Ratio(learned)
        self._model = model
        self._query = sendable(query)
        self._query_bytes = len(self._query.encode())
        self._asked = key_of(model.provider, model.name, READING_VERSION, "rerank", query)

    @property
    def provider(self) -> str:
        """Whose model it is."""
        return self._model.provider

    @property
    def model(self) -> str:
        """The model's id at its provider."""
        return self._model.name

    @property
    def call_texts(self) -> int:
        """Texts of a large call."""
        return CALL_TEXTS

    def key(self, text: str, *, again: bool = False) -> str:
        """Hash exactly what is asked about a text. Asked alone it has the same score: there is no other question."""
        return key_of(self._asked, "", text)

    def fits(self, texts: int, size: int, more: int) -> bool:
        """Say whether a call with so many texts of so many bytes takes another one."""
        sent = size + more + (texts + 1) * self._query_bytes
        return texts < CALL_TEXTS and sent * self.ratio.tokens_per_byte <= FILLED * CALL_TOKENS

    def estimate(self, texts: Sequence[str]) -> Estimate:
        """Say what a call will take."""
        size = sum(len(text.encode("utf-8", "replace")) for text in texts) + len(texts) * self._query_bytes
        return Estimate(size, size * self.ratio.tokens_per_byte, 0.0)

    async def ask(self, texts: Sequence[str], *, alone: bool) -> Reply:
        """Make one call."""
        ranking = await self._model.rerank(self._query, [sendable(text) for text in texts])
        self.ratio.learn(self.estimate(texts).sent_bytes, texts, ranking.usage)
        answers: dict[int, bytes] = {}
        faults: dict[int, Fault] = {}
        for place in range(len(texts)):
            score = ranking.scores.get(place)
            if score is not None and math.isfinite(score):
                answers[place] = SCORE.pack(score)
            else:
                faults[place] = Fault("the service gave no score for this text", passing=True)
        return Reply(answers, faults, ranking.usage, ranking.allowance)

    async def close(self) -> None:
        """Close connections."""
        await self._model.close()


def score_of(payload: bytes) -> float:
    """Read a score that was stored."""
    score: float = SCORE.unpack(payload)[0]
    return score
