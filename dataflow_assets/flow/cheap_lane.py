"""Which texts go through the cheap lane, and what a run does about batches before it asks anything directly.

A run first collects what has ended, then sends what is new, and leaves both in the ledger; then it goes over its rows as in
the direct lane, where texts that a batch is asking about wait, and those that a batch had no answer for are asked directly.
So batches that were sent before the lane was changed are collected all the same, and nothing is paid twice.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dataflow_assets.catalog import Catalog, split_partition
from dataflow_assets.errors import ConfigurationError
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.flow.paid import budget_of, correction_question, language_model, open_ledger
from dataflow_assets.models.base import CallFailed, LanguageModel
from dataflow_assets.models.cheap_lane import CheapLane, in_open_batches
from dataflow_assets.models.editor import CorrectionQuestion, split_text
from dataflow_assets.models.ledger import Batch
from dataflow_assets.models.question import Account

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


def collect_batches(run: LibraryRun) -> None:
    """Collect the batches of the run's partition that have ended, also those of models that are not asked any more."""
    opened = open_ledger(run.home).open_batches(run.partition)

    async def work() -> None:
        # One after the other: each model's answers are read, and paid for, as that model's.
        for model in dict.fromkeys(batch.model for batch in opened):
            lane, _ = _lane(run, model)
            try:
                await lane.collect()
            except ConfigurationError as error:
                if model == run.settings.corrections.model:
                    raise
                logger.warning("Batches of %s are left: %s", model, error)  # the library itself needs no such key
            finally:
                await lane.close()

    if opened:
        _finished(work())


def look_after_batches(run: LibraryRun, texts: Callable[[], Iterable[str]]) -> None:
    """Collect the batches of the run's partition, send a new one where the settings say so, and say what has to wait.

    Args:
        run: The run; its corrector learns which texts wait.
        texts: Gives the texts that want a correction; read only where there may be something to send.
    """
    settings, ledger = run.settings.corrections, open_ledger(run.home)
    collect_batches(run)
    if settings.lane != "batch" and not ledger.open_batches():
        return

    async def work() -> str | None:
        lane, question = _lane(run, settings.model)
        try:
            return await lane.submit(_parts(texts(), question))
        finally:
            await lane.close()

    unsent = _finished(work()) if settings.lane == "batch" else None
    waits = _said(ledger.open_batches(run.partition) or ledger.open_batches())

    def parked(keys: Sequence[str]) -> Mapping[str, str]:
        found = in_open_batches(ledger, run.partition, keys)
        if settings.lane == "batch":
            return {key: waits if key in found else unsent or waits for key in keys if found.get(key) != ""}
        return {key: waits for key in keys if found.get(key)}

    run.parked = parked


def _lane(run: LibraryRun, model: str) -> tuple[CheapLane, CorrectionQuestion]:
    """Give the cheap lane of a model, and what is asked there."""
    settings, ledger = run.settings, open_ledger(run.home)
    corrections = settings.corrections.model_copy(update={"model": model})
    question = correction_question(settings.model_copy(update={"corrections": corrections}), ledger, batch=True)
    lane = CheapLane(
        question,
        ledger=ledger,
        account=Account(run.library, run.run_id, budget_of(run.library, settings)),
        partition=run.partition,
        deadline_seconds=corrections.deadline_seconds,
        retries=corrections.retries,
        tally=run.tallies["corrections"],
    )
    return lane, question


def _parts(texts: Iterable[str], question: CorrectionQuestion) -> Iterator[str]:
    for text in texts:
        yield from split_text(text, question.part_bytes)


def _said(batches: Sequence[Batch]) -> str:
    """Say what is waited for."""
    if not batches:
        return "a batch has to be sent: run again"
    since = dt.datetime.fromtimestamp(batches[0].created_at, dt.UTC)
    named = batches[0].batch_id or "a batch whose receipt is not clear yet"
    more = f" and {len(batches) - 1} more" if len(batches) > 1 else ""
    return (
        f"{named}{more} is being answered since {since:%Y-%m-%d %H:%M} UTC: run again later, or leave it to the sensor"
    )


def _finished(work: Coroutine[Any, Any, Result]) -> Result:
    """Run something asynchronous to its end, whether or not a loop is running here."""
    outcome: list[Result] = []
    broken: list[BaseException] = []

    def target() -> None:
        try:
            outcome.append(asyncio.run(work))
        except BaseException as error:
            broken.append(error)

    thread = threading.Thread(target=target, name="cheap-lane", daemon=True)
    thread.start()
    thread.join()
    if broken:
        raise broken[0]
    return outcome[0]


def batches_to_collect(home: Path, catalog: Catalog) -> tuple[dict[str, str], str]:
    """Ask about the open batches of a home.

    Returns:
        Partition -> a batch of it that has results or has passed its deadline; and a sentence about the others.
    """
    batches = open_ledger(home).open_batches()
    ready: dict[str, str] = {}
    said = f"{len(batches)} batches are being answered." if batches else "No batch is open."
    models: dict[str, LanguageModel] = {}

    async def look() -> str | None:
        problem = None
        try:
            for batch in batches:
                name = split_partition(batch.partition)[0]
                if batch.partition in ready or name not in catalog.libraries:
                    continue
                settings = catalog.library(name).corrections
                if batch.model not in models:
                    models[batch.model] = language_model(settings.model_copy(update={"model": batch.model}))
                lane = models[batch.model].batches
                overdue = time.time() > batch.deadline_at
                try:
                    ended = batch.batch_id is None or (lane is not None and await lane.ended(batch.batch_id))
                except CallFailed as failure:
                    ended, problem = False, f"{batch.batch_id} cannot be asked for now: {failure}"
                if ended or overdue:
                    ready[batch.partition] = batch.local_id
        finally:
            for model in models.values():
                await model.close()
        return problem

    return ready, (_finished(look()) if batches else None) or said
