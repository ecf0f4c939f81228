"""What a call to a model costs: published prices, those that a catalog states, and where neither is there, nothing.

What belongs here: turning the tokens of one call into dollars. What does not: what the tokens were (each model's own
adapter), and what is done with the sum (`models.ledger`).

The published prices come with the package `genai_prices` and need no network. A price may depend on the size of the call:
above 100,000 tokens all of a prompt costs Claude Haiku 5.5 five times as much. So a price is asked for call by call, never
for a sum of calls. What nobody knows is None, and never 0: who has set a budget must be told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from dataflow_assets.model_settings import PriceSettings
from dataflow_assets.models.base import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

_NAMES_THERE = {"voyage": "voyageai"}
"""Providers that `genai_prices` calls otherwise."""

_MISSING_THERE: Mapping[tuple[str, str], PriceSettings] = {
    # docs.voyageai.com/docs/pricing, as of 2026-11: the tokens of the query count once for each document.
    ("voyage", "rerank-2.5"): PriceSettings(input=0.05, batch=1.0),
    ("voyage", "rerank-2.5-lite"): PriceSettings(input=0.02, batch=1.0),
}
"""Models that `genai_prices` 0.2.3 does not list."""

_DATE = re.compile(r"-\d{8}$")


def cost_usd(
    provider: str, model: str, usage: Usage, *, batch: bool = False, overrides: Mapping[str, PriceSettings] = {}
) -> float | None:
    """Say what one call costs.

    Args:
        provider: Whose model it is: anthropic, voyage, openai ...
        model: The model's id, with a date or without, with `provider:` before it or without.
        usage: The tokens of this one call. What was written to the prompt cache counts as kept for five minutes.
        batch: Whether it went through the cheap lane. Where no price is published for that, the full one counts.
        overrides: Prices by model that hold instead of the published ones; the most exactly named one counts.

    Returns:
        US dollars, or None where the price is not known.
    """
    if (own := _stated(provider, model, overrides)) is not None:
        return _by_settings(own, usage, batch)
    listed = _listed(provider, _bare(provider, model))
    if listed is None:
        return None
    from genai_prices import Usage as Tokens

    # There, the tokens sent include those of the prompt cache.
    cache_tokens = {
        "cache_read_tokens": max(0, usage.cached_tokens),
        "cache_write_tokens": max(0, usage.cache_write_tokens),
    }
    sent = max(0, usage.input_tokens) + sum(cache_tokens.values())
    price = listed[1].calc_price(
        Tokens(input_tokens=sent, output_tokens=max(0, usage.output_tokens), **cache_tokens),
        listed[0],
        price_context={"processing": "batch"} if batch else None,
    )
    return float(price.total_price)


def price_known(provider: str, model: str, overrides: Mapping[str, PriceSettings] = {}) -> bool:
    """Tell whether `cost_usd` has a price for a model.

    Args:
        provider: Whose model it is.
        model: The model's id.
        overrides: Prices by model that hold instead of the published ones.
    """
    return _stated(provider, model, overrides) is not None or _listed(provider, _bare(provider, model)) is not None


def _bare(provider: str, model: str) -> str:
    return model.removeprefix(f"{provider}:")


def _stated(provider: str, model: str, overrides: Mapping[str, PriceSettings]) -> PriceSettings | None:
    bare = _bare(provider, model)
    undated = _DATE.sub("", bare)
    for name in (f"{provider}:{bare}", bare, f"{provider}:{undated}", undated):
        if name in overrides:
            return overrides[name]
    return _MISSING_THERE.get((provider, bare))


def _by_settings(price: PriceSettings, usage: Usage, batch: bool) -> float:
    cache_read = price.input / 10 if price.cache_read is None else price.cache_read
    cache_write = price.input * 1.25 if price.cache_write is None else price.cache_write
    millionths = (
        max(0, usage.input_tokens) * price.input
        + max(0, usage.cached_tokens) * cache_read
        + max(0, usage.cache_write_tokens) * cache_write
        + max(0, usage.output_tokens) * price.output
    )
    return millionths / 1_000_000 * (price.batch if batch else 1.0)


@cache
def _listed(provider: str, model: str) -> tuple[Provider, ModelInfo] | None:
    """Find a model among the published prices.

    Only the model is kept, not its price: one may begin on a certain day.
    """
    import genai_prices

    try:
        found = genai_prices.calc_price(
            genai_prices.Usage(input_tokens=0), model, provider_id=_NAMES_THERE.get(provider, provider)
        )
    except LookupError:
        return None
    # Free previews, speech and pictures are listed without a price for what is sent.
    return (found.provider, found.model) if found.model_price.input_mtok is not None else None
