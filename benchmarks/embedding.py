"""How fast the built-in embedder is beside the package it takes its weights from, and whether the vectors agree.

    python benchmarks/embedding.py [FOLDER]

The texts are the Markdown files below FOLDER (by default the project's own documentation, repeated) in pieces of about
1,000 tokens. Both embed the same texts in turn, three times; the medians count.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dataflow_assets.models.wordllama import WordLlamaEmbedder

PIECE_CHARACTERS = 4_000
"""About 1,000 tokens of English Markdown."""
MIN_BYTES = 2_000_000
ROUNDS = 3


def measure(folder: Path) -> dict[str, Any]:
    """Measure both on the Markdown files below a folder.

    Raises:
        ValueError: There are none.
    """
    import wordllama

    texts = pieces(folder)
    size = sum(len(text.encode()) for text in texts)
    ours = WordLlamaEmbedder()
    theirs = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    ours.embed(texts[:1])
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS):
        mine = _timed(lambda: ours.embed(texts), seconds["ours"])
        other = _timed(lambda: theirs.embed(texts, norm=True), seconds["theirs"])
    cosines = np.einsum("ij,ij->i", mine, other)
    speeds = {who: size / statistics.median(took) / 1e6 for who, took in seconds.items()}
    return {
        "texts": len(texts),
        "megabytes": size / 1e6,
        "mb_per_s": speeds["ours"],
        "package_mb_per_s": speeds["theirs"],
        "factor": speeds["ours"] / speeds["theirs"],
        "least_cosine": float(cosines.min()),
        "mean_cosine": float(cosines.mean()),
    }


def pieces(folder: Path) -> list[str]:
    """Cut the Markdown files below a folder into pieces, repeated until there is enough to measure."""
    found = [
        text[start : start + PIECE_CHARACTERS]
        for path in sorted(folder.rglob("*.md"))
        for text in [path.read_text("utf-8", "replace")]
        for start in range(0, len(text), PIECE_CHARACTERS)
    ]
    if not found:
        raise ValueError(f"There are no Markdown files below {folder}.")
    return found * max(1, round(MIN_BYTES / sum(map(len, found))))


def _timed(work: Callable[[], Any], took: list[float]) -> Any:
    started = time.perf_counter()
    result = work()
    took.append(time.perf_counter() - started)
    return result


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    print(json.dumps(measure(chosen), indent=2))
