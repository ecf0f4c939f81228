"""What a language model is asked about texts, and how its answer is read."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataflow_assets
from dataflow_assets.flow.paid import correction_question, open_ledger, paid_corrector
from dataflow_assets.model_settings import CorrectionSettings, PriceSettings
from dataflow_assets.models.asking import Fault, Tally
from dataflow_assets.models.base import Asked, CallFailed, Completion, Prompt, Usage
from dataflow_assets.models.editor import (
    SCHEMA,
    CorrectionQuestion,
    read_answer,
    split_text,
    stored_edits,
    system_prompt,
)
from dataflow_assets.models.language_question import sendable
from dataflow_assets.models.ledger import Learned
from dataflow_assets.settings import LibrarySettings
from dataflow_assets.source_settings import FilesSource
from dataflow_assets_tests.loopback import TYPOS, Loopback, Trouble, edits_of

MODEL = "claude-haiku-5-5"
TEXTS = ["We recieve it.", "Take teh other one.", "Nothing is wrong here."]


class Silent:
    """A language model that is never asked."""

    provider, batches = "anthropic", None

    def __init__(self, name: str = MODEL, parameters: Mapping[str, Any] | None = None) -> None:
        self.name, self.parameters = name, parameters or {}

    async def complete(self, prompt: Prompt) -> Completion:
        raise AssertionError

    async def close(self) -> None:
        """There is nothing to close."""


def question(model: Silent | None = None, **changed: Any) -> CorrectionQuestion:
    said: dict[str, Any] = {
        "prompt": "v1", "glossary": (), "batch_size": 15, "context_tokens": 8192, "learned": Learned(), "price": lambda usage: 0.0,
    }  # fmt: skip
    return CorrectionQuestion(model or Silent(), **{**said, **changed})


def said(*items: tuple[Any, list[tuple[str, str]]]) -> str:
    listed = [
        {"id": name, "edits": [{"original": old, "corrected": new} for old, new in edits]} for name, edits in items
    ]
    return json.dumps({"texts": listed})


def read(
    answer: str, *, texts: list[str] = TEXTS, **how: bool
) -> tuple[dict[int, list[tuple[str, str]]], dict[int, str]]:
    """Read an answer; give edits and reasons by position."""
    answers, faults = read_answer(texts, answer, **how)
    assert set(answers) | set(faults) == set(range(len(texts)))
    assert not set(answers) & set(faults)
    assert all(isinstance(fault, Fault) and not fault.passing for fault in faults.values())
    return {place: [*stored_edits(one)] for place, one in answers.items()}, {p: f.reason for p, f in faults.items()}


# ---- reading ----

WHOLE = said(("1", [("recieve", "receive")]), ("2", [("teh", "the")]), ("3", []))
EDITS = {0: [("recieve", "receive")], 1: [("teh", "the")], 2: []}


@pytest.mark.parametrize(
    "answer",
    [
        WHOLE,
        f"```json\n{WHOLE}\n```",
        f"Here you are:\n\n{WHOLE}\n\nI hope that helps! {{}}",
        json.dumps(json.loads(WHOLE), indent=4),
        said(*[(name, edits) for name, edits in [("3", []), ("1", EDITS[0]), ("2", EDITS[1])]]),
        json.dumps({"note": "x", **json.loads(WHOLE)}),
        said(("1", [("recieve", "receive"), ("", "x"), ("it", "it")]), ("2", EDITS[1]), ("3", [])),
    ],
)
def test_a_whole_answer_is_read_in_any_wrapping(answer: str) -> None:
    assert read(answer) == (EDITS, {})


@given(st.integers(0, len(WHOLE) - 1), st.booleans(), st.sampled_from(["", "```json\n", "Here: "]))
def test_of_a_cut_answer_the_whole_items_stand(end: int, told: bool, before: str) -> None:
    answers, faults = read(before + WHOLE[:end], cut=told)
    items = [json.dumps(item) for item in json.loads(WHOLE)["texts"]]
    assert set(answers) == {place for place, item in enumerate(items) if item in WHOLE[:end]}
    assert all(answers[place] == EDITS[place] for place in answers)
    assert all("cut off" in reason or "not what was asked for" in reason for reason in faults.values())


@given(st.text(max_size=200) | st.recursive(st.none() | st.text(max_size=5) | st.integers() | st.just("1"),
       lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["texts", "id", "edits", "original"]), inner, max_size=3),
       max_leaves=12).map(json.dumps))  # fmt: skip
def test_any_answer_at_all_is_read(answer: str) -> None:
    answers, _ = read(answer)
    for place, edits in answers.items():
        assert all(old in TEXTS[place] for old, _ in edits)


@pytest.mark.parametrize(
    "answer",
    [
        "", "Sorry.", "null", "7", "[]", "{}", '{"texts": null}', '{"texts": {}}', '{"texts": "no"}', '{"text": []}', "{" * 9999,
        '{"texts": [' * 9999, '{"texts": [' + " " * 500_000, '{"texts": [' + ", " * 250_000 + "x", '{"texts": [{"id": ' + "1" * 9999,
        "\ufeff\ud800",
    ],
)  # fmt: skip
def test_what_is_no_answer_speaks_of_no_text(answer: str) -> None:
    answers, faults = read(answer)
    assert answers == {}
    assert len(faults) == 3


@pytest.mark.parametrize("name", [1, 1.0, True, None, [], {}, "", "0", "-1", "4", "1.0", " 1", "１", "one", "9" * 9999])
def test_an_id_that_was_not_given_is_nobodys(name: Any) -> None:
    answers, faults = read(said((name, EDITS[0]), ("2", EDITS[1]), ("3", [])))
    assert answers == {1: EDITS[1], 2: []}
    assert faults == {0: "the answer leaves it out"}


def test_a_text_that_is_spoken_of_twice_or_thrice_has_no_answer() -> None:
    for times in (2, 3):
        answers, faults = read(said(*[("1", EDITS[0])] * times, ("2", EDITS[1]), ("3", [])))
        assert set(answers) == {1, 2}
        assert faults == {0: "the answer speaks of it twice"}


@pytest.mark.parametrize(
    "edits",
    [None, {}, "teh", 1, [None], ["teh"], [["teh", "the"]], [{}], [{"original": "teh"}], [{"corrected": "the"}],
     [{"original": "teh", "corrected": None}], [{"original": ["teh"], "corrected": "the"}], [{"original": 1, "corrected": 2}]],
)  # fmt: skip
def test_edits_of_another_form_are_no_answer(edits: Any) -> None:
    listed = [{"id": "1", "edits": []}, {"id": "2", "edits": edits}, {"id": "3", "edits": []}]
    answers, faults = read(json.dumps({"texts": listed}))
    assert set(answers) == {0, 2}
    assert faults == {1: "the answer about it has another form than was asked for"}


def test_of_swapped_answers_both_are_asked_for_again() -> None:
    answers, faults = read(said(("1", EDITS[1]), ("2", EDITS[0]), ("3", [])))
    assert answers == {2: []}
    assert set(faults) == {0, 1}
    answers, faults = read(said(("1", []), ("2", []), ("3", EDITS[0])))  # the third speaks of the first
    assert answers == {1: []}
    assert set(faults) == {0, 2}
    assert "swapped" in faults[0]


def test_words_that_stand_nowhere_spoil_their_own_text_only() -> None:
    answers, faults = read(said(("1", [("recieve", "receive"), ("nowhere", "x")]), ("2", EDITS[1]), ("3", [])))
    assert answers == {1: EDITS[1], 2: []}
    assert faults == {0: "the answer mends words that do not stand in it"}


def test_the_last_time_what_fits_stands() -> None:
    text = ["We recieve it."]
    answer = said(("1", [("recieve", "receive"), ("nowhere", "x")]))
    assert read(answer, texts=text, alone=True) == ({0: [("recieve", "receive")]}, {})
    answers, faults = read(said(("1", [("nowhere", "x")])), texts=text, alone=True)
    assert answers == {}
    assert len(faults) == 1
    many = said(("1", [(f"no{n}", "x") for n in range(20_000)] + EDITS[0] * 20_000))
    assert read(many, texts=text, alone=True)[0] == {0: EDITS[0] * 20_000}


@given(st.lists(st.tuples(st.text(min_size=1), st.text()).filter(lambda edit: edit[0] != edit[1]), max_size=5))
def test_edits_are_stored_as_they_were_given(edits: list[tuple[str, str]]) -> None:
    text = "\n".join(old for old, _ in edits)
    assert read(said(("1", edits)), texts=[text]) == ({0: edits}, {})


def test_a_lone_surrogate_in_an_answer_is_stored_for_the_guard_to_refuse() -> None:
    odd = [("teh", "t\ud800e"), ("teh", "\udfff")]
    assert read(said(("1", odd)), texts=["teh"]) == ({0: odd}, {})


@pytest.mark.parametrize("stop", ["end", "max_tokens", "other"])
def test_an_answer_that_is_whole_counts_however_it_stopped(stop: Any) -> None:
    reply = question().read(TEXTS, Completion(WHOLE, stop, Usage(10, 5)))
    assert [*reply.answers] == [0, 1, 2]
    assert (reply.faults, reply.usage) == ({}, Usage(10, 5))


def test_a_model_that_declines_declines_all_of_its_texts() -> None:
    reply = question().read(TEXTS, Completion(WHOLE, "refusal", Usage(10, 5)))
    assert reply.answers == {}
    assert {fault.reason for fault in reply.faults.values()} == {"the model declined to answer"}


def test_texts_that_are_too_long_together_are_no_fault_of_theirs() -> None:
    with pytest.raises(CallFailed) as caught:
        question().read(TEXTS, Completion("", "context", Usage(10, 5)))
    assert (caught.value.kind, caught.value.usage) == ("too_large", Usage(10, 5))


# ---- long texts ----

ODD = st.sampled_from(
    [
        *"aé漢👩\u0301\ud800\udfff\x00\r\n\t .",
        "\n\n",
        "word ",
        "Ende. ",
        "👩‍👩‍👧",
        "\u2028",
        "\N{REPLACEMENT CHARACTER}",
    ]
)


@given(st.lists(ODD, max_size=300).map("".join) | st.text(), st.integers(1, 300))
def test_the_parts_of_a_text_are_the_text(text: str, limit: int) -> None:
    parts = split_text(text, limit)
    assert "".join(parts) == text
    assert len(parts) == 1 or all(parts)
    for part in parts:
        assert len(part.encode("utf-8", "replace")) <= max(limit, 4)  # a character is never cut


def test_a_text_is_cut_where_it_ends_something() -> None:
    sentence = "This is a sentence with some words. "
    assert split_text(sentence * 9, 1000) == (sentence * 9,)
    assert all(part.endswith(". ") for part in split_text(sentence * 100, 200)[:-1])
    paragraphs = split_text((sentence * 2 + "\n\n") * 50, 200)
    assert all(part.endswith("\n\n") for part in paragraphs)
    assert all(part.endswith(" ") for part in split_text("word " * 200, 99)[:-1])
    assert len(split_text("a" * 1_000_000, 1000)) == 1000


@pytest.fixture(scope="module")
def running() -> Iterator[Loopback]:
    with ExitStack() as stack:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # aiohttp would have handlers written otherwise
            loopback = stack.enter_context(Loopback())
        yield loopback


@pytest.fixture
def loopback(running: Loopback, monkeypatch: pytest.MonkeyPatch) -> Loopback:
    running.calls.clear()
    running.trouble = lambda number, call: None
    for name, value in {**running.environment, "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    return running


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    open_ledger(tmp_path).close()


def library(**corrections: Any) -> LibrarySettings:
    return LibrarySettings(
        source=FilesSource(path="docs"),
        corrections=CorrectionSettings(model=MODEL, **corrections),
        prices={MODEL: PriceSettings(input=1, output=5)},
    )


def a_long_text(word: str, sentences: int) -> str:
    return " ".join(f"Sentence {n} about {word} says that we recieve teh letter." for n in range(sentences))


def test_a_long_text_is_asked_about_in_parts_and_comes_back_as_one(loopback: Loopback, home: Path) -> None:
    texts = {"long": a_long_text("apples", 200), "short": "We recieve teh pears.", "longer": a_long_text("plums", 300)}
    corrector = paid_corrector(home, "lib", library(context_tokens=256), run_id="r", tally=Tally())
    proposals = {p.key: p for p in corrector.propose(Asked(key, text) for key, text in texts.items())}
    assert set(proposals) == set(texts)
    for key, text in texts.items():
        parts = proposals[key].parts
        assert proposals[key].status == "answered"
        assert "".join(part for part, _ in parts) == text
        assert [list(edits) for _, edits in parts] == [
            [(edit["original"], edit["corrected"]) for edit in edits_of(part)] for part, _ in parts
        ]
    assert len(proposals["long"].parts) > 10
    assert len(proposals["short"].parts) == 1
    for call in loopback.calls:
        assert all(len(text.encode()) <= corrector.question.part_bytes for text in call.texts)
        assert sum(len(text.encode()) for text in call.texts) <= 256 * 5  # no English has more bytes in a token


@pytest.mark.parametrize(("stop", "status"), [("refusal", "refused")])
def test_a_long_text_of_which_a_part_has_no_answer_has_none(
    loopback: Loopback, home: Path, stop: str, status: str
) -> None:
    texts = {"bad": a_long_text("apples", 60) + " bomb", "good": a_long_text("plums", 60)}
    loopback.trouble = lambda number, call: Trouble(stop=stop, say="") if any("bomb" in t for t in call.texts) else None
    corrector = paid_corrector(home, "lib", library(context_tokens=256), run_id="r", tally=Tally())
    proposals = {p.key: p for p in corrector.propose(Asked(key, text) for key, text in texts.items())}
    assert (proposals["bad"].status, proposals["bad"].parts) == (status, ())
    assert proposals["bad"].reason
    assert proposals["good"].status == "answered"


# ---- packing ----


def packed(asks: CorrectionQuestion, sizes: list[int]) -> list[list[int]]:
    """Pack texts of some sizes into calls, as they are asked about."""
    calls: list[list[int]] = []
    for size in sizes:
        if calls and asks.fits(len(calls[-1]), sum(calls[-1]), size):
            calls[-1].append(size)
        else:
            calls.append([size])
    return calls


def test_ordinary_texts_go_15_a_call_short_ones_up_to_60_and_long_ones_alone() -> None:
    asks = question()
    assert {len(call) for call in packed(asks, [800] * 60)} == {15}
    assert {len(call) for call in packed(asks, [40] * 120)} == {60}
    assert 15 < len(packed(asks, [200] * 120)[0]) < 60
    assert 1 < len(packed(asks, [6_000] * 20)[0]) < 15
    assert {len(call) for call in packed(asks, [25_000] * 5)} == {1}
    assert asks.call_texts == 60
    assert {len(call) for call in packed(question(batch_size=1), [800] * 3)} == {1}


@given(
    st.lists(st.integers(0, 40_000), max_size=200), st.integers(1, 50), st.integers(256, 20_000), st.floats(0.1, 1.0)
)
def test_a_call_is_never_longer_than_the_context(sizes: list[int], batch: int, context: int, ratio: float) -> None:
    learned = Learned(calls=5, sent_bytes=1000, sent_tokens=1000 * ratio, text_bytes=900, output_tokens=10, texts=3)
    asks = question(batch_size=batch, context_tokens=context, learned=learned)
    for call in packed(asks, sizes):
        assert len(call) <= asks.call_texts
        assert len(call) == 1 or sum(call) * asks.ratio.tokens_per_byte <= context


def test_a_call_holds_its_texts_under_ids_and_room_for_an_answer() -> None:
    texts = ['He said "teh\nend" \\', "漢字 \ud800", ""]
    prompt = question(glossary=("Ångström", "teh Corp")).prompt(texts)
    listed = json.loads(prompt.user)["texts"]
    assert [each["id"] for each in listed] == ["1", "2", "3"]
    assert [each["text"] for each in listed] == [sendable(text) for text in texts]
    assert prompt.user.encode()
    assert "漢字" in prompt.user
    assert prompt.schema == SCHEMA
    assert prompt.system.endswith("- Ångström\n- teh Corp")
    assert question().prompt(["word " * 10_000]).max_tokens > 10_000


@given(st.text())
def test_what_is_sent_can_be_sent_and_is_the_text_where_that_can(text: str) -> None:
    sent = sendable(text)
    sent.encode()
    assert len(sent) == len(text)
    assert sent == text or any("\ud800" <= character <= "\udfff" for character in text)


# ---- what was asked ----


def test_the_key_is_of_exactly_what_was_asked() -> None:
    keys = [
        question().key("a"),
        question().key("b"),
        question().key("a", again=True),
        question(glossary=("a",)).key("a"),
        question(glossary=("b",)).key("a"),
        question(Silent("claude-haiku-4-5")).key("a"),
        question(Silent(parameters={"thinking": {"type": "disabled"}})).key("a"),
        question(Silent(parameters={"effort": "low"})).key("a"),
    ]
    assert len(set(keys)) == len(keys)
    same = question(batch_size=3, learned=Learned(9, 9, 9, 9, 9, 9), price=lambda usage: 7.0)
    assert same.key("a") == keys[0]
    assert question(Silent(parameters={"b": 1, "a": 2})).key("a") == question(Silent(parameters={"a": 2, "b": 1})).key(
        "a"
    )


def test_how_a_text_is_cut_is_part_of_what_is_asked() -> None:
    text = a_long_text("apples", 100)
    one = question(context_tokens=256)
    cheaper = question(context_tokens=256, learned=Learned(9, 1000.0, 100.0, 1000.0, 9.0, 9.0))
    assert split_text(text, one.part_bytes) == split_text(text, cheaper.part_bytes)


# ---- prompts ----


def test_prompts_are_files_that_the_wheel_carries() -> None:
    root = Path(dataflow_assets.__file__).parent
    files = sorted((root / "models" / "prompts").glob("corrections-*.md"))
    assert files
    said_versions = CorrectionSettings.model_json_schema()["properties"]["prompt"]
    versions = said_versions.get("enum") or [said_versions["const"]]
    assert [file.stem for file in files] == [f"corrections-{version}" for version in versions]
    for version in versions:
        prompt = system_prompt(version)
        assert prompt == prompt.strip()
        assert "original" in prompt
        assert "corrected" in prompt
    setup = root.parent / "setup.cfg"
    if setup.exists():  # where the package is tested as it was installed, the files being there is the proof
        config = ConfigParser()
        config.read(setup, encoding="utf-8")
        patterns = config["options.package_data"]["dataflow_assets"].split()
        assert all(
            any(PurePosixPath(file.relative_to(root).as_posix()).match(pattern) for pattern in patterns)
            for file in files
        )


# ---- estimates ----


def test_estimates_follow_the_models_own_bills() -> None:
    fresh = question()
    assert not fresh.ratio.sure
    before = fresh.estimate(TEXTS)
    dense = question(
        learned=Learned(calls=9, sent_bytes=1000, sent_tokens=700, text_bytes=500, output_tokens=250, texts=9)
    )
    assert dense.ratio.sure
    after = dense.estimate(TEXTS)
    assert before.sent_bytes == after.sent_bytes
    assert after.sent_tokens == pytest.approx(0.7 * after.sent_bytes)
    assert after.output_tokens == pytest.approx(0.5 * sum(map(len, TEXTS)))
    assert before.sent_tokens < after.sent_tokens


@given(st.lists(st.text(max_size=300), min_size=1, max_size=20))
@settings(max_examples=50)
def test_what_a_call_is_expected_to_send_is_about_what_it_sends(texts: list[str]) -> None:
    asks = question(glossary=("x" * 50,))
    prompt = asks.prompt(texts)
    sent = len(json.dumps([prompt.system, prompt.user, SCHEMA], ensure_ascii=False).encode())
    estimate = asks.estimate(texts)
    escaped = len(json.dumps(texts, ensure_ascii=False).encode("utf-8", "replace")) - sum(
        len(text.encode("utf-8", "replace")) for text in texts
    )
    assert abs(estimate.sent_bytes - sent) <= 0.1 * sent + 6 * escaped


def test_what_bills_told_is_remembered_in_the_home(loopback: Loopback, home: Path) -> None:
    settings = library(batch_size=1)
    corrector = paid_corrector(home, "lib", settings, run_id="r", tally=Tally())
    words = [f"{'abcdefghij'[n // 10]}{'abcdefghij'[n % 10]}" for n in range(40)]
    typos = list(TYPOS)
    texts = [
        f"The {word} letters are {typos[n % len(typos)]} things of which we have enough."
        for n, word in enumerate(words)
    ]
    assert not correction_question(settings, open_ledger(home)).ratio.sure
    assert len(list(corrector.propose(Asked(text, text) for text in texts))) == 40
    later = correction_question(settings, open_ledger(home))
    assert later.ratio.sure
    asked = loopback.calls[-1].texts
    estimate = later.estimate(asked)
    billed = corrector.tally
    assert estimate.sent_tokens == pytest.approx(billed.input_tokens / billed.calls, rel=0.1)
    assert estimate.output_tokens == pytest.approx(billed.output_tokens / billed.calls, rel=0.2)
