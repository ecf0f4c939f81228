"""The text inside one XML element.

What belongs here: taking the words of an element in their order. What does not: what becomes of the element
(`xml_document`).
"""

from __future__ import annotations

import re
from html import unescape
from typing import Any

_HTML = re.compile(
    r"</(?:p|div|span|a|b|i|em|strong|ul|ol|li|table|tr|td|h[1-6]|font|pre|blockquote)\s*>|<br\s*/?>|<img\s|<p>",
    re.IGNORECASE,
)
_TAG = re.compile(r"<!--.*?-->|<[/!?]?[A-Za-z][^<>]*>", re.DOTALL)
_TEX = re.compile(r"\\begin\{document\}(.*)\\end\{document\}", re.DOTALL)
_SPACED = frozenset(
    """
    name string-name surname given-names person-group source year volume issue fpage lpage article-title collab label title
    p para institution city country state email phone date month day season edition publisher-name publisher-loc pub-id
    role suffix prefix addr-line postal-code listitem term def dt dd td th entry row tr author editor firstname othername
    snm fnm onm str ctry pcode zip
    """.split()
)
"""Elements that are words of their own where nothing stands between them."""
_LEFT_OUT = frozenset(("graphic", "inline-graphic", "style", "script", "emi"))
_NO_LETTER = re.compile(r"\W+")


def local(node: Any) -> str:
    """Give an element's name without its namespace, in lower case; nothing for comments and instructions."""
    tag = node.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def text_of(node: Any, *, compact: bool = False, own_text: bool = False, strip: bool = True) -> str:
    """Give the text of an element in one line.

    Args:
        node: The element.
        compact: Leave out white space that holds a line break and stands between elements.
        own_text: Only what stands before the first element in it.
        strip: Take off white space at both ends.
    """
    if own_text:
        return " ".join((node.text or "").split())
    joined = "".join(piece for piece in _pieces(node) if not (compact and piece.isspace() and "\n" in piece))
    if strip:
        return " ".join(joined.split())
    return re.sub(r"\s+", " ", joined)


def spaced(node: Any, skip: frozenset[Any] = frozenset()) -> str:
    """Give the text of an element in one line, with spaces between elements that are words of their own."""
    return " ".join("".join(_pieces(node, skip, spaces=True)).split())


def has_html(value: str) -> bool:
    """Tell whether a value is HTML that was put into XML as text."""
    return "<" in value and _HTML.search(value) is not None


def html_text(source: str) -> str:
    """Turn HTML inside XML into Markdown; where words would be lost the tags are dropped."""
    import html_to_markdown

    dropped = " ".join(unescape(_TAG.sub(" ", source)).split())
    if len(source) > 1_000_000 or source.count("<") > 50_000:
        return dropped
    options = html_to_markdown.ConversionOptions(
        extract_metadata=False, compact_tables=True, inline_data_media="alt_text_only", autolinks=False
    )
    text = (html_to_markdown.convert(source, options).content or "").strip()
    return text if len(_NO_LETTER.sub("", text)) >= 0.95 * len(_NO_LETTER.sub("", dropped)) else dropped


def _pieces(node: Any, skip: frozenset[Any] = frozenset(), *, spaces: bool = False) -> list[str]:
    """Walk without recursion: elements are taken from a stack with a mark for their tails."""
    found: list[str] = []
    stack: list[tuple[Any, bool]] = [(node, True)]
    while stack:
        each, opening = stack.pop()
        name = local(each)
        if opening:
            if each is not node:
                stack.append((each, False))
            if each in skip or name in _LEFT_OUT or not name:
                continue
            if name == "tex-math":
                inner = "".join(each.itertext())
                formula = _TEX.search(inner)
                found.append((formula[1] if formula else inner).strip().strip("$"))
                continue
            if spaces and name in _SPACED:
                found.append(" ")
            if name in ("break", "br", "lb"):
                found.append(" ")
            if each.text:
                found.append(each.text)
            stack.extend((child, True) for child in reversed(each))
        else:
            if spaces and name in _SPACED:
                found.append(" ")
            if each.tail:
                found.append(each.tail)
    return found
