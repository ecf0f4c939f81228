"""The verdict: what stands of a proposal, as a whole or edit by edit.

What belongs here: what callers ask of the guard, one function for each kind of proposer. What does not: the rules themselves
(`rules`), and where nothing may change (`protected`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dataflow_assets.stages.guard.differences import edits_between
from dataflow_assets.stages.guard.edits import Edit, Span, applied
from dataflow_assets.stages.guard.protected import Pieces, without_losses
from dataflow_assets.stages.guard.rules import MAX_WORD, broken_rule, length_breaks, share_breaks


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may stand of a proposal."""

    text: str
    """The text that stands: with the accepted edits, or the original."""
    accepted: bool
    """Whether the proposal, or all of it that counts, was accepted. True where nothing was proposed."""
    reason: str | None
    """Why something was not accepted."""


def judge(original: str, proposal: str, protected: Iterable[Span] = (), *, max_change: float = 0.2) -> Verdict:
    """Accept a proposal as a whole, or refuse it.

    For a proposer whose edits may depend on each other, such as a language model.

    Args:
        original: The text.
        proposal: What somebody would make of it.
        protected: Spans of the original in which nothing may change, besides those that the text itself shows.
        max_change: The largest share of the original's characters that may change.

    Returns:
        The proposal, or the original with the reason of the first edit that breaks a rule.
    """
    if proposal == original:
        return Verdict(original, True, None)
    too_long = length_breaks(original, proposal, max_change)
    if too_long:
        return Verdict(original, False, too_long)
    pieces = Pieces(original, protected)
    edits = edits_between(original, proposal)
    for edit in edits:
        reason = pieces.touched_by(edit) or broken_rule(original, edit)
        if reason:
            return Verdict(original, False, reason)
    reason = share_breaks(original, edits, max_change) or pieces.lost_by(edits)
    return Verdict(original, False, reason) if reason else Verdict(proposal, True, None)


def keep_good_edits(
    original: str, proposal: str, protected: Iterable[Span] = (), *, max_change: float = 0.2
) -> Verdict:
    """Accept those edits of a proposal that break no rule.

    For a proposer whose edits do not depend on each other and who knows nothing of code, such as a spelling tool. Edits
    that touch a protected piece are dropped as if they had not been proposed.

    Args:
        original: The text.
        proposal: What somebody would make of it.
        protected: Spans of the original in which nothing may change, besides those that the text itself shows.
        max_change: The largest share of the original's characters that may change.

    Returns:
        The text with the good edits. It is not accepted, and the original, where an edit broke a rule and none was good.
    """
    if proposal == original:
        return Verdict(original, True, None)
    pieces = Pieces(original, protected)
    groups = [[edit] for edit in edits_between(original, proposal) if not pieces.touched_by(edit)]
    return _kept(original, pieces, groups, max_change)


def keep_good_replacements(
    original: str, replacements: Sequence[Edit], protected: Iterable[Span] = (), *, max_change: float = 0.2
) -> Verdict:
    """Accept those replacements that break no rule, each as a whole or not at all.

    For a proposer who names what to replace, such as a language model: a replacement that rewrites a sentence does not stand in
    part because some of its words could.

    Args:
        original: The text.
        replacements: What somebody would replace, in order, none overlapping another.
        protected: Spans of the original in which nothing may change, besides those that the text itself shows.
        max_change: The largest share of the original's characters that may change.

    Returns:
        The text with the good replacements. It is not accepted, and the original, where none was good.
    """
    groups: list[list[Edit]] = []
    for replacement in replacements:
        start, end, new = _whole_words(original, replacement)
        inner = edits_between(original[start:end], new)
        group = [Edit(start + edit.start, start + edit.end, edit.new) for edit in inner]
        if group and (not groups or groups[-1][-1].end <= group[0].start):
            groups.append(group)
    if not groups:
        return Verdict(original, True, None)
    return _kept(original, Pieces(original, protected), groups, max_change)


_WORD_BEFORE = re.compile(r"[\w'’]+\Z")
_WORD_AFTER = re.compile(r"[\w'’]*")


def _whole_words(text: str, edit: Edit) -> tuple[int, int, str]:
    """Take the rest of the words along that a replacement begins or ends in or beside: words are judged whole."""
    before = _WORD_BEFORE.search(text[max(0, edit.start - MAX_WORD) : edit.start])
    after = _WORD_AFTER.match(text, edit.end, edit.end + MAX_WORD)
    head, tail = before[0] if before else "", after[0] if after else ""
    return edit.start - len(head), edit.end + len(tail), head + edit.new + tail


_REWRITES = ("too much would change", "words would be", "a word would be replaced", "the text would have")


def is_rewriting(verdict: Verdict) -> bool:
    """Say whether a proposal was refused for being another text, and not for a detail of it."""
    reason = verdict.reason or ""
    return not verdict.accepted and (reason.startswith(_REWRITES) or "characters would change" in reason)


def _refusal(original: str, pieces: Pieces, edit: Edit) -> str | None:
    """Name what an edit breaks: that it is another text says more than that it touches a piece."""
    rule = broken_rule(original, edit)
    return rule if rule is not None and rule.startswith(_REWRITES) else pieces.touched_by(edit) or rule


def _kept(original: str, pieces: Pieces, groups: Sequence[Sequence[Edit]], max_change: float) -> Verdict:
    """Keep the groups of edits that break no rule, each as a whole."""
    good: list[Edit] = []
    reason = None
    for group in groups:
        broken = next((said for edit in group if (said := _refusal(original, pieces, edit))), None)
        if broken is None:
            good += group
        elif reason is None:
            reason = broken
    good, lost = without_losses(pieces, good)
    reason = reason or lost
    share = share_breaks(original, good, max_change)
    if share:
        return Verdict(original, False, share)
    if not good:
        return Verdict(original, reason is None, reason)
    return Verdict(applied(original, good), True, None)
