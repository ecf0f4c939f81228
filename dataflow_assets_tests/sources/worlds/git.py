"""A git repository, served over loopback by git's own program for HTTP servers."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z",
}


class Repository:
    """A repository with a work tree."""

    def __init__(self, folder: Path, *, object_format: str = "sha1") -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main", f"--object-format={object_format}", ".")
        self.git("config", "uploadpack.allowFilter", "true")
        self.git("config", "http.receivepack", "false")

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always")
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.folder, env=ENVIRONMENT, input=stdin, capture_output=True
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode("utf-8", "replace").strip()

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def commit(self, **files: str) -> str:
        """Commit all that lies in the work tree, and these Markdown files; gives the commit's id."""
        for name, text in files.items():
            self.write(f"{name}.md", text)
        self.git("add", "--all", ".")
        self.git("commit", "--quiet", "--allow-empty", "--message=x")
        return self.git("rev-parse", "HEAD")


class Server:
    """Serves the repositories of a folder, and counts and breaks what it is asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.password: str | None = None
        self.broken: str | None = None
        """Which requests fail: those whose path holds this."""
        self.cut: int | None = None
        """After how many bytes an answer to a fetch ends."""
        self.environment: dict[str, str] = {}
        self.delay = 0.0
        """Seconds that an answer waits."""
        self.failures = 0
        """How many of the next requests fail."""
        self.redirect: str | None = None
        """Where all requests are sent on to."""
        self.headers: list[dict[str, str]] = []
        self.fetches: list[bytes] = []
        """The bodies of the requests for objects."""
        self._closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                return

            def do_GET(self) -> None:
                server.answer(self)

            do_POST = do_GET  # noqa: N815

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path, _, query = request.path.partition("?")
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if request.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(request.rfile.readline(), 16):
                body += request.rfile.read(size)
                request.rfile.readline()
            request.rfile.readline()
        self.headers.append(dict(request.headers.items()))
        if self.delay:
            self._closing.wait(self.delay)
        if self.redirect is not None:
            return self._reply(request, 302, [("Location", self.redirect)], b"")
        if self.failures:
            self.failures -= 1
            return self._reply(request, 503, [], b"")
        if self.password is not None:
            wanted = "Basic " + base64.b64encode(self.password.encode()).decode()
            if request.headers.get("Authorization") != wanted:
                return self._reply(request, 401, [("WWW-Authenticate", "Basic")], b"")
        if self.broken is not None and self.broken in request.path + "#" + body.decode("latin-1"):
            return self._reply(request, 500, [], b"")
        status, headers, content = self._backend(request, path, query, body)
        if b"command=fetch" in body:
            self.fetches.append(body)
            if self.cut is not None:
                request.send_response(200)
                for name, value in [*headers, ("Content-Length", str(len(content)))]:
                    request.send_header(name, value)
                request.end_headers()
                request.wfile.write(content[: self.cut])
                request.close_connection = True
                return None
        return self._reply(request, status, headers, content)

    def _backend(
        self, request: BaseHTTPRequestHandler, path: str, query: str, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", "http-backend"],
            input=body,
            capture_output=True,
            env={
                **ENVIRONMENT,
                "GIT_PROJECT_ROOT": str(self.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": request.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": request.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
                "REMOTE_ADDR": "127.0.0.1",
                **self.environment,
            },
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        status, headers = 200, []
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            elif name and name != "Content-Length":
                headers.append((name, value))
        return status, headers, content

    def _reply(
        self, request: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], content: bytes
    ) -> None:
        request.send_response(status)
        for name, value in [*headers, ("Content-Length", str(len(content)))]:
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    def blobs_fetched(self) -> int:
        """Count the single objects that were asked for without a depth."""
        return sum(len(re.findall(rb"want [0-9a-f]{40}", body)) for body in self.fetches if b"deepen" not in body)


class World:
    """A repository behind a server; every change is a commit."""

    def __init__(self, repository: Repository, server: Server) -> None:
        self.repository, self._server = repository, server
        self.settings: dict[str, Any] = {
            "type": "git",
            "url": f"{server.url}/docs/.git",
            "ref": "main",
            "allow_hosts": ("127.0.0.1",),
            "retries": 0,
        }
        self.environment: dict[str, str] = {}
        repository.commit()

    def put(self, name: str, text: str) -> None:
        self.repository.commit(**{name: text})

    def remove(self, name: str) -> None:
        (self.repository.folder / f"{name}.md").unlink()
        self.repository.commit()

    def break_listing(self) -> None:
        self._server.broken = "info/refs"

    def mend(self) -> None:
        self._server.broken = None

    @property
    def requests(self) -> int:
        return self._server.blobs_fetched()


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Give a repository that is served until the block ends."""
    server = Server(folder)
    try:
        yield World(Repository(folder / "docs"), server)
    finally:
        server.close()
