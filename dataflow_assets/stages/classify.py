"""What kind of document it is, and its tags.

What belongs here: the order in which witnesses are heard (the catalog, the front matter, the path, the text) and the
words that they use. What does not: finding the front matter (`readers`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from dataflow_assets.settings_base import DocType
from dataflow_assets.stages.readers.names import readable_name

DOC_TYPES: tuple[DocType, ...] = get_args(DocType)

_WORDS: Mapping[DocType, str] = {
    "reference": "reference ref api apidoc apidocs glossary spec specification manual man manpage schema class "
    "functions languageref directive directives",
    "tutorial": "tutorial tutorials quickstart walkthrough lesson lessons course codelab learn",
    "guide": "guide guides howto howtos handbook cookbook recipe recipes faq install installation installing "
    "troubleshooting migration migrating upgrading contributing explanation concept concepts conceptual "
    "overview topics",
    "example": "example examples sample samples demo demos snippet snippets",
    "changelog": "changelog changelogs changes history news releases whatsnew relnotes",
    "message": "message messages chat chats mail mails mbox conversation conversations transcript transcripts "
    "thread threads",
}
_TYPE_OF_WORD = {word: doc_type for doc_type, words in _WORDS.items() for word in words.split()}
_TELLING = frozenset(
    [
        "tutorial",
        "tutorials",
        "quickstart",
        "walkthrough",
        "guide",
        "howto",
        "cookbook",
        "faq",
        "example",
        "examples",
        "changelog",
        "whatsnew",
        "apidocs",
        "reference",
    ]
)
_PHRASES: tuple[tuple[re.Pattern[str], DocType], ...] = (
    (
        re.compile(r"\b(?:release[ _-]?notes?|what'?s[ _-]?new|change[ _-]?logs?|new[ _-]features)\b", re.IGNORECASE),
        "changelog",
    ),
    (re.compile(r"\b(?:getting|get)[ _-]started\b|\bquick[ _-]start\b|\bfirst[ _-]steps\b", re.IGNORECASE), "tutorial"),
    (re.compile(r"\bhow[ _-]?to(?:s|\b)", re.IGNORECASE), "guide"),
)
_FRONT_MATTER_TYPES = ("doc_type", "doctype", "document_type", "ms.topic", "content_type", "diataxis", "type")
_FRONT_MATTER_TAGS = ("tags", "tag", "keywords", "categories", "category", "labels", "topics")
_TITLE_TYPES: tuple[tuple[re.Pattern[str], DocType], ...] = (
    (re.compile(r"\b(?:tutorial|walkthrough|getting started|quick ?start|first steps)\b", re.IGNORECASE), "tutorial"),
    (
        re.compile(
            r"\b(?:changelog|change log|release notes|what'?s new|version history)\b|\bchanges in\b", re.IGNORECASE
        ),
        "changelog",
    ),
    (re.compile(r"\b(?:example|sample|demo)s?\b", re.IGNORECASE), "example"),
    (
        re.compile(
            r"\b(?:guide|how to|how-to|handbook|cookbook|FAQ|frequently asked questions|installation)\b", re.IGNORECASE
        ),
        "guide",
    ),
    (
        re.compile(
            r"\b(?:reference|API|glossary|specification|(?:class|function|struct|enum|operator|method|directive)s?)\b",
            re.IGNORECASE,
        ),
        "reference",
    ),
)
_MESSAGE = re.compile(
    r"\A(?:(?:From|To|Date|Subject|Message-ID|Return-Path|Received): [^\n]*\n){2}"
    r"|\A(?:\[?\d{1,2}:\d{2}(?::\d{2})?\]?[^\n]*\n){3}",
    re.IGNORECASE,
)
_VERSIONS = re.compile(
    r"^(?:#{1,4} |\* )?\[?v?\d+\.\d+(?:\.\d+)?\S{0,20}\]?[ \t]*(?:[-–(:,][^\n]{0,60})?$", re.MULTILINE
)
_SPLIT = re.compile(r"[^a-z0-9]+")
_FOLDERS = 4
_DULL_FOLDERS = frozenset(
    [
    "doc", "docs", "documentation", "source", "sources", "src", "content", "contents", "page", "pages", "site",
    "www", "html", "public", "static", "assets", "data", "files", "main", "master", "latest", "stable", "master",
    "en", "de", "es", "fr", "ja", "ko", "zh", "pt", "ru", "it", "tr", "pl", "index",
]
)  # fmt: skip
_FOLDER_TAG = re.compile(r"[^\W_][\w +.-]{1,39}")
_MAX_TAGS = 50
_MAX_TAG = 60


def find_doc_type(front_matter: Mapping[str, Any], *, source_uri: str, title: str, head: str) -> DocType:
    """Tell a document's type from its front matter, else its path, else its text.

    Args:
        front_matter: The keys at its top.
        source_uri: Where it lies; of its folders the innermost is believed first.
        title: Its title.
        head: The beginning of its text.
    """
    for key in _FRONT_MATTER_TYPES:
        if (found := _of_words(front_matter.get(key))) is not None:
            return found
    parts = [part for part in re.split(r"[/\\]", source_uri.lower()) if part]
    for part in parts[: -_FOLDERS - 2 : -1]:
        name = readable_name(part)
        if (found := _of_words(name, whole=True)) is not None:
            return found
    for pattern, doc_type in _TITLE_TYPES:
        if pattern.search(title):
            return doc_type
    if _MESSAGE.match(head):
        return "message"
    if len(_VERSIONS.findall(head)) >= 3:
        return "changelog"
    return "other"


def find_tags(
    catalog: Sequence[str], front_matter: Mapping[str, Any], *, source_uri: str, own: Sequence[str]
) -> tuple[str, ...]:
    """Collect a document's tags: the catalog's, the front matter's, the folders' that it lies in, the text's own.

    Folders count only below the source's root, so an absolute path or URI gives none.
    """
    said = [*catalog]
    for key in _FRONT_MATTER_TAGS:
        said += _listed(front_matter.get(key))
    if not source_uri.startswith("/") and ":" not in source_uri.split("/", 1)[0]:
        folders = source_uri.split("/")[:-1][-_FOLDERS:]
        said += [folder for folder in folders if folder.lower() not in _DULL_FOLDERS and _FOLDER_TAG.fullmatch(folder)]
    said += own
    tags: dict[str, str] = {}
    for tag in said:
        clean = " ".join(tag.split())
        if 0 < len(clean) <= _MAX_TAG:
            tags.setdefault(clean.casefold(), clean)
    return tuple(tags.values())[: max(_MAX_TAGS, len(catalog))]


def _of_words(said: object, *, whole: bool = False) -> DocType | None:
    """Give the type that words name; of a name of several words only telling ones count (`message-map.md`)."""
    if not isinstance(said, str) or len(said) > 200:
        return None
    lowered = said.lower()
    for doc_type in DOC_TYPES:
        if lowered == doc_type:
            return doc_type
    for pattern, doc_type in _PHRASES:
        if pattern.search(lowered):
            return doc_type
    words = [word for word in _SPLIT.split(lowered) if word]
    for word in words:
        if word in _TYPE_OF_WORD and (word in _TELLING or not whole or len(words) == 1):
            return _TYPE_OF_WORD[word]
    return None


def _listed(said: object) -> list[str]:
    if isinstance(said, str):
        return said.split(",")
    if isinstance(said, Mapping):
        return [str(key) for key in said]
    if isinstance(said, Sequence):
        return [str(each) for each in said if isinstance(each, str | int)]
    return []
