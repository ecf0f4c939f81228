"""A server on the loopback that answers byte by byte as it is told, for what adapters make of answers.

The `Loopback` beside the tests behaves like the services; this one like nothing in particular.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Reply:
    body: Any = ""
    """Sent as it is where it is a text or bytes, else as JSON."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0
    """So many bytes more are announced than are sent."""
    mute: bool = False
    """The connection is closed without a word."""
    hang: bool = False
    """Nothing is said until the server is closed."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    """With names in lower case."""
    body: Any
    connection: int
    """The client's port: the same for requests over one connection."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 100


class Canned:
    """The server; `answer` may be changed at any time."""

    def __init__(self) -> None:
        self.answer: Callable[[Request], Reply] = lambda request: Reply({})
        self.requests: list[Request] = []
        self.closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                said = self.rfile.read(int(self.headers.get("content-length") or 0))
                names = {name.lower(): value for name, value in self.headers.items()}
                request = Request(
                    self.command, self.path, names, json.loads(said) if said else None, self.client_address[1]
                )
                outer.requests.append(request)
                outer.send(self, outer.answer(request))

            do_GET = do_POST  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        if reply.hang:
            self.closing.wait(20)
        if reply.mute or reply.hang:
            handler.close_connection = True
            return
        body = reply.body if isinstance(reply.body, (str, bytes)) else json.dumps(reply.body)
        raw = body.encode() if isinstance(body, str) else body
        handler.send_response(reply.status)
        headers = {"content-type": "application/json", "content-length": str(len(raw) + reply.missing), **reply.headers}
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(raw)
        handler.close_connection = bool(reply.missing)

    def __enter__(self) -> Canned:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), name="canned", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
