from __future__ import annotations

import random
import re

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dataflow_assets.records import Section, identity, text_hash
from dataflow_assets.settings import ChunkingSettings
from dataflow_assets.stages.chunk import chunk_document, findings_of
from dataflow_assets.stages.markup import code_blocks
from dataflow_assets.stages.tokens import count_tokens

STRATEGIES = ["structure", "tokens", "sentences", "paragraphs"]
WORDS = [
    "library", "document", "chunk", "index", "search", "vector", "token", "stage", "run", "table", "row", "home", "source",
    "text", "page", "word", "line", "block", "model", "report", "catalog", "ledger", "spool", "queue", "bucket", "shard",
    "filter", "query", "answer", "number", "hash", "the", "of", "and", "to", "in", "is", "that", "for", "with",
]  # fmt: skip


def cut(text, markup="markdown", strategy="structure", max_tokens=1000, overlap=None, document="d", sections=()):
    settings = ChunkingSettings(strategy=strategy, max_tokens=max_tokens, overlap_tokens=overlap)
    return chunk_document(
        library="l", document_id=document, text=text, markup=markup, settings=settings, input_hash="h", sections=sections
    )  # fmt: skip


def check(text, chunks, max_tokens, overlap=0, strategy="structure"):
    end = 0
    for number, chunk in enumerate(chunks):
        assert chunk.text == text[chunk.start_position : chunk.end_position]
        assert chunk.text.strip()
        assert chunk.character_count == len(chunk.text)
        assert chunk.text_hash == text_hash(chunk.text)
        assert chunk.token_count == count_tokens(chunk.text) <= max_tokens
        assert (chunk.chunk_index, chunk.total_chunks) == (number, len(chunks))
        shared = text[chunk.start_position : end] if chunk.start_position < end else ""
        assert chunk.overlap_tokens == count_tokens(shared) <= overlap
        assert not text[end : chunk.start_position].strip()
        assert chunk.end_position > end or strategy == "tokens"
        assert len(chunk.protected_spans) % 2 == 0
        end = max(end, chunk.end_position)
    assert not text[end:].strip()
    assert len({chunk.chunk_id for chunk in chunks}) == len(chunks)
    assert bool(chunks) == bool(text.strip())


def dice(seed):
    return random.Random(seed)


def sentence(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(4, 18))).capitalize() + rng.choice(
        [".", ".", ":", "?"]
    )


def paragraph(rng):
    return " ".join(sentence(rng) for _ in range(rng.randint(1, 6)))


def page(rng, blocks=60):
    """A page as people write them."""
    made = [f"# {sentence(rng)}"]
    for _ in range(blocks):
        kind = rng.random()
        if kind < 0.2:
            made.append(f"{'#' * rng.randint(2, 4)} {sentence(rng)}")
        elif kind < 0.3:
            lines = "".join(f"{rng.choice(WORDS)} = {rng.randint(0, 999)}\n" for _ in range(rng.randint(1, 12)))
            made.append(f"```py\n{lines}```")
        elif kind < 0.4 and not made[-1].startswith("- "):
            made.append("\n".join(f"- {sentence(rng)}" for _ in range(rng.randint(2, 8))))
        elif kind < 0.45:
            made.append("\n".join(f"| {rng.choice(WORDS)} | {sentence(rng)} |" for _ in range(rng.randint(2, 8))))
        else:
            made.append(paragraph(rng))
    return "\n\n".join(made) + "\n"


pieces = st.sampled_from(
    ["# A long heading, with `snippets_in_code_and_names::like::these(x)` { #anchor-of-it }\n",
     "word", "Sentence one. ", "Two! ", "x = 1", " ", "\n", "\n\n", "\r\n", "\r", "\t", "\x0c", "\u2028", "\x1c", "\x00",
     "# H\n", "```\n", "- a\n", "> q\n", "    code\n", "| a |\n", "a::\n\n  b\n", "==\n", "漢字かな。", "中文没有空格",
     "😀", "\u0301", "\ud800", "\ud83d\ude00", "<|endoftext|>", "a" * 70, "!" * 40, " " * 50, "..", "''", "don't ", "1234567 "]
)  # fmt: skip


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(
    parts=st.lists(pieces, max_size=120), markup=st.sampled_from(["text", "markdown", "rst"]),
    max_tokens=st.integers(16, 60), share=st.integers(0, 8),
)  # fmt: skip
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_text_is_cut_exactly(strategy, parts, markup, max_tokens, share):
    text = "".join(parts)
    chunks = cut(text, markup, strategy, max_tokens, share)
    check(text, chunks, max_tokens, 0 if strategy == "structure" else share, strategy)


@pytest.mark.parametrize(
    ("strategy", "markup", "share", "parts"),
    [
        ("paragraphs", "text", 6, ["<|endoftext|>", "# A long heading, with `snippets_in_code_and_names::like::these(x)` "
         "{ #anchor-of-it }\n", " " * 50]),
        ("tokens", "text", 3, ["# A long heading, with `snippets_in_code_and_names::like::these(x)` { #anchor-of-it }\n",
         "Sentence one. ", "\ud83d\ude00", "\ud83d\ude00", "# A long heading, with `snippets_in_code_and_names::like::these(x)` "
         "{ #anchor-of-it }\n"]),
    ],
)  # fmt: skip
def test_no_chunk_says_nothing_of_its_own_or_shares_too_much(strategy, markup, share, parts):
    text = "".join(parts)
    check(text, cut(text, markup, strategy, 16, share), 16, share, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("max_tokens", [50, 200])
def test_pages_are_cut_exactly(strategy, max_tokens):
    for seed in range(5):
        text = page(dice(seed))
        chunks = cut(text, strategy=strategy, max_tokens=max_tokens, overlap=max_tokens // 5)
        check(text, chunks, max_tokens, 0 if strategy == "structure" else max_tokens // 5, strategy)


@given(
    seed=st.integers(0, 10_000),
    max_tokens=st.sampled_from([100, 200, 500]),
    how=st.sampled_from(["replace", "insert", "delete"]),
)
@hypothesis_settings(max_examples=60, deadline=None, derandomize=True)
def test_one_word_changed_gives_few_new_ids(seed, max_tokens, how):
    rng = dice(seed)
    text = page(rng, 120)
    words = list(re.finditer(r"(?<=[a-z]) ([a-z]+) (?=[a-z])", text))
    word = rng.choice(words[len(words) // 4 : -len(words) // 4])
    there = {"replace": " zorblatt042q ", "insert": f" {word[1]} zorblatt042q ", "delete": " "}[how]
    edited = text[: word.start()] + there + text[word.end() :]
    before = {chunk.chunk_id for chunk in cut(text, max_tokens=max_tokens)}
    after = {chunk.chunk_id for chunk in cut(edited, max_tokens=max_tokens)}
    assert 1 <= len(after - before) <= 3


def test_a_paragraph_inserted_on_top_renames_little_below():
    text = page(dice(3), 200)
    before = {chunk.chunk_id for chunk in cut(text, max_tokens=200)}
    after = {chunk.chunk_id for chunk in cut(f"A new beginning.\n\n{text}", max_tokens=200)}
    assert len(after - before) <= 3 < len(before)


def test_chunks_are_well_filled():
    chunks = [chunk for seed in range(8) for chunk in cut(page(dice(seed), 150), max_tokens=200)]
    assert 600 <= sum(chunk.character_count for chunk in chunks) / len(chunks) <= 900
    assert sum(chunk.token_count < 50 for chunk in chunks) / len(chunks) < 0.05


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_short_document_is_one_chunk(strategy):
    text = "\n\n" + page(dice(1), 8) + "\n \n"
    (chunk,) = cut(text, strategy=strategy)
    assert chunk.text == text.strip()
    assert chunk.strategy == strategy


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("text", ["", " ", "\n\r\x0c\u2028 \t" * 100, "\n" * 100_000])
def test_white_space_has_no_chunks(strategy, text):
    assert cut(text, strategy=strategy) == []


def test_blocks_that_fit_stay_whole():
    for seed in range(6):
        text = page(dice(seed), 100)
        spans = [(chunk.start_position, chunk.end_position) for chunk in cut(text, max_tokens=150)]
        for block in re.finditer(r"(?:.+\n)+", text):
            if not block[0].startswith("#") and count_tokens(block[0]) <= 150:
                assert any(a <= block.start() and block.end() - 1 <= b for a, b in spans), block[0]


def test_code_that_is_too_large_is_cut_at_line_ends():
    text = "# Title\n\nIntroduction:\n\n```\n" + "".join(f"value_{i} = {i}\n\n" for i in range(100)) + "```\n\nEnd.\n"
    chunks = cut(text, max_tokens=60)
    check(text, chunks, 60)
    assert all(chunk.start_position == 0 or text[chunk.start_position - 1] == "\n" for chunk in chunks)


def test_no_heading_stands_alone():
    for seed in range(6):
        for chunk in cut(page(dice(seed), 100), max_tokens=200):
            lines = chunk.text.rstrip().splitlines()
            if chunk.chunk_index < chunk.total_chunks - 1:
                assert not lines[-1].startswith("#"), chunk.text


def test_the_heading_path_holds_the_headings_above():
    body = "word " * 70
    text = f"# A\n\n{body}\n\n## B\n\n{body}\n\n### C\n\n{body}\n\n## D\n\n{body}\n"
    chunks = cut(text, max_tokens=100)
    assert [chunk.heading_path for chunk in chunks] == [("A",), ("A", "B"), ("A", "B", "C"), ("A", "D")]
    (whole,) = cut(text)
    assert whole.heading_path == ("A",)
    rst = f"Top\n===\n\n{body}\n\nSub\n---\n\n{body}\n"
    assert [chunk.heading_path for chunk in cut(rst, "rst", max_tokens=100)] == [("Top",), ("Top", "Sub")]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_code_is_protected_wherever_it_is_cut(strategy):
    text = page(dice(5), 80) + "\n```\n" + "x = 1\n" * 300 + "```\n"
    inside = {i for start, end in code_blocks(text, "markdown") for i in range(start, end)}
    assert inside
    for chunk in cut(text, strategy=strategy, max_tokens=100):
        flat = chunk.protected_spans
        said = {chunk.start_position + i for a, b in zip(flat[::2], flat[1::2], strict=True) for i in range(a, b)}
        assert said == inside & set(range(chunk.start_position, chunk.end_position))


def test_ids_follow_the_text_and_not_the_place():
    text = ("same words here. " * 30 + "\n\n") * 6
    chunks = cut(text, max_tokens=130)
    assert len({chunk.text for chunk in chunks}) < len(chunks)
    assert chunks[0].chunk_id == identity("d", chunks[0].text_hash, "0")
    assert chunks[1].chunk_id == identity("d", chunks[1].text_hash, "1")
    assert not {c.chunk_id for c in chunks} & {c.chunk_id for c in cut(text, max_tokens=130, document="e")}


def test_windows_share_about_as_many_tokens_as_asked_for():
    text = page(dice(9), 300)
    chunks = cut(text, strategy="tokens", max_tokens=300, overlap=60)
    shared = sorted(chunk.overlap_tokens for chunk in chunks[1:])
    assert shared[0] >= 40
    assert shared[-1] <= 60
    assert all(chunk.token_count >= 280 for chunk in chunks[:-1])


def test_sentences_and_paragraphs_are_shared_whole():
    text = "\n\n".join(" ".join(f"This is sentence {i} {j} of the text." for j in range(3)) for i in range(40)) + "\n"
    for strategy, start in (("sentences", "This is sentence"), ("paragraphs", "This is sentence")):
        chunks = cut(text, strategy=strategy, max_tokens=120, overlap=45)
        check(text, chunks, 120, 45, strategy)
        assert all(chunk.text.lstrip().startswith(start) and chunk.text.endswith(".") for chunk in chunks)
        assert all(chunk.overlap_tokens > 0 for chunk in chunks[1:])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "text",
    [
        "a" * 100_000, "x" + " " * 100_000 + "y", "word " * 20_000, "a\n" * 20_000, "漢字" * 15_000, "\0" * 20_000,
        "<|endoftext|>" * 2_000, "> " * 20_000, "- a\n" * 10_000, "a\r\nb\rc\x0cd\u2028e " * 3_000,
        "\ud83d\ude00" * 2_000, "\ud800" * 4_000, "# h\n" * 10_000, "Foo bar. " * 8_000, "." * 50_000,
        "".join(f"{'#' * (i % 6 + 1)} h{i}\n\n" for i in range(5_000)),
    ],
    ids=lambda text: ascii(text[:6]),
)  # fmt: skip
def test_hostile_texts_are_cut(strategy, text):
    chunks = cut(text, strategy=strategy)
    end = 0
    for chunk in chunks:
        assert chunk.token_count <= 1000
        assert not text[end : chunk.start_position].strip()
        end = max(end, chunk.end_position)
    assert not text[end:].strip()
    for chunk in chunks[:: max(1, len(chunks) // 5)]:
        assert chunk.text == text[chunk.start_position : chunk.end_position]
        assert chunk.token_count == count_tokens(chunk.text)


def test_the_chunk_validators():
    settings = ChunkingSettings(max_tokens=20)
    assert findings_of("x" * 100, 20, settings) == ()
    short = findings_of("short", 2, settings)
    assert [(f.validator, f.severity, f.field, f.value) for f in short] == [
        ("min_characters", "warning", "character_count", "5"), ("min_tokens", "warning", "token_count", "2"),
    ]  # fmt: skip
    long = findings_of("x" * 121, 1501, settings)
    assert [(f.validator, f.severity, f.value) for f in long] == [
        ("max_characters", "warning", "121"),
        ("max_tokens", "error", "1501"),
    ]
    assert all(f.message and f.suggestion for f in (*short, *long))
    assert [f.validator for f in cut("short")[0].issues] == ["min_characters", "min_tokens"]


def talk(*said, ids=True):
    """A conversation: the text, and a section for each message; each answers the one before."""
    sections, position = [], 0
    for number, (role, text) in enumerate(said):
        sections.append(
            Section(
                position, position + len(text), None, role, f"2025-06-14T10:{number % 60:02}:00Z",
                f"m{number}" if ids else None, f"m{number - 1}" if ids and number else None,
            )
        )  # fmt: skip
        position += len(text) + 2
    return "\n\n".join(text for _, text in said), tuple(sections)


@pytest.mark.parametrize("strategy", [None, "messages"])
@given(
    said=st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.lists(pieces, max_size=12).map("".join)), max_size=12),
    max_tokens=st.integers(16, 60),
)  # fmt: skip
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_message_that_fits_is_one_chunk_to_the_character(strategy, said, max_tokens):
    text, sections = talk(*said)
    chunks = cut(text, "messages", strategy, max_tokens, sections=sections)
    check(text, chunks, max_tokens)
    first = {}
    for number, (section, (role, message)) in enumerate(zip(sections, said, strict=True)):
        mine = [
            chunk for chunk in chunks if section.start <= chunk.start_position and chunk.end_position <= section.end
        ]
        mine = [chunk for chunk in mine if chunk.start_position < section.end]
        assert bool(mine) == bool(message.strip())
        if mine:
            first[f"m{number}"] = mine[0].chunk_id
        if message.strip() and count_tokens(message) <= max_tokens:
            assert [chunk.text for chunk in mine] == [message]
        for chunk in mine:
            assert (chunk.strategy, chunk.role, chunk.said_at) == ("messages", role, section.said_at)
            assert chunk.reply_to == first.get(section.reply_to)
    assert len(chunks) == sum(chunk.role is not None for chunk in chunks)


def test_a_message_that_is_too_long_is_cut_by_its_structure():
    long = page(dice(4), 40)
    text, sections = talk(("user", "Tell me all."), ("assistant", long), ("user", "Thanks."))
    chunks = cut(text, "messages", None, 200, sections=sections)
    inner = chunks[1:-1]
    alone = cut(long, max_tokens=200)
    assert [chunk.text for chunk in inner] == [chunk.text for chunk in alone]
    assert [chunk.heading_path for chunk in inner] == [chunk.heading_path for chunk in alone]
    assert [chunk.protected_spans for chunk in inner] == [chunk.protected_spans for chunk in alone]
    assert {chunk.reply_to for chunk in inner} == {chunks[0].chunk_id}
    assert chunks[-1].reply_to == inner[0].chunk_id


def test_an_open_code_fence_ends_with_its_message():
    text, sections = talk(
        ("user", "```\nx = 1"), ("assistant", "That is Python."), ("user", "# Not a heading\nof the next")
    )
    chunks = cut(text, "messages", sections=sections, strategy=None)
    assert [chunk.protected_spans for chunk in chunks] == [(0, 9), (), ()]
    assert chunks[1].heading_path == ()


def test_what_stands_between_messages_is_cut_too():
    text = "Saved from a chat.\n\nhello\n\nEnd of it."
    sections = (Section(20, 25, None, "user"),)
    chunks = cut(text, "messages", None, sections=sections)
    check(text, chunks, 1000)
    assert [(chunk.text, chunk.role) for chunk in chunks] == [
        ("Saved from a chat.", None), ("hello", "user"), ("End of it.", None),
    ]  # fmt: skip


def test_an_answer_to_what_is_not_there_answers_nothing():
    sections = (Section(0, 3, None, "user", None, "a", "elsewhere"), Section(5, 8, None, "bot", None, "b", "a"))
    first, second = cut("one\n\ntwo", "messages", None, sections=sections)
    assert (first.reply_to, second.reply_to) == (None, first.chunk_id)


def test_the_strategy_follows_the_document_unless_it_is_named():
    text, sections = talk(("user", "First things first."), ("assistant", "And second things second."))
    assert {chunk.strategy for chunk in cut(text, "messages", None, sections=sections)} == {"messages"}
    assert {chunk.strategy for chunk in cut(text, "markdown", None)} == {"structure"}
    assert cut(text, "markdown", "messages") == cut(text, "markdown", None) == cut(text, "markdown", "structure")
    (whole,) = cut(text, "messages", "structure", sections=sections)
    assert (whole.text, whole.role, whole.reply_to) == (text, None, None)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_other_strategies_name_who_speaks_where_one_does(strategy):
    said = [("user", page(dice(1), 20)), ("assistant", "short"), ("user", page(dice(2), 20))]
    text, sections = talk(*said)
    chunks = cut(text, "messages", strategy, 100, sections=sections)
    check(text, chunks, 100, 20, strategy)
    for chunk in chunks:
        inside = [s for s in sections if s.start <= chunk.start_position and chunk.end_position <= s.end]
        assert (chunk.role, chunk.said_at) == ((inside[0].role, inside[0].said_at) if inside else (None, None))
    assert {"user", "assistant"} >= {chunk.role for chunk in chunks if chunk.role} != set()


@pytest.mark.parametrize("strategy", [None, *STRATEGIES])
@given(
    pages=st.lists(st.lists(pieces, max_size=15).map("".join), min_size=1, max_size=8), max_tokens=st.integers(16, 60)
)
@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_chunk_knows_its_pages(strategy, pages, max_tokens):
    sections, position = [], 0
    for number, said in enumerate(pages, start=1):
        sections.append(Section(position, position + len(said), page=number))
        position += len(said) + 1
    text = "\n".join(pages)
    for chunk in cut(text, "markdown", strategy, max_tokens, 0, sections=tuple(sections)):
        touched = [
            s.page for s in sections if max(s.start, chunk.start_position) < min(s.end, chunk.end_position)
        ]  # fmt: skip
        assert [chunk.first_page, chunk.last_page] == [touched[0], touched[-1]]
        assert chunk.role is None


def test_a_document_without_pages_has_none():
    (chunk,) = cut("Some text that is long enough.")
    assert (chunk.first_page, chunk.last_page) == (None, None)


def test_a_title_that_nothing_marks_stays_with_its_text():
    texts = []
    for seed in range(12):
        rng = dice(seed)
        titled = [
            f"{rng.choice(WORDS).capitalize()} and {rng.choice(WORDS)}\n\n{paragraph(rng)}\n\n{paragraph(rng)}"
            for _ in range(20)
        ]
        texts.append("\n\n".join(titled) + "\n")
    for text in texts:
        for chunk in cut(text, "text", max_tokens=120)[:-1]:
            assert chunk.text.splitlines()[-1][-1] in ".:?", chunk.text


def test_lines_that_are_paragraphs_stay_whole_in_a_text_without_blank_lines():
    rng = dice(11)
    lines = [" ".join(sentence(rng).rstrip(":?.") + "." for _ in range(4)) for _ in range(40)]
    chunks = cut("\n".join(lines), "text", max_tokens=200)
    broken = sum(not any(line in chunk.text for chunk in chunks) for line in lines)
    assert broken <= 2


def test_sentences_without_capitals_are_sentences():
    rng = dice(12)
    said = [sentence(rng).rstrip(".:?").lower() + "." for _ in range(60)]
    for chunk in cut(" ".join(said), "text", max_tokens=80):
        assert chunk.text.endswith(".")


def test_an_abbreviation_before_a_small_letter_does_not_split_a_sentence_that_fits():
    said = "The values (approx. five of them, max. ten) are given in the list. "
    chunks = cut(said * 40, "text", max_tokens=64)
    assert all(chunk.text.startswith("The values") and chunk.text.endswith("list.") for chunk in chunks)
