"""Take the pictures of the README from the running product: `make screenshots`.

A temporary home is filled with the guide, Dagster's web server and the service are started on free ports of this machine, and headless
Chromium looks at them. Needs Debian's package chromium. Everything that is started is stopped.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
GROUP = "/locations/dataflow_assets.definitions/asset-groups/library/lineage"
PAGES = {
    "asset-graph": (GROUP, "1900,900"),
    "materialization": ("/assets/chunks?view=partitions&partition=guide", "1500,1050"),
}
CHROMIUM = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
]  # fmt: skip


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("There is no Chromium. Install it (on Debian: apt-get install chromium) and try again.")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dataflow-pictures-") as folder:
        home = Path(folder) / "home"
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("DAGSTER", "DATAFLOW"))},
            "DATAFLOW_HOME": str(home), "DATAFLOW_CATALOG": str(ROOT / "catalog.yaml"), "DAGSTER_HOME": str(home / "dagster"),
        }  # fmt: skip
        subprocess.run([sys.executable, "-m", "dataflow_assets.cli", "run"], env=environment, check=True, cwd=ROOT)
        port = _free_port()
        server = subprocess.Popen(
            [sys.executable, "-m", "dagster_webserver", "-m", "dataflow_assets.definitions", "-p", str(port), "-h", "127.0.0.1"],
            env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait(port)
            for name, (path, size) in PAGES.items():
                _picture(chromium, f"http://127.0.0.1:{port}{path}", name, size, folder)
            report = max((home / "reports" / "guide").glob("*.html"))
            _picture(chromium, report.as_uri(), "quality-report", "1200,1400", folder)
        finally:
            server.terminate()
            server.wait(30)
        _page(chromium, environment, folder)


def _page(chromium: str, environment: dict[str, str], folder: str) -> None:
    """Take pictures of the search page: results, a document, and both as a phone in the dark shows them."""
    port = _free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "dataflow_assets.cli", "serve", "--port", str(port)],
        env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait(port, "/ready")
        address, query = f"http://127.0.0.1:{port}/", "agree to a large delete"
        found = urllib.request.urlopen(f"{address}v1/search?{urllib.parse.urlencode({'query': query})}").read()
        first = json.loads(found)["results"][0]["chunk_id"]
        said = urllib.parse.quote(query)
        _picture(chromium, f"{address}#query={said}", "search-page", "1200,900", folder)
        _picture(chromium, f"{address}#query={said}&open={first}", "search-document", "1200,900", folder)
        dark = ["--blink-settings=preferredColorScheme=0"]
        _picture(chromium, f"{address}#query={said}", "search-phone", "500,900", folder, dark)
    finally:
        server.terminate()
        server.wait(30)


def _picture(chromium: str, url: str, name: str, size: str, folder: str, more: Sequence[str] = ()) -> None:
    target = IMAGES / f"{name}.png"
    words = [
        chromium, *CHROMIUM, *more, f"--user-data-dir={folder}/chromium-{name}", f"--window-size={size}",
        "--virtual-time-budget=30000", "--timeout=30000", f"--screenshot={target}", url,
    ]  # fmt: skip
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size // 1000} kB")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(port: int, path: str = "/server_info") -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).read()
            return
        except OSError:
            time.sleep(0.5)
    sys.exit("A server did not start.")


if __name__ == "__main__":
    main()
