"""What the plan says that a run would cost, held against what is then billed."""

from __future__ import annotations

import json
import random
import re
from pydoc_data.topics import topics
from typing import Any

import pytest

from dataflow_assets_tests import test_paid_run as paid
from dataflow_assets_tests.loopback import TYPOS, Loopback
from dataflow_assets_tests.test_paid_run import BOTH, Shop, billed_usd, page

shop, services = paid.shop, paid.services

STAGES = ("corrections", "embeddings")
MISTAKES = {right: wrong for wrong, right in TYPOS.items()}
WITHIN = 0.15
"""How far a plan may be from the bill, as a share of it."""


def manual(first: int, last: int, *, one_in: int = 60) -> dict[str, str]:
    """Give pages of Python's own manual, which comes with Python, with mistakes in one of so many words that can have one."""
    dice = random.Random(first)
    pages = {}
    for name in sorted(topics)[first:last]:
        text = re.sub(
            r"\b(" + "|".join(MISTAKES) + r")\b",
            lambda word: MISTAKES[word.group()] if dice.randrange(one_in) == 0 else word.group(),
            topics[name],
        )
        if len(text) > 300:
            pages[f"{name.lower()}.md"] = text
    return pages


def write(shop: Shop, pages: dict[str, str]) -> None:
    for name, text in pages.items():
        shop.write(name, text)


def plan_of(shop: Shop, library: str = "docs", status: int = 0) -> dict[str, Any]:
    told = shop.command("plan", library, "--json")
    assert told.status == status
    found: dict[str, Any] = told.json["libraries"][library]
    return found


def cost(plan: dict[str, Any]) -> float:
    return float(sum(stage["cost_usd"] for stage in plan["stages"].values()))


def sums(plan: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(plan["stages"][stage][name] for name in names) for stage in STAGES]


def test_the_plan_of_a_fresh_home_asks_nobody_stores_nothing_and_is_near_the_bill(
    shop: Shop, services: Loopback
) -> None:
    shop.paid(corrections={"batch_size": 4})
    write(shop, manual(0, 40))
    plan = plan_of(shop)
    assert services.calls == []
    assert not shop.home.exists()
    assert [sure for (sure,) in sums(plan, "sureness")] == ["estimated"] * 2
    told = shop.run()
    for stage, endpoint in zip(STAGES, BOTH, strict=True):
        planned, made = plan["stages"][stage], told[stage]
        assert planned["cost_usd"] == pytest.approx(made["cost_usd"], rel=WITHIN)
        assert planned["tokens"] == pytest.approx(made["input_tokens"] + made["output_tokens"], rel=WITHIN)
        assert planned["texts"] == planned["asked"] + planned["stored"] == made["new"]
        assert planned["calls"] == pytest.approx(len(paid.only(services, endpoint)), rel=WITHIN)
    assert cost(plan) == pytest.approx(billed_usd(services), rel=WITHIN)

    unchanged, calls = plan_of(shop), len(services.calls)
    assert cost(unchanged) == 0
    assert sums(unchanged, "texts", "asked", "stored", "calls", "tokens", "sureness") == [
        (0, 0, 0, 0, 0, "certain"),
        (0, 0, 0, 0, 0, "certain"),
    ]

    # Having seen bills, the plan goes by them: other pages, and none of their mistakes counted beforehand.
    write(shop, manual(40, 60))
    before, plan = billed_usd(services), plan_of(shop)
    assert len(services.calls) == calls
    assert plan["stages"]["corrections"]["sureness"] == "measured"
    shop.run()
    assert cost(plan) == pytest.approx(billed_usd(services) - before, rel=WITHIN)


def test_an_edit_is_planned_as_the_chunks_that_it_touches(shop: Shop, services: Loopback) -> None:
    shop.paid(chunking={"max_tokens": 200})
    pages = manual(60, 66)
    write(shop, pages)
    shop.run()
    name = max(pages, key=lambda name: len(pages[name]))
    middle = pages[name].index("\n\n", len(pages[name]) // 2)
    shop.write(name, pages[name][:middle] + "\n\nA new paragraph stands here." + pages[name][middle:])
    before, plan = billed_usd(services), plan_of(shop)
    assert all(1 <= asked <= 3 for (asked,) in sums(plan, "asked"))
    told = shop.run()
    assert [(told[stage]["asked_anew"],) for stage in STAGES] == sums(plan, "asked")
    assert cost(plan) == pytest.approx(billed_usd(services) - before, rel=WITHIN)


def test_repeats_and_stored_answers_are_free_and_counted(shop: Shop, services: Loopback) -> None:
    for number in range(12):
        own = f"Nobody but page {number} tells of the matter {number}, and it does so at some length. " * 3
        shop.write(f"page{number:02}.md", f"{page(2 * (number % 4))}\n{own}\n")
    shop.paid(chunking={"max_tokens": 64})
    plan = plan_of(shop)
    chunks = plan["stages"]["chunks"]["texts"]
    for asked, stored, texts in sums(plan, "asked", "stored", "texts"):
        assert texts == asked + stored == chunks
        assert stored >= 8
    told = shop.run()
    assert [(told[stage]["asked_anew"],) for stage in STAGES] == sums(plan, "asked")
    assert cost(plan) == pytest.approx(billed_usd(services), rel=WITHIN)

    spent = billed_usd(services)
    settings = shop.settings(chunking={"max_tokens": 64})
    shop.libraries(docs=settings, twin=settings)
    plan = plan_of(shop, "twin")
    assert cost(plan) == 0
    assert sums(plan, "asked", "stored", "calls") == [(0, chunks, 0)] * 2
    # What the store saves is what the texts would cost, all together.
    assert sum(saved for (saved,) in sums(plan, "saved_usd")) == pytest.approx(spent, rel=0.6)
    shop.run("twin")
    assert billed_usd(services) == spent


def test_the_cheap_lane_is_planned_at_half_the_price(shop: Shop, services: Loopback) -> None:
    write(shop, manual(0, 10))
    direct = plan_of(shop)
    shop.paid(corrections={"lane": "batch"})
    batch = plan_of(shop)
    assert batch["stages"]["corrections"]["cost_usd"] == pytest.approx(direct["stages"]["corrections"]["cost_usd"] / 2)
    assert batch["stages"]["embeddings"] == direct["stages"]["embeddings"]
    shop.run()
    services.batch_seconds = 0.0
    shop.run()
    assert cost(batch) == pytest.approx(billed_usd(services), rel=WITHIN)


def test_documents_that_are_left_out_are_not_planned(shop: Shop, services: Loopback) -> None:
    shop.pages(*range(8))
    shop.paid(corrections={"exclude": ["*page000*", "*page001*"]})
    assert sums(plan_of(shop), "asked") == [(6,), (8,)]
    shop.paid(corrections={"model": "none"})
    plan = plan_of(shop)
    assert sums(plan, "asked") == [(0,), (8,)]
    assert plan["stages"]["corrections"]["cost_usd"] == 0


def test_another_model_is_planned_with_its_own_price(shop: Shop, services: Loopback) -> None:
    write(shop, manual(30, 45))
    shop.run()
    before, chunks = billed_usd(services), len(shop.texts())
    shop.paid(corrections={"model": "claude-sonnet-5-5"}, embeddings={"model": "voyage-4-large"})
    plan = plan_of(shop)
    assert sums(plan, "texts", "asked") == [(chunks, chunks)] * 2
    shop.run()
    assert cost(plan) == pytest.approx(billed_usd(services) - before, rel=WITHIN)


def test_budgets_and_unknown_prices_are_said(shop: Shop, services: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.pages(*range(8))
    assert "budget_left_usd" not in plan_of(shop)
    shop.paid(limits={"budget_usd": 1.0, "monthly_budget_usd": 0.5})
    plan = plan_of(shop)
    assert (plan["budget_left_usd"], plan["budget_message"]) == (0.5, None)
    shop.run()
    spent = billed_usd(services)
    plan = plan_of(shop)
    assert plan["budget_left_usd"] == pytest.approx(0.5 - spent)
    shop.pages(*range(8, 16))
    shop.paid(limits={"budget_usd": spent * 1.01})
    plan = plan_of(shop)
    assert plan["budget_left_usd"] == pytest.approx(spent * 0.01)
    assert "limits.budget_usd" in plan["budget_message"]
    assert "stop before its end" in shop.command("plan").err
    shop.paid(limits={"budget_usd": spent / 2})
    assert plan_of(shop)["budget_left_usd"] == 0

    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody-0123456789")
    shop.paid(corrections={"model": "openai:gpt-of-next-year"}, embeddings={"model": "local"})
    (sure, asked, usd), _ = sums(plan_of(shop), "sureness", "asked", "cost_usd")
    assert (sure, asked, usd) == ("unknown price", 16, 0)
    assert "unknown price" in shop.command("plan").out
    shop.paid(
        corrections={"model": "openai:gpt-of-next-year"},
        prices={**paid.PRICES, "openai:gpt-of-next-year": {"input": 3.0, "output": 9.0}},
    )
    (sure, _, usd), _ = sums(plan_of(shop), "sureness", "asked", "cost_usd")
    assert sure == "estimated"
    assert usd > 0


def test_a_library_in_buckets_is_planned_as_a_whole(shop: Shop, services: Loopback) -> None:
    shop.pages(*range(30))
    whole = plan_of(shop)
    shop.paid(buckets=3)
    parts = plan_of(shop)
    assert sums(parts, "asked", "texts") == sums(whole, "asked", "texts")
    assert cost(parts) == pytest.approx(cost(whole), rel=0.5)
    assert json.dumps(parts)
