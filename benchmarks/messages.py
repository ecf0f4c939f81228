"""Paid models on many short messages: how much of the allowed rate is used, how long it takes, what memory it needs.

    python benchmarks/messages.py [--messages N] [--small N] [--rate-calls N]

Claude and Voyage are the loopback server of the tests, in a process of its own: 1,000 requests a minute are allowed, and an
answer takes 0.8 s. Messages are one file each, 30 % of them repeat another one. Every run is the command in a process of its own,
in a fresh home; memory is that of its whole process tree.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from bench import Bench

REQUESTS_PER_MINUTE = 1000
LATENCY = 0.8
SERVER = """
import json, sys
from dataflow_assets_tests.loopback import Loopback
with Loopback(latency=float(sys.argv[1]), requests_per_minute=float(sys.argv[2])) as server:
    print(json.dumps(server.environment), flush=True)
    for line in sys.stdin:
        calls = [c for c in server.calls if c.endpoint == "messages"]
        told = {
            "calls": len(calls), "refused": sum(c.status == 429 for c in calls), "texts": sum(len(c.texts) for c in calls),
            "twice": sum(n > 1 for n in server.billed().values()),
            "seconds": calls[-1].at - calls[0].at if len(calls) > 1 else 0.0,
        }
        server.calls.clear()
        print(json.dumps(told), flush=True)
"""
WORDS = (
    "the build fails after we update this package and nobody can tell why it happens on every machine while "
    "tests pass here please look at that log again when you find time before we ship another version to them"
).split()


class Server:
    """The loopback server in a process of its own."""

    def __enter__(self) -> Server:
        words = [sys.executable, "-c", SERVER, str(LATENCY), str(REQUESTS_PER_MINUTE)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
        )
        self.environment: dict[str, str] = json.loads(self._said())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def account(self) -> dict[str, Any]:
        """Tell about the calls since the last time."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._said())
        return told


def make_messages(folder: Path, count: int, words: int, *, repeated: float = 0.3) -> None:
    """Write messages of about so many words, one file each."""
    drawn = random.Random(7)
    own = int(count * (1 - repeated))
    messages = [f"Message {n}: {' '.join(drawn.choices(WORDS, k=words))}, wich i recieve." for n in range(own)]
    messages += drawn.choices(messages, k=count - own)
    drawn.shuffle(messages)
    for number, message in enumerate(messages):
        path = folder / f"{number // 1000:03}" / f"{number:06}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(message + "\n")


def library(folder: Path, **corrections: Any) -> dict[str, Any]:
    return {
        "source": {"type": "files", "path": str(folder)},
        "corrections": {"model": "claude-haiku-5-5", **corrections},
        "embeddings": {"model": "voyage-code-3", "dimension": 1024},
    }


def run(root: Path, name: str, libraries: dict[str, Any], server: Server, *words: str) -> tuple[float, float, float]:
    """Run a catalog in a fresh home; give seconds, peak MB and dollars."""
    home = root / name
    home.mkdir()
    (home / "catalog.yaml").write_text(json.dumps({"libraries": libraries}))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DAGSTER", "DATAFLOW", "QDRANT"))}
    places = {"DATAFLOW_HOME": str(home / "home"), "DATAFLOW_CATALOG": str(home / "catalog.yaml")}
    environment = {**kept, **server.environment, **places}
    seconds, peak = Bench(root).run(environment, "-m", "dataflow_assets.cli", "run", *words)
    asked = [
        sys.executable,
        "-m",
        "dataflow_assets.cli",
        "sql",
        "SELECT sum(cost_usd) AS usd FROM model_calls",
        "--json",
    ]
    said = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True).stdout
    shutil.rmtree(home / "home")
    return seconds, peak, json.loads(said)[0]["usd"] or 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=39_000)
    parser.add_argument("--small", type=int, default=8_000)
    parser.add_argument("--rate-calls", type=int, default=1_200)
    wanted = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="messages-"))
    print("| what | measured | goal |\n|---|---|---|", flush=True)
    try:
        with Server() as server:
            make_messages(root / "long", wanted.rate_calls, 120, repeated=0.0)
            run(root, "rate", {"m": library(root / "long", batch_size=1)}, server)
            _rate("one process", server.account())
            parts = {}
            for n in range(4):
                make_messages(root / f"part{n}", wanted.rate_calls // 4, 120 + n, repeated=0.0)
                parts[f"m{n}"] = library(root / f"part{n}", batch_size=1)
            time.sleep(60)  # the server's bucket is full again
            run(root, "four", parts, server, "--jobs", "4")
            _rate("four processes", server.account())
            peaks = {}
            for count in (wanted.small, wanted.messages):
                make_messages(root / f"messages{count}", count, 25)
                seconds, peaks[count], usd = run(root, f"m{count}", {"m": library(root / f"messages{count}")}, server)
                told = server.account()
                print(
                    f"| {count:,} messages, 30 % repeated | {seconds:.0f} s, {told['calls']:,} calls for {told['texts']:,} "
                    f"texts, {told['twice']} paid twice, {usd:.3f} USD, peak {peaks[count]:.0f} MB | under 600 MB |",
                    flush=True,
                )
            print(
                f"| peak, {wanted.messages:,} over {wanted.small:,} | {peaks[wanted.messages] / peaks[wanted.small]:.2f} | <= 1.3 |"
            )
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _rate(who: str, told: dict[str, Any]) -> None:
    rate = (told["calls"] - told["refused"]) / told["seconds"] * 60
    print(
        f"| {REQUESTS_PER_MINUTE:,} requests a minute allowed, {LATENCY} s an answer, {who} | {rate:.0f} a minute "
        f"({rate / REQUESTS_PER_MINUTE:.0%}), {told['refused'] / told['calls']:.1%} refused | >= 85 %, < 2 % |",
        flush=True,
    )


if __name__ == "__main__":
    main()
