"""The worker's side: one document, or one archive, after the other, until nobody is there to ask.

What belongs here: taking messages from a pipe and answering them. What does not: any decision on what becomes of a document
(`pool`), and limits (`confinement`).
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
from importlib import import_module
from typing import Any

from dataflow_assets.workers.confinement import confine, keep_watch, limit_memory

_BLOCK = 1 << 20


def main() -> None:
    """Run a worker.

    The last arguments are the module that answers, the worker's folder and its memory in MB; standard input and output
    are the pipes.
    """
    module, folder, memory_mb = sys.argv[-3], sys.argv[-2], int(sys.argv[-1])
    incoming, outgoing = os.dup(0), os.dup(1)
    # Parsers and the programs that they start find nothing to read, and nobody to print to.
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    keep_watch(incoming, outgoing)
    confine(folder)

    from dataflow_assets.workers.frames import pack

    answers, out_of_memory = import_module(module), pack({"kind": "memory"})
    limit_memory(memory_mb << 20)
    gc.collect()
    gc.freeze()
    _write(outgoing, answers.ready())
    os.dup2(nowhere, 2)
    while (asked := _read(incoming)) is not None:
        try:
            for part in answers.answer(*asked):
                _write(outgoing, part)
        except MemoryError:
            _write(outgoing, out_of_memory)
        _empty(folder)


def _read(descriptor: int) -> tuple[dict[str, Any], bytes] | None:
    from dataflow_assets.workers.frames import FRAME, header_of

    frame = _exactly(descriptor, FRAME.size)
    if frame is None:
        return None
    _, header_length, body_length = FRAME.unpack(frame)
    header, body = _exactly(descriptor, header_length), _exactly(descriptor, body_length)
    return None if header is None or body is None else (header_of(header), body)


def _exactly(descriptor: int, length: int) -> bytes | None:
    blocks: list[bytes] = []
    while length:
        block = os.read(descriptor, min(length, _BLOCK))
        if not block:
            return None
        blocks.append(block)
        length -= len(block)
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _empty(folder: str) -> None:
    """Remove what a parser left behind."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)
