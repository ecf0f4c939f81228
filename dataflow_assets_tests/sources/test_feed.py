from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import FetchFailed, SourceUnavailable
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.source_settings import FeedSource as FeedSettings
from dataflow_assets.sources.base import Context, Item
from dataflow_assets.sources.feed import FeedSource
from dataflow_assets.sources.feed_entries import MAX_BYTES, FeedUnreadable, read_feed
from dataflow_assets.stages.read import read_document
from dataflow_assets_tests.sources.small_server import Answer, Asked, SmallServer, small_server

RSS = """<?xml version="1.0"?>
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/">
<channel><title>News &amp; more</title><link>https://news.example/</link><language>en</language>
<item>
  <title>Release &lt;b&gt;2.0&lt;/b&gt; &amp;amp; later</title><link>https://news.example/2</link>
  <guid isPermaLink="false">tag:2</guid><dc:creator>Ada L.</dc:creator><category>release</category><category>news</category>
  <pubDate>Tue, 02 Jan 2024 03:04:05 +0100</pubDate>
  <description>Short.</description>
  <content:encoded><![CDATA[<h2>What is new</h2><p>It is <em>faster</em>; see <a href="/notes">notes</a>.</p>
  <ul><li>one</li><li>two</li></ul><script>alert(1)</script>]]></content:encoded>
</item>
<item><title>Old</title><link>https://news.example/1</link><description>Plain words, 1 &lt; 2 and 3 &gt; 2.</description></item>
</channel></rss>"""
ATOM = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title>Log</title><id>urn:feed</id><updated>2024-05-01T00:00:00Z</updated>
<entry><title type="text">A &lt;generic&gt; title</title><id>urn:1</id><link href="https://log.example/1"/>
<author><name>Bo</name></author><author><name>Cy</name></author><category term="t1"/>
<published>2024-01-01T00:00:00Z</published><updated>2024-02-01T00:00:00Z</updated>
<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>Body of <code>one</code>.</p></div></content></entry>
</feed>"""


def read(content: bytes | None, uri: str = "https://h/x") -> Any:
    assert content is not None
    return read_document(content, source_uri=uri, media_type="text/markdown", settings=ReadingSettings())


def test_an_rss_entry_becomes_markdown_with_what_is_known_of_it() -> None:
    new, old = read_feed(RSS.encode(), base="https://news.example/feed")
    document = read(new.content)
    assert document.title == "Release 2.0 & later"
    assert "What is new" in document.text
    assert "[notes](https://news.example/notes)" in document.text
    assert "- one\n- two" in document.text
    assert "alert" not in document.text
    assert document.metadata["date"] == "2024-01-02T02:04:05Z"
    assert document.metadata["authors"] == ["Ada L."]
    assert {"release", "news"} <= set(document.tags)
    assert document.metadata["front_matter"]["url"] == "https://news.example/2"
    assert document.metadata["front_matter"]["feed"] == "News & more"
    assert (new.id, new.link) == ("tag:2", "https://news.example/2")
    assert old.id == "https://news.example/1"
    assert read(old.content).text.strip() == "Plain words, 1 < 2 and 3 > 2."


def test_an_atom_entry_keeps_its_authors_and_both_times() -> None:
    (entry,) = read_feed(ATOM.encode())
    document = read(entry.content)
    assert "Body of `one`." in document.text
    assert document.metadata["authors"] == ["Bo", "Cy"]
    assert document.metadata["date"] == "2024-01-01T00:00:00Z"
    assert document.metadata["front_matter"]["updated"] == "2024-02-01T00:00:00Z"


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "utf-8-sig"])
def test_encodings_are_heard(encoding: str) -> None:
    text = RSS.replace('version="1.0"', f'version="1.0" encoding="{encoding.removesuffix("-sig")}"', 1)
    (new, _) = read_feed(text.replace("faster", "größer").encode(encoding))
    assert "größer" in read(new.content).text


def test_of_entries_with_one_id_the_first_is_taken_and_one_without_is_known_by_its_words() -> None:
    items = "<item><guid>1</guid><title>new</title></item><item><guid>1</guid><title>old</title></item>"
    items += "<item><title>only words</title></item><item></item>"
    first, words, nothing = read_feed(f"<rss version='2.0'><channel>{items}</channel></rss>".encode())
    assert read(first.content).title == "new"
    assert words.id.startswith("sha256:")
    assert nothing.content is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html><body>404, but politely</body></html>", "neither RSS nor Atom"),
        (b"", "neither RSS nor Atom"),
        (RSS[: RSS.index("<item><title>Old")].encode(), "not whole"),
        (RSS[:-12].encode(), "not whole"),
        (RSS[: RSS.index("</rss")].encode(), "not whole"),  # RSS 1.0 has its items after the channel
        (b" " * (MAX_BYTES + 1), "more than"),
    ],
)
def test_what_is_no_whole_feed_is_said_to_be_none(content: bytes, said: str) -> None:
    with pytest.raises(FeedUnreadable, match=said):
        read_feed(content)


def test_a_feed_that_is_no_sound_xml_but_whole_is_read_loosely() -> None:
    new, old = read_feed(RSS.replace("Plain words", "Plain & words &nbsp;").encode())
    assert "Plain & words" in read(old.content).text
    assert "What is new" in read(new.content).text


@given(st.integers(0, len(RSS) - 1))
def test_no_cut_feed_looks_whole(end: int) -> None:
    with pytest.raises(FeedUnreadable):
        read_feed(RSS[: min(end, RSS.rindex("</rss") + 5)].encode())


HOSTILE = {
    "laughs": "<!DOCTYPE l [<!ENTITY a 'lol'>"
    + "".join(f"<!ENTITY {chr(98 + i)} '{f'&{chr(97 + i)};' * 10}'>" for i in range(9))
    + "]><rss version='2.0'><channel><item><title>&j;</title></item></channel></rss>",
    "external": "<!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><rss version='2.0'><channel>"
    "<item><guid>1</guid><title>t &x;</title></item></channel></rss>",
    "deep": "<rss version='2.0'><channel><item><title>" + "<a>" * 20_000 + "</channel></rss>",
    "deep html": "<rss version='2.0'><channel><item><description>"
    + "&lt;div&gt;" * 5_000
    + "word</description></item></channel></rss>",
    "open": "<rss version='2.0'><channel><item><title>" + "<![CDATA[" * 20_000 + "</channel></rss>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_feeds_cost_little_and_tell_nothing(name: str) -> None:
    try:
        entries = read_feed(HOSTILE[name].encode())
    except FeedUnreadable:
        return
    assert sum(len(entry.content or b"") for entry in entries) < 1_000_000
    assert not any(b"root:" in (entry.content or b"") for entry in entries)


@given(st.binary(max_size=300))
def test_noise_is_read_or_refused(noise: bytes) -> None:
    with contextlib.suppress(FeedUnreadable):
        read_feed(b"<rss version='2.0'><channel><item><title>" + noise + b"</title></item></channel></rss>")


class Site:
    """A feed and pages, with ETags."""

    def __init__(self, server: SmallServer) -> None:
        self.server = server
        self.pages: dict[str, Answer] = {}
        self.bodies = 0
        server.answer = self.answer

    def feed(self, *entries: tuple[str, str], path: str = "/feed") -> None:
        items = "".join(
            f"<item><guid>{name}</guid><title>{name}</title><link>{self.server.url}/{name}</link>"
            f"<description>{text}</description></item>"
            for name, text in entries
        )
        body = f"<rss version='2.0'><channel><title>F</title>{items}</channel></rss>".encode()
        self.pages[path] = Answer(body, 200, {"ETag": f'"{hashlib.sha256(body).hexdigest()[:8]}"'})

    def answer(self, asked: Asked) -> Answer:
        answer = self.pages.get(asked.path, Answer(b"gone", 404))
        tag = answer.headers.get("ETag")
        if tag is not None and asked.headers.get("if-none-match") == tag:
            return Answer(b"", 304, answer.headers)
        self.bodies += 1
        return answer


@pytest.fixture
def site() -> Iterator[Site]:
    with small_server(lambda asked: Answer()) as server:
        yield Site(server)


@pytest.fixture
def make(tmp_path: Path, site: Site) -> Callable[..., FeedSource]:
    def made(*urls: str, **settings: Any) -> FeedSource:
        named = [url if not url.startswith("/") else site.server.url + url for url in urls or ("/feed",)]
        whole = {"type": "feed", "urls": named, "retries": 0, "allow_hosts": ["127.0.0.1"], **settings}
        return FeedSource(
            FeedSettings.model_validate(whole, strict=False), Context(tmp_path, tmp_path / "cache", "news")
        )

    return made


def test_a_feed_that_did_not_change_is_not_sent_again(make: Callable[..., FeedSource], site: Site) -> None:
    site.feed(("a", "one"), ("b", "two"))
    source = make()
    first = list(source.list())
    assert [b"one" in source.fetch(first[0]).content, b"two" in source.fetch(first[1]).content] == [True, True]  # type: ignore[operator]
    source.stored()
    assert list(make().list()) == first
    assert site.bodies == 1
    assert make().fetch(first[0]).media_type == "text/markdown"  # listed, but another process may fetch
    site.feed(("a", "one"), ("b", "TWO"), ("c", "three"))
    again = list(make().list())
    assert [item in first for item in again] == [True, False, False]


def test_a_lost_cache_only_costs_another_request(make: Callable[..., FeedSource], site: Site, tmp_path: Path) -> None:
    site.feed(("a", "one"))
    source = make()
    (item,) = source.list()
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(b"damaged by a kill" * 100)
    other = make()
    assert b"one" in other.fetch(item).content  # type: ignore[operator]
    assert site.bodies == 2
    site.feed(("a", "changed"))
    other.stored()
    with pytest.raises(FetchFailed, match="changed or dropped"):
        other.fetch(item)


def test_entries_that_a_feed_drops_stay_unless_told_otherwise(make: Callable[..., FeedSource], site: Site) -> None:
    assert make().partial
    assert not make(keep=False).partial


def test_what_came_from_a_feed_that_left_the_catalog_leaves(make: Callable[..., FeedSource], site: Site) -> None:
    site.feed(("a", "one"))
    site.feed(("b", "two"), path="/other")
    source = make("/feed", "/other")
    keys = {item.path_key for item in source.list()}
    source.stored()
    left = make("/feed")
    gone = [item for item in left.list() if item.gone]
    assert {item.path_key for item in gone} == {key for key in keys if "/other#" in key}
    assert [item.gone for item in make("/feed").list()] == [False, True]  # until it is stored
    left.stored()
    assert [item.gone for item in make("/feed").list()] == [False]


@pytest.mark.parametrize(
    "trouble", [Answer(b"", 503), Answer(b"", 404), Answer(b"<rss><channel><item>"), Answer(b"x" * 99, cut=True)]
)
def test_a_feed_that_fails_deletes_nothing(make: Callable[..., FeedSource], site: Site, trouble: Answer) -> None:
    site.feed(("a", "one"))
    site.pages["/bad"] = trouble
    with pytest.raises(SourceUnavailable, match="Nothing was deleted"):
        list(make("/feed", "/bad", keep=False).list())
    with pytest.raises(SourceUnavailable, match="Nothing was deleted"):
        list(make("/bad").list())
    source = make("/bad", "/feed")
    assert len(list(source.list())) == 1
    assert "/bad" in source.notes[0]


def test_a_bad_body_is_not_kept_under_its_etag(make: Callable[..., FeedSource], site: Site) -> None:
    site.feed(("a", "one"))
    whole = site.pages["/feed"]
    site.pages["/feed"] = Answer(whole.body[:60], 200, whole.headers)
    with pytest.raises(SourceUnavailable):
        list(make().list())
    site.pages["/feed"] = whole
    assert len(list(make().list())) == 1


def test_the_pages_that_entries_link_to_are_fetched(make: Callable[..., FeedSource], site: Site) -> None:
    site.feed(("a", "one"), ("b", "two"))
    site.pages["/a"] = Answer(b"<html><p>Whole page</p></html>", 200, {"Content-Type": "text/html; charset=utf-8"})
    source = make(pages=True)
    items = list(source.list())
    found = source.fetch(items[0])
    assert (found.content, found.media_type) == (b"<html><p>Whole page</p></html>", "text/html; charset=utf-8")
    assert items[0].uri == f"{site.server.url}/a"
    with pytest.raises(Exception, match="is not there"):
        source.fetch(items[1])


def test_a_private_page_is_not_asked_for(make: Callable[..., FeedSource], tmp_path: Path) -> None:
    (tmp_path / "feed.xml").write_text(RSS.replace("https://news.example/2", "http://169.254.169.254/latest"))
    source = make("feed.xml", pages=True)
    item = next(iter(source.list()))
    with pytest.raises(Exception, match=r"169\.254\.169\.254"):
        source.fetch(item)


def test_a_secret_in_the_query_of_a_feed_stands_in_no_item(make: Callable[..., FeedSource], site: Site) -> None:
    site.server.answer = lambda asked: Answer(RSS.replace("<link>https://news.example/1</link>", "").encode())
    source = make("/feed?token=s3cret", "/feed?token=other")
    items = list(source.list())
    assert len({item.path_key for item in items}) == len({item.uri for item in items}) == 4
    assert "s3cret" not in repr(items)
    assert source.fetch(items[1]).content


def test_feeds_in_files_are_read_relative_to_the_catalog(make: Callable[..., FeedSource], tmp_path: Path) -> None:
    (tmp_path / "feeds").mkdir()
    (tmp_path / "feeds" / "a.xml").write_text(ATOM)
    source = make("feeds/a.xml")
    (item,) = source.list()
    assert (item.path_key, item.uri) == ("feeds/a.xml#urn:1", "https://log.example/1")
    assert source.quick
    assert read(source.fetch(item).content).title.startswith("A")  # type: ignore[arg-type]


def test_a_file_that_is_none_is_no_listing(make: Callable[..., FeedSource], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing.xml", "pipe", ".", "a\0b"):
        with pytest.raises(SourceUnavailable, match="cannot be read"):
            list(make(name).list())


def test_an_entry_without_anything_or_too_large_is_an_item_with_a_problem(
    make: Callable[..., FeedSource], tmp_path: Path
) -> None:
    items = f"<item><guid>1</guid></item><item><guid>2</guid><description>{'x' * 5_000}</description></item>"
    (tmp_path / "feed.xml").write_text(f"<rss version='2.0'><channel>{items}</channel></rss>")
    nothing, large = make("feed.xml", max_bytes=6_000).list()
    assert nothing.problem is not None
    assert "says nothing" in nothing.problem
    assert large.problem is None
    _, large = make("feed.xml", max_bytes=5_000).list()
    assert large.problem is not None
    assert "max_bytes" in large.problem


def test_odd_ids_are_one_line_and_links_lose_their_credentials(make: Callable[..., FeedSource], tmp_path: Path) -> None:
    items = "<item><guid>a&#10;b</guid><link>https://u:secret@h.example/p</link><title>t</title></item>"
    items += f"<item><guid>{'g' * 1_000}</guid><link>javascript:alert(1)</link><title>t2</title></item>"
    (tmp_path / "feed.xml").write_text(f"<rss version='2.0'><channel>{items}</channel></rss>")
    source = make("feed.xml")
    listed: list[Item] = list(source.list())
    assert listed[0].uri == "https://h.example/p"
    assert all(item.path_key.isprintable() and len(item.path_key) < 400 for item in listed)
    assert not any(b"secret" in source.fetch(item).content for item in listed)  # type: ignore[operator]
