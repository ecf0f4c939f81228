"""Take the pictures of the README and the guide from the running product: `make screenshots`.

A temporary home is filled with the guide and a letter full of slips of the pen, Dagster's web server and the service are started on free
ports of this machine, and headless Chromium looks at them. Needs Debian's package chromium. Everything that is started is stopped.
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
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tools.browser import CHROMIUM, Browser  # noqa: E402 - the tools are no installed package

IMAGES = ROOT / "docs" / "images"
GROUP = "/locations/dataflow_assets.definitions/asset-groups/library/lineage"
DAGSTER = {
    "asset-graph": (GROUP, (1900, 900)),
    "materialization": ("/assets/chunks?view=partitions&partition=guide", (1500, 1050)),
}
DESK, PHONE = (1280, 860), (390, 844)
QUESTION = "how do I agree to a large delete"
LETTER = """# The orchard in autumn

We recieved the new ladders, and teh harvest may begin. The apples of the upper orchard are picked first, becuase they keep
best: put them into the celler at 4 degrees, apart from each other.

The pears are picked a week later. They ripen in a warm room, and are seperated from the apples, for what an apple gives
off makes pears soft before their time.
"""


def main() -> None:
    if CHROMIUM is None:
        sys.exit("There is no Chromium. Install it (on Debian: apt-get install chromium) and try again.")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dataflow-pictures-") as made:
        folder = Path(made)
        home, catalog = folder / "home", folder / "catalog.yaml"
        (folder / "letters").mkdir()
        (folder / "letters" / "orchard.md").write_text(LETTER, encoding="utf-8")
        shutil.copytree(ROOT / "docs" / "guide", folder / "guide")
        libraries = {
            name: {"source": {"type": "files", "path": name}, "corrections": {"model": "local"}}
            for name in ("guide", "letters")
        }
        catalog.write_text(json.dumps({"libraries": libraries}), encoding="utf-8")
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("DAGSTER", "DATAFLOW"))},
            "DATAFLOW_HOME": str(home), "DATAFLOW_CATALOG": str(catalog), "DAGSTER_HOME": str(home / "dagster"),
        }  # fmt: skip
        subprocess.run([sys.executable, "-m", "dataflow_assets.cli", "run"], env=environment, check=True, cwd=ROOT)
        with Browser(folder / "chromium") as browser:
            words = ["dagster_webserver", "-m", "dataflow_assets.definitions", "-h", "127.0.0.1", "-p"]
            with _serving(words, "/server_info", environment) as address:
                for name, (path, size) in DAGSTER.items():
                    browser.look(*size)
                    browser.open(address + path)
                    _settle(browser)
                    _keep(browser, name)
            browser.look(1200, 1400)
            browser.open(max((home / "reports" / "guide").glob("*.html")).as_uri())
            _keep(browser, "quality-report")
            with _serving(["dataflow_assets.cli", "serve", "--port"], "/ready", environment) as address:
                _page(browser, address)


def _page(browser: Browser, address: str) -> None:
    """Take pictures of the search page: libraries, results, a document, and both as a phone in the dark shows them."""
    browser.look(*DESK)
    browser.open(f"{address}/")
    browser.wait("document.querySelector('.card')")
    _keep(browser, "search-libraries")
    browser.open(f"{address}/#query={quote(QUESTION)}")
    browser.wait("document.querySelector('#results li')")
    _keep(browser, "search-page")
    browser.click("#results h3 button")
    browser.wait("document.querySelector('.passage')")
    _keep(browser, "search-document")
    browser.open(f"{address}/#query={quote('where are apples kept')}&library=letters")
    browser.click("#results h3 button")
    browser.click("[data-view=beside]")
    browser.wait("document.querySelector('ins')")
    _keep(browser, "search-corrected")
    browser.look(*PHONE, dark=True, phone=True)
    browser.open(f"{address}/#query={quote(QUESTION)}")
    browser.wait("document.querySelector('#results li')")
    _keep(browser, "search-phone")
    browser.click("#results h3 button")
    browser.wait("document.querySelector('.passage')")
    _keep(browser, "search-phone-document")


def _settle(browser: Browser) -> None:
    """Wait until a page that loads what it shows bit by bit shows the same for two seconds."""
    same, before, end = 0, None, time.monotonic() + 60
    while same < 4 and time.monotonic() < end:
        time.sleep(0.5)
        seen = browser.call("Page.captureScreenshot", format="png")["data"]
        same, before = (same + 1, before) if seen == before else (0, seen)


def _keep(browser: Browser, name: str) -> None:
    """Keep what is seen, in at most 256 colours: that is a third of the bytes, and nobody sees the difference."""
    target = IMAGES / f"{name}.png"
    browser.picture(target)
    with Image.open(target) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size // 1000} kB")


@contextmanager
def _serving(words: Sequence[str], ready: str, environment: dict[str, str]) -> Iterator[str]:
    """Run a module that takes its port as the last word; give its address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    server = subprocess.Popen(
        [sys.executable, "-m", *words, str(port)], env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )  # fmt: skip
    try:
        _wait(f"http://127.0.0.1:{port}{ready}", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except OSError:
            time.sleep(0.5)
    sys.exit(f"A server did not start: {url}. Start it by hand to see why.")


if __name__ == "__main__":
    main()
