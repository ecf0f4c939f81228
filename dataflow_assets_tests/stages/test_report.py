from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hashlib
import re
from html.parser import HTMLParser
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_assets.models.ledger import CallStatus
from dataflow_assets.stages.figures import (
    AskingFigures,
    BudgetFigures,
    CallFigures,
    CorrectionSample,
    Coverage,
    DiffSegment,
    DuplicateGroup,
    EmbeddingFigures,
    FailedCalls,
    Figures,
    FindingGroup,
    Funnel,
    Histogram,
    ReasonGroup,
    Sample,
    Share,
    Snapshot,
    WeakDocument,
)
from dataflow_assets.stages.report import MAX_BYTES, StageTiming, headline, render_report, summary_markdown

NOW = dt.datetime(2026, 3, 4, 5, 6)
STAGES = (
    StageTiming("raw_documents", 0.25, 120_000_000, 31, 4, 1201, 2, 0),
    StageTiming("embeddings", 75.0, 410_000_000, 77, 0, 3, 0, 5),
)
VOID = {"meta", "rect", "line", "path", "circle", "br"}


def full(text: str = "Plain", count: int = 3) -> Figures:
    """Figures in which every section is there and every text is the same."""
    sample = Sample(text, f"docs/{text}")
    diff = (DiffSegment("same", text), DiffSegment("gone", text), DiffSegment("new", text), DiffSegment("cut"))
    return Figures(
        library="handbook",
        overall_score=0.871,
        characters=1_000_000,
        tokens=250_123,
        chunk_tokens=251_000,
        funnel=Funnel(
            listed=1237, fetched=1235, size_bytes=5_400_000, valid=1200, rejected=17, duplicates=20, chunked=1199, chunks=4321,
            distinct_texts=4300, corrected=211, unchanged=4000, refused=13, skipped=0, failed=97, embedded=4310,
            embedding_refused=4, embedding_failed=7, indexed=4305, missing_points=16, searchable_documents=1219,
        ),
        rejections=(ReasonGroup(text, 17, (sample,) * 3),) * count,
        findings=(FindingGroup("chunks", text, "error", 45, 44, text, text, (sample,) * 3),) * count,
        weakest=(WeakDocument(sample, 0.4, (text,) * 3),) * count,
        duplicate_groups=19,
        duplicates=(DuplicateGroup(sample, 2, (sample,) * 3),) * count,
        document_characters=Histogram((10.0, 20.0, 50.0, 100.0), (3, 0, 9), False, 12, 11.0, 60.0, 70.0, 88.0, 50.0),
        document_tokens=Histogram((0.0, 1.0), (12,), False, 12, 0.0, 0.0, 0.0, 0.0, 0.0),
        chunk_token_counts=Histogram(
            tuple(50.0 * x for x in range(22)), tuple(range(21)), False, 210, 0.0, 700.0, 990.0, 1000.0, 650.0
        ),
        quality_scores=Histogram(tuple(x / 10 for x in range(11)), (0,) * 9 + (2, 10), True, 12, 0.9, 1.0, 1.0, 1.0, 0.98),
        content_quality=Histogram(tuple(x / 10 for x in range(11)), (1,) * 11, True, 11, 0.0, 0.5, 0.9, 1.0, 0.5),
        languages=(Share(text, 1100), Share("other", 100)),
        doc_types=(Share(text, 1200),),
        media_types=(Share(text, 1237),),
        coverage=Coverage(1_000_000, 990_000, 6_000, 0.994, 1),
        corrections=(CorrectionSample(sample, 3, (text,) * 3, diff, text),) * count,
        refusals=(ReasonGroup(text, 13, (sample,)),) * count,
        unanswered=(ReasonGroup(text, 11, (sample,)),) * count,
        correctors=(Share(text, 4000),),
        embeddings=(EmbeddingFigures(text, 256, 4310, 2, 0.5, 0.98, 1.2),) * count,
        generations=1,
        calls=(CallFigures(text, text, text, 12, 1, 180, 9000, 8000, 70, 12.5, 0.4321, 0.0123),) * count,
        failed_calls=(FailedCalls(text, 5, 0.0123, text),) * count,
        cost_usd=0.4321,
        held_usd=0.0123,
        saved_texts=9876,
        saved_usd=3.21,
        asking=(
            AskingFigures(
                text, 5005, 2002, 3003, 77, 6, 123_456, 6543, 42, 0.2468, 0.1357, 0.0123, (Share(text, 9), Share("lost", 2)),
                (Share(text, 8),), 55, text, unpriced=False,
            ),
        ) * count,
        budgets=(BudgetFigures("budget_usd", 5.0, 4.5), BudgetFigures("monthly_budget_usd", 2.0, 0.5)),
        previous=Snapshot(
            "2026-03-03 00:00:00", {"documents": 1200.0, "overall_score": 0.9, "rejected": 17.0}, {text: 3}, {text: 1}
        ),
    )  # fmt: skip


def render(figures: Figures, **changes: object) -> str:
    given_: dict[str, object] = {"library": figures.library, "run_id": "run-1", "generated_at": NOW, "stages": STAGES}
    return render_report(figures, **(given_ | changes))  # type: ignore[arg-type]


class Reader(HTMLParser):
    """Reads a page as a browser's tokenizer does, and insists that tags nest."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def test_the_figures_stand_in_the_page() -> None:
    text = Reader(render(full())).text
    for shown in (
        "handbook", "run-1", "2026-03-04 05:06 UTC", "0.871", "1,237", "1,235", "1,200", "1,219", "4,321", "4,310", "4,305",
        "211 corrected", "13 refused", "97 failed", "17 rejected", "20 duplicates", "99.4%", "256", "0.980",
        "$0.43", "1 min 15 s", "410 MB", "1,201", "+37", "−0.029", "median 700", "and 16 more groups",
        "16 chunks of 4,321 are not in the search index.", "104 rows failed for a reason that may pass; the next run asks again.",
    ):  # fmt: skip
        assert shown in text, shown


def test_the_page_needs_nothing_else_and_forbids_it() -> None:
    page = render(full("http://example.org/x.png"))
    reader = Reader(page)
    assert not {tag for tag, _ in reader.tags} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "a",
        "form",
        "base",
        "use",
        "image",
    }
    for _, attributes in reader.tags:
        assert not set(attributes) & {"src", "href", "xlink:href", "srcset", "style", "action", "data"}
        assert not [name for name in attributes if name.startswith("on")]
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] or "" for _, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in policy


HOSTILE = (
    "<script>alert(1)</script>", "</style><img src=x onerror=alert(1)>", "\"'><svg onload=alert(1)>", "&lt;b&gt;&#x3c;",
    "--><!--", "]]>", "a\x00b\x1b[31mc\x7f", "\u202etxt.exe\u2066", "\ud800 lone", "\ufffe\uffff", "line\u2028two\r\nthree",
    "`<b>x</b>`", "z" + "\u0301" * 400,
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_of_documents_are_only_ever_text(text: str) -> None:
    page = render(full(text), library=text, run_id=text, notes=[text])
    plain = Reader(render(full(), library="x", run_id="x", notes=["x"]))
    hostile = Reader(page)
    ignored = {"code"}  # what stands between backticks
    assert [t for t, _ in hostile.tags if t not in ignored] == [t for t, _ in plain.tags if t not in ignored]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page)
    page.encode("utf-8")


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=80))
def test_any_text_gives_a_sound_page(text: str) -> None:
    page = render(full(text, 1), library=text, notes=[text])
    Reader(page)
    page.encode("utf-8")
    summary_markdown(full(text, 1)).encode("utf-8")


def test_ids_are_unique_and_labels_point_at_them() -> None:
    reader = Reader(render(full()))
    assert len(reader.ids) == len(set(reader.ids)) > 0
    for tag, attributes in reader.tags:
        if tag == "svg" and "aria-hidden" not in attributes:
            assert attributes.get("role") == "img"
            assert attributes.get("aria-label") or set((attributes["aria-labelledby"] or "").split()) <= set(reader.ids)


def test_what_paid_models_took_stands_in_the_page() -> None:
    text = Reader(render(full())).text
    for shown in (
        "$0.43 so far, which is $0.35 for 1,000 documents.",
        "Answers from the store saved $3.21: 9,876 texts were not asked about again.",
        "Another $0.0123 may have been billed", "90.0% of the budget for life is used: $4.50 of $5.00.",
        "budget of this month $0.50 $2.00 $1.50", "5,005 3,003 2,002 77 123,456 6,543 42 $0.25 $0.14",
        "11 further tries: Plain 9, lost 2.", "6 texts asked about once more, alone", "without an answer for good: Plain (8).",
        "55 texts left: Plain.", "those of calls the provider",
    ):  # fmt: skip
        assert shown in text, shown
    assert "80% of the budget of this month" not in text


def test_a_library_without_paid_models_says_nothing_of_money() -> None:
    figures = dataclasses.replace(
        full(),
        calls=(),
        failed_calls=(),
        cost_usd=0.0,
        held_usd=0.0,
        saved_texts=0,
        saved_usd=0.0,
        asking=(),
        budgets=(),
    )
    for text in (Reader(render(figures)).text, summary_markdown(figures)):
        assert not re.search(r"\$|[Cc]ost|[Bb]udget|[Bb]illed|provider|[Ss]tore\b", text), text


def test_how_a_sample_was_mended_tells_by_whom() -> None:
    sample = CorrectionSample(Sample("Page", "p.md"), 0, (), (DiffSegment("new", "x"),), "claude-haiku-5-5")
    figures = dataclasses.replace(full(), corrections=(sample,))
    assert "Page p.md claude-haiku-5-5 x" in Reader(render(figures)).text


def test_an_unknown_price_is_never_shown_as_nothing() -> None:
    figures = dataclasses.replace(full(), asking=(AskingFigures("corrections", 5, 5, calls=1, unpriced=True),))
    assert "price unknown" in Reader(render(figures)).text
    assert "the price of its model is not known" in Reader(render(figures)).text
    assert "price unknown" in summary_markdown(figures)


def test_every_status_of_a_call_is_explained() -> None:
    for status in set(get_args(CallStatus)) - {"ok"}:
        figures = dataclasses.replace(full(), failed_calls=(FailedCalls(status, 1, 0.0, ""),))
        after = Reader(render(figures)).text.split("Calls without an answer", 1)[1]
        assert re.search(rf"{status} [^$]{{10,}} 1 \$0\.00", after), status


def test_what_waits_did_not_fail() -> None:
    funnel = dataclasses.replace(full().funnel, failed=97, waiting=97, embedding_failed=7, embedding_waiting=5)
    figures = dataclasses.replace(full(), funnel=funnel)
    text = Reader(render(figures)).text
    assert "2 rows failed for a reason that may pass" in text
    assert "97 corrections and 5 embeddings are not asked for yet" in text
    assert "97 waiting" in text
    assert "| Chunks that wait | 97 |" in summary_markdown(figures)
    said = Reader(render(figures, notes=["97 corrections are left: the budget is reached."])).text
    assert "not asked for yet" not in said, "the run said it, and why"


@pytest.mark.parametrize(
    ("usd", "shown"),
    [(0.0, "$0.00"), (0.00004, "< $0.0001"), (0.0123, "$0.0123"), (0.5, "$0.50"), (1234.5, "$1,234.50")],
)
def test_money_is_written_so_that_little_is_not_nothing(usd: float, shown: str) -> None:
    assert f"Cost {shown} so far" in Reader(render(dataclasses.replace(full(), cost_usd=usd))).text


def test_an_empty_library_says_so() -> None:
    page = render(Figures(library="new"), stages=())
    text = Reader(page).text
    assert "The library is empty" in text
    assert "first report" in text
    assert "0.000" not in text, "no score stands where there is nothing to judge"
    assert "nan" not in text.lower()
    assert "empty" in summary_markdown(Figures(library="new"))


def test_one_document_is_said_in_the_singular() -> None:
    funnel = Funnel(
        listed=1, fetched=1, valid=1, chunked=1, chunks=1, distinct_texts=1, skipped=1, embedded=1, indexed=1,
        searchable_documents=1,
    )  # fmt: skip
    text = Reader(render(Figures(library="one", overall_score=1.0, funnel=funnel), stages=())).text
    assert "The one document is searchable." in text
    assert "Nothing needs your attention." in text
    assert "Corrections are off" in text
    assert "1 point in the search index" in text
    assert "Text checked" not in text


def test_nothing_changed_is_said() -> None:
    figures = full()
    same = dataclasses.replace(figures, previous=figures.snapshot("2026-03-03"))
    assert "No figure changed." in Reader(render(same)).text


def test_notes_of_the_run_come_first() -> None:
    text = Reader(
        render(full(), notes=["12 deletes were withheld: `dataflow run handbook --accept-deletes` agrees."])
    ).text
    assert "withheld: dataflow run handbook --accept-deletes agrees." in text.replace(" dataflow", " dataflow").replace(
        "  ", " "
    )
    assert text.index("withheld") < text.index("16 chunks of 4,321")


@pytest.mark.parametrize("text", ["<" * 5000, "\U0001f600" * 5000, "&" * 300, "w " * 5000])
def test_the_page_and_the_summary_are_bounded(text: str) -> None:
    figures = full(text, 24)
    page = render(figures, stages=STAGES * 4, notes=[text] * 5)
    assert len(page.encode()) <= MAX_BYTES
    assert "4,321" in page
    assert len(summary_markdown(figures).encode()) < 10_000


def test_the_same_figures_give_the_same_page() -> None:
    assert render(full()) == render(full())
    assert render(full()) != render(dataclasses.replace(full(), overall_score=0.5))


def test_a_restored_report_is_drawn_as_it_was() -> None:
    assert render(Figures.from_dict(full().to_dict())) == render(full())


def test_the_summary_is_markdown_that_documents_cannot_break() -> None:
    summary = summary_markdown(full("a | b\n# c <img src=x> [l](javascript:x) `d`"))
    assert "| Documents | 1,237 |" in summary
    assert "<img" not in summary.replace("\\<", "")
    assert "](" not in summary.replace("\\]", "").replace("\\(", "")
    rows = [line for line in summary.splitlines() if line.startswith("|")]
    assert all(re.sub(r"\\.", "", row).count("|") in (3, 5) for row in rows)


def test_the_headline_is_numbers() -> None:
    numbers = headline(full())
    assert numbers["documents"] == 1237
    assert numbers["failed"] == 104
    assert numbers["findings"] == 135
    assert all(type(value) in (int, float) for value in numbers.values())
