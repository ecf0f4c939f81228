"""What each feature of the local reranker sees."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.search.query import understand
from dataflow_assets.search.reranking import FACTORS, Judged, question_of, rerank
from dataflow_assets_tests.search.made import payload


def judged(question: str, *payloads: dict[str, Any]) -> list[Judged]:
    return rerank(question_of(question, understand(question)), [(1.0, each) for each in payloads])


def features(question: str, text: str, **said: Any) -> dict[str, float]:
    return judged(question, payload(text, "page", **said))[0].features


FAR = " and much else is told here before the other word" * 3


@pytest.mark.parametrize(
    ("question", "text", "said", "feature", "factor"),
    [
        ("rotate signing keys", "How to Rotate\n signing KEYS.", {}, "phrase", FACTORS.phrase),
        ('say "not found" loudly', "It was\nnot found.", {}, "phrase", FACTORS.phrase),
        ("open_search fails", "call open_search()", {}, "identifiers", FACTORS.identifiers),
        ("tutorial for keys", "keys", {"doc_type": "tutorial"}, "doc_type", FACTORS.doc_type),
        ("rotating the signing keys", "a signed key", {}, "pairs", FACTORS.pairs),
        ("keys and doors", "the doors that have a key", {}, "proximity", FACTORS.proximity),
        ("rotate keys", "\n## Key rotation\n\nText.", {}, "opening", FACTORS.opening),
        ("rotate keys", "text", {"title": "Rotating keys"}, "title", FACTORS.title),
        ("rotate keys", "text", {"heading_path": ["Keys", "Rotate"]}, "headings", FACTORS.headings),
    ],
)
def test_a_feature_that_is_there_in_full(
    question: str, text: str, said: dict[str, Any], feature: str, factor: float
) -> None:
    assert features(question, text, **said)[feature] == pytest.approx(factor)


@pytest.mark.parametrize(
    ("question", "text", "feature"),
    [
        ("rotate signing keys", "keys signing rotate", "phrase"),
        ("open_search fails", "call open_searcher() or reopen_search()", "identifiers"),
        ("tutorial for keys", "keys", "doc_type"),
        ("signing keys", "keys for signing", "pairs"),
        ("keys doors", "the keys" + FAR + " doors", "proximity"),
        ("rotate keys", "First line.\nrotate keys", "opening"),
        ("rotate keys", "rotate keys" + 2 * FAR + "\nmore", "opening"),
        ("rotate keys", "rotate keys", "opening"),
        ("rotate keys", "rotate keys", "beside"),
    ],
)
def test_a_feature_that_is_not_there(question: str, text: str, feature: str) -> None:
    assert feature not in features(question, text)


def test_what_is_there_in_part_counts_in_part() -> None:
    assert features("rotate keys", "x", title="keys")["title"] == pytest.approx(1 + (FACTORS.title - 1) / 2)


def test_a_word_that_stands_everywhere_tells_nothing_apart() -> None:
    texts = ["keys are rotated", "keys are kept", "keys are lost"]
    rotated, kept, _ = judged("rotate keys", *(payload(text, text) for text in texts))
    assert rotated.features["coverage"] == pytest.approx(FACTORS.coverage)
    # Half of the words, and hardly any of what tells the texts apart.
    assert kept.features.get("coverage", 1.0) < 1 + (FACTORS.coverage - 1) * 0.1


def test_what_stands_beside_a_text_counts_for_it() -> None:
    first, second, far, other = judged(
        "rotate keys",
        payload("about keys", "a", 3),
        payload("how to rotate", "a", 4),
        payload("about keys", "a", 9),
        payload("about keys", "b", 4),
    )
    assert first.features["coverage"] == second.features["coverage"] == pytest.approx(FACTORS.coverage)
    assert first.features["beside"] == pytest.approx(FACTORS.beside)
    for alone in (far, other):
        assert alone.features.get("coverage", 1.0) < FACTORS.coverage
        assert "beside" not in alone.features


def test_the_headings_above_a_text_are_part_of_it() -> None:
    with_heading, without = judged("rotate keys", payload("keys", "a", heading_path=["Rotation"]), payload("keys", "b"))
    assert with_heading.features["coverage"] == pytest.approx(FACTORS.coverage)
    assert without.features.get("coverage", 1.0) < FACTORS.coverage


def test_the_corrected_text_is_what_counts() -> None:
    assert "pairs" in features("signing keys", "sihning keys", corrected_text="signing keys")


def test_the_score_is_the_product_of_what_is_said() -> None:
    (one,) = judged("rotate signing keys", payload("rotate signing keys", "keys"))
    product = 1.0
    for factor in one.features.values():
        product *= factor
    assert one.score == pytest.approx(product, rel=1e-3)
    assert len(one.features) > 3


def test_newer_counts_a_little_more_and_much_more_where_it_is_asked_for() -> None:
    old, new = payload("keys", said_at="2024-05-01T10:00:00Z"), payload("keys", said_at="2026-05-01T10:00:00")
    for question, most in (("keys", FACTORS.fresh), ("latest keys", FACTORS.latest)):
        first, second, third = judged(question, old, new, payload("keys", said_at="soon"))
        assert second.features["fresh"] == pytest.approx(most)
        assert 1 < first.features["fresh"] < second.features["fresh"]
        assert "fresh" not in third.features


def test_words_of_scripts_without_spaces_are_found() -> None:
    assert features("検索の設定", "全文検索の設定について")["pairs"] > 1


@given(st.text(max_size=200), st.lists(st.text(max_size=300), max_size=4), st.text(max_size=30))
def test_no_text_lowers_a_score_or_breaks_anything(question: str, texts: list[str], title: str) -> None:
    found = judged(question, *(payload(text, title=title, heading_path=[title]) for text in texts))
    assert len(found) == len(texts)
    assert all(each.score >= 1 for each in found)
    ceiling = 1.0
    for factor in (1.2, 1.2, 1.3, 1.2, 1.2, 1.2, 1.2, 1.1, 1.2):
        ceiling *= factor
    assert all(each.score <= ceiling + 1e-9 for each in found)
