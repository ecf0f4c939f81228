import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.media_types import media_type_of


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("intro.md", "text/markdown"),
        ("a/b.c/INTRO.MD", "text/markdown"),
        ("page.rst", "text/x-rst"),
        ("notes.txt", "text/plain"),
        ("README", "text/plain"),
        ("readme.de", "text/plain"),
        ("index.html", "text/html"),
        ("index.html.en", "text/html"),
        ("index.html.cs", "text/html"),
        ("index.html.ko.euc-kr", "text/html"),
        ("index.html.pt-br", "text/html"),
        ("index.html.ja.utf8", "text/html"),
        ("Program.cs", "text/x-csharp"),
        ("index.html.bak", "application/octet-stream"),
        ("archive.tar.gz", "application/gzip"),
        ("book.epub", "application/epub+zip"),
        ("table.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("mail.eml", "message/rfc822"),
        ("no extension", "application/octet-stream"),
        ("strange.xyz123", "application/octet-stream"),
        (".gitignore", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("...", "application/octet-stream"),
    ],
)
def test_what_a_name_suggests(name: str, media_type: str) -> None:
    assert media_type_of(name) == media_type


@given(st.text(st.characters(exclude_categories=())))
def test_every_name_has_a_media_type(name: str) -> None:
    assert "/" in media_type_of(name)
