"""What every request passes before it reaches a route, in this order: host, key, rate, size, time.

What belongs here: whatever can be decided without knowing what is asked. What does not: what a caller may see (`service`), and
connections (`connections`). An exception that nobody expected ends here as a problem without details; the log has them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dataflow_assets.errors import DataflowError
from dataflow_assets.serving.problems import Problem, no_key
from dataflow_assets.serving.service import ANYONE, Caller, Service, problem_of

FREE = frozenset({
    "/", "/page.css", "/page.js", "/reader.js", "/service.js", "/text.js", "/health", "/ready", "/openapi.json", "/v1/events",
    "/favicon.ico",
})  # fmt: skip
"""Paths that tell nothing of any library; events carry a signature instead of a key."""
WITH_BODY = frozenset({"/v1/search", "/v1/runs", "/v1/events"})
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

log = logging.getLogger(__name__)


class Gate:
    """Middleware around the application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or say why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
            await send(message)

        try:
            scope.setdefault("state", {})["caller"] = self._caller(scope)
            await self._within_limits(scope, receive, told)
        except Problem as problem:
            if status == 0:
                self._service.metrics.refused.labels(str(problem.status)).inc()
                await problem.response()(scope, receive, told)
        except DataflowError as error:
            log.error("%s %s: %s", scope["method"], scope["path"][:200], error)
            if status == 0:
                await problem_of(error).response()(scope, receive, told)
        except Exception:
            log.exception("%s %s failed.", scope["method"], scope["path"][:200])
            if status == 0:
                await Problem(500, "The service made a mistake; its log says which.").response()(scope, receive, told)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._service.metrics.requests.labels(route, method, str(status)).inc()
            self._service.metrics.seconds.labels(route).observe(time.perf_counter() - started)

    def _caller(self, scope: Scope) -> Caller:
        settings = self._service.settings
        headers: dict[bytes, bytes] = dict(scope["headers"])
        shown = headers.get(b"authorization")
        if sum(name == b"authorization" for name, _ in scope["headers"]) > 1:
            raise no_key()  # whoever stands between may have looked at the other one
        if shown is not None and scope["path"] not in FREE:
            scheme, _, token = shown.decode("latin-1").partition(" ")
            key = self._service.keys.find(token.strip()) if scheme.lower() == "bearer" else None
            if key is None:
                raise no_key()
            wait = self._service.rates.take(key.name, key.per_minute)
            if wait:
                raise Problem(
                    429,
                    f"This key may ask {key.per_minute} times a minute. Try again in {math.ceil(wait)} seconds.",
                    headers={"Retry-After": str(math.ceil(wait))},
                )
            return Caller(key.name, key.libraries, key.runs)
        if settings.keyless:
            # A page of another site that a person looks at must not reach this machine's libraries through the browser.
            if not _names_this_machine(headers.get(b"host", b"")):
                raise Problem(
                    403,
                    "Without a key this service answers only to the names of this machine itself, such as localhost. "
                    "Behind a proxy start it with --require-key.",
                )
            origin = headers.get(b"origin", b"").partition(b"://")[2]
            elsewhere = b"origin" in headers and not _names_this_machine(origin)
            if elsewhere or headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site"):
                raise Problem(403, "Without a key this service answers no page of another site.")
            return ANYONE
        if scope["path"] in FREE:
            return Caller("", (), runs=False)
        raise no_key()

    async def _within_limits(self, scope: Scope, receive: Receive, send: Send) -> None:
        settings, headers = self._service.settings, dict(scope["headers"])
        # Closed, since what was announced may still be on its way.
        too_large = Problem(
            413, f"The body of a request may have {settings.body_bytes:,} bytes.", headers={"Connection": "close"}
        )
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or len(declared) > 15 or int(declared) > settings.body_bytes:
            raise too_large
        if scope["method"] == "POST" and scope["path"] in WITH_BODY:
            kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
            if kind != b"application/json" and not kind.endswith(b"+json"):
                raise Problem(415, "Send the body as JSON, with the header: Content-Type: application/json")
        got, whole, started, refused = 0, False, False, False

        async def bounded() -> Message:
            nonlocal got, whole, refused
            message = await receive()
            if message["type"] == "http.request":
                got += len(message.get("body", b""))
                whole = not message.get("more_body", False)
                if got > settings.body_bytes:
                    refused = True
                    raise too_large
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            if not refused:  # else whoever reads bodies says that this one cannot be read, which is not why
                started = True
                await send(message)

        try:
            async with asyncio.timeout(settings.request_seconds):
                await self._app(scope, bounded, noted)
                if refused:
                    raise too_large
        except TimeoutError:
            if started:
                raise
            slow = scope["method"] in ("POST", "PUT", "PATCH") and not whole
            said = "The request did not come" if slow else "The request could not be answered"
            raise Problem(
                408 if slow else 503,
                f"{said} within {settings.request_seconds:g} seconds.",
                headers={"Connection": "close"} if slow else {"Retry-After": "10"},
            ) from None


def _names_this_machine(host: bytes) -> bool:
    said: Any = host.decode("latin-1").strip().lower()
    name = said.partition("]")[0].removeprefix("[") if said.startswith("[") else said.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
