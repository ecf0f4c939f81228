"""Which of several pages stands for all of them.

What belongs here: following canonical links to their end. What does not: reading them (`links`).
"""

from __future__ import annotations

from collections.abc import Mapping


def roots_of(named: Mapping[str, str | None]) -> dict[str, str]:
    """Find the page that stands for each page: where its canonical links end.

    A page that stands for another stands for itself too, so no page is left out for one that is left out. Of pages that
    name each other in a circle the first by address stays. Takes time in proportion to the number of pages.

    Args:
        named: For each page, the page among them that it wants to be known by; None where that is itself or none of them.
    """
    roots: dict[str, str] = {}
    for page in named:
        passed: dict[str, None] = {}
        at = page
        while at not in roots:
            passed[at] = None
            following = named[at]
            if following is None:
                roots[at] = at
            elif following in passed:
                circle = list(passed)
                root = min(circle[circle.index(following) :])
                roots.update(dict.fromkeys(passed, root))
            else:
                at = following
        roots.update(dict.fromkeys(passed, roots[at]))
    return roots
