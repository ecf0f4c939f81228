"""How fast documents are cut, beside the tokenizer's `encode` on the same texts in the same process.

    python benchmarks/chunking.py [FOLDER]

FOLDER holds Markdown; without it, the project's own pages are taken, repeated to some megabytes. Front matter is left out,
as the reader leaves it out. Each repetition runs all three, one after the other, so that what else the machine does hits
them alike; the ratio is the median of the repetitions' own ratios. Time is that of the processor: all of it is one thread.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

REPETITIONS = 7
DEFAULT_BYTES = 4_000_000
GOALS = {"tokens": 0.85, "structure": 0.65}
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def load(folder: Path | None) -> list[str]:
    """The Markdown texts of a folder, or of the project's own documentation, repeated until there is enough of it."""
    root = folder or Path(__file__).resolve().parents[1]
    hidden = set() if folder else {".git", "node_modules"}
    paths = [path for path in sorted(root.rglob("*.md")) if not hidden & set(path.parts)]
    texts = [_FRONT_MATTER.sub("", path.read_bytes().decode("utf-8", "replace")) for path in paths]
    if folder is None and texts:
        once = list(texts)
        while sum(map(len, texts)) < DEFAULT_BYTES:
            texts += once
    # the public wrapper takes no more than that at once
    return [text for text in texts if len(text) < 1_000_000]


def measure(folder: Path | str | None = None, repetitions: int = REPETITIONS) -> dict[str, Any]:
    """Time `encode`, `tokens` and `structure`.

    Args:
        folder: A folder of Markdown; the project's own documentation if left out.
        repetitions: How often each is run.

    Returns:
        `megabytes`, `documents`, and for each of the three its median `mb_per_second`; for the two strategies also
        `ratio` to `encode` and the `goal`.
    """
    from bpe_openai import get_encoding

    from dataflow_assets.settings import ChunkingSettings
    from dataflow_assets.stages.chunk import chunk_document

    texts = load(Path(folder) if folder else None)
    if not texts:
        raise SystemExit(f"There is no Markdown below {folder or 'the project'}: name a folder that holds some.")
    encoding = get_encoding("cl100k_base")

    def encode() -> None:
        for text in texts:
            encoding.encode(text, disallowed_special=())

    def cut(settings: ChunkingSettings) -> Callable[[], None]:
        def run() -> None:
            for number, text in enumerate(texts):
                chunk_document(
                    library="bench", document_id=str(number), text=text, markup="markdown", settings=settings,
                    input_hash="bench",
                )  # fmt: skip

        return run

    work = {
        "encode": encode,
        "tokens": cut(ChunkingSettings(strategy="tokens", max_tokens=1000, overlap_tokens=200)),
        "structure": cut(ChunkingSettings(strategy="structure", max_tokens=1000)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for repetition in range(repetitions + 1):
        for name, run in work.items():
            started = process_time()
            run()
            if repetition:  # the first one warms up
                seconds[name].append(process_time() - started)
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) / 1e6
    result: dict[str, Any] = {"megabytes": size, "documents": len(texts)}
    for name, took in seconds.items():
        result[name] = {"mb_per_second": size / median(took)}
        if name in GOALS:
            ratios = [a / b for a, b in zip(seconds["encode"], took, strict=True)]
            result[name] |= {"ratio": median(ratios), "goal": GOALS[name]}
    return result


def main() -> None:
    result = measure(sys.argv[1] if len(sys.argv) > 1 else None)
    print(f"{result['documents']} documents, {result['megabytes']:.1f} MB of Markdown, medians of {REPETITIONS}")
    print(f"{'':12}{'MB/s':>8}{'ratio':>8}{'goal':>8}")
    for name in ("encode", "tokens", "structure"):
        row = result[name]
        ratio = f"{row['ratio']:>8.2f}{row['goal']:>8.2f}" if "ratio" in row else ""
        print(f"{name:12}{row['mb_per_second']:>8.1f}{ratio}")


if __name__ == "__main__":
    main()
