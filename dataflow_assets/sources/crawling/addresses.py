"""The addresses of pages: one writing for each, and which of them a source takes.

What belongs here: normalising, joining, prefixes and patterns. What does not: whether a host may be asked
(`network.addresses`).

Two writings of one address must not become two documents: scheme and host are lower-case, default ports, fragments and dot
segments are gone, and percent-encodings are written in one way. Queries stay as they are, since nobody can tell which of
their parts a page depends on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import httpx

MAX_LENGTH = 2_000
"""Longer addresses are not taken: they are made by loops."""
_MAX_REPEATS = 5
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_BLANKS = re.compile("[\t\n\r]")


def normal(url: str) -> str | None:
    """Write an address of the web in the one way; None for what is none, carries credentials or is too long."""
    return _written(url, None)


def joined(base: str, link: str) -> str | None:
    """Find what a link on a page leads to, as `normal` writes it."""
    return _written(link, base)


def _written(url: str, base: str | None) -> str | None:
    if len(url) > 2 * MAX_LENGTH:
        return None
    try:
        address = httpx.URL(_BLANKS.sub("", url.strip(" \t\n\r\f")))
        if base is not None:
            address = _parsed(base).join(address)
        if address.scheme not in ("http", "https") or not address.host or address.userinfo:
            return None
        said = str(address.copy_with(fragment=None, raw_path=address.raw_path.rstrip(b"?") or b"/"))
    except (httpx.InvalidURL, ValueError, UnicodeError, TypeError):
        return None
    said = _ESCAPE.sub(_one_escape, said)
    return said if len(said) <= MAX_LENGTH and not _goes_round(said) else None


def folder_of(url: str) -> str:
    """Give the folder that an address lies in, with a slash at its end."""
    return url.partition("?")[0].rpartition("/")[0] + "/"


def same_site(one: str, other: str) -> bool:
    """Tell whether two addresses are of one site: the same host, with or without `www.`, over http or https."""
    return _site(one) == _site(other)


def lies_within(url: str, prefix: str) -> bool:
    """Tell whether an address starts with a prefix; http stands for https on the same host."""
    return url.startswith(prefix) or (
        prefix.startswith("https:") and url.startswith("http:") and ("https:" + url[5:]).startswith(prefix)
    )


def over_tls(url: str, prefix: str) -> str:
    """Write an old http link of a site as the https of its prefix."""
    return "https:" + url[5:] if url.startswith("http:") and prefix.startswith("https:") else url


class Patterns:
    """Says which addresses are taken: `*` stands for any characters, `?` for one.

    Args:
        include: Patterns of which one must match; none for all.
        exclude: Patterns of which none may match.
    """

    def __init__(self, include: Iterable[str], exclude: Iterable[str]) -> None:
        self._include = [_expression(pattern) for pattern in include]
        self._exclude = [_expression(pattern) for pattern in exclude]

    def takes(self, url: str) -> bool:
        """Tell whether a page is listed."""
        return not self.excludes(url) and (not self._include or any(one.fullmatch(url) for one in self._include))

    def excludes(self, url: str) -> bool:
        """Tell whether a page is not even asked for."""
        return any(one.fullmatch(url) for one in self._exclude)


@lru_cache(maxsize=16)
def _parsed(base: str) -> httpx.URL:
    """Read the address of a page, once for all of its links."""
    return httpx.URL(base)


def _expression(pattern: str) -> re.Pattern[str]:
    """Write a pattern as an expression in which no star is tried in more places than one (atomic groups)."""
    first, *rest = ("".join("." if c == "?" else re.escape(c) for c in piece) for piece in pattern.split("*"))
    if not rest:
        return re.compile(first)
    *middle, last = rest
    return re.compile(first + "".join(f"(?>.*?{piece})" for piece in middle if piece) + ".*" + last)


def _one_escape(match: re.Match[str]) -> str:
    char = chr(int(match[1], 16))
    return char if char in _UNRESERVED else match[0].upper()


def _goes_round(url: str) -> bool:
    """Tell whether an address is one that relative links make when they lead in a circle: /a/b/a/b/a/b/..."""
    parts = [part for part in url.partition("?")[0].split("/")[3:] if part]
    return len(parts) > _MAX_REPEATS and any(parts.count(part) > _MAX_REPEATS for part in set(parts))


def _site(url: str) -> str:
    try:
        address = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return ""
    port = "" if address.port in (None, 80, 443) else f":{address.port}"
    return address.host.removeprefix("www.") + port
