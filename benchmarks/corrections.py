"""How well and how fast the built-in corrector works: precision, recall, F0.5, clean lines changed, MB/s of the stage.

    python benchmarks/corrections.py FOLDER

FOLDER holds `spelling.jsonl` and `clean.jsonl`, a JSON object per line with `source` and `references`: lines before and
after a real mending, and lines that must stay as they are. Each line is a chunk of its own. Edits are compared by words,
as `difflib` aligns them.
"""

from __future__ import annotations

import difflib
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from dataflow_assets.model_settings import CorrectionSettings
from dataflow_assets.models.typos import TyposCorrector
from dataflow_assets.records import text_hash
from dataflow_assets.stages.correct import ChunkText, correct_chunks

SETTINGS = CorrectionSettings(model="local")
SPEED_CHARACTERS = 5_000_000
CHUNK_CHARACTERS = 4_000


def measure(folder: Path) -> dict[str, Any]:
    """Measure the built-in corrector on a folder of lines."""
    corrector = TyposCorrector()
    pairs, clean = (_lines(folder / f"{kind}.jsonl") for kind in ("spelling", "clean"))
    mended = _correct([source for source, _ in pairs], corrector)
    hits = said = meant = exact = 0
    wrong: list[list[str]] = []
    for (source, reference), result in zip(pairs, mended, strict=True):
        ours, theirs = _edits(source, result), _edits(source, reference)
        hits, said, meant = hits + len(ours & theirs), said + len(ours), meant + len(theirs)
        exact += result == reference
        wrong += [[" ".join(source.split()[a:b]), " ".join(new)] for a, b, new in sorted(ours - theirs)]
    changed = [
        [source, result]
        for (source, _), result in zip(clean, _correct([source for source, _ in clean], corrector), strict=True)
        if source != result
    ]
    precision, recall = hits / max(1, said), hits / max(1, meant)
    return {
        "pairs": len(pairs),
        "clean": len(clean),
        "precision": precision,
        "recall": recall,
        "f05": 1.25 * precision * recall / (0.25 * precision + recall) if hits else 0.0,
        "exact": exact / max(1, len(pairs)),
        "clean_changed": len(changed),
        "mb_per_s": _speed([source for source, _ in clean] * 10 + [source for source, _ in pairs], corrector),
        "mb_per_s_dense": _speed([source for source, _ in pairs], corrector),
        "wrong_edits": wrong,
        "clean_examples": changed[:8],
    }


def _lines(path: Path) -> list[tuple[str, str]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [(row["source"], row["references"][0]) for row in rows]


def _chunks(texts: list[str]) -> list[ChunkText]:
    return [ChunkText("lines", str(place), "lines", text, text_hash(text), (), "") for place, text in enumerate(texts)]


def _correct(texts: list[str], corrector: TyposCorrector) -> list[str]:
    made = correct_chunks(_chunks(texts), corrector=corrector, settings=SETTINGS)
    rows = {row.chunk_id: row.corrected_text for row in made}
    return [rows[str(place)] or text for place, text in enumerate(texts)]


def _edits(source: str, result: str) -> set[tuple[int, int, tuple[str, ...]]]:
    old, new = source.split(), result.split()
    codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return {(a, b, tuple(new[c:d])) for kind, a, b, c, d in codes if kind != "equal"}


def _speed(lines: list[str], corrector: TyposCorrector) -> float:
    """Time the stage on chunks made of the lines, in an order of their own, so that misspellings stand apart."""
    lines = sorted(lines, key=text_hash)
    text = "\n".join(lines) or "A line of nothing.\n"
    text *= SPEED_CHARACTERS // len(text) + 1
    pieces = [text[at : at + CHUNK_CHARACTERS] for at in range(0, SPEED_CHARACTERS, CHUNK_CHARACTERS - 1)]
    chunks = _chunks(pieces)
    size = sum(len(piece.encode("utf-8")) for piece in pieces) / 1e6
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        list(correct_chunks(chunks, corrector=corrector, settings=SETTINGS))
        seconds.append(time.perf_counter() - started)
    return size / statistics.median(seconds)


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("Name one folder with spelling.jsonl and clean.jsonl: python benchmarks/corrections.py FOLDER")
    for name, value in measure(Path(sys.argv[1])).items():
        shown = f"{value:.3f}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
        print(f"{name:>15}  {shown}")


if __name__ == "__main__":
    main()
