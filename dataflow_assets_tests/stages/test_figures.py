from __future__ import annotations

import datetime as dt
import json
import time
from dataclasses import fields
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.records import QualityReport
from dataflow_assets.stages.figures import (
    AskingFigures,
    BudgetFigures,
    CallFigures,
    CorrectionSample,
    DiffSegment,
    Figures,
    Funnel,
    Histogram,
    ReasonGroup,
    Sample,
    Share,
    Snapshot,
    headline,
    word_diff,
)

texts = st.lists(st.sampled_from(["alpha", "beta ", " ", "\n", "\n\n", "gamma,", "é😀", "x" * 90]), max_size=30).map(
    "".join
)
segments = st.builds(DiffSegment, kind=st.sampled_from(["same", "gone", "new", "cut"]), text=st.text(max_size=5))
words, numbers, counts = st.text(max_size=5), st.floats(-1e9, 1e9), st.integers(0, 10**12)
samples = st.builds(Sample, words, words)
tuples = partial(st.lists, max_size=2)
everything = st.builds(
    Figures,
    overall_score=numbers,
    funnel=st.builds(Funnel, listed=counts, indexed=counts),
    rejections=tuples(st.builds(ReasonGroup, words, counts, tuples(samples).map(tuple))).map(tuple),
    document_tokens=st.builds(Histogram, tuples(numbers).map(tuple), tuples(counts).map(tuple), st.booleans(), counts),
    languages=tuples(st.builds(Share, words, counts)).map(tuple),
    corrections=tuples(
        st.builds(CorrectionSample, samples, counts, tuples(words).map(tuple), tuples(segments).map(tuple))
    ).map(tuple),
    asking=tuples(
        st.builds(AskingFigures, words, counts, retries=tuples(st.builds(Share, words, counts)).map(tuple))
    ).map(tuple),
    budgets=tuples(st.builds(BudgetFigures, words, numbers, numbers)).map(tuple),
    previous=st.none() | st.builds(Snapshot, words, st.dictionaries(words, numbers, max_size=2)),
)


@given(everything)
def test_figures_survive_json(figures: Figures) -> None:
    assert Figures.from_dict(json.loads(json.dumps(figures.to_dict(), allow_nan=False))) == figures


def test_figures_of_another_version_are_read_as_far_as_they_are_known() -> None:
    stored = Figures(library="lib", funnel=Funnel(listed=3)).to_dict() | {"of_tomorrow": [1]}
    del stored["languages"]
    assert Figures.from_dict(stored) == Figures(library="lib", funnel=Funnel(listed=3))


@pytest.mark.parametrize(
    ("stored", "place"),
    [
        ({"funnel": []}, "figures.funnel is not an object"),
        ({"funnel": {"listed": "3"}}, "figures.funnel.listed is not of type int"),
        ({"funnel": {"listed": True}}, "figures.funnel.listed is not of type int"),
        ({"languages": {"en": 1}}, "figures.languages is not a list"),
        ({"languages": [{"name": None}]}, "figures.languages[0].name is not of type str"),
        ({"corrections": [{"diff": [{"kind": "odd"}]}]}, "figures.corrections[0].diff[0].kind is not one of"),
        ({"previous": {"headline": 3}}, "figures.previous.headline is not an object"),
    ],
)
def test_what_is_no_figures_is_refused_with_its_place(stored: dict[str, object], place: str) -> None:
    with pytest.raises(ValueError, match=place.replace("[", r"\[").replace("]", r"\]")):
        Figures.from_dict(stored)


def test_the_row_holds_the_figures() -> None:
    figures = Figures(
        library="lib", overall_score=0.5, funnel=Funnel(listed=9, valid=7, rejected=2, corrected=1), cost_usd=0.25
    )
    row = figures.quality_report(run_id="r", generated_at=dt.datetime(2026, 1, 1), report_path="r.html", input_hash="h")
    assert (row.documents, row.valid, row.rejected, row.corrected, row.cost_usd) == (9, 7, 2, 1, 0.25)
    assert Figures.from_dict(json.loads(row.metrics)) == figures
    assert {f.name for f in fields(QualityReport)} >= {"overall_score", "indexed"}


def test_the_snapshot_is_what_the_next_report_needs() -> None:
    figures = Figures(funnel=Funnel(listed=4, searchable_documents=3))
    snapshot = figures.snapshot("2026-01-01")
    assert snapshot == Snapshot("2026-01-01", {k: float(v) for k, v in headline(figures).items()})
    assert snapshot.headline["searchable_share"] == 0.75


def test_equal_texts_have_no_diff() -> None:
    assert word_diff("the same", "the same") == ()


@given(texts, texts)
def test_a_diff_tells_only_what_stands_in_the_texts(before: str, after: str) -> None:
    diff = word_diff(before, after)
    assert bool(diff) == (before != after)
    for segment in diff:
        text = segment.text.removesuffix("…")
        assert text in before or segment.kind in ("new", "cut")
        assert text in after or segment.kind in ("gone", "cut")
    whole = [segment for segment in diff if segment.kind != "cut"]
    if diff and len(whole) == len(diff) and all(len(segment.text) < 240 for segment in diff):
        assert "".join(s.text for s in diff if s.kind != "new") == before
        assert "".join(s.text for s in diff if s.kind != "gone") == after


def test_a_diff_shows_words_in_their_context_and_cuts_the_rest() -> None:
    before = "Nothing here.\n\n" * 50 + "You will recieve mail tomorow.\n\n" + "Nothing there.\n\n" * 50
    after = before.replace("recieve", "receive").replace("tomorow", "tomorrow")
    assert [(s.kind, s.text) for s in word_diff(before, after)] == [
        ("cut", ""), ("same", "You will "), ("gone", "recieve"), ("new", "receive"), ("same", " mail "),
        ("gone", "tomorow"), ("new", "tomorrow"), ("same", "."), ("cut", ""),
    ]  # fmt: skip


@given(st.lists(st.integers(0, 3000), max_size=6), st.sampled_from([" ", "\n", ". "]))
def test_few_changes_in_a_very_long_paragraph_are_found_one_by_one(places: list[int], between: str) -> None:
    words = [f"word{number % 1900}" for number in range(3001)]  # some once, many twice
    mended = [f"new{number}" if number in places else word for number, word in enumerate(words)]
    diff = word_diff(between.join(words), between.join(mended))
    new = [segment.text for segment in diff if segment.kind == "new"]
    gone = [segment.text for segment in diff if segment.kind == "gone"]
    if all(abs(a - b) > 1 for a in places for b in places if a != b):
        first = sorted(set(places))[:4]
        assert new == [f"new{place}" for place in first]
        assert gone == [words[place] for place in first]


def test_only_a_library_with_paid_models_has_figures_of_money() -> None:
    assert not Figures(funnel=Funnel(listed=4)).paid
    assert "saved_usd" not in headline(Figures(funnel=Funnel(listed=4)))
    paid = Figures(funnel=Funnel(listed=40), calls=(CallFigures(calls=1),), cost_usd=0.5, saved_texts=3, saved_usd=0.1)
    assert headline(paid)["cost_usd_per_1000_documents"] == 12.5
    assert headline(paid)["saved_usd"] == 0.1
    assert Figures(calls=(CallFigures(),)).cost_per_1000_documents == 0.0


@pytest.mark.parametrize(
    ("limit", "used", "left", "share"), [(10.0, 2.5, 7.5, 0.25), (10.0, 12.0, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0)]
)
def test_a_budget_that_is_passed_has_nothing_left(limit: float, used: float, left: float, share: float) -> None:
    budget = BudgetFigures("budget_usd", limit, used)
    assert (budget.left_usd, budget.share) == (left, share)


def test_a_diff_of_long_unlike_texts_is_quick_and_short() -> None:
    before, after = ("a b " * 20_000, "b a " * 20_000)
    lines = ("a\n" * 20_000, "b\n" * 20_000)
    started = time.process_time()
    for old, new in ((before, after), lines, ("x" * 100_000, "y" * 100_000)):
        assert sum(len(segment.text) for segment in word_diff(old, new)) < 3_000
    assert time.process_time() - started < 5, "quadratic would take minutes"
