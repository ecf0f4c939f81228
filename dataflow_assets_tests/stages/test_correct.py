"""One row per chunk, each text asked about once, and the row says what came of it."""

from collections.abc import Sequence

from dataflow_assets.records import text_hash
from dataflow_assets.settings import CorrectionSettings
from dataflow_assets.stages.correct import ChunkText, correct_chunks

LOCAL = CorrectionSettings(model="local")
LINE = "We recieve the data, which is a line of some length."


class Replacing:
    """A corrector that replaces one word and remembers what it was asked."""

    name = "replacing-1"

    def __init__(self, old: str = "recieve", new: str = "receive") -> None:
        self.old, self.new = old, new
        self.asked: list[str] = []

    def propose(self, texts: Sequence[str]) -> list[str]:
        self.asked += texts
        return [text.replace(self.old, self.new) for text in texts]


def chunk(text: str, chunk_id: str = "c", protected_spans: tuple[int, ...] = ()) -> ChunkText:
    return ChunkText("lib", chunk_id, "doc", text, text_hash(text), protected_spans, f"input-{chunk_id}")


def test_off_means_skipped_with_a_reason() -> None:
    for corrector, settings in ((None, LOCAL), (Replacing(), CorrectionSettings(model="none"))):
        (row,) = correct_chunks([chunk(LINE)], corrector=corrector, settings=settings)
        assert (row.status, row.corrected_text, row.model) == ("skipped", None, "none")
        assert row.reason


def test_rows_carry_what_came_of_each_chunk_in_order() -> None:
    corrector = Replacing()
    chunks = [chunk(LINE, "a"), chunk("Nothing here.", "b"), chunk("`recieve` is code.", "c"), chunk("", "d")]
    rows = correct_chunks(chunks, corrector=corrector, settings=LOCAL)
    assert [row.chunk_id for row in rows] == ["a", "b", "c", "d"]
    assert [row.status for row in rows] == ["corrected", "unchanged", "unchanged", "unchanged"]
    assert [row.corrected_text for row in rows] == [LINE.replace("recieve", "receive"), None, None, None]
    assert all(row.reason is None and row.model == "replacing-1" for row in rows)
    assert [row.text_hash for row in rows] == [c.text_hash for c in chunks]
    assert [row.input_hash for row in rows] == ["input-a", "input-b", "input-c", "input-d"]
    assert (rows[0].library, rows[0].document_id) == ("lib", "doc")


def test_a_broken_rule_is_refused_with_the_reason() -> None:
    (row,) = correct_chunks([chunk(LINE)], corrector=Replacing("We recieve the data", "Wir bekommen"), settings=LOCAL)
    assert (row.status, row.corrected_text) == ("refused", None)
    assert row.reason


def test_the_bound_is_the_setting() -> None:
    settings = CorrectionSettings(model="local", max_change=0.01)
    (row,) = correct_chunks([chunk(LINE)], corrector=Replacing(), settings=settings)
    assert row.status == "refused"
    assert "1%" in (row.reason or "")


def test_one_text_is_asked_about_once_and_protected_for_each_chunk() -> None:
    corrector = Replacing()
    chunks = [chunk(LINE, "a"), chunk(LINE, "b", (0, 12)), chunk(LINE, "c")]
    rows = correct_chunks(chunks, corrector=corrector, settings=LOCAL)
    assert corrector.asked == [LINE]
    assert [row.status for row in rows] == ["corrected", "unchanged", "corrected"]


def test_no_chunks_ask_nothing() -> None:
    corrector = Replacing()
    assert correct_chunks([], corrector=corrector, settings=LOCAL) == []
    assert corrector.asked == []
