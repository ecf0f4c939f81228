"""Which language a text is in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.stages.language import detect, detect_language, language_code

TEXTS = {
    "en": "This page explains how the search index is built and what happens when a document leaves its source.",
    "de": "Diese Seite erklärt, wie der Index gebaut wird und was geschieht, wenn ein Dokument seine Quelle verlässt.",
    "fr": "Cette page explique comment l'index est construit et ce qui arrive quand un document quitte sa source.",
    "es": "Esta página explica cómo se construye el índice y qué pasa cuando un documento abandona su fuente.",
    "pt": "Esta página explica como o índice é construído e o que acontece quando um documento deixa a sua fonte.",
    "ja": "このページでは、検索インデックスの作り方と、文書がなくなったときの動作を説明します。",
    "ko": "이 페이지는 검색 색인을 만드는 방법과 문서가 사라질 때 일어나는 일을 설명합니다.",
    "zh": "本页说明如何建立搜索索引，以及文档离开来源时会发生什么。",
    "ru": "На этой странице объясняется, как строится индекс и что происходит, когда документ исчезает.",
    "tr": "Bu sayfa arama dizininin nasıl oluşturulduğunu ve bir belge kaynağından ayrıldığında ne olduğunu açıklar.",
}


@pytest.mark.parametrize("code", TEXTS)
def test_languages(code: str) -> None:
    assert detect_language(TEXTS[code] * 3) == code


@pytest.mark.parametrize("code", ["de", "ja"])
def test_code_and_links_do_not_count(code: str) -> None:
    code_block = "\n```python\nfor document in documents:\n    return the_value_of(this, and_that)\n```\n" * 5
    text = f"# {TEXTS[code]}\n{code_block}\n{TEXTS[code]} https://example.org/the/english/path/of/this `while True`\n"
    assert detect_language(text) == code


@pytest.mark.parametrize("text", ["", " \n", "12345", "```\ncode only\n```", "x x x x x " * 100, "\0\x01", "a_b c::d"])
def test_what_cannot_be_told_is_undetermined(text: str) -> None:
    assert detect_language(text) == "und"


@given(st.text())
def test_any_text_gets_a_code(text: str) -> None:
    found = detect(text)
    assert 2 <= len(found.language) <= 3
    assert found == detect(text)


@pytest.mark.parametrize(
    ("said", "code"),
    [("de-AT", "de"), ("pt_BR", "pt"), ("EN", "en"), ("deu", "de"), ("German", "de"), ("iw", "he"), ("gsw", "gsw"),
     ("x", None), ("xx", None), ("english please", None), (None, None), (3, None), ("", None)],
)  # fmt: skip
def test_codes_that_documents_name(said: object, code: str | None) -> None:
    assert language_code(said) == code
