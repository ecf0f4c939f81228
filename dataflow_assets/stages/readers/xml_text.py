"""XML becomes readable text: articles, books, patents, feeds and whatever else.

What belongs here: parsing hostile XML safely, and choosing who writes it (`xml_document`, `xml_facts`). What does not:
what elements mean.

No parser ever sees a document type definition: it is cut off beforehand, so nothing outside is fetched, and no entity
is built from others. The entities that people do use are put in first: HTML's names, which documents use whose
definitions lie elsewhere, and short plain ones that the document declares itself. XML that is broken is mended where no
word is lost by it; otherwise, and where it is too large or too deep for a tree, the tags are dropped.
"""

from __future__ import annotations

import re
from html import escape, unescape
from html.entities import html5
from typing import Any

from lxml import etree

from dataflow_assets.errors import ReadError
from dataflow_assets.records import Finding
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.xml_document import write_document
from dataflow_assets.stages.readers.xml_facts import write_facts
from dataflow_assets.stages.readers.xml_inline import text_of

_TREE = 15_000_000
"""Characters up to which a tree is built; it takes about five times as much memory."""
_DEPTH = 150
_KEPT = 0.97
"""Share of the letters and digits that mending, and writing, must keep."""
_DOCTYPE = re.compile(r"<!DOCTYPE\b[^\[>\"']*(?:(?:\"[^\"]*\"|'[^']*')[^\[>\"']*){0,4}", re.IGNORECASE)
_SUBSET_PIECE = re.compile(r"<!--.*?-->|<\?.*?\?>|\"[^\"]*\"|'[^']*'|\]\s*>|[^\"'<\]]+|.", re.DOTALL)
_ENTITY = re.compile(r"<!ENTITY\s{1,20}([\w.:-]{1,100})\s{1,20}(?:\"([^\"<&%]{0,1000})\"|'([^'<&%]{0,1000})')\s{0,20}>")
_REFERENCE = re.compile(r"&([A-Za-z_][\w.:-]{0,99});")
_OWN = frozenset(("lt", "gt", "amp", "quot", "apos"))
_GREEK = {
    f"{name}gr": letter
    for name, letter in zip(
        (
            "a b g d e z ee th i k l m n x o p r s t u ph kh ps oh sf "
            "A B G D E Z EE TH I K L M N X O P R S T U PH KH PS OH"
        ).split(),
        "αβγδεζηθικλμνξοπρστυφχψωςΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ",
        strict=True,
    )
}
"""Names of Greek letters in older patents (ISOgrk1), which HTML does not know."""
_MAX_ENTITY_TEXT = 2_000_000
"""Characters that a document's own entities may add."""
_DECLARATION = re.compile(r"\s{0,1000}<\?xml\s[^>]{0,1000}\?>", re.IGNORECASE)
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_STYLE = re.compile(r"<(style|script)\b[^>]*>.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<!--.*?-->|<!\[CDATA\[|\]\]>|<[/?!]?[A-Za-z_:][^<>]*>", re.DOTALL)
_NO_LETTER = re.compile(r"\W+")
_BLANKS = re.compile(r"[ \t\r\f\v]+")
_LINES = re.compile(r"\n\s*\n\s*")


def read_xml(item: Item) -> Reading:
    """Read XML of any vocabulary; raises ReadError where it has no text."""
    source, findings = prepare(item.decoded.text)
    root = _parse(source) if len(source) <= _TREE else None
    if root is not None and str(etree.QName(root).localname).lower() == "html":
        from dataflow_assets.stages.readers.html import read_html

        return read_html(item)
    reading = None
    if root is not None and _depth(root) <= _DEPTH:
        reading = write_facts(root) if etree.QName(root).localname == "xbrl" else write_document(root)
        said = _letters(_TAG.sub(" ", text_of(root)))
        if not reading.text.strip() and not said:
            raise ReadError(f"The XML file {item.name} has no text: its elements are all empty; exclude the file.")
        if _letters(reading.text) < _KEPT * said:
            reading = None  # text in places where its vocabulary has none
    if reading is None:
        text = words(source)
        if not text:
            raise ReadError(f"The XML file {item.name} has no text: its elements are all empty; exclude the file.")
        reading = Reading(text=text, markup="text", findings=(_as_words(len(source)),))
    return Reading(
        text=reading.text,
        markup=reading.markup,
        title=reading.title,
        language=reading.language,
        tags=reading.tags,
        metadata=reading.metadata,
        findings=(*findings, *reading.findings),
    )


def prepare(text: str) -> tuple[str, tuple[Finding, ...]]:
    """Cut off declarations and definitions, and put in the entities that are safe.

    Returns:
        XML without a document type, whose references to unknown entities are plain text; and findings.
    """
    text = _FORBIDDEN.sub(" ", text.lstrip("\ufeff"))
    if declaration := _DECLARATION.match(text):
        text = text[declaration.end() :]
    text, subset = _without_doctype(text)
    own: dict[str, str] = {name: first or second for name, first, second in _ENTITY.findall(subset)}
    room = _MAX_ENTITY_TEXT
    refused = False

    def put_in(found: re.Match[str]) -> str:
        nonlocal room, refused
        name = found[1]
        if name in _OWN:
            return found[0]
        if name in own:
            room -= len(own[name])
            if room >= 0:
                return own[name]
            refused = True
        character = html5.get(f"{name};") or _GREEK.get(name)
        return f"&amp;{name};" if character is None else escape(character, quote=False)

    text = _REFERENCE.sub(put_in, text)
    return text, (_too_many_entities(),) if refused else ()


def words(source: str) -> str:
    """Drop the tags of XML, in time proportional to its length."""
    pieces = _drop_unclosed(source)
    text = unescape(_TAG.sub("\n", pieces))
    lines = (_BLANKS.sub(" ", line).strip() for line in text.split("\n"))
    return _LINES.sub("\n", "\n".join(line for line in lines if line))


def _drop_unclosed(source: str) -> str:
    """Make what never closes plain, since looking for its end from each place would take quadratic time."""
    for opening, closing in (("<!--", "-->"), ("<style", "</style"), ("<script", "</script")):
        last = source.rfind(closing)
        if opening in source[max(last, 0) :]:
            source = source[: max(last, 0)] + source[max(last, 0) :].replace(opening, " ")
    return _STYLE.sub(" ", source)


def _without_doctype(text: str) -> tuple[str, str]:
    """Cut off the document type definitions; give the inner part of the first."""
    subset = ""
    position = text.find("<!DOCTYPE")
    if position < 0 or text.find("<![CDATA[", 0, position) >= 0:
        return text, subset
    opening = _DOCTYPE.match(text, position)
    if opening is None:
        return text, subset
    end = opening.end()
    if text[end : end + 1] == "[":
        place = end + 1
        closed = False
        while place < len(text) and (piece := _SUBSET_PIECE.match(text, place)):
            place = piece.end()
            if piece[0][0] == "]" and piece[0].endswith(">"):
                closed = True
                break
        if not closed:
            return text[:position] + text[end + 1 :], ""
        subset, end = text[end + 1 : place], place
    elif text[end : end + 1] == ">":
        end += 1
    return text[:position] + text[end:], subset


def _parse(source: str) -> Any:
    """Build a tree: strictly, then of several documents one after the other, then mending what is broken."""
    content = source.encode()
    if (root := _tree(content)) is not None:
        return root
    several = re.sub(r"<\?xml\s[^>]{0,1000}\?>|<!DOCTYPE[^>\[]{0,2000}>", "", source)
    if (root := _tree(b"<documents>" + several.encode() + b"</documents>")) is not None:
        return root
    root = _tree(content, recover=True)
    if root is None or not isinstance(root.tag, str):
        return None
    kept = sum(map(_letters, root.itertext()))
    return root if kept >= _KEPT * _letters(words(source)) else None


def _tree(content: bytes, *, recover: bool = False) -> Any:
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False,
        huge_tree=False, recover=recover, remove_pis=True, remove_comments=True, strip_cdata=True,
    )  # fmt: skip
    try:
        return etree.fromstring(content, parser)
    except etree.XMLSyntaxError:
        return None


def _letters(text: str) -> int:
    return len(_NO_LETTER.sub("", text))


def _depth(root: Any) -> int:
    depth = deepest = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        deepest = max(deepest, depth)
        if deepest > _DEPTH:
            break
    return deepest


def _as_words(length: int) -> Finding:
    return Finding(
        validator="xml",
        severity="warning",
        message="The XML is broken, too deep, too large or of an odd shape; its words were taken without structure.",
        field="text",
        value=f"{length} characters",
        suggestion="Mend the file: a validator such as xmllint names the place.",
    )


def _too_many_entities() -> Finding:
    return Finding(
        validator="xml",
        severity="warning",
        message="The document repeats its own entities into millions of characters; the rest was left out.",
        field="text",
        value="",
        suggestion="Check where the document comes from; this is a known attack.",
    )
