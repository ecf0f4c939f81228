"""Whether an event comes from who says so, and now: signatures as of Standard Webhooks.

Three headers: `webhook-id`, `webhook-timestamp` (seconds since 1970) and `webhook-signature` (`v1,` and the Base64 of
HMAC-SHA256 over `id.timestamp.body`; several may be given, with blanks between). The id makes a repetition harmless, the time
stamp bounds for how long ids must be remembered.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dataflow_assets.serving.problems import Problem

MAX_SIGNATURES = 10
_ID = re.compile(r"[\x21-\x7e]{1,256}")
_TIMESTAMP = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Signer:
    """Somebody who may send events."""

    name: str
    secret: bytes
    libraries: tuple[str, ...] | None
    """What the events may be about; None is every library."""


def sign(secret: bytes, event_id: str, timestamp: int, body: bytes) -> str:
    """Make the header `webhook-signature` of an event."""
    signed = b".".join((event_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def signer_of(
    headers: Mapping[str, str], body: bytes, signers: Iterable[Signer], *, now: float, tolerance: float
) -> tuple[Signer, str]:
    """Find who signed an event.

    Args:
        headers: The request's.
        body: Its body, to the byte.
        signers: Who may.
        now: Seconds since 1970.
        tolerance: How far the time stamp may be from it.

    Returns:
        The signer and the event's id.

    Raises:
        Problem: 401; nobody who may has signed it, or not now. All reasons that an attacker could learn from look alike.
    """
    event_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "").split()[:MAX_SIGNATURES]
    refused = Problem(
        401,
        "The event is not signed by anybody who may send events here, or its time stamp is not of now. Sign "
        "webhook-id.webhook-timestamp.body with HMAC-SHA256 and send the Base64 as webhook-signature: v1,... "
        "The operator makes a secret with: dataflow keys add NAME --events",
    )
    if _ID.fullmatch(event_id) is None or _TIMESTAMP.fullmatch(timestamp) is None:
        raise refused
    found = None
    for signer in signers:
        right = sign(signer.secret, event_id, int(timestamp), body).encode()
        for one in given:
            # Every signer is tried, so that the time tells nothing of which one was near.
            if hmac.compare_digest(one.encode("utf-8", "surrogatepass"), right):
                found = signer
    if found is None or abs(now - int(timestamp)) > tolerance or str(int(timestamp)) != timestamp:
        raise refused
    return found, event_id
