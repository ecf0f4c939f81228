"""The cheap lane: many calls sent as one batch, answered within a day at half the price.

What belongs here: sending, finding again what was lost on the way, and reading the results into the ledger. What does not:
which texts go this way (`flow.cheap_lane`), and when it is looked whether a batch has ended (`automation`).

A batch is written down before it is sent, with its custom ids and its texts, and its money is reserved. Whatever happens
then, the next run knows of it: a process that dies, or a connection that breaks before the service's answer came. There is no
key that would keep a service from taking the same batch twice, so a batch whose sending has no clear end is looked for among
those that the service lists; its custom ids begin with a name that nobody else uses. Only when it is certainly not there are
its texts free to be sent again.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from dataflow_assets.errors import ConfigurationError, CredentialError
from dataflow_assets.models.asking import BACKOFF_SECONDS
from dataflow_assets.models.base import PASSING, BatchItem, BatchLane, CallFailed, Prompt, Usage
from dataflow_assets.models.editor import CorrectionQuestion
from dataflow_assets.models.ledger import Batch, Ledger, PendingCall
from dataflow_assets.models.pace import LONGEST_WAIT
from dataflow_assets.models.question import Account, Tally

logger = logging.getLogger(__name__)

UNCLEAR = frozenset({"connection", "timeout", "garbled", "server"})
"""Kinds of failure after which there may be a batch all the same."""
BATCH_BYTES = 24_000_000
"""Bytes of text in one batch: what is held in memory at once, and what is lost with it."""
CANCEL_SECONDS = 20.0
"""How long a run waits for a batch to end that it gave up; then the next run looks again."""
OVERDUE_SECONDS = 3600.0
"""So long after its deadline a batch that will not end is left alone, and its texts go the direct way."""
POLL_SECONDS = 0.5


def in_open_batches(ledger: Ledger, partition: str, keys: Sequence[str]) -> dict[str, str]:
    """Say which texts a batch is asking about.

    Batches of other partitions count until their deadline only: theirs may be a library that nobody runs any more.

    Returns:
        Key -> the batch, or "" where a batch had no answer, and the text goes the direct way.
    """
    found = ledger.in_batches(keys)
    if not found:
        return found
    now = time.time()
    counting = {
        batch.local_id for batch in ledger.open_batches() if batch.partition == partition or now <= batch.deadline_at
    }
    return {key: local_id for key, local_id in found.items() if not local_id or local_id in counting}


class CheapLane:
    """Sends and collects the batches of one partition.

    Args:
        question: What is asked; its prices are those of the cheap lane.
        ledger: Where batches are remembered.
        account: Who pays.
        partition: Whose batches they are.
        deadline_seconds: A batch without results after this long is given up.
        retries: Further tries of what failed in passing.
        tally: Is added to.
    """

    def __init__(
        self,
        question: CorrectionQuestion,
        *,
        ledger: Ledger,
        account: Account,
        partition: str,
        deadline_seconds: float,
        retries: int,
        tally: Tally,
    ) -> None:
        lane = question.language_model.batches
        if lane is None:
            raise ConfigurationError(f"{question.model} has no cheap lane: set corrections.lane to direct.")
        self._lane: BatchLane = lane
        self._question = question
        self._ledger = ledger
        self._account = account
        self._partition = partition
        self._deadline = deadline_seconds
        self._retries = retries
        self._tally = tally
        self._claimed: set[str] = set()
        """Texts that are about to be sent."""

    # ---- collecting

    async def collect(self) -> None:
        """Read the results of the model's batches that have ended, and give up those whose deadline has passed."""
        for batch in self._ledger.open_batches(self._partition):
            if (batch.provider, batch.model) != (self._question.provider, self._question.model):
                continue
            try:
                await self._look_after(batch)
            except CallFailed as failure:
                await self._cannot_be_asked_for(batch, failure)

    async def _cannot_be_asked_for(self, batch: Batch, failure: CallFailed) -> None:
        """Leave a batch to the next run; give up one that is overdue and that the service does not know."""
        unknown = False
        if failure.status == 404 and batch.batch_id is not None:
            try:  # at a wrong address nothing is known
                unknown = batch.batch_id not in await self._lane.recent()
            except CallFailed as other:
                failure = other
        if not unknown:
            self._raise_if_fatal(failure)
        elif time.time() > batch.deadline_at:
            self._settle(batch, "lost", Usage(), 0.0, {}, {}, "The service does not know the batch.", maybe=True)
            self._ledger.end_batch(batch.local_id, direct=True)
        logger.warning("The batch %s cannot be asked for now: %s", batch.batch_id or batch.local_id, failure)

    async def _look_after(self, batch: Batch) -> None:
        if batch.batch_id is None:
            found = await self._found_again(batch)
            if found is None:
                return
            batch = replace(batch, batch_id=found)
        assert batch.batch_id is not None  # noqa: S101 - it was found, or was known
        if await self._lane.ended(batch.batch_id):
            await self._read(batch, batch.batch_id)
            return
        late = time.time() - batch.deadline_at
        if late < 0:
            return
        if batch.state != "canceling":
            await self._lane.cancel(batch.batch_id)
            self._ledger.cancel_batch(batch.local_id)
        until = time.monotonic() + CANCEL_SECONDS
        while time.monotonic() < until:
            await asyncio.sleep(POLL_SECONDS)
            if await self._lane.ended(batch.batch_id):
                await self._read(batch, batch.batch_id)
                return
        if late > OVERDUE_SECONDS:
            self._settle(batch, "lost", Usage(), 0.0, {}, {}, "It did not end after it was cancelled.", maybe=True)
            self._ledger.end_batch(batch.local_id, direct=True)

    async def _found_again(self, batch: Batch) -> str | None:
        """Look for a batch whose sending had no clear end. None where it is not known yet, or was never taken."""
        known = self._ledger.known_batches()
        unsure = False
        for batch_id in await self._lane.recent():
            if batch_id in known:
                continue
            if not await self._lane.ended(batch_id):
                unsure = True  # whose it is shows in its results only
            elif any(custom_id.startswith(batch.local_id) for custom_id in await self._lane.custom_ids(batch_id)):
                self._ledger.note_batch(batch.local_id, batch_id)
                return batch_id
        if not unsure or time.time() > batch.deadline_at + OVERDUE_SECONDS:
            self._settle(batch, "connection", Usage(), 0.0, {}, {}, "The service never took the batch.", maybe=unsure)
            self._ledger.end_batch(batch.local_id, direct=False)
        return None

    async def _read(self, batch: Batch, batch_id: str) -> None:
        """Store every answer of a batch that has ended."""
        results = {item.custom_id: item for item in await self._lane.results(batch_id)}
        usage, cost, sent, problems = Usage(), 0.0, 0, 0
        answers: dict[str, tuple[Literal["answer", "refused"], bytes]] = {}
        sizes: dict[str, int] = {}
        for custom_id, pairs in self._ledger.batch_requests(batch.local_id):
            item = results.get(custom_id, BatchItem(custom_id, error="it is not among the results"))
            if item.completion is None:
                problems += 1
                continue
            used = item.completion.usage
            usage, cost = usage + used, cost + (self._question.price(used) or 0.0)
            texts = [text for _, text in pairs]
            sizes |= {key: len(text.encode("utf-8", "replace")) for key, text in pairs}
            sent += self._question.estimate(texts).sent_bytes
            try:
                reply = self._question.read(texts, item.completion)
            except CallFailed:
                problems += 1
                continue
            answers |= {pairs[place][0]: ("answer", payload) for place, payload in reply.answers.items()}
            problems += bool(reply.faults)
        error = (
            f"{problems} of its requests have no whole answer; their texts are asked about directly."
            if problems
            else None
        )
        self._settle(batch, "ok", usage, cost, answers, sizes, error, sent=sent)
        self._ledger.end_batch(batch.local_id, direct=True)
        self._tally.calls += 1
        self._tally.asked += len(answers)
        # They are about to be taken from the store for the first time, which saves nothing.
        self._tally.from_store -= len(answers)
        self._tally.saved_usd -= cost
        self._tally.cost_usd += cost
        self._tally.input_tokens += usage.input_tokens + usage.cache_write_tokens
        self._tally.output_tokens += usage.output_tokens
        self._tally.cached_tokens += usage.cached_tokens

    def _settle(
        self,
        batch: Batch,
        status: Literal["ok", "lost", "connection", "invalid"],
        usage: Usage,
        cost: float,
        answers: dict[str, tuple[Literal["answer", "refused"], bytes]],
        sizes: dict[str, int],
        error: str | None,
        *,
        sent: int = 0,
        maybe: bool = False,
    ) -> None:
        self._ledger.settle(
            batch.call_id, status=status, seconds=max(0.0, time.time() - batch.created_at), usage=usage, cost_usd=cost,
            maybe_billed=maybe, error=error, answers=answers, sizes=sizes, sent_bytes=sent,
        )  # fmt: skip

    # ---- sending

    async def submit(self, texts: Iterable[str]) -> str | None:
        """Send texts that have no answer, are in no batch, and are not to go the direct way.

        Args:
            texts: All texts of the partition that want an answer, read in order.

        Returns:
            Why not all of them could be sent; None where they were.
        """
        try:
            return await self._submit(texts)
        finally:
            self._release()

    async def _submit(self, texts: Iterable[str]) -> str | None:
        requests: dict[str, list[tuple[str, str]]] = {}
        waiting: list[tuple[str, str]] = []
        call: list[tuple[str, str]] = []
        size = total = 0
        local_id = uuid.uuid4().hex
        seen: set[str] = set()

        async def send() -> str | None:
            nonlocal requests, total, local_id
            refusal = await self._send(local_id, requests) if requests else None
            requests, total, local_id = {}, 0, uuid.uuid4().hex
            return refusal

        def close() -> None:
            nonlocal call, size
            if call:
                requests[f"{local_id}-{len(requests)}"] = call
                call, size = [], 0

        async def take(pairs: Sequence[tuple[str, str]]) -> str | None:
            nonlocal size, total
            for key, text in self._unsent(pairs):
                length = len(text.encode("utf-8", "replace"))
                if call and not self._question.fits(len(call), size, length):
                    close()
                    if len(requests) >= self._lane.max_requests or total >= min(BATCH_BYTES, self._lane.max_bytes // 4):
                        refusal = await send()
                        if refusal is not None:
                            return refusal
                call.append((key, text))
                size, total = size + length, total + length
            return None

        for text in texts:
            key = self._question.key(text)
            if key not in seen:
                seen.add(key)
                waiting.append((key, text))
            if len(waiting) >= 250:
                refusal = await take(waiting)
                waiting = []
                if refusal is not None:
                    return refusal
        refusal = await take(waiting)
        if refusal is None:
            close()
            refusal = await send()
        return refusal

    def _release(self) -> None:
        """Leave the texts that were not sent to whoever asks next."""
        if self._claimed:
            self._ledger.release(list(self._claimed))
            self._claimed.clear()

    def _unsent(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        keys = [key for key, _ in pairs]
        known = self._ledger.find(keys).keys() | in_open_batches(self._ledger, self._partition, keys).keys()
        mine = self._ledger.claim([key for key in keys if key not in known])
        self._claimed |= mine
        return [(key, text) for key, text in pairs if key in mine]

    async def _send(self, local_id: str, requests: dict[str, list[tuple[str, str]]]) -> str | None:
        """Write a batch down and send it; give why that could not be done."""
        prompts: list[tuple[str, Prompt]] = []
        usd, count, unpriced = 0.0, 0, False
        for custom_id, pairs in requests.items():
            texts = [text for _, text in pairs]
            estimate = self._question.estimate(texts)
            price = self._question.price(Usage(round(estimate.sent_tokens), round(estimate.output_tokens)))
            usd, count, unpriced = usd + (price or 0.0), count + len(texts), unpriced or price is None
            prompts.append((custom_id, self._question.prompt(texts)))
        self._tally.unpriced |= unpriced
        now = time.time()
        call_id = uuid.uuid4().hex
        pending = PendingCall(
            call_id, self._account.library, self._account.run_id, self._question.stage, self._question.provider,
            self._question.model, count, self._question.key(local_id), usd,
        )  # fmt: skip
        batch = Batch(
            local_id, None, self._partition, self._account.library, self._question.provider, self._question.model, "sent",
            call_id, len(requests), now, now + self._deadline,
        )  # fmt: skip
        refusal = self._ledger.begin(pending, self._account.budget)
        if refusal is not None:
            if len(requests) > 1:  # a part of it may still be paid for
                half = dict(list(requests.items())[: len(requests) // 2])
                await self._send(local_id, half)
            return refusal
        self._ledger.plan_batch(batch, requests)
        self._claimed.difference_update(key for pairs in requests.values() for key, _ in pairs)
        for attempt in range(self._retries + 1):
            try:
                self._ledger.note_batch(local_id, await self._lane.submit(prompts))
                return None
            except CallFailed as failure:
                if failure.kind in UNCLEAR:
                    logger.warning("Whether the batch was taken is not clear (%s); it is looked for.", failure)
                    return None
                if failure.kind not in PASSING or attempt == self._retries:
                    self._settle(batch, "invalid", Usage(), 0.0, {}, {}, str(failure))
                    self._ledger.end_batch(local_id, direct=failure.kind == "too_large")
                    self._raise_if_fatal(failure)
                    return f"{self._question.provider} does not take the batch ({failure})"
                wait = failure.retry_after if failure.retry_after is not None else BACKOFF_SECONDS * 2**attempt
                await asyncio.sleep(min(wait, LONGEST_WAIT))
        return None

    def _raise_if_fatal(self, failure: CallFailed) -> None:
        if failure.kind == "credential":
            raise CredentialError(failure.refused_key(self._question.provider)) from None
        if failure.kind == "invalid":
            raise ConfigurationError(f"{self._question.provider} refuses what it is asked: {failure}") from None

    async def close(self) -> None:
        """Close connections."""
        await self._question.close()
