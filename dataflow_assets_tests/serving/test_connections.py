"""Connections over real sockets: slow, greedy and rude clients, and a stop that lets requests end."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dataflow_assets.serving.server import bind, make_server
from dataflow_assets.serving.settings import ServingSettings
from dataflow_assets_tests.serving.worlds import World

Address = tuple[str, int]


class Running:
    def __init__(self, world: World, **limits: Any) -> None:
        settings = ServingSettings(port=0, threads=2, stop_seconds=5, **limits)
        self.listening = bind(settings)
        self.address: Address = self.listening.getsockname()
        self.server = make_server(settings, world.home, world.catalog)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]})
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


@contextmanager
def running(world: World, **limits: Any) -> Iterator[Running]:
    found = Running(world, **limits)
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def hasty(made: World) -> Iterator[Address]:
    """A service that waits for nobody."""
    with running(made, header_seconds=0.3, request_seconds=0.6, connections=20, header_bytes=4096) as found:
        yield found.address


def talk(address: Address, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send pieces, and read until the service closes."""
    with socket.create_connection(address, 10) as client:
        for piece in pieces:
            try:
                client.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break
            time.sleep(pause)
        said = b""
        try:
            while piece := client.recv(65536):
                said += piece
        except ConnectionResetError:
            pass
        return said


def problem(said: bytes) -> dict[str, Any]:
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return dict(json.loads(body))


GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


def test_headers_that_trickle_are_not_waited_for(hasty: Address) -> None:
    said = talk(hasty, GET, *[b"X: y\r\n"] * 20, pause=0.05)
    assert problem(said)["status"] == 408


def test_a_connection_that_says_nothing_is_closed(hasty: Address) -> None:
    assert problem(talk(hasty))["status"] == 408


def test_a_body_that_trickles_is_not_waited_for(hasty: Address) -> None:
    head = (
        b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    said = talk(hasty, head, *[b" "] * 20, pause=0.05)
    assert problem(said)["status"] == 408
    assert b"connection: close" in said.lower()


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /health?" + b"x" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        GET + b"X: " + b"y" * 5000 + b"\r\n\r\n",
        GET + b"".join(b"X%d: y\r\n" % n for n in range(200)) + b"\r\n",
        GET + b"X: y\r\n" * 100_000,
    ],
    ids=["line", "header", "headers", "no end"],
)
def test_headers_have_a_size(hasty: Address, request_head: bytes) -> None:
    assert problem(talk(hasty, request_head))["status"] == 431


@pytest.mark.parametrize(
    "rubbish", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"HELLO\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 100]
)
def test_what_is_no_http_is_refused(hasty: Address, rubbish: bytes) -> None:
    assert problem(talk(hasty, rubbish))["status"] == 400


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(hasty: Address) -> None:
    said = talk(
        hasty,
        b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n\r\n",
    )
    assert said.startswith(b"HTTP/1.1 413")


def test_a_chunked_body_is_counted(hasty: Address) -> None:
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    said = talk(hasty, head, *[b"10000\r\n" + b" " * 0x10000 + b"\r\n"] * 6)
    assert said.startswith(b"HTTP/1.1 413")


POST = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (GET + b"X: ", b"y" * 0x10000),
        (GET + b"X", b"y" * 0x10000),
        (b"GET /", b"y" * 0x10000),
        (b"", b"\r\n" * 0x8000),
        (GET + CHUNKED, b"10000\r\n" + b" " * 0x10000 + b"\r\n"),
        (POST + CHUNKED + b"1;", b"y" * 0x10000),
        (POST + CHUNKED + b"0\r\n", b"X: y\r\n" * 10_000),
    ],
    ids=["header", "name", "line", "before", "body that nobody reads", "extension", "trailers"],
)
def test_nobody_sends_without_end(made: World, head: bytes, piece: bytes) -> None:
    """What never ends is not read to the end of its time: the sender cannot get rid of it."""
    with running(made, header_seconds=60, request_seconds=60, header_bytes=4096, body_bytes=4096) as found:
        with socket.create_connection(found.address, 30) as client:
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                client.sendall(head)
                for _ in range(10_000):
                    client.sendall(piece)


def test_a_body_in_chunks_of_one_byte_is_taken(made: World) -> None:
    body = b'{"query": "cellar"}' + b" " * 100_000
    with running(made) as found:
        said = talk(
            found.address,
            POST + b"Connection: close\r\n" + CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n",
        )
    assert said.startswith(b"HTTP/1.1 200")


def test_only_so_many_connections_are_open_and_they_come_free(made: World) -> None:
    with running(made, header_seconds=1.5, connections=4) as found:
        idle = [socket.create_connection(found.address, 10) for _ in range(4)]
        time.sleep(0.1)
        assert problem(talk(found.address, GET + b"\r\n"))["status"] == 503
        for client in idle:
            client.close()
        time.sleep(0.2)
        assert talk(found.address, GET + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_requests_that_come_at_once_are_answered_in_order(hasty: Address) -> None:
    said = talk(hasty, (GET + b"\r\n") * 3 + b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert [said.count(b"HTTP/1.1 200"), said.count(b"HTTP/1.1 404")] == [3, 1]


def test_a_stop_lets_a_request_end_and_takes_no_new_one(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Running(made)
    service = found.server.config.app._service  # type: ignore[union-attr]
    begun = threading.Event()
    right = service.search.publications

    def slow(*said: Any) -> Any:
        begun.set()
        time.sleep(0.5)
        return right(*said)

    monkeypatch.setattr(service.search, "publications", slow)
    answers: list[bytes] = []
    asking = threading.Thread(
        target=lambda: answers.append(
            talk(found.address, b"GET /v1/search?query=cellar HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        )
    )
    asking.start()
    assert begun.wait(5)
    found.stop()
    asking.join(5)
    assert answers[0].startswith(b"HTTP/1.1 200")
    with pytest.raises(OSError):  # noqa: PT011 - refused or reset, as the kernel likes
        socket.create_connection(found.address, 1).close()
