"""Who wrote an article in XML, and when.

What belongs here: names and dates in the heads of articles. What does not: where they are written (`xml_document`).
"""

from __future__ import annotations

from typing import Any

from dataflow_assets.stages.readers.xml_inline import local, spaced

_MAX_AUTHORS = 200


def person(node: Any) -> str:
    """Give a contributor's name, the given ones first."""
    for each in node.iter():
        if local(each) in ("name", "persname"):
            given = next((spaced(part) for part in each.iter() if local(part) in ("given-names", "firstname")), "")
            family = next((spaced(part) for part in each.iter() if local(part) == "surname"), "")
            return " ".join(filter(None, (given, family))) or spaced(each)
        if local(each) in ("string-name", "collab", "anonymous"):
            return spaced(each)
    return ""


def authors(root: Any) -> list[str]:
    """Give the names of an article's authors, nothing where the document has no head that says who they are."""
    meta = next(root.iter("{*}article-meta"), None)
    if meta is not None:
        people = (person(each) for each in meta.iter("{*}contrib") if each.get("contrib-type", "author") == "author")
        return list(dict.fromkeys(filter(None, people)))[:_MAX_AUTHORS]
    return []


def date(root: Any) -> str | None:
    """Give the day of publication in ISO's form, as far as it is known."""
    meta = next(root.iter("{*}article-meta"), None)
    best = None
    for each in meta.iter("{*}pub-date") if meta is not None else ():
        parts = [(each.findtext(f"{{*}}{name}") or "").strip() for name in ("year", "month", "day")]
        known = []
        for part in parts:
            if not part.isdecimal():
                break
            known.append(part.zfill(2))
        if known and (best is None or len(known) > len(best)):
            best = known
    return "-".join(best) if best else None
