"""One row per chunk, and the row says what came of it."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from dataflow_assets.model_settings import CorrectionSettings
from dataflow_assets.models.base import Asked, Edits, Objection, Proposal
from dataflow_assets.records import Correction, text_hash
from dataflow_assets.stages.correct import ChunkText, correct_chunks, located, skip_chunk

LOCAL = CorrectionSettings(model="local")
LINE = "We recieve the data, which is a line of some length."


class Replacing:
    """A corrector that replaces one word and remembers what it was asked."""

    name = "replacing-1"

    def __init__(self, old: str = "recieve", new: str = "receive") -> None:
        self.old, self.new = old, new
        self.asked: list[str] = []

    def propose(self, texts: Iterable[Asked], objection: Objection | None = None) -> Iterator[Proposal]:
        for asked in texts:
            self.asked.append(asked.text)
            yield Proposal(asked.key, text=asked.text.replace(self.old, self.new))


class Listing:
    """A corrector that answers with edits, as a language model does, or not at all."""

    name = "listing-1"

    def __init__(self, *edits: tuple[str, str], **instead: str) -> None:
        self.edits, self.instead = edits, instead
        self.objections: list[str | None] = []

    def propose(self, texts: Iterable[Asked], objection: Objection | None = None) -> Iterator[Proposal]:
        for asked in texts:
            assert objection is not None
            self.objections.append(objection(asked.text, self.edits))
            if self.instead:
                yield Proposal(asked.key, **self.instead)  # type: ignore[arg-type]
            else:
                yield Proposal(asked.key, parts=((asked.text, self.edits),))


def rows_of(chunks: list[ChunkText], corrector: Replacing | Listing, settings: CorrectionSettings) -> list[Correction]:
    made = {row.chunk_id: row for row in correct_chunks(chunks, corrector=corrector, settings=settings)}
    return [made[chunk.chunk_id] for chunk in chunks]


def chunk(text: str, chunk_id: str = "c", protected_spans: tuple[int, ...] = ()) -> ChunkText:
    return ChunkText("lib", chunk_id, "doc", text, text_hash(text), protected_spans, f"input-{chunk_id}")


def test_off_means_skipped_with_a_reason() -> None:
    row = skip_chunk(chunk(LINE), CorrectionSettings(model="none"))
    assert row is not None
    assert (row.status, row.corrected_text, row.model, row.waiting) == ("skipped", None, "none", False)
    assert row.reason


@pytest.mark.parametrize(
    "settings",
    [
        {"languages": ("de",)},
        {"doc_types": ("tutorial",)},
        {"include": ("*/blog/*",)},
        {"exclude": ("file://*",)},
    ],
)
def test_settings_leave_documents_out(settings: dict[str, tuple[str, ...]]) -> None:
    wanted = CorrectionSettings(model="local", **settings)  # type: ignore[arg-type]
    english = ChunkText("lib", "c", "doc", LINE, "h", (), "i", "en", "guide", "file://docs/a.md")
    german = ChunkText("lib", "c", "doc", LINE, "h", (), "i", "de", "tutorial", "https://x.org/blog/a.md")
    left_out = skip_chunk(english, wanted)
    assert left_out is not None
    assert left_out.status == "skipped"
    assert skip_chunk(german, wanted) is None
    assert skip_chunk(english, LOCAL) is None


def test_only_what_the_wanted_roles_said_is_corrected() -> None:
    wanted = CorrectionSettings(model="local", roles=("user", "Ann B."))
    assert wanted.selective
    assert wanted.deciding != LOCAL.deciding
    assert skip_chunk(replace(chunk(LINE), role="user"), wanted) is None
    for role in ("assistant", None):
        left_out = skip_chunk(replace(chunk(LINE), role=role), wanted)
        assert left_out is not None
        assert (left_out.status, left_out.model) == ("skipped", "none")
        assert "corrections.roles" in str(left_out.reason)
        assert skip_chunk(replace(chunk(LINE), role=role), LOCAL) is None


def test_rows_carry_what_came_of_each_chunk_in_order() -> None:
    corrector = Replacing()
    chunks = [chunk(LINE, "a"), chunk("Nothing here.", "b"), chunk("`recieve` is code.", "c"), chunk("", "d")]
    rows = rows_of(chunks, corrector, LOCAL)
    assert [row.chunk_id for row in rows] == ["a", "b", "c", "d"]
    assert [row.status for row in rows] == ["corrected", "unchanged", "unchanged", "unchanged"]
    assert [row.corrected_text for row in rows] == [LINE.replace("recieve", "receive"), None, None, None]
    assert all(row.reason is None and row.model == "replacing-1" for row in rows)
    assert [row.text_hash for row in rows] == [c.text_hash for c in chunks]
    assert [row.input_hash for row in rows] == ["input-a", "input-b", "input-c", "input-d"]
    assert (rows[0].library, rows[0].document_id) == ("lib", "doc")


def test_a_broken_rule_is_refused_with_the_reason() -> None:
    (row,) = rows_of([chunk(LINE)], Replacing("We recieve the data", "Wir bekommen"), LOCAL)
    assert (row.status, row.corrected_text) == ("refused", None)
    assert row.reason


def test_the_bound_is_the_setting() -> None:
    settings = CorrectionSettings(model="local", max_change=0.01)
    (row,) = rows_of([chunk(LINE)], Replacing(), settings)
    assert row.status == "refused"
    assert "1%" in (row.reason or "")


def test_no_chunks_ask_nothing() -> None:
    corrector = Replacing()
    assert list(correct_chunks([], corrector=corrector, settings=LOCAL)) == []
    assert corrector.asked == []


CLAUDE = CorrectionSettings(model="claude-haiku-5-5")


def test_edits_are_placed_and_judged() -> None:
    text = "We recieve teh data. See `teh` and teh end, from 2024."
    (row,) = rows_of([chunk(text)], Listing(("recieve", "receive"), ("teh", "the"), ("teh", "the")), CLAUDE)
    assert row.corrected_text == "We receive the data. See `teh` and the end, from 2024."
    assert (row.status, row.model, row.reason) == ("corrected", "listing-1", None)


@pytest.mark.parametrize(
    ("edits", "why"),
    [
        ((("2024", "2025"),), "protected"),
        ((("`teh`", "`the`"),), "protected"),
        ((("not a test", "a test"),), "meaning"),
        ((("This is not a test of 2024", "Ceci n'est pas un essai de 2024"),), "word"),
        ((("`teh`", "`teh` (Note: I left this as it is.)"),), "would"),
    ],
)
def test_an_edit_that_breaks_a_rule_is_refused(edits: Edits, why: str) -> None:
    (row,) = rows_of([chunk("This is not a test of 2024 and `teh` rest of it.")], Listing(*edits), CLAUDE)
    assert (row.status, row.corrected_text) == ("refused", None)
    assert why in (row.reason or "")


def test_only_another_text_is_worth_asking_again() -> None:
    rewriting = Listing(("We recieve the data", "The information reaches all of us"))
    detail = Listing(("recieve", "2 receive"))
    fine = Listing(("recieve", "receive"))
    for corrector in (rewriting, detail, fine):
        rows_of([chunk(LINE)], corrector, CLAUDE)
    assert rewriting.objections[0] is not None
    assert fine.objections == [None]


def test_a_bad_edit_does_not_stand_in_part_and_the_good_ones_stand() -> None:
    edits = (("recieve", "receive"), ("which is a line of some length", "which has line of a length"))
    (row,) = rows_of([chunk(LINE)], Listing(*edits), CLAUDE)
    assert row.corrected_text == LINE.replace("recieve", "receive")


def test_what_nobody_answered_says_so() -> None:
    for status, row_status, waits in (
        ("refused", "refused", False),
        ("failed", "failed", False),
        ("waits", "failed", True),
    ):
        (row,) = rows_of([chunk(LINE)], Listing(status=status, reason="because"), CLAUDE)
        assert (row.status, row.reason, row.waiting, row.corrected_text) == (row_status, "because", waits, None)


def test_the_glossary_stays() -> None:
    settings = CorrectionSettings(model="claude-haiku-5-5", glossary=("teh Corp",))
    text = "At teh Corp we fix teh rest."
    (row,) = rows_of([chunk(text)], Listing(("teh", "the"), ("teh", "the")), settings)
    assert row.corrected_text == "At teh Corp we fix the rest."


def test_an_edit_is_meant_for_whole_words_and_as_many_as_are_listed() -> None:
    text = "form a form, reform; from form"
    assert located(text, [("form", "from")]) == []  # for which of three?
    assert [(e.start, e.end) for e in located(text, [("a form", "a from")])] == [(5, 11)]
    assert [e.start for e in located(text, [("form", "from")] * 3)] == [0, 7, 26]
    assert located(text, [("form", "from"), ("form", "foam"), ("form", "from")]) == []
    assert [e.start for e in located(text, [("form a", "x"), ("a form", "y")])] == [0]  # overlapping: the first
    assert located(text, [("nowhere", "x")]) == []
