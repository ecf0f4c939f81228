from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.sources.crawling.links import MAX_BYTES, MAX_LINKS, Told, told

AT = "http://docs.example/a/b"


def read(page: str | bytes, **headers: str) -> Told:
    content = page.encode() if isinstance(page, str) else page
    return told(content, AT, {name.replace("_", "-"): value for name, value in headers.items()}, is_html=True)


@pytest.mark.parametrize(
    ("page", "links"),
    [
        ('<a href="c">x</a><A HREF=/d>y</A><a>z</a><a href="">w</a>', ["/a/c", "/d"]),
        ("<a href=c><a href='c#x'>", ["/a/c"]),
        (
            "<area href=c><iframe src=d></iframe><frame src=e><img src=f.png><script src=g.js></script>",
            ["/a/c", "/a/d", "/a/e"],
        ),
        ('<link rel="next" href="p2"><link rel="stylesheet" href="s.css"><link rel="icon" href="i.ico">', ["/a/p2"]),
        ('<base href="/deep/"><base href="/other/"><a href=c>', ["/deep/c"]),
        ('<a rel="noopener NOFOLLOW" href=c><a rel="next" href=d>', ["/a/d"]),
        ('<meta http-equiv="Refresh" content="0; URL=\'/moved\'">', ["/moved"]),
        ("<!-- <a href=c> --><script>'<a href=d>'</script><a href=e>", ["/a/e"]),
        ("<a href='&#x63;&amp;d'>", ["/a/c&d"]),
        ("<a href='javascript:x'><a href='mailto:a@b'><a href='http://u:p@x/'><a href='tel:1'>", []),
        ("<p>" * 5_000 + "<a href=c>", ["/a/c"]),
        ("no page at all", []),
        ("", []),
    ],
)
def test_links_are_found(page: str, links: list[str]) -> None:
    assert [link.removeprefix("http://docs.example") for link in read(page).links] == links


def test_the_encoding_of_the_page_is_heard() -> None:
    page = '<a href="/é">'
    expected = ("http://docs.example/%C3%A9",)
    assert read(page.encode("latin-1"), content_type="text/html; charset=iso-8859-1").links == expected
    assert read(b"<meta charset=iso-8859-1>" + page.encode("latin-1")).links == expected
    assert read(page, content_type="text/html; charset=utf-8").links == expected
    assert read(page.encode("utf-16"), content_type="text/html; charset=utf-16").links == expected
    assert read(b"<a href=c>", content_type="text/html; charset=klingon").links == ("http://docs.example/a/c",)


def test_what_a_page_says_of_itself() -> None:
    assert read('<link rel="Canonical" href="/x">').canonical == "http://docs.example/x"
    assert read("", link='</first>; rel=next, </x>; rel="canonical"').canonical == "http://docs.example/x"
    assert read('<meta name=robots content="noindex, NoFollow">') == Told(nofollow=True, noindex=True)
    assert read('<meta name=robots content="none">') == Told(nofollow=True, noindex=True)
    assert read("", x_robots_tag="noindex") == Told(noindex=True)
    assert read('<meta name=robots content="index, follow, max-snippet:-1">') == Told()


def test_only_html_has_links() -> None:
    assert told(b"<a href=c>", AT, {}, is_html=False) == Told()


def test_a_page_of_a_million_links_is_read_up_to_a_limit() -> None:
    page = b"".join(b"<a href=%d>x</a>" % n for n in range(50_000))
    assert len(read(page).links) == MAX_LINKS


@pytest.mark.parametrize(
    "unit",
    [b"<div>", b"<", b"<!--", b"&", b"\0", b"<a ", b"<a href='", b"<![CDATA[", b"</p>", b"<b><p>", b"\xff", b"x=1 "],
)
def test_hostile_pages_say_nothing(unit: bytes) -> None:
    assert told(unit * (300_000 // len(unit)), AT, {}, is_html=True) == Told()


def test_what_stands_behind_the_limit_is_not_read() -> None:
    assert read(b"<a href=c>" + b" " * MAX_BYTES + b"<a href=d>").links == ("http://docs.example/a/c",)


@given(st.binary(max_size=300), st.text(max_size=60))
def test_any_bytes_are_read(page: bytes, header: str) -> None:
    found = told(page, AT, {"content-type": header, "link": header, "x-robots-tag": header}, is_html=True)
    assert all(link.startswith("http") for link in found.links)
