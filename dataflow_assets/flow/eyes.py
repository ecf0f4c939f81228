"""Pages without text are shown to a model: which, how many at a time, and what becomes of the documents that they are of.

What belongs here: the way of a document from its reader to its verdict, where `reading.vision` names a model; drawing in a
worker, and asking through the ledger. What does not: the question itself (`models.eyes`), drawing
(`stages.readers.page_images`), calls (`models.asking`), and what a document becomes with its pages (`flow.page_texts`).

Nothing is invented: what a model read is marked, page by page, in `metadata` as `pages_read_by` and by a finding. A page that
it declines, or finds illegible, stays without text, and a finding says so. What was not asked, for a budget or a service that
is down, is asked by the next run: the document is stored with what it has, and `waiting`.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self, TypeAlias, cast

from dataflow_assets.errors import ReadError
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.flow.page_texts import Seen, has_text, with_pages, without_notes
from dataflow_assets.flow.paid import open_ledger, page_asking, page_question
from dataflow_assets.flow.reading import Read
from dataflow_assets.models.base import Usage
from dataflow_assets.models.eyes import (
    DRAWING_VERSION,
    PROMPT,
    READING_VERSION,
    Pictures,
    as_text,
    size_of,
    stored_page,
)
from dataflow_assets.models.question import Outcome
from dataflow_assets.records import ReadDocument

if TYPE_CHECKING:
    from collections.abc import Generator

    from dataflow_assets.models.asking import Asking
    from dataflow_assets.models.eyes import PageQuestion
    from dataflow_assets.models.ledger import Answer, Ledger
    from dataflow_assets.workers.pool import WorkerPool

VERSION = f"1 {PROMPT} {READING_VERSION} {DRAWING_VERSION}"
"""Part of the fingerprint of documents in libraries whose pages a model reads."""

WAITING_PAGES = 8
"""Pages that are drawn and not yet taken by who asks; a scanned page takes 0.3 to 3 MB."""

LEAST_PIXELS = 8
"""A picture that is lower or narrower, such as a rule or a counter in a mail, holds no letter."""

_DRAWN = ("application/pdf", "image/")


@dataclass(eq=False, slots=True)
class _InNeed:
    """A document with pages that have no text."""

    read: Read
    document: ReadDocument
    pages: tuple[int, ...]
    seen: dict[int, Seen] = field(default_factory=dict)
    shown: int = 0
    """Pages that the model is asked about."""
    told: int = 0
    """Those of them of which it is known what came of it."""


_Page: TypeAlias = tuple[_InNeed, int]
"""A document, and the number of a page."""


@dataclass(slots=True)
class Forecast:
    """What would be asked, where nothing is."""

    asked: int = 0
    stored: int = 0
    """Pages whose answers are in the store, or that repeat another one."""
    tokens: float = 0.0
    usd: float = 0.0
    saved_usd: float = 0.0
    unpriced: bool = False
    measured: bool = False


class Eyes:
    """Has the pages without text of documents read by the model that the library's settings name.

    Args:
        run: The run.
        pool: Where pages are drawn.
        asking: Whether the model is asked; else only what is in the store is used, and the rest counted.

    Attributes:
        forecast: What would have been asked, where nothing was.
    """

    def __init__(self, run: LibraryRun, pool: WorkerPool, *, asking: bool = True) -> None:
        self.forecast = Forecast()
        self._run = run
        self._pool = pool
        self._asking = asking
        self._tally = run.tallies["validated_documents"]
        self._ledger: Ledger = open_ledger(run.home)
        self._question = page_question(run.settings, self._ledger)
        self._pictures = Pictures(run.home)
        self._counted: set[str] = set()
        self._stored = 0
        self._saved_usd = 0.0

    def read(self, reads: Iterable[Read]) -> Iterator[Read]:
        """Pass on what was read, the texts of its pages added, in any order.

        Raises:
            CredentialError: The service does not accept the key.
            ConfigurationError: The service refuses the request as such.
        """
        if not self._asking:
            for read in reads:
                document = self._in_need(read)
                yield without_notes(read) if document is None else self._looked_up(document)
            return
        hand: list[_InNeed] = []
        with _Shown(self._question, self._run) as shown:
            for read in reads:
                document = self._in_need(read)
                if document is None:
                    yield without_notes(read)
                    continue
                hand.append(document)
                for page, text in self._drawn(document):
                    document.shown += 1
                    shown.show((document, page), text)
                # Its bytes are needed no more, and it may wait for long.
                document.read = replace(read, unread=replace(read.unread, content=None))
                _note(shown.told())
                done = [each for each in hand if each.told == each.shown]
                hand = [each for each in hand if each.told < each.shown]
                yield from map(self._done, done)
            shown.end()
            _note(shown.told())
        self._tally.texts += self._stored
        self._tally.from_store += self._stored
        self._tally.saved_usd += self._saved_usd
        yield from map(self._done, hand)

    def _in_need(self, read: Read) -> _InNeed | None:
        document = read.read
        if document is None or read.unread.content is None:
            return None
        said = document.metadata.get("pages_without_text")  # by a worker: it may have been taken over
        pages = {page for page in said if type(page) is int and page > 0} if isinstance(said, (list, tuple)) else set()
        if not pages or not str(document.metadata.get("media_type", "")).startswith(_DRAWN):
            return None
        return _InNeed(read, document, tuple(sorted(pages)))

    def _drawn(self, document: _InNeed) -> Iterator[tuple[int, str]]:
        """Draw pages; those that cannot be drawn, and those whose answers are there, are noted."""
        content, media_type = document.read.unread.content or b"", str(document.document.metadata["media_type"])
        known = self._pictures.find(content) if self._ledger.exists else {}
        keys = {page: self._question.key_of_picture(known[page]) for page in document.pages if page in known}
        found = self._ledger.find(list(keys.values())) if keys else {}
        for page, key in keys.items():
            if key in found:
                document.seen[page] = _answered(found[key])
                self._stored += 1
                self._saved_usd += found[key].usd
        left = [page for page in document.pages if page not in document.seen]
        drawn: dict[int, str] = {}
        for page, picture in self._pool.page_images(content, media_type, left, self._passwords) if left else ():
            if isinstance(picture, ReadError):
                document.seen[page] = Seen("undrawn", reason=str(picture))
                continue
            width, height = size_of(picture)
            if min(width, height) < LEAST_PIXELS:
                document.seen[page] = Seen("undrawn", reason=f"{width} x {height} pixels are too few for writing")
                continue
            drawn[page] = hashlib.sha256(picture).hexdigest()
            yield page, as_text(picture)
        if self._asking:
            self._pictures.note(content, drawn)

    @cached_property
    def _passwords(self) -> tuple[str, ...]:
        return self._run.passwords

    def _looked_up(self, document: _InNeed) -> Read:
        """Read pages with what is in the store, and count the others."""
        told = self.forecast
        told.measured = self._question.sure
        before, saved = self._stored, self._saved_usd
        for page, text in self._drawn(document):
            key = self._question.key(text)
            found = self._ledger.find([key]).get(key) if self._ledger.exists else None
            estimate = self._question.estimate([text])
            usd = self._question.price(Usage(round(estimate.sent_tokens), round(estimate.output_tokens)))
            if found is not None or key in self._counted:
                told.stored += 1
                told.saved_usd += usd or 0.0
            else:
                told.asked += 1
                told.tokens += estimate.sent_tokens + estimate.output_tokens
                told.usd += usd or 0.0
                told.unpriced |= usd is None
            self._counted.add(key)
            document.seen[page] = Seen("waits") if found is None else _answered(found)
        told.stored += self._stored - before
        told.saved_usd += self._saved_usd - saved
        return self._done(document)

    def _done(self, document: _InNeed) -> Read:
        settings = self._run.settings.reading
        return with_pages(
            document.read, document.document, document.pages, document.seen, self._question.model, settings
        )


class _Shown:
    """Pages on their way to the model: it is asked in a thread, while others are drawn here.

    A context manager; where it is left before `end`, nothing more is asked, and calls in flight are settled.
    """

    def __init__(self, question: PageQuestion, run: LibraryRun) -> None:
        self._pages: queue.Queue[tuple[_Page, str] | None] = queue.Queue(WAITING_PAGES)
        self._outcomes: queue.SimpleQueue[tuple[_Page, Outcome]] = queue.SimpleQueue()
        self._asking: Asking[_Page] = page_asking(
            question, run.home, run.library, run.settings, run_id=run.run_id, tally=run.tallies["validated_documents"]
        )
        self._thread: threading.Thread | None = None
        self._left = False
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._left = True
        while self._thread is not None and self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                while True:
                    self._pages.get_nowait()
            with contextlib.suppress(queue.Full):
                self._pages.put_nowait(None)
            self._thread.join(0.1)

    def show(self, page: _Page, picture: str) -> None:
        """Have a page read; waits until there is room for it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._ask, name="eyes", daemon=True)
            self._thread.start()
        while True:
            self._check()
            with contextlib.suppress(queue.Full):
                self._pages.put((page, picture), timeout=0.1)
                return

    def told(self) -> Iterator[tuple[_Page, Outcome]]:
        """Give what came of pages so far; each once."""
        self._check()
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._outcomes.get_nowait()

    def end(self) -> None:
        """Wait for all pages that were shown."""
        while self._thread is not None and self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._pages.put(None, timeout=0.1)
                self._thread.join()
        self._check()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _ask(self) -> None:
        outcomes = cast("Generator[tuple[_Page, Outcome]]", self._asking.run(self._taken()))
        try:
            for outcome in outcomes:
                self._outcomes.put(outcome)
                if self._left:
                    break
        except BaseException as error:
            self._error = error
        finally:
            outcomes.close()

    def _taken(self) -> Iterator[tuple[_Page, str]]:
        while (page := self._pages.get()) is not None and not self._left:
            yield page


def _note(told: Iterable[tuple[_Page, Outcome]]) -> None:
    for (document, page), outcome in told:
        document.seen[page] = _seen(outcome)
        document.told += 1


def _answered(answer: Answer) -> Seen:
    if answer.kind == "refused":
        return Seen("refused", reason=answer.payload.decode("utf-8", "replace"))
    return _seen(Outcome("answered", answer.payload))


def _seen(outcome: Outcome) -> Seen:
    if outcome.status == "answered":
        page = stored_page(outcome.payload)
        if page.illegible:
            return Seen("illegible")
        return Seen("read", page.text) if has_text(page.text) else Seen("blank")
    if outcome.status == "refused":
        return Seen("refused", reason=outcome.reason or "")
    return Seen("waits", reason=outcome.reason or "")
