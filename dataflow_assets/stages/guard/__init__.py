"""The guard: what of a proposed text may stand.

What belongs here: the rules that hold whoever proposed the text, a spelling tool or a language model. What does not:
asking anybody for a proposal (`models`), and what becomes of a chunk (`stages.correct`).

What callers ask stands in `verdict`. It is put together from what must not change (`protected`), what two texts do not
share (`differences`), and what may change (`rules`; of single words `spelling`, with what `words` say). An edit and how it
is shown (`edits`) stand under all of them.

The guard trusts no proposal. It compares the two texts token by token and judges each difference, an *edit*, by what is
allowed, not by what is forbidden: a word may become a word that is spelt almost the same, letters may be parted or
joined, a doubled word or an article may go, a small word may come, a comma may move. Whatever is not of these kinds is
refused, so a proposal that rewrites, translates or explains fails without anybody having foreseen it.

Inside *protected pieces* nothing may change at all: code, links, tags, identifiers, numbers, names. They are found in
the original and again in the result, and must be the same pieces in the same order, so that an edit beside a piece cannot
grow it, shrink it or make a new one.

Every step takes time in proportion to the text, with small factors, whatever the text is.
"""

from __future__ import annotations

from dataflow_assets.stages.guard.differences import edits_between
from dataflow_assets.stages.guard.edits import Edit, Span
from dataflow_assets.stages.guard.protected import protected_pieces
from dataflow_assets.stages.guard.spelling import edit_distance
from dataflow_assets.stages.guard.verdict import Verdict, is_rewriting, judge, keep_good_edits, keep_good_replacements

__all__ = [
    "Edit",
    "Span",
    "Verdict",
    "edit_distance",
    "edits_between",
    "is_rewriting",
    "judge",
    "keep_good_edits",
    "keep_good_replacements",
    "protected_pieces",
]
