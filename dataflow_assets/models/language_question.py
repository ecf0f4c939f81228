"""What all questions to language models have alike.

What belongs here: whose model it is, what makes two questions the same, how texts travel in a prompt. What does not: any one
question (`editor`, `examiner`, `eyes`), and everything about making calls (`models.asking`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

from dataflow_assets.models.base import LanguageModel, Usage
from dataflow_assets.models.ledger import key_of
from dataflow_assets.models.question import Estimate
from dataflow_assets.models.ratio import Ratio


def prompt_text(name: str, version: str) -> str:
    """Give the prompt of a question in a version."""
    folder = resources.files("dataflow_assets.models") / "prompts"
    return (folder / f"{name}-{version}.md").read_text(encoding="utf-8").strip()


def sendable(text: str) -> str:
    """Give what leaves the machine of a stored text: the one place for whatever has to be taken out of it before."""
    return text.encode("utf-8", "replace").decode("utf-8")


class LanguageQuestion:
    """A question to a language model.

    Args:
        model: Who is asked.
        said: All that is said beside the text: prompts, schema, limits.
        prompt: Version of the prompt.
        reading: Version of how answers are stored.
        price: What usage costs.
    """

    def __init__(
        self,
        model: LanguageModel,
        said: Sequence[Any],
        *,
        prompt: str,
        reading: str,
        price: Callable[[Usage], float | None],
    ) -> None:
        self.language_model = model
        self.price = price
        everything = json.dumps([*said, dict(model.parameters)], sort_keys=True)
        self._asked = key_of(model.provider, model.name, reading, prompt, everything)

    @property
    def provider(self) -> str:
        """Whose model it is."""
        return self.language_model.provider

    @property
    def model(self) -> str:
        """The model's id at its provider."""
        return self.language_model.name

    def key(self, text: str, *, again: bool = False) -> str:
        """Hash exactly what is asked about a text."""
        return key_of(self._asked, "again" if again else "", text)

    async def close(self) -> None:
        """Close connections."""
        await self.language_model.close()


class TextQuestion(LanguageQuestion):
    """A question about a list of texts, which is answered text by text.

    Args:
        model: Who is asked.
        system: The prompt.
        schema: The form of the answer.
        ratio: What the model's bills told so far.
        prompt: Version of the prompt.
        reading: Version of how answers are stored.
        price: What usage costs.
    """

    def __init__(
        self,
        model: LanguageModel,
        system: str,
        schema: Mapping[str, Any],
        *,
        ratio: Ratio,
        prompt: str,
        reading: str,
        price: Callable[[Usage], float | None],
    ) -> None:
        super().__init__(model, [system, schema], prompt=prompt, reading=reading, price=price)
        self.ratio = ratio
        self._system = system
        self._overhead = len(system.encode()) + len(json.dumps(schema)) + 60

    def estimate(self, texts: Sequence[str]) -> Estimate:
        """Say what a call will take."""
        return self.estimate_of(len(texts), sum(len(text.encode("utf-8", "replace")) for text in texts))

    def estimate_of(self, texts: int, size: int, mistakes: int | None = None) -> Estimate:
        """Say what a call with so many texts of so many bytes will take, and so many mistakes, where somebody counted them."""
        sent = self._overhead + int(size * 1.03) + 25 * texts  # 1.03: quotes and line breaks are escaped
        return Estimate(sent, sent * self.ratio.tokens_per_byte, self.ratio.output_tokens(texts, size, mistakes))

    @staticmethod
    def listed(texts: Sequence[str]) -> str:
        """Write texts as they are sent, with ids that count from 1."""
        said = [{"id": str(place), "text": sendable(text)} for place, text in enumerate(texts, 1)]
        return json.dumps({"texts": said}, ensure_ascii=False)
