"""What a file's name says of its content beside the media type: encoding, language, a title.

What belongs here: the product's own tables. What does not: media types (`dataflow_assets.media_types`).

Web servers name negotiated variants by suffixes in any order (`index.html.ko.euc-kr`, `install.html.de`), so suffixes
that name a language or an encoding are passed over until one names a format.
"""

from __future__ import annotations

import re
from itertools import pairwise

from dataflow_assets.media_types import BY_EXTENSION

_ENCODINGS = {
    "utf8": "utf-8", "utf-8": "utf-8", "utf16": "utf-16", "utf-16": "utf-16",
    "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
    "latin1": "iso-8859-1", "latin-1": "iso-8859-1", "latin2": "iso-8859-2", "sjis": "shift_jis",
    "shift_jis": "shift_jis",
    "shift-jis": "shift_jis", "eucjp": "euc-jp", "euc-jp": "euc-jp", "jis": "iso-2022-jp", "iso2022-jp": "iso-2022-jp",
    "iso-2022-jp": "iso-2022-jp", "euckr": "euc-kr", "euc-kr": "euc-kr", "iso-2022-kr": "iso-2022-kr", "big5": "big5",
    "gb2312": "gb2312", "gbk": "gbk", "gb18030": "gb18030", "koi8-r": "koi8-r", "koi8-u": "koi8-u", "ascii": "ascii",
}  # fmt: skip
_NUMBERED_ENCODING = re.compile(r"(?:iso-?8859-?(?P<iso>\d{1,2})|(?:windows-|win-?|cp-?)(?P<cp>\d{3,4}))")
_LANGUAGE = re.compile(r"([a-z]{2})(?:[-_](?:[a-z]{2}|han[st]))?")
_HINTS = 5
"""Suffixes that are looked at; a name with hundreds of dots says no more."""


def last_part(source_uri: str) -> str:
    """Give the name at the end of a path, URI or archive member."""
    path = source_uri.split("?", 1)[0].split("#", 1)[0] if "://" in source_uri else source_uri
    return re.split(r"[/\\]|!/", path.rstrip("/\\"))[-1]


def encoding_of_suffix(suffix: str) -> str | None:
    """Give the encoding that a suffix names, if it names one."""
    if suffix in _ENCODINGS:
        return _ENCODINGS[suffix]
    if found := _NUMBERED_ENCODING.fullmatch(suffix):
        return f"iso-8859-{int(found['iso'])}" if found["iso"] else f"cp{found['cp']}"
    return None


def encoding_hint(name: str) -> str | None:
    """Give the encoding that a file's name suggests: `euc-kr` for `index.html.ko.euc-kr`."""
    suffixes = name.lower().rsplit(".", _HINTS)[1:]
    return next((hint for suffix in reversed(suffixes) if (hint := encoding_of_suffix(suffix))), None)


def language_hint(name: str) -> str | None:
    """Give the language that a file's name suggests beside its format: `ko` for `index.html.ko.euc-kr`.

    Only a suffix that stands next to one which names a format counts: `page.ja.md`, `page.html.ja`.
    """
    parts = [part for part in name.lower().rsplit(".", _HINTS)[1:] if encoding_of_suffix(part) is None]
    for first, second in pairwise(parts):
        for one, other in ((first, second), (second, first)):
            if one in BY_EXTENSION and other not in BY_EXTENSION and (found := _LANGUAGE.fullmatch(other)):
                return found[1]
    return None


def readable_name(name: str) -> str:
    """Make a title of a file's name: no suffix that the tables know, spaces for dashes and underscores."""
    parts = name.split(".")
    while len(parts) > 1 and parts[0]:
        suffix = parts[-1].lower()
        known = suffix in BY_EXTENSION or encoding_of_suffix(suffix) or _LANGUAGE.fullmatch(suffix)
        if not known:
            break
        parts.pop()
    return " ".join(re.sub(r"[-_\s]+", " ", ".".join(parts)[:500]).split())
