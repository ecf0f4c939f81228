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

from dataflow_assets.records import ReadDocument
from dataflow_assets.workers.messages import FRAME, document_to_message, pack

_leaked: list[bytes] = []


def ready() -> bytes:
    return pack({"kind": "ready"})


def answer(header: Mapping[str, Any], body: bytes) -> Iterator[bytes]:
    what, _, rest = body.decode().partition(" ")
    if what == "crash":
        os.kill(os.getpid(), getattr(signal, rest))
    if what == "sleep":
        time.sleep(float(rest))
    if what == "leak":
        _leaked.append(b"x" * (int(rest) << 20))
        time.sleep(0.2)  # so that somebody may look
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
    header, text = document_to_message(_document(body.decode(), pid=os.getpid(), uri=header["source_uri"]))
    yield pack({"kind": "document", **header}, len(text))
    yield text


def _document(text: str, **metadata: Any) -> ReadDocument:
    return ReadDocument("title", "other", "en", text, "text", metadata=metadata)


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


assert FRAME.size == 16
