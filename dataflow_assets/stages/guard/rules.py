"""The rules: what an edit outside of the protected pieces may do.

What belongs here: the kinds of edits that are allowed, how much of a text may change, and the sentence that says which rule an
edit breaks. What does not: pieces that may not change at all (`protected`), and what becomes of a proposal (`verdict`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from dataflow_assets.stages.guard.differences import TOKEN
from dataflow_assets.stages.guard.edits import Edit, change
from dataflow_assets.stages.guard.spelling import edit_distance, word_breaks
from dataflow_assets.stages.guard.words import ARTICLES, LETTERS, PREFIXES, SMALL_WORDS, bare_word, meanings

_ALLOWED = frozenset(",.;")
MAX_WORD = 64
"""Letters of the longest word that is compared."""
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)


def broken_rule(text: str, edit: Edit) -> str | None:
    """Name the rule that an edit outside of the protected pieces breaks; None if it breaks none."""
    old = TOKEN.findall(text[edit.start : edit.end])
    new = TOKEN.findall(edit.new)
    if max(len(old), len(new)) > 9:
        return f"too much would change in one place: {change(text, edit)}"
    old_words, new_words = [t for t in old if t[0].isalpha()], [t for t in new if t[0].isalpha()]
    shown = change(text, edit)
    for token in (*old, *new):
        if token[0].isalpha():
            if len(token) > MAX_WORD or _UNSPACED.search(token):
                return f"a word that cannot be compared would change: {shown}"
        elif token.isspace():
            if token.strip(" "):
                return f"a line break or indentation would change: {shown}"
        elif token not in _ALLOWED and token != "-":
            return f"something that is no word would change: {shown}"
    if not old_words and not new_words:
        return _marks_break(text, edit, shown)
    if (
        not old_words
        and not (text[edit.start - 1 : edit.start] or " ").isspace()
        and text[edit.end : edit.end + 1].strip()
    ):
        return f"words would be added inside of something: {shown}"
    if old_words and new_words and len(old_words) != len(new_words) and any(t in _ALLOWED for t in (*old, *new)):
        return f"words would be joined or parted: {shown}"
    before, after = _word_before(text, edit.start), _word_after(text, edit.end)
    return _words_break(old_words, new_words, before, after, shown) or _space_breaks(text, edit, old, new, shown)


def _words_break(old: Sequence[str], new: Sequence[str], before: str, after: str, shown: str) -> str | None:
    if not old:
        if len(new) == 1 and new[0] in SMALL_WORDS:
            return None
        return f"words would be added: {shown}"
    if not new:
        small = [word.lower() for word in old]
        if meanings(old):
            return f"the meaning would change: {shown}"
        if len(old) == 1 and (small[0] in ARTICLES or small[0] in (before.lower(), after.lower())):
            return None
        return f"words would be removed: {shown}"
    joined, parted = bare_word("".join(old)), bare_word("".join(new))
    if joined == parted and len(old) != len(new):
        if meanings((*old, *new)) and len(new) > len(old):
            return f"the meaning may change: {shown}"
        if old[0].lower() in PREFIXES or new[0].lower() in PREFIXES or meanings((*old, *new)):
            short = min(old, new, key=len)
            if [bare_word(word) for word in short] not in (
                ["cannot"],
                ["into"],
                ["onto"],
                ["within"],
                ["without"],
                ["alot"],
            ):
                return f"the meaning may change: {shown}"
        return None if meanings(old) == meanings(new) else f"the meaning would change: {shown}"
    if len(old) != len(new):
        return f"words would be replaced: {shown}"
    for one, other in zip(old, new, strict=True):
        reason = word_breaks(one, other)
        if reason:
            return f"{reason}: {shown}"
    return None


def _marks_break(text: str, edit: Edit, shown: str) -> str | None:
    """Judge an edit of punctuation and spaces alone."""
    old, new = text[edit.start : edit.end], edit.new
    before, after = text[edit.start - 1 : edit.start] if edit.start else "", text[edit.end : edit.end + 1]
    if "-" in old or "-" in new:
        if before.isalpha() and after.isalpha() and {old, new} <= {"", " ", "-"}:
            return None
        return f"something that is no word would change: {shown}"
    if not old.strip() and not new.strip():
        if before.strip() and after.strip() and old and new:
            return None
        return f"spaces that may carry a meaning would change: {shown}"
    if not before.strip() or before in "([{<$":
        return f"punctuation at the start of a word would change: {shown}"
    if not new and before.isalnum() and after.isalnum():
        return f"words would be joined or parted: {shown}"
    if new and after and after in "([{":
        return f"something that is no word would change: {shown}"
    if new.endswith((" ", "\t")) and not after.strip() or new and not new[-1].isspace() and after.isalnum():
        return f"spaces that may carry a meaning would change: {shown}"
    return None


def _space_breaks(text: str, edit: Edit, old: Sequence[str], new: Sequence[str], shown: str) -> str | None:
    """Refuse an edit of words that also moves what stands at the edge of a line."""
    if any(token == "-" for token in (*old, *new)) and bare_word("".join(old)) != bare_word("".join(new)):
        return f"something that is no word would change: {shown}"
    before = text[edit.start - 1 : edit.start] if edit.start else ""
    after = text[edit.end : edit.end + 1]
    old_lead, new_lead = bool(old) and old[0].isspace(), bool(new) and new[0].isspace()
    if not before.strip() and before != " " and (old_lead or new_lead):
        return f"a line break or indentation would change: {shown}"
    old_trail, new_trail = bool(old) and old[-1].isspace(), bool(new) and new[-1].isspace()
    if not after.strip() and after != " " and (old_trail or new_trail):
        return f"a line break or indentation would change: {shown}"
    return None


def _word_before(text: str, at: int) -> str:
    words = LETTERS.findall(text, max(0, at - MAX_WORD), at)
    return words[-1] if words else ""


def _word_after(text: str, at: int) -> str:
    match = LETTERS.search(text, at, at + MAX_WORD)
    return match[0] if match else ""


def length_breaks(original: str, proposal: str, max_change: float) -> str | None:
    """Say that a text would become too long or too short; None if it would not."""
    if abs(len(proposal) - len(original)) <= max_change * len(original):
        return None
    return (
        f"the text would have {len(proposal)} characters instead of {len(original)}, "
        f"which is more than {max_change:.0%} of change"
    )


def share_breaks(original: str, edits: Iterable[Edit], max_change: float) -> str | None:
    """Say that edits would change too much of a text; None if they would not."""
    changed = 0
    for edit in edits:
        size = max(edit.end - edit.start, len(edit.new))
        changed += edit_distance(original[edit.start : edit.end], edit.new, limit=size) if size <= 200 else size
    if changed <= max_change * len(original):
        return None
    return f"{changed} of {len(original)} characters would change, more than {max_change:.0%}"
