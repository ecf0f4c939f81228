"""The corrector that costs nothing: the `typos` spelling tool, run as a filter beside the process.

What belongs here: finding the program, streaming texts through it, and choosing among its findings those that are a
misspelt English word beyond doubt. What does not: what a correction may touch (`stages.guard` decides that for every
corrector), and which texts are asked about (`stages.correct`).

`typos` knows tens of thousands of misspellings and what each was meant to be. It is exact on those and blind to the
rest, so almost every choice here is about leaving a word alone: parts of identifiers, words of other languages that
happen to look like English misspellings, and misspellings with more than one plausible meaning.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from importlib import metadata
from itertools import islice
from pathlib import Path

from dataflow_assets.errors import ModelError
from dataflow_assets.models.base import Asked, Objection, Proposal

TEXTS_AT_ONCE = 500
"""Texts that are read ahead."""

BATCH_CHARACTERS = 8_000_000
"""How much text goes through one process: enough that its start does not count, little enough for any memory."""

TIMEOUT_SECONDS = 600
"""When the program is taken to hang. It needs about half a second for a batch."""

MIN_LETTERS = 4
"""Shorter words are names, units and words of other languages more often than misspellings."""

SHORT_MISSPELLINGS = frozenset({"teh", "hte", "adn", "nad", "taht"})
"""What is short and still beyond doubt."""

KEPT = frozenset(
    "writeable useable parm parms referer selectin froms certifi arange asend excpt ands ors interm "
    "unter modul objekt dokument adresse programm funktion methode interaktive relativ importante programa".split()
)
"""What the tool counts as misspelt, and is a variant, a term, a package, or a common word of another language."""

MIN_LETTERS_RANKED = 6
"""From this length on, one of several candidates may be taken, where the slip that leads to it is much likelier."""

GAP = 2
"""How much likelier: the distance in `_slip` to the next candidate."""

AMBIGUOUS = frozenset({"proceding", "procede", "procedes", "proceded", "achive", "achived", "achives"})
"""Whose likelier slip is not the likelier meaning."""

WINDOW = 400
"""About how many characters on each side tell the language around a word."""

WIDE_WINDOW = 3200
"""And how many where those do not tell it clearly."""

_NOT_TEXT = bytes(byte if 32 <= byte < 127 or byte == 10 else 32 for byte in range(256))
"""What the program gets of each byte: control characters would make it guess at binary data."""

_ENGLISH = frozenset(
    "the of and is to for with that this are be it from by you can not which will have has if when should but or "
    "your these its into then than there their they we may must such any each more other been does only used".split()
)
_FOREIGN = frozenset(
    # German, Dutch, and the Scandinavian languages
    "der das und ist nicht ein eine einen einem einer eines den dem mit für auf von zu im sich auch werden wird sie wenn "
    "oder als bei nach aus kann wie nur über diese dieser dieses zum zur es sind wir ich durch einfach "
    "het een van dat niet zijn voor met worden och att som är av på inte ikke og til "
    # Spanish, Portuguese, French, Italian, Catalan, Romanian
    "el la los las un una del que en para por con se su lo como al más este esta puede sin pero sus ser esto "
    "os um uma dos das em com não são você mais pelo ou ao "
    "le les une des du de et est pour dans qui sur pas par avec ce cette au aux il vous ne plus sont nous être dont "
    "gli di che è della per sono nel alla dei anche și în pentru este amb els "
    # Polish, Czech, Turkish
    "jest nie się że jako jsou pro ve bir bu için ile".split()
)
_WORD = re.compile(r"[^\W\d_]+")
_MARKED_BEFORE = re.compile(r"[A-Za-z](?:\*{1,3}|</\w{1,8}>)$")
_MARKED_AFTER = re.compile(r"(?:\*{1,3}|<\w{1,8}>)[A-Za-z]")
_CODE_BEFORE = ("_", "`", "#", "@", "\\", "/", ".", "$")
_CODE_AFTER = ("_", "`", "(", "=")
MAX_LOOKS = 50
"""How many occurrences of a word are looked at."""
_DETERMINER = re.compile(r" (?:an?|the|all|this|these|each|every|its|your|their)\b")
_CODE = re.compile(r"`[^`\n]*`|\{[^{}\n]*\}|\]\([^()\n]*\)|<[^<>\n]*>|\w*[_/]\w*")
_WIDE = re.compile(r"[\u0370-\u1fff\u2c00-\ud7ff\uf900-\ufaff\uff66-\uffdc]|[\U00010000-\U0001efff]")
"""Letters of other scripts, and of those written without spaces."""


class TyposCorrector:
    """Proposes the spellings that the `typos` program offers.

    All texts go through as few processes as possible. The program sees one byte per code point, so its positions are
    positions in the text, whatever the text holds. It reads no configuration file of the person who runs it.

    Args:
        program: The program to run; by default the one that came with the Python package `typos`.

    Raises:
        ModelError: The program is not there.
    """

    def __init__(self, program: Path | None = None) -> None:
        self._program = program or find_program()

    @cached_property
    def name(self) -> str:
        """`typos-` and the program's version: another version knows other words."""
        words = self._run(b"", "--version").decode("utf-8", "replace").split()
        return f"typos-{words[-1]}" if words else "typos"

    def propose(self, texts: Iterable[Asked], objection: Objection | None = None) -> Iterator[Proposal]:
        """Give one proposal per text; a text that needs nothing comes back as it is.

        Raises:
            ModelError: The program cannot be run, or ends in a way that it should not.
        """
        rest = iter(texts)
        while batch := list(islice(rest, TEXTS_AT_ONCE)):
            distinct = list(dict.fromkeys(asked.text for asked in batch))
            mended = dict(zip(distinct, self.mend(distinct), strict=True))
            for asked in batch:
                yield Proposal(asked.key, text=mended[asked.text])

    def mend(self, texts: Sequence[str]) -> list[str]:
        """Give each text with the mistakes that the program knows mended, in order.

        Raises:
            ModelError: The program cannot be run, or ends in a way that it should not.
        """
        proposals = list(texts)
        for batch in _batches(texts):
            for index, replacements in self._findings([texts[i] for i in batch]):
                text = texts[batch[index]]
                language = _Language(text)
                chosen = [found for found in replacements if language.is_english(found[0])]
                proposals[batch[index]] = _replaced(text, chosen)
        return proposals

    def _findings(self, texts: Sequence[str]) -> Iterator[tuple[int, list[tuple[int, int, str]]]]:
        """Yield the index of each text with findings, and what would be replaced there, in order."""
        first_lines, lines = [], 0
        for text in texts:
            first_lines.append(lines)
            lines += text.count("\n") + 1
        stream = "\n".join(texts).replace("\u2019", "'").encode("ascii", "replace").translate(_NOT_TEXT)
        output = self._run(stream, "--isolated", "--locale", "en", "--format", "json", "-")

        current, starts = -1, [0]
        found: list[tuple[int, int, str]] = []
        for line in output.splitlines():
            finding = json.loads(line)
            if finding.get("type") != "typo":
                continue
            row = finding["line_num"] - 1
            index = bisect_right(first_lines, row) - 1
            if index != current:
                if found:
                    yield current, found
                current, starts, found = index, _line_starts(texts[index]), []
            start = starts[row - first_lines[index]] + finding["byte_offset"]
            end = start + len(finding["typo"])
            choice = _choice(texts[index], start, end, finding["corrections"])
            if choice is not None:
                found.append((start, end, choice))
        if found:
            yield current, found

    def _run(self, stream: bytes, *arguments: str) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 - the program is our own dependency, its arguments are constants
                [str(self._program), *arguments],
                input=stream,
                capture_output=True,
                check=False,
                timeout=TIMEOUT_SECONDS,
                cwd=self._program.parent,  # the current folder may be gone, and is no business of the program's
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(
                f"The spelling tool {self._program} did not answer within {TIMEOUT_SECONDS} seconds. Run again."
            ) from error
        except OSError as error:
            raise ModelError(
                f"The spelling tool {self._program} cannot be started ({error.strerror or error}). "
                "Install the Python package `typos` again."
            ) from error
        if done.returncode not in (0, 2):  # 2 says that there are findings
            said = done.stderr.decode("utf-8", "replace").strip()[-300:]
            raise ModelError(
                f"The spelling tool {self._program} ended with status {done.returncode}: {said or 'no message'}. "
                "Install the Python package `typos` again."
            )
        return done.stdout


def find_program() -> Path:
    """Find the program among the files of the Python package `typos`, else beside the interpreter.

    The search path is not asked: what lies there is another person's version.

    Raises:
        ModelError: It is not there.
    """
    names = ("typos", "typos.exe")
    candidates: list[Path] = []
    try:
        files = metadata.distribution("typos").files or []
        candidates += [Path(str(file.locate())) for file in files if file.name in names]
    except metadata.PackageNotFoundError:
        pass
    folders = [Path(sysconfig.get_path("scripts")), Path(sys.executable).parent]
    candidates += [folder / name for folder in folders for name in names]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    raise ModelError(
        "The spelling tool `typos` is not installed beside this Python. "
        "Install the Python package `typos`, or set `corrections: {model: none}` in the catalog."
    )


def _batches(texts: Sequence[str]) -> Iterator[list[int]]:
    batch: list[int] = []
    size = 0
    for index, text in enumerate(texts):
        if not text:
            continue
        if batch and size + len(text) > BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append(index)
        size += len(text) + 1
    if batch:
        yield batch


def _line_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer("\n", text))]


def _replaced(text: str, replacements: Sequence[tuple[int, int, str]]) -> str:
    parts, at = [], 0
    for start, end, new in replacements:
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])


def _choice(text: str, start: int, end: int, candidates: Sequence[str]) -> str | None:
    """Choose what a finding becomes; None where that, or that it is a misspelling, is in doubt."""
    word = text[start:end].replace("\u2019", "'")
    if not word.isascii() or not (word.islower() or word.istitle()):
        return None  # abbreviations and identifiers
    letters = word.lower()
    if letters in KEPT or (len(word) < MIN_LETTERS and letters not in SHORT_MISSPELLINGS):
        return None
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    if _joins(before) or _joins(after):
        return None  # a piece of a longer word, which the program took apart
    if "-" in (before, after) and len(word) < MIN_LETTERS_RANKED:
        return None
    if _MARKED_BEFORE.search(text, max(0, start - 12), start) or _MARKED_AFTER.match(text, end, end + 12):
        return None  # the word goes on behind a mark, as in **d**irectory
    if _is_term(text, word):
        return None
    if len(candidates) > 1:
        candidates = _ranked(text, end, letters, candidates)
    if len(candidates) != 1 or not candidates[0].isascii() or _may_be_cut(text, start, end, candidates[0]):
        return None
    return candidates[0]


def _is_term(text: str, word: str) -> bool:
    """Tell whether a word is also a piece of code in the same text, as `speling` is where mod_speling is spoken of."""
    at = -1
    for _ in range(MAX_LOOKS):
        at = text.find(word, at + 1)
        if at < 0:
            return False
        if text[at - 1 : at] in _CODE_BEFORE or text[at + len(word) : at + len(word) + 1] in _CODE_AFTER:
            return True
    return False


def _may_be_cut(text: str, start: int, end: int, candidate: str) -> bool:
    """Tell whether a word at the edge of the text may be the rest of a word that the edge cuts."""
    word, right = text[start:end].lower(), candidate.lower()
    if (start > 0 or text[0].isupper()) and end < len(text):
        return False
    if len(word) < MIN_LETTERS_RANKED or _slip(word, right) > 4:
        return start == 0 or len(word) < MIN_LETTERS_RANKED
    return (start == 0 and right.endswith(word)) or (end == len(text) and right.startswith(word))


def _ranked(text: str, end: int, letters: str, candidates: Sequence[str]) -> list[str]:
    """Keep the one candidate that is much likelier than all others, or none."""
    if letters == "throught" and _DETERMINER.match(text, end):
        return [candidate for candidate in candidates if candidate.lower() == "through"]
    if len(letters) < MIN_LETTERS_RANKED or letters in AMBIGUOUS:
        return []
    (best, chosen), (next_best, _) = sorted((_slip(letters, c.lower()), c) for c in candidates)[:2]
    return [chosen] if next_best - best >= GAP else []


def _slip(wrong: str, right: str) -> int:
    """Grade the slip of the fingers that leads from one word to another; a higher grade is a rarer slip.

    0 letters swapped, or a letter doubled that is single or the reverse; 1 a letter left out; 2 one too many; 4 one in
    the place of another; 6 anything else.
    """
    short = min(len(wrong), len(right))
    head = next((k for k in range(short) if wrong[k] != right[k]), short)
    tail = next((k for k in range(short - head) if wrong[-1 - k] != right[-1 - k]), short - head)
    gone, come = wrong[head : len(wrong) - tail], right[head : len(right) - tail]
    if len(gone) == 2 and gone == come[::-1]:
        return 0
    if len(gone) + len(come) == 1:
        doubled = head > 0 and wrong[head - 1] == gone + come
        return 0 if doubled else 1 if come else 2
    return 4 if len(gone) == len(come) == 1 else 6


def _joins(neighbour: str) -> bool:
    return bool(neighbour) and (
        neighbour.isalnum() or neighbour == "_" or unicodedata.category(neighbour) in ("Mn", "Mc", "Cs")
    )


class _Language:
    """Tells whether a word of a text stands among English words. Looks at no stretch of the text twice."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._known: dict[tuple[int, int], tuple[int, int]] = {}

    def is_english(self, at: int) -> bool:
        """Tell it of the word at a position: by its paragraph, and by what surrounds that."""
        cell = at // WINDOW
        left, right = max(0, (cell - 1) * WINDOW), (cell + 2) * WINDOW
        opened, closed = self._text.rfind("\n\n", left, at), self._text.find("\n\n", at, right)
        english, foreign = self._counts(max(left, opened), closed if closed >= 0 else right)
        if foreign and foreign >= english:
            return False
        if english > 4 * foreign + 4:
            return True
        block = at // WIDE_WINDOW
        english, foreign = self._counts(max(0, (block - 1) * WIDE_WINDOW), (block + 2) * WIDE_WINDOW)
        return not foreign or english > foreign

    def _counts(self, left: int, right: int) -> tuple[int, int]:
        if (left, right) not in self._known:
            self._known[left, right] = _evidence(self._text[left:right])
        return self._known[left, right]


def _evidence(window: str) -> tuple[int, int]:
    """Count the words that speak for English, and for another language."""
    words = [word for match in _WORD.findall(_CODE.sub(" ", window)) if len(word := match.lower()) > 1]
    english = sum(word in _ENGLISH for word in words)
    foreign = sum(word in _FOREIGN or not word.isascii() for word in words)
    return english, foreign + len(_WIDE.findall(window)) // 4
