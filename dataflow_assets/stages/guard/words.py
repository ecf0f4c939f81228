"""Words: what of a word must not be lost, by lists.

What belongs here: which words negate, count, order or join, so that a sentence says something else without them, and which are
small enough to come and go. What does not: which word may stand in the place of another (`spelling`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib import resources

LETTERS = re.compile(r"[^\W\d_]+")
"""A run of letters."""
NEGATIONS = frozenset(
    "no not never none nobody nothing nowhere neither nor cannot without hardly scarcely barely except unless "
    "nicht kein keine keinen keiner keinem keines nie niemals ohne ne pas jamais sans rien non nunca sin não nem sem "
    "ni senza mai niet geen nooit zonder inte aldrig".split()
)
CONTRACTED = frozenset(
    "dont doesnt didnt isnt arent wasnt werent havent hasnt hadnt wont wouldnt cant couldnt shouldnt mustnt neednt aint "
    "shant mightnt".split()
)
_QUANTITIES = frozenset(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion "
    "dozen half twice thrice once double triple first second third fourth fifth sixth seventh eighth ninth tenth "
    "january february march april may june july august september october november december monday tuesday wednesday "
    "thursday friday saturday sunday today tomorrow yesterday am pm "
    "nanosecond microsecond millisecond seconds minute hour day week month year decade century bit byte kilobyte megabyte "
    "gigabyte terabyte kibibyte mebibyte gibibyte meter metre kilometer kilometre centimeter centimetre millimeter "
    "millimetre inch foot feet yard mile gram kilogram pound ounce ton tonne liter litre gallon degree celsius fahrenheit "
    "kelvin watt volt ampere hertz dollar euro cent percent pixel point".split()
)
_LOGIC = frozenset(
    "and or if all any every some both either always sometimes often rarely seldom must may might shall should can could "
    "will would before after until since more less most least many few fewer above below over under up down on off in out "
    "left right true false yes only true".split()
) - {"in", "on", "will", "can", "since"}
OPPOSITES = frozenset(
    frozenset(pair.split("/"))
    for pair in (
        "minimum/maximum minimal/maximal min/max inner/outer upper/lower synchronous/asynchronous sync/async "
        "affirm/deny ascending/descending prefix/suffix server/client sender/render rise/raise public/private host/guest "
        "get/set former/latter later/latest latest/greatest now/new source/sink row/column read/write last/least"
    ).split()
)
PREFIXES = tuple(
    "un non in im ir il dis mis anti de en em ex a pre post sub super over under up down inter intra multi mono "
    "uni bi tri re pro contra hyper hypo micro milli nano mega giga kilo tera out up off on with".split()
)
SMALL_WORDS = frozenset(
    "a an the to of is are be been was were has have had that as at by for from it its with in on".split()
)
TRUE_WORDS = frozenset(
    "agent alter arch arena aster beast bless blow booth bounce bound bright chant cold collar conch cover decide decode deter "
    "doubled downs east even ever faint fever fight fist fleet flour fort forth found fright green hall haven height hover inter "
    "iter joint last later lease lever light litter liver lover marsh match mere metro might mighty moist mouth newer niche night "
    "nonce noting overt paint parent pond print rent rights round saint scans scent seen sever shaft shell sight small smile "
    "sometime sound stall teeth tent thee there threw thrive tight tone tree undef util very want weight wonder world wound yeast "
    "barley cannon cloud expect lose scant thing hardy thrust wither".split()
)
"""Words that are right as they are, and one slip from a word that says how many, whether or when."""
ARTICLES = frozenset({"a", "an", "the"})


@cache
def common_words() -> frozenset[str]:
    """Give 4,000 words that stand in documentation in lower case, so that they are no names."""
    listed = resources.files("dataflow_assets.stages.guard") / "common_words.txt"
    return frozenset(listed.read_text(encoding="utf-8").split())


def meaning(word: str) -> str | None:
    """Give the key of a word whose loss or gain changes what a sentence says; None for other words."""
    bare = bare_word(word).lower()
    if bare in CONTRACTED or bare == "cannot" or (bare.endswith("nt") and word[-2:-1] in "'’" and len(word) > 2):
        return "not"
    if bare in NEGATIONS or bare in _QUANTITIES or bare in _LOGIC:
        return bare
    if bare.endswith("s") and bare[:-1] in _QUANTITIES:
        return bare[:-1]
    return None


def meanings(words: Iterable[str]) -> list[str]:
    """List the keys of those words that have one, in order."""
    return [key for key in map(meaning, words) if key]


def bare_word(word: str) -> str:
    """Leave out what may stand in or beside a word and is no letter of it."""
    return re.sub(r"['’\s.,;-]", "", word)
