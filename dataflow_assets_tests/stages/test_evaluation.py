"""Questions, figures and the verdict on a new generation."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.stages.evaluation import (
    Evaluation,
    Found,
    Question,
    QuestionFigures,
    compare,
    judge,
    known_items,
    read_golden,
    summarise,
)

A, B, C = "a" * 32, "b" * 32, "c" * 32


def results(*documents: str) -> list[Found]:
    return [Found(document, f"docs/{document[0]}.md", f"text of {document[0]}") for document in documents]


def test_golden_queries_are_read() -> None:
    lines = [
        '{"query": "how?", "expected": ["docs/a.md", "docs/a.md"]}',
        "",
        '{"query": "why?", "expected": "because"}',
    ]
    found = read_golden(lines, "golden.jsonl")
    assert found.asked == (Question("how?", ("docs/a.md",)), Question("why?", ("because",)))
    assert found.kind == "golden"
    assert found.key != read_golden(lines[:1], "golden.jsonl").key


@pytest.mark.parametrize(
    "line",
    [
        "how?", "[]", "null", '{"query": "how?"}', '{"query": " ", "expected": ["a"]}', '{"query": "how?", "expected": []}',
        '{"query": 1, "expected": ["a"]}', '{"query": "how?", "expected": [1]}', '{"query": "how?", "expected": [" "]}',
        "[" * 100_000,
    ],
)  # fmt: skip
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(ConfigurationError, match=r"golden\.jsonl, line 2"):
        read_golden(['{"query": "how?", "expected": ["a"]}', line], "golden.jsonl")


def test_a_file_without_questions_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no golden query"):
        read_golden(["", " "], "golden.jsonl")


@pytest.mark.parametrize("expected", [A, "docs/a", "docs/a.md", "Text  OF\na"])
def test_what_must_be_found_is_an_id_an_address_or_words(expected: str) -> None:
    figures = judge(Question("q", (expected,)), results(B, A), 10)
    assert (figures.recall, figures.mrr) == (1, 0.5)
    assert 0.6 < figures.ndcg < 0.64
    assert judge(Question("q", (expected,)), results(B, A), 1).recall == 0


def test_a_document_that_shows_twice_counts_once() -> None:
    question = Question("q", (A, B))
    assert judge(question, results(A, A, A), 3) == QuestionFigures(
        "q", 0.5, 1.0, pytest.approx(1 / (1 + 0.63093), abs=1e-4)
    )
    assert judge(question, results(A, B), 3) == QuestionFigures("q", 1.0, 1.0, 1.0)
    assert judge(question, [], 3) == QuestionFigures("q", 0.0, 0.0, 0.0)


@given(
    st.lists(st.sampled_from([A, B, C]), max_size=12),
    st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=3, unique=True),
    st.integers(1, 12),
)
def test_figures_are_shares_and_grow_with_k(found: list[str], expected: list[str], k: int) -> None:
    question = Question("q", tuple(expected))
    figures, more = judge(question, results(*found), k), judge(question, results(*found), k + 1)
    for name in ("recall", "mrr", "ndcg"):
        assert 0 <= getattr(figures, name) <= 1
    assert more.recall >= figures.recall
    assert (figures.recall > 0) == (figures.mrr > 0) == (figures.ndcg > 0)
    best = judge(question, results(*expected), len(expected))
    assert (best.recall, best.mrr, round(best.ndcg, 9)) == (1, 1, 1)


def test_headings_that_ask_for_one_document_become_questions() -> None:
    headings = [
        (A, ["Guide", "Rotate  the key"]), (A, ["Guide", "Usage"]), (B, ["Usage"]), (B, ["§ 1"]), (B, ["GUIDE of B"]), (A, []),
    ]  # fmt: skip
    made = known_items(headings, 10)
    assert {question.query: question.expected for question in made.asked} == {
        "Guide": (A, "Guide"),
        "Rotate the key": (A, "Rotate the key"),
        "GUIDE of B": (B, "GUIDE of B"),
    }
    assert made == known_items(reversed(headings), 10)
    assert known_items(headings, 2).asked == made.asked[:2]
    assert known_items([], 10).asked == ()
    anchored = '<a name="rotate"></a> Rotate the key'
    assert known_items([(A, [anchored]), (B, ["<a name='only'></a>"])], 10).asked == (
        Question("Rotate the key", (A, anchored)),
    )


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.lists(st.text(), max_size=3))), st.integers(1, 5))
def test_any_heading_makes_sound_questions(headings: list[tuple[str, list[str]]], count: int) -> None:
    made = known_items(headings, count)
    assert len(made.asked) <= count
    assert json.dumps(made.key)
    for question in made.asked:
        document, heading = question.expected
        assert question.query.strip()
        owners = {d for d, path in headings for h in path if " ".join(h[:300].split()).casefold() == heading.casefold()}
        assert owners == {document}


def measured(*recalls: float) -> Evaluation:
    return summarise([QuestionFigures(f"q{n}", recall, recall, recall) for n, recall in enumerate(recalls)], 10)


def test_a_loss_within_what_is_allowed_passes() -> None:
    verdict = compare(measured(1, 1, 1, 1), measured(1, 1, 1, 0.8), 0.05)
    assert verdict.passed
    assert verdict.lost == ("q3",)
    assert "q3" not in verdict.sentence()


def test_a_larger_loss_does_not_and_says_what_was_lost() -> None:
    verdict = compare(measured(1, 1, 0.5, 1), measured(1, 0.5, 0.5, 0), 0.05)
    assert not verdict.passed
    assert verdict.lost == ("q3", "q1")
    assert verdict.worse == ("recall", "mrr", "ndcg")
    assert "“q3”, “q1”" in verdict.sentence()
    assert compare(measured(1, 1), measured(0, 0), 1.0).passed


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20), st.floats(0, 1))
def test_what_is_no_worse_always_passes(pairs: list[tuple[float, float]], allowed: float) -> None:
    low, high = [min(pair) for pair in pairs], [max(pair) for pair in pairs]
    better = compare(measured(*low), measured(*high), allowed)
    assert better.passed
    assert better.lost == ()


def test_words_do_not_hide_a_model_that_understands_nothing() -> None:
    def by_meaning(*shares: float) -> Evaluation:
        return summarise([QuestionFigures(f"q{n}", 1, 1, 1, share) for n, share in enumerate(shares)], 10)

    assert compare(by_meaning(0.9, 0.9), by_meaning(0.8, 0.7), 0.05, 0.2).passed
    verdict = compare(by_meaning(0.9, 0.9), by_meaning(0.9, 0.1), 0.05, 0.2)
    assert not verdict.passed
    assert verdict.lost == ("q1",)
    assert "of semantic search alone 0.900 before, 0.500 now (allowed loss 0.2)" in verdict.sentence()
