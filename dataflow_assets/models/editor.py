"""Corrections by a language model: what it is asked, and how its answer is read.

What belongs here: the question (prompt, schema, packing), reading an answer item by item, and long texts in parts. What does
not: what may stand of an edit (`stages.guard`), and everything about making calls (`models.asking`).

The model is asked for edits, not for texts: what to replace, and by what. An answer is then a tenth as long, and output is
what a model charges most for; and a model that rewrites, translates or comments has nowhere to put it. What is stored of an
answer are the edits as they were given, so that stricter rules can be applied to them later without asking again.

An answer is good for the texts that it speaks of properly. An id that is missing, double or unknown, an edit of words that
do not stand in the text, a list that was cut off: these are faults of single texts, and the others stand. Where the words
stand in another text of the same call, the two were swapped, and both are asked about again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from dataflow_assets.models.asking import Asking
from dataflow_assets.models.base import Asked, CallFailed, Completion, LanguageModel, Objection, Prompt, Proposal, Usage
from dataflow_assets.models.language_question import TextQuestion, prompt_text
from dataflow_assets.models.ledger import Learned
from dataflow_assets.models.question import Fault, Outcome, Reply, Tally
from dataflow_assets.models.ratio import Ratio

READING_VERSION = "1"
"""Part of what was asked: raised when the same answer would be stored differently."""

SHORT_TEXTS = 4
"""So many times the ordinary number of texts go into a call, where they are short ..."""
SHORT_TOKENS = 130
"""... that is, as long as they have no more than this many tokens for each text of an ordinary call."""

OUTPUT_TOKENS_PER_TEXT = 9.0
"""What an answer says about a text without mistakes, in tokens: an id and an empty list. Until bills tell better."""
OUTPUT_TOKENS_PER_TOKEN = 0.02
"""What it says besides for each token of text: an edit takes about 12, and one or two come in a thousand."""
OUTPUT_TOKENS_PER_MISTAKE = 17.0
"""What it says for each mistake that the built-in corrector sees: 12 tokens, and it sees 7 of 10."""
ROOM_PER_TEXT = 200
"""Tokens of room in the answer for each text, beside one for each token of text."""

BYTES_PER_TOKEN = 3
"""What a token is taken to have at least where a text is cut."""

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["texts"],
    "properties": {
        "texts": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["id", "edits"],
                "properties": {
                    "id": {"type": "string"},
                    "edits": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["original", "corrected"],
                            "properties": {"original": {"type": "string"}, "corrected": {"type": "string"}},
                        },
                    },
                },
            },
        }
    },
}


def system_prompt(version: str, glossary: Sequence[str] = ()) -> str:
    """Give the prompt of a version, with a library's own rules."""
    text = prompt_text("corrections", version)
    if glossary:
        listed = "\n".join(f"- {term}" for term in glossary)
        text += f"\n\nThese names and terms are right as they are written, whatever they look like:\n{listed}"
    return text


class CorrectionQuestion(TextQuestion):
    """Which edits do these texts need?

    Args:
        model: Who is asked.
        prompt: Version of the prompt.
        glossary: Names and terms that must stay.
        batch_size: Texts of ordinary length in a call.
        context_tokens: Tokens of text that one call holds.
        learned: What the model's bills told so far.
        price: What usage costs.
    """

    stage = "corrections"

    def __init__(
        self,
        model: LanguageModel,
        *,
        prompt: str,
        glossary: Sequence[str],
        batch_size: int,
        context_tokens: int,
        learned: Learned,
        price: Callable[[Usage], float | None],
    ) -> None:
        super().__init__(
            model,
            system_prompt(prompt, glossary),
            SCHEMA,
            ratio=CorrectionRatio(learned),
            prompt=prompt,
            reading=READING_VERSION,
            price=price,
        )
        self._batch_size = batch_size
        self._context_tokens = context_tokens

    @property
    def call_texts(self) -> int:
        """Texts of a large call."""
        return SHORT_TEXTS * self._batch_size

    @property
    def part_bytes(self) -> int:
        """Bytes of text above which a text is asked about in parts. Never learnt: other parts would be other questions."""
        return self._context_tokens * BYTES_PER_TOKEN

    def fits(self, texts: int, size: int, more: int) -> bool:
        """Say whether a call with so many texts of so many bytes takes another one."""
        tokens = (size + more) * self.ratio.tokens_per_byte
        if tokens > self._context_tokens or texts >= SHORT_TEXTS * self._batch_size:
            return False
        return texts < self._batch_size or tokens <= SHORT_TOKENS * self._batch_size

    def prompt(self, texts: Sequence[str]) -> Prompt:
        """Write a call."""
        user = self.listed(texts)
        size = len(user.encode())
        room = int(size * self.ratio.tokens_per_byte) + ROOM_PER_TEXT * len(texts) + 100
        return Prompt(system=self._system, user=user, schema=SCHEMA, max_tokens=room)

    async def ask(self, texts: Sequence[str], *, alone: bool) -> Reply:
        """Make one call."""
        completion = await self.language_model.complete(self.prompt(texts))
        self.ratio.learn(self.estimate(texts).sent_bytes, texts, completion.usage)
        return self.read(texts, completion, alone=alone)

    def read(self, texts: Sequence[str], completion: Completion, *, alone: bool = False) -> Reply:
        """Read an answer, item by item.

        Raises:
            CallFailed: The model found the texts together too long.
        """
        if completion.stop == "context":
            raise CallFailed("too_large", "the texts are too long for the model", usage=completion.usage)
        answers: dict[int, bytes] = {}
        faults: dict[int, Fault] = {}
        if completion.stop == "refusal":
            faults = dict.fromkeys(range(len(texts)), Fault("the model declined to answer"))
        else:
            answers, faults = read_answer(texts, completion.text, cut=completion.stop == "max_tokens", alone=alone)
        return Reply(answers, faults, completion.usage, completion.allowance)


def read_answer(
    texts: Sequence[str], said: str, *, cut: bool = False, alone: bool = False
) -> tuple[dict[int, bytes], dict[int, Fault]]:
    """Read the edits out of an answer.

    Args:
        texts: What was asked about, in the order of their ids, which count from 1.
        said: The answer.
        cut: Whether it is known to be cut off.
        alone: Whether a text was asked about for the last time: edits that fit stand, though others do not.

    Returns:
        Position -> what is stored, and position -> what is wrong. Every position is in one of the two.
    """
    items, whole = _items(said)
    missing = "the answer was cut off before it" if cut or not whole else "the answer leaves it out"
    if not items and not whole:
        missing = "the answer was cut off" if cut else "the answer is not what was asked for"
    found: dict[int, list[tuple[str, str]]] = {}
    faults: dict[int, Fault] = {}
    for item in items:
        place = _place(item.get("id") if isinstance(item, dict) else None, len(texts))
        if place is None:
            continue
        edits = _edits(item.get("edits"))
        if place in found or place in faults:
            found.pop(place, None)
            faults[place] = Fault("the answer speaks of it twice")
        elif edits is None:
            faults[place] = Fault("the answer about it has another form than was asked for")
        else:
            found[place] = edits
    for place in range(len(texts)):
        if place not in found and place not in faults:
            faults[place] = Fault(missing)
    for place in list(found):
        if place not in found:  # it was taken out beside another one
            continue
        strange = {original for original, _ in found[place] if original not in texts[place]}
        if not strange:
            continue
        kept = [edit for edit in found[place] if edit[0] not in strange]
        if alone and kept:
            found[place] = kept
            continue
        del found[place]
        faults[place] = Fault("the answer mends words that do not stand in it")
        for other, text in enumerate(texts):
            if other in found and other != place and all(original in text for original in strange):
                del found[other]
                faults[other] = Fault("the answer about it may have been swapped with another")
    return {place: _stored(edits) for place, edits in found.items()}, faults


def _stored(edits: Sequence[tuple[str, str]]) -> bytes:
    # A lone surrogate, which JSON can spell, is stored as it is: the guard says what is wrong with it.
    return json.dumps(edits, ensure_ascii=False).encode("utf-8", "surrogatepass")


def stored_edits(payload: bytes) -> tuple[tuple[str, str], ...]:
    """Give the edits that `read_answer` stored."""
    return tuple((original, corrected) for original, corrected in json.loads(payload))


_ITEM = re.compile(r"[\s,]*(?=\{)")


def _items(said: str) -> tuple[list[Any], bool]:
    """Give the entries of an answer, also of one that was cut off; and whether it is whole."""
    try:
        value = json.loads(said)
    except (ValueError, RecursionError):
        return _items_of_a_part(said), False
    listed = value.get("texts") if isinstance(value, dict) else None
    return (listed, True) if isinstance(listed, list) else ([], False)


def _items_of_a_part(said: str) -> list[Any]:
    """Give those entries that are whole in an answer that is not."""
    opened = re.search(r'\{\s*"texts"\s*:\s*\[', said)  # something may stand before it, such as a code fence
    if opened is None:
        return []
    decoder, items, at = json.JSONDecoder(), [], opened.end()
    while (found := _ITEM.match(said, at)) is not None:
        try:
            item, at = decoder.raw_decode(said, found.end())
        except (ValueError, RecursionError):
            break
        items.append(item)
    return items


def _place(identity: Any, count: int) -> int | None:
    if isinstance(identity, str) and identity.isascii() and identity.isdigit() and len(identity) < 7:
        place = int(identity) - 1
        return place if 0 <= place < count else None
    return None


def _edits(said: Any) -> list[tuple[str, str]] | None:
    if not isinstance(said, list):
        return None
    edits = []
    for edit in said:
        original, corrected = (edit.get("original"), edit.get("corrected")) if isinstance(edit, dict) else (None, None)
        if not isinstance(original, str) or not isinstance(corrected, str):
            return None
        if original and original != corrected:
            edits.append((original, corrected))
    return edits


class CorrectionRatio(Ratio):
    """As for all texts, and how long the edits of a text are."""

    def output_tokens(self, texts: int, size: int, mistakes: int | None = None) -> float:
        """Say how long the answer about so many texts of so many bytes, with so many mistakes, will be."""
        known = self._learned
        if self.sure and known.text_bytes:
            return known.output_tokens / known.text_bytes * size
        if mistakes is not None:
            return OUTPUT_TOKENS_PER_TEXT * texts + OUTPUT_TOKENS_PER_MISTAKE * mistakes
        return OUTPUT_TOKENS_PER_TEXT * texts + OUTPUT_TOKENS_PER_TOKEN * size * self.tokens_per_byte


class LanguageModelCorrector:
    """Proposes corrections that a language model gave.

    Args:
        question: What is asked.
        asking: Makes an `Asking` for the question, given a check of answers.
        tally: What the asking took.
    """

    def __init__(
        self, question: CorrectionQuestion, asking: Callable[..., Asking[tuple[str, int]]], tally: Tally
    ) -> None:
        self.question = question
        self.tally = tally
        self._asking = asking

    @property
    def name(self) -> str:
        """The model's name, as it stands in the tables."""
        return self.question.model

    def propose(self, texts: Iterable[Asked], objection: Objection | None = None) -> Iterator[Proposal]:
        """Give one proposal per text, in any order. Long texts are asked about in parts."""
        waiting: dict[str, _Parts] = {}

        def parts() -> Iterator[tuple[tuple[str, int], str]]:
            for asked in texts:
                cut = split_text(asked.text, self.question.part_bytes)
                waiting[asked.key] = _Parts(asked, cut)
                for number, part in enumerate(cut):
                    yield (asked.key, number), part

        def check(text: str, payload: bytes) -> str | None:
            return objection(text, stored_edits(payload)) if objection is not None else None

        for (key, number), outcome in self._asking(check).run(parts()):
            state = waiting[key]
            state.outcomes[number] = outcome
            if len(state.outcomes) == len(state.cut):
                del waiting[key]
                yield state.proposal()


class _Parts:
    """A text on its way, in parts."""

    def __init__(self, asked: Asked, cut: Sequence[str]) -> None:
        self.asked = asked
        self.cut = cut
        self.outcomes: dict[int, Outcome] = {}

    def proposal(self) -> Proposal:
        for status in ("waits", "failed", "refused"):
            for outcome in self.outcomes.values():
                if outcome.status == status:
                    return Proposal(self.asked.key, status=outcome.status, reason=outcome.reason)
        parts = [(part, stored_edits(self.outcomes[number].payload)) for number, part in enumerate(self.cut)]
        return Proposal(self.asked.key, parts=tuple(parts))


def split_text(text: str, limit: int) -> tuple[str, ...]:
    """Cut a text into parts of at most `limit` bytes, at the ends of paragraphs, lines, sentences or words where there are any.

    Returns:
        Parts that give the text when they are put together.
    """
    if len(text) * 4 <= limit or len(text.encode("utf-8", "replace")) <= limit:
        return (text,)
    parts, start = [], 0
    while start < len(text):
        end = start + _fitting(text, start, limit)
        if end < len(text):
            for mark in ("\n\n", "\n", ". ", " "):
                at = text.rfind(mark, start + (end - start) // 2, end)
                if at > start:
                    end = at + len(mark)
                    break
        parts.append(text[start:end])
        start = end
    return tuple(parts)


def _fitting(text: str, start: int, limit: int) -> int:
    """Give how many characters from `start` on have at most `limit` bytes; at least one."""
    piece = text[start : start + limit].encode("utf-8", "replace")[:limit]
    return max(1, len(piece.decode("utf-8", "ignore")))
