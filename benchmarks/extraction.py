"""How fast documents become text beside markitdown on the same files, and whether memory stays flat over many PDFs.

    python benchmarks/extraction.py [FOLDER] [--floor PYTHON] [--pdfs N]

FOLDER holds documents of any format; without it some are made here. PYTHON is an interpreter that has `markitdown`
(`pip install 'markitdown[pdf,docx,pptx,xlsx,xls,outlook]'` in an environment of its own: the project does not need it); without it the
comparison is left out. Both read every file from disk, in turn, three times; the medians count. Ours runs as in a run of a
library: two worker processes with limits, the bytes sent to them and the documents sent back; markitdown in one process. Neither's
start and imports count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from dataflow_assets.media_types import media_type_of
from dataflow_assets.records import ReadDocument
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.workers.pool import ReadTask, WorkerPool

ROUNDS = 3
FORMATS = frozenset("pdf docx pptx xlsx xls html htm csv json ipynb xml eml msg epub".split())
"""Extensions that both read."""

FLOOR = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
from markitdown import MarkItDown
reader = MarkItDown(enable_plugins=False)
for line in sys.stdin:
    path, began = json.loads(line), time.perf_counter()
    try:
        text = reader.convert(path).text_content or ""
    except Exception:
        text = ""
    print(json.dumps([path, time.perf_counter() - began, len(text.strip())]), flush=True)
"""


def main() -> None:
    """Measure, and print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--floor", metavar="PYTHON")
    parser.add_argument("--pdfs", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or made(Path(scratch) / "made")
        figures: dict[str, Any] = compared(folder, options.floor, Path(scratch)) if options.floor else {}
        figures |= memory(options.pdfs, Path(scratch))
    print(json.dumps(figures))


def compared(folder: Path, floor: str, scratch: Path) -> dict[str, Any]:
    """Read the same files in both ways, in turn."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix[1:].lower() in FORMATS and p.stat().st_size)
    ours: defaultdict[str, list[float]] = defaultdict(list)
    theirs: defaultdict[str, list[float]] = defaultdict(list)
    read: set[str] = {str(path) for path in files}
    for number in range(ROUNDS):
        told = _theirs(floor, files)
        read &= {path for path, (_, sound) in told.items() if sound}
        for name in {_format(Path(path)) for path in told}:
            theirs[name].append(sum(took for path, (took, _) in told.items() if _format(Path(path)) == name))
        with WorkerPool(folder=scratch / f"workers{number}") as pool:
            _ours(pool, files)  # the processes have started and imported, as markitdown's has
            for name in sorted(theirs):
                of_it = [path for path in files if _format(path) == name]
                began = time.perf_counter()
                read &= _ours(pool, of_it) | {str(path) for path in files if _format(path) != name}
                ours[name].append(time.perf_counter() - began)
            began = time.perf_counter()
            _ours(pool, files)
            ours["all"].append(time.perf_counter() - began)
        theirs["all"].append(sum(took for took, _ in told.values()))
    print(f"{'format':8}{'files':>7}{'both read':>11}{'ours, ms':>12}{'markitdown, ms':>16}{'times':>8}")
    for name in sorted(theirs, key=lambda name: (name == "all", name)):
        of_it = [path for path in files if name in ("all", _format(path))]
        both = sum(str(path) in read for path in of_it)
        mine, other = median(ours[name]), median(theirs[name])
        print(f"{name:8}{len(of_it):7}{both:11}{1000 * mine:12.1f}{1000 * other:16.1f}{other / mine:8.1f}")
    mine, other = median(ours["all"]), median(theirs["all"])
    return {
        "files": len(files),
        "both_read": len(read),
        "seconds": mine,
        "markitdown_seconds": other,
        "factor": other / mine,
    }


def _format(path: Path) -> str:
    return path.suffix[1:].lower()


def _ours(pool: WorkerPool, files: list[Path]) -> set[str]:
    """Read files; give those that have text."""
    settings = ReadingSettings()
    tasks = (ReadTask(str(p), p.read_bytes(), p.name, media_type_of(p.name), settings, ()) for p in files)
    return {
        task.key for task, result in pool.read_all(tasks) if isinstance(result, ReadDocument) and result.text.strip()
    }


def _theirs(python: str, files: list[Path]) -> dict[str, tuple[float, bool]]:
    said = "".join(json.dumps(str(path)) + "\n" for path in files)
    done = subprocess.run(
        [python, "-c", FLOOR], input=said, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    )
    return {path: (took, length > 0) for path, took, length in map(json.loads, done.stdout.splitlines())}


def memory(count: int, scratch: Path) -> dict[str, Any]:
    """Read many different PDFs and watch the memory of this process and its workers."""
    settings, peaks = ReadingSettings(), []

    def tasks() -> Any:
        for number in range(count):
            content = pdf(
                [
                    [f"Document {number}, page {page}. {_sentence(number, page, line)}" for line in range(40)]
                    for page in range(8)
                ]
            )
            yield ReadTask(str(number), content, f"{number}.pdf", "application/pdf", settings, ())

    read = 0
    with WorkerPool(folder=scratch / "workers") as pool:
        for number, (_, result) in enumerate(pool.read_all(tasks())):
            read += isinstance(result, ReadDocument)
            if number % 5 == 0:
                peaks.append(_tree_mb(os.getpid()))
    quarter = max(1, len(peaks) // 5)
    first, last = max(peaks[quarter : 2 * quarter]), max(peaks[-quarter:])
    print(f"{count} PDFs: {read} read; memory at most {first:.0f} MB in the second fifth, {last:.0f} MB in the last")
    return {"pdfs": count, "read": read, "second_fifth_mb": first, "last_fifth_mb": last, "growth": last / first}


def _tree_mb(root: int) -> float:
    """Give the resident memory of a process and all below it, in MB (Linux)."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    family, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    pages = 0
    for pid in family:
        try:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _sentence(document: int, page: int, line: int) -> str:
    words = "index search library chunk page report source table vector change cost night model".split()
    return (
        " ".join(words[(document * 7 + page * 5 + line * 3 + place * place) % len(words)] for place in range(9)) + "."
    )


def pdf(pages: list[list[str]]) -> bytes:
    """Write a PDF with lines of text."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for lines in pages:
        shown = b" T* ".join(b"(" + line.encode("latin-1", "replace") + b") Tj" for line in lines)
        stream = b"BT /F1 10 Tf 14 TL 40 780 Td " + shown + b" ET"
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), b" ".join(kids))
    written, places = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(written)
    written += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    written += b"".join(b"%010d 00000 n \n" % place for place in places)
    written += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(written)


def made(folder: Path) -> Path:
    """Make documents of some formats."""
    folder.mkdir(parents=True)
    for number in range(20):
        lines = [[_sentence(number, page, line) for line in range(40)] for page in range(5)]
        (folder / f"{number}.pdf").write_bytes(pdf(lines))
        paragraphs = "".join(f"<p>{' '.join(page)}</p>" for page in lines)
        (folder / f"{number}.html").write_text(
            f"<html><head><title>{number}</title></head><body>{paragraphs}</body></html>"
        )
        (folder / f"{number}.csv").write_text("\n".join(",".join(line.split()) for page in lines for line in page))
        with zipfile.ZipFile(folder / f"{number}.docx", "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in _docx(["".join(page) for page in lines]).items():
                file.writestr(name, content)
    return folder


def _docx(paragraphs: list[str]) -> dict[str, str]:
    office = "http://schemas.openxmlformats.org"
    word = f"{office}/wordprocessingml/2006/main"
    body = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs)
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    return {
        "[Content_Types].xml": f'<Types xmlns="{office}/package/2006/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{main}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{office}/package/2006/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{word}"><w:body>{body}</w:body></w:document>',
    }


if __name__ == "__main__":
    sys.exit(main())
