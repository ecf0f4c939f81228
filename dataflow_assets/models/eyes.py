"""Pages read by a model's eyes: what it is asked about the picture of a page, and how its answer is read.

What belongs here: the question (prompt, schema, price of a picture) and the reading of an answer. What does not: which pages
are shown (`flow.eyes`), drawing them (`stages.readers.page_images`), and everything about making calls (`models.asking`).

A picture is its own question: the key holds the SHA-256 of its bytes, whatever document it came from, so that the same page
is paid for once, over documents, libraries, runs and crashes. Drawing gives the same bytes as long as the same versions of
PDFium and Pillow draw. Others may give another picture, and that would be another question; so it is remembered which picture
a page of a file was drawn as (`Pictures`), and a file that is read again is neither drawn nor asked about again.

A picture travels through `models.asking` as text, in base64, one to a call. What is stored of an answer is what the model
said, so that stricter rules can be applied to it later without asking again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
import re
import sqlite3
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflow_assets.errors import ModelError
from dataflow_assets.known_models import TOKENS_PER_BYTE
from dataflow_assets.models.base import CallFailed, Completion, LanguageModel, Prompt, Usage
from dataflow_assets.models.language_question import LanguageQuestion, prompt_text
from dataflow_assets.models.ledger import Learned, key_of
from dataflow_assets.models.question import Estimate, Fault, Reply
from dataflow_assets.models.ratio import SURE_CALLS
from dataflow_assets.sqlite_files import SQLITE_FAILURES

logger = logging.getLogger(__name__)

PROMPT = "v1"
"""The version of the prompt that is sent."""
READING_VERSION = "1"
"""Part of what was asked: raised when the same answer would be stored differently."""

DRAWING_VERSION = "1"
"""Raised when pages are to be drawn in another way on purpose, such as larger, and asked about again."""

PIXELS_PER_TOKEN = 750
"""Anthropic's own rule for what a picture costs ..."""
MOST_PICTURE_TOKENS = 1_600
"""... and what it costs at most: a larger one is made smaller before it is looked at."""
OUTPUT_TOKENS_PER_PAGE = 700.0
"""What the text of a page takes, in tokens, until bills tell better: a page of prose has 500 words."""
ROOM = 8_000
"""Tokens that an answer may have: a page full of small print has 3,000."""
MAX_CHARACTERS = 60_000
"""More is no page; a model that repeats itself goes on until its room is used up."""

USER = "Write down the text of this page."
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["text", "illegible"],
    "properties": {"text": {"type": "string"}, "illegible": {"type": "boolean"}},
}

_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"
_NOT_WRITTEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufeff]")
_FENCED = re.compile(r"```(?:markdown|md)[ \t]*\n(.*?)\n?```", re.DOTALL)


def as_text(png: bytes) -> str:
    """Give a picture as it travels through `models.asking`."""
    return base64.b64encode(png).decode("ascii")


def as_picture(text: str) -> bytes:
    """Give back the picture."""
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise ModelError("What should be the picture of a page is none.") from error


def size_of(png: bytes) -> tuple[int, int]:
    """Give width and height of a PNG in pixels, from its first bytes.

    Raises:
        ModelError: It is no PNG.
    """
    if len(png) < 24 or not png.startswith(_PNG):
        raise ModelError("What should be the picture of a page is no PNG.")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def picture_tokens(width: int, height: int) -> int:
    """Say what a picture is billed as, in tokens sent."""
    return min(MOST_PICTURE_TOKENS, max(1, width * height // PIXELS_PER_TOKEN))


@dataclass(frozen=True, slots=True)
class PageText:
    """What a model read on a page."""

    text: str
    """Markdown; empty where nothing is written on it, or nothing legible."""
    illegible: bool


class PageQuestion(LanguageQuestion):
    """What stands on this page?

    Args:
        model: Who is asked.
        learned: What the model's bills told so far.
        price: What usage costs.
        prompt: Version of the prompt.
    """

    stage = "validated_documents"
    call_texts = 1

    def __init__(
        self,
        model: LanguageModel,
        *,
        learned: Learned,
        price: Callable[[Usage], float | None],
        prompt: str = PROMPT,
    ) -> None:
        self._system = prompt_text("pages", prompt)
        super().__init__(model, [self._system, USER, SCHEMA, ROOM], prompt=prompt, reading=READING_VERSION, price=price)
        self._learned = learned
        self._overhead = (len(self._system.encode()) + len(json.dumps(SCHEMA)) + len(USER) + 60) * TOKENS_PER_BYTE

    @property
    def sure(self) -> bool:
        """Whether estimates rest on the model's own bills."""
        return self._learned.calls >= SURE_CALLS

    def key(self, text: str, *, again: bool = False) -> str:
        """Hash exactly what is asked about a picture."""
        return self.key_of_picture(hashlib.sha256(as_picture(text)).hexdigest(), again=again)

    def key_of_picture(self, sha256: str, *, again: bool = False) -> str:
        """Hash exactly what is asked about the picture with this SHA-256."""
        return key_of(self._asked, "again" if again else "", sha256)

    def fits(self, texts: int, size: int, more: int) -> bool:
        """Give every picture a call of its own: pages together would be mixed up, and answered for together."""
        return texts == 0

    def estimate(self, texts: Sequence[str]) -> Estimate:
        """Say what a call will take."""
        pictures = sum(picture_tokens(*size_of(as_picture(text[:32]))) for text in texts)
        return self.estimate_of(pictures, len(texts))

    def estimate_of(self, pictures: int, pages: int = 1) -> Estimate:
        """Say what a call with pictures of so many tokens will take.

        In place of the bytes sent, which say nothing of what a picture costs, the tokens stand that the rule gives: bills then
        tell how far a model's own counting is from the rule.
        """
        sent = round(self._overhead * pages + pictures)
        known = self._learned
        ratio = known.sent_tokens / known.sent_bytes if self.sure and known.sent_bytes else 1.0
        answered = known.output_tokens / known.texts if self.sure and known.texts else OUTPUT_TOKENS_PER_PAGE
        return Estimate(sent, sent * ratio, answered * pages)

    def prompt(self, texts: Sequence[str]) -> Prompt:
        """Write a call."""
        images = tuple(map(as_picture, texts))
        return Prompt(system=self._system, user=USER, schema=SCHEMA, max_tokens=ROOM, images=images)

    async def ask(self, texts: Sequence[str], *, alone: bool) -> Reply:
        """Make one call."""
        completion = await self.language_model.complete(self.prompt(texts))
        self._learn(self.estimate(texts).sent_bytes, completion.usage)
        return self.read(completion)

    def read(self, completion: Completion) -> Reply:
        """Read an answer.

        Raises:
            CallFailed: The model found the picture too large.
        """
        if completion.stop == "context":
            raise CallFailed("too_large", "the picture is too large for the model", usage=completion.usage)
        if completion.stop == "refusal":
            answer: bytes | Fault = Fault("the model declined to answer")
        elif completion.stop == "max_tokens":
            answer = Fault("the answer is longer than the text of a page")
        else:
            answer = read_answer(completion.text)
        if isinstance(answer, Fault):
            return Reply({}, {0: answer}, completion.usage, completion.allowance)
        return Reply({0: answer}, {}, completion.usage, completion.allowance)

    def _learn(self, sent: int, usage: Usage) -> None:
        known = self._learned
        if usage.sent:
            self._learned = Learned(
                known.calls + 1,
                known.sent_bytes + sent,
                known.sent_tokens + usage.sent,
                known.text_bytes,
                known.output_tokens + usage.output_tokens,
                known.texts + 1,
            )


class Pictures:
    """Remembers which picture each page of a file was drawn as. What is forgotten is drawn again.

    Args:
        home: The home; it holds `pictures.sqlite`, with hashes only.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / "pictures.sqlite"

    def find(self, content: bytes) -> dict[int, str]:
        """Give the SHA-256 of the picture of each page of a file that was ever drawn."""
        if not self._path.exists():
            return {}
        try:
            with closing(self._open()) as connection:
                return dict(
                    connection.execute("SELECT page, picture FROM pictures WHERE file = ?", (_file_key(content),))
                )
        except SQLITE_FAILURES as error:
            logger.warning("%s cannot be read, so pages are drawn again: %s", self._path, error)
            return {}

    def note(self, content: bytes, drawn: Mapping[int, str]) -> None:
        """Remember pictures."""
        if not drawn:
            return
        rows = [(_file_key(content), page, picture) for page, picture in drawn.items()]
        try:
            with closing(self._open()) as connection, connection:
                connection.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?)", rows)
        except SQLITE_FAILURES as error:
            logger.warning("%s cannot be written, so pages will be drawn again: %s", self._path, error)

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=10)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS pictures (file TEXT, page INTEGER, picture TEXT, PRIMARY KEY (file, page)) "
            "WITHOUT ROWID"
        )
        return connection


def _file_key(content: bytes) -> str:
    return key_of(DRAWING_VERSION, hashlib.sha256(content).hexdigest())


def read_answer(said: str) -> bytes | Fault:
    """Read what a model said of a page: what is stored of it, or what is wrong with it."""
    try:
        value = json.loads(said)
    except (ValueError, RecursionError):
        return Fault("the answer is not what was asked for")
    text, illegible = (value.get("text"), value.get("illegible")) if isinstance(value, dict) else (None, None)
    if not isinstance(text, str) or not isinstance(illegible, bool):
        return Fault("the answer has another form than was asked for")
    if len(text) > MAX_CHARACTERS:
        return Fault("the answer is longer than the text of a page")
    stored = json.dumps({"text": text, "illegible": illegible}, ensure_ascii=False)
    return stored.encode("utf-8", "surrogatepass")


def stored_page(payload: bytes) -> PageText:
    """Give what `read_answer` stored, as far as it is writing: no control characters, no halves of surrogate pairs."""
    value = json.loads(payload.decode("utf-8", "surrogatepass"))
    if value["illegible"]:
        return PageText("", True)
    text = _NOT_WRITTEN.sub("", value["text"].replace("\r\n", "\n").replace("\r", "\n"))
    fenced = _FENCED.fullmatch(text.strip())
    if fenced is not None and "\n```" not in fenced[1]:
        text = fenced[1]
    return PageText(text.strip("\n").rstrip(), False)
