"""The HTTP client of all sources that ask others over a network.

What belongs here: one request from its address to its answer: tries, redirects, limits, credentials, and the sentence for the
person where it fails. What does not: connections, addresses, pace and bodies (`network`), and what an answer means.

Whatever a server sends is hostile until proven: how much, how slowly, where it redirects to, and how far it unpacks are
bounded here, once for all sources. Cookies are not kept, so that no answer depends on the one before.
"""

from __future__ import annotations

import io
import json as jsons
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import httpcore
import httpx

from dataflow_assets.models.service import retry_after
from dataflow_assets.source_settings import NetworkSettings
from dataflow_assets.sources.network.addresses import AddressGuard, Resolver
from dataflow_assets.sources.network.bodies import BodyDamaged, EncodingUnknown, unpacked, write_whole
from dataflow_assets.sources.network.connections import Line, Lines, patience
from dataflow_assets.sources.network.errors import (
    AddressRefused,
    RedirectRefused,
    RequestFailed,
    RequestRefused,
    RequestUnauthorized,
)
from dataflow_assets.sources.network.headers import for_another_host, request_headers, secret_headers
from dataflow_assets.sources.network.pacing import HostPace
from dataflow_assets.sources.network.urls import joined, parsed, place_of, port_of, reason, same_server, shown
from dataflow_assets.sources.network.verdicts import (
    REDIRECTS,
    passes,
    proxy_said,
    proxy_unauthorized,
    refused,
    too_large,
)

__all__ = [
    "AddressRefused",
    "HttpClient",
    "RedirectRefused",
    "RequestFailed",
    "RequestRefused",
    "RequestUnauthorized",
    "Response",
]

MAX_REDIRECTS = 10
_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.5, 30.0
_NOTHING: Mapping[str, str] = MappingProxyType({})
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)


@dataclass(frozen=True)
class Response:
    """An answer: of the status 2xx or 304."""

    url: str
    """Where it came from, after all redirects."""
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    content: bytes
    """The body, unpacked; empty where it was written to a file."""
    redirects: tuple[str, ...] = ()
    """The addresses that sent it on, the first one first."""

    @property
    def text(self) -> str:
        """The body as text, in the encoding that the answer names, or UTF-8."""
        named = _CHARSET.search(self.headers.get("content-type", "")[:500])
        try:
            return self.content.decode(named[1] if named else "utf-8", "replace")
        except (LookupError, UnicodeError):
            return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Give the body as JSON.

        Raises:
            FetchFailed: It is none.
        """
        try:
            return jsons.loads(self.content)
        except (ValueError, RecursionError) as error:
            raise RequestFailed(
                f"{shown(self.url)} did not answer with JSON. Check the source's address; the next run tries again.",
                self.status,
            ) from error


class HttpClient:
    """Asks servers over HTTP/1.1; one for each source, safe for threads.

    Args:
        settings: Time-outs, tries, pace, proxies, headers and hosts of the source.
        user_agent: How the requests name themselves.
        per_second: Requests a second to one host at most, where the settings say nothing; None for as many as come.
        resolve: Finds the addresses of a name; asks the machine if left out.
        sleep: Waits for some seconds.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        *,
        user_agent: str = "dataflow-assets",
        per_second: float | None = None,
        resolve: Resolver | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._user_agent = user_agent
        self._sleep = sleep
        self._slots = threading.BoundedSemaphore(settings.concurrency)
        self._lines = Lines(AddressGuard(settings.allow_hosts, resolve), settings.proxies, settings.concurrency)
        self._pace = HostPace(settings.requests_per_second or per_second, sleep=sleep)

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] = _NOTHING,
        params: Mapping[str, str | int | float | bool] | None = None,
        max_bytes: int | None = None,
        to: Path | None = None,
        credential: str | None = None,
        may_follow: Callable[[str], bool] | None = None,
        wanted: Callable[[str, Mapping[str, str]], bool] | None = None,
        secrets: bool = True,
    ) -> Response:
        """Ask for something.

        Args:
            url: Where; without credentials in it.
            headers: Further headers. Those that may be secret do not follow a redirect to another host.
            params: Query parameters, added to those of the address.
            max_bytes: The largest body, as it is unpacked; the source's `max_bytes` if left out.
            to: A file that the body is written to. It is complete, or not there.
            credential: The variable that holds the credentials in `headers`, for the sentence when they are not taken.
            may_follow: Is asked about the target of each redirect; all are followed if left out.
            wanted: Is asked about the address and headers of the answer. Where it says no, the body is not read, and the
                content is empty.
            secrets: Whether the settings' headers are sent; not to hosts that somebody else named.

        Raises:
            RequestFailed: It does not work now.
            RequestRefused: It will never work as it is: gone, forbidden, too large, an address that may not be asked.
            CredentialError: Credentials are missing, or not taken.
        """
        limit = max_bytes or self._settings.max_bytes
        asked = _Asked("GET", url, dict(headers), credential, limit, to, may_follow, wanted, secrets)
        return self._send(asked, parsed(url, params), None, None)

    def post(
        self,
        url: str,
        *,
        data: Mapping[str, str] | None = None,
        json: Any = None,
        headers: Mapping[str, str] = _NOTHING,
        max_bytes: int | None = None,
        credential: str | None = None,
    ) -> Response:
        """Send a form, or JSON, and give the answer; errors as of `get`.

        What was sent is sent again only to the same host.
        """
        asked = _Asked("POST", url, dict(headers), credential, max_bytes or self._settings.max_bytes, None)
        return self._send(asked, parsed(url), data, json)

    def slow_down(self, url: str, seconds: float) -> None:
        """Leave at least so many seconds between requests to the host of an address from now on, 60 at most."""
        self._pace.slow(place_of(parsed(url)), seconds)

    def close(self) -> None:
        """Close all connections. The client opens new ones when it is asked again."""
        self._lines.close()

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, asked: _Asked, address: httpx.URL, data: Any, json: Any) -> Response:
        variables = self._settings.headers if asked.secrets else {}
        secret = secret_headers(variables)
        method, headers = asked.method, request_headers(self._user_agent, secret, asked.headers)
        credential = asked.credential or ", ".join(variables.values()) or None
        passed: list[str] = []
        while True:
            request = _request(method, address, headers, data, json)
            answer = self._try(request, asked, credential)
            if isinstance(answer, Response):
                return Response(answer.url, answer.status, answer.headers, answer.content, tuple(passed))
            target = self._target(address, answer, asked, len(passed))
            passed.append(str(address))
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, data, json = "GET", None, None
                headers.pop("content-type", None)
            if not same_server(address, target):
                if method != "GET":
                    raise RedirectRefused(
                        f"{shown(address)} sends on to another host, {target.host}, what was sent to it. It was not. "
                        "If that is right, name the new address in the source's settings.",
                        str(target),
                        answer.status,
                    )
                headers = for_another_host(headers, secret, self._user_agent)
                credential = None
            address = target

    def _target(self, address: httpx.URL, answer: _Sent, asked: _Asked, passed: int) -> httpx.URL:
        """Find where a redirect leads, and whether it may be followed."""
        status = answer.status
        if passed >= MAX_REDIRECTS:
            raise RequestRefused(
                f"{shown(asked.url)} was redirected more than {MAX_REDIRECTS} times; it was left at {shown(address)}.",
                status,
            )
        target = joined(address, answer.location)
        if address.scheme == "https" and target.scheme == "http":
            raise RedirectRefused(
                f"{shown(address)} redirects from https to http, which anyone on the way can read and change. It was not "
                "followed.",
                str(target),
                status,
            )
        if asked.may_follow is not None and not asked.may_follow(str(target)):
            raise RedirectRefused(
                f"{shown(address)} redirects to {shown(target)}, which the source does not take.", str(target), status
            )
        return target

    def _try(self, request: httpx.Request, asked: _Asked, credential: str | None) -> Response | _Sent:
        """Send a request until it is answered, or no try is left."""
        host, place = request.url.host, place_of(request.url)
        for attempt in range(self._settings.retries + 1):
            wait: float | None = None
            with self._slots:
                self._pace.wait(place)
                line = self._lines.next(host, port_of(request.url))
                try:
                    answer = self._once(line, request, asked, credential)
                    if isinstance(answer, Response) or answer.location:
                        return answer
                    status, said = answer.status, f"answered with the status {answer.status}"
                    wait = answer.retry_after
                    if wait is not None:
                        self._pace.pause(place, wait)
                except (httpcore.TimeoutException, TimeoutError):
                    status, said = None, f"did not answer within {self._settings.timeout_seconds:g} seconds"
                except httpcore.ProxyError as error:
                    status, said = None, proxy_said(error, line.variable)
                except (httpcore.NetworkError, httpcore.ProtocolError, BodyDamaged) as error:
                    status, said = None, f"could not be asked: {reason(error)}"
                    if "CERTIFICATE_VERIFY_FAILED" in str(error):
                        break  # another try finds the same certificate
            if attempt < self._settings.retries and wait is None:
                backoff = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0**attempt)
                self._sleep(backoff * random.uniform(0.5, 1.0))  # noqa: S311 - so that not all come back at once
        through = f" through the proxy that {line.variable} names" if line.variable else ""
        raise RequestFailed(
            f"{shown(request.url)}: the host {host} {said}{through}, {_times(attempt + 1)}. The next run tries again.",
            status,
        )

    def _once(self, line: Line, request: httpx.Request, asked: _Asked, credential: str | None) -> Response | _Sent:
        """Send a request once.

        Returns:
            The response; or where it is redirected to; or the status that makes another try worthwhile.
        """
        with patience(self._settings.timeout_seconds), self._opened(line, request) as answer:
            status, headers = answer.status, httpx.Headers(answer.headers)
            if 200 <= status < 300 or status == 304:
                return self._answered(request, answer, headers, asked)
            if status in REDIRECTS and headers.get("location"):
                return _Sent(status, headers["location"])
            if passes(status):
                return _Sent(status, retry_after=retry_after(headers))
        if status == 407 and line.variable:
            raise proxy_unauthorized(line.variable)
        raise refused(request.url, status, credential)

    @contextmanager
    def _opened(self, line: Line, request: httpx.Request) -> Iterator[httpcore.Response]:
        seconds = self._settings.timeout_seconds
        with line.pool.stream(
            request.method,
            httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.read() or None,
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), seconds)},
        ) as answer:
            yield answer

    def _answered(
        self, request: httpx.Request, answer: httpcore.Response, headers: httpx.Headers, asked: _Asked
    ) -> Response:
        lower = {name.lower(): value for name, value in headers.items()}
        blocks: Iterator[bytes] = iter(())
        if answer.status not in (204, 304) and (asked.wanted is None or asked.wanted(str(request.url), lower)):
            blocks = _bounded(
                unpacked(answer.iter_stream(), lower.get("content-encoding", "")),
                asked.max_bytes,
                request.url,
                _length(headers),
            )
        try:
            if asked.to is None:
                buffer = io.BytesIO()  # grows in place: a list of blocks and their sum would take the body twice
                buffer.writelines(blocks)
                content = buffer.getvalue()
            else:
                content = b""
                write_whole(asked.to, blocks)
        except EncodingUnknown as error:
            raise RequestRefused(
                f"{shown(request.url)} is packed as {error}, which was not asked for and is not unpacked.",
                answer.status,
            ) from error
        return Response(str(request.url), answer.status, lower, content)


@dataclass(frozen=True)
class _Asked:
    """What a caller asked for."""

    method: str
    url: str
    headers: dict[str, str]
    credential: str | None
    max_bytes: int
    to: Path | None
    may_follow: Callable[[str], bool] | None = None
    wanted: Callable[[str, Mapping[str, str]], bool] | None = None
    secrets: bool = True


@dataclass(frozen=True)
class _Sent:
    """An answer that is no response: the request is sent on, or sent again."""

    status: int
    location: str = ""
    retry_after: float | None = None


def _request(method: str, address: httpx.URL, headers: dict[str, str], data: Any, json: Any) -> httpx.Request:
    try:
        return httpx.Request(method, address, headers=headers, data=data, json=json)
    except (ValueError, UnicodeError, TypeError) as error:
        raise RequestRefused(
            f"{shown(address)} was not asked: what should be sent cannot be written ({reason(error)})."
        ) from error


def _bounded(blocks: Iterator[bytes], limit: int, url: httpx.URL, stated: int | None) -> Iterator[bytes]:
    if stated is not None and stated > limit:
        raise too_large(url, limit)
    count = 0
    for block in blocks:
        count += len(block)
        if count > limit:
            raise too_large(url, limit)
        yield block


def _length(headers: httpx.Headers) -> int | None:
    """Say how long the body says it is, where it is not packed."""
    said = headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 19 else None


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
