"""Connections of clients that are slow, or that send too much, on purpose or not.

The HTTP server waits for a request's headers as long as a client likes, takes as many as it sends, and keeps an answer as long
as the client does not fetch it. This protocol gives each of these a limit. What comes after the headers is the gate's.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dataflow_assets.serving.problems import MEDIA_TYPE, Problem
from dataflow_assets.serving.settings import ServingSettings

MAX_HEADERS = 100
READ_BYTES = 256 * 1024
"""What is read at a time: so many bytes may belong to the request before."""
CHUNKED = 8
"""Bytes that one byte of a body may take on its way, where it comes in chunks of one."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection, within the limits of the class's settings; see `bounded_protocol`."""

    limits: ServingSettings

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, if there is room for one more."""
        self._timer: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._head = 0
        self._raw = 0
        self._in_head = True
        self._refused = False
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._refuse(503, "Too many connections are open. Try again in a moment.")
        else:
            self._within(self.limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._within(None)
        self._unstick()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the client was told that it is over, or sends more than any request that is allowed.

        The parser keeps a header until its end has come, and does not show what stands between the chunks of a body, nor does
        anybody ask for a body that no route reads: all of it is counted here, request by request.
        """
        if self._refused:
            return
        self._raw += len(data)
        super().data_received(data)
        if self._refused:
            return
        if self._in_head and self._raw > self.limits.header_bytes + READ_BYTES:
            self._refuse(431, f"The request's line and headers may have {self.limits.header_bytes:,} bytes together.")
        elif self._raw > self.limits.header_bytes + READ_BYTES + CHUNKED * self.limits.body_bytes:
            self._refused = True
            self._within(None)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Start the clock of a request's headers."""
        self._head = self._raw = 0
        self._in_head = True
        self._within(self.limits.header_seconds)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the request's line."""
        if self._counted(len(url)):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        if self._counted(len(name) + len(value) + 4) and len(self.headers) < MAX_HEADERS:
            super().on_header(name, value)
        elif not self._refused:
            self._refuse(431, f"A request may have {MAX_HEADERS} headers.")

    def on_headers_complete(self) -> None:
        """Start the clock of the body."""
        if self._refused:
            return
        self._in_head = False
        # The gate answers a slow body first, with a problem; this ends an upload that goes on after the answer.
        self._within(self.limits.request_seconds + 5)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the clock: the rest is our time, not the client's."""
        self._raw = 0
        self._in_head = True
        self._within(None)
        if not self._refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, "This is no HTTP request that can be understood.")

    def pause_writing(self) -> None:
        """Give a client that does not fetch its answer some time."""
        super().pause_writing()
        self._stuck = self.loop.call_later(self.limits.request_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that the client fetches on."""
        self._unstick()
        super().resume_writing()

    def _counted(self, size: int) -> bool:
        self._head += size
        if self._head > self.limits.header_bytes and not self._refused:
            self._refuse(431, f"The request's line and headers may have {self.limits.header_bytes:,} bytes together.")
        return not self._refused

    def _within(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._too_slow) if seconds is not None else None

    def _unstick(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _too_slow(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(408, f"The request did not come within {self.limits.header_seconds:g} seconds.")
        else:
            self.transport.abort()

    def _refuse(self, status: int, detail: str) -> None:
        """Say why, and close."""
        self._refused = True
        self._within(None)
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            body = Problem(status, detail).body()
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()


def bounded_protocol(limits: ServingSettings) -> type[BoundedProtocol]:
    """Give the protocol with these limits; the server makes one for each connection."""
    return type("LimitedProtocol", (BoundedProtocol,), {"limits": limits})
