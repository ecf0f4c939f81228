"""The headers of requests, and which of them may be seen by whom.

What belongs here: headers whose values are secrets of the environment, and what stays of a request's headers when another
host is asked. What does not: what a kind of source sends of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from dataflow_assets.errors import CredentialError
from dataflow_assets.sources.network.bodies import ACCEPTED

_HARMLESS = frozenset(
    "accept accept-charset accept-encoding accept-language content-type content-length if-match if-modified-since "
    "if-none-match if-range if-unmodified-since range user-agent".split()
)
"""Headers that any host may see; any other may be a secret."""


def secret_headers(variables: Mapping[str, str]) -> dict[str, str]:
    """Read headers from the environment, as it is now.

    Args:
        variables: Name of a header -> the variable that holds its value.

    Raises:
        CredentialError: A variable is not set, or holds what no header can carry.
    """
    found = {}
    for name, variable in variables.items():
        value = os.environ.get(variable, "").strip()
        if not value:
            raise CredentialError(
                f"The environment variable {variable}, which holds the header {name} of the source's requests, is not "
                "set. Set it."
            )
        if not (value.isascii() and value.isprintable()):
            raise CredentialError(
                f"The environment variable {variable} contains characters that no header has. Set it again."
            )
        found[name.lower()] = value
    return found


def request_headers(user_agent: str, secret: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Put together what a request says besides its address; names in lower case.

    Args:
        user_agent: How it names itself.
        secret: Headers from the environment.
        own: Headers of this one request, which win.
    """
    headers = {"accept": "*/*", "user-agent": user_agent, **secret}
    headers |= {name.lower(): value for name, value in own.items()}
    # A range is one of the bytes as they are packed, so nothing may be packed then.
    headers.setdefault("accept-encoding", "identity" if "range" in headers else ACCEPTED)
    return headers


def for_another_host(headers: Mapping[str, str], secret: Mapping[str, str], user_agent: str) -> dict[str, str]:
    """Leave out of a request's headers what was meant for one host."""
    kept = {name: value for name, value in headers.items() if name in _HARMLESS and name not in secret}
    return kept | {"user-agent": user_agent}
