"""How good and how fast search is.

    python benchmarks/retrieval.py quality FOLDER ...       what each side, the fusion and each feature of the reranker are worth
    python benchmarks/retrieval.py spans FOLDER             how much of the stretches that answer a question five chunks show
    python benchmarks/retrieval.py speed [--chunks 100000]  time of a question in process, of a cold start, of the imports

A FOLDER is a judged set as the BEIR collection has them: `corpus.jsonl` ({"_id", "title", "text"}), `queries.jsonl` ({"_id",
"text"}), `qrels.tsv` (query, document, score; one line of names). Each document is one chunk. Gain is binary; the floor is
BM25 with k1 0.9 and b 0.4 over title and text. For `spans` it holds `corpora/NAME.md` and `questions.jsonl` ({"corpus_id",
"question", "references": [{"start_index", "end_index"}]}); the chunker cuts at several sizes, since one swings by 0.02. The texts for `speed` are made of the project's own pages.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataflow_assets.index.base import Candidate, Generation, IndexQuery, Point
from dataflow_assets.index.edge import EdgeIndex
from dataflow_assets.index.fusion import rank
from dataflow_assets.models.wordllama import WordLlamaEmbedder
from dataflow_assets.records import Chunk, identity
from dataflow_assets.search.query import understand
from dataflow_assets.search.reranking import FACTORS, Factors, question_of, rerank

GOALS = {"p50_ms": 5.0, "p99_ms": 15.0, "cold_start_s": 1.2, "imports_s": 0.5}
DIMENSION = 256
FETCHED, RERANKED = 100, 50
SPAN_SIZES, SPAN_RERANKED = (180, 190, 200, 210, 220), 30
_WORD = re.compile(r"\w+")
_STOP = frozenset(
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was "
    "will with".split()
)


def main() -> None:
    """Run what the command line names, and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("quality").add_argument("folders", nargs="+", type=Path)
    commands.add_parser("spans").add_argument("folder", type=Path)
    speed_parser = commands.add_parser("speed")
    speed_parser.add_argument("--chunks", type=int, default=100_000)
    said = parser.parse_args()
    found: Any = (
        [quality(folder) for folder in said.folders]
        if said.command == "quality"
        else spans(said.folder)
        if said.command == "spans"
        else speed(said.chunks)
    )
    print(json.dumps(found, indent=2))


# ---- quality


def quality(folder: Path) -> dict[str, Any]:
    """Measure nDCG@10 on a judged set: the floor, each side, the fusion, and reranking with and without each feature."""
    documents = {row["_id"]: row for row in _lines(folder / "corpus.jsonl")}
    relevant: dict[str, set[str]] = collections.defaultdict(set)
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, score = line.split("\t")
        if float(score) > 0:
            relevant[query].add(document)
    queries = [(row["text"], relevant[row["_id"]]) for row in _lines(folder / "queries.jsonl") if relevant[row["_id"]]]
    texts = {name: f"{row.get('title') or ''}\n\n{row.get('text') or ''}".strip() for name, row in documents.items()}
    with tempfile.TemporaryDirectory() as home:
        fetched = _fetch(Path(home), texts, [text for text, _ in queries])
    orders: dict[str, Callable[[int], list[str]]] = {
        "semantic": lambda n: _names(sorted(fetched[n][0], key=lambda c: -(c.semantic or -1)), fetched[n][1]),
        "keyword": lambda n: _names(sorted(fetched[n][0], key=lambda c: -c.keyword), fetched[n][1]),
        "fused": lambda n: _reranked(queries[n][0], *fetched[n], None),
        "reranked": lambda n: _reranked(queries[n][0], *fetched[n], FACTORS),
    }
    for name in (field.name for field in dataclasses.fields(Factors)):
        without = dataclasses.replace(FACTORS, **{name: 1.0})
        orders[f"reranked without {name}"] = lambda n, without=without: _reranked(queries[n][0], *fetched[n], without)
    floor = _mean(_ndcg(order, wanted) for order, (_, wanted) in zip(_floor(texts, queries), queries, strict=True))
    told = {"set": folder.name, "queries": len(queries), "documents": len(texts), "floor": round(floor, 4)}
    for label, order in orders.items():
        score = _mean(_ndcg(order(n), wanted) for n, (_, wanted) in enumerate(queries))
        told[label] = {"ndcg10": round(score, 4), "over_floor": round(score / floor, 3)}
    return told


def _fetch(
    home: Path, texts: dict[str, str], queries: Sequence[str]
) -> list[tuple[list[Candidate], dict[str, Mapping[str, Any]]]]:
    embedder = WordLlamaEmbedder(DIMENSION)
    index, names = EdgeIndex(home), list(texts)
    with index.write(Generation("set", "first", DIMENSION)) as writer:
        for start in range(0, len(names), 1000):
            batch = names[start : start + 1000]
            vectors = embedder.embed([texts[name] for name in batch])
            writer.upsert(
                [_point(name, texts[name], vector, document=name) for name, vector in zip(batch, vectors, strict=True)]
            )
    with index.read("set") as reader:
        fetched = []
        for query, vector in zip(queries, embedder.embed(queries), strict=True):
            candidates = reader.candidates(IndexQuery(query, vector, limit=FETCHED, prefetch=FETCHED))
            fetched.append((candidates, dict(reader.payloads([c.chunk_id for c in candidates]))))
        return fetched


def _reranked(
    query: str, candidates: Sequence[Candidate], payloads: dict[str, Mapping[str, Any]], factors: Factors | None
) -> list[str]:
    return _names(_ordered(query, candidates, payloads, factors, RERANKED), payloads)


def _ordered(
    query: str,
    candidates: Sequence[Candidate],
    payloads: dict[str, Mapping[str, Any]],
    factors: Factors | None,
    limit: int,
) -> list[Candidate]:
    understood = understand(query)
    weights = (understood.semantic_weight, understood.keyword_weight) if factors else (0.6, 0.4)
    asked = IndexQuery(query, None, limit=limit, semantic_weight=weights[0], keyword_weight=weights[1])
    ranked = [(candidates[n], score) for n, score in rank(candidates, asked)]
    if factors is None:
        return [candidate for candidate, _ in ranked]
    found = [(score, payloads[candidate.chunk_id]) for candidate, score in ranked]
    judged = rerank(question_of(query, understood), found, factors)
    order = sorted(range(len(ranked)), key=lambda n: (-judged[n].score, ranked[n][0].chunk_id))
    return [ranked[n][0] for n in order]


def _names(candidates: Sequence[Candidate], payloads: dict[str, Mapping[str, Any]]) -> list[str]:
    return [payloads[candidate.chunk_id]["document_id"] for candidate in candidates]


def _floor(
    texts: dict[str, str], queries: Sequence[tuple[str, set[str]]], k1: float = 0.9, b: float = 0.4
) -> Iterator[list[str]]:
    postings: dict[str, list[tuple[str, int]]] = collections.defaultdict(list)
    lengths = {}
    for name, text in texts.items():
        words = [word for word in _WORD.findall(text.lower()) if word not in _STOP]
        lengths[name] = len(words)
        for word, count in collections.Counter(words).items():
            postings[word].append((name, count))
    mean = _mean(lengths.values()) or 1
    for query, _ in queries:
        scores: dict[str, float] = collections.defaultdict(float)
        for word in _WORD.findall(query.lower()):
            found = postings.get(word, [])
            idf = math.log(1 + (len(texts) - len(found) + 0.5) / (len(found) + 0.5))
            for name, count in found:
                scores[name] += idf * count * (k1 + 1) / (count + k1 * (1 - b + b * lengths[name] / mean))
        yield sorted(scores, key=lambda name: (-scores[name], name))


def _ndcg(ranked: Sequence[str], relevant: set[str]) -> float:
    gain = sum(1 / math.log2(n + 2) for n, name in enumerate(ranked[:10]) if name in relevant)
    return gain / sum(1 / math.log2(n + 2) for n in range(min(10, len(relevant))))


# ---- spans


def spans(folder: Path) -> dict[str, Any]:
    """Measure recall and intersection over union of the characters that the first five chunks show, as chunking_eval does."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted((folder / "corpora").glob("*.md"))}
    questions = _lines(folder / "questions.jsonl")
    told: dict[str, Any] = {"set": folder.name, "questions": len(questions), "floor": _spans_floor(texts, questions)}
    by_size = {size: _spans_at(size, texts, questions) for size in SPAN_SIZES}
    for label in ("semantic", "keyword", "fused", "reranked"):
        means = {m: round(_mean(scores[label][m] for scores in by_size.values()), 4) for m in ("recall", "iou")}
        told[label] = {**means, "at_200_tokens": by_size[200][label]}
    return told


def _spans_at(size: int, texts: dict[str, str], questions: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    from dataflow_assets.settings import ChunkingSettings
    from dataflow_assets.stages.chunk import chunk_document

    embedder = WordLlamaEmbedder(DIMENSION)
    settings = ChunkingSettings(strategy="structure", max_tokens=size, overlap_tokens=0)
    chunks = [
        chunk
        for name, text in texts.items()
        for chunk in chunk_document(
            library="set", document_id=name, text=text, markup="markdown", settings=settings, input_hash=""
        )
    ]
    with tempfile.TemporaryDirectory() as home:
        index = EdgeIndex(Path(home))
        with index.write(Generation("set", "first", DIMENSION)) as writer:
            for start in range(0, len(chunks), 1000):
                batch = chunks[start : start + 1000]
                vectors = embedder.embed([chunk.text for chunk in batch])
                writer.upsert(
                    [
                        _point(chunk.chunk_id, chunk.text, vector, chunk.document_id, chunk)
                        for chunk, vector in zip(batch, vectors, strict=True)
                    ]
                )
        found: dict[str, list[tuple[float, float]]] = collections.defaultdict(list)
        with index.read("set") as reader:
            vectors = embedder.embed([question["question"] for question in questions])
            for question, vector in zip(questions, vectors, strict=True):
                text = question["question"]
                candidates = reader.candidates(IndexQuery(text, vector, limit=SPAN_RERANKED, prefetch=SPAN_RERANKED))
                payloads: Any = reader.payloads([candidate.chunk_id for candidate in candidates])
                for label, order in {
                    "semantic": sorted(candidates, key=lambda c: -(c.semantic or -1)),
                    "keyword": sorted(candidates, key=lambda c: -c.keyword),
                    "fused": _ordered(text, candidates, payloads, None, SPAN_RERANKED),
                    "reranked": _ordered(text, candidates, payloads, FACTORS, SPAN_RERANKED),
                }.items():
                    shown = [payloads[candidate.chunk_id] for candidate in order[:5]]
                    ranges = [(p["document_id"], p["start_position"], p["end_position"]) for p in shown]
                    found[label].append(_overlap(ranges, question))
    return {
        label: {"recall": round(_mean(r for r, _ in scores), 4), "iou": round(_mean(i for _, i in scores), 4)}
        for label, scores in found.items()
    }


def _spans_floor(texts: dict[str, str], questions: Sequence[dict[str, Any]]) -> dict[str, float]:
    """BM25 over pieces of 800 characters."""
    pieces = {f"{n}#{at}": (n, at, min(at + 800, len(t))) for n, t in texts.items() for at in range(0, len(t), 800)}
    ranked = _floor(
        {key: texts[n][a:b] for key, (n, a, b) in pieces.items()}, [(q["question"], set()) for q in questions]
    )
    scores = [
        _overlap([pieces[key] for key in order[:5]], question)
        for order, question in zip(ranked, questions, strict=True)
    ]
    return {"recall": round(_mean(r for r, _ in scores), 4), "iou": round(_mean(i for _, i in scores), 4)}


def _overlap(ranges: Sequence[tuple[str, int, int]], question: dict[str, Any]) -> tuple[float, float]:
    wanted = {n for said in question["references"] for n in range(said["start_index"], said["end_index"])}
    shown = sum(end - start for _, start, end in ranges)
    hit = {n for name, start, end in ranges if name == question["corpus_id"] for n in range(start, end)} & wanted
    return len(hit) / len(wanted), len(hit) / (shown + len(wanted) - len(hit))


# ---- speed


def speed(chunks: int) -> dict[str, Any]:
    """Time questions to one made library."""
    from dataflow_assets.search import open_search

    made = random.Random(1)
    root = Path(__file__).resolve().parents[1]
    pages = [path.read_text(encoding="utf-8") for path in sorted((root / "docs").rglob("*.md"))]
    lines = [line.strip() for page in pages for line in page.splitlines() if 30 < len(line.strip()) < 300]
    questions = [" ".join(made.sample(_WORD.findall(made.choice(lines)), 3)) for _ in range(300)]
    with tempfile.TemporaryDirectory() as folder:
        home, catalog = Path(folder) / "home", Path(folder) / "catalog.yaml"
        catalog.write_text('{"libraries": {"made": {"source": {"type": "files", "path": "."}}}}')
        started = time.perf_counter()
        _make(home / "index", chunks, lines, made)
        told: dict[str, Any] = {"chunks": chunks, "build_s": round(time.perf_counter() - started, 1), "goals": GOALS}
        with open_search(home, catalog) as search:
            for question in questions[:50]:
                search.search(question)
            told["in_process"] = _times(search.search, questions)
            told["without_reranking"] = _times(lambda q: search.search(q, rerank=False), questions)
            told["questions_per_second"] = {str(n): _throughput(search.search, questions, n) for n in (1, 2)}
        environment = {**os.environ, "DATAFLOW_HOME": str(home), "DATAFLOW_CATALOG": str(catalog)}
        words = [sys.executable, "-m", "dataflow_assets.cli", "search", questions[0], "--json"]
        told["cold_start_s"] = _fastest(words, environment)
        imports = "import dataflow_assets.cli, dataflow_assets.search, dataflow_assets.index.edge, numpy, qdrant_edge"
        bare = _fastest([sys.executable, "-c", "pass"], environment)
        told["imports_s"] = round(_fastest([sys.executable, "-c", imports], environment) - bare, 3)
    return told


def _make(folder: Path, chunks: int, lines: Sequence[str], made: random.Random) -> None:
    embedder = WordLlamaEmbedder(DIMENSION)
    described = {"embedding_model": "local", "model_name": embedder.name, "dimension": DIMENSION, "library": "made"}
    with EdgeIndex(folder).write(Generation("made", "first", DIMENSION, described)) as writer:
        for start in range(0, chunks, 2000):
            numbers = range(start, min(start + 2000, chunks))
            texts = ["\n".join(made.sample(lines, made.randint(3, 14))) for _ in numbers]
            vectors = embedder.embed(texts)
            writer.upsert(
                [
                    _point(str(n), text, vector, f"page {n // 20}")
                    for n, text, vector in zip(numbers, texts, vectors, strict=True)
                ]
            )


def _point(name: str, text: str, vector: Any, document: str, chunk: Chunk | None = None) -> Point:
    start = chunk.start_position if chunk else 0
    payload = {
        "library": "made", "chunk_id": chunk.chunk_id if chunk else identity(name), "document_id": document, "title": document,
        "source_uri": f"{document}.md", "text": text, "corrected_text": None, "start_position": start,
        "end_position": start + len(text), "chunk_index": chunk.chunk_index if chunk else 0,
        "heading_path": list(chunk.heading_path) if chunk else [], "doc_type": "other", "language": "en", "tags": [],
    }  # fmt: skip
    return Point(payload["chunk_id"], text, vector, payload)


def _times(ask: Callable[[str], Any], questions: Sequence[str]) -> dict[str, float]:
    took = []
    for question in questions:
        started = time.perf_counter()
        ask(question)
        took.append((time.perf_counter() - started) * 1000)
    took.sort()
    return {"p50_ms": round(took[len(took) // 2], 2), "p99_ms": round(took[int(len(took) * 0.99)], 2)}


def _throughput(ask: Callable[[str], Any], questions: Sequence[str], threads: int) -> float:
    def work(mine: Sequence[str]) -> None:
        for question in mine:
            ask(question)

    workers = [threading.Thread(target=work, args=(questions[n::threads],)) for n in range(threads)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return round(len(questions) / (time.perf_counter() - started))


def _fastest(words: Sequence[str], environment: dict[str, str], tries: int = 3) -> float:
    took = []
    for _ in range(tries):
        started = time.perf_counter()
        subprocess.run(words, env=environment, check=True, capture_output=True)
        took.append(time.perf_counter() - started)
    return round(min(took), 3)


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def _mean(values: Any) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0


if __name__ == "__main__":
    main()
