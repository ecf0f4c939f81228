"""Sitemaps: which pages a site says that it has.

What belongs here: reading one file, XML or text, packed or not, and going through an index of them. What does not: which of
the pages are taken (`listing`).

A sitemap is hostile until proven: it is read as a stream without a tree, document types and so entities are refused, and
everything is bounded. One that is damaged is an error, never a shorter list: what is missing from a listing is deleted.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from dataflow_assets.errors import SourceUnavailable
from dataflow_assets.sources.crawling.addresses import joined, same_site
from dataflow_assets.sources.http import HttpClient, RequestFailed, RequestRefused

MAX_BYTES = 60_000_000
"""Unpacked; the protocol allows 50 MiB."""
MAX_ENTRIES = 50_000
"""Of one file, as the protocol has it."""
_MAX_SITEMAPS = 1_000
_MAX_DEPTH = 32
_MAX_ADDRESS = 4_096
_BLOCK_BYTES = 1 << 16


class SitemapDamaged(Exception):
    """A sitemap cannot be read; the message says why, as the part of a sentence."""


@dataclass
class Sitemap:
    """What one file names."""

    pages: list[str] = field(default_factory=list)
    sitemaps: list[str] = field(default_factory=list)


def addresses_in(start: str, client: HttpClient, *, foreign: Callable[[str], None]) -> Iterator[str]:
    """Give the addresses that a sitemap names, and all sitemaps that it names, as `normal` writes them.

    Args:
        start: Its address.
        client: Asks for it.
        foreign: Hears of what was left out, since it is no address, or a sitemap of another site.

    Raises:
        SourceUnavailable: One of them cannot be had, or is not whole.
    """
    waiting, seen = deque([start]), {start}
    while waiting:
        address = waiting.popleft()
        try:
            sitemap = read_sitemap(client.get(address, max_bytes=MAX_BYTES).content)
        except (RequestFailed, RequestRefused) as error:
            raise SourceUnavailable(f"The sitemap cannot be had. {error} Nothing was deleted.") from error
        except SitemapDamaged as error:
            raise SourceUnavailable(
                f"The sitemap {address} {error}. Tell whoever keeps it, or name another. Nothing was deleted."
            ) from error
        for named in sitemap.pages:
            if (url := joined(address, named)) is not None:
                yield url
            else:
                foreign(named)
        for named in sitemap.sitemaps:
            url = joined(address, named)
            if url is None or not same_site(url, start):
                foreign(named)
            elif url not in seen:
                if len(seen) >= _MAX_SITEMAPS:
                    raise SourceUnavailable(
                        f"The sitemap {start} names more than {_MAX_SITEMAPS:,} others. Name one of them. "
                        "Nothing was deleted."
                    )
                seen.add(url)
                waiting.append(url)


def read_sitemap(content: bytes) -> Sitemap:
    """Read a sitemap, or an index of sitemaps.

    Args:
        content: XML or one address a line, perhaps packed with gzip.

    Raises:
        SitemapDamaged: It is none, or not whole.
    """
    start = b""
    blocks = _unpacked(content)
    for block in blocks:
        start += block
        if len(start) > 100:
            break
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith((b"http://", b"https://")):
        return _lines(start + b"".join(blocks))
    return _xml(start, blocks)


def _lines(content: bytes) -> Sitemap:
    lines = [line.strip() for line in content.decode("utf-8-sig", "replace").splitlines()]
    return Sitemap(pages=_bounded([line for line in lines if line]))


def _xml(start: bytes, rest: Iterator[bytes]) -> Sitemap:
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(start, False)
        for block in rest:
            parser.Parse(block, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise SitemapDamaged(
            f"is damaged or no sitemap (line {error.lineno}: {expat.ErrorString(error.code)})"
        ) from error
    except (ValueError, LookupError) as error:
        raise SitemapDamaged("is in an encoding that cannot be read") from error
    if not reader.known:
        raise SitemapDamaged("is no sitemap: its first element is neither urlset nor sitemapindex")
    return Sitemap(_bounded(reader.found["url"]), _bounded(reader.found["sitemap"]))


class _Reader:
    """Hears a sitemap's elements."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {"url": [], "sitemap": []}
        self.known = False
        self._path: list[str] = []
        self._address: list[str] | None = None
        self._length = 0

    def doctype(self, *_: object) -> None:
        raise SitemapDamaged("has a document type, as no sitemap does")

    def start(self, name: str, _: object) -> None:
        if len(self._path) >= _MAX_DEPTH:
            raise SitemapDamaged("is nested deeper than any sitemap")
        if not self._path:
            self.known = name.rpartition(" ")[2] in ("urlset", "sitemapindex")
        elif name.rpartition(" ")[2] == "loc" and self._kind() in self.found and _same_space(name, self._path[-1]):
            self._address, self._length = [], 0
        self._path.append(name)

    def end(self, _: str) -> None:
        self._path.pop()
        if self._address is not None:
            address, self._address = "".join(self._address).strip(), None
            found = self.found[self._kind()]
            if address and len(found) <= MAX_ENTRIES:
                found.append(address)

    def text(self, said: str) -> None:
        if self._address is not None:
            self._length += len(said)
            if self._length > _MAX_ADDRESS:
                raise SitemapDamaged("names an address that is too long")
            self._address.append(said)

    def _kind(self) -> str:
        return self._path[-1].rpartition(" ")[2] if self._path else ""


def _same_space(one: str, other: str) -> bool:
    """Tell whether two names are of one namespace: the address of a picture is another `loc`."""
    return one.rpartition(" ")[0] == other.rpartition(" ")[0]


def _bounded(found: list[str]) -> list[str]:
    if len(found) > MAX_ENTRIES:
        raise SitemapDamaged(f"names more than {MAX_ENTRIES:,} addresses, the most that one may")
    return found


def _unpacked(content: bytes) -> Iterator[bytes]:
    if not content.startswith(b"\x1f\x8b"):
        for at in range(0, len(content), _BLOCK_BYTES):
            yield content[at : at + _BLOCK_BYTES]
        return
    unpack, rest, count = zlib.decompressobj(zlib.MAX_WBITS | 16), content, 0
    while not unpack.eof:
        try:
            piece = unpack.decompress(rest, _BLOCK_BYTES)
        except zlib.error as error:
            raise SitemapDamaged("does not unpack") from error
        rest = unpack.unconsumed_tail
        if not piece and not rest and not unpack.eof:
            raise SitemapDamaged("is packed, and ends too early")
        count += len(piece)
        if count > MAX_BYTES:
            raise SitemapDamaged(f"unpacks to more than {MAX_BYTES:,} bytes")
        yield piece
