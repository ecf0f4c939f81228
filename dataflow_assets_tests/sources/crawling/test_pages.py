from __future__ import annotations

import pytest

from dataflow_assets.sources.crawling.pages import is_document, may_be_document, media_type


@pytest.mark.parametrize(
    ("url", "said", "expected", "document"),
    [
        ("http://x/", "text/html", "text/html", True),
        ("http://x/", "Text/HTML ; Charset='UTF-8'", "text/html; charset=utf-8", True),
        ("http://x/a.pdf?x=1", "application/octet-stream", "application/pdf", True),
        ("http://x/a.pdf", "", "application/pdf", True),
        ("http://x/a", "", "application/octet-stream", True),
        ("http://x/a.png", "", "image/png", False),
        ("http://x/a", "application/octet-stream", "application/octet-stream", False),
        ("http://x/a.html", "image/png", "image/png", False),
        ("http://x/a", "nonsense", "application/octet-stream", False),
        ("http://x/a", "text/css", "text/css", False),
        ("http://x/a", "application/javascript", "application/javascript", False),
        ("http://x/a", "font/woff2", "font/woff2", False),
        ("http://x/a", "video/mp4", "video/mp4", False),
        ("http://x/a", "application/zip", "application/zip", False),
        ("http://x/a", "application/epub+zip", "application/epub+zip", True),
        ("http://x/a", "text/markdown", "text/markdown", True),
        ("http://x/a", "message/rfc822", "message/rfc822", True),
        ("http://x/a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
         "application/vnd.openxmlformats-officedocument.wordprocessingml.document", True),
    ],
)  # fmt: skip
def test_what_is_a_document(url: str, said: str, expected: str, document: bool) -> None:
    headers = {"content-type": said} if said else {}
    assert media_type(url, headers) == expected
    assert is_document(url, headers) == document


@pytest.mark.parametrize(
    ("url", "expected"),
    [("http://x/a", True), ("http://x/a.html", True), ("http://x/a.pdf", True), ("http://x/a.php?x=b.png", True)]
    + [(f"http://x/a.{name}", False) for name in ("png", "CSS", "js", "zip", "mp4", "woff2", "tar.gz")],
)
def test_what_is_worth_asking(url: str, expected: bool) -> None:
    assert may_be_document(url) == expected
