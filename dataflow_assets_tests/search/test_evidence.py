"""What a result shows for itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.search.evidence import MAX_HIGHLIGHTS, highlights, link


def test_whole_words_whatever_their_case() -> None:
    text = "Keys: a KEY, monkeys and key_ring."
    assert [text[a:b] for a, b in highlights(text, ["key", "keys"])] == ["Keys", "KEY", "key"]


def test_letters_whose_small_form_is_longer_move_nothing() -> None:
    text = "İİİ Key"
    assert [text[a:b] for a, b in highlights(text, ["key"])] == ["Key"]


@given(st.text(max_size=200), st.lists(st.text(min_size=1, max_size=5).map(str.lower), max_size=5))
def test_spans_are_in_order_and_inside(text: str, words: list[str]) -> None:
    spans = highlights(text, words)
    assert list(spans) == sorted(spans)
    assert len(spans) <= MAX_HIGHLIGHTS
    assert all(0 <= start < end <= len(text) for start, end in spans)


def test_links_name_page_and_span() -> None:
    assert link("docs/a.pdf", 3, 9, 2) == "docs/a.pdf#page=2&char=3,9"
    assert link("https://x/y#top", 3, 9, None) == "https://x/y#top&char=3,9"
