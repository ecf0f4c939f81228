"""Connections: to the address that was checked, and with an end to patience.

What belongs here: how a connection is opened, directly or through a proxy, and how long bytes may take. What does not:
what is said over it (`sources.http`), and which addresses may be asked (`addresses`).

A time-out for each read is not enough: whoever sends one byte every few seconds is never late. So each request has a time by
which it must be answered, which moves on with every byte that comes, as if a slow line brought it.
"""

from __future__ import annotations

import itertools
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpcore
import httpx

from dataflow_assets.errors import ConfigurationError, CredentialError
from dataflow_assets.sources.network.addresses import AddressGuard

SLOWEST = 16_384
"""Bytes a second below which a line counts as dead, over the time that one request may take."""
_READ_BYTES = 1 << 16
_KEEP_SECONDS = 15.0
"""An idle connection is kept so long; servers close theirs after 5 to 75 seconds."""


class Patience:
    """How long one request may still take."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Give the seconds that are left."""
        return self._end - time.monotonic()

    def came(self, count: int) -> None:
        """Hear that some bytes came."""
        self._end += count / SLOWEST


_patience: ContextVar[Patience | None] = ContextVar("patience", default=None)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Bound what is read from connections within the block, by this thread."""
    token = _patience.set(Patience(seconds))
    try:
        yield
    finally:
        _patience.reset(token)


class _PatientStream(httpcore.NetworkStream):
    """A stream whose reads end when patience does."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        bound = _patience.get()
        if bound is None:
            return self._stream.read(max_bytes, timeout)
        left = bound.left()
        if left <= 0:
            raise httpcore.ReadTimeout("the answer comes too slowly")
        came = self._stream.read(min(max_bytes, _READ_BYTES), min(left, timeout) if timeout else left)
        bound.came(len(came))
        return came

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _PatientStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Opens connections.

    Args:
        guard: Checks the address; None for a proxy, which a person named.
    """

    def __init__(self, guard: AddressGuard | None) -> None:
        self._guard = guard
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses: Sequence[str] = [host] if self._guard is None else self._guard.addresses(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"the name cannot be resolved ({error.strerror or error})") from error
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in addresses[:8]:
            try:
                stream = self._sockets.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                bound = _patience.get()
                if bound is not None and bound.left() <= 0:
                    break
            else:
                return _PatientStream(stream)
        raise failure or httpcore.ConnectError("the name stands for no address")


@dataclass(frozen=True)
class Line:
    """A way to the servers: directly, or through a proxy."""

    pool: httpcore.ConnectionPool
    variable: str | None = None
    """The environment variable that names the proxy."""


class Lines:
    """The ways to the servers, which take turns; safe for threads.

    Args:
        guard: Says which addresses may be asked.
        proxies: Environment variables that name proxies; none for direct connections.
        size: Connections at once.
    """

    def __init__(self, guard: AddressGuard, proxies: Sequence[str], size: int) -> None:
        self._guard, self._proxies, self._size = guard, proxies, size
        self._turn = itertools.count()
        self._pools: dict[tuple[str | None, str], httpcore.ConnectionPool] = {}
        self._lock = threading.Lock()

    def next(self, host: str, port: int) -> Line:
        """Give the line whose turn it is, for a request to a host.

        Raises:
            CredentialError: A variable that should name a proxy does not.
            AddressRefused: The host may not be asked, and a proxy would have to find that out.
        """
        if not self._proxies:
            return Line(self._pool(None, "", lambda: self._direct()))
        variable = self._proxies[next(self._turn) % len(self._proxies)]
        named = os.environ.get(variable, "").strip()
        if not named:
            raise CredentialError(
                f"The environment variable {variable}, which the source's proxies name, is not set. "
                "Set it to http://user:password@host:port."
            )
        self._guard.check_from_afar(host, port)
        return Line(self._pool(variable, named, lambda: self._through(variable, named)), variable)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            pools = list(self._pools.values())
            self._pools.clear()
        for pool in pools:
            pool.close()

    def _pool(
        self, variable: str | None, named: str, make: Callable[[], httpcore.ConnectionPool]
    ) -> httpcore.ConnectionPool:
        with self._lock:
            if (variable, named) not in self._pools:
                self._pools[variable, named] = make()
            return self._pools[variable, named]

    def _direct(self) -> httpcore.ConnectionPool:
        return httpcore.ConnectionPool(
            ssl_context=_tls(),
            max_connections=self._size,
            keepalive_expiry=_KEEP_SECONDS,
            network_backend=_Backend(self._guard),
        )

    def _through(self, variable: str, named: str) -> httpcore.ConnectionPool:
        try:
            url = httpx.URL(named)
            usable = url.scheme in ("http", "https") and bool(url.host) and b"%" not in url.raw_host
        except (httpx.InvalidURL, ValueError):
            usable = False
        if not usable:
            raise CredentialError(
                f"The environment variable {variable} names no proxy. Set it to http://user:password@host:port."
            )
        return httpcore.HTTPProxy(
            httpcore.URL(scheme=url.scheme, host=url.raw_host, port=url.port, target=b"/"),
            proxy_auth=(url.username.encode(), url.password.encode()) if url.userinfo else None,
            ssl_context=_tls(),
            proxy_ssl_context=_tls() if url.scheme == "https" else None,
            max_connections=self._size,
            keepalive_expiry=_KEEP_SECONDS,
            network_backend=_Backend(None),
        )


def _tls() -> ssl.SSLContext:
    """Give what verifies servers: the certificates that come with httpx, or those that SSL_CERT_FILE names."""
    return _tls_with(os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", ""))


@cache
def _tls_with(file: str, folder: str) -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"The certificates that SSL_CERT_FILE ({file or 'not set'}) or SSL_CERT_DIR ({folder or 'not set'}) name "
            f"cannot be read: {error}. Correct the variable, or unset it."
        ) from error
