"""What is known of the paid models: whose they are, what they take, what must be sent along.

What belongs here: tables, with where each number comes from. What does not: prices (`models.prices`), and talking to anybody.
Importing this imports nothing else, so that the catalog can be checked without any SDK.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Provider: TypeAlias = str
"""`anthropic`, `voyage`, or what stands before the colon of a model of another provider."""

CLAUDE_MODELS = (
    "claude-fable-5-2", "claude-fable-5-1", "claude-fable-5", "claude-mythos-5-2", "claude-mythos-5-1", "claude-mythos-5",
    "claude-opus-5-5", "claude-opus-5", "claude-opus-4-8", "claude-opus-4-7", "claude-opus-4-6", "claude-opus-4-5",
    "claude-sonnet-5-5", "claude-sonnet-5", "claude-sonnet-4-6", "claude-sonnet-4-5", "claude-haiku-5-5", "claude-haiku-4-5",
)  # fmt: skip
"""The models of the SDK's list (anthropic 2.11) that are not past their end; each may carry a date, as in -20251001."""

_DATED = re.compile(r"-\d{8}$")
_OTHER = re.compile(r"[a-z][a-z0-9-]{1,40}:[A-Za-z0-9][A-Za-z0-9._:/@-]{0,120}")


@dataclass(frozen=True, slots=True)
class VectorLimits:
    """What an embedding model takes and gives."""

    dimensions: tuple[int, ...]
    """Lengths that it can give; the first is taken where none is asked for."""
    call_tokens: int
    """Tokens of one call, over all of its texts."""
    tokens_per_minute: int
    """Of the provider's base tier."""
    space: str
    """Models with the same space give vectors that can be compared."""
    text_tokens: int = 32_000


_FLEXIBLE = (1024, 256, 512, 2048)

VOYAGE_MODELS: Mapping[str, VectorLimits] = {
    # Limits per call and per minute: Voyage's pages, as of 2026-11. The product starts from 2,048 for voyage-code-3.
    "voyage-code-3": VectorLimits((2048, 256, 512, 1024), 120_000, 3_000_000, "voyage-code-3"),
    "voyage-code-4": VectorLimits(_FLEXIBLE, 120_000, 3_000_000, "voyage-code-4"),
    "voyage-4-large": VectorLimits(_FLEXIBLE, 120_000, 3_000_000, "voyage-4"),
    "voyage-4": VectorLimits(_FLEXIBLE, 320_000, 8_000_000, "voyage-4"),
    "voyage-4-lite": VectorLimits(_FLEXIBLE, 1_000_000, 16_000_000, "voyage-4"),
    "voyage-3-large": VectorLimits(_FLEXIBLE, 120_000, 3_000_000, "voyage-3-large"),
    "voyage-3.5": VectorLimits(_FLEXIBLE, 320_000, 8_000_000, "voyage-3.5"),
    "voyage-3.5-lite": VectorLimits(_FLEXIBLE, 1_000_000, 16_000_000, "voyage-3.5-lite"),
    "voyage-finance-2": VectorLimits((1024,), 120_000, 3_000_000, "voyage-finance-2"),
    "voyage-law-2": VectorLimits((1024,), 120_000, 3_000_000, "voyage-law-2", 16_000),
}
VOYAGE_TEXTS = 1000
"""Texts that one call takes."""
VOYAGE_REQUESTS_PER_MINUTE = 2000
"""Of the base tier; the service says nothing of its limits in its answers."""

RERANK_MODELS = ("rerank-2.5", "rerank-2.5-lite")

TOKENS_PER_BYTE = 1 / 3.6
"""What a text is taken to be until a model's own bills have told better; English documentation in cl100k: 1/4.3."""


def provider_of(model: str) -> Provider | None:
    """Say whose a model is; None for `none`, `local`, and what is unknown."""
    if _DATED.sub("", model) in CLAUDE_MODELS:
        return "anthropic"
    if model in VOYAGE_MODELS or model in RERANK_MODELS:
        return "voyage"
    prefix = model.partition(":")[0]
    # Those have adapters of their own, and their models are named without them.
    return prefix if _OTHER.fullmatch(model) and prefix not in ("anthropic", "voyage", "voyageai") else None


def thinking_off(model: str) -> tuple[Mapping[str, Any] | None, Literal["low"] | None]:
    """Say what keeps a Claude model from thinking, which correcting does not need and which is billed.

    Returns:
        What to send as `thinking`, and as `output_config.effort`; None where nothing is to be sent. Measured by the makers of
        pydantic-ai: Haiku 5.5 and the 5 series can be switched off, Sonnet 5.5 only between tools, Opus 5.5, Fable and Mythos
        not at all (they are told to make little effort); the 4 series does not think unless asked.
    """
    plain = _DATED.sub("", model)
    if plain == "claude-sonnet-5-5":
        return {"type": "between_tools"}, "low"
    if plain in ("claude-haiku-5-5", "claude-sonnet-5", "claude-opus-5"):
        return {"type": "disabled"}, None
    if re.match("claude-(opus-5-5|fable|mythos)", plain):
        return None, "low"
    return None, None


def may_think(model: str) -> bool:
    """Tell whether a Claude model thinks whatever it is told, so that its answer needs room for it."""
    return re.match("claude-(sonnet-5-5|opus-5-5|fable|mythos)", model) is not None


def max_output_tokens(model: str) -> int:
    """Give the longest answer of a Claude model, in tokens."""
    return 64_000 if re.match("claude-(haiku|sonnet|opus)-4-5", model) else 128_000
