"""What a model is asked about the picture of a page, and what is taken from its answer."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dataflow_assets.errors import ModelError
from dataflow_assets.models.base import Completion, Prompt, Usage
from dataflow_assets.models.claude import ClaudeModel
from dataflow_assets.models.eyes import (
    MAX_CHARACTERS,
    PageQuestion,
    as_picture,
    as_text,
    picture_tokens,
    read_answer,
    size_of,
    stored_page,
)
from dataflow_assets.models.ledger import Learned
from dataflow_assets.models.question import Fault
from dataflow_assets_tests.loopback import Loopback, page_text


def png(width: int = 30, height: int = 40, color: str = "white") -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (width, height), color).save(written, "PNG")
    return written.getvalue()


def question(learned: Learned | None = None, model: str = "claude-haiku-5-5") -> PageQuestion:
    return PageQuestion(
        ClaudeModel(model, timeout_seconds=20), learned=learned or Learned(), price=lambda usage: usage.sent / 1e6
    )


def said(text: Any, illegible: Any = False) -> str:
    return json.dumps({"text": text, "illegible": illegible})


def answered(text: Any) -> bytes:
    stored = read_answer(said(text))
    assert isinstance(stored, bytes)
    return stored


class TestAsking:
    def test_a_picture_goes_before_the_words_and_comes_back_as_text(self, monkeypatch: pytest.MonkeyPatch) -> None:
        picture = png()
        with Loopback() as server:
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            asked = question()

            async def ask() -> Any:
                reply = await asked.ask([as_text(picture)], alone=False)
                await asked.close()
                return reply

            reply = asyncio.run(ask())
        (call,) = server.calls
        kinds = [block["type"] for block in call.body["messages"][0]["content"]]
        assert kinds == ["image", "text"]
        assert stored_page(reply.answers[0]).text == page_text(call.texts[0])
        assert not reply.faults

    def test_a_prompt_without_pictures_is_what_it_was(self) -> None:
        request = ClaudeModel("claude-haiku-5-5", timeout_seconds=1).request(Prompt("s", "u", {}, 10))
        assert request["messages"] == [{"role": "user", "content": "u"}]

    def test_a_picture_is_its_own_question(self) -> None:
        one, other = as_text(png(color="white")), as_text(png(color="black"))
        asked = question()
        keys = {
            asked.key(one),
            asked.key(other),
            asked.key(one, again=True),
            question(model="claude-haiku-4-5").key(one),
        }
        assert len(keys) == 4
        assert question().key(one) == asked.key(one)

    def test_each_page_has_a_call_of_its_own(self) -> None:
        asked = question()
        assert asked.fits(0, 0, 9_000_000)
        assert not asked.fits(1, 1, 1)

    @pytest.mark.parametrize("model", ["claude-haiku-5-5", "claude-sonnet-4-6"])
    def test_the_request_says_what_the_answer_must_look_like(self, model: str) -> None:
        prompt = question(model=model).prompt([as_text(png())])
        request = ClaudeModel(model, timeout_seconds=1).request(prompt)
        schema = request["output_config"]["format"]["schema"]
        assert set(schema["required"]) == set(schema["properties"])
        assert request["max_tokens"] >= prompt.max_tokens


class TestEstimates:
    @pytest.mark.parametrize(("size", "tokens"), [((750, 100), 100), ((1108, 1568), 1600), ((1, 1), 1)])
    def test_a_picture_costs_by_its_pixels_up_to_a_limit(self, size: tuple[int, int], tokens: int) -> None:
        assert picture_tokens(*size) == tokens

    @given(st.integers(1, 300), st.integers(1, 300))
    def test_the_size_is_known_from_the_first_bytes(self, width: int, height: int) -> None:
        assert size_of(as_picture(as_text(png(width, height))[:32])) == (width, height)

    @given(st.binary(max_size=60))
    def test_what_is_no_picture_is_refused(self, content: bytes) -> None:
        with pytest.raises(ModelError):
            size_of(content)

    def test_the_length_of_the_picture_counts_for_nothing(self) -> None:
        noise = io.BytesIO()
        Image.effect_noise((300, 400), 100).convert("RGB").save(noise, "PNG")
        plain, asked = png(300, 400), question()
        assert len(noise.getvalue()) > 20 * len(plain)
        assert asked.estimate([as_text(noise.getvalue())]) == asked.estimate([as_text(plain)])

    def test_bills_are_learnt_from(self) -> None:
        first = question().estimate([as_text(png(750, 800))])
        bills = Learned(5, 5 * first.sent_bytes, 10 * first.sent_bytes, 1, 1000, 5)
        after = question(bills).estimate([as_text(png(750, 800))])
        assert after.sent_bytes == first.sent_bytes
        assert (after.sent_tokens, after.output_tokens) == (pytest.approx(2 * first.sent_bytes), 200)


class TestAnswers:
    @pytest.mark.parametrize(
        "answer",
        ["", "[]", "{}", "null", '"text"', '{"text": "a"}', said(None), said("a", "no"), said("a")[:-3], "[" * 9000],
    )
    def test_an_answer_of_another_form_is_a_fault(self, answer: str) -> None:
        assert isinstance(read_answer(answer), Fault)

    def test_an_answer_that_never_ends_is_a_fault(self) -> None:
        assert isinstance(read_answer(said("a" * (MAX_CHARACTERS + 1))), Fault)

    @pytest.mark.parametrize(
        ("stop", "text", "fault"),
        [
            ("refusal", "", "declined"),
            ("max_tokens", said("a"), "longer"),
            ("end", "I see a cat", "not what was asked for"),
        ],
    )
    def test_what_is_no_answer_says_why(self, stop: Any, text: str, fault: str) -> None:
        reply = question().read(Completion(text, stop, Usage(1, 1)))
        assert fault in reply.faults[0].reason
        assert not reply.answers

    def test_an_empty_page_is_an_answer(self) -> None:
        page = stored_page(answered(""))
        assert (page.text, page.illegible) == ("", False)

    def test_nothing_is_taken_from_a_page_that_is_illegible(self) -> None:
        stored = read_answer(said("a guess", True))
        assert isinstance(stored, bytes)
        page = stored_page(stored)
        assert (page.text, page.illegible) == ("", True)

    def test_a_fence_around_everything_is_no_part_of_the_page(self) -> None:
        assert stored_page(answered("```markdown\n# Title\n\nText.\n```")).text == "# Title\n\nText."
        code = "```markdown\na\n```\n\ntext\n\n```\nb\n```"
        assert stored_page(answered(code)).text == code

    @given(st.text(st.characters(codec=None), max_size=200))
    def test_only_writing_is_taken_whatever_the_model_says(self, text: str) -> None:
        page = stored_page(answered(text)).text
        page.encode()
        assert not any(character < " " and character not in "\n\t" for character in page)
        letters = [c for c in text if c.isalnum()]
        assert [c for c in page if c.isalnum()] == letters or "```" in text
