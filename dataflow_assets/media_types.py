"""What a name says about the bytes behind it.

A table of our own: the standard library's `mimetypes` reads the machine's files, so the same name would be of different
types on different machines, and a row's `input_hash` covers the media type.
"""

from __future__ import annotations

UNKNOWN = "application/octet-stream"

_TYPES = {
    "text/plain": "txt text log asc me nfo diff patch textile man pod env",
    "text/markdown": "md markdown mdown mkd mkdn mdx rmd qmd mdwn livemd",
    "text/x-rst": "rst rest",
    "text/asciidoc": "adoc asciidoc",
    "text/org": "org",
    "text/html": "html htm shtml",
    "application/xhtml+xml": "xhtml xht",
    "text/css": "css scss sass less",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv tab",
    "text/calendar": "ics",
    "text/vcard": "vcf",
    "text/vtt": "vtt",
    "application/x-subrip": "srt",
    "application/json": "json geojson jsonc json5 webmanifest",
    "application/x-ipynb+json": "ipynb",
    "application/x-ndjson": "jsonl ndjson",
    "application/xml": "xml nxml xsd dita ditamap opml",
    "application/xslt+xml": "xsl xslt",
    "application/atom+xml": "atom",
    "application/rss+xml": "rss",
    "application/yaml": "yaml yml",
    "application/toml": "toml",
    "text/x-ini": "ini cfg conf properties",
    "application/x-tex": "tex ltx latex",
    "application/x-bibtex": "bib",
    "text/x-python": "py pyi",
    "text/javascript": "js mjs cjs jsx",
    "text/x-typescript": "ts tsx",
    "text/x-java": "java",
    "text/x-c": "c h",
    "text/x-c++": "cc cpp cxx hh hpp hxx",
    "text/x-csharp": "cs",
    "text/x-go": "go",
    "text/x-rust": "rs",
    "text/x-ruby": "rb",
    "text/x-php": "php",
    "text/x-shellscript": "sh bash zsh",
    "text/x-source": "kt kts pl pm fish ps1 bat fs vb swift scala clj ex exs erl hs lua r jl dart m mm asm s v sv vhd proto graphql tf gradle cmake mk",
    "application/sql": "sql",
    "application/pdf": "pdf",
    "application/postscript": "ps eps",
    "application/rtf": "rtf",
    "application/epub+zip": "epub",
    "application/msword": "doc dot",
    "application/vnd.ms-excel": "xls xlt",
    "application/vnd.ms-powerpoint": "ppt pps pot",
    "application/vnd.ms-outlook": "msg",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template": "dotx dotm",
    "application/vnd.ms-word.document.macroenabled.12": "docm",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.ms-excel.sheet.macroenabled.12": "xlsm",
    "application/vnd.ms-excel.sheet.binary.macroenabled.12": "xlsb",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.presentationml.slideshow": "ppsx potx ppsm potm",
    "application/vnd.ms-powerpoint.presentation.macroenabled.12": "pptm",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "message/rfc822": "eml mht mhtml",
    "application/mbox": "mbox",
    "application/zip": "zip whl",
    "application/gzip": "gz tgz",
    "application/x-bzip2": "bz2 tbz2",
    "application/x-xz": "xz txz",
    "application/x-lzma": "lzma",
    "application/zstd": "zst tzst",
    "application/x-tar": "tar",
    "application/x-7z-compressed": "7z",
    "application/vnd.rar": "rar",
    "application/java-archive": "jar",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.sqlite3": "sqlite sqlite3",
    "image/png": "png",
    "image/jpeg": "jpg jpeg jpe",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/tiff": "tif tiff",
    "image/bmp": "bmp",
    "image/svg+xml": "svg",
    "image/heic": "heic",
    "image/x-icon": "ico",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/ogg": "ogg oga",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
    "video/mp4": "mp4 m4v",
    "video/webm": "webm",
    "video/quicktime": "mov",
    "video/x-matroska": "mkv",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "font/woff": "woff",
    "font/woff2": "woff2",
}
BY_EXTENSION = {extension: kind for kind, extensions in _TYPES.items() for extension in extensions.split()}
_PLAIN_NAMES_LISTED = """
readme license licence copying copyright notice authors contributors maintainers changelog changes news history todo install
thanks makefile dockerfile jenkinsfile procfile gemfile rakefile vagrantfile codeowners version
"""
_PLAIN_NAMES = frozenset(_PLAIN_NAMES_LISTED.split())
"""Names without an extension that stand for plain text."""

_VARIANTS_LISTED = """
ar bg ca cs da de el en en-gb en-us es et fa fi fr fr-ca he hi hr hu id it ja ko lt lv nb nl nn no pl pt pt-br
pt-pt ro ru sk sl sr sv th tr uk vi zh zh-cn zh-tw zh-hans zh-hant ascii big5 cp1250 cp1251 cp1252 cp1254 euc-jp
euc-kr gb18030 gb2312 gbk iso-2022-jp iso-2022-kr iso8859-1 iso8859-2 iso8859-5 iso8859-7 iso8859-9 iso8859-15
iso-8859-1 iso-8859-2 iso-8859-5 iso-8859-7 iso-8859-9 iso-8859-15 koi8-r koi8-u latin1 shift_jis sjis utf8
utf-8 utf16 utf-16 windows-1250 windows-1251 windows-1252
"""
_VARIANTS = frozenset(_VARIANTS_LISTED.split())
"""What servers put behind the extension: languages and character sets."""

_MAX_VARIANTS = 2


def media_type_of(name: str) -> str:
    """Say what a file's name, or a path, suggests the bytes are.

    A language and a character set behind the extension are passed over, so `page.html.ko.euc-kr` is `text/html`.

    Returns:
        A media type, in lower case; `application/octet-stream` where the name says nothing.
    """
    stem, *extensions = name.rpartition("/")[2].lower().split(".")
    # The outermost known extension that only variants follow: `cs` is Czech behind `html`, and C# elsewhere.
    found = UNKNOWN
    for passed, extension in enumerate(reversed(extensions)):
        found = BY_EXTENSION.get(extension, found)
        if extension not in _VARIANTS or passed == _MAX_VARIANTS:
            break
    if found == UNKNOWN and stem in _PLAIN_NAMES and _VARIANTS.issuperset(extensions):
        return "text/plain"
    return found
