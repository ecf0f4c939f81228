"""How the service says no: problem details (RFC 9457), in sentences for the person who must act."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """A request that is not answered as its caller wished.

    Args:
        status: The status.
        detail: What happened, and what to do.
        headers: Headers of the answer.
        more: Further members of the problem.
    """

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def body(self) -> bytes:
        """Give the problem as JSON says it."""
        said = {"type": "about:blank", "title": HTTPStatus(self.status).phrase, "status": self.status}
        return json.dumps({**said, "detail": self.detail, **self.more}).encode()

    def response(self) -> Response:
        """Give the answer."""
        return Response(self.body(), self.status, self.headers, media_type=MEDIA_TYPE)


def unknown_library(name: str) -> Problem:
    """Say that a library does not exist, in the same words whether nobody or only this caller may not see it."""
    return Problem(404, f"There is no library {name!r} here. GET /v1/libraries lists those that there are.")


def no_key() -> Problem:
    """Say that a key is needed, or that the one shown is none."""
    return Problem(
        401,
        "Send a key that this service knows, in the header: Authorization: Bearer KEY. "
        "The operator makes one with: dataflow keys add NAME",
        headers={"WWW-Authenticate": 'Bearer realm="dataflow"'},
    )
