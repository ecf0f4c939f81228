"""What a file's name says of its content: media type, encoding, language.

What belongs here: the product's own tables. What does not: the system's `mimetypes` files, which differ from machine to
machine and would make the same document another row there.

Web servers name negotiated variants by suffixes in any order (`index.html.ko.euc-kr`, `install.html.de`), so suffixes
that name a language or an encoding are passed over until one names a format.
"""

from __future__ import annotations

import re
from itertools import pairwise

UNKNOWN = "application/octet-stream"
"""The media type of a name that says nothing."""

_MEDIA_TYPES = {
    "text/markdown": "md markdown mdown mkd mkdn mdwn mdx qmd rmd livemd",
    "text/x-rst": "rst rest",
    "text/html": "html htm xhtml xht shtml",
    "text/plain": "txt text log asc adoc asciidoc org textile man me pod tex latex srt vtt ini cfg conf "
    "properties env diff patch",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv tab",
    "text/xml": "xml xsd xsl xslt rss atom opml dita ditamap svg",
    "application/json": "json jsonc json5 geojson ipynb webmanifest",
    "application/jsonl": "jsonl ndjson",
    "application/yaml": "yaml yml",
    "application/toml": "toml",
    "application/sql": "sql",
    "text/css": "css scss sass less",
    "text/javascript": "js mjs cjs jsx",
    "text/x-source": "py pyi ts tsx c h cc cpp cxx hpp hh java kt kts go rs rb php pl pm sh bash zsh fish ps1 bat cs "
    "fs vb swift scala clj ex exs erl hs lua r jl dart m mm asm s v sv vhd proto graphql tf gradle cmake mk",
    "message/rfc822": "eml mht mhtml",
    "application/mbox": "mbox",
    "application/vnd.ms-outlook": "msg",
    "application/pdf": "pdf",
    "application/rtf": "rtf",
    "application/epub+zip": "epub",
    "application/msword": "doc dot",
    "application/vnd.ms-excel": "xls xlt",
    "application/vnd.ms-powerpoint": "ppt pps",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx docm",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx xlsm",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx pptm",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.sqlite3": "sqlite sqlite3",
    "application/zip": "zip whl jar",
    "application/x-tar": "tar",
    "application/gzip": "gz tgz",
    "application/x-bzip2": "bz2 tbz2",
    "application/x-xz": "xz txz",
    "application/zstd": "zst",
    "application/x-7z-compressed": "7z",
    "image/png": "png",
    "image/jpeg": "jpg jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/tiff": "tif tiff",
    "image/bmp": "bmp",
    "image/x-icon": "ico",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "video/mp4": "mp4 m4v",
    "video/webm": "webm",
    "font/woff2": "woff2",
    "font/ttf": "ttf",
}
_BY_EXTENSION = {ext: media_type for media_type, extensions in _MEDIA_TYPES.items() for ext in extensions.split()}
_BY_NAME = dict.fromkeys([
    "readme", "license", "licence", "copying", "copyright", "notice", "authors", "contributors", "maintainers",
    "changelog", "changes", "history", "news", "install", "todo", "thanks", "makefile", "dockerfile", "jenkinsfile",
    "procfile", "gemfile", "rakefile", "vagrantfile", "codeowners", "version",
], "text/plain")  # fmt: skip

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


def media_type_of(name: str) -> str:
    """Tell the media type from a file's name or path, the same on every machine.

    Returns:
        A media type; `application/octet-stream` where the name says nothing.
    """
    base, *suffixes = last_part(name).lower().rsplit(".", _HINTS)
    for suffix in reversed(suffixes):
        if suffix in _BY_EXTENSION:
            return _BY_EXTENSION[suffix]
        if encoding_of_suffix(suffix) is None and _LANGUAGE.fullmatch(suffix) is None:
            break
    return _BY_NAME.get(base, UNKNOWN)


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
            if one in _BY_EXTENSION and other not in _BY_EXTENSION and (found := _LANGUAGE.fullmatch(other)):
                return found[1]
    return None


def readable_name(name: str) -> str:
    """Make a title of a file's name: no suffix that the tables know, spaces for dashes and underscores."""
    parts = name.split(".")
    while len(parts) > 1 and parts[0]:
        suffix = parts[-1].lower()
        known = suffix in _BY_EXTENSION or encoding_of_suffix(suffix) or _LANGUAGE.fullmatch(suffix)
        if not known:
            break
        parts.pop()
    return " ".join(re.sub(r"[-_\s]+", " ", ".".join(parts)[:500]).split())
