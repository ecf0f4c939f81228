"""Documents by kreuzberg, a library in Rust: bytes become Markdown.

What belongs here: how it is called, what its errors mean, and mending what it writes: backslashes in front of characters
that mean nothing there, tables that are too long for a chunk. What does not: which formats it is asked for (`office`).

It is called so that it fetches nothing, keeps no cache, runs no OCR, and drops neither headers nor text that repeats.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.markdown_table import write_table

_ESCAPED = re.compile(r"(?<=[^\\])\\([!#~<>*_\[\]&+=.()\-{}])")
"""A backslash within a line that protects nothing there."""
_UNDERLINE = re.compile(r"</?u>|(?<!\w)__(?=\S)|(?<=\S)__(?!\w)")
_ROW = re.compile(r"^\|.*\|[ \t]*$")
_RULE = re.compile(r"^\|(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*$")
_BARS = re.compile(r"(?<!\\)\|")
_DATA_URI = re.compile(r"\(data:[^)]*\)")
_NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufeff\ufffe\uffff]")


@cache
def _config() -> Any:
    import kreuzberg

    # The stub of the constructor does not know `disable_ocr`, hence the dictionary.
    options: dict[str, Any] = {"use_cache": False, "disable_ocr": True, "enable_quality_processing": False}
    return kreuzberg.ExtractionConfig(
        **options,
        output_format="markdown",
        postprocessor=kreuzberg.PostProcessorConfig(enabled=False),
        concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),
        content_filter=kreuzberg.ContentFilterConfig(
            include_headers=True, include_footers=True, strip_repeating_text=False, include_watermarks=True
        ),
    )


def extract(content: bytes, media_type: str, what: str) -> tuple[str, dict[str, Any]]:
    """Read a document.

    Args:
        content: Its bytes.
        media_type: One of those that kreuzberg knows.
        what: What to call it in sentences: `document`.

    Returns:
        Markdown, and what the document says of itself, as kreuzberg names it.

    Raises:
        ReadError: It is damaged or protected.
    """
    import kreuzberg

    try:
        result = kreuzberg.extract_bytes_sync(content, media_type, _config())
    except kreuzberg.KreuzbergError as error:
        said = " ".join(str(error).split())
        if re.search("password|encrypt", said, re.IGNORECASE):
            raise ReadError(
                f"The {what} is protected by a password, which cannot be opened here; save it without one."
            ) from error
        raise ReadError(
            f"The {what} is damaged (truncated or corrupt); replace the file, or save it again ({said[:160]})."
        ) from error
    return mended(result.content or ""), dict(result.metadata or {})


def mended(text: str) -> str:
    """Make readable Markdown of what kreuzberg writes."""
    lines = _NO_TEXT.sub("", text.replace("\r\n", "\n")).split("\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(_tables(_unescaped(lines)))).strip() + "\n"


def _unescaped(lines: Iterable[str]) -> Iterator[str]:
    fence = ""
    for line in lines:
        mark = line.lstrip()[:3]
        if mark in ("```", "~~~") and fence in ("", mark):
            fence = "" if fence else mark
        if fence or mark == fence or line.startswith("    ") or "$" in line:
            # Code and formulas mean their backslashes; in cells, those of formulas come doubled.
            yield line.replace("\\\\", "\\") if line.startswith("|") else line
            continue
        if "](data:" in line:
            line = _DATA_URI.sub("(picture)", line)
        if "\\" in line:
            line = _ESCAPED.sub(r"\1", line)
            if line.startswith("|"):  # formatting within cells arrives as escaped marks
                line = (
                    line.replace("\\*", "*")
                    .replace("\\<", "<")
                    .replace("\\>", ">")
                    .replace("\\~", "~")
                    .replace("\\_", "_")
                )
        if "u>" in line or "__" in line:
            line = _UNDERLINE.sub("", line)
        yield line


def _tables(lines: Iterable[str]) -> Iterator[str]:
    """Write tables anew, so that long ones stand in blocks and none is padded with spaces."""
    table: list[str] = []
    for line in lines:
        if _ROW.match(line):
            table.append(line)
            continue
        yield from _table(table)
        table = []
        yield line
    yield from _table(table)


def _table(lines: Sequence[str]) -> Iterator[str]:
    if len(lines) < 2 or not _RULE.match(lines[1]):
        yield from lines
        return
    rows = [
        [cell.replace("\\|", "|") for cell in _BARS.split(line.strip()[1:-1])]
        for line in lines
        if not _RULE.match(line)
    ]
    yield write_table(rows[0], rows[1:])
