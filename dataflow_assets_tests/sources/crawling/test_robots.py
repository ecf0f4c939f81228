from __future__ import annotations

from collections.abc import Iterator

import pytest

from dataflow_assets.errors import FetchFailed
from dataflow_assets.source_settings import WebSource as WebSettings
from dataflow_assets.sources.crawling.robots import Robots
from dataflow_assets.sources.http import HttpClient
from dataflow_assets_tests.sources.site import Site, site


@pytest.fixture
def there() -> Iterator[Site]:
    with site() as made:
        yield made


@pytest.fixture
def naps() -> list[float]:
    return []


@pytest.fixture
def client(naps: list[float]) -> Iterator[HttpClient]:
    settings = WebSettings(urls=("http://x/",), allow_hosts=("127.0.0.1",), retries=0, requests_per_second=1e6)
    with HttpClient(settings, sleep=naps.append) as made:
        yield made


@pytest.mark.parametrize(
    ("rules", "agent", "open_paths"),
    [
        ("", "librarian", "/ /a /b"),
        ("User-agent: *\nDisallow: /a", "librarian", "/ /b"),
        ("User-agent: *\nDisallow: /\nAllow: /a", "librarian", "/a"),
        ("\ufeffUser-agent: *\r\nDisallow: /a # not this\r\n", "librarian", "/ /b"),
        ("User-agent: librarian\nDisallow: /a\n\nUser-agent: *\nDisallow: /", "Librarian/2.0 (+https://x)", "/ /b"),
        ("User-agent: other\nDisallow: /", "librarian", "/ /a /b"),
        ("User-agent: *\nDisallow: /*b$", "librarian", "/ /a"),
        ("<html><body>Not found</body></html>", "librarian", "/ /a /b"),
        ("\0\xff" * 1000, "librarian", "/ /a /b"),
    ],
)
def test_rules_are_heard(there: Site, client: HttpClient, rules: str, agent: str, open_paths: str) -> None:
    there.put("/robots.txt", rules)
    robots = Robots(client, agent)
    assert [path for path in ("/", "/a", "/b") if robots.allows(there.url + path)] == open_paths.split()
    assert there.paths() == ["/robots.txt"]
    assert Robots(client, agent, heard=False).allows(f"{there.url}/a")


@pytest.mark.parametrize(
    ("rule", "spacing"),
    [
        ("Crawl-delay: 4", 4), ("Request-rate: 1/8", 8), ("Crawl-delay: 86400", 60), ("Crawl-delay: soon", None),
        ("Crawl-delay: -1", None), ("Request-rate: 0/5", None),
    ],
)  # fmt: skip
def test_the_distance_between_requests_is_kept(
    there: Site, client: HttpClient, naps: list[float], rule: str, spacing: float | None
) -> None:
    there.put("/robots.txt", f"User-agent: *\n{rule}\n")
    there.page("/a")
    assert Robots(client, "librarian").allows(f"{there.url}/a")
    naps.clear()
    client.get(f"{there.url}/a")
    client.get(f"{there.url}/a")
    assert naps == ([pytest.approx(spacing, abs=1)] if spacing else [])


def test_a_server_in_trouble_is_asked_for_its_rules_once(there: Site, client: HttpClient) -> None:
    there.put("/robots.txt", status=503)
    robots = Robots(client, "librarian")
    for _ in range(3):
        with pytest.raises(FetchFailed):
            robots.allows(f"{there.url}/a")
    assert there.paths() == ["/robots.txt"]


def test_a_huge_robots_txt_is_read_up_to_a_limit(there: Site, client: HttpClient) -> None:
    there.put("/robots.txt", "User-agent: *\nDisallow: /a\n" + "#" * 600_000 + "\nDisallow: /b\n")
    robots = Robots(client, "librarian")
    assert not robots.allows(f"{there.url}/a")
    assert robots.allows(f"{there.url}/b")
