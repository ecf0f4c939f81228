"""What a document's text, title, type, language and tags are, whatever its format."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import ReadError
from dataflow_assets.records import ReadDocument
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.stages.read import READERS, media_type_of, read_document

GERMAN = (
    "Die Bibliothek wird jede Nacht aufgefrischt, und was sich nicht geändert hat, wird nicht noch einmal gelesen. "
)
ENGLISH = "The library is refreshed every night, and whatever has not changed since then is not read a second time. "


def read(content: bytes | str, uri: str = "page.md", media_type: str = "", **settings: object) -> ReadDocument:
    data = content.encode() if isinstance(content, str) else content
    return read_document(
        data,
        source_uri=uri,
        media_type=media_type or media_type_of(uri),
        settings=ReadingSettings.model_validate(settings),
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b/page.MD", "text/markdown"),
        ("index.html.ko.euc-kr", "text/html"),
        ("install.html.de", "text/html"),
        ("x.html.pt-br", "text/html"),
        ("page.ja.md", "text/markdown"),
        ("notes.rst", "text/x-rst"),
        ("README", "text/plain"),
        ("archive.tar.gz", "application/gzip"),
        ("paper.pdf", "application/pdf"),
        ("core.1234", "application/octet-stream"),
        ("noname", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("." * 5000, "application/octet-stream"),
    ],
)
def test_media_type_of_names(name: str, expected: str) -> None:
    assert media_type_of(name) == expected


@given(st.text(max_size=2000), st.sampled_from(["a.txt", "a.md", "a.rst"]))
def test_text_formats_lose_and_gain_no_character(text: str, uri: str) -> None:
    """Whatever is written as UTF-8 comes back: as the text, or as front matter and the text."""
    try:
        content = text.encode()
    except UnicodeEncodeError:
        return
    try:
        document = read(content, uri)
    except ReadError:
        return
    if document.metadata["encoding"] == "utf-8":
        assert text.endswith(document.text)
        assert document.text == text or text.startswith(("---", "+++"))


@given(st.binary(max_size=3000), st.sampled_from(["a.txt", "a.md", "a.rst", "a.html", "a.bin", "a.html.ja.sjis"]))
def test_any_bytes_give_an_encodable_text_or_a_sentence(content: bytes, uri: str) -> None:
    try:
        document = read(content, uri)
    except ReadError as error:
        sentence = str(error)
    else:
        sentence = ""
    if sentence:
        assert sentence.endswith(".")
        return
    document.text.encode()
    document.title.encode()
    json.dumps(document.metadata, allow_nan=False)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_newlines_and_spaces_stay(newline: str) -> None:
    text = newline.join(["# Title", "", "  indented  ", "\ttabbed", "", ""])
    assert read(text).text == text


@pytest.mark.parametrize(
    ("uri", "text", "title"),
    [
        ("a.md", "# The title #\n\nText", "The title"),
        ("a.md", "intro\n\n## Lower\n\n# Higher\n", "Higher"),
        ("a.md", "The title\n=========\n\nText", "The title"),
        ("a.md", "Smaller\n-------\n\nText", "Smaller"),
        ("a.md", "```sh\n# no title\n```\n\n# Title\n", "Title"),
        ("a.md", "<!--\n# no title\n-->\n# Title\n", "Title"),
        ("a.md", "# Use `--json` with **care** and [a link](x.md) { #anchor }\n", "Use --json with care and a link"),
        ("a.md", "# snake_case_name and \\*star\\*\n", "snake_case_name and *star*"),
        ("a.md", '<h1 align="center">\nHTTP\n</h1>\n', "HTTP"),
        ("a.md", "---\ntitle: From above\n---\n# From below\n", "From above"),
        ("a.md", "+++\ntitle = 'From TOML'\n+++\nText", "From TOML"),
        ("the-long_name.md", "Text without any heading.", "the long name"),
        ("a.rst", "Title\n=====\n\nText", "Title"),
        ("a.rst", "=======\n Title\n=======\n\nText", "Title"),
        (
            "a.rst",
            ".. _label:\n\n.. comment\n\nUsing ``code`` and :ref:`refs <x>`\n~~~~~~~~~~~~~~~~\n",
            "Using code and refs",
        ),
        ("a.rst", "::\n\n    indented\n    --------\n\nReal\n----\n", "Real"),
        ("a.rst", "日本語の題\n==========\n", "日本語の題"),
        ("a.txt", "\nA short first line\n\nThen text follows.", "A short first line"),
        ("a.txt", "Underlined\n----------\nText", "Underlined"),
        ("a.txt", "This is only prose that runs on.\nAnd on.", "a"),
        ("a.html", "<title>Page &amp; more</title><p>x", "Page & more"),
        ("a.html", "<title>Page - Site</title><h1>Page</h1>", "Page"),
        ("a.html", "<h1>Only <em>a</em> heading</h1>", "Only a heading"),
        ("index.html.ko.euc-kr", "<p>x", "index"),
    ],
)
def test_titles(uri: str, text: str, title: str) -> None:
    assert read(text, uri).title == title


def test_a_title_is_one_short_line() -> None:
    title = read("# a\u2028b\x01c " + "x" * 5000).title
    assert title.startswith("a b c x")
    assert len(title) <= 300


def test_front_matter_is_taken_off_and_kept() -> None:
    document = read("---\r\ntitle: T\r\ndate: 2024-05-06\r\nauthor: Ann\r\nweight: 3\r\n---\r\nBody\r\n")
    assert document.text == "Body\r\n"
    assert document.metadata["front_matter"] == {"title": "T", "date": "2024-05-06", "author": "Ann", "weight": 3}
    assert document.metadata["date"] == "2024-05-06"
    assert document.metadata["authors"] == "Ann"


@pytest.mark.parametrize(
    "text",
    [
        "---\nJust a paragraph between breaks.\n\n---\nMore.",
        "---\nno end: in sight\n\nText",
        "----\na: b\n----\n",
        "a: b\n---\n",
        "---\n- a\n- list\n---\n",
    ],
)
def test_what_is_no_front_matter_stays_without_a_word(text: str) -> None:
    document = read(text)
    assert document.text == text
    assert document.findings == ()


def test_source_code_and_data_keep_their_dashes() -> None:
    text = "---\nkind: Config\n---\nkind: Other\n"
    assert read(text, "a.yaml").text == text


@pytest.mark.parametrize("newlines", ["\n", "\r\n"])
def test_doc_type_is_heard_from_catalog_front_matter_path_and_text_in_that_order(newlines: str) -> None:
    front = newlines.join(["---", "type: how-to", "---", ""])
    text = "# Tutorial: the first hour\n\nText"
    assert read(front + text, "examples/a.md", doc_type="changelog").doc_type == "changelog"
    assert read(front + text, "examples/a.md").doc_type == "guide"
    assert read(text, "examples/a.md").doc_type == "example"
    assert read(text, "a.md").doc_type == "tutorial"
    assert read("Something else altogether.", "a.md").doc_type == "other"


@pytest.mark.parametrize(
    ("uri", "text", "doc_type"),
    [
        ("CHANGELOG.md", "x", "changelog"),
        ("docs/whatsnew/3.rst", "x", "changelog"),
        ("release-notes.md", "x", "changelog"),
        ("api/client.md", "x", "reference"),
        ("tutorial/examples/one.md", "x", "example"),
        ("getting-started.md", "x", "tutorial"),
        ("howto/auth.html.en.utf8", "<p>x", "guide"),
        ("message-map.md", "x", "other"),
        ("a.txt", "From: Ann\nTo: Ben\nSubject: Hello\n\nHi", "message"),
        ("a.md", "# Versions\n\n## 1.2.0\n\n- x\n\n## 1.1.0\n\n- x\n\n## 1.0.0\n", "changelog"),
        ("a.md", "---\nms.topic: reference\n---\nx", "reference"),
        ("a.md", "---\ntype: [odd]\n---\nx", "other"),
    ],
)
def test_doc_types(uri: str, text: str, doc_type: str) -> None:
    assert read(text, uri).doc_type == doc_type


def test_tags_come_from_everywhere_once_catalog_first() -> None:
    document = read(
        "---\ntags: [Beta, alpha, 3]\nkeywords: x, y\n---\nText", "docs/advanced/page.md", tags=("alpha", "team")
    )
    assert document.tags == ("alpha", "team", "Beta", "3", "x", "y", "advanced")
    assert read('<meta name="keywords" content="one, two"><p>x', "/absolute/path/a.html").tags == ("one", "two")
    assert read("T\n=\n\n.. meta::\n   :keywords: one, two\n", "a.rst").tags == ("one", "two")


def test_language_is_heard_from_the_catalog_the_document_its_name_and_the_text() -> None:
    assert read(GERMAN * 3).language == "de"
    assert read(ENGLISH * 3).language == "en"
    assert read(GERMAN * 3, language="fr").language == "fr"
    assert read("---\nlang: de-AT\n---\nx").language == "de"
    assert read('<html lang="ja"><p>mod_ssl 2.4', "a.html").language == "ja"
    assert read("<p>mod_ssl 2.4", "a.html.ko.utf8").language == "ko"
    assert read("mod_ssl 2.4", "tr/a.md").language == "tr"
    assert read("mod_ssl 2.4").language == "und"


def test_a_language_that_the_text_plainly_contradicts_is_not_believed() -> None:
    assert read(f'<html lang="en"><p>{GERMAN * 5}', "a.html").language == "de"


def test_a_file_of_unknown_type_is_read_if_it_is_plainly_text() -> None:
    assert read(ENGLISH, "noname").text == ENGLISH
    with pytest.raises(ReadError, match="binary"):
        read(b"text\0" + bytes(100), "noname")


def test_a_generic_media_type_yields_to_the_name() -> None:
    assert read("# T", "a.md", "application/octet-stream").markup == "markdown"
    assert read("# T", "a.md", "text/plain").markup == "markdown"
    assert read("<h1>T</h1>", "a", "text/html; charset=utf-8").text.strip() == "# T"


def test_a_format_without_a_reader_is_refused_by_name() -> None:
    with pytest.raises(ReadError, match="There is no reader for audio/mpeg"):
        read(b"ID3 and so on", "a.mp3")


@pytest.mark.parametrize("uri", ["a.md", "a.txt", "a.rst", "a.html", "a"])
def test_empty_and_blank_documents_are_read(uri: str) -> None:
    assert read(b"", uri).text == ""
    assert read(b" \n\t\n", uri).text.strip() == ""
    assert read(b"", uri).title == "a"


def test_readers_have_names_of_their_own() -> None:
    assert len({reader.name for reader in READERS}) == len(READERS)
