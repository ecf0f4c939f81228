"""Everything that is promised about speed and memory, each beside its floor in the same run.

    python benchmarks/bench.py [FOLDER] [--files N] [--repeat N]

FOLDER holds Markdown; without it the project's own guide is taken, repeated and varied to N files (2,559 if left out). Each
command is run as a person runs it, in a process of its own; times are medians, and what is compared is run in turns, so that
what else the machine does hits both alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

EMPTY_JOB = """
import dagster as dg
from dataflow_assets.home import prepare_dagster_home
from pathlib import Path
import logging, os
prepare_dagster_home(Path(os.environ["DATAFLOW_HOME"]))
logging.getLogger("dagster").setLevel(logging.CRITICAL)
library = dg.DynamicPartitionsDefinition(name="library")
assets, above = [], []
for name in "abcdefg":
    @dg.asset(name=name, partitions_def=library, deps=above)
    def nothing():
        return dg.MaterializeResult(metadata={"rows": 0})
    assets.append(nothing)
    above = [nothing]
job = dg.define_asset_job("empty", selection="*", partitions_def=library, executor_def=dg.in_process_executor)
defs = dg.Definitions(assets=assets, jobs=[job])
with dg.DagsterInstance.get() as instance:
    instance.add_dynamic_partitions("library", ["x"])
    config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    assert defs.resolve_job_def("empty").execute_in_process(
        instance=instance, partition_key="x", run_config=config).success
"""


class Bench:
    """A folder with homes and catalogs, and the commands run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def home(self, name: str, source: Path) -> dict[str, str]:
        """Make a home with one library and give the environment that leads to it."""
        root = self.folder / name
        root.mkdir(parents=True, exist_ok=True)
        library = {
            "source": {"type": "files", "path": str(source)}, "corrections": {"model": "local"},
        }  # fmt: skip
        (root / "catalog.yaml").write_text(json.dumps({"libraries": {"bench": library}}))
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DAGSTER", "DATAFLOW", "QDRANT"))}
        return {**kept, "DATAFLOW_HOME": str(root / "home"), "DATAFLOW_CATALOG": str(root / "catalog.yaml")}

    def run(self, environment: dict[str, str], *words: str) -> tuple[float, float]:
        """Run Python with these words; give seconds and the peak memory of the process tree in MB."""
        started = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as p:
            peak, done = [0.0], threading.Event()

            def watch() -> None:
                while not done.wait(0.05):
                    peak[0] = max(peak[0], tree_megabytes(p.pid))

            watcher = threading.Thread(target=watch, daemon=True)
            watcher.start()
            _, said = p.communicate()
            seconds = time.perf_counter() - started
            done.set()
            watcher.join()
        if p.returncode:
            raise SystemExit(f"{' '.join(words)} ended with {p.returncode}: {said.decode()[-2000:]}")
        return seconds, peak[0]

    def refresh(self, environment: dict[str, str]) -> tuple[float, float]:
        """`dataflow run`."""
        return self.run(environment, "-m", "dataflow_assets.cli", "run", "--json")


def tree_megabytes(root: int) -> float:
    """Sum the resident memory of a process and its descendants, in MB (10^6 bytes)."""
    children: dict[int, list[int]] = {}
    resident: dict[int, int] = {}
    page = os.sysconf("SC_PAGE_SIZE")
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children.setdefault(
                    int(Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1]), []
                ).append(int(entry))
                resident[int(entry)] = int(Path(f"/proc/{entry}/statm").read_text().split()[1]) * page
            except (OSError, IndexError):
                continue
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        total += resident.get(pid, 0)
        waiting += children.get(pid, [])
    return total / 1e6


def make_corpus(target: Path, source: Path | None, files: int) -> None:
    """Copy a folder's Markdown, or write varied copies of the project's guide."""
    found = sorted((source or Path(__file__).resolve().parents[1] / "docs").rglob("*.md"))
    if source is not None:
        for path in found[:files]:
            to = target / path.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)
        return
    for number in range(files):
        path = found[number % len(found)]
        to = target / f"{number // 100:03}" / f"{number:05}-{path.name}"
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(path.read_text().replace("\n\n", f"\n\nSheet {number} says: ", 3))


def edit(corpus: Path, share: float, turn: int) -> None:
    """Change a word in a share of the files and remove as many others."""
    found = sorted(corpus.rglob("*.md"))
    count = max(1, round(share * len(found)))
    step = max(1, len(found) // (2 * count))
    for path in found[turn % step :: step][: 2 * count : 2]:
        text = path.read_text(encoding="utf-8", errors="replace")
        middle = text.find(" ", len(text) // 2)
        path.write_text(f"{text[:middle]} turn{turn} {text[middle:]}", encoding="utf-8")
    for path in found[turn % step :: step][1 : 2 * count : 2]:
        path.unlink()


@contextmanager
def timed(into: dict[str, float], name: str) -> Iterator[None]:
    """Add the block's time to a figure."""
    started = time.perf_counter()
    yield
    into[name] = into.get(name, 0.0) + time.perf_counter() - started


def parts(corpus: Path, folder: Path) -> dict[str, float]:
    """Time the parts of a first run alone: read, tokenise, embed, store, index."""
    import hashlib

    import duckdb
    import numpy as np
    from bpe_openai import get_encoding

    from dataflow_assets.models.wordllama import WordLlamaEmbedder
    from dataflow_assets.records import Chunk, Embedding, to_arrow
    from dataflow_assets.settings import ChunkingSettings
    from dataflow_assets.stages.chunk import chunk_document
    from dataflow_assets.stages.embed import SearchedText, reuse_vector

    took: dict[str, float] = {}
    with timed(took, "read"):
        contents = [path.read_bytes() for path in sorted(corpus.rglob("*.md"))]
        for content in contents:
            hashlib.sha256(content).digest()
    texts = [content.decode("utf-8", "replace") for content in contents]
    encoding = get_encoding("cl100k_base")
    encoding.encode("warm")
    with timed(took, "tokenise"):
        for text in texts:
            encoding.encode(text[:999_999], disallowed_special=())
    chunks: list[Chunk] = []
    for number, text in enumerate(texts):
        chunks += chunk_document(
            library="bench",
            document_id=f"{number:032x}",
            text=text,
            markup="markdown",
            settings=ChunkingSettings(),
            input_hash="",
        )
    embedder = WordLlamaEmbedder()
    embedder.embed(["warm"])
    with timed(took, "embed"):
        vectors = embedder.embed([chunk.text for chunk in chunks])
    asked = [SearchedText("bench", c.chunk_id, c.document_id, c.text, c.text_hash, "") for c in chunks]
    from dataflow_assets.model_settings import EmbeddingSettings

    rows = [
        reuse_vector(chunk, vector, embedder=embedder, settings=EmbeddingSettings())
        for chunk, vector in zip(asked, vectors, strict=True)
    ]
    with timed(took, "store"):
        connection = duckdb.connect(str(folder / "parts.duckdb"))
        for record, made in ((Chunk, chunks), (Embedding, rows)):
            batch = to_arrow(record, made)  # noqa: F841 - DuckDB finds it by its name
            connection.execute(f"CREATE TABLE {record.TABLE} AS SELECT * FROM batch")
        connection.close()
    took["index"] = raw_index(chunks, vectors, folder / "raw-index")
    took["chunks"] = len(chunks)
    took["megabytes"] = sum(map(len, contents)) / 1e6
    took["own_index"] = own_index(chunks, np.asarray(vectors), folder / "own-index")
    return took


def raw_index(chunks: list[Any], vectors: Any, folder: Path) -> float:
    """Time BM25 plus bulk upsert with the engine alone."""
    import uuid

    import qdrant_edge as edge

    from dataflow_assets.index.bm25 import document_vector
    from dataflow_assets.index.points import BM25, DENSE

    document_vector("warm")
    folder.mkdir()
    started = time.perf_counter()
    shard = edge.EdgeShard.create(
        str(folder),
        edge.EdgeConfig(
            vectors={DENSE: edge.EdgeVectorParams(size=vectors.shape[1], distance=edge.Distance.Cosine)},
            sparse_vectors={BM25: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
            wal_enabled=False,
        ),
    )
    for start in range(0, len(chunks), 1000):
        points = [
            edge.Point(uuid.UUID(hex=c.chunk_id), {DENSE: v, BM25: document_vector(c.text)}, payload_of(c))
            for c, v in zip(chunks[start : start + 1000], vectors[start : start + 1000], strict=True)
        ]
        shard.update(edge.UpdateOperation.upsert_points(points))
    shard.flush()
    shard.close()
    return time.perf_counter() - started


def own_index(chunks: list[Any], vectors: Any, folder: Path) -> float:
    """Time the same points through the product's interface, publication included."""
    from dataflow_assets.index.base import Generation, Point
    from dataflow_assets.index.edge import EdgeIndex

    started = time.perf_counter()
    with EdgeIndex(folder).write(Generation("bench", "g", vectors.shape[1])) as writer:
        for start in range(0, len(chunks), 1000):
            writer.upsert(
                [
                    Point(c.chunk_id, c.text, v, payload_of(c))
                    for c, v in zip(chunks[start : start + 1000], vectors[start : start + 1000], strict=True)
                ]
            )
    return time.perf_counter() - started


def payload_of(chunk: Any) -> dict[str, Any]:
    """Give a payload like a run's."""
    return {"chunk_id": chunk.chunk_id, "document_id": chunk.document_id, "text": chunk.text, "title": "bench"}


def in_turns(repeat: int, **work: Callable[[], float]) -> dict[str, float]:
    """Run each piece of work once a turn, and give the medians."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeat):
        for name, do in work.items():
            times[name].append(do())
    return {name: median(found) for name, found in times.items()}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--files", type=int, default=2559)
    parser.add_argument("--repeat", type=int, default=5)
    said = parser.parse_args()
    rows: list[tuple[str, str, str, str]] = []

    def row(what: str, measured: str, floor: str, ratio: float, goal: float, *, at_least: bool = False) -> None:
        holds = ratio >= goal if at_least else ratio <= goal
        rows.append(
            (what, measured, floor, f"{ratio:.2f} ({'>=' if at_least else '<='} {goal:g}{'' if holds else ', MISSED'})")
        )
        print("  ".join(rows[-1]), file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="dataflow-bench-") as temporary:
        folder = Path(temporary)
        bench = Bench(folder)
        corpus, one = folder / "corpus", folder / "one"
        make_corpus(corpus, said.folder, said.files)
        make_corpus(one, said.folder, 1)
        import chunking

        cut = chunking.measure(corpus, 5)
        for strategy in ("tokens", "structure"):
            row(
                f"chunking, {strategy}", f"{cut[strategy]['mb_per_second']:.1f} MB/s", f"encode {cut['encode']['mb_per_second']:.1f} MB/s",
                cut[strategy]["ratio"], chunking.GOALS[strategy], at_least=True,
            )  # fmt: skip
        alone = parts(corpus, folder)
        row(
            "index writes", f"{alone['chunks'] / alone['own_index']:,.0f}/s", f"raw engine {alone['chunks'] / alone['index']:,.0f}/s",
            alone["index"] / alone["own_index"], 0.7, at_least=True,
        )  # fmt: skip
        embed = alone["megabytes"] / alone["embed"]
        row("embedding", f"{embed:.1f} MB/s", "4 MB/s", embed / 4, 1.0, at_least=True)

        small, empty = bench.home("small", one), bench.home("empty", one)
        bench.refresh(small)
        bench.run(empty, "-c", EMPTY_JOB)
        first = bench.home("first", corpus)
        first_seconds, first_peak = bench.refresh(first)
        one_first = median(bench.refresh(bench.home(f"one-{n}", one))[0] for n in range(3))
        needed = sum(alone[name] for name in ("read", "tokenise", "embed", "store", "index"))
        row(
            "first run",
            f"{first_seconds:.1f} s",
            f"one file {one_first:.1f} s + 1.3 x parts {needed:.1f} s",
            first_seconds / (one_first + 1.3 * needed),
            1.0,
        )

        turn = in_turns(
            said.repeat,
            same=lambda: bench.refresh(first)[0],
            small=lambda: bench.refresh(small)[0],
            empty=lambda: bench.run(empty, "-c", EMPTY_JOB)[0],
        )
        row(
            "run, nothing changed",
            f"{turn['same']:.2f} s",
            f"one file {turn['small']:.2f} s",
            turn["same"] / turn["small"],
            1.1,
        )
        row(
            "run, one file, nothing changed",
            f"{turn['small']:.2f} s",
            f"empty job {turn['empty']:.2f} s",
            turn["small"] / turn["empty"],
            1.5,
        )
        changed, same = [], []
        for number in range(3):
            edit(corpus, 0.01, number)
            changed.append(bench.refresh(first)[0])
            same.append(bench.refresh(first)[0])
        row(
            "run, 1 % edited and 1 % deleted",
            f"{median(changed):.2f} s",
            f"nothing changed {median(same):.2f} s",
            median(changed) / median(same),
            1.6,
        )

        row("peak memory of the first run", f"{first_peak:.0f} MB", "550 MB", first_peak / 550, 1.0)
        large = folder / "large"
        for copy in range(4):
            for path in corpus.rglob("*.md"):
                to = large / str(copy) / path.relative_to(corpus)
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_text(
                    f"{path.read_text(encoding='utf-8', errors='replace')}\n\nCopy {copy}.\n", encoding="utf-8"
                )
        _, large_peak = bench.refresh(bench.home("large-home", large))
        row(
            "peak memory, four times the documents",
            f"{large_peak:.0f} MB",
            f"{first_peak:.0f} MB",
            large_peak / first_peak,
            1.2,
        )
        imports = in_turns(
            said.repeat,
            own=lambda: bench.run(small, "-c", "import dataflow_assets.definitions")[0],
            dagster=lambda: bench.run(small, "-c", "import dagster")[0],
        )
        row(
            "importing the definitions",
            f"{imports['own']:.2f} s",
            f"import dagster {imports['dagster']:.2f} s",
            imports["own"] / imports["dagster"],
            1.5,
        )
        print(f"\n{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores; "
              f"{said.files} files, {alone['megabytes']:.1f} MB, {alone['chunks']:,.0f} chunks\n")  # fmt: skip
    print("| what | measured | floor | ratio (goal) |\n|---|---|---|---|")
    for cells in rows:
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
