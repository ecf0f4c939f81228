"""Which language a text is in.

What belongs here: ISO 639 codes, what a document says of its language, and the detection. CLD2 (Apache-2.0) was right
on 470 of 484 pages of documentation in 7 languages where py3langid was on 477 and lingua on 460, and it needs 10 ms
and 14 MB to load and 0.04 ms a page where they need seconds and a hundred megabytes; most of its misses are reference
pages with hardly a sentence in them, and those name their language themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

UNDETERMINED = "und"

_TWO_LETTERS = frozenset(
    [
    "aa", "ab", "ae", "af", "ak", "am", "an", "ar", "as", "av", "ay", "az", "ba", "be", "bg", "bh", "bi", "bm",
    "bn", "bo", "br", "bs", "ca", "ce", "ch", "co", "cr", "cs", "cu", "cv", "cy", "da", "de", "dv", "dz", "ee",
    "el", "en", "eo", "es", "et", "eu", "fa", "ff", "fi", "fj", "fo", "fr", "fy", "ga", "gd", "gl", "gn", "gu",
    "gv", "ha", "he", "hi", "ho", "hr", "ht", "hu", "hy", "hz", "ia", "id", "ie", "ig", "ii", "ik", "io", "is",
    "it", "iu", "ja", "jv", "ka", "kg", "ki", "kj", "kk", "kl", "km", "kn", "ko", "kr", "ks", "ku", "kv", "kw",
    "ky", "la", "lb", "lg", "li", "ln", "lo", "lt", "lu", "lv", "mg", "mh", "mi", "mk", "ml", "mn", "mr", "ms",
    "mt", "my", "na", "nb", "nd", "ne", "ng", "nl", "nn", "no", "nr", "nv", "ny", "oc", "oj", "om", "or", "os",
    "pa", "pi", "pl", "ps", "pt", "qu", "rm", "rn", "ro", "ru", "rw", "sa", "sc", "sd", "se", "sg", "si", "sk",
    "sl", "sm", "sn", "so", "sq", "sr", "ss", "st", "su", "sv", "sw", "ta", "te", "tg", "th", "ti", "tk", "tl",
    "tn", "to", "tr", "ts", "tt", "tw", "ty", "ug", "uk", "ur", "uz", "ve", "vi", "vo", "wa", "wo", "xh", "yi",
    "yo", "za", "zh", "zu",
]
)  # fmt: skip
_THREE_LETTERS = {
    "eng": "en", "deu": "de", "ger": "de", "fra": "fr", "fre": "fr", "spa": "es", "ita": "it", "por": "pt", "nld": "nl",
    "dut": "nl", "jpn": "ja", "kor": "ko", "zho": "zh", "chi": "zh", "cmn": "zh", "rus": "ru", "pol": "pl", "tur": "tr",
    "ara": "ar", "ces": "cs", "cze": "cs", "swe": "sv", "dan": "da", "nor": "no", "fin": "fi", "ell": "el", "gre": "el",
    "heb": "he", "hin": "hi", "hun": "hu", "ukr": "uk", "vie": "vi", "tha": "th", "ron": "ro", "rum": "ro", "ind": "id",
    "fas": "fa", "per": "fa", "bul": "bg", "cat": "ca", "hrv": "hr", "slk": "sk", "slo": "sk", "slv": "sl", "lat": "la",
}  # fmt: skip
_FORMER = {"iw": "he", "in": "id", "ji": "yi", "jw": "jv", "mo": "ro", "sh": "sr", "nb": "no", "bh": "bho"}
_NAMES = {
    "english": "en", "german": "de", "deutsch": "de", "french": "fr", "français": "fr", "spanish": "es",
    "español": "es",
    "japanese": "ja", "korean": "ko", "chinese": "zh", "portuguese": "pt", "russian": "ru", "italian": "it",
}  # fmt: skip

_WINDOW = 1_000
_WINDOWS = 2
_SHORT = 8
"""Letters below which nothing is said, unless the script says it."""
_NO_PROSE = re.compile(
    r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1|\Z)|`[^`\n]*`|<[^<>\n]{1,300}>|\w{2,9}://\S+|\]\([^()\s]*\)|:[a-z:]{2,30}:|"
    r"\b\w*[_\d]\w*\b|\b\w+(?:[.:/\\@]+\w+)+",
    re.MULTILINE | re.DOTALL,
)
_FENCED = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1|\Z)", re.MULTILINE | re.DOTALL)
_NO_LETTERS = re.compile(r"[^\w']+")
_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7a3]")),
    ("zh", re.compile("[\u4e00-\u9fff]")),
    ("th", re.compile("[\u0e00-\u0e7f]")),
    ("el", re.compile("[\u0370-\u03ff]")),
    ("he", re.compile("[\u0590-\u05ff]")),
    ("ka", re.compile("[\u10a0-\u10ff]")),
    ("hy", re.compile("[\u0530-\u058f]")),
)
"""Scripts that tell the language, or nearly; Japanese before Chinese, since it writes in both."""


@dataclass(frozen=True, slots=True)
class Detected:
    """What the text itself says."""

    language: str
    sure: bool
    """Whether it may overrule what the document says of itself."""
    others: tuple[str, ...] = ()
    """All languages that were found, the first one included."""


def detect_language(text: str) -> str:
    """Tell the language of a text from a sample of its prose.

    Returns:
        An ISO 639-1 code, 639-3 for languages without one, `und` where it cannot be told.
    """
    return detect(text).language


def detect(text: str) -> Detected:
    """Tell the language of a text, and how sure that is."""
    sample = _prose(text)
    if not sample:
        return Detected(UNDETERMINED, False)
    import pycld2  # type: ignore[import-untyped]

    try:
        reliable, _, details = pycld2.detect(sample, isPlainText=True, bestEffort=True)
    except (pycld2.error, ValueError):
        return Detected(_by_script(sample), False)
    found = [(code, percent) for _, given, percent, _ in details if (code := language_code(given)) is not None]
    if not found or len(sample) < _SHORT or _is_repetition(sample):
        return Detected(_by_script(sample), False)
    best, percent = found[0]
    return Detected(best, bool(reliable) and percent >= 90 and len(sample) >= 200, tuple(code for code, _ in found))


def language_code(said: object) -> str | None:
    """Give the ISO 639 code of what a document says of its language: `de` for `de-AT`, `de_DE`, `deu` or `German`."""
    if not isinstance(said, str) or len(said) > 40:
        return None
    name = said.strip().lower()
    primary = re.split(r"[-_]", name)[0]
    primary = _NAMES.get(name, _THREE_LETTERS.get(primary, _FORMER.get(primary, primary)))
    if primary in _TWO_LETTERS or (len(primary) == 3 and primary.isascii() and primary.isalpha() and primary != "und"):
        return primary
    return None


def _prose(text: str) -> str:
    """Take a few windows of the text and leave of them letters and spaces only."""
    if len(text) <= _WINDOW * _WINDOWS:
        sample = text
    else:
        middle = len(text) // 2
        sample = f"{text[:_WINDOW]}\n\n{text[middle : middle + _WINDOW]}"
    if "```" in sample or "~~~" in sample:
        sample = _FENCED.sub(" ", sample)
    words = " ".join([word for word in sample.split() if word.isalpha()])
    if len(words) * 3 > len(sample):
        return words
    return _NO_LETTERS.sub(" ", _NO_PROSE.sub(" ", sample)).strip().replace("_", " ")


def _is_repetition(sample: str) -> bool:
    """Tell a few words said again and again, which are no evidence of a language."""
    words = sample.split()
    return len(words) > 20 and len(set(words)) < 5


def _by_script(sample: str) -> str:
    return next((code for code, script in _SCRIPTS if script.search(sample)), UNDETERMINED)
