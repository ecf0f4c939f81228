"""What the service takes: requests at a steady rate while a writer publishes into the same library.

    python benchmarks/serving.py [--points N] [--rate R] [--seconds S] [--clients C] [--same]

A home is made with one library of N made chunks (100,000 if left out), `dataflow serve` is started on a free port of this
machine, and questions are sent at R a second, each at its time whether or not those before it were answered, so that a
stall is seen by all that wait behind it. All questions differ, so that none is answered from the cache; with `--same` a hundred
come again and again. Meanwhile every 10 seconds 100 chunks are replaced and published.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

DIMENSION = 256
WORDS = 20_000
WRITE_SECONDS = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--same", action="store_true")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dataflow-serving-") as folder:
        root = Path(folder)
        (root / "docs").mkdir()
        (root / "catalog.yaml").write_text(
            json.dumps({"libraries": {"made": {"source": {"type": "files", "path": "docs"}}}})
        )
        chunks = _Chunks()
        started = time.perf_counter()
        _publish(root, chunks, range(said.points), fresh=True)
        print(f"{said.points:,} chunks published in {time.perf_counter() - started:.1f} s")
        port = _free_port()
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("DATAFLOW", "DAGSTER", "QDRANT"))},
            "DATAFLOW_HOME": str(root / "home"), "DATAFLOW_CATALOG": str(root / "catalog.yaml"),
        }  # fmt: skip
        server = subprocess.Popen(
            [sys.executable, "-m", "dataflow_assets.cli", "serve", "--port", str(port)], env=environment
        )
        stop = threading.Event()
        writer = threading.Thread(target=_write, args=(root, chunks, said.points, stop))
        try:
            _wait(port)
            asyncio.run(_load(port, chunks, 50.0, 2.0, said.clients, same=False))
            writer.start()
            times, failures = asyncio.run(_load(port, chunks, said.rate, said.seconds, said.clients, same=said.same))
        finally:
            stop.set()
            if writer.ident:
                writer.join()
            peak, seconds = _peak(server.pid), _cpu(server.pid)
            server.send_signal(signal.SIGTERM)
            server.wait(30)
        times.sort()
        ms = [round(1000 * times[min(len(times) - 1, int(len(times) * q))], 1) for q in (0.5, 0.9, 0.99, 0.999)]
        print(
            f"{len(times):,} answers at {said.rate:g} a second, {failures} failures; milliseconds from the time at which each was "
            f"due: p50 {ms[0]}, p90 {ms[1]}, p99 {ms[2]}, p99.9 {ms[3]}; peak memory {peak:.0f} MB, "
            f"{1000 * seconds / (len(times) + 100):.1f} ms of processor an answer"
        )
        sys.exit(1 if failures else 0)


class _Chunks:
    """Made chunks: words as rare as in a language, vectors of the real model's length."""

    def __init__(self) -> None:
        import numpy as np

        self._numpy = np
        self._random = np.random.default_rng(7)
        self.words = [f"w{n:x}" if n > 400 else f"common{n}" for n in range(WORDS)]
        weights = 1 / np.arange(1, WORDS + 1)
        self._weights = weights / weights.sum()

    def text(self, length: int) -> str:
        return " ".join(self.words[n] for n in self._random.choice(WORDS, length, p=self._weights))

    def texts(self, count: int, length: int) -> list[str]:
        found = self._random.choice(WORDS, (count, length), p=self._weights)
        return [" ".join(self.words[n] for n in row) for row in found]

    def vectors(self, count: int):
        made = self._random.standard_normal((count, DIMENSION)).astype("float32")
        return made / self._numpy.linalg.norm(made, axis=1, keepdims=True)


def _publish(root: Path, chunks: _Chunks, numbers: range, *, fresh: bool = False) -> None:
    from dataflow_assets.index.base import Generation, Point
    from dataflow_assets.index.edge import EdgeIndex
    from dataflow_assets.models.wordllama import WordLlamaEmbedder

    name = WordLlamaEmbedder(DIMENSION).name
    described = {
        "library": "made", "query_model": None, "embedding_model": "local", "model_name": name, "dimension": DIMENSION,
        "token": str(time.time_ns()),
    }  # fmt: skip
    generation = Generation("made", "made", DIMENSION, described)
    with EdgeIndex(root / "home" / "index").write(generation, fresh=fresh) as writer:
        for start in range(numbers.start, numbers.stop, 2000):
            part = range(start, min(start + 2000, numbers.stop))
            texts, vectors = chunks.texts(len(part), 80), chunks.vectors(len(part))
            writer.upsert(
                [
                    Point(f"{n:032x}", text, vector, _payload(n, text))
                    for n, text, vector in zip(part, texts, vectors, strict=True)
                ]
            )


def _payload(n: int, text: str) -> dict[str, object]:
    return {
        "library": "made", "chunk_id": f"{n:032x}", "document_id": f"{n // 10:032x}", "title": f"Page {n // 10}",
        "source_uri": f"docs/{n // 10}.md", "text": text, "corrected_text": None, "start_position": 0,
        "end_position": len(text), "chunk_index": n % 10, "heading_path": [], "doc_type": "guide", "language": "en", "tags": [],
    }  # fmt: skip


def _write(root: Path, chunks: _Chunks, points: int, stop: threading.Event) -> None:
    """Publish as a run that the service was asked for: a copy of the shard, some points replaced, the pointer swapped.

    In a process of its own, which steps back as such a run does.
    """
    while not stop.wait(WRITE_SECONDS):
        start = random.randrange(max(1, points - 100))
        code = (
            f"import os, sys; os.nice(10); sys.path.insert(0, {str(Path(__file__).parent)!r}); import serving; from pathlib import Path; "
            f"serving._publish(Path({str(root)!r}), serving._Chunks(), range({start}, {start + 100}))"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


async def _load(
    port: int, chunks: _Chunks, rate: float, seconds: float, clients: int, *, same: bool
) -> tuple[list[float], int]:
    count = int(rate * seconds)
    texts = chunks.texts(100 if same else count, 4)
    waiting: asyncio.Queue[tuple[float, str] | None] = asyncio.Queue()
    times: list[float] = []
    failures = 0
    begin = time.perf_counter() + 0.2

    async def client() -> None:
        nonlocal failures
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (found := await waiting.get()) is not None:
            due, text = found
            try:
                writer.write(
                    f"GET /v1/search?{urlencode({'query': text})} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
                )
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                failures += not head.startswith(b"HTTP/1.1 200")
            except (OSError, asyncio.IncompleteReadError, IndexError):
                failures += 1
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            times.append(time.perf_counter() - due)
        writer.close()

    tasks = [asyncio.create_task(client()) for _ in range(clients)]
    for n in range(count):
        due = begin + n / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        waiting.put_nowait((due, texts[n % len(texts)]))
    for _ in tasks:
        waiting.put_nowait(None)
    await asyncio.gather(*tasks)
    return times, failures


def _peak(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000
    return 0.0


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(port: int) -> None:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    sys.exit("The service did not start.")


if __name__ == "__main__":
    main()
