"""The page: nothing from elsewhere, no markup out of data, and what a person sees in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from dataflow_assets_tests.serving.test_connections import running
from dataflow_assets_tests.serving.worlds import World, chunk_id

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WORDS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--virtual-time-budget=5000", "--dump-dom",
]  # fmt: skip
FILES = {"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript"}


def test_it_is_served_with_a_strict_policy(client: TestClient) -> None:
    for path, kind in FILES.items():
        answer = client.get(path)
        assert answer.headers["content-type"].startswith(kind)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_it_asks_nobody_else_and_makes_no_markup(client: TestClient) -> None:
    for path in FILES:
        text = client.get(path).text
        assert not re.search(r"""(src|href|url|import|fetch)\s*[=(]\s*["']?(https?:)?//""", text)
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|DOMParser|\son\w+=", text)
    assert "<style" not in client.get("/").text
    assert not re.search(r"<script(?! src=)", client.get("/").text)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_person_finds_reads_and_compares(world: World, tmp_path: Path) -> None:
    evil = "# Evil\n\nA cellar with <img src=x onerror=document.title='owned'> and \U0001f34e teh end."
    world.publish("fruit", {"apples": "# Apples\n\nApples keep in a cool cellar.", "<b>evil</b>": evil})

    def seen(port: int, fragment: str) -> str:
        done = subprocess.run(
            [str(CHROMIUM), *WORDS, f"--user-data-dir={tmp_path}/chromium", f"http://127.0.0.1:{port}/#{fragment}"],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        return done.stdout

    with running(world) as found:
        port = found.address[1]
        dom = seen(port, "")
        assert "<h3>fruit</h3>" in dom
        assert "Quality 90 of 100" in dom
        opened = chunk_id("fruit", "<b>evil</b>")
        dom = seen(port, f"query={quote('onerror cellar teh')}&library=fruit&mode=keyword&open={opened}")
        assert re.search(r"2 results in [0-9.]+ ms", dom)
        assert "<title>Search - dataflow</title>" in dom
        assert "<img" not in dom
        assert "&lt;img src=x" in dom
        reader = dom[dom.index('id="reader"') :]
        assert '<dialog id="reader" aria-labelledby="reader-title" open' in dom
        assert "1 of 1 passages here mended" in reader
        passage = reader[reader.index('class="text passage"') :]
        assert "<mark>cellar</mark>" in passage
        assert "<mark>teh</mark>" in passage  # a character beyond UTF-16's first plane stands before it
