"""Understanding a question: pure, from its own words alone.

What belongs here: what a question seems to want, the names in it, and how that shifts the weights. What does not: looking
anything up, and deciding for the caller: what is understood makes pages count for more and never leaves one out.

The rules know English words for intents; questions in other languages are understood by the names in them. Each rule looks
at a question of at most `MAX_CHARACTERS`, and no pattern can take more than linear time.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from dataflow_assets.search.results import Entity, Intent, Understood

MAX_CHARACTERS = 2_000
"""What is looked at; a longer question is a text, and its beginning tells."""
MAX_ENTITIES = 20

LITERAL_SHIFT = 0.5
"""Share of the weight of similarity that moves to words where a question is nothing but names: those are found by their letters,
and a model of meaning knows few of them. A question with other words moves less, by the share that names have in it."""

DOC_TYPES: Mapping[Intent, tuple[str, ...]] = {
    "how-to": ("guide", "tutorial"),
    "definition": (),
    "tutorial": ("tutorial",),
    "example": ("example",),
    "error": (),
    "api": ("reference",),
    "other": (),
}
"""The kinds of page that an intent wants. Definitions and errors are told on pages of every kind."""

_QUOTED = re.compile(r"\"([^\"\n]{2,200})\"|“([^”\n]{2,200})”|«([^»\n]{2,200})»|「([^」\n]{2,200})」|`([^`\n]{2,200})`")
_NAME = re.compile(r"[^\W\d]\w{0,80}")
_TOKEN = re.compile(r"[^\s,;!?\"“”«»「」`()\[\]{}<>]{1,120}")
_HUMPS = re.compile(r"[a-z0-9][A-Z]|[A-Z]{2}[a-z]{2}")
_VERSION = re.compile(r"[vV]?\d{1,4}(?:\.\d{1,6}){1,4}(?:[-.]?(?:a|b|rc|alpha|beta|dev|post|pre)\.?\d{0,4})?")
_ERROR = re.compile(
    r"[A-Z]{1,4}\d{4,6}|[A-Z]{2,6}-\d{3,6}|0[xX][0-9a-fA-F]{4,16}|[A-Za-z_.]{1,80}(?:Error|Exception|Warning|Fault)"
)
_ERRNO = frozenset(errno.errorcode.values())
_VERSION_WORDS = frozenset("version release since python node java php ruby go rust postgres postgresql v".split())
_WORD = re.compile(r"\w+")

_CHANGES = re.compile(
    r"\b(?:change ?logs?|release notes?|what'?s new|changed? (?:in|since) (?:version|v?\d))", re.IGNORECASE
)
_SAID = re.compile(
    r"\b(?:who said|(?:did|was) \w+ (?:say|said|mention)|in (?:the|our) (?:chat|conversation|thread|channel))\b",
    re.IGNORECASE,
)
_LATEST = re.compile(
    r"\b(?:latest|newest|most recent|recent|recently|currently|nowadays|up[- ]to[- ]date)\b", re.IGNORECASE
)
_INTENTS: tuple[tuple[Intent, re.Pattern[str]], ...] = (
    (
        "error",
        re.compile(
            r"\b(?:errors?|exceptions?|traceback|stack ?trace|segfault|crash(?:es|ed|ing)?|fail(?:s|ed|ing)? (?:to|with)|"
            r"(?:does|do|is|are|did)(?: not|n't) work(?:ing)?|not working|undefined reference|permission denied|timed out)\b",
            re.IGNORECASE,
        ),
    ),
    ("example", re.compile(r"\b(?:(?:code )?(?:examples?|samples?|snippets?)|demos?)\b", re.IGNORECASE)),
    (
        "tutorial",
        re.compile(
            r"\b(?:tutorials?|getting started|get started|quick ?start|walk-?through|step[- ]by[- ]step|first steps|"
            r"learn(?:ing)? (?:to|how)|introduction to|beginners?)\b",
            re.IGNORECASE,
        ),
    ),
    (
        "how-to",
        re.compile(
            r"\bhow[ -]to\b|\bhow (?:do|does|can|could|should|would|might) (?:i|we|you|one|somebody|someone)\b|"
            r"\A\s*(?:steps|ways?) to\b|\bbest way to\b",
            re.IGNORECASE,
        ),
    ),
    (
        "definition",
        re.compile(
            r"\A\s*what(?:'s| is| are| does)\b|\b(?:definition of|meaning of|define|what .{1,80} means?)\b|\A\s*explain\b",
            re.IGNORECASE,
        ),
    ),
    (
        "api",
        re.compile(
            r"\b(?:api|signature|parameters?|arguments?|returns?|return (?:value|type)|constructor|"
            r"command[- ]line options?|endpoint|syntax)\b",
            re.IGNORECASE,
        ),
    ),
)


@lru_cache(maxsize=512)
def understand(text: str, semantic_weight: float = 0.6, keyword_weight: float = 0.4) -> Understood:
    """Say what a question seems to want.

    Args:
        text: Any text.
        semantic_weight: What similarity counts where nothing is known of the question.
        keyword_weight: What words count; one of the two is above 0.
    """
    said = text[:MAX_CHARACTERS]
    entities = _entities(said)
    intent = _intent(said, entities)
    doc_types = DOC_TYPES[intent]
    if _CHANGES.search(said):
        doc_types = ("changelog",)
    elif _SAID.search(said):
        doc_types = ("message",)
    total = semantic_weight + keyword_weight
    semantic = semantic_weight / total * (1 - LITERAL_SHIFT * _literal(said, entities))
    return Understood(
        intent=intent,
        complexity=_complexity(said, entities),
        entities=entities,
        doc_types=doc_types,
        suggested_filters={"doc_type": doc_types} if doc_types else {},
        semantic_weight=round(semantic, 4),
        keyword_weight=round(1 - semantic, 4),
    )


def wants_the_latest(text: str) -> bool:
    """Tell whether a question asks for what is newest."""
    return _LATEST.search(text[:MAX_CHARACTERS]) is not None


def _entities(said: str) -> tuple[Entity, ...]:
    found: dict[tuple[str, str], Entity] = {}

    def add(text: str, kind: str) -> None:
        if len(found) < MAX_ENTITIES:
            found.setdefault((text, kind), Entity(text, kind))  # type: ignore[arg-type]

    for match in _QUOTED.finditer(said):
        inside = next(group for group in match.groups() if group is not None).strip()
        if len(inside) > 1:
            add(
                inside,
                _kind_of(inside, "") or ("identifier" if match.group(5) and _NAME.fullmatch(inside) else "phrase"),
            )
    before = ""
    for match in _TOKEN.finditer(_QUOTED.sub(" ", said)):
        token = (
            match.group().strip(".:'’*=/\\|~^-+&")
            if not match.group().startswith("--")
            else match.group().rstrip(".:'=")
        )
        if len(token) > 1 and (kind := _kind_of(token, before)) is not None:
            add(token, kind)
        before = token.lower()
    return tuple(found.values())


def _kind_of(token: str, before: str) -> str | None:
    if _ERROR.fullmatch(token) or token in _ERRNO:
        return "error"
    if _VERSION.fullmatch(token):
        # 2.5 may be any number; 2.5.1 and v2.5 are versions.
        sure = token[0] in "vV" or token.count(".") > 1 or before in _VERSION_WORDS or not token[-1].isdigit()
        return "version" if sure else None
    return "identifier" if _is_identifier(token) else None


def _is_identifier(token: str) -> bool:
    """Tell names of code from words: camelCase, PascalCase with two humps, snake_case, dotted.names, scope::names, --flags."""
    if token.startswith("--"):
        return len(token) > 3 and token[2].isalpha()
    parts = [part for part in re.split(r"\.|::|->|#|/|@", token) if part]
    if not parts or not all(_NAME.fullmatch(part) for part in parts):
        return False
    if len(parts) > 1:
        return "/" not in token and all(len(part) > 1 for part in parts) and not token.lower().startswith("www.")
    name = parts[0]
    if "_" in name.strip("_"):
        return True
    return name.startswith("__") or (_HUMPS.search(name) is not None and not name.isupper() and name.isascii())


def _intent(said: str, entities: tuple[Entity, ...]) -> Intent:
    if any(entity.kind == "error" for entity in entities):
        return "error"
    for intent, pattern in _INTENTS:
        if pattern.search(said):
            return intent
    named = [entity for entity in entities if entity.kind == "identifier"]
    return "api" if named and len(_WORD.findall(said)) <= 2 + 3 * len(named) else "other"


def _literal(said: str, entities: tuple[Entity, ...]) -> float:
    """Give the share of a question's letters that stand in names, 0 to 1."""
    letters = sum(map(len, _WORD.findall(said)))
    named = sum(len(word) for entity in entities for word in _WORD.findall(entity.text))
    return min(1.0, named / letters) if letters else 0.0


def _complexity(said: str, entities: tuple[Entity, ...]) -> Literal["simple", "medium", "complex"]:
    words = len(_WORD.findall(said))
    if words > 25 or said.count("?") > 1 or len(entities) > 3:
        return "complex"
    return "simple" if words <= 5 else "medium"
