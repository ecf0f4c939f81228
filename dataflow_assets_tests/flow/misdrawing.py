"""What a worker answers in tests that see a page end its worker: a page's number says what becomes of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from typing import Any

from dataflow_assets.workers.frames import pack

PICTURE = b"\x89PNG\r\n\x1a\n"
CRASHES, HANGS, LIES, DAMAGED = (13, 23, 33), 43, 53, 63


def ready() -> bytes:
    return pack({"kind": "ready"})


def answer(header: Mapping[str, Any], body: bytes) -> Iterator[bytes]:
    for page in header["pages"]:
        if page in CRASHES:
            os.kill(os.getpid(), signal.SIGSEGV)
        if page == HANGS:
            time.sleep(60)
        if page == DAMAGED:
            yield pack({"kind": "picture", "page": page, "problem": "It is damaged."})
            continue
        picture = b"no picture" if page == LIES else PICTURE + str(page).encode()
        yield pack({"kind": "picture", "page": page, "problem": None}, len(picture))
        yield picture
    yield pack({"kind": "end"})
