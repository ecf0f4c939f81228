"""Financial reports in XBRL.

What belongs here: facts with their names, periods and units, and the passages of text that reports carry as HTML. What
does not: taxonomies, which lie elsewhere; a fact's name is split into its words instead.

The passages stand first, in the order of the report: they are what people read.
"""

from __future__ import annotations

import re
from typing import Any

from dataflow_assets.stages.readers.item import Reading
from dataflow_assets.stages.readers.markdown_table import write_table
from dataflow_assets.stages.readers.xml_inline import has_html, html_text, local

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_TITLE = ("EntityRegistrantName", "DocumentType", "DocumentPeriodEndDate")
_FRAMES = frozenset(("context", "unit", "schemaref", "linkbaseref", "roleref", "arcroleref", "footnotelink"))


def write_facts(root: Any) -> Reading:
    """Write a report: its title, its passages, then a table of its other facts."""
    contexts = {node.get("id"): _context(node) for node in root.iter("{*}context")}
    units = {node.get("id"): _unit(node) for node in root.iter("{*}unit")}
    passages: list[str] = []
    rows: list[list[str]] = []
    named: dict[str, str] = {}
    seen: set[str] = set()
    for node in root:
        name = local(node)
        if not name or name in _FRAMES:
            continue
        value = "".join(node.itertext()).strip()
        if not value:
            continue
        fact = node.tag.rpartition("}")[2]
        label = _WORDS.sub(" ", fact)
        named.setdefault(fact, " ".join(value.split())[:300])
        if has_html(value) or len(value) > 300:
            text = html_text(value) if has_html(value) else value
            if text and text not in seen:
                seen.add(text)
                passages.append(f"## {label.removesuffix(' Text Block')}\n\n{text}")
            continue
        when = contexts.get(node.get("contextRef"), "")
        rows.append([label, when, value, units.get(node.get("unitRef"), "")])
    title = " ".join(filter(None, (named.get(name) for name in _TITLE))) or None
    parts = [f"# {title}"] if title else []
    parts += passages
    if rows:
        parts += ["## Facts", write_table(["Fact", "Period", "Value", "Unit"], rows)]
    metadata = {"date": named["DocumentPeriodEndDate"]} if "DocumentPeriodEndDate" in named else {}
    return Reading(text="\n\n".join(parts) + "\n" if parts else "", markup="markdown", title=title, metadata=metadata)


def _context(node: Any) -> str:
    """Say of what a fact speaks: the period, and the members of dimensions."""
    dates = [" ".join((each.text or "").split()) for each in node.iter("{*}startDate", "{*}endDate", "{*}instant")]
    members = [
        _WORDS.sub(" ", (each.text or "").strip().rpartition(":")[2].removesuffix("Member"))
        for each in node.iter("{*}explicitMember", "{*}typedMember")
    ]
    return ", ".join(filter(None, (" to ".join(dates), *members)))


def _unit(node: Any) -> str:
    return "/".join((each.text or "").strip().rpartition(":")[2] for each in node.iter("{*}measure"))
