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
    r"0[xX][0-9a-fA-F]{4,16}|[A-Za-z_.]{1,80}(?:Error|Exception|Warning|Fault)|"
    r"(?:net::)?ERR(?:_[A-Z0-9]{1,40}){1,8}|(?:SSL|SEC|NS|PKIX)_ERROR(?:_[A-Z0-9]{1,40}){1,8}|"
    r"E(?:AI)?_[A-Z]{3,40}(?:_[A-Z]{1,40}){0,4}"
)
_ERRNO = frozenset([*errno.errorcode.values(), "ENOTFOUND"])
_CODE = re.compile(r"([A-Z]{1,4})(\d{3,6})|([A-Z]{2,6})-(\d{3,6})")
"""Letters and a number: an error code, or the name of something else."""
_NO_CODES = frozenset("AES BIP CP CVE DIN ECMA EIP EN ES HTTP IEC IEEE ISO JEP JSR PEP RFC RSA SHA UTF".split())
"""Letters before the numbers of standards, encodings and the like."""
_CODES = frozenset("BC C CA CS E FS LNK MSB NU PLC PLE PLR PLW TS W".split())
"""Letters of compilers, linkers and linters, whose numbers may look like years: C2065, LNK2019."""
_YEAR = re.compile(r"(?:19|20)\d\d")
_SHORT_CODES = frozenset("EW")
"""Letters that say error or warning themselves: three digits are enough. A100 and P450 are names of other things."""
_ERROR_WORDS = frozenset("error errors warning warnings noqa".split())
_LINTED = re.compile(r"\b(?:noqa|flake8|ruff|pylint|pycodestyle|lint(?:er|ers|ing)?)\b", re.IGNORECASE)
_STATUS = re.compile(
    r"\b(?:HTTP(?:/\d(?:\.\d)?)?|status)(?:[ -](?:status|response|error))?(?:[ -]code)?[ :=-]{0,3}[45]\d\d\b(?![.,]\d)",
    re.IGNORECASE,
)
"""An answer of HTTP that says what failed."""
_VERSION_WORDS = frozenset("version release since python node java php ruby go rust postgres postgresql v".split())
_WORD = re.compile(r"\w+")

_CHANGES = re.compile(
    r"\b(?:change ?logs?|release notes?|what['’]?s new|new in (?:version|v?\d)|changed? (?:in|since) (?:version|v?\d))",
    re.IGNORECASE,
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
_MENDING = re.compile(r"\b(?:fix(?:es|ed|ing)?|(?:re)?solv(?:e|es|ed|ing))\b", re.IGNORECASE)
_BROKEN = re.compile(r"\b(?:warnings?|failures?|bugs?|panics?|exit codes?)\b", re.IGNORECASE)
"""What is wrong, where somebody wants to mend it; elsewhere these words may be a subject."""


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

    changes, linted = _CHANGES.search(said) is not None, _LINTED.search(said) is not None
    for match in _QUOTED.finditer(said):
        inside = next(group for group in match.groups() if group is not None).strip()
        if len(inside) > 1:
            add(
                inside,
                ("error" if _STATUS.fullmatch(inside) else None)
                or _kind_of(inside, "", changes=changes, linted=linted)
                or ("identifier" if match.group(5) and _NAME.fullmatch(inside) else "phrase"),
            )
    rest = _QUOTED.sub(" ", said)
    for match in _STATUS.finditer(rest):
        add(match.group(), "error")
    before = ""
    for match in _TOKEN.finditer(rest):
        token = (
            match.group().strip(".:'’*=/\\|~^-+&")
            if not match.group().startswith("--")
            else match.group().rstrip(".:'=")
        )
        if len(token) > 1 and (kind := _kind_of(token, before, changes=changes, linted=linted)):
            add(token, kind)
        before = token.lower()
    return tuple(found.values())


def _kind_of(token: str, before: str, *, changes: bool, linted: bool) -> str | None:
    """Say what a token names.

    Args:
        token: The token.
        before: The one before it, in small letters.
        changes: Whether the question asks what changed.
        linted: Whether it names a linter.
    """
    if _ERROR.fullmatch(token) or token in _ERRNO or _is_code(token, told=linted or before in _ERROR_WORDS):
        return "error"
    if _VERSION.fullmatch(token):
        # 2.5 may be any number; 2.5.1 and v2.5 are versions.
        sure = (
            changes or token[0] in "vV" or token.count(".") > 1 or before in _VERSION_WORDS or not token[-1].isdigit()
        )
        return "version" if sure else None
    return "identifier" if _is_identifier(token) else None


def _is_code(token: str, *, told: bool) -> bool:
    """Tell error codes from other names that end in a number: E501, TS2345 and ORA-00942 from A100, ES2015 and SHA-256.

    Args:
        token: The token.
        told: Whether the words around it speak of errors.
    """
    match = _CODE.fullmatch(token)
    if match is None:
        return False
    letters, digits = (part for part in match.groups() if part is not None)
    if letters in _NO_CODES or (_YEAR.fullmatch(digits) and letters not in _CODES and not told):
        return False
    return len(digits) > 3 or "-" in token or letters in _SHORT_CODES or told


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
    errors = [entity.text for entity in entities if entity.kind == "error"]
    if not all(map(_STATUS.fullmatch, errors)):
        return "error"
    # A message has several words; one in quotes may be anything.
    message = any(entity.kind == "phrase" and len(entity.text.split()) > 1 for entity in entities)
    if _MENDING.search(said) and (errors or message or _BROKEN.search(said)):
        return "error"
    for intent, pattern in _INTENTS:
        if pattern.search(said):
            return intent
    if errors:  # after the others, since one can be wanted: how do I answer with HTTP 404
        return "error"
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
