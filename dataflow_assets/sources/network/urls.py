"""Addresses of the web, as requests need them and as people see them.

What belongs here: parsing and checking one, and writing it so that it can be shown. What does not: which hosts may be asked
(`addresses`), and which links of a page lead where (`crawling.links`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx

from dataflow_assets.sources.network.errors import RequestRefused


def parsed(url: str, params: Mapping[str, Any] | None = None) -> httpx.URL:
    """Read an address, without its fragment.

    Args:
        url: The address.
        params: Query parameters, added to those that it has.

    Raises:
        RequestRefused: It is none of the web, or carries credentials.
    """
    try:
        address = httpx.URL(url).copy_with(fragment=None)
        if params:
            address = address.copy_merge_params(dict(params))
    except (httpx.InvalidURL, ValueError, UnicodeError, TypeError) as error:
        raise RequestRefused(f"{shown(url)} is no address: {reason(error)}.") from error
    check(address)
    return address


def joined(address: httpx.URL, location: str) -> httpx.URL:
    """Find what a redirect, or a link, of an address leads to.

    Raises:
        RequestRefused: It leads nowhere.
    """
    try:
        target = address.join(location).copy_with(fragment=None)
    except (httpx.InvalidURL, ValueError, UnicodeError, TypeError) as error:
        raise RequestRefused(f"{shown(address)} redirects to what is no address.") from error
    check(target)
    return target


def check(address: httpx.URL) -> None:
    """See that an address can be asked, whoever may be.

    Raises:
        RequestRefused: It is none of the web, or carries credentials.
    """
    if address.scheme not in ("http", "https") or not address.host:
        raise RequestRefused(f"{shown(address)} is no address of the web (http or https); it was not asked.")
    if address.userinfo:
        raise RequestRefused(
            f"The address {shown(address)} carries a user name or a password, and was not asked. Put credentials into "
            "environment variables, and name those in the source's headers."
        )


def port_of(address: httpx.URL) -> int:
    """Give the port, also where the address leaves it to its scheme."""
    return address.port or (443 if address.scheme == "https" else 80)


def place_of(address: httpx.URL) -> str:
    """Name the server that an address is at: its host and port."""
    return f"{address.host}:{port_of(address)}"


def same_server(one: httpx.URL, other: httpx.URL) -> bool:
    """Tell whether what is sent to one address is meant for another: the same host and port, or its https."""
    if one.host != other.host:
        return False
    return port_of(one) == port_of(other) or (port_of(one), port_of(other)) == (80, 443)


def shown(url: httpx.URL | str) -> str:
    """Write an address for a person.

    No credentials, no query, which may hold some, no control characters, not too long.
    """
    said = re.sub(r"(?<=://)[^/?#]*@", "", str(url)[:2000])
    return printable(said.partition("?")[0].partition("#")[0][:300])


def reason(error: BaseException) -> str:
    """Write what an error says as the part of a sentence."""
    return printable(" ".join(str(error).split())[:200].rstrip(".")) or type(error).__name__


def printable(text: str) -> str:
    """Replace what would not show, or would change what stands beside it."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
