"""Jupyter notebooks become Markdown.

What belongs here: cells of all versions of the format, in order: Markdown as it is, code in fences with its language,
outputs that are text, shortened. What does not: pictures and widgets that cells put out; they are data, not text.
"""

from __future__ import annotations

import json
import re
from typing import Any

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.markdown import find_title

_OUTPUT = 2_000
"""Characters of one output that are kept; logs of a training run are no content."""
_ESCAPES = re.compile(r"\x1b\[[0-?]{0,30}[ -/]{0,5}[@-~]")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_PICTURE = re.compile(r"(!\[[^\]\n]{0,500}\]\()data:[^)\s]{0,10000000}\)")


def read_notebook(item: Item) -> Reading:
    """Read a notebook; raises ReadError where it is none."""
    try:
        notebook = json.loads(item.decoded.text)
    except (ValueError, RecursionError) as error:
        raise ReadError(f"The notebook {item.name} is damaged (its JSON is broken: {str(error)[:120]}).") from error
    if not isinstance(notebook, dict):
        raise ReadError(f"The notebook {item.name} is damaged: it holds no cells.")
    cells = notebook.get("cells")
    if not isinstance(cells, list):  # version 3 has sheets
        sheets = notebook.get("worksheets")
        if not isinstance(sheets, list):
            raise ReadError(f"The notebook {item.name} is damaged: it holds no cells.")
        cells = [cell for sheet in sheets if isinstance(sheet, dict) for cell in _listed(sheet.get("cells"))]
    metadata = _mapping(notebook.get("metadata"))
    language = _first(
        _mapping(metadata.get("language_info")).get("name"), _mapping(metadata.get("kernelspec")).get("language")
    )
    parts = [part for cell in cells if isinstance(cell, dict) for part in _cell(cell, language)]
    text = "\n\n".join(parts)
    if not text:
        raise ReadError(f"The notebook {item.name} has no text: all its cells are empty; exclude the file.")
    authors = [
        name for author in _listed(metadata.get("authors")) if (name := _first(_mapping(author).get("name"), author))
    ]
    return Reading(
        text=f"{text}\n",
        markup="markdown",
        title=_first(metadata.get("title")) or find_title(text),
        metadata={"authors": authors} if authors else {},
    )


def _cell(cell: dict[str, Any], language: str) -> list[str]:
    kind = cell.get("cell_type")
    source = _text(cell.get("source", cell.get("input"))).strip("\r\n")
    if kind == "heading":  # version 3
        level = cell.get("level")
        return [f"{'#' * min(max(level if isinstance(level, int) else 1, 1), 6)} {source}"] if source else []
    if kind != "code":
        source = _PICTURE.sub(r"\1#)", source)
        return [source] if source.strip() else []
    parts = [_fenced(source, _first(cell.get("language")) or language)] if source.strip() else []
    outputs = (_output(_mapping(output)) for output in _listed(cell.get("outputs")))
    return [*parts, *(_fenced(said, "text") for said in outputs if said)]


def _output(output: dict[str, Any]) -> str:
    kind = output.get("output_type")
    if kind in ("error", "pyerr"):
        return f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}"[:_OUTPUT]
    data = _mapping(output.get("data")) or output
    for key in ("text/markdown", "text/plain", "text"):
        if said := _ESCAPES.sub("", _text(data.get(key))).strip("\r\n"):
            return said if len(said) <= _OUTPUT else f"{said[:_OUTPUT]}\n..."
    return ""


def _fenced(code: str, language: str) -> str:
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", code)), default=0) + 1)
    return f"{fence}{language if re.fullmatch('[A-Za-z0-9+#_-]{1,30}', language) else ''}\n{code}\n{fence}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = "".join(each for each in value if isinstance(each, str))
    return _UNPRINTABLE.sub("", _ESCAPES.sub("", value)) if isinstance(value, str) else ""


def _first(*values: Any) -> str:
    return next((value for value in values if isinstance(value, str) and value), "")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
