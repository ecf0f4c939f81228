"""Office documents are zip files of XML: opened so that no file that someone sends can fill the memory.

What belongs here: the checks before any parser sees the bytes, members, and XML without entities. What does not: any one
format (`pptx`, `docx_parts`, `odf`, `sheet_package`).

What a zip's directory says of sizes is not believed: members that could unpack to more than they declare are unpacked
once, piece by piece, and counted.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from lxml import etree

from dataflow_assets.errors import ReadError

_MAX_MEMBER = 100_000_000
_MAX_TOTAL = 300_000_000
_MAX_XML = 60_000_000
"""A tree takes about five times its XML."""
_MAX_MEMBERS = 20_000
_MAX_RATIO = 200
_SMALL = 20_000_000
"""A package that unpacks to less may be packed as tightly as it likes."""
_PIECE = 1 << 18
_DEFLATE_LIMIT = 1032
"""No deflated byte becomes more than these."""
_UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RuntimeError, EOFError)

Element = Any
"""An element of lxml; its own types are not strict."""


class Package:
    """An Office document's members."""

    def __init__(
        self, content: bytes, what: str, *, max_member: int = _MAX_MEMBER, max_ratio: int = _MAX_RATIO
    ) -> None:
        """Open and check one.

        Args:
            content: Its bytes.
            what: What to call it in sentences: `presentation`.
            max_member: Bytes that one of its members may unpack to.
            max_ratio: To how many times its size a large one may unpack.

        Raises:
            ReadError: It is damaged or protected, or unpacks to more than what is read.
        """
        self.what = what
        self._max_member, self._max_ratio = max_member, max_ratio
        self._damaged = f"The {what} is damaged (truncated or corrupt); replace the file, or repair it."
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
            self._members = {member.filename: member for member in self._zip.infolist()}
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, UnicodeError) as error:
            raise ReadError(self._damaged) from error
        self._check(content)

    def _check(self, content: bytes) -> None:
        members = self._zip.infolist()
        if len(members) > _MAX_MEMBERS:
            raise ReadError(f"The {self.what} has {len(members)} parts, more than {_MAX_MEMBERS}; it is not read.")
        total = 0
        for member in members:
            if member.flag_bits & 1:
                raise ReadError(
                    f"The {self.what} is protected by a password, which cannot be opened here; save it without one."
                )
            size = max(member.file_size, self._real_size(content, member))
            total += size
            most = min(_MAX_TOTAL, max(_SMALL, self._max_ratio * len(content)))
            if size > self._max_member or total > most:
                raise ReadError(
                    f"The {self.what} unpacks to more than is read of one document ({_MAX_TOTAL // 1_000_000} MB in all, "
                    f"{self._max_member // 1_000_000} MB a part, {self._max_ratio} times its size): it is a zip bomb, or too "
                    "large; exclude it, or make it smaller."
                )

    def _real_size(self, content: bytes, member: zipfile.ZipInfo) -> int:
        """Count what a deflated member unpacks to, where that could be more than it says; 0 where it need not be known."""
        most = member.compress_size * _DEFLATE_LIMIT
        if member.compress_type != zipfile.ZIP_DEFLATED or most <= max(member.file_size, 1_000_000):
            return 0
        start = member.header_offset + 30
        header = content[member.header_offset : start]
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise ReadError(self._damaged)
        start += int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        unpacking, size = zlib.decompressobj(-15), 0
        pending = memoryview(content)[start : start + member.compress_size]
        try:
            for place in range(0, len(pending), _PIECE):
                piece: bytes | memoryview = pending[place : place + _PIECE]
                while piece and not unpacking.eof:
                    size += len(unpacking.decompress(piece, _PIECE))
                    if size > self._max_member:
                        return size
                    piece = unpacking.unconsumed_tail
        except zlib.error:
            pass  # one damaged picture is no reason to refuse the rest; who needs the member finds it missing
        return size

    @property
    def names(self) -> Iterable[str]:
        """The names of all members, in the order of the directory."""
        return self._members

    def read(self, name: str) -> bytes | None:
        """Give a member's bytes; None where there is none of that name, or where it is damaged."""
        member = self._members.get(name)
        if member is None:
            return None
        try:
            return self._zip.read(member)
        except _UNREADABLE:
            return None

    def size(self, name: str) -> int:
        """Give the bytes that reading a member gives at most; 0 where there is none of that name."""
        return self._members[name].file_size if name in self._members else 0

    def pieces(self, name: str) -> Iterator[bytes]:
        """Give a member piece by piece, for one that is too large to hold.

        Raises:
            ReadError: It is damaged.
        """
        try:
            with self._zip.open(self._members[name]) as stream:
                while piece := stream.read(_PIECE):
                    yield piece
        except _UNREADABLE as error:
            raise ReadError(self._damaged) from error

    def xml(self, name: str) -> Element | None:
        """Give the root of a member that is XML; None where there is none, or where nothing of it can be read."""
        content = self.read(name)
        return None if content is None else parse_xml(content)

    def relations(self, name: str) -> Mapping[str, tuple[str, str]]:
        """Give the parts that an Open XML part names: `{id: (kind, target)}`, the target as a member's name or a URL."""
        folder, base = posixpath.split(name)
        root = self.xml(posixpath.join(folder, "_rels", base + ".rels"))
        found: dict[str, tuple[str, str]] = {}
        if root is None:
            return found
        for relation in elements(root, "Relationship"):
            target = relation.get("Target") or ""
            kind = (relation.get("Type") or "").rpartition("/")[2]
            if relation.get("TargetMode") != "External":
                plain = unquote(target)
                target = (
                    plain.lstrip("/") if plain.startswith("/") else posixpath.normpath(posixpath.join(folder, plain))
                )
                if target not in self._members:
                    target = unquote(target) if unquote(target) in self._members else target
            found[relation.get("Id") or ""] = (kind, target)
        return found

    def properties(self) -> dict[str, Any]:
        """Give what the document says of itself: `title`, `authors`, `date`, `description`, `language`, `tags`."""
        root = self.xml("docProps/core.xml")
        if root is None:
            root = self.xml("meta.xml")
        return said_of_itself(root) if root is not None else {}


_PARSER_OPTIONS: Mapping[str, Any] = {
    "resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False, "recover": True,
    "remove_comments": True, "remove_pis": True,
}  # fmt: skip


def parse_xml(content: bytes) -> Element | None:
    """Parse XML without entities, a DTD or the network; broken XML as far as it goes; None where there is nothing."""
    if len(content) > _MAX_XML:
        raise ReadError(f"A part of the document has more than {_MAX_XML // 1_000_000} MB of XML; split the document.")
    try:
        return etree.fromstring(content, etree.XMLParser(**_PARSER_OPTIONS))
    except (etree.XMLSyntaxError, ValueError):
        return None


def local(element: Element) -> str:
    """The name of an element without its namespace, since the strict and the usual form of Open XML differ only there."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def elements(root: Element, *names: str) -> Iterator[Element]:
    """Give all elements of some local names, in the document's order."""
    yield from root.iter(*("{*}" + name for name in names))


def child(element: Element | None, *path: str) -> Element | None:
    """Go down from an element by local names; None where one is not there."""
    for name in path:
        if element is None:
            return None
        element = element.find("{*}" + name)
    return element


def attribute(element: Element | None, name: str) -> str | None:
    """Give an attribute by its local name."""
    if element is None:
        return None
    plain = element.get(name)
    if plain is not None:
        return str(plain)
    for key, value in element.attrib.items():
        if key.rpartition("}")[2] == name:
            return str(value)
    return None


_NAMELESS = re.compile(
    r"untitled(?: document| presentation)?\W*|unknown|title|document\d*|(?:power ?point|word|pr.sentation)[- ]?(?:pr.sentation|document)?|slide \d+",
    re.IGNORECASE,
)


def said_of_itself(root: Element) -> dict[str, Any]:
    """Read the properties of Dublin Core that Open XML, OpenDocument and EPUB share."""

    def values(*names: str) -> list[str]:
        texts = (" ".join("".join(element.itertext()).split())[:1_000] for element in elements(root, *names))
        return [text for text in dict.fromkeys(texts) if text]

    found: dict[str, Any] = {}
    titles = [title for title in values("title") if not _NAMELESS.fullmatch(title)]
    if titles:
        found["title"] = titles[0][:300]
    authors = values("initial-creator") or values("creator")
    if authors:
        found["authors"] = [name.strip() for author in authors for name in author.split(";") if name.strip()][:50]
    dated = (date for name in ("modified", "date", "created", "creation-date") for date in values(name))
    if dates := [date[:10] for date in dated if re.match(r"\d{4}-\d\d-\d\d", date)]:
        found["date"] = dates[0]
    description = [text for text in values("description", "subject") if not text.startswith("generated ")]
    if description:
        found["description"] = description[0]
    if languages := values("language"):
        found["language"] = languages[0][:20]
    if keywords := values("keywords", "keyword"):
        found["tags"] = [tag.strip() for words in keywords for tag in re.split("[,;]", words) if tag.strip()][:30]
    return found
