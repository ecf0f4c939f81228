"""Questions written by a language model: what it is asked about an excerpt of a document, and how its answer is read.

What belongs here: the question about texts (prompt, schema, packing), and the judgement on what was written. What does not:
which excerpts are asked about (`stages.excerpts`, `flow.examiner`), what a library is measured by (`stages.evaluation`), and
everything about making calls (`models.asking`).

What a model writes is printed, stored, sent to embedders and shown on pages, and it was written after reading documents that
anybody may have written. So a question is one line of plain text of bounded length, or it is none; words that it quotes
count only where they stand in the excerpt. That also shows when two answers of a call were swapped. What is stored is what
the model said, so that stricter rules can be applied to it later without asking again.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataflow_assets.models.base import CallFailed, Completion, LanguageModel, Prompt, Usage
from dataflow_assets.models.language_question import TextQuestion, prompt_text
from dataflow_assets.models.ledger import Learned
from dataflow_assets.models.question import Fault, Reply
from dataflow_assets.models.ratio import Ratio

PROMPT = "v1"
"""The version of the prompt that is sent."""
READING_VERSION = "1"
"""Part of what was asked: raised when the same answer would be stored differently."""

CALL_TEXTS = 10
"""Excerpts of a call: they are short, and the prompt is paid for with each call."""
OUTPUT_TOKENS_PER_TEXT = 45.0
"""What an answer says about an excerpt, in tokens, until bills tell better: an id, some 15 words of question, 5 of quote."""
ROOM_PER_TEXT = 400
"""Tokens of room in the answer for each excerpt; languages differ by a factor of four."""

MAX_STORED = 4_000
"""Characters of a question or quote that are stored; more is an answer of another form."""
MAX_QUESTION = 300
"""Characters; 25 words have about 150."""
MIN_QUESTION = 8
"""Letters and digits, those of East Asia twice; less asks for nothing."""
MAX_COPY = 60
"""Letters and digits that a question may have if it stands in the excerpt word for word: more is no question but the text."""
MIN_QUOTE = 12
"""Letters and digits: fewer stand in any text."""
MAX_QUOTE = 60
"""Characters; a longer quote is shortened, since a chunker with small chunks would cut it in two."""

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
                "required": ["id", "question", "quote"],
                "properties": {
                    "id": {"type": "string"},
                    "question": {"type": "string"},
                    "quote": {"type": "string"},
                },
            },
        }
    },
}

_MARKUP = re.compile(r"</?[A-Za-z!][^<>]{0,400}>|```|\]\(|://")
_SPACES = re.compile(r"[^\S\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
_ENDS = "?!.…？！。 "
_UNWRITTEN = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of writing: with them, what a person reads is not what stands there."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote about an excerpt."""

    question: str
    """Empty where there is nothing to ask for."""
    quote: str
    """Words of the excerpt that answer it; empty where the model gave none that count."""


class ExamQuestion(TextQuestion):
    """What would a reader ask that this text answers?

    Args:
        model: Who is asked.
        learned: What the model's bills told so far.
        price: What usage costs.
        prompt: Version of the prompt.
    """

    stage = "evaluation"
    call_texts = CALL_TEXTS

    def __init__(
        self,
        model: LanguageModel,
        *,
        learned: Learned,
        price: Callable[[Usage], float | None],
        prompt: str = PROMPT,
    ) -> None:
        super().__init__(
            model,
            prompt_text("questions", prompt),
            SCHEMA,
            ratio=ExamRatio(learned),
            prompt=prompt,
            reading=READING_VERSION,
            price=price,
        )

    def fits(self, texts: int, size: int, more: int) -> bool:
        """Say whether a call with so many texts takes another one; excerpts are short, so their number decides."""
        return texts < CALL_TEXTS

    def prompt(self, texts: Sequence[str]) -> Prompt:
        """Write a call."""
        return Prompt(
            system=self._system, user=self.listed(texts), schema=SCHEMA, max_tokens=ROOM_PER_TEXT * len(texts) + 200
        )

    async def ask(self, texts: Sequence[str], *, alone: bool) -> Reply:
        """Make one call."""
        completion = await self.language_model.complete(self.prompt(texts))
        self.ratio.learn(self.estimate(texts).sent_bytes, texts, completion.usage)
        return self.read(texts, completion)

    def read(self, texts: Sequence[str], completion: Completion) -> Reply:
        """Read an answer, text by text.

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
            answers, faults = read_answer(len(texts), completion.text)
        return Reply(answers, faults, completion.usage, completion.allowance)


class ExamRatio(Ratio):
    """As for all texts; what is answered depends on the number of texts and not on their length."""

    def output_tokens(self, texts: int, size: int, mistakes: int | None = None) -> float:
        """Say how long the answer about so many texts will be."""
        known = self._learned
        each = known.output_tokens / known.texts if self.sure and known.texts else OUTPUT_TOKENS_PER_TEXT
        return each * texts


def read_answer(count: int, said: str) -> tuple[dict[int, bytes], dict[int, Fault]]:
    """Read what was written out of an answer about so many texts, whose ids count from 1.

    Returns:
        Position -> what is stored, and position -> what is wrong. Every position is in one of the two.
    """
    try:
        value = json.loads(said)
    except (ValueError, RecursionError):
        return {}, dict.fromkeys(range(count), Fault("the answer is not what was asked for"))
    listed = value.get("texts") if isinstance(value, dict) else None
    answers: dict[int, bytes] = {}
    faults: dict[int, Fault] = {}
    for item in listed if isinstance(listed, list) else ():
        identity = item.get("id") if isinstance(item, dict) else None
        if not isinstance(identity, str) or not re.fullmatch("[0-9]{1,6}", identity):
            continue
        place = int(identity) - 1
        if not 0 <= place < count:
            continue
        question, quote = item.get("question"), item.get("quote")
        if place in answers or place in faults:
            answers.pop(place, None)
            faults[place] = Fault("the answer speaks of it twice")
        elif not _is_short(question) or not _is_short(quote):
            faults[place] = Fault("the answer about it has another form than was asked for")
        else:
            stored = json.dumps({"question": question, "quote": quote}, ensure_ascii=False)
            answers[place] = stored.encode("utf-8", "surrogatepass")
    for place in range(count):
        if place not in answers and place not in faults:
            faults[place] = Fault("the answer leaves it out")
    return answers, faults


def _is_short(said: Any) -> bool:
    return isinstance(said, str) and len(said) <= MAX_STORED


def judge(excerpt: str, payload: bytes) -> tuple[Written | None, str | None]:
    """Say what of a stored answer counts.

    Args:
        excerpt: What was asked about.
        payload: What `read_answer` stored.

    Returns:
        What was written, None where it is no question; and what speaks against it, so that asking once more is worth it.
    """
    said = json.loads(payload.decode("utf-8", "surrogatepass"))
    question = _SPACES.sub(" ", said["question"]).strip()
    if not question:
        return Written("", ""), None
    problem = _fault(excerpt, question)
    if problem is not None:
        return None, problem
    quote = " ".join(said["quote"].split())
    if _weight(quote) < MIN_QUOTE:
        return Written(question, ""), None
    if _plain(quote) not in _plain(excerpt):
        return Written(question, ""), "the answer quotes words that do not stand in the text"
    if len(quote) > MAX_QUOTE:
        shorter = quote[: MAX_QUOTE + 1].rsplit(" ", 1)[0]
        quote = shorter if _weight(shorter) >= MIN_QUOTE else quote[:MAX_QUOTE]
    return Written(question, quote), None


def _fault(excerpt: str, question: str) -> str | None:
    if len(question) > MAX_QUESTION:
        return "what was written is too long for a question"
    if any(unicodedata.category(c) in _UNWRITTEN or c in _TURNING for c in question):
        return "what was written is not one line of plain text"
    if _MARKUP.search(question):
        return "what was written holds markup or a link"
    weight = _weight(question)
    if weight < MIN_QUESTION:
        return "what was written is too short for a question"
    asked, text = _plain(question).rstrip(_ENDS), _plain(excerpt).rstrip(_ENDS)
    if text in asked or (weight > MAX_COPY and asked in text):
        return "what was written is the text itself"
    return None


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _weight(text: str) -> int:
    return sum((2 if c >= "\u2e80" else 1) for c in text if c.isalnum())
