"""A web site and a forward proxy on the loopback interface: real sockets, so that tests use the real client."""

from __future__ import annotations

import base64
import hashlib
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias
from urllib.parse import urlsplit

Act: TypeAlias = Callable[["BaseHTTPRequestHandler"], None]


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    status: int = 0


@dataclass
class Reply:
    """What a path answers."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    validators: bool = True
    """Whether an ETag is sent, and listened to."""
    act: Act | None = None
    """Answers by itself, on the bare connection."""


class Site:
    """Paths and what they answer; `asked` are the requests in their order."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.asked: list[Asked] = []
        self.port = 0
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def put(self, path: str, body: str | bytes = "", status: int = 200, **settings: Any) -> None:
        headers = {"Content-Type": "text/html; charset=utf-8"} | settings.pop("headers", {})
        content = body.encode() if isinstance(body, str) else body
        self.replies[path] = Reply(content, status, headers, **settings)

    def page(self, path: str, *links: str, text: str = "", head: str = "", **settings: Any) -> None:
        anchors = "".join(f'<a href="{link}">{link}</a>' for link in links)
        said = f"<!DOCTYPE html><html><head>{head}</head><body><p>{text or path}</p>{anchors}</body></html>"
        self.put(path, said, **settings)

    def redirect(self, path: str, target: str, status: int = 302) -> None:
        self.replies[path] = Reply(b"", status, {"Location": target})

    def act(self, path: str, act: Act) -> None:
        self.replies[path] = Reply(act=act)

    def paths(self, status: int | None = None) -> list[str]:
        return [one.path for one in self.asked if status is None or one.status == status]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, handler.path, headers, handler.rfile.read(length))
        self.asked.append(asked)
        reply = self.replies.get(handler.path) or Reply(b"not here", 404)
        if reply.act is not None:
            reply.act(handler)
            return
        tag = f'"{hashlib.sha256(reply.body).hexdigest()[:16]}"'
        asked.status = reply.status
        validators = reply.validators and reply.status == 200
        if validators and headers.get("if-none-match") == tag:
            asked.status = 304
        handler.send_response(asked.status)
        for name, value in reply.headers.items() | ({("ETag", tag)} if validators else set()):
            handler.send_header(name, value)
        body = b"" if asked.status == 304 else reply.body
        if "Content-Length" not in reply.headers and asked.status != 304:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""


@contextmanager
def serving(answer: Act, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve requests of any method with a function; give the port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1
        timeout = 20

        def do_GET(self) -> None:
            answer(self)
            self.wfile.flush()

        do_POST = do_CONNECT = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def site(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    made = Site()
    made.scheme = "http" if tls is None else "https"
    with serving(lambda handler: made.answer(handler), tls) as made.port:
        yield made


class Proxy:
    """A forward proxy that knows names which nobody else does, and takes one pair of credentials.

    Args:
        names: Name of a host -> the port on loopback that it stands for.
        credentials: `user:password`; None for anyone.
    """

    def __init__(self, names: dict[str, int], credentials: str | None) -> None:
        self.names, self.credentials = names, credentials
        self.asked: list[str] = []
        self.port = 0

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{handler.command} {handler.path}")
        said = handler.headers.get("proxy-authorization", "")
        if self.credentials and said != "Basic " + base64.b64encode(self.credentials.encode()).decode():
            handler.send_response(407)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        tunnel = handler.command == "CONNECT"
        target = urlsplit(f"//{handler.path}" if tunnel else handler.path)
        port = self.names.get(target.hostname or "", target.port or 80)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as far:
            if tunnel:
                handler.send_response(200)
                handler.end_headers()
                handler.wfile.flush()
            else:
                path = target.path + (f"?{target.query}" if target.query else "")
                lines = [f"{handler.command} {path} HTTP/1.1", "Connection: close"]
                lines += [
                    f"{name}: {value}" for name, value in handler.headers.items() if "connection" not in name.lower()
                ]
                far.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            _pump(handler.connection, far)
        handler.close_connection = True


def _pump(near: socket.socket, far: socket.socket) -> None:
    ways = {near: far, far: near}
    while True:
        for one in select.select(list(ways), [], [], 10)[0] or [None]:
            block = one.recv(65_536) if one is not None else b""
            if not block or one is None:
                return
            ways[one].sendall(block)


@contextmanager
def proxy(names: dict[str, int] | None = None, credentials: str | None = None) -> Iterator[Proxy]:
    made = Proxy(names or {}, credentials)
    with serving(lambda handler: made.answer(handler)) as made.port:
        yield made
