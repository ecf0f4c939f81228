"""The money: what paid models cost, what the store saved, and how much of the budgets is left.

What belongs here: the section of the page about paid calls, and what their failures are called. What does not: how a sum is
written (`words`), and what they were asked for (`chunks`).
"""

from __future__ import annotations

from collections.abc import Iterator

from dataflow_assets.stages.figures import AskingFigures, BudgetFigures
from dataflow_assets.stages.plots import bar
from dataflow_assets.stages.report import words
from dataflow_assets.stages.report.elements import Part, commands, section, table
from dataflow_assets.stages.report.verdict import NEARLY

_FAILURES = {
    "throttled": "429: too many requests or tokens a minute",
    "overloaded": "529 or 503: the service had no room",
    "server": "another fault of the service",
    "connection": "the connection was refused, reset or cut",
    "timeout": "no answer in time",
    "garbled": "an answer that was none",
    "too_large": "too much for one call; it was asked again in halves",
    "credential": "the key was not accepted",
    "payment": "the account has no credit",
    "invalid": "the service refuses what it was asked",
    "lost": "the process died while the call was in flight",
}
"""The statuses of calls in `model_calls`, apart from `ok`, in words."""


class Money(Part):
    """The section about paid models; empty for a library that has none."""

    def cost(self) -> str:
        """Show what paid models cost: so far, in this run, call by call, and against the budgets."""
        figures = self.figures
        if not figures.paid:
            return ""
        told = f"{words.money(figures.cost_usd)} so far"
        if figures.cost_usd and figures.funnel.listed:
            told += f", which is {words.money(figures.cost_per_1000_documents)} for 1,000 documents"
        told += "."
        if figures.saved_texts:
            told += (
                f" Answers from the store saved {words.money(figures.saved_usd)}: "
                f"{words.counted(figures.saved_texts, 'text')} {words.verb(figures.saved_texts, 'was', 'were')} not asked about again."
            )
        if figures.held_usd:
            told += (
                f" Another {words.money(figures.held_usd)} may have been billed for calls whose answers were lost; "
                "it counts against the budget."
            )
        body = f"<p>{told}</p>"
        if figures.budgets:
            rows = [self._budget(budget) for budget in figures.budgets]
            body += table(("Budget", "Used", "Limit", "Left", ""), rows, numbers=(1, 2, 3))
            body += '<p class="note">Used is what is spent, reserved for calls in flight, or held for answers that were lost.</p>'
        if figures.asking:
            body += f'<div class="block"><h3>This run</h3>{self._asking()}</div>'
        if figures.calls:
            body += f'<div class="block"><h3>Every call so far</h3>{self._calls()}</div>'
        if figures.failed_calls:
            rows = [
                f'<tr><td class="name">{self.said(failed.status)}</td><td>{_FAILURES.get(failed.status, "")}'
                f"{self._suggestion(failed.error)}</td>"
                f'<td class="n" data-name="Calls:">{failed.calls:,}</td>'
                f'<td class="n{"" if failed.held_usd else " none"}" data-name="Held:">{words.money(failed.held_usd)}</td></tr>'
                for failed in figures.failed_calls
            ]
            body += (
                '<div class="block"><h3>Calls without an answer</h3>'
                + table(("Status", "What it means, and one of them", "Calls", "Held"), rows, numbers=(2, 3), stack=True)
                + "</div>"
            )
        return section("Cost", body)

    def _budget(self, budget: BudgetFigures) -> str:
        colour = "bad" if budget.left_usd <= 0 else "warn" if budget.share >= NEARLY else "s1"
        name = words.BUDGETS.get(budget.setting, budget.setting)
        drawn = bar([(budget.share, colour)], label=f"{words.one_line(name, 80)}: {words.share(budget.share)} used")
        return (
            f'<tr><td class="name">{self.said(name)}</td><td class="n">{words.money(budget.used_usd)}</td>'
            f'<td class="n">{words.money(budget.limit_usd)}</td><td class="n">{words.money(budget.left_usd)}</td>'
            f'<td class="plotted">{drawn}</td></tr>'
        )

    def _asking(self) -> str:
        rows = []
        lines = []
        for took in self.figures.asking:
            counts = (took.texts, took.from_store, took.asked, took.calls, took.input_tokens, took.output_tokens,
                      took.cached_tokens)  # fmt: skip
            numbers = "".join(f'<td class="n{"" if count else " none"}">{count:,}</td>' for count in counts)
            rows.append(
                f'<tr><td class="name">{self.said(took.stage)}</td>{numbers}<td class="n">{words.cost(took)}</td>'
                f'<td class="n{"" if took.saved_usd else " none"}">{words.money(took.saved_usd)}</td></tr>'
            )
            lines += [f"{self.said(took.stage)}: {sentence}" for sentence in self._incidents(took)]
        columns = (
            "Stage",
            "Texts",
            "From the store",
            "Asked",
            "Calls",
            "Tokens in",
            "Tokens out",
            "Cached",
            "Cost",
            "Saved",
        )
        listed = "".join(f"<li>{line}</li>" for line in lines)
        return (
            table(columns, rows, numbers=range(1, 10))
            + (f'<ul class="samples">{listed}</ul>' if listed else "")
            + '<p class="note">A text that repeats another one of the run counts under Texts, and is asked about once.</p>'
        )

    def _incidents(self, took: AskingFigures) -> Iterator[str]:
        """Say what did not go as it should, in sentences that are HTML."""
        if took.retries:
            kinds = ", ".join(f"{self.said(kind.name)} {kind.count:,}" for kind in took.retries)
            yield f"{words.counted(sum(kind.count for kind in took.retries), 'further try', 'further tries')}: {kinds}."
        if took.asked_again:
            yield f"{words.counted(took.asked_again, 'text')} asked about once more, alone, since the first answer was no good."
        if took.refused:
            reasons = "; ".join(f"{self.said(reason.name)} ({reason.count:,})" for reason in took.refused)
            yield f"without an answer for good: {reasons}."
        if took.held_usd:
            yield f"{words.money(took.held_usd)} may have been billed for answers that were lost."
        if took.left:
            yield f"{words.counted(took.left, 'text')} left: {commands(self.said(words.sentence(took.left_for or 'the next run asks')))}"
        if took.unpriced:
            yield "the price of its model is not known, so its calls count as $0.00. Say it in the catalog, under prices."

    def _calls(self) -> str:
        figures = self.figures
        held = any(call.held_usd for call in figures.calls)
        rows = []
        for call in figures.calls:
            counts = (call.calls, call.failed, call.items, call.input_tokens, call.output_tokens, call.cached_tokens)
            numbers = "".join(f'<td class="n{"" if count else " none"}">{count:,}</td>' for count in counts)
            rows.append(
                f'<tr><td class="name">{self.said(call.stage)}</td><td>{self.said(call.provider)} {self.said(call.model)}</td>'
                f'{numbers}<td class="n">{words.seconds(call.seconds)}</td><td class="n">{words.money(call.cost_usd)}</td>'
                + (f'<td class="n{"" if call.held_usd else " none"}">{words.money(call.held_usd)}</td>' if held else "")
                + "</tr>"
            )
        columns = ("Stage", "Model", "Calls", "Failed", "Texts", "Tokens in", "Tokens out", "Cached", "Time", "Cost")
        return table((*columns, "Held") if held else columns, rows, numbers=range(2, 11))
