"""A site on the loopback interface whose sitemap names its pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dataflow_assets_tests.sources.site import Site, site


class World:
    """The site."""

    def __init__(self, there: Site) -> None:
        self._site = there
        self._names: list[str] = []
        self._broken = False
        self.settings: dict[str, Any] = {
            "type": "web", "sitemap": f"{there.url}/sitemap.xml", "allow_hosts": ("127.0.0.1",), "retries": 0,
            "requests_per_second": 10_000.0,
        }  # fmt: skip
        self.environment: dict[str, str] = {}

    @property
    def requests(self) -> int:
        return sum(one.path.startswith("/page/") and one.status == 200 for one in self._site.asked)

    def put(self, name: str, text: str) -> None:
        self._site.page(f"/page/{name}", text=text)
        self._names = sorted({*self._names, name})
        self._write()

    def remove(self, name: str) -> None:
        self._names.remove(name)
        self._write()

    def break_listing(self) -> None:
        self._broken = True
        self._write()

    def mend(self) -> None:
        self._broken = False
        self._write()

    def _write(self) -> None:
        pages = "".join(f"<url><loc>{self._site.url}/page/{name}</loc></url>" for name in self._names)
        whole = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{pages}</urlset>'
        self._site.put("/sitemap.xml", whole[: len(whole) // 2] if self._broken else whole)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    with site() as there:
        yield World(there)
