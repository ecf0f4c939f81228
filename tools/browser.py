"""A real browser, driven: headless Chromium over its DevTools protocol, for the tests of the page and for the pictures of the guide.

Keys and clicks are events of the browser, not of a script in the page, so that focus, dialogs and history are what a person meets.
It needs a Chromium that is installed (Debian's package `chromium`) and `aiohttp`, and downloads nothing.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en-US", "--remote-debugging-port=0",
]  # fmt: skip
KEYS = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9, "Backspace": 8}  # fmt: skip
PATIENCE = 20.0


class Browser:
    """One tab. Close it, or use it in a `with` statement.

    Args:
        folder: An empty folder for the browser's profile.
    """

    def __init__(self, folder: Path) -> None:
        if CHROMIUM is None:
            raise FileNotFoundError("There is no Chromium. Install it (on Debian: apt-get install chromium).")
        self.requests: list[str] = []
        self.complaints: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._runner, self._count = asyncio.Runner(), 0
        self._process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )  # fmt: skip
        try:
            self._runner.run(self._connect(folder / "DevToolsActivePort"))
            for domain in ("Page", "Runtime", "Network", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the browser."""
        with suppress(Exception):
            self._runner.run(self._disconnect())
        self._runner.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol."""
        return self._runner.run(asyncio.wait_for(self._call(method, parameters), PATIENCE))

    def look(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Set the size of the screen, and what the person prefers."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )

    def open(self, url: str) -> None:
        """Go to an address, always as a new page."""
        self.call("Page.navigate", url="about:blank")
        self.wait("location.href === 'about:blank'")
        self.call("Page.navigate", url=url)
        self.wait("location.href !== 'about:blank' && document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """Give what an expression in the page comes to, as JSON; promises are waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"].get("exception", {}).get("description", answer))
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Wait until an expression in the page comes to something true, and give it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with suppress(AssertionError):  # of a page that is just being left
                if value := self.evaluate(f"(it => it instanceof Node || it)({expression})"):
                    return value
            time.sleep(0.02)
        raise AssertionError(f"Never came true: {expression}\n{self.evaluate('document.body.innerText')}")

    def click(self, selector: str) -> None:
        """Click in the middle of an element."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.wait(f"{found} && !{found}.disabled && {found}.checkVisibility()")
        self.evaluate(f"{found}.scrollIntoView({{block: 'center'}})")
        at = self.evaluate(
            f"(({{x, y, width, height}}) => ({{x: x + width / 2, y: y + height / 2}}))({found}.getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def type(self, words: str) -> None:
        """Type into whatever has the focus."""
        self.call("Input.insertText", text=words)

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        said: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": KEYS.get(key, ord(key[0].upper()))}
        if key not in KEYS:
            said["text"] = key
        elif key == "Enter":
            said["text"] = "\r"
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, **said)

    def picture(self, path: Path) -> None:
        """Take a picture of what is seen."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    async def _connect(self, told: Path) -> None:
        end = time.monotonic() + PATIENCE
        while not (told.exists() and "\n" in told.read_text()):
            if self._process.poll() is not None or time.monotonic() > end:
                raise AssertionError("Chromium did not start.")
            await asyncio.sleep(0.02)
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{told.read_text().split()[0]}/json/list") as answer:
            pages = [one for one in json.loads(await answer.text()) if one["type"] == "page"]
        self._socket = await self._session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)

    async def _disconnect(self) -> None:
        await self._socket.close()
        await self._session.close()

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        mine = self._count
        await self._socket.send_json({"id": mine, "method": method, "params": parameters})
        while True:
            said = json.loads(await self._socket.receive_str())
            if said.get("id") == mine:
                if "error" in said:
                    raise AssertionError(f"{method}: {said['error']}")
                return dict(said["result"])
            self._note(said.get("method"), said.get("params", {}))

    def _note(self, method: str | None, said: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.complaints.append(said["entry"]["text"])
