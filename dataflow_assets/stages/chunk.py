"""Cutting documents into chunks.

What belongs here: which strategy cuts a document, and the rows that come of it. What does not: where blocks, sentences and
lines are cut (`stages.pieces`, `stages.sentences`), windows over tokens (`stages.windows`), what a text is made of (`stages.markup`), and how
tokens are counted (`stages.tokens`).

`structure` must do two things that pull apart: fill chunks well, and keep an edit local. Filling from the top, each chunk
as full as it gets, moves every boundary behind an edit. So documents are cut from the outside in: a stretch that is longer
than two chunks is cut at its strongest boundary (the highest heading, else a break between blocks; among equals, what
follows the boundary decides, by a hash), never close to an end of the stretch; what then fits into two chunks is cut once,
where structure and balance are best. Whether a boundary is a cut depends on what lies within a chunk or two of it, and an
edit that changes no boundary can at most split a chunk or join two: https://en.wikipedia.org/wiki/Cartesian_tree is the
shape of it.

`messages` cuts where somebody else begins to speak: a chunk is one message, to the character. Each message is a text of
its own, so a code fence that one leaves open hides nothing of the next.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from dataflow_assets.records import Chunk, Finding, Section, identity, text_hash
from dataflow_assets.settings import ChunkingSettings
from dataflow_assets.stages.markup import Block, Structure, outline, structure, title_of
from dataflow_assets.stages.pieces import Pieces
from dataflow_assets.stages.tokens import count_tokens, counter, is_sound
from dataflow_assets.stages.windows import Span, begin_of, by_tokens

CODE_VERSION = 3
"""Raised whenever the same document and settings would be cut differently."""

_MIN_CHARACTERS = 50
_MAX_CHARACTERS_PER_TOKEN = 6
_MIN_TOKENS = 10
_MAX_TOKENS = 1500


class _Cut(NamedTuple):
    """A chunk that has no row yet."""

    start: int
    end: int
    tokens: int
    overlap: int
    path: tuple[str, ...]
    protected: tuple[int, ...]
    message: Section | None = None
    """The message that it is, or is a part of."""


def chunk_document(
    *,
    library: str,
    document_id: str,
    text: str,
    markup: str,
    settings: ChunkingSettings,
    input_hash: str,
    sections: Sequence[Section] = (),
) -> list[Chunk]:
    """Cut a document into chunks.

    Every character that is not white space lies in a chunk, and a chunk's `token_count` is the exact count of its own
    text, at most `settings.max_tokens`.

    Args:
        library: The document's library.
        document_id: The document.
        text: Its text.
        markup: How the text is marked up: `text`, `markdown`, `rst`, or `messages` for texts in Markdown by several people.
        settings: How to cut. Without a strategy, documents that have messages are cut by `messages`, others by
            `structure`; `messages` for a document that has none is `structure` too.
        input_hash: What the rows say that they were made from.
        sections: The document's pages or messages, in order.

    Returns:
        The chunks in the order of the text; none if it is nothing but white space.
    """
    messages = [section for section in sections if section.role is not None]
    strategy = settings.strategy or "messages"
    if strategy == "messages" and not messages:
        strategy = "structure"
    markup = "markdown" if markup == "messages" else markup
    count = counter() if is_sound(text) else count_tokens
    if strategy == "messages":
        cuts = list(_by_message(text, markup, messages, settings.max_tokens, count))
    else:
        cuts = _cut(text, markup, strategy, settings, count)
        if messages:
            cuts = _with_messages(cuts, messages)
    return _rows(library, document_id, text, strategy, settings, input_hash, cuts, sections)


def _cut(text: str, markup: str, strategy: str, settings: ChunkingSettings, count: Callable[[str], int]) -> list[_Cut]:
    """Cut a text by any strategy but `messages`."""
    most = settings.max_tokens
    whole = _whole(text, most, count)
    if whole is not None or strategy == "tokens":
        made = outline(text, markup)
        spans = whole if whole is not None else by_tokens(text, most, settings.overlap, count)
    else:
        made = structure(text, markup)
        pieces = Pieces(text, most, count)
        if strategy == "structure":
            spans = pieces.by_structure(made)
        else:
            spans = pieces.in_turn(made, sentences=strategy == "sentences", overlap=settings.overlap)
    return _described(text, made, spans)


def _by_message(
    text: str, markup: str, messages: Sequence[Section], most: int, count: Callable[[str], int]
) -> Iterator[_Cut]:
    """Cut a conversation: a message that fits is one chunk as it stands, white space at its ends too."""
    for start, end, message in _stretches(text, messages):
        said = text[start:end]
        if not said.strip():
            continue
        tokens = count(said)
        if tokens <= most and message is not None:
            cuts = _described(said, outline(said, markup), [(0, len(said), tokens, 0)])
        else:
            made = structure(said, markup)
            cuts = _described(said, made, Pieces(said, most, count).by_structure(made))
        for cut in cuts:
            yield cut._replace(start=cut.start + start, end=cut.end + start, message=message)


def _stretches(text: str, messages: Sequence[Section]) -> Iterator[tuple[int, int, Section | None]]:
    """The messages, and what stands between them, in order: the text from end to end."""
    position = 0
    for message in messages:
        start = min(max(message.start, position), len(text))
        end = min(max(message.end, start), len(text))
        yield position, start, None
        yield start, end, message
        position = end
    yield position, len(text), None


def _with_messages(cuts: Sequence[_Cut], messages: Sequence[Section]) -> list[_Cut]:
    """Say of each chunk which message it lies in, if it lies in one alone."""
    starts = [message.start for message in messages]
    found = []
    for cut in cuts:
        at = bisect_right(starts, cut.start) - 1
        inside = at >= 0 and cut.end <= messages[at].end
        found.append(cut._replace(message=messages[at]) if inside else cut)
    return found


def findings_of(text: str, token_count: int, settings: ChunkingSettings) -> tuple[Finding, ...]:
    """What the chunk validators have to say about a chunk."""
    characters = len(text)
    most = _MAX_CHARACTERS_PER_TOKEN * settings.max_tokens
    if characters >= _MIN_CHARACTERS and _MIN_TOKENS <= token_count <= _MAX_TOKENS and characters <= most:
        return ()
    found = []
    if characters < _MIN_CHARACTERS:
        found.append(
            Finding(
                "min_characters", "warning", f"The chunk has {characters} characters, fewer than {_MIN_CHARACTERS}.",
                "character_count", str(characters), "Look whether the document has a text worth searching for.",
            )
        )  # fmt: skip
    if characters > most:
        found.append(
            Finding(
                "max_characters", "warning",
                f"The chunk has {characters} characters, more than {_MAX_CHARACTERS_PER_TOKEN} for each allowed token.",
                "character_count", str(characters), "Look whether the text is prose: long runs of one character are not.",
            )
        )  # fmt: skip
    if token_count < _MIN_TOKENS:
        found.append(
            Finding(
                "min_tokens", "warning", f"The chunk has {token_count} tokens, fewer than {_MIN_TOKENS}.",
                "token_count", str(token_count), "Look whether the document has a text worth searching for.",
            )
        )  # fmt: skip
    if token_count > _MAX_TOKENS:
        found.append(
            Finding(
                "max_tokens", "error", f"The chunk has {token_count} tokens, more than {_MAX_TOKENS}.",
                "token_count", str(token_count), f"Set chunking.max_tokens to {_MAX_TOKENS} or less.",
            )
        )  # fmt: skip
    return tuple(found)


def _rows(
    library: str,
    document_id: str,
    text: str,
    strategy: str,
    settings: ChunkingSettings,
    input_hash: str,
    cuts: Sequence[_Cut],
    sections: Sequence[Section],
) -> list[Chunk]:
    seen: dict[str, int] = {}
    identified = []
    first_of: dict[str, str] = {}
    """The first chunk of each message; an id that several messages have is the first one's."""
    for cut in cuts:
        said = text[cut.start : cut.end]
        digest = text_hash(said)
        repeat = seen.get(digest, 0)
        seen[digest] = repeat + 1
        chunk_id = identity(document_id, digest, str(repeat))
        identified.append((said, digest, chunk_id))
        if strategy == "messages" and cut.message is not None and cut.message.message_id is not None:
            first_of.setdefault(cut.message.message_id, chunk_id)
    pages = _Pages(sections)
    rows = []
    for index, (cut, (said, digest, chunk_id)) in enumerate(zip(cuts, identified, strict=True)):
        message = cut.message
        rows.append(
            Chunk(
                library=library,
                chunk_id=chunk_id,
                document_id=document_id,
                chunk_index=index,
                total_chunks=len(cuts),
                text=said,
                text_hash=digest,
                token_count=cut.tokens,
                character_count=len(said),
                start_position=cut.start,
                end_position=cut.end,
                overlap_tokens=cut.overlap,
                heading_path=cut.path,
                strategy=strategy,
                first_page=pages.first(cut.start, cut.end),
                last_page=pages.last(cut.start, cut.end),
                role=message.role if message else None,
                said_at=message.said_at if message else None,
                reply_to=first_of.get(message.reply_to) if message and message.reply_to is not None else None,
                protected_spans=cut.protected,
                issues=findings_of(said, cut.tokens, settings),
                input_hash=input_hash,
            )
        )
    return rows


class _Pages:
    """The pages of a document, to look up which of them a span touches."""

    def __init__(self, sections: Sequence[Section]) -> None:
        self.pages = [section for section in sections if section.page is not None and section.start < section.end]
        self.starts = [page.start for page in self.pages]
        self.ends = [page.end for page in self.pages]

    def first(self, start: int, end: int) -> int | None:
        """The first page that a span touches; None where it touches none."""
        at = bisect_right(self.ends, start)
        return self.pages[at].page if at < len(self.pages) and self.starts[at] < end else None

    def last(self, start: int, end: int) -> int | None:
        """The last page that a span touches; None where it touches none."""
        at = bisect_left(self.starts, end) - 1
        return self.pages[at].page if at >= 0 and self.ends[at] > start else None


def _described(text: str, made: Structure, spans: Sequence[Span]) -> list[_Cut]:
    """Say of each span which headings stand above it and what in it is code."""
    cuts = []
    paths = _heading_paths(text, made.blocks, spans)
    code = made.code
    first_code = 0
    for (start, end, tokens, overlap), path in zip(spans, paths, strict=True):
        protected: tuple[int, ...] = ()
        while first_code < len(code) and code[first_code][1] <= start:
            first_code += 1
        if first_code < len(code) and code[first_code][0] < end:
            protected = _inside(code, first_code, start, end)
        cuts.append(_Cut(start, end, tokens, overlap, path, protected))
    return cuts


def _inside(code: Sequence[tuple[int, int]], first: int, start: int, end: int) -> tuple[int, ...]:
    """The code inside of a chunk, as positions in the chunk; overlapping starts of chunks never fall."""
    flat: list[int] = []
    for a, b in islice(code, first, None):
        if a >= end:
            break
        if b > start:
            flat += (max(a, start) - start, min(b, end) - start)
    return tuple(flat)


def _heading_paths(text: str, blocks: Sequence[Block], spans: Sequence[Span]) -> list[tuple[str, ...]]:
    """The headings above the start of each chunk, with the one that opens it; starts never fall."""
    paths: list[tuple[str, ...]] = []
    above: list[tuple[int, Block]] = []
    titles: dict[int, str] = {}
    path: tuple[str, ...] = ()
    headings = [block for block in blocks if block[0] == "heading"]
    following, last = 0, len(headings)
    for start, _, _, _ in spans:
        reached = following
        while following < last and headings[following].start <= start:
            level = headings[following].level
            while above and above[-1][1].level >= level:
                above.pop()
            above.append((following, headings[following]))
            following += 1
        if reached < following:
            for number, heading in above:
                if number not in titles:
                    titles[number] = title_of(text, heading)
            path = tuple(titles[number] for number, _ in above if titles[number])
        paths.append(path)
    return paths


_FITTING = 4
"""A text of more characters per allowed token is not even tried as one chunk: documentation has 3.5 to 4.5 a token."""


def _whole(text: str, most: int, count: Callable[[str], int]) -> list[Span] | None:
    """The only chunk of a short document, no chunk of an empty one, or None for one that must be cut."""
    start = begin_of(text)
    if start == len(text):
        return []
    said = text[start:].rstrip()
    if len(said) > _FITTING * most:
        return None
    tokens = count(said)
    return [(start, start + len(said), tokens, 0)] if tokens <= most else None
