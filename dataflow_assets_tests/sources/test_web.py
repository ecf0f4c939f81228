from __future__ import annotations

import gzip
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dataflow_assets.errors import CredentialError, FetchFailed, ItemRefused, SourceUnavailable
from dataflow_assets.source_settings import WebSource as WebSettings
from dataflow_assets.sources.base import Context, Fetched, Item
from dataflow_assets.sources.http import HttpClient
from dataflow_assets.sources.web import WebSource
from dataflow_assets_tests.sources.site import Proxy, Site, proxy, serving, site

Opened = Callable[..., WebSource]


@pytest.fixture
def there() -> Iterator[Site]:
    with site() as made:
        yield made


@pytest.fixture
def web(there: Site, tmp_path: Path) -> Opened:
    """Open the source, as a new process does: nothing is kept but the folder of its own."""

    def opened(client: HttpClient | None = None, **settings: Any) -> WebSource:
        found = {"type": "web", "allow_hosts": ("127.0.0.1",), "retries": 0, "requests_per_second": 1e6, **settings}
        for name in ("sitemap", "crawl", "within"):
            if name in settings:
                found[name] = there.url + settings[name]
        if "urls" in settings:
            found["urls"] = tuple(url if "://" in url else there.url + url for url in settings["urls"])
        made = WebSettings(**found)
        return WebSource(made, Context(tmp_path, tmp_path / "cache", "lib"), client)

    return opened


def paths(there: Site, items: list[Item]) -> list[str]:
    return [item.path_key.removeprefix(there.url) for item in items if not item.gone]


def content(source: WebSource, item: Item) -> bytes:
    found = source.fetch(item).content
    assert isinstance(found, bytes)
    return found


def run(source: WebSource, before: dict[str, Item] | None = None) -> dict[str, Item]:
    """List, fetch what is new or changed, and have it stored."""
    items = list(source.list())
    wanted = [item for item in items if item.problem is None and not item.gone and item not in (before or {}).values()]
    for _, result in source.fetch_all(wanted):
        assert isinstance(result, Fetched)
    source.stored()
    return {item.path_key: item for item in items}


def sitemap(there: Site, *paths: str, at: str = "/sitemap.xml") -> None:
    named = "".join(f"<url><loc>{there.url if p.startswith('/') else ''}{p}</loc></url>" for p in paths)
    there.put(at, f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{named}</urlset>')


# ---- what is asked, and what is fetched


def test_pages_that_are_named_are_listed_as_they_are(there: Site, web: Opened) -> None:
    there.page("/b?x=1")
    there.put("/a.txt", "Grüße".encode("latin-1"), headers={"Content-Type": 'Text/Plain; Charset="ISO-8859-1"'})
    source = web(urls=("/b?x=1#part", "/a.txt", "/b?x=1"))
    items = list(source.list())
    assert paths(there, items) == ["/a.txt", "/b?x=1"]
    assert [item.media_type for item in items] == ["text/plain; charset=iso-8859-1", "text/html; charset=utf-8"]
    assert items[0].size_bytes == 5
    assert content(source, items[0]) == "Grüße".encode("latin-1")
    assert there.paths() == ["/robots.txt", "/b?x=1", "/a.txt"] or there.paths() == ["/robots.txt", "/a.txt", "/b?x=1"]


@pytest.mark.parametrize("validators", [True, False])
def test_a_second_run_fetches_nothing_and_a_change_fetches_one(there: Site, web: Opened, validators: bool) -> None:
    for path in ("/one", "/two"):
        there.page(path, validators=validators)
    first = run(web(urls=("/one", "/two")))
    there.asked.clear()
    assert run(web(urls=("/one", "/two")), first) == first
    assert (there.paths(304) == there.paths()[1:]) == validators
    there.page("/two", text="changed", validators=validators)
    source = web(urls=("/one", "/two"))
    changed = {item.path_key: item for item in source.list()}
    assert [url for url in changed if changed[url] != first[url]] == [f"{there.url}/two"]
    there.asked.clear()
    assert b"changed" in content(source, changed[f"{there.url}/two"])
    assert there.asked == []


def test_a_page_that_is_sent_anew_with_the_same_body_did_not_change(there: Site, web: Opened) -> None:
    there.page("/one", headers={"ETag": '"1"'}, validators=False)
    first = run(web(urls=("/one",)))
    there.page("/one", headers={"ETag": '"2"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, validators=False)
    assert run(web(urls=("/one",)), first) == first
    run(web(urls=("/one",)), first)
    sent = there.asked[-1].headers
    assert (sent["if-none-match"], sent["if-modified-since"]) == ('"2"', "Wed, 21 Oct 2015 07:28:00 GMT")


def test_a_page_that_is_gone_leaves(there: Site, web: Opened) -> None:
    for path in ("/one", "/two", "/three"):
        there.page(path)
    run(web(urls=("/one", "/two", "/three")))
    there.put("/two", status=410)
    del there.replies["/three"]
    assert paths(there, list(run(web(urls=("/one", "/two", "/three"))).values())) == ["/one"]


def test_a_page_that_fails_in_passing_stays_as_it_was(there: Site, web: Opened) -> None:
    for path in ("/one", "/two"):
        there.page(path)
    first = run(web(urls=("/one", "/two")))
    there.put("/two", status=503)
    assert {item.path_key: item for item in web(urls=("/one", "/two")).list()} == first


def test_a_page_that_was_never_had_is_listed_and_fails(there: Site, web: Opened) -> None:
    there.page("/one")
    there.put("/two.pdf", status=500)
    source = web(urls=("/one", "/two.pdf"))
    two = list(source.list())[1]
    assert (two.fingerprint, two.problem, two.media_type) == (None, None, "application/pdf")
    with pytest.raises(FetchFailed, match="status 500"):
        source.fetch(two)
    there.put("/two.pdf", b"%PDF-", headers={"Content-Type": "application/pdf"})
    assert content(web(urls=("/one",)), two) == b"%PDF-"


@pytest.mark.parametrize(
    ("reply", "said"), [({"status": 403}, "not for everyone"), ({"body": b"x" * 2000}, "more than")]
)
def test_a_page_that_is_refused_has_a_problem(there: Site, web: Opened, reply: dict[str, Any], said: str) -> None:
    there.page("/one")
    there.put("/two", **reply)
    two = list(web(urls=("/one", "/two"), max_bytes=1000).list())[1]
    assert two.problem is not None
    assert said in two.problem
    assert two.fingerprint is not None


def test_a_redirect_of_a_named_page_is_followed(there: Site, web: Opened) -> None:
    there.redirect("/old", "/new")
    there.page("/new")
    first = run(web(urls=("/old",)))
    assert list(first) == [f"{there.url}/old"]
    assert run(web(urls=("/old",)), first) == first
    assert there.paths(304) == ["/new"]
    # That another page did not change says nothing of this one.
    there.page("/other", headers={"ETag": there.asked[-1].headers["if-none-match"]}, validators=False)
    there.redirect("/old", "/other")
    there.replies["/other"].status = 304
    source = web(urls=("/old",))
    assert list(source.list()) == list(first.values())
    assert there.paths(304) == ["/new", "/other", "/other"]


def test_addresses_that_are_none_or_private_have_a_problem(there: Site, web: Opened) -> None:
    there.page("/one")
    items = list(web(urls=("/one", "http://10.0.0.1/", "http://[::/"), robots=False).list())
    problems = [item.problem for item in items if item.problem]
    assert len(problems) == 2
    assert "allow_hosts" in problems[0]
    assert "no address" in problems[1]


@pytest.mark.parametrize("url", ["http://user:secret@docs.example/", "https://user@docs.example"])
def test_a_catalog_holds_no_credentials(url: str) -> None:
    with pytest.raises(ValueError, match="without a user name") as caught:
        WebSettings(urls=(url,))
    assert "Traceback" not in str(caught.value)


# ---- what is lost


def test_a_lost_folder_costs_requests_and_nothing_else(there: Site, web: Opened, tmp_path: Path) -> None:
    there.page("/one")
    first = run(web(urls=("/one",)))
    shutil.rmtree(tmp_path / "cache")
    assert content(web(urls=("/one",)), first[f"{there.url}/one"]) == there.replies["/one"].body
    assert run(web(urls=("/one",))) == first


def test_a_page_that_changed_since_it_was_listed_is_not_taken_for_it(there: Site, web: Opened) -> None:
    there.page("/one", text="first")
    (item,) = run(web(urls=("/one",))).values()
    there.page("/one", text="second")
    with pytest.raises(FetchFailed, match="changed since"):
        web(urls=("/one",)).fetch(item)
    there.put("/one", status=404)
    with pytest.raises(FetchFailed, match="went away"):
        web(urls=("/one",)).fetch(item)
    there.put("/one", status=451)
    with pytest.raises(ItemRefused):
        web(urls=("/one",)).fetch(item)


def test_a_killed_listing_costs_nothing_twice(there: Site, web: Opened) -> None:
    there.page("/one")
    there.page("/two")
    list(web(urls=("/one",)).list())  # and then the process dies
    source = web(urls=("/one", "/two"))
    items = list(source.list())
    assert [content(source, item) for item in items] == [there.replies["/one"].body, there.replies["/two"].body]
    assert there.paths(200) == ["/one", "/two"]


def test_bodies_and_pages_that_left_are_not_kept(there: Site, web: Opened, tmp_path: Path) -> None:
    there.page("/one")
    there.page("/two")
    run(web(urls=("/one", "/two")))
    run(web(urls=("/one",)))
    with sqlite3.connect(tmp_path / "cache/pages.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM contents").fetchone() == (0,)
        kept = [key for (key,) in connection.execute("SELECT key FROM facts WHERE key LIKE 'page:%'")]
    connection.close()
    assert kept == [f"page:{there.url}/one"]


# ---- robots.txt


def test_robots_txt_is_obeyed(there: Site, web: Opened) -> None:
    rules = "User-agent: *\nDisallow: /\n\nUser-agent: librarian\nDisallow: /private\nCrawl-delay: 3\n"
    there.put("/robots.txt", rules)
    there.page("/docs/", "/docs/a", "/private/b", "/docs/c")
    there.page("/docs/a")
    there.redirect("/docs/c", "/private/b")
    there.page("/private/b")
    naps: list[float] = []
    settings: dict[str, Any] = {"crawl": "/docs/", "within": "/", "user_agent": "Librarian/1.0 (+https://x.example)"}
    made = WebSettings(urls=("http://x/",), allow_hosts=("127.0.0.1",), retries=0)
    client = HttpClient(made, user_agent=settings["user_agent"], sleep=naps.append)
    source = web(client, **settings)
    assert paths(there, list(source.list())) == ["/docs/", "/docs/a"]
    assert "/private/b" not in there.paths()
    assert any("closed by robots.txt" in note for note in source.notes)
    assert naps[0] == pytest.approx(3, abs=1)
    assert paths(there, list(web(**settings, robots=False).list())) == ["/docs/", "/docs/a", "/private/b"]


def test_a_robots_txt_that_is_not_there_closes_nothing(there: Site, web: Opened) -> None:
    there.page("/one")
    for status in (404, 403, 401, 410):
        there.put("/robots.txt", status=status)
        assert len(list(web(urls=("/one",)).list())) == 1


def test_a_robots_txt_that_fails_makes_the_listing_unavailable(there: Site, web: Opened) -> None:
    there.page("/one")
    there.put("/robots.txt", status=500)
    with pytest.raises(SourceUnavailable, match="What the site allows cannot be told"):
        list(web(urls=("/one",)).list())
    assert there.paths() == ["/robots.txt"]


def test_a_crawl_that_robots_txt_closes_says_so(there: Site, web: Opened) -> None:
    there.put("/robots.txt", "User-agent: *\nDisallow: /")
    there.page("/")
    with pytest.raises(SourceUnavailable, match="robots: false"):
        list(web(crawl="/").list())


# ---- sitemaps


def test_a_sitemap_names_the_pages(there: Site, web: Opened) -> None:
    for path in ("/a", "/b", "/c"):
        there.page(path)
    there.put("/p.png", b"png", headers={"Content-Type": "image/png"})
    sitemap(there, "/a", "/b", "/b#x", "/p.png", "http://elsewhere.example/x", "javascript:x")
    source = web(sitemap="/sitemap.xml", exclude=("*/a",))
    assert paths(there, list(source.list())) == ["/b", "/p.png"]
    assert any("of another site than their sitemap" in note for note in source.notes)


def test_an_index_of_sitemaps_is_read_packed_or_not(there: Site, web: Opened) -> None:
    for path in ("/a", "/b", "/c"):
        there.page(path)
    sitemap(there, "/a", at="/one.xml")
    there.put("/two.xml.gz", gzip.compress(f"{there.url}/b\n{there.url}/c\n".encode()))
    inner = "".join(
        f"<sitemap><loc>{there.url}/{name}</loc></sitemap>" for name in ("one.xml", "two.xml.gz", "index.xml")
    )
    there.put("/index.xml", f"<sitemapindex>{inner}</sitemapindex>")
    assert paths(there, list(web(sitemap="/index.xml").list())) == ["/a", "/b", "/c"]
    there.put("/one.xml", status=404)
    with pytest.raises(SourceUnavailable, match="sitemap cannot be had"):
        list(web(sitemap="/index.xml").list())


def test_a_sitemap_is_taken_up_to_a_limit(there: Site, web: Opened) -> None:
    for n in range(5):
        there.page(f"/{n}")
    sitemap(there, *(f"/{n}" for n in range(5)))
    source = web(sitemap="/sitemap.xml", max_pages=3)
    assert paths(there, list(source.list())) == ["/0", "/1", "/2"]
    assert any("max_pages" in note for note in source.notes)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<urlset><url><loc>http://x/</loc></url>",
        "<html><body>Sign in</body></html>",
        "no sitemap",
        b"\x1f\x8b\x08broken",
        '<!DOCTYPE x [<!ENTITY a "b">]><urlset><url><loc>&a;</loc></url></urlset>',
    ],
)
def test_a_sitemap_that_is_none_makes_the_listing_unavailable(there: Site, web: Opened, body: str | bytes) -> None:
    there.put("/sitemap.xml", body)
    with pytest.raises(SourceUnavailable, match="Nothing was deleted"):
        list(web(sitemap="/sitemap.xml").list())


# ---- crawls


def test_a_crawl_follows_links_within_its_folder(there: Site, web: Opened) -> None:
    there.page("/docs/index.html", "guide/", "guide/#top", "../other", "//elsewhere.example/x", "mailto:a@b", "a b")
    there.page("/docs/guide/", "next", "/docs/index.html#x", text="Guide")
    there.page("/docs/guide/next", "../logo.png", "picture", "file.pdf", "archive.zip", "style")
    there.page("/docs/a%20b")
    there.page("/other")
    there.put("/docs/guide/picture", b"png", headers={"Content-Type": "image/png"})
    there.put("/docs/guide/style", b"css", headers={"Content-Type": "text/css"})
    there.put("/docs/guide/file.pdf", b"%PDF-1", headers={"Content-Type": "application/pdf"})
    source = web(crawl="/docs/index.html")
    items = list(source.list())
    assert paths(there, items) == [
        "/docs/a%20b", "/docs/guide/", "/docs/guide/file.pdf", "/docs/guide/next", "/docs/index.html",
    ]  # fmt: skip
    assert {"/docs/logo.png", "/docs/guide/archive.zip", "/other"}.isdisjoint(there.paths())
    assert source.notes == []
    first = {item.path_key: item for item in items}
    source.stored()
    there.asked.clear()
    assert run(web(crawl="/docs/index.html"), first) == first
    assert sorted(there.paths(200)) == ["/docs/guide/picture", "/docs/guide/style"]


def test_include_says_what_is_listed_and_exclude_what_is_not_even_asked(there: Site, web: Opened) -> None:
    there.page("/", "/a", "/b", "/c?print=1")
    there.page("/a", "/deep.html")
    there.page("/b", "/lost.html")
    for path in ("/deep.html", "/lost.html", "/c?print=1"):
        there.page(path)
    source = web(crawl="/", include=("*.html",), exclude=("*/b", "*?print=*"))
    assert paths(there, list(source.list())) == ["/deep.html"]
    assert {"/b", "/c?print=1"}.isdisjoint(there.paths())


def test_base_nofollow_and_noindex_are_heard(there: Site, web: Opened) -> None:
    there.put(
        "/",
        '<head><base href="/deep/"></head><a href=a>a</a><a rel="external nofollow" href=b>b</a>'
        "<a href=c>c</a><a href=d>d</a>",
    )
    there.page("/deep/a")
    there.page("/deep/b")
    there.page("/deep/c", "/deep/e", head='<meta name="Robots" content="NOINDEX, nofollow">')
    there.page("/deep/d", "/deep/e", headers={"X-Robots-Tag": "none"})
    there.page("/deep/e")
    source = web(crawl="/")
    assert paths(there, list(source.list())) == ["/", "/deep/a"]
    assert any("2 pages were left out, asking not to be indexed" in note for note in source.notes)
    assert paths(there, list(web(crawl="/", robots=False).list())) == ["/", "/deep/a", "/deep/c", "/deep/d", "/deep/e"]


def test_a_page_with_a_canonical_twin_is_left_out(there: Site, web: Opened) -> None:
    def canonical(path: str) -> str:
        return f'<link rel="canonical" href="{path}">'

    there.page("/", "/a?ref=1", "/a", "/b", "/c", "/d", "/e", head=canonical("/"))
    there.page("/a?ref=1", head=canonical("/a"))
    there.page("/a", head=canonical("/a"))
    there.page("/b", head=canonical("/c"))  # a circle: the first stays
    there.page("/c", head=canonical("/b"))
    there.page("/d", head=canonical("/nowhere"))  # nobody listed
    there.page("/e", headers={"Link": '</d>; rel="canonical"'})
    source = web(crawl="/")
    assert paths(there, list(source.list())) == ["/", "/a", "/b", "/d"]
    assert any("3 pages were left out, the same as another page" in note for note in source.notes)


def test_redirects_of_a_crawl_are_known_by_where_they_lead(there: Site, web: Opened) -> None:
    there.page("/docs/", "old", "new", "out")
    there.redirect("/docs/old", "/docs/new")
    there.redirect("/docs/out", "/elsewhere")
    there.page("/docs/new")
    there.page("/elsewhere")
    source = web(crawl="/docs/")
    first = list(source.list())
    assert paths(there, first) == ["/docs/", "/docs/new"]
    assert any("/docs/out" in note for note in source.notes)
    assert "/elsewhere" not in there.paths()
    source.stored()
    there.asked.clear()
    assert list(web(crawl="/docs/").list()) == first
    assert there.paths(200) == []


def test_a_crawl_starts_where_its_start_leads(there: Site, web: Opened) -> None:
    there.redirect("/docs", "/docs/")
    there.page("/docs/", "a", "/b")
    there.page("/docs/a")
    there.page("/b")
    assert paths(there, list(web(crawl="/docs").list())) == ["/docs/", "/docs/a"]
    there.redirect("/docs", "http://elsewhere.example/")
    with pytest.raises(SourceUnavailable, match=r"redirects to http://elsewhere\.example/"):
        list(web(crawl="/docs").list())


def test_a_start_outside_of_the_prefix_only_leads_there(there: Site, web: Opened) -> None:
    there.page("/", "/docs/a", "/b")
    there.page("/docs/a")
    assert paths(there, list(web(crawl="/", within="/docs/").list())) == ["/docs/a"]


def test_endless_sites_end(tmp_path: Path) -> None:
    endless = Site()

    def answer(handler: Any) -> None:
        path = handler.path.rstrip("/")
        if path != "/robots.txt":
            endless.page(handler.path, f"{path}/again/", f"?page={len(endless.asked)}", "/calendar/" + "x" * len(path))
        endless.answer(handler)

    with serving(answer) as endless.port:
        settings = {"allow_hosts": ("127.0.0.1",), "requests_per_second": 1e6, "retries": 0, "max_pages": 30}
        for limit, expected in ((20, 30), (0, 1)):
            made = WebSettings(crawl=f"{endless.url}/", max_depth=limit, **settings)
            source = WebSource(made, Context(tmp_path, tmp_path / "cache"))
            assert len(list(source.list())) == expected
            assert any("max_pages" in note for note in source.notes) == (expected == 30)


def test_a_folder_that_cannot_be_written_makes_the_listing_unavailable(there: Site, tmp_path: Path) -> None:
    there.page("/one")
    (tmp_path / "cache").write_text("a file")
    settings = WebSettings(urls=(f"{there.url}/one",), allow_hosts=("127.0.0.1",), retries=0, requests_per_second=1e6)
    made = WebSource(settings, Context(tmp_path, tmp_path / "away"))
    (item,) = made.list()
    with pytest.raises(SourceUnavailable, match="cannot be used"):
        list(WebSource(settings, Context(tmp_path, tmp_path / "cache")).list())
    there.asked.clear()
    assert content(WebSource(settings, Context(tmp_path, tmp_path / "cache")), item) == there.replies["/one"].body
    assert there.paths(200) == ["/one"]


# ---- crawls in trouble


def test_a_start_that_fails_makes_the_listing_unavailable(there: Site, web: Opened) -> None:
    for reply in ({"status": 500}, {"status": 404}, {"body": b"x", "headers": {"Content-Type": "image/png"}}):
        there.put("/", **reply)
        with pytest.raises(SourceUnavailable, match="starts"):
            list(web(crawl="/").list())


def test_a_page_that_fails_still_leads_where_it_led(there: Site, web: Opened) -> None:
    there.page("/", "/a", "/x", "/y")
    there.page("/x")
    there.page("/y")
    there.page("/a", "/b")
    there.page("/b")
    first = run(web(crawl="/"))
    there.put("/a", status=500)
    source = web(crawl="/")
    assert {item.path_key: item for item in source.list()} == first
    assert not source.partial


def test_most_pages_failing_makes_the_listing_unavailable(there: Site, web: Opened) -> None:
    there.page("/", *(f"/{n}" for n in range(9)))
    for n in range(9):
        there.page(f"/{n}")
    run(web(crawl="/"))
    for n in range(5):
        there.put(f"/{n}", status=503 if n % 2 else 403)
    assert len(list(web(crawl="/").list())) == 7  # two of ten in passing, three closed
    there.put("/5", status=500)
    with pytest.raises(SourceUnavailable, match="6 of 10 pages"):
        list(web(crawl="/").list())


def test_a_site_that_stops_answering_is_not_asked_for_every_page(there: Site, web: Opened) -> None:
    there.page("/", *(f"/{n}" for n in range(200)))
    for n in range(200):
        there.put(f"/{n}", status=503)
    with pytest.raises(SourceUnavailable, match="20 pages in a row"):
        list(web(crawl="/").list())
    assert len(there.asked) < 40


def test_what_stands_behind_a_page_never_seen_before_is_not_deleted(there: Site, web: Opened) -> None:
    there.page("/", "/a", "/b", "/c")
    for path in ("/a", "/b", "/c"):
        there.page(path)
    run(web(crawl="/"))
    there.page("/", "/new", "/c")  # /a and /b moved behind a page that fails now
    there.put("/new", status=500)
    there.put("/b", status=404)
    source = web(crawl="/")
    items = {item.path_key.removeprefix(there.url): item for item in source.list()}
    assert source.partial
    assert {path for path, item in items.items() if item.gone} == {"/b"}
    assert {path for path, item in items.items() if not item.gone} == {"/", "/c", "/new"}
    source.stored()
    there.page("/new", "/a")
    source = web(crawl="/")
    assert paths(there, list(source.list())) == ["/", "/a", "/c", "/new"]
    assert not source.partial


def test_pages_closed_to_everyone_are_left_out_of_a_crawl(there: Site, web: Opened) -> None:
    there.page("/", "/login", "/a")
    there.page("/a")
    there.put("/login", status=403)
    source = web(crawl="/")
    assert paths(there, list(source.list())) == ["/", "/a"]
    assert any("/login" in note for note in source.notes)


def test_credentials_that_no_page_takes_stop_the_run(there: Site, web: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIKI_TOKEN", "Bearer abcdef")
    settings: dict[str, Any] = {"headers": {"Authorization": "WIKI_TOKEN"}}
    for path in ("/a", "/b"):
        there.put(path, status=401)
    with pytest.raises(CredentialError, match="WIKI_TOKEN"):
        list(web(urls=("/a", "/b"), **settings).list())
    there.page("/a")
    items = list(web(urls=("/a", "/b"), **settings).list())
    assert [item.problem is None for item in items] == [True, False]


def test_named_pages_that_are_suddenly_closed_are_not_rejected(there: Site, web: Opened) -> None:
    for path in ("/a", "/b", "/c"):
        there.page(path)
    first = run(web(urls=("/a", "/b", "/c")))
    there.put("/a", status=403)
    assert [bool(item.problem) for item in web(urls=("/a", "/b", "/c")).list()] == [True, False, False]
    there.put("/b", status=403)
    with pytest.raises(SourceUnavailable, match="2 of 3 pages"):
        list(web(urls=("/a", "/b", "/c")).list())
    for path in ("/a", "/b", "/c"):  # all failing in passing: all stay as they were
        there.put(path, status=500)
    assert {item.path_key: item for item in web(urls=("/a", "/b", "/c")).list()} == first


def test_a_name_that_suddenly_stands_for_a_private_address_rejects_nothing(there: Site, tmp_path: Path) -> None:
    there.page("/a")
    url = f"http://docs.example.invalid:{there.port}/a"
    settings = WebSettings(urls=(url,), allow_hosts=("127.0.0.1",), retries=0, requests_per_second=1e6)

    def opened(address: str) -> WebSource:
        client = HttpClient(settings, resolve=lambda host, port: [address])
        return WebSource(settings, Context(tmp_path, tmp_path / "cache"), client)

    first = run(opened("127.0.0.1"))
    assert list(opened("10.0.0.1").list()) == list(first.values())


def test_a_crawl_takes_up_what_was_named_too(there: Site, web: Opened) -> None:
    there.page("/", "/a", "/old")
    there.page("/a", "/b")
    there.page("/b")
    there.redirect("/old", "/a")
    sitemap(there, "/b")
    source = web(urls=("/a", "/old"), sitemap="/sitemap.xml", crawl="/")
    items = list(source.list())
    assert paths(there, items) == ["/", "/a", "/b", "/old"]
    assert all(content(source, item) for item in items)


def test_no_secret_reaches_a_host_that_a_redirect_names(
    there: Site, web: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIKI_TOKEN", "Bearer abcdef")
    with site() as other:
        other.page("/x")
        there.redirect("/a", f"{other.url}/x")
        source = web(urls=("/a",), headers={"Authorization": "WIKI_TOKEN"})
        (item,) = source.list()
        assert content(source, item) == other.replies["/x"].body
        assert other.paths() == ["/robots.txt", "/x"]
        assert not any("authorization" in asked.headers for asked in other.asked)
    assert there.asked[-1].headers["authorization"] == "Bearer abcdef"


# ---- through a proxy


def test_a_site_behind_rotating_proxies(
    web: Opened, there: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.put("/", '<a href="/a">a</a>')
    there.page("/a")

    def reached(by: Proxy) -> list[str]:
        return [line.partition(" ")[2] for line in by.asked]

    names = {"docs.example.invalid": there.port}
    with proxy(names, "one:secret1") as one, proxy(names, "two:secret2") as two:
        for name, each in (("PROXY_ONE", one), ("PROXY_TWO", two)):
            monkeypatch.setenv(name, f"http://{each.credentials}@127.0.0.1:{each.port}")
        settings = WebSettings(
            crawl="http://docs.example.invalid/",
            proxies=("PROXY_ONE", "PROXY_TWO"),
            requests_per_second=1e6,
            retries=0,
        )

        def unknown(host: str, port: int) -> list[str]:
            raise OSError("unknown here")

        client = HttpClient(settings, resolve=unknown)
        source = WebSource(settings, Context(tmp_path, tmp_path / "cache"), client)
        items = list(source.list())
        assert [item.uri for item in items] == ["http://docs.example.invalid/", "http://docs.example.invalid/a"]
        assert len(reached(one)) + len(reached(two)) == 3
        assert abs(len(reached(one)) - len(reached(two))) == 1
        assert "secret" not in str(items)
        source.stored()
