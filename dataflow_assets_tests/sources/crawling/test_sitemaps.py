from __future__ import annotations

import contextlib
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.sources.crawling.sitemaps import MAX_ENTRIES, Sitemap, SitemapDamaged, read_sitemap

SPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"<urlset {SPACE}><url><loc> http://x/a&amp;b </loc><lastmod>2024</lastmod></url></urlset>", ["http://x/a&b"]),
        ("<urlset><url><loc><![CDATA[http://x/<a>]]></loc></url></urlset>", ["http://x/<a>"]),
        (
            '<s:urlset xmlns:s="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://x/image"><s:url>'
            "<s:loc>http://x/a</s:loc><image:image><image:loc>http://x/a.png</image:loc></image:image>"
            "<image:loc>http://x/b.png</image:loc></s:url></s:urlset>",
            ["http://x/a"],
        ),
        ("<urlset/>", []),
        ("<urlset><url><loc></loc></url></urlset>", []),
        ("\ufeffhttp://x/a\r\n\r\n  http://x/b\n", ["http://x/a", "http://x/b"]),
    ],
)
def test_sitemaps_are_read(content: str, expected: list[str]) -> None:
    assert read_sitemap(content.encode()) == Sitemap(pages=expected)
    assert read_sitemap(gzip.compress(content.encode())) == Sitemap(pages=expected)


def test_other_encodings_are_read() -> None:
    content = '<?xml version="1.0" encoding="{}"?><urlset><url><loc>http://x/é</loc></url></urlset>'
    for encoding in ("iso-8859-1", "utf-16", "windows-1252"):
        assert read_sitemap(content.format(encoding).encode(encoding)).pages == ["http://x/é"]


def test_an_index_names_sitemaps() -> None:
    content = f"<sitemapindex {SPACE}><sitemap><loc>http://x/1.xml</loc></sitemap></sitemapindex>"
    assert read_sitemap(content.encode()) == Sitemap(sitemaps=["http://x/1.xml"])


LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]>"
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no sitemap"),
        (b"<html/>", "neither urlset"),
        (b'{"json": 1}', "no sitemap"),
        (b"<urlset><url><loc>http://x/</loc></url>", "damaged"),
        (b"<urlset><url></urlset>", "damaged"),
        (f"{LAUGHS}<urlset><url><loc>&j;</loc></url></urlset>".encode(), "document type"),
        (b'<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><urlset/>', "document type"),
        (b"<urlset>" + b"<a>" * 100_000, "deeper"),
        (b"<urlset><url><loc>" + b"x" * 100_000, "too long"),
        (b'<?xml version="1.0" encoding="klingon"?><urlset/>', "damaged|encoding"),
        (gzip.compress(b"<urlset/>")[:-5], "too early"),
        (b"\x1f\x8b\x08\x00garbage", "too early|unpack"),
        (gzip.compress(b"<urlset>" + b" " * 70_000_000), "unpacks to more than"),
        (b"<urlset>" + b"<url><loc>http://x/</loc></url>" * (MAX_ENTRIES + 1) + b"</urlset>", "more than 50,000"),
        (b"http://x/\n" * (MAX_ENTRIES + 1), "more than 50,000"),
    ],
)  # fmt: skip
def test_what_is_no_whole_sitemap_is_an_error(content: bytes, said: str) -> None:
    with pytest.raises(SitemapDamaged, match=said):
        read_sitemap(content)


@given(st.integers(0, 100))
def test_a_sitemap_that_was_cut_off_never_looks_whole(length: int) -> None:
    content = b"<urlset><url><loc>http://x/a</loc></url><url><loc>http://x/b</loc></url></urlset>\n"
    if length < len(content) - 1:
        with pytest.raises(SitemapDamaged):
            read_sitemap(content[:length])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_an_error(content: bytes) -> None:
    with contextlib.suppress(SitemapDamaged):
        assert all(len(page) < 5_000 for page in read_sitemap(content).pages)
