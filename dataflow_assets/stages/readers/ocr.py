"""OCR by Tesseract, a program that a person installs: pictures of pages become text.

What belongs here: the program's command line, and what its answer says. What does not: which pages are read, and drawing
them (`page_images`).

Pages are read one after the other, each by a run of the program of its own with the picture on standard input, so that
nothing is written anywhere. The program turns pages that lie on their side by itself, but on a page of few lines it may
take head for foot; so a page that it is unsure of is shown to it again upside down, and the surer answer counts. It also
gives words to photographs and stains; where it is hardly sure of them, the page counts as a page without text.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence

from dataflow_assets.errors import ReadError

_PROGRAM = "tesseract"
_SECONDS = 120
"""For one page; whoever started the reader may have less patience."""
_READABLE = 50.0
"""Mean confidence, in percent, below which a page is no text: scans reach 85 and more, text upside down 25 to 42."""
_SURE = 65.0
"""Mean confidence from which a page is not shown a second time."""
_BROKEN = re.compile(r"(?<=[^\W\d_]{2})-\n(?=[a-zà-öø-ÿ]{2})")


def missing(languages: Sequence[str]) -> str | None:
    """Say what must be installed before these languages can be read; None if nothing."""
    if shutil.which(_PROGRAM) is None:
        return (
            "OCR needs the program tesseract, which is not installed; install it (Debian and Ubuntu: apt install "
            "tesseract-ocr), or set reading.ocr to none."
        )
    listed = _run(["--list-langs"], b"").decode("utf-8", "replace").split()
    lacking = [language for language in languages if language not in listed]
    if not lacking:
        return None
    packages = " ".join("tesseract-ocr-" + language.lower().replace("_", "-") for language in lacking)
    return (
        f"Tesseract has no data for the language {', '.join(lacking)}; install them (Debian and Ubuntu: apt install "
        f"{packages}), or change reading.ocr_languages."
    )


def recognise(images: Iterable[tuple[int, bytes]], languages: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Read pictures of pages.

    Args:
        images: Number and picture, PNG, of each page.
        languages: Tesseract's names of the languages on them.

    Yields:
        The number of each page and its text; empty where there is none.

    Raises:
        ReadError: The program, or its data for a language, is not installed, or it failed.
    """
    if (lacking := missing(languages)) is not None:
        raise ReadError(lacking)
    for number, png in images:
        sure, text = _seen(png, languages, number)
        if text and sure < _SURE:
            sure, text = max((sure, text), _seen(_upside_down(png), languages, number))
        yield number, text if sure >= _READABLE else ""


def _seen(png: bytes, languages: Sequence[str], number: int) -> tuple[float, str]:
    arguments = ["stdin", "stdout", "-l", "+".join(languages), "--psm", "1", "-c", "tessedit_create_tsv=1"]
    return text_of(_run(arguments, png, number).decode("utf-8", "replace"))


def _upside_down(png: bytes) -> bytes:
    from PIL import Image

    written = io.BytesIO()
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        image.transpose(Image.Transpose.ROTATE_180).save(written, "PNG", compress_level=1)
    return written.getvalue()


def text_of(table: str) -> tuple[float, str]:
    """Make text from Tesseract's table of words (TSV).

    Returns:
        The mean confidence of its characters, in percent, and the text: a line a line, a blank line between paragraphs.
    """
    paragraphs: dict[tuple[str, ...], dict[str, list[str]]] = {}
    confidence, total = 0.0, 0
    for row in table.splitlines():
        cells = row.split("\t")
        if len(cells) != 12 or cells[0] != "5" or not cells[11].strip():
            continue
        word = cells[11].strip()
        try:
            confidence += float(cells[10]) * len(word)
        except ValueError:
            continue
        total += len(word)
        paragraphs.setdefault(tuple(cells[1:4]), {}).setdefault(cells[4], []).append(word)
    text = "\n\n".join(
        _BROKEN.sub("", "\n".join(" ".join(words) for words in lines.values())) for lines in paragraphs.values()
    )
    return (confidence / total if total else 0.0), text


def _run(arguments: Sequence[str], given: bytes, page: int | None = None) -> bytes:
    # One thread: as many documents as there are processors are read at a time anyway.
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    where = "" if page is None else f" on page {page}"
    try:
        done = subprocess.run(  # noqa: S603 - no shell; the arguments are ours and the catalog's, which are validated
            [_PROGRAM, *arguments], input=given, capture_output=True, timeout=_SECONDS, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise ReadError(f"OCR took more than {_SECONDS} s{where}; leave the document out, or split it.") from None
    except OSError as error:
        raise ReadError(f"OCR failed: the program tesseract cannot be started ({error.strerror}).") from error
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        said = " ".join((lines[-1] if lines else "no message").split())[:200].rstrip(".")
        raise ReadError(f"OCR failed{where}: tesseract ended with status {done.returncode} ({said}).")
    return done.stdout
