from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.sources.crawling.addresses import Patterns, folder_of, joined, lies_within, normal, same_site

ADDRESS = st.builds(
    "{}://{}{}/{}".format,
    st.sampled_from(["http", "HTTPS", "https"]),
    st.sampled_from(["docs.example", "DOCS.example", "bücher.example", "[::1]"]),
    st.sampled_from(["", ":80", ":443", ":8080"]),
    st.text("ab./%7eE2ä ?&=#;+~", max_size=20),
)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTP://Docs.Example:80", "http://docs.example/"),
        ("https://docs.example:443/a#b", "https://docs.example/a"),
        ("http://docs.example:443/", "http://docs.example:443/"),
        ("http://docs.example/a/./b/../c", "http://docs.example/a/c"),
        ("http://docs.example/%7euser/%e4%2f", "http://docs.example/~user/%E4%2F"),
        ("http://docs.example/ä b?q=ü&utm_source=x", "http://docs.example/%C3%A4%20b?q=%C3%BC&utm_source=x"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("  http://docs.example/a\n/b  ", "http://docs.example/a/b"),
        ("http://docs.example/?", "http://docs.example/"),
        ("http://docs.example/?b=2&a=1", "http://docs.example/?b=2&a=1"),
        ("http://user:secret@docs.example/", None),
        ("http://docs.example\\@evil.example/", None),
        ("ftp://docs.example/", None),
        ("mailto:a@b", None),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("http://", None),
        ("http://docs.example:port/", None),
        ("", None),
        ("/a", None),
        ("http://docs.example/" + "a" * 2_000, None),
        ("http://docs.example/" + "a/b/" * 6, None),
        ("http://docs.example/" + "a" * 1_000_000, None),
    ],
)
def test_addresses_are_written_in_one_way(url: str, expected: str | None) -> None:
    assert normal(url) == expected


@given(ADDRESS)
def test_writing_an_address_again_changes_nothing(url: str) -> None:
    once = normal(url)
    if once is not None:
        assert normal(once) == once
        assert once.isascii()
        assert "#" not in once
        assert "@" not in once.split("/")[2]


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_none(text: str) -> None:
    assert normal(text) is None or normal(text).startswith(("http://", "https://"))  # type: ignore[union-attr]
    found = joined("http://docs.example/a/b", text)
    assert found is None or found.startswith(("http://", "https://"))


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("../c", "http://docs.example/c"),
        ("?x=1", "http://docs.example/a/b?x=1"),
        ("//other.example/y", "http://other.example/y"),
        ("#top", "http://docs.example/a/b?q=1"),
        (" c\n", "http://docs.example/a/c"),
        ("mailto:a@b", None),
    ],
)
def test_links_are_joined(link: str, expected: str | None) -> None:
    assert joined("http://docs.example/a/b?q=1", link) == expected


def test_prefixes() -> None:
    assert folder_of("http://x/a/b.html?c=/d") == "http://x/a/"
    assert folder_of("http://x/") == "http://x/"
    assert lies_within("http://x/a/b", "http://x/a/")
    assert lies_within("http://x/a/b", "https://x/a/")
    assert not lies_within("https://x/a/b", "http://x/a/")
    assert not lies_within("http://x.evil/a", normal("http://x") or "")
    assert same_site("http://www.x.example/", "https://x.example/y")
    assert not same_site("http://x.example/", "http://x.example:8080/")
    assert not same_site("http://docs.x.example/", "http://x.example/")


@given(st.lists(st.text("ab*?", max_size=6), min_size=1, max_size=3), st.text("ab", max_size=8))
def test_patterns_match_as_everywhere(patterns: list[str], url: str) -> None:
    expected = any(fnmatch.fnmatchcase(url, pattern) for pattern in patterns)
    assert Patterns(patterns, ()).takes(url) == expected
    assert Patterns((), patterns).takes(url) == (not expected)


def test_what_stands_between_stars_is_meant_literally() -> None:
    assert Patterns(("*.html?x=(1)",), ()).takes("http://x/a.html?x=(1)")
    assert not Patterns(("*.html",), ()).takes("http://x/ahtml")


def test_no_pattern_takes_long() -> None:
    assert not Patterns(("*a" * 40 + "*b",), ()).takes("a" * 2_000)
