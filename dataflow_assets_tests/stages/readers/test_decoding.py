"""Which encoding a text is in, and what is no text."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.decoding import codec_of, declared_encoding, decode

GERMAN = "Die Größe der Bücher überrascht; für ältere Möbel wäre das Maß zu groß. Schöne Grüße! " * 4
JAPANESE = "これは文書の検索についての説明です。毎晩、変更された文書だけが読み込まれます。\n" * 4
KOREAN = "이 문서는 검색 라이브러리를 설명합니다. 매일 밤 변경된 문서만 다시 읽습니다.\n" * 4
CHINESE = "这份文档说明如何搜索图书馆。每天晚上只重新读取有变化的文档。\n" * 4
CZECH = "Tento dokument popisuje vyhledávání v knihovně. Každou noc se čtou jen změněné soubory; šťastnou cestu.\n" * 4
HEBREW = "המסמך הזה מתאר את החיפוש בספרייה. בכל לילה נקראים רק המסמכים שהשתנו.\n" * 4
ARABIC = "تصف هذه الوثيقة البحث في المكتبة. في كل ليلة تقرأ الوثائق التي تغيرت فقط.\n" * 4
GREEK = "Αυτό το έγγραφο περιγράφει την αναζήτηση στη βιβλιοθήκη. Κάθε νύχτα διαβάζονται μόνο οι αλλαγές.\n" * 4
THAI = "เอกสารนี้อธิบายการค้นหาในห้องสมุด ทุกคืนจะอ่านเฉพาะเอกสารที่เปลี่ยนแปลง\n" * 4
RUSSIAN = "Этот документ описывает поиск по библиотеке. Каждую ночь читаются только изменения.\n" * 4


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "latin-1"), (GERMAN, "utf-8"), (GERMAN, "utf-8-sig"), (GERMAN, "utf-16"), (GERMAN, "utf-16-le"),
        (GERMAN, "utf-16-be"), (GERMAN, "utf-32"), (GERMAN, "utf-32-le"), (JAPANESE, "shift_jis"), (JAPANESE, "euc-jp"),
        (JAPANESE, "iso2022_jp"), (JAPANESE, "utf-16-le"), (KOREAN, "euc-kr"),
        (KOREAN, "iso2022_kr"), (KOREAN, "utf-16"), (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"), (RUSSIAN, "iso8859-5"), (RUSSIAN, "cp866"), (RUSSIAN, "cp855"), (RUSSIAN, "mac-cyrillic"),
        (KOREAN, "johab"), (CHINESE, "gb2312"), (CHINESE, "hz"), (CZECH, "iso8859-2"), (CZECH, "cp1250"),
        (HEBREW, "cp1255"), (ARABIC, "cp1256"), (ARABIC, "iso8859-6"), (GREEK, "iso8859-7"), (THAI, "tis-620"),
    ],
)  # fmt: skip
def test_encodings_are_found_without_help(text: str, encoding: str) -> None:
    content = text.encode(encoding)
    decoded = decode(content, name="a.txt", media_type="text/plain")
    assert decoded.text == text
    assert decoded.findings == ()
    assert content.decode(decoded.encoding) == text


@given(st.text())
def test_utf8_always_comes_back(text: str) -> None:
    try:
        content = text.encode()
    except UnicodeEncodeError:
        return
    if "\0" in text or "\x1b" in text or content.startswith((b"\xef\xbb\xbf", b"PK\x03\x04", b"%PDF-")):
        return
    if sum(character < " " or character == "\x7f" for character in text) * 50 > len(content):
        return
    assert decode(content, name="a.txt", media_type="text/plain").text == text


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ('<meta charset="euc-kr"><p>검색'.encode("euc-kr"), "a.html"),
        ('<?xml version="1.0" encoding="EUC-KR"?><p>검색</p>'.encode("euc-kr"), "a.html"),
        ('<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=euc-kr"><p>검색'.encode("euc-kr"), "a.html"),
        ("# -*- coding: euc-kr -*-\n검색".encode("euc-kr"), "a.txt"),
        ("검색\n// vim: set fileencoding=euc-kr :\n".encode("euc-kr"), "a.txt"),
        ("검색".encode("euc-kr"), "a.html.ko.euc-kr"),
    ],
)
def test_short_texts_are_decoded_as_they_or_their_names_declare(content: bytes, name: str) -> None:
    decoded = decode(content, name=name, media_type="text/html")
    assert "검색" in decoded.text
    assert decoded.encoding == "euc_kr"


def test_web_pages_that_say_latin_1_mean_windows_1252() -> None:
    content = b'<meta charset="iso-8859-1"><p>\x93quoted\x94 \x96 \x80 5'
    assert "“quoted” – € 5" in decode(content, name="a.html", media_type="text/html").text


def test_a_declaration_that_lies_is_not_believed() -> None:
    assert decode('<meta charset="latin-1">Größe'.encode(), name="a.html", media_type="text/html").text.endswith(
        "Größe"
    )


def test_the_catalog_is_believed() -> None:
    content = "Größe".encode("cp850")
    assert decode(content, name="a.txt", media_type="text/plain", encoding="cp850").text == "Größe"
    with pytest.raises(ReadError, match="not known"):
        decode(content, name="a.txt", media_type="text/plain", encoding="utf-99")


def test_damaged_utf8_keeps_what_is_sound_and_says_so() -> None:
    content = GERMAN.encode()[:200] + b"\xff" + GERMAN.encode()[200:]
    decoded = decode(content, name="a.md", media_type="text/markdown")
    assert decoded.text.count("\ufffd") == 1
    assert "Möbel" in decoded.text
    assert [(finding.validator, finding.severity) for finding in decoded.findings] == [("encoding", "error")]
    assert "\ufffd" in decoded.findings[0].value


@pytest.mark.parametrize("media_type", ["text/plain", "application/octet-stream"])
def test_binary_data_is_refused(media_type: str) -> None:
    junk = random.Random(7).randbytes(20_000)
    for content in (junk, junk.replace(b"\0", b"\1"), b"\x89PNG\r\n\x1a\n" + junk, b"PK\x03\x04" + junk, bytes(1000)):
        with pytest.raises(ReadError, match="exclude the file"):
            decode(content, name="a", media_type=media_type)


def test_a_stray_nul_in_a_text_stays() -> None:
    text = GERMAN + "\0" + GERMAN
    assert decode(text.encode(), name="a.md", media_type="text/markdown").text == text


@pytest.mark.parametrize(
    "name", ["idna", "punycode", "unicode_escape", "rot13", "zip", "undefined", "utf-7", "../etc", "x" * 99, ""]
)
def test_codecs_that_are_no_encodings_of_texts_are_not_used(name: str) -> None:
    assert codec_of(name) is None


def test_declarations_are_looked_for_at_both_ends_only() -> None:
    assert declared_encoding(b"\n" * 5000 + b"coding: euc-kr" + b"\n" * 5000) is None
    assert declared_encoding(b"<meta " * 100_000) is None


def test_a_declaration_that_makes_control_characters_is_not_believed() -> None:
    content = f'<meta charset="iso-8859-2"><p>{CZECH}'.encode("cp1250")
    assert decode(content, name="a.html", media_type="text/html").text.endswith(CZECH)


def test_a_declared_encoding_survives_broken_places() -> None:
    content = f'<meta charset="euc-kr"><p>{KOREAN}'.encode("euc-kr").replace("문서".encode("euc-kr"), b"\xff\xff", 1)
    decoded = decode(content, name="a.html", media_type="text/html")
    assert "라이브러리를" in decoded.text
    assert [finding.validator for finding in decoded.findings] == ["encoding"]


def test_ascii_with_the_escapes_of_hz_stays_ascii() -> None:
    for text in ("backup~{1,2,3}~ and ~{x~} ends", "~{abcdefgh~}", "a ~{ b ~} c " * 9):
        assert decode(text.encode(), name="a.txt", media_type="text/plain").text == text


def test_padding_with_nul_bytes_is_left_out() -> None:
    decoded = decode(bytes(500) + b"A line of text." + bytes(512), name="a.log", media_type="text/plain")
    assert decoded.text == "A line of text."
    assert "1012 NUL bytes" in decoded.findings[0].message


def test_one_control_character_makes_no_short_text_binary() -> None:
    assert decode(b'["\x7f"]', name="a.json", media_type="application/json").text == '["\x7f"]'
