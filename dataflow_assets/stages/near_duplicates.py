"""Near duplicates: whether two texts say the same in nearly the same words.

What belongs here: the words of a text, the hashes by which likely pairs are found (MinHash over runs of words, in bands), and
the verdict on a pair. What does not: which pairs are looked at, and which document of a group stays (`warehouse`).

The verdict is careful, since a document that is taken for a duplicate is not searched: nearly all runs of five words must be
shared, and what differs must be wording. Whatever stands in one text and not in the other and is a number, a name of code, a
link or a negation keeps both; so do words that were exchanged and are names, opposites, or what a text keeps speaking of. So
translations stay, and so do pages of two versions that differ in a version, a price or a "not", and pages of one template.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Shingles = NDArray[np.uint64]

CODE_VERSION = 2
"""Another number finds the likely pairs anew, and judges all pairs again."""

SHINGLE = 5
"""Words of a run. Broder (1997), "On the resemblance and containment of documents", uses 10, most of its successors 4 to 9."""
MIN_WORDS = 40
"""Shorter texts are never near duplicates: one word is much of what they say."""
BANDS, ROWS = 16, 8
"""A pair with 90 % of its runs shared is found with a chance of 1 - (1 - 0.9^8)^16 = 0.9999, one with 50 % with 0.06."""

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0eff"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")
"""Scripts that put no spaces between words count by the character."""
_CJK_CHARACTER = re.compile(rf"[{_CJK}]")
_BROKEN = re.compile(r"\u00ad|(?<=[^\W\d_])-(?:[ \t]*+\n[ \t]*+)?(?=[^\W\d_])")
"""A hyphen within a word, with or without a break of the line behind it."""
_TOKEN = re.compile(
    r"(?<!\S)(?:[<=!>]=|[<=≤≥]|&&|\|\|)(?!\S)"  # an operator that stands alone
    r"|(?:[-+$€£¥<>≤≥~±#]{1,3}(?=\d))?\w(?:\S*\w)?(?:[%€£¥°]|\+\+|\#)?"
)
"""A word without the punctuation and markup around it, with the sign and the unit of a number."""
_SUBSTANCE = re.compile(r"\d|[_@#$€£¥%°=<>≤≥{}\\/]|&&|\|\||\+\+|\w[.:]\w|[a-z][A-Z]")
"""What marks a number, a name of code, a path, a link, an address or a sum."""
_NEGATIONS = frozenset(
    """
    no not none never nor neither without cannot can't don't doesn't didn't won't isn't aren't wasn't shouldn't mustn't
    can’t don’t doesn’t didn’t won’t isn’t aren’t wasn’t shouldn’t mustn’t
    nicht kein keine keinen keiner nie niemals ohne ne pas non jamais sans aucun aucune ni nunca sin ningún ninguna não nem sem
    niet geen nooit zonder inte ingen aldrig ikke aldri не нет никогда без ei nie bez nikdy nem değil ليس لا لن لم
    """.split()
)
_COUNTS = frozenset(
    """
    two three four five six seven eight nine ten eleven twelve twenty thirty fifty hundred thousand million billion half twice
    second third fourth fifth monday tuesday wednesday thursday friday saturday sunday january february april june july august
    september october november december zwei drei vier fünf sechs sieben acht neun zehn elf zwölf hundert tausend million halb
    montag dienstag mittwoch donnerstag freitag samstag sonntag januar februar märz mai juni juli oktober dezember
    deux trois quatre cinq sept huit neuf dix cent mille lundi mardi mercredi jeudi vendredi samedi dimanche
    dos tres cuatro cinco seis siete ocho nueve diez cien mil lunes martes miércoles jueves viernes sábado domingo
    """.split()
)
_MARKS = re.compile(r"[不没沒未無无非否勿別别一二三四五六七八九十百千万萬億亿]|ない|ません|なく|なかっ|않|없|못|ไม่")
"""Negations and numbers of scripts that put no spaces between words."""
_OPPOSITES = """
    enable disable|enabled disabled|allow deny|allow forbid|allowed denied|allowed forbidden|allowed prohibited|true false|yes no
    on off|before after|above below|over under|more less|more fewer|minimum maximum|min max|increase decrease|increases decreases
    read write|reads writes|add remove|added removed|start stop|open close|opened closed|open closed|first last|required optional
    mandatory optional|must may|must should|must can|shall may|should may|public private|left right|up down|import export
    encrypt decrypt|upper lower|higher lower|high low|greater less|greater smaller|larger smaller|client server|input output
    source target|source destination|sender receiver|buyer seller|lender borrower|landlord tenant|always sometimes|all some|any all
    success failure|succeeds fails|pass fail|accept reject|accepted rejected|inside outside|internal external|inclusive exclusive
    synchronous asynchronous|mutable immutable|old new|older newer|oldest newest|north south|east west|his her|he she
    erlaubt verboten|muss kann|muss darf|vor nach|links rechts|mehr weniger|an aus|ein aus|immer selten|alle einige
    avant après|gauche droite|plus moins|antes después|izquierda derecha|más menos|siempre nunca
    """
_OPPOSITE: dict[str, set[str]] = {}
for _pair in _OPPOSITES.replace("\n", "|").split("|"):
    for _one, _other in [_pair.split(), _pair.split()[::-1]] if _pair.strip() else ():
        _OPPOSITE.setdefault(_one, set()).add(_other)
_UN = ("un", "in", "im", "il", "ir", "dis", "non", "de", "anti")
_INSIDE = re.compile(r"(?<![\s.!?:;…|>#*•-])[ \t]++[\"'(\[*„“«]*+(\w[\w'’]*+)")
"""A word that does not begin a line, a sentence, a cell of a table or an item of a list."""


def shingles(text: str) -> Shingles:
    """Give the distinct hashes of a text's runs of five words, sorted; none for a short text."""
    import numpy as np

    words = _WORD.findall(_BROKEN.sub("", text).casefold())
    if len(words) < MIN_WORDS:
        return np.empty(0, np.uint64)
    known = {word: zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in set(words)}
    hashes = _mixed(np.fromiter(map(known.__getitem__, words), np.uint64, len(words)))
    rows = len(hashes) - SHINGLE + 1
    runs = np.zeros(rows, np.uint64)
    with np.errstate(over="ignore"):
        for place in range(SHINGLE):
            runs = runs * np.uint64(0x100000001B3) + hashes[place : place + rows]
    return np.unique(_mixed(runs))


def substance(text: str) -> int:
    """Hash how often which numbers, names of code, links and negations stand in a text, wherever they stand.

    Texts that differ in it are never near duplicates; thousands of pages of one template need not be compared.
    """
    words = _told_by(text).substance
    told = "\n".join(f"{word} {count}" for word, count in sorted(words.items()))
    return int.from_bytes(hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=7).digest(), "big")


def bands(runs: Shingles, substance: int = 0) -> list[int]:
    """Hash runs of words into bands: texts that share one are looked at; none for a short text.

    Args:
        runs: What `shingles` gave.
        substance: What `substance` gave: only texts of the same share a band.

    Returns:
        `BANDS` signed 64-bit numbers.
    """
    import numpy as np

    if not len(runs):
        return []
    lowest = np.full(BANDS * ROWS, np.iinfo(np.uint64).max, np.uint64)
    odd, shift = _permutations()
    with np.errstate(over="ignore"):
        for start in range(0, len(runs), 4096):
            block = runs[start : start + 4096]
            lowest = np.minimum(lowest, (block[None, :] * odd[:, None] + shift[:, None]).min(axis=1))
        rows = lowest.reshape(BANDS, ROWS)
        joined = np.arange(1, BANDS + 1, dtype=np.uint64) + np.uint64(substance)
        for place in range(ROWS):
            joined = _mixed(joined * np.uint64(0x9E3779B97F4A7C15) + rows[:, place])
    return [int(value) for value in joined.view(np.int64)]


def similarity(one: Shingles, other: Shingles) -> float:
    """Give the share of runs that two texts have in common (Jaccard), from 0 to 1."""
    import numpy as np

    if not len(one) or not len(other):
        return 0.0
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


def differ_in_substance(one: str, other: str) -> bool:
    """Say whether what only one of two texts holds is more than wording.

    That is a number, a name of code, a link or a negation that only one has; a name, or a word that it uses at least twice,
    where the other has another one; or a word and its opposite.
    """
    mine, theirs = _told_by(one), _told_by(other)
    if mine.substance != theirs.substance:
        return True
    here, there = mine.words - theirs.words, theirs.words - mine.words
    if not here or not there:
        return False  # the one says all that the other says
    if any(word in mine.names and word not in theirs.words for word in here) and any(
        word in theirs.names and word not in mine.words for word in there
    ):
        return True
    folded, other_folded = _folded(here), _folded(there)
    if _keeps_speaking_of(folded, theirs.folded) and _keeps_speaking_of(other_folded, mine.folded):
        return True
    exchanged = folded.keys() - other_folded.keys(), other_folded.keys() - folded.keys()
    return any(
        not others.isdisjoint((*_OPPOSITE.get(word, ()), *(start + word for start in _UN)))
        for words, others in (exchanged, exchanged[::-1])
        for word in words
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """What a text says, in words."""

    words: Counter[str]
    folded: frozenset[str]
    """The words in lower case."""
    substance: Counter[str]
    names: frozenset[str]
    """Words with a capital letter where no sentence begins."""


@lru_cache(maxsize=16)
def _told_by(text: str) -> _Told:
    words = _words_of(text)
    return _Told(
        words,
        frozenset(map(str.casefold, words)),
        _substance_of(words, text),
        frozenset(word for word in _INSIDE.findall(text) if word[0].isupper()),
    )


def _words_of(text: str) -> Counter[str]:
    return Counter(_TOKEN.findall(_CJK_CHARACTER.sub(" ", _BROKEN.sub("", text))))


def _substance_of(words: Counter[str], text: str) -> Counter[str]:
    found = Counter(
        {
            word: count
            for word, count in words.items()
            if _SUBSTANCE.search(word) or (folded := word.casefold()) in _NEGATIONS or folded in _COUNTS
        }
    )
    found.update(_MARKS.findall(text))
    return found


def _folded(words: Counter[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for word, count in words.items():
        found[word.casefold()] += count
    return found


def _keeps_speaking_of(words: Counter[str], others: frozenset[str]) -> bool:
    """Say whether a text uses a word at least twice that the other one never uses."""
    return any(count > 1 and word not in others for word, count in words.items())


def _mixed(values: Any) -> Any:
    """Spread hashes over 64 bits (the finaliser of SplitMix64)."""
    import numpy as np

    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def _permutations() -> tuple[Any, Any]:
    import numpy as np

    seeds = _mixed(np.arange(1, 2 * BANDS * ROWS + 1, dtype=np.uint64))
    return seeds[::2] | np.uint64(1), seeds[1::2]
