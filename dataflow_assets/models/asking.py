"""Asking a paid model about many texts: the one loop behind all of them.

What belongs here: what every service needs and no SDK does well. Answers that are there are not asked for. Texts are claimed,
packed into calls, and sent by as many calls at once as the service likes; calls are written down, retried, halved, settled;
money is reserved first. What does not: what is asked and how an answer is read (a `Question`: `models.editor`,
`models.vectors`), and where all of it is remembered (`models.ledger`, `models.pace`).

The loop runs in a thread of its own, so that an answer is stored when it arrives, whatever the stage is busy with. It reads
ahead as many texts as it can have in flight, and no more. Outcomes come in any order.

What ends it early: a key that is not accepted, or a request that the service refuses as such (an exception: nothing more is
asked, calls in flight are settled first); a budget that is reached, an account without credit, a service that is down (the
texts that are left get that as their outcome). The first call goes alone, so that a wrong key costs one call.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import queue
import random
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from dataflow_assets.errors import ConfigurationError, CredentialError, DataflowError
from dataflow_assets.models.base import MAYBE_BILLED, PASSING, CallFailed, Usage
from dataflow_assets.models.gate import Gate
from dataflow_assets.models.ledger import Answer, Ledger, PendingCall
from dataflow_assets.models.pace import LONGEST_WAIT, Pace
from dataflow_assets.models.question import (
    Account,
    Check,
    Estimate,
    Fault,
    Manners,
    Outcome,
    Parked,
    Question,
    Reply,
    Tally,
)

logger = logging.getLogger(__name__)

WINDOW_TEXTS = 1000
"""Texts in hand at least, from the moment they are read until their outcome is taken."""
WINDOW_CALLS = 66
"""Calls whose texts may be in hand."""
WINDOW_BYTES = 32_000_000
"""Bytes of text in hand at most; one longer text goes alone."""
READ_AT_ONCE = 250
BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF = 8.0
THROTTLED_SECONDS = 300.0
"""A call that the service has no room for waits so long in all before its texts fail."""
DOWN_AFTER = 5
"""Calls in a row that failed all their tries: the service is taken to be down."""
GRACE_SECONDS = 5.0
"""The client's own time-out comes first; this much later the call is given up whatever the client does."""
OTHERS_SECONDS = 0.1
"""How often it is looked whether another process has got the answer it is asking for."""

Tag = TypeVar("Tag")


@dataclass(eq=False, slots=True)
class _Text(Generic[Tag]):
    key: str
    text: str
    size: int
    tags: list[Tag]
    alone: bool = False


@dataclass(eq=False, slots=True)
class _Call(Generic[Tag]):
    texts: list[_Text[Tag]]
    size: int

    @property
    def alone(self) -> bool:
        return len(self.texts) == 1 and self.texts[0].alone


class Asking(Generic[Tag]):
    """Asks one question about many texts.

    Args:
        question: What is asked.
        ledger: Where answers and calls are remembered.
        pace: The calls' places in time.
        account: Who pays.
        manners: How calls are made.
        check: Whether an answer is one, beyond what the question itself can tell.
        parked: Which texts are not to be asked about here and now, and why: they wait.
        tally: Is added to.
        slow: Whether making the next text may take long: then it is awaited in a thread, and sent alone as soon as it is there.
    """

    def __init__(
        self,
        question: Question,
        *,
        ledger: Ledger,
        pace: Pace,
        account: Account,
        manners: Manners,
        check: Check | None = None,
        parked: Parked | None = None,
        tally: Tally | None = None,
        slow: bool = False,
    ) -> None:
        self.tally = tally if tally is not None else Tally()
        self._question = question
        self._ledger = ledger
        self._pace = pace
        self._account = account
        self._manners = manners
        self._check = check
        self._parked = parked
        self._slow = slow
        self._gate = Gate(manners)
        self._stop: Outcome | None = None
        self._fatal: DataflowError | None = None
        self._closed = False
        self._down = 0
        self._invalid = 0
        """Single texts that were invalid before anything was answered."""
        self._succeeded = False
        self._read_in = 0
        self._taken_out = 0
        self._bytes_in_hand = 0
        self._in_flight = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: dict[str, _Text[Tag]] = {}
        """Texts that are being asked about here, by key."""
        self._elsewhere: dict[str, _Text[Tag]] = {}
        """Texts that another process is asking about."""
        self._claimed: set[str] = set()
        self._outcomes: queue.SimpleQueue[tuple[Tag, Outcome] | BaseException | None] = queue.SimpleQueue()

    def run(self, texts: Iterable[tuple[Tag, str]]) -> Iterator[tuple[Tag, Outcome]]:
        """Give an outcome for every text, in any order.

        Raises:
            CredentialError: The service does not accept the key.
            ConfigurationError: The service refuses the request as such.
        """
        thread = threading.Thread(target=self._work, args=(iter(texts),), name="asking", daemon=True)
        thread.start()
        try:
            while True:
                outcome = self._outcomes.get()
                if outcome is None:
                    return
                if isinstance(outcome, BaseException):
                    raise outcome
                yield outcome
                self._taken()
        finally:
            # Calls in flight are paid for: they are settled before anything else happens. Nothing more is read.
            self._closed = True
            self._stop = self._stop or Outcome("failed", reason="The run was stopped before this text was asked about.")
            self._wake()
            thread.join()

    # ---- the thread

    def _work(self, texts: Iterator[tuple[Tag, str]]) -> None:
        try:
            asyncio.run(self._main(texts))
        except BaseException as error:
            self._outcomes.put(error)
        else:
            self._outcomes.put(self._fatal)

    async def _main(self, texts: Iterator[tuple[Tag, str]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._moved = asyncio.Event()
        with ThreadPoolExecutor(1, "ledger") as books, ThreadPoolExecutor(1, "check") as judges:
            self._books, self._judges = books, judges
            try:
                await self._read(texts)
                while self._tasks or (self._elsewhere and not self._closed):
                    if self._elsewhere and not self._closed:
                        await self._look_elsewhere()
                        await asyncio.sleep(OTHERS_SECONDS)
                    else:
                        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if self._tasks:
                    await asyncio.wait(self._tasks)
                if self._claimed:
                    await self._book(self._ledger.release, list(self._claimed))
                await self._question.close()
        self.tally.peak_concurrency = max(self.tally.peak_concurrency, self._gate.peak)

    async def _read(self, texts: Iterator[tuple[Tag, str]]) -> None:
        """Read texts as long as there is room for them, and pack those that have no answer into calls."""
        call: list[_Text[Tag]] = []
        ended = False
        while not ended and self._fatal is None and not self._closed:
            if self._read_in - self._taken_out >= self._window() or self._bytes_in_hand >= WINDOW_BYTES or self._busy():
                if call and not self._tasks:  # nothing else moves: what was read has to go
                    self._send(call)
                    call = []
                await self._movement()
                if self._elsewhere:
                    await self._look_elsewhere()
                continue
            if self._slow:
                one = await self._await_text(texts)
                for new in await self._unanswered(one):
                    self._send([new])
                ended = not one
                continue
            batch: list[tuple[Tag, str]] = []
            for pair in texts:
                batch.append(pair)
                self._read_in += 1
                self._bytes_in_hand += len(pair[1])
                if len(batch) >= READ_AT_ONCE or self._bytes_in_hand >= WINDOW_BYTES:
                    break
            else:
                ended = True
            call = self._pack(call, await self._unanswered(batch))
        if call:
            self._send(call)

    async def _await_text(self, texts: Iterator[tuple[Tag, str]]) -> list[tuple[Tag, str]]:
        """Take one text that is still being made, while calls in flight go on; none at the end."""
        taking = asyncio.get_running_loop().run_in_executor(None, lambda: list(itertools.islice(texts, 1)))
        while not (await asyncio.wait([taking], timeout=OTHERS_SECONDS))[0]:
            if self._elsewhere:
                await self._look_elsewhere()
        one = await taking
        self._read_in += len(one)
        self._bytes_in_hand += sum(len(text) for _, text in one)
        return one

    def _pack(self, call: list[_Text[Tag]], texts: Sequence[_Text[Tag]]) -> list[_Text[Tag]]:
        """Add texts to a call, sending each that is full; give the one that is not."""
        size = sum(text.size for text in call)
        for text in texts:
            if call and not self._question.fits(len(call), size, text.size):
                self._send(call)
                call, size = [], 0
            call.append(text)
            size += text.size
        return call

    async def _unanswered(self, batch: Sequence[tuple[Tag, str]]) -> list[_Text[Tag]]:
        """Settle texts that have an answer; give those that are to be asked about now, and are claimed."""
        self.tally.texts += len(batch)
        new: dict[str, _Text[Tag]] = {}
        for tag, said in batch:
            key = self._question.key(said)
            same = self._known.get(key) or self._elsewhere.get(key) or new.get(key)
            if same is not None:
                same.tags.append(tag)
            else:
                new[key] = _Text(key, said, len(said.encode("utf-8", "replace")), [tag])
        if not new:
            return []
        found = await self._book(self._ledger.find, list(new))
        await self._from_store([(new.pop(key), answer) for key, answer in found.items()])
        if self._parked is not None and new:
            for key, reason in (await self._book(self._parked, list(new))).items():
                text = new.pop(key)
                self.tally.parked += len(text.tags)
                self.tally.parked_for = reason
                self._finish(text, Outcome("waits", reason=reason))
        if self._stop is not None:
            for unasked in new.values():
                self._stopped(unasked)
            return []
        return await self._claim(new)

    async def _claim(self, texts: dict[str, _Text[Tag]]) -> list[_Text[Tag]]:
        mine = await self._book(self._ledger.claim, list(texts))
        self._claimed |= mine
        for key, text in texts.items():
            (self._known if key in mine else self._elsewhere)[key] = text
        return [text for key, text in texts.items() if key in mine]

    async def _look_elsewhere(self) -> None:
        """Take the answers that other processes have got; ask about what they gave up."""
        found = await self._book(self._ledger.find, list(self._elsewhere))
        await self._from_store([(self._elsewhere.pop(key), answer) for key, answer in found.items()])
        if self._stop is not None:
            for text in self._elsewhere.values():
                self._stopped(text)
            self._elsewhere.clear()
            return
        waiting, self._elsewhere = self._elsewhere, {}
        call = self._pack([], await self._claim(waiting))
        if call:
            self._send(call)

    async def _from_store(self, found: Sequence[tuple[_Text[Tag], Answer]]) -> None:
        """Settle texts whose answers were there: one that is no good counts as the first of two, as if it had just come."""
        answered = []
        for text, answer in found:
            self.tally.from_store += len(text.tags)
            self.tally.saved_usd += answer.usd * len(text.tags)
            if answer.kind == "refused":
                self._finish(text, Outcome("refused", reason=answer.payload.decode("utf-8", "replace"), stored=True))
            else:
                answered.append((text, answer.payload))
        objections = await self._judge([text for text, _ in answered], {text.key: said for text, said in answered})
        for text, payload in answered:
            if (objection := objections.get(text.key)) is None:
                self._finish(text, Outcome("answered", payload, stored=True))
            else:
                await self._again(text, Fault(objection), payload)

    # ---- calls

    def _send(self, texts: Sequence[_Text[Tag]]) -> None:
        call = _Call(list(texts), sum(text.size for text in texts))
        task = asyncio.get_running_loop().create_task(self._call(call))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake()
        if not task.cancelled() and (error := task.exception()) is not None:
            # A fault of ours: end at once, loudly, but settle what is in flight.
            self._fatal = self._fatal or (error if isinstance(error, DataflowError) else _Broken(error))
            self._stop = self._stop or Outcome("failed", reason=str(error))

    async def _call(self, call: _Call[Tag]) -> None:
        tries, throttled_since = 0, None
        async with self._gate:
            while True:
                if self._stop is not None:
                    await self._give_up(call.texts, self._stop)
                    return
                failure = await self._once(call)
                if failure is None:
                    return
                kind = failure.kind
                if kind not in PASSING:
                    await self._cannot(call, failure)
                    return
                if kind in ("overloaded", "timeout"):
                    self._gate.shrink()
                if kind in ("throttled", "overloaded"):
                    throttled_since = throttled_since or time.monotonic()
                    over = time.monotonic() - throttled_since > THROTTLED_SECONDS
                else:
                    over = tries >= self._manners.retries
                if over:
                    await self._exhausted(call, failure)
                    return
                wait = min(LONGEST_BACKOFF, BACKOFF_SECONDS * 2 ** min(tries, 6)) * random.uniform(0.75, 1.25)  # noqa: S311
                if failure.retry_after is not None:
                    wait = min(LONGEST_WAIT, max(failure.retry_after, 0.05))
                if kind == "throttled":
                    await self._book(self._pace.refused, wait)
                self.tally.retries[kind] = self.tally.retries.get(kind, 0) + 1
                tries += 1
                await self._sleep(wait)

    async def _once(self, call: _Call[Tag]) -> CallFailed | None:
        """Make a call once: reserve, write down, ask, settle. Gives what kept it from an answer."""
        texts = [text.text for text in call.texts]
        estimate = self._question.estimate(texts)
        await self._place(estimate.sent_tokens)
        if self._stop is not None:
            await self._give_up(call.texts, self._stop)
            return None
        expected = self._question.price(Usage(round(estimate.sent_tokens), round(estimate.output_tokens)))
        if expected is None:
            self.tally.unpriced = True
        pending = PendingCall(
            call_id=uuid.uuid4().hex,
            library=self._account.library,
            run_id=self._account.run_id,
            stage=self._question.stage,
            provider=self._question.provider,
            model=self._question.model,
            items=len(texts),
            asked=call.texts[0].key if len(texts) == 1 else self._question.key("\x00".join(t.key for t in call.texts)),
            reserved_usd=expected or 0.0,
        )
        while (refusal := await self._book(self._ledger.begin, pending, self._account.budget)) is not None:
            if not self._in_flight:  # nothing that could turn out cheaper than it was thought
                self._stop = self._stop or Outcome("waits", reason=f"Not asked: {refusal}.")
                self.tally.stopped = refusal
            if self._stop is not None:
                await self._give_up(call.texts, self._stop)
                return None
            await self._movement()
        self._in_flight += 1
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._manners.timeout_seconds + GRACE_SECONDS):
                reply = await self._question.ask(texts, alone=call.alone)
        except CallFailed as error:
            failure = error
        except TimeoutError:
            failure = CallFailed("timeout", f"no answer in {self._manners.timeout_seconds:g} seconds")
        else:
            await self._answered(call, pending, reply, estimate, time.monotonic() - started)
            return None
        finally:
            self._in_flight -= 1
            self._wake()
        await self._failed(pending, failure, time.monotonic() - started)
        return failure

    async def _place(self, tokens: float) -> None:
        """Wait for a place in time."""
        place = await self._book(self._pace.reserve, tokens)
        while True:
            await self._sleep(place - time.time())
            if self._stop is not None or not await self._book(self._pace.held_up, place):
                return
            place = await self._book(self._pace.reserve, tokens)

    async def _failed(self, pending: PendingCall, failure: CallFailed, seconds: float) -> None:
        maybe = failure.kind in MAYBE_BILLED
        cost = self._question.price(failure.usage) or 0.0 if failure.usage is not None else 0.0
        self.tally.calls += 1
        self.tally.cost_usd += cost
        if maybe and failure.usage is None:
            self.tally.lost_usd += pending.reserved_usd

        def settle() -> None:
            self._ledger.settle(
                pending.call_id, status=failure.kind, seconds=seconds, usage=failure.usage, cost_usd=cost,
                maybe_billed=maybe and failure.usage is None, error=str(failure)[:500],
            )  # fmt: skip

        await self._book(settle)
        await self._book(self._pace.learn, failure.allowance)

    async def _answered(
        self, call: _Call[Tag], pending: PendingCall, reply: Reply, estimate: Estimate, seconds: float
    ) -> None:
        cost = self._question.price(reply.usage)
        good = [text for place, text in enumerate(call.texts) if place in reply.answers]
        answers: dict[str, tuple[Literal["answer", "refused"], bytes]] = {
            text.key: ("answer", reply.answers[place])
            for place, text in enumerate(call.texts)
            if place in reply.answers
        }
        for place, text in enumerate(call.texts):
            fault = reply.faults.get(place)
            if fault is not None and call.alone and not fault.passing:
                answers[text.key] = ("refused", fault.reason.encode())
        if call.alone and answers:
            # Whoever asks the first question again, whose answer was none, finds what came of it in the end.
            answers.setdefault(self._question.key(call.texts[0].text), answers[call.texts[0].key])

        def settle() -> None:
            self._ledger.settle(
                pending.call_id, status="ok", seconds=seconds, usage=reply.usage, cost_usd=cost or 0.0,
                error=next((fault.reason for fault in reply.faults.values()), None), answers=answers,
                sizes={text.key: text.size for text in call.texts}, sent_bytes=estimate.sent_bytes,
            )  # fmt: skip

        await self._book(settle)
        self._claimed -= set(answers)
        self._down, self._succeeded = 0, True
        self._gate.grow()
        self.tally.calls += 1
        self.tally.asked += len(call.texts)
        self.tally.cost_usd += cost or 0.0
        self.tally.input_tokens += reply.usage.input_tokens + reply.usage.cache_write_tokens
        self.tally.output_tokens += reply.usage.output_tokens
        self.tally.cached_tokens += reply.usage.cached_tokens
        await self._book(self._pace.learn, reply.allowance)
        payloads = {text.key: reply.answers[place] for place, text in enumerate(call.texts) if place in reply.answers}
        objections = await self._judge(good, payloads)
        for place, text in enumerate(call.texts):
            fault = reply.faults.get(place)
            if fault is not None:
                await self._again(text, fault)
            elif (objection := objections.get(text.key)) is not None:
                await self._again(text, Fault(objection), payloads[text.key])
            else:
                self._finish(text, Outcome("answered", payloads[text.key]))

    async def _again(self, text: _Text[Tag], fault: Fault, payload: bytes | None = None) -> None:
        """Ask about a text once more, alone; what is no good then is the end of it."""
        if text.alone:
            if payload is not None:  # an answer, if a bad one: who asked for it says what is wrong with it
                self._finish(text, Outcome("answered", payload))
            elif fault.passing:
                await self._give_up([text], Outcome("failed", reason=fault.reason))
            else:
                self._finish(text, Outcome("refused", reason=fault.reason))
            return
        self._known.pop(text.key, None)
        if text.key in self._claimed:
            self._claimed.discard(text.key)
            await self._book(self._ledger.release, [text.key])
        self.tally.asked_again += 1
        again = _Text(self._question.key(text.text, again=True), text.text, text.size, text.tags, alone=True)
        found = await self._book(self._ledger.find, [again.key])
        if again.key in found:
            await self._from_store([(again, found[again.key])])
        elif self._stop is not None:
            self._stopped(again)
        else:
            for one in await self._claim({again.key: again}):
                self._send([one])

    async def _cannot(self, call: _Call[Tag], failure: CallFailed) -> None:
        """Deal with a call that will not do as it is."""
        if failure.kind == "credential":
            self._fatal = self._fatal or CredentialError(failure.refused_key(self._question.provider))
            self._stop = self._stop or Outcome("failed", reason=str(self._fatal))
        elif failure.kind == "payment":
            self._stop = self._stop or Outcome(
                "waits", reason=f"Not asked: {self._question.provider} wants payment: {failure}"
            )
            self.tally.stopped = self.tally.stopped or f"{self._question.provider} wants payment: {failure}"
        elif failure.kind == "invalid" and not self._succeeded and self._is_ours(call, failure):
            self._fatal = self._fatal or ConfigurationError(
                f"{self._question.provider} refuses what it is asked with the model {self._question.model}: {failure}"
            )
            self._stop = self._stop or Outcome("failed", reason=str(self._fatal))
        elif len(call.texts) > 1:
            self.tally.retries[failure.kind] = self.tally.retries.get(failure.kind, 0) + 1
            half = len(call.texts) // 2
            self._send(call.texts[:half])
            self._send(call.texts[half:])
            return
        else:
            reason = f"{self._question.provider} does not take this text: {failure}"
            if failure.kind == "too_large" or self._succeeded:
                for key in {call.texts[0].key, self._question.key(call.texts[0].text)}:
                    await self._book(self._ledger.refuse, key, reason)
                self._claimed.discard(call.texts[0].key)
                self._finish(call.texts[0], Outcome("refused", reason=reason))
                return
            # Nothing was ever answered: it may be the text, or all that we ask. Another run asks again.
            self._invalid += 1
            await self._give_up(call.texts, Outcome("refused", reason=reason))
            return
        await self._give_up(call.texts, self._stop or Outcome("failed", reason=str(failure)))

    def _is_ours(self, call: _Call[Tag], failure: CallFailed) -> bool:
        """Say whether a request that is invalid is so for what it is, such as its model, and not for one of its texts."""
        return failure.status not in (400, 422) or (len(call.texts) == 1 and self._invalid > 0)

    async def _exhausted(self, call: _Call[Tag], failure: CallFailed) -> None:
        self._down += 1
        if self._down >= DOWN_AFTER and self._stop is None:
            self._stop = Outcome("failed", reason=f"Not asked: {self._question.provider} gives no answers ({failure}).")
            self.tally.stopped = f"{self._question.provider} gives no answers ({failure})"
        await self._give_up(call.texts, Outcome("failed", reason=f"{self._question.provider}: {failure}"))

    # ---- ends

    async def _give_up(self, texts: Sequence[_Text[Tag]], outcome: Outcome) -> None:
        keys = [text.key for text in texts if text.key in self._claimed]
        self._claimed.difference_update(keys)
        await self._book(self._ledger.release, keys)
        for text in texts:
            if outcome is self._stop:
                self._stopped(text)
            else:
                self._finish(text, outcome)

    def _stopped(self, text: _Text[Tag]) -> None:
        self.tally.left += len(text.tags)
        self._finish(text, self._stop or Outcome("failed"))

    def _finish(self, text: _Text[Tag], outcome: Outcome) -> None:
        self._known.pop(text.key, None)
        if outcome.status == "refused":
            reason = (outcome.reason or "").split(":")[0][:80]
            self.tally.refused[reason] = self.tally.refused.get(reason, 0) + len(text.tags)
        self._bytes_in_hand -= len(text.text) * len(text.tags)
        for tag in text.tags:
            self._outcomes.put((tag, outcome))

    async def _judge(self, texts: Sequence[_Text[Tag]], payloads: Mapping[str, bytes]) -> dict[str, str]:
        check = self._check
        if check is None or not texts:
            return {}

        def judge() -> dict[str, str]:
            said = ((text.key, check(text.text, payloads[text.key])) for text in texts)
            return {key: objection for key, objection in said if objection is not None}

        return await asyncio.get_running_loop().run_in_executor(self._judges, judge)

    # ---- room and time

    def _window(self) -> int:
        return max(WINDOW_TEXTS, min(WINDOW_CALLS, self._gate.limit + 2) * self._question.call_texts)

    def _busy(self) -> bool:
        return len(self._tasks) > self._gate.limit + 1

    def _taken(self) -> None:
        """Note that the stage took an outcome (called from its thread)."""
        self._taken_out += 1
        if self._taken_out % 50 == 0:
            self._wake()

    def _wake(self) -> None:
        loop = getattr(self, "_loop", None)
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(self._moved.set)
            except RuntimeError:  # it closed just now: nobody waits any more
                return

    async def _movement(self) -> None:
        """Wait until something ended, was taken, or a moment passed."""
        self._moved.clear()
        try:
            async with asyncio.timeout(OTHERS_SECONDS):
                await self._moved.wait()
        except TimeoutError:
            return

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not on when everything is to stop."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and self._stop is None:
            await asyncio.sleep(min(left, 0.5))

    def _book(self, function: Callable[..., Result], *arguments: object) -> Awaitable[Result]:
        """Do something with files in the thread for it, in the order of the calls."""
        return asyncio.get_running_loop().run_in_executor(self._books, function, *arguments)


Result = TypeVar("Result")


class _Broken(DataflowError):
    """A fault of the product inside the loop; carries the original."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"Asking broke off: {type(error).__name__}: {error}")
        self.__cause__ = error
