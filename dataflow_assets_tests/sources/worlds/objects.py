"""Buckets of a server that speaks like S3, started once for all tests."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

_numbers = count()
Answer = Callable[[dict[str, Any], Any], Iterable[bytes]]


class S3Server:
    """The server, with a switch for what it refuses and a list of what it was asked."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            protocol_version = "HTTP/1.1"

            def log(self, *_: Any, **__: Any) -> None:
                return

        self._application = DomainDispatcherApplication(create_backend_app)
        self.refuse: Callable[[dict[str, Any]], bool] = lambda _: False
        self.before: Callable[[dict[str, Any]], None] = lambda _: None
        self.asked: list[dict[str, Any]] = []
        self.page_size: int | None = None
        self.refuse_with = "503 Service Unavailable"
        self._http = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=Quiet)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        atexit.register(self._http.shutdown)

    def reset(self) -> None:
        self.refuse, self.before, self.page_size = (lambda _: False), (lambda _: None), None
        self.refuse_with = "503 Service Unavailable"
        self.asked.clear()

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        self.asked.append(environ)
        if self.refuse(environ):
            start(self.refuse_with, [("Content-Length", "0")])
            return [b""]
        self.before(environ)
        if self.page_size is not None and "list-type=2" in environ["QUERY_STRING"]:
            environ["QUERY_STRING"] += f"&max-keys={self.page_size}"
        return self._application(environ, start)


@cache
def server() -> S3Server:
    return S3Server()


class Bucket:
    """A bucket, filled by the client that everybody uses."""

    def __init__(self) -> None:
        import boto3
        from botocore.config import Config

        self.server = server()
        self.server.reset()
        self.name = f"bucket{next(_numbers)}"
        self.client = boto3.client(
            "s3", endpoint_url=self.server.url, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1",
            config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
        )  # fmt: skip
        self.client.create_bucket(Bucket=self.name)
        self.settings: dict[str, Any] = {
            "type": "objects",
            "url": f"s3://{self.name}/docs",
            "options": {"endpoint_url": self.server.url, "region": "us-east-1", "addressing_style": "path"},
            "credentials": {"key": "BUCKET_KEY", "secret": "BUCKET_SECRET"},
            "allow_hosts": ("127.0.0.1",),
            "retries": 0,
        }
        self.environment = {"BUCKET_KEY": "the-key-id", "BUCKET_SECRET": "the-secret-key"}

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def gets(self) -> list[dict[str, Any]]:
        """Give the requests for content."""
        return [
            each
            for each in self.server.asked
            if each["REQUEST_METHOD"] == "GET" and each["PATH_INFO"].startswith(f"/{self.name}/docs/")
        ]


class World:
    """Objects below a prefix; a listing has pages of two."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.settings, self.environment = bucket.settings, bucket.environment
        bucket.server.page_size = 2

    def put(self, name: str, text: str) -> None:
        self._bucket.put(f"docs/{name}.md", text.encode())

    def remove(self, name: str) -> None:
        self._bucket.client.delete_object(Bucket=self._bucket.name, Key=f"docs/{name}.md")

    def break_listing(self) -> None:
        """The first page is given, the second is not."""
        self._bucket.server.refuse = lambda environ: "continuation-token" in environ["QUERY_STRING"]

    def mend(self) -> None:
        self._bucket.server.refuse = lambda _: False

    @property
    def requests(self) -> int:
        return len(self._bucket.gets())


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Give a bucket until the block ends."""
    bucket = Bucket()
    try:
        yield World(bucket)
    finally:
        bucket.server.reset()
