"""What a call is said to cost."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_assets.known_models import CLAUDE_MODELS, RERANK_MODELS, VOYAGE_MODELS
from dataflow_assets.model_settings import PriceSettings
from dataflow_assets.models.base import Usage
from dataflow_assets.models.prices import cost_usd, price_known

MILLION = 1_000_000
HAIKU = ("anthropic", "claude-haiku-4-5")


@pytest.mark.parametrize(
    ("usage", "batch", "dollars"),
    [
        (Usage(input_tokens=MILLION), False, 1.0),
        (Usage(output_tokens=MILLION), False, 5.0),
        (Usage(cached_tokens=MILLION), False, 0.1),
        (Usage(cache_write_tokens=MILLION), False, 1.25),
        (Usage(MILLION, MILLION, MILLION, MILLION), False, 7.35),
        (Usage(MILLION, MILLION, MILLION, MILLION), True, 3.675),
        (Usage(), False, 0.0),
    ],
)
def test_every_kind_of_token_has_its_price(usage: Usage, batch: bool, dollars: float) -> None:
    assert cost_usd(*HAIKU, usage, batch=batch) == pytest.approx(dollars)


def test_a_long_prompt_costs_more_in_all_of_its_tokens() -> None:
    # A prompt is as long as all that was sent, the cached part too.
    short, long = Usage(50_000, 1_000, 50_000), Usage(50_000, 1_000, 50_001)
    for batch, share in ((False, 1.0), (True, 0.5)):
        assert cost_usd("anthropic", "claude-haiku-5-5", short, batch=batch) == pytest.approx(0.006 * share)
        dear = cost_usd("anthropic", "claude-haiku-5-5", long, batch=batch)
        assert dear == pytest.approx(0.03 * share, rel=1e-4)


@pytest.mark.parametrize(
    ("provider", "model", "dollars"),
    [
        ("anthropic", "claude-haiku-4-5-20251001", 1.0),
        ("anthropic", "anthropic:claude-haiku-4-5", 1.0),
        ("voyage", "voyage-code-3", 0.18),
        ("voyage", "voyage-4-lite", 0.02),
        ("voyage", "rerank-2.5", 0.05),
        ("voyage", "rerank-2.5-lite", 0.02),
        ("openai", "text-embedding-3-small", 0.02),
        ("openai", "openai:text-embedding-3-small", 0.02),
    ],
)
def test_a_million_tokens_sent(provider: str, model: str, dollars: float) -> None:
    assert cost_usd(provider, model, Usage(input_tokens=MILLION)) == pytest.approx(dollars)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("anthropic", "claude-nonesuch-9"),
        ("anthropic", "voyage-code-3"),
        ("voyage", "claude-haiku-5-5"),
        ("nobody", "claude-haiku-5-5"),
        ("openai", "gpt-live-transcribe"),
        ("", ""),
    ],
)
def test_what_nobody_knows_costs_nothing_said_and_not_nothing(provider: str, model: str) -> None:
    assert cost_usd(provider, model, Usage(1, 1)) is None
    assert not price_known(provider, model)
    assert price_known(provider, model, {model: PriceSettings(input=0)})
    assert cost_usd(provider, model, Usage(1, 1), overrides={model: PriceSettings(input=0)}) == 0.0


def test_the_models_that_the_product_names_have_prices() -> None:
    unknown = [model for model in CLAUDE_MODELS if not price_known("anthropic", model)]
    assert unknown == ["claude-mythos-5-1", "claude-mythos-5"]  # genai-prices lists none for these
    assert all(price_known("voyage", model) for model in (*VOYAGE_MODELS, *RERANK_MODELS))


def test_prices_of_the_catalog_win() -> None:
    usage = Usage(MILLION, MILLION, MILLION, MILLION)
    price = PriceSettings(input=2, output=4)
    assert cost_usd(*HAIKU, usage, overrides={HAIKU[1]: price}) == pytest.approx(2 + 4 + 0.2 + 2.5)
    assert cost_usd(*HAIKU, usage, batch=True, overrides={HAIKU[1]: price}) == pytest.approx(8.7 / 2)
    price = PriceSettings(input=2, output=4, cache_read=0, cache_write=7, batch=0.25)
    assert cost_usd(*HAIKU, usage, overrides={HAIKU[1]: price}) == pytest.approx(2 + 4 + 7)
    assert cost_usd(*HAIKU, usage, batch=True, overrides={HAIKU[1]: price}) == pytest.approx(13 / 4)
    assert cost_usd(*HAIKU, usage, overrides={"claude-haiku-5-5": price}) == cost_usd(*HAIKU, usage)


@pytest.mark.parametrize("model", ["gpt-6:mini-20251001", "openai:gpt-6:mini-20251001"])
def test_the_most_exact_name_of_an_override_counts(model: str) -> None:
    prices: dict[str, PriceSettings] = {}
    for dollars, name in enumerate(
        ("gpt-6:mini", "openai:gpt-6:mini", "gpt-6:mini-20251001", "openai:gpt-6:mini-20251001"), start=1
    ):
        prices[name] = PriceSettings(input=dollars)
        assert cost_usd("openai", model, Usage(MILLION), overrides=prices) == dollars
        assert cost_usd("openai", model, Usage(MILLION), overrides=dict(reversed(prices.items()))) == dollars


counts = st.integers(0, 30_000)
usages = st.builds(Usage, counts, counts, counts, counts)


@settings(max_examples=50, deadline=None)
@given(
    one=usages,
    other=usages,
    model=st.sampled_from([("anthropic", "claude-haiku-5-5"), ("voyage", "voyage-4"), ("openai", "gpt-5.2")]),
    batch=st.booleans(),
    own=st.sampled_from([{}, {"gpt-5.2": PriceSettings(input=1.1, output=3.3)}]),
)
def test_costs_add_up_below_the_limit_and_never_fall(
    one: Usage, other: Usage, model: tuple[str, str], batch: bool, own: dict[str, PriceSettings]
) -> None:
    parts = [cost_usd(*model, usage, batch=batch, overrides=own) for usage in (one, other)]
    whole = cost_usd(*model, one + other, batch=batch, overrides=own)
    assert whole is not None
    assert all(part is not None and 0 <= part <= whole + 1e-12 for part in parts)
    if (one + other).sent <= 100_000:
        assert whole == pytest.approx(sum(part or 0 for part in parts), abs=1e-12)


def test_what_a_service_miscounts_is_no_credit() -> None:
    assert cost_usd(*HAIKU, Usage(-5, -5, -5, MILLION)) == pytest.approx(1.25)
    assert cost_usd(*HAIKU, Usage(-5, -5, -5, MILLION), overrides={HAIKU[1]: PriceSettings(input=4)}) == 5.0


def test_the_price_list_is_loaded_when_a_price_is_asked_for() -> None:
    code = (
        "import sys, dataflow_assets.models.prices as prices; print('genai_prices' in sys.modules);"
        "prices.cost_usd('voyage', 'rerank-2.5', prices.Usage(1)); print('genai_prices' in sys.modules);"
        "prices.price_known('voyage', 'voyage-4'); print('genai_prices' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True"]
