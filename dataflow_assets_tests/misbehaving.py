"""What a worker answers in tests: whatever the document says that a parser does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dataflow_assets.workers.frames import pack

_leaked: list[bytes] = []


def ready() -> bytes:
    return pack({"kind": "ready"})


def answer(header: Mapping[str, Any], body: bytes) -> Iterator[bytes]:
    if header["do"] == "unpack":
        yield from _unpack(Path(header["path"]).read_text())
        return
    what, _, rest = body.decode().partition(" ")
    if what == "crash":
        os.kill(os.getpid(), getattr(signal, rest))
    if what == "sleep":
        time.sleep(float(rest))
    if what == "leak":
        _leak(int(rest))
    if what == "exit":
        os._exit(int(rest))
    if what == "leave":
        Path(os.environ["TMPDIR"], "folder").mkdir()
        Path(os.environ["TMPDIR"], "folder", "file").write_text("left behind")
        Path("file").write_text("left behind")
    if what == "start":  # a program that takes memory
        subprocess.run([sys.executable, "-c", f"import time; x = b'x' * ({rest} << 20); time.sleep(20)"], check=False)
    if what == "hide":  # one that leaves the group and outlives its parent
        if os.fork() == 0:
            os.setsid()
            Path("ready").write_text(str(os.getpid()))
            time.sleep(60)
            os._exit(0)
        while not Path("ready").exists():
            time.sleep(0.01)
    if what == "say":
        yield bytes.fromhex(rest)
        return
    if what == "look":
        body = json.dumps(_look(rest)).encode()
    if what == "die":
        Path(rest).write_text(str(os.getpid()))
        time.sleep(60)
    document = {
        "kind": "document", "title": "title", "doc_type": "other", "language": "en", "markup": "text", "tags": [],
        "sections": [], "metadata": {"pid": os.getpid()}, "findings": [],
    }  # fmt: skip
    yield pack(document, len(body))
    yield body


def _leak(megabytes: int) -> None:
    _leaked.append(b"x" * (megabytes << 20))
    time.sleep(20 if megabytes > 100 else 0.1)  # so that somebody may look


def _unpack(orders: str) -> Iterator[bytes]:
    for order in orders.splitlines():
        what, _, rest = order.partition(" ")
        if what == "member":
            said = {"kind": "member", "path": rest, "problem": None, "media_type": "text/plain", "content": True}
            yield pack({**said, "pid": os.getpid()}, 4)
            yield b"text"
        if what == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if what == "sleep":
            time.sleep(float(rest))
        if what == "leak":
            _leak(int(rest))
        if what == "say":
            yield bytes.fromhex(rest)
    yield pack({"kind": "end"})


def _look(outside: str) -> dict[str, Any]:
    found: dict[str, Any] = {"environment": dict(os.environ), "folder": os.listdir("."), "at": os.getcwd()}
    for name, attempt in {
        "written": lambda: Path(outside, "written").write_text("by a parser"),
        "connected": lambda: socket.create_connection(("127.0.0.1", int(os.path.basename(outside))), 1),
        "spied": lambda: Path(f"/proc/{Path(outside, 'parent').read_text()}/environ").read_bytes().decode(),
        "standard input": lambda: os.read(0, 100).decode(),
    }.items():
        try:
            found[name] = str(attempt())
        except OSError as error:
            found[name] = type(error).__name__
    return found
