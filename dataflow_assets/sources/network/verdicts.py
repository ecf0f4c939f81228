"""What an answer that is no good means, as the error to raise.

What belongs here: statuses and proxies' refusals, and the sentence that says what a person can do about each. What does not:
tries and redirects (`sources.http`).
"""

from __future__ import annotations

import httpcore
import httpx

from dataflow_assets.sources.network.errors import RequestRefused, RequestUnauthorized
from dataflow_assets.sources.network.urls import printable, shown

REDIRECTS = frozenset((301, 302, 303, 307, 308))


def passes(status: int) -> bool:
    """Tell whether a status may be another one a moment later."""
    return status in (408, 425, 429) or status >= 500


def refused(url: httpx.URL, status: int, credential: str | None) -> RequestRefused | RequestUnauthorized:
    """Make the error for a status that stays.

    Args:
        url: What was asked for.
        status: The status.
        credential: The variables that hold the credentials that were sent; None where none were.
    """
    at = shown(url)
    if status in (401, 403):
        if credential:
            return RequestUnauthorized(
                f"{at} does not take the credentials (status {status}). Check the environment variable {credential}.",
                status,
            )
        return RequestRefused(
            f"{at} is not for everyone (status {status}). Leave it out, or give credentials in the source's headers.",
            status,
        )
    if status in (404, 410):
        return RequestRefused(f"{at} is not there (status {status}).", status)
    return RequestRefused(f"{at} was refused by its server (status {status}).", status)


def too_large(url: httpx.URL, limit: int) -> RequestRefused:
    """Make the error for a body of more bytes than a source allows."""
    return RequestRefused(
        f"{shown(url)} has more than the {limit:,} bytes that the source allows. Raise its limit, or leave it out."
    )


def proxy_said(error: httpcore.ProxyError, variable: str | None) -> str:
    """Write what a proxy said as the part of a sentence.

    Raises:
        RequestUnauthorized: It does not take its credentials.
    """
    said = str(error)
    if said.startswith("407") and variable:
        raise proxy_unauthorized(variable) from error
    return f"could not be reached: the proxy said {printable(said[:60])!r}"


def proxy_unauthorized(variable: str) -> RequestUnauthorized:
    """Make the error for a proxy that does not take the credentials which a variable holds."""
    return RequestUnauthorized(
        f"The proxy that the environment variable {variable} names does not take its credentials (status 407). "
        "Correct the user name and password in it.",
        407,
    )
