"""Reranking on features that a person can check with their own eyes.

What belongs here: pure functions from a question and the texts that were found to factors on their scores. What does not:
fetching the texts (`searcher`), and reranking models (`models`).

A factor is 1 where a feature says nothing. Each says in one word what it saw, so that an explanation is the list of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from dataflow_assets.index.bm25 import words_apart
from dataflow_assets.search.filters import date_of
from dataflow_assets.search.query import wants_the_latest
from dataflow_assets.search.results import Understood

LOOKED_AT = 20_000
"""Characters of a chunk that are looked at."""
MAX_WORDS = 32
"""Words of a question that are looked for."""
MAX_PLACES = 16
"""Places of one word in one text that are looked at."""
NEAR = 60
"""Characters between words that are near each other: about ten words."""
OPENING = 200
"""Characters of a first line: a longer one is a paragraph."""
TAIL = 5
"""Letters that may follow the stem of a word."""

_WORD = re.compile(r"[^\W_]+")
_ENDINGS = ("ations", "ation", "ions", "ion", "ings", "ing", "ies", "edly", "ed", "es", "s", "ly", "e")
_UNSPACED_FROM = "\u0e00"
"""From here on scripts are written without spaces, or with particles that stick to words: no edges are looked for."""
STOP_WORDS = frozenset(
    "a an and any are as at be been but by can could did do does for from had has have how i if in into is it its me my no not "
    "of on or our should so such that the their then there these they this to was we were what when where which who why will "
    "with would you your".split()
)


@dataclass(frozen=True, slots=True)
class Factors:
    """What each feature multiplies a score with where it is there in full; where it is there in part, it counts in part.

    A word counts by how rare it is among the texts that were found: one that stands in all of them tells none apart. Measured
    over fusion alone, together and each by itself, on papers, on the documentation of three projects and on five long texts: see
    `docs/guide/search.md`.
    """

    phrase: float = 1.3
    """The question itself, or all that it quotes, stands in the text or the title word for word."""
    identifiers: float = 1.15
    """Its names of code, versions and error codes stand in the text to the letter."""
    doc_type: float = 1.3
    """The page is of a kind that the question wants."""
    pairs: float = 1.4
    """Neighbouring words of the question are neighbours in the text."""
    proximity: float = 1.3
    """They are near each other, in whatever order."""
    opening: float = 1.3
    """Its words stand in the first line of the text, where that is a line and no paragraph."""
    title: float = 1.3
    """Its words stand in the title of the page."""
    headings: float = 1.1
    """Its words stand in the headings above the text."""
    coverage: float = 1.3
    """Its words stand in the text, above it, or in the chunks beside it that were found too: the square of their share."""
    beside: float = 1.1
    """A chunk beside it was found too, as good as the best."""
    fresh: float = 1.02
    """The newest of what was found; older ones count less, by half a year by year."""
    latest: float = 1.2
    """The same where the question asks for what is newest."""


FACTORS = Factors()
HALF_LIFE_DAYS = 365.0


@dataclass(frozen=True, slots=True)
class Question:
    """A question, taken apart once for all texts."""

    words: tuple[str, ...]
    """Its words in lower case without stop words, each once."""
    stems: tuple[str, ...]
    """How these begin in all their forms; each once."""
    pairs: tuple[tuple[int, int], ...]
    """Positions in `stems` of words that are neighbours in the question."""
    sequence: tuple[tuple[int, int], ...]
    """The same over stop words."""
    phrases: tuple[str, ...]
    """What should stand in a text word for word."""
    names: tuple[str, ...]
    """Identifiers, versions, errors."""
    doc_types: frozenset[str]
    latest: bool


@dataclass(slots=True)
class Judged:
    """What reranking makes of one text."""

    score: float
    features: dict[str, float] = field(default_factory=dict)
    """Feature -> factor, those that are not 1."""


def question_of(text: str, understood: Understood) -> Question:
    """Take a question apart.

    Args:
        text: The question.
        understood: What it was taken to be.
    """
    said = [word.lower() for word in _WORD.findall(words_apart(text[: 60 * MAX_WORDS], "query"))][:MAX_WORDS]
    telling = [word for word in said if word not in STOP_WORDS]
    stems = tuple(dict.fromkeys(map(_stem, telling)))
    place = {stem: n for n, stem in enumerate(stems)}
    quoted = tuple(_plain(entity.text) for entity in understood.entities if entity.kind == "phrase")
    whole = _plain(text).strip(" ?!.") if len(text) <= 200 and len(telling) > 1 else ""
    return Question(
        words=tuple(dict.fromkeys(telling)),
        stems=stems,
        pairs=tuple(
            (place[_stem(one)], place[_stem(other)])
            for one, other in pairwise(said)
            if one not in STOP_WORDS and other not in STOP_WORDS
        ),
        sequence=tuple((place[_stem(one)], place[_stem(other)]) for one, other in pairwise(telling)),
        phrases=quoted or ((whole,) if whole else ()),
        names=tuple(entity.text for entity in understood.entities if entity.kind != "phrase"),
        doc_types=frozenset(understood.doc_types),
        latest=wants_the_latest(text),
    )


def rerank(
    question: Question,
    found: Sequence[tuple[float, Mapping[str, Any]]],
    factors: Factors = FACTORS,
) -> list[Judged]:
    """Judge texts.

    Args:
        question: What was asked.
        found: Score before and payload of each text.
        factors: How much each feature counts.

    Returns:
        A judgement for each, in the order of `found`.
    """
    dates = [date_of(payload) for _, payload in found]
    newest = max((date for date in dates if date is not None), default=None)
    above: dict[str, int] = {}
    texts = [_text(question, payload, above) for _, payload in found]
    shares = _Shares([text.there for text in texts], question)
    beside = _beside(found)
    best = max((score for score, _ in found), default=0.0)
    judged = []
    for text, (score, _), near, date in zip(texts, found, beside, dates, strict=True):
        features = _features(question, text, shares, factors)
        if question.stems:
            seen = text.there | text.titled | text.headed
            for n in near:
                seen |= texts[n].there
            features["coverage"] = _part(factors.coverage, shares.of(seen) ** 2, 1)
        if near and best > 0:
            features["beside"] = _part(factors.beside, max(0.0, *(found[n][0] for n in near)) / best, 1)
        if newest is not None and date is not None:
            share = 0.5 ** ((newest - date).total_seconds() / 86_400 / HALF_LIFE_DAYS)
            features["fresh"] = _part(factors.latest if question.latest else factors.fresh, share, 1)
        made = Judged(score)
        for name, factor in features.items():
            if factor != 1:
                made.features[name] = round(factor, 4)
                made.score *= factor
        judged.append(made)
    return judged


def coverage(question: Question, payload: Mapping[str, Any]) -> float:
    """Give the share of a question's words that stand in a text, 0 to 1."""
    if not question.stems:
        return 0.0
    text = str(payload.get("corrected_text") or payload["text"])[:LOOKED_AT].lower()
    return sum(bool(_places(stem, text)) for stem in question.stems) / len(question.stems)


@dataclass(slots=True)
class _Text:
    """A text that was found, looked through once. Which stems stand somewhere is a number with a bit for each."""

    payload: Mapping[str, Any]
    original: str
    lower: str
    places: list[list[tuple[int, int]]]
    """Where each stem of the question stands."""
    there: int
    """Which of them stand in the text."""
    titled: int
    """Which stand in the title."""
    headed: int
    """Which stand in the headings."""


def _text(question: Question, payload: Mapping[str, Any], known: dict[str, int]) -> _Text:
    """Look through a text; titles and headings that many texts share are looked through once, and `known` from then on."""

    def stand_in(above: str) -> int:
        if above not in known:
            known[above] = _standing(question, above.lower())
        return known[above]

    original = str(payload.get("corrected_text") or payload["text"])[:LOOKED_AT]
    lower = original.lower()
    places = [_places(stem, lower) for stem in question.stems]
    return _Text(
        payload,
        original,
        lower,
        places,
        there=_bits(places),
        titled=stand_in(str(payload["title"])),
        headed=stand_in(" / ".join(payload["heading_path"])),
    )


def _standing(question: Question, text: str) -> int:
    return _bits([_places(stem, text) for stem in question.stems])


def _bits(seen: Sequence[object]) -> int:
    bits = 0
    for n, each in enumerate(seen):
        if each:
            bits |= 1 << n
    return bits


class _Shares:
    """How much of a question its words are, each weighed by how few of the texts have it, as BM25 does."""

    def __init__(self, there: Sequence[int], question: Question) -> None:
        stems = range(len(question.stems))
        counts = [sum(bits >> n & 1 for bits in there) for n in stems]
        self.weights = [math.log(1 + (len(there) - count + 0.5) / (count + 0.5)) for count in counts]
        self.pairs = [min(self.weights[one], self.weights[other]) for one, other in question.pairs]
        self._known: dict[int, float] = {}

    def of(self, bits: int) -> float:
        """Give the share of some words, 0 to 1."""
        found = self._known.get(bits)
        if found is None:
            found = self._known[bits] = _share(bits, self.weights)
        return found


def _share(bits: int, weights: Sequence[float]) -> float:
    whole = sum(weights)
    return sum(weight for n, weight in enumerate(weights) if bits >> n & 1) / whole if whole else 0.0


def _beside(found: Sequence[tuple[float, Mapping[str, Any]]]) -> list[list[int]]:
    """Name for each text those of the found that stand right before and behind it in its document."""
    places = {(payload.get("document_id"), payload.get("chunk_index")): n for n, (_, payload) in enumerate(found)}
    beside = []
    for _, payload in found:
        document, index = payload.get("document_id"), payload.get("chunk_index")
        sides = [(document, index - 1), (document, index + 1)] if isinstance(index, int) else []
        beside.append([places[side] for side in sides if side in places])
    return beside


def _features(question: Question, text: _Text, shares: _Shares, factors: Factors) -> dict[str, float]:
    features = {}
    if question.phrases:
        title = str(text.payload["title"])
        there = sum(_says(text.lower, phrase) or _says(title.lower(), phrase) for phrase in question.phrases)
        features["phrase"] = _part(factors.phrase, there, len(question.phrases))
    if question.names:
        there = sum(_stands_in(name, text.original) for name in question.names)
        features["identifiers"] = _part(factors.identifiers, there, len(question.names))
    if question.doc_types:
        features["doc_type"] = factors.doc_type if text.payload["doc_type"] in question.doc_types else 1.0
    if text.titled:
        features["title"] = _part(factors.title, shares.of(text.titled), 1)
    if text.headed:
        features["headings"] = _part(factors.headings, shares.of(text.headed), 1)
    if text.there:
        places = text.places
        line, newline, _ = text.lower.lstrip()[: OPENING + 1].partition("\n")
        if newline:
            features["opening"] = _part(factors.opening, shares.of(_standing(question, line)), 1)
        adjoin = [bool(places[a] and places[b]) and _adjoin(places[a], places[b]) for a, b in question.pairs]
        if True in adjoin:
            features["pairs"] = _part(factors.pairs, _share(_bits(adjoin), shares.pairs), 1)
        near = sum(bool(places[a] and places[b]) and _near(places[a], places[b]) for a, b in question.sequence)
        if near:
            features["proximity"] = _part(factors.proximity, near, len(question.sequence))
    return features


def _part(factor: float, there: float, of: int) -> float:
    return 1 + (factor - 1) * there / of


def _says(lower: str, phrase: str) -> bool:
    """Tell whether a text in lower case has a phrase, whatever white space stands between its words."""
    if phrase in lower:
        return True
    # To look for each word is much faster than to take the text apart, and most texts lack one.
    return all(word in lower for word in phrase.split()) and phrase in _plain(lower)


def _plain(text: str) -> str:
    """Give a text in lower case with single spaces."""
    return " ".join(text.lower().split())


def _stem(word: str) -> str:
    """Cut off what English appends to a word, so that what is left begins all of its forms."""
    if word.isascii():
        for ending in _ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) >= (4 if len(ending) > 3 else 3):
                return word[: -len(ending)]
    return word


def _places(stem: str, text: str) -> list[tuple[int, int]]:
    """Find the words of a text that begin with a stem and end soon after it: start and end of each."""
    found: list[tuple[int, int]] = []
    at = text.find(stem)
    unspaced = stem >= _UNSPACED_FROM
    while at >= 0 and len(found) < MAX_PLACES:
        end = at + len(stem)
        if unspaced:
            found.append((at, end))
        elif at == 0 or not text[at - 1].isalnum():
            last = end + TAIL
            while end <= last and text[end : end + 1].isalnum():
                end += 1
            if end <= last:
                found.append((at, end))
        at = text.find(stem, end)
    return found


def _adjoin(ones: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> bool:
    """Tell whether one word stands right in front of the other somewhere, with at most three signs between them."""
    starts = {start for start, _ in others}
    return any(end + gap in starts for _, end in ones for gap in range(4))


def _near(ones: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> bool:
    """Tell whether two words stand near each other somewhere; both lists are in order."""
    n = 0
    for start, _ in ones:
        while n < len(others) and others[n][0] < start - NEAR:
            n += 1
        if n < len(others) and others[n][0] <= start + NEAR and (others[n][0] != start or n + 1 < len(others)):
            return True
    return False


def _stands_in(name: str, text: str) -> bool:
    """Tell whether a name stands in a text to the letter, and is not part of a longer one."""
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        if not (_is_word(text[at - 1 : at]) and _is_word(name[0])) and not (
            _is_word(text[end : end + 1]) and _is_word(name[-1])
        ):
            return True
        at = text.find(name, at + 1)
    return False


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
