"""Notebooks: text, code, and what the code printed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.notebook import read_notebook


def read(notebook: Any) -> Reading:
    return read_notebook(Item(json.dumps(notebook).encode(), "a.ipynb", "application/x-ipynb+json"))


def test_cells_become_markdown() -> None:
    reading = read(
        {
            "metadata": {"kernelspec": {"language": "python"}, "authors": [{"name": "Ann"}]},
            "nbformat": 4,
            "cells": [
                {"cell_type": "markdown", "source": ["# Study\n", "Some *text* ![p](data:image/png;base64,QUJD)."]},
                {
                    "cell_type": "code",
                    "source": "print('```')",
                    "outputs": [
                        {"output_type": "stream", "text": ["\x1b[31mred\x1b[0m\n", "x" * 9_000]},
                        {"output_type": "display_data", "data": {"image/png": "QUJD", "text/plain": "<Figure>"}},
                        {"output_type": "error", "ename": "ValueError", "evalue": "bad", "traceback": ["..."]},
                    ],
                },
                {"cell_type": "raw", "source": "raw text"},
                {"cell_type": "code", "source": "", "outputs": None},
                "nonsense",
            ],
        }
    )
    assert reading.title == "Study"
    assert reading.metadata == {"authors": ["Ann"]}
    assert "QUJD" not in reading.text
    assert "````python\nprint('```')\n````\n\n```text\nred\nxxx" in reading.text
    assert "```text\n<Figure>\n```\n\n```text\nValueError: bad\n```\n\nraw text" in reading.text
    assert len(reading.text) < 3_000


def test_old_notebooks_have_worksheets() -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Old"},
        {"cell_type": "code", "input": ["a = 1"], "language": "python"},
    ]
    assert read({"nbformat": 3, "worksheets": [{"cells": cells}]}).text == "## Old\n\n```python\na = 1\n```\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "damaged"),
        (b"[]", "damaged"),
        (b"{}", "damaged"),
        (b'{"cells": []}', "no text"),
        (b"[" * 99_999, "damaged"),
    ],
)
def test_what_is_no_notebook_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ReadError, match=reason):
        read_notebook(Item(content, "a.ipynb", "application/x-ipynb+json"))
