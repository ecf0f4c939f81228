"""How well a search finds what it should: questions, figures, and the verdict on a new generation.

What belongs here: reading golden queries, making known-item queries from headings, taking in those that a model wrote,
recall@k, MRR, nDCG, and the comparison of two generations; all pure. What does not: searching (`flow.evaluate`), having
questions written (`flow.examiner`), or putting a generation into use (`flow.generations`).

What must be found is said without chunk ids, since another chunker names its chunks anew: by a document's id, by a part of
its address, or by words that must stand in the result. Each thing expected counts once, however many results show it, so
that smaller chunks do not look better than larger ones.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Final

from dataflow_assets.errors import ConfigurationError

MAX_QUESTIONS: Final = 10_000
MAX_QUERY: Final = 2_000
MAX_HEADING: Final = 300
MIN_HEADING: Final = 4
"""Letters and digits of a heading that asks for something."""
SHOWN: Final = 6
"""Lost questions that are told by name."""
MEASURES: Final = ("recall", "mrr", "ndcg")
SEMANTIC: Final = "semantic"
"""What shows a model that understands nothing: the words of a question find most answers without it."""

_DOCUMENT_ID: Final = re.compile(r"[0-9a-f]{32}")
_SPACE: Final = re.compile(r"\s+")
_TAG: Final = re.compile(r"<[^<>]{0,200}>")


@dataclass(frozen=True, slots=True)
class Question:
    """A question and what must be found."""

    query: str
    expected: tuple[str, ...]
    """Each a document's id, a part of an address, or words that must stand in a result."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What a library is measured by."""

    kind: str
    """`golden`, `headings`, or `model` where a language model wrote them."""
    asked: tuple[Question, ...]
    note: str | None = None
    """What a person should know of where they come from, in a sentence."""

    @property
    def key(self) -> str:
        """Hash of the questions: figures of the same key can be compared."""
        said = json.dumps([(q.query, q.expected) for q in self.asked], ensure_ascii=True)
        return sha256(said.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Found:
    """What of a result decides whether it is what was expected."""

    document_id: str
    source_uri: str
    text: str
    """All text of the result, corrected too."""


@dataclass(frozen=True, slots=True)
class QuestionFigures:
    """How one question fared."""

    query: str
    recall: float
    """Share of what was expected that the first k results show."""
    mrr: float
    """One divided by the place of the first result that was expected; 0 where none was."""
    ndcg: float
    """Discounted gain of the first k results, as a share of the best possible."""
    semantic: float = 0.0
    """The same for semantic search alone; 0 where the question has no vector."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How one generation fared: means over the questions, and each question."""

    questions: int
    k: int
    recall: float
    mrr: float
    ndcg: float
    semantic: float = 0.0
    """nDCG of semantic search alone."""
    each: tuple[QuestionFigures, ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Give the means as JSON says them."""
        return {name: value for name, value in asdict(self).items() if name != "each"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a generation may take over from another."""

    passed: bool
    before: Evaluation
    after: Evaluation
    allowed_loss: float
    allowed_semantic_loss: float
    worse: tuple[str, ...]
    """The measures that lost more than is allowed."""
    lost: tuple[str, ...]
    """Questions that found something before and nothing now, then those that find less or later; worst first."""

    def sentence(self) -> str:
        """Say it to a person."""
        allowed = dict.fromkeys(MEASURES, self.allowed_loss) | {SEMANTIC: self.allowed_semantic_loss}
        told = ", ".join(
            f"{_LABELS[name].format(k=self.after.k)} {getattr(self.before, name):.3f} before, "
            f"{getattr(self.after, name):.3f} now (allowed loss {allowed[name]:g})"
            for name in (self.worse or MEASURES)
        )
        said = f"{told}; {self.after.questions} questions"
        if self.worse and self.lost:
            more = f" and {len(self.lost) - SHOWN} more" if len(self.lost) > SHOWN else ""
            said += "; lost: " + ", ".join(f"“{query[:80]}”" for query in self.lost[:SHOWN]) + more
        return said + "."


_LABELS: Final = {
    "recall": "recall@{k}",
    "mrr": "MRR",
    "ndcg": "nDCG@{k}",
    "semantic": "nDCG@{k} of semantic search alone",
}


def read_golden(lines: Iterable[str], name: str) -> Questions:
    """Read golden queries: a line of JSON each, `{"query": ..., "expected": [...]}`.

    Args:
        lines: The file's lines.
        name: What to call the file in messages.

    Raises:
        ConfigurationError: A line is none, or there is no question at all; the message names the line.
    """
    asked = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        problem = f'{name}, line {number} is no golden query: {{"query": "...", "expected": ["...", ...]}} is one'
        try:
            said = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{problem}; it is no JSON ({error}).") from None
        query = said.get("query") if isinstance(said, dict) else None
        expected = said.get("expected") if isinstance(said, dict) else None
        expected = [expected] if isinstance(expected, str) else expected
        if not isinstance(query, str) or not _plain(query):
            raise ConfigurationError(f"{problem}; its query is missing or empty.")
        if (
            not isinstance(expected, list)
            or not expected
            or not all(isinstance(e, str) and _plain(e) for e in expected)
        ):
            raise ConfigurationError(f"{problem}; what is expected is one text or more: a part of an address, a document's "
                                     "id, or words that must stand in the result.")  # fmt: skip
        asked.append(Question(query[:MAX_QUERY], tuple(dict.fromkeys(expected))))
        if len(asked) > MAX_QUESTIONS:
            raise ConfigurationError(f"{name} has more than {MAX_QUESTIONS:,} golden queries: leave some out.")
    if not asked:
        raise ConfigurationError(f"{name} holds no golden query: write one a line, or take the setting out.")
    return Questions("golden", tuple(asked))


def known_items(headings: Iterable[tuple[str, Sequence[str]]], count: int) -> Questions:
    """Make questions from headings: who asks for one should find its document, and the place with these words.

    A heading that several documents have asks for none of them and is left out, and so is one that says too little. Which
    are taken follows from their hashes, so the same library is asked the same questions in every run and home.

    Args:
        headings: Document id and a heading path, outermost first; in any order, repeats allowed.
        count: How many questions to make at most.
    """
    owner: dict[str, str | None] = {}
    words: dict[str, str] = {}
    for document_id, path in headings:
        for heading in path:
            text = _SPACE.sub(" ", heading[:MAX_HEADING]).strip()
            key = text.casefold()
            if sum(c.isalnum() for c in _asked(text)) < MIN_HEADING:
                continue
            owner[key] = document_id if owner.get(key, document_id) == document_id else None
            words[key] = min(words.get(key, text), text)
    known = [(words[key], document) for key, document in owner.items() if document is not None]
    known.sort(key=lambda item: sha256(f"{item[0]}\0{item[1]}".encode(errors="replace")).digest())
    made = (Question(_asked(text), (document, text)) for text, document in known[:count])
    return Questions("headings", tuple(made))


def written_items(written: Iterable[tuple[str, str, str]]) -> Questions:
    """Take in questions that were written about stretches of documents.

    Who asks one should find the document, and, where the writer quoted words that answer it, the place with these words: few
    enough of them that they stand in one chunk, whatever cuts the text. A question that was written about two documents asks
    for neither and is left out.

    Args:
        written: Document id, question, and quoted words or nothing; the questions stay in this order.
    """
    kept: dict[str, Question | None] = {}
    for document_id, query, quote in written:
        key = query.casefold()
        former = kept.get(key)
        if key not in kept:
            kept[key] = Question(query[:MAX_QUERY], (document_id, quote) if quote else (document_id,))
        elif former is not None and former.expected[0] != document_id:
            kept[key] = None
    return Questions("model", tuple(question for question in kept.values() if question is not None))


def _asked(heading: str) -> str:
    """Give a heading as somebody would ask for it: without the anchors and tags that may stand in it."""
    return _SPACE.sub(" ", _TAG.sub(" ", heading)).strip()


def judge(question: Question, results: Sequence[Found], k: int) -> QuestionFigures:
    """Say how one question fared.

    Args:
        question: The question.
        results: What was found, best first.
        k: How many of them count.
    """
    missing = {expected: _matcher(expected) for expected in question.expected}
    count, gain, first = len(missing), 0.0, 0
    matchers = list(missing.values())
    for place, result in enumerate(results[:k], 1):
        text = _plain(result.text)
        if not first and any(matches(result, text) for matches in matchers):
            first = place
        for expected in [expected for expected, matches in missing.items() if matches(result, text)]:
            del missing[expected]
            gain += 1 / math.log2(place + 1)
    # A result that shows several of the things expected can beat a thing a place.
    best = math.fsum(1 / math.log2(place + 1) for place in range(1, min(count, k) + 1))
    return QuestionFigures(question.query, 1 - len(missing) / count, 1 / first if first else 0.0, min(1.0, gain / best))


def summarise(each: Sequence[QuestionFigures], k: int) -> Evaluation:
    """Give the means over the questions; 0 where there are none."""
    count = len(each) or 1
    means = {name: round(math.fsum(getattr(one, name) for one in each) / count, 6) for name in (*MEASURES, SEMANTIC)}
    return Evaluation(questions=len(each), k=k, **means, each=tuple(each))


def compare(before: Evaluation, after: Evaluation, allowed_loss: float, allowed_semantic_loss: float = 1.0) -> Verdict:
    """Judge a generation by the one that it would take over from.

    Args:
        before: How the generation in use fared.
        after: How the new one fared, asked the same questions in the same order.
        allowed_loss: How much recall, MRR and nDCG of hybrid search may fall, each.
        allowed_semantic_loss: How much nDCG of semantic search alone may fall; never less than `allowed_loss`.
    """
    # What is as much as allowed, but for rounding, is allowed.
    allowed_semantic_loss = max(allowed_loss, allowed_semantic_loss)
    allowed = dict.fromkeys(MEASURES, allowed_loss) | {SEMANTIC: allowed_semantic_loss}
    worse = tuple(name for name in allowed if getattr(before, name) - getattr(after, name) > allowed[name] + 1e-9)
    by_meaning = worse == (SEMANTIC,)
    fallen = [
        (new.semantic - old.semantic, 0.0, new.query)
        if by_meaning
        else (new.recall - old.recall, new.ndcg - old.ndcg, new.query)
        for old, new in zip(before.each, after.each, strict=True)
        if (new.semantic < old.semantic if by_meaning else (new.recall, new.ndcg) < (old.recall, old.ndcg))
    ]
    lost = tuple(query for *_, query in sorted(fallen))
    return Verdict(not worse, before, after, allowed_loss, allowed_semantic_loss, worse, lost)


def _matcher(expected: str) -> Callable[[Found, str], bool]:
    words = _plain(expected)
    if _DOCUMENT_ID.fullmatch(expected):
        return lambda result, text: result.document_id == expected or words in text
    return lambda result, text: expected in result.source_uri or words in text


def _plain(text: str) -> str:
    return _SPACE.sub(" ", text).strip().casefold()
