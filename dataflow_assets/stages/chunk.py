"""Cutting documents into chunks.

What belongs here: where a document is cut, and the rows that come of it. What does not: what a text is made of
(`stages.markup`), how tokens are counted (`stages.tokens`).

`structure` must do two things that pull apart: fill chunks well, and keep an edit local. Filling from the top, each chunk
as full as it gets, moves every boundary behind an edit. So documents are cut from the outside in: a stretch that is longer
than two chunks is cut at its strongest boundary (the highest heading, else a break between blocks; among equals, what
follows the boundary decides, by a hash), never close to an end of the stretch; what then fits into two chunks is cut once,
where structure and balance are best. Whether a boundary is a cut depends on what lies within a chunk or two of it, and an
edit that changes no boundary can at most split a chunk or join two: https://en.wikipedia.org/wiki/Cartesian_tree is the
shape of it.

No text is tokenised to try something out. Pieces begin at seams of the tokenizer (see `stages.tokens`), so their tokens
add up; only the trimmed ends of a chunk are counted again, and chunks that had to be put together from pieces without
seams between them, as in Chinese sentences.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, islice
from typing import TypeAlias
from zlib import crc32

from dataflow_assets.records import Chunk, Finding, Section, identity, text_hash
from dataflow_assets.settings import ChunkingSettings
from dataflow_assets.stages.markup import Block, Structure, outline, structure, title_of
from dataflow_assets.stages.tokens import SEAM, count_tokens, counter, is_sound, token_ends

CODE_VERSION = 1
"""Raised whenever the same document and settings would be cut differently."""

Span: TypeAlias = tuple[int, int, int, int]
"""Start and end of a chunk, its tokens, and how many of them the chunk before has too."""

_MIN_CHARACTERS = 50
_MAX_CHARACTERS_PER_TOKEN = 6
_MIN_TOKENS = 10
_MAX_TOKENS = 1500


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
        markup: How the text is marked up: `text`, `markdown` or `rst`.
        settings: How to cut.
        sections: The document's pages or messages, in order.
        input_hash: What the rows say that they were made from.

    Returns:
        The chunks in the order of the text; none if it is nothing but white space.
    """
    strategy = settings.strategy
    count = counter() if is_sound(text) else count_tokens
    whole = _whole(text, settings.max_tokens, count)
    if whole is not None or strategy == "tokens":
        made = outline(text, markup)
        spans = whole if whole is not None else _by_tokens(text, settings.max_tokens, settings.overlap, count)
    else:
        made = structure(text, markup)
        flat = text.replace("\r\n", " \n").replace("\r", "\n") if "\r" in text else text
        pieces = _Pieces(text, flat, settings.max_tokens, count)
        if strategy == "structure":
            spans = pieces.by_structure(made)
        else:
            spans = pieces.in_turn(made, sentences=strategy == "sentences", overlap=settings.overlap)
    return _rows(library, document_id, text, made, settings, input_hash, spans)


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
    made: Structure,
    settings: ChunkingSettings,
    input_hash: str,
    spans: Sequence[Span],
) -> list[Chunk]:
    rows = []
    seen: dict[str, int] = {}
    paths = _heading_paths(text, made.blocks, spans)
    code = made.code
    first_code = 0
    for index, (start, end, tokens, overlap) in enumerate(spans):
        said = text[start:end]
        digest = text_hash(said)
        repeat = seen.get(digest, 0)
        seen[digest] = repeat + 1
        protected: tuple[int, ...] = ()
        while first_code < len(code) and code[first_code][1] <= start:
            first_code += 1
        if first_code < len(code) and code[first_code][0] < end:
            protected = _inside(code, first_code, start, end)
        rows.append(
            Chunk(
                library, identity(document_id, digest, str(repeat)), document_id, index, len(spans), said, digest, tokens,
                end - start, start, end, overlap, paths[index], settings.strategy, None, None, None, None, None, protected,
                findings_of(said, tokens, settings), input_hash,
            )
        )  # fmt: skip
    return rows


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


_FIRST = re.compile(r"\s*+")


def _begin(text: str) -> int:
    """Start of the first line that is not blank; the length of a text without one."""
    blank = _FIRST.match(text)
    end = blank.end() if blank else 0
    if end == len(text):
        return end
    return max(text.rfind("\n", 0, end), text.rfind("\r", 0, end)) + 1


_FITTING = 4
"""A text of more characters per allowed token is not even tried as one chunk: documentation has 3.5 to 4.5 a token."""


def _whole(text: str, most: int, count: Callable[[str], int]) -> list[Span] | None:
    """The only chunk of a short document, no chunk of an empty one, or None for one that must be cut."""
    start = _begin(text)
    if start == len(text):
        return []
    said = text[start:].rstrip()
    if len(said) > _FITTING * most:
        return None
    tokens = count(said)
    return [(start, start + len(said), tokens, 0)] if tokens <= most else None


# ---------------------------------------------------------------------------------------------------------------- tokens


_ENOUGH = 0.94
"""A window, and what it shares with the next, is full enough with this share of what is allowed."""
_STEPS = 12


class _Seamless(Exception):
    """There is no seam where one is needed."""


def _by_tokens(text: str, most: int, overlap: int, count: Callable[[str], int]) -> list[Span]:
    """Windows of about as many tokens as are allowed, of which neighbours share about as many as is asked for."""
    if count is not count_tokens:
        try:
            return _by_counting(text, most, overlap, count)
        except _Seamless:
            pass
    return _by_encoding(text, most, overlap, count)


def _by_counting(text: str, most: int, overlap: int, count: Callable[[str], int]) -> list[Span]:
    """Windows from seam to seam, found by guessing where the tokens end and counting what lies between guesses.

    Every part of the text is counted about once, which is faster than to encode it and to add up where tokens end.

    Raises:
        _Seamless: There are no seams near enough, as in Chinese without punctuation.
    """
    stop = len(text.rstrip())
    start = _begin(text)
    rate = 4.0
    """Characters per token, as of late."""
    tokens = shared = 0
    spans: list[Span] = []
    here = start
    """Up to where the window that begins at `start` has been counted."""

    def go(limit: int) -> int:
        """Move `here` to where about `limit` tokens are counted, at most; give how many."""
        nonlocal here, rate
        begin, counted = here, 0
        for step in range(_STEPS):
            missing = limit - counted
            if here >= stop or (step and missing <= limit * (1 - _ENOUGH)):
                return counted
            guess = min(stop, here + max(8, int(missing * rate * (0.97 if step else 0.9))))
            end, found = (stop, True) if guess == stop else _seam_before(text, guess, here + 1)
            if not found:
                raise _Seamless
            more = count(text[here:end])
            while more > missing:
                excess = max(2, int((end - here) * (more - missing) / more * 1.05))
                shorter, found = _seam_before(text, end - excess, here)
                if shorter <= here:
                    return counted
                if not found:
                    raise _Seamless
                more -= count(text[shorter:end])
                end = shorter
            counted += more
            here = end
            rate = max(0.5, (end - begin) / counted)
        return counted

    while True:
        tokens = shared + go(most - overlap - shared)
        following = here
        share = go(min(overlap, most - tokens)) if overlap else 0
        tokens += share
        if here >= stop or not tokens:
            break
        if following <= start:
            raise _Seamless
        spans.append((start, here, tokens, shared))
        start, shared = following, share
    if not tokens:
        raise _Seamless
    spans.append((start, stop, tokens, shared))
    return spans


def _by_encoding(text: str, most: int, overlap: int, count: Callable[[str], int]) -> list[Span]:
    """Windows over the tokens whose ends are moved to seams, so that a window's tokens are those of its text."""
    exact = count is not count_tokens and len(text) <= 1_000_000
    ends = token_ends(text).data  # a look at one of its items costs a third of what NumPy takes
    stop = len(text.rstrip())
    spans: list[Span] = []
    start, before_end, sound = _begin(text), 0, True
    first = bisect_right(ends, start)
    before_tokens = 0
    total = len(ends)
    while start < stop:
        if first + most >= total:
            end, cut_soundly = stop, False
            seam, found = _seam_before(text, stop - 1, start + 1)
            if found and sound and exact:
                tokens = bisect_right(ends, seam) - first + count(text[seam:stop])
                if tokens <= most:
                    shared = before_tokens - first if before_tokens >= 0 else count(text[start:before_end])
                    spans.append((start, stop, tokens, shared if before_end > start else 0))
                    break
        else:
            end, cut_soundly = _seam_before(text, ends[first + most - 1], start + 1)
            end = min(end, stop)
        if cut_soundly and sound and exact:
            last = bisect_right(ends, end)
            tokens = last - first
        else:
            tokens = count(text[start:end])
            last = bisect_right(ends, end)
        while tokens > most:
            end, cut_soundly = _seam_before(
                text, end - max(1, (end - start) * (tokens - most) // (2 * tokens)), start + 1
            )
            tokens = count(text[start:end])
            last = bisect_right(ends, end)
        shared = 0
        if before_end > start:
            both_sound = sound and exact and before_tokens >= 0
            shared = before_tokens - first if both_sound else count(text[start:before_end])
        if text[start:end].strip():
            spans.append((start, end, tokens, shared))
        if end >= stop:
            break
        before_end, before_tokens = end, last if cut_soundly else -1
        following, following_sound = end, cut_soundly
        if overlap and last - overlap > first:
            following, following_sound = _seam_after(text, ends[last - overlap - 1], end)
            if not following_sound and count(text[following:end]) > overlap:
                following = end - (end - following) // 2
            if following <= start or text[following:end].isspace():
                following, following_sound = end, cut_soundly
        start, sound = following, following_sound
        first = bisect_right(ends, start)
    return spans


_NEAR = 48
_FAR = 600


def _seam_before(text: str, position: int, least: int) -> tuple[int, bool]:
    """The last seam at or before a position, or the position, and whether it is a seam."""
    low = max(least, position - _NEAR)
    space = text.rfind(" ", low, position + 1)
    if space > low and "!" <= text[space - 1] <= "~":
        return space, True
    for width in (_NEAR, _FAR):
        found = -1
        for match in SEAM.finditer(text, max(least, position - width), position + 1):
            found = match.start()
        if found >= 0:
            return found, True
    return max(least, _whole_character(text, position)), False


def _seam_after(text: str, position: int, end: int) -> tuple[int, bool]:
    """The first seam at or after a position and before an end, or the position, and whether it is a seam."""
    space = text.find(" ", position, min(end, position + _NEAR))
    if space > 0 and "!" <= text[space - 1] <= "~":
        return space, True
    match = SEAM.search(text, position, min(end, position + _FAR))
    return (match.start(), True) if match else (_whole_character(text, position), False)


def _whole_character(text: str, position: int) -> int:
    """The position, or the one before where it is inside of a surrogate pair."""
    inside = (
        0 < position < len(text)
        and "\udc00" <= text[position] <= "\udfff"
        and "\ud800" <= text[position - 1] <= "\udbff"
    )
    return position - 1 if inside else position


# ---------------------------------------------------------------------------------------------------------------- pieces

_RULE = 40
_BLOCK = 30
_INTRODUCED = 12
_ITEM = 10
_IN_ITEM = 8
_AFTER_BLANK = 7
_LINE = 6
_WRAPPED = 3
_WINDOW = 1
_GAP = 0
"""Strengths of boundaries: a rule; between blocks (less where they are indented); between a block and the line with a
colon that introduces it; in a block that is too large: between list items, inside of one, at blank lines, at lines and
sentences, at lines that wrap a sentence, in a line; between a heading and what it heads. Headings have 50 to 90."""

_BALANCE = 0.006
"""How much imbalance (0: both halves alike, 1: one is all) a point of strength outweighs."""
_KEY = 12
"""Characters behind a boundary whose hash decides among boundaries of one strength."""
_LONG = 6
"""A block of more characters per allowed token is counted in parts first, since it will hardly fit."""
_TAIL = 24
"""Characters at the end of a chunk among which a seam is looked for."""
_VAST = 64
"""A stretch of more chunks than this is cut in its middle half, so that no input makes the work quadratic."""

_PROSE = ("paragraph", "quote", "html", "heading")
_SENTENCE = re.compile(
    r"[.!?…。！？](?:(?<=[。！？])[」』）”’]*+(\s*+)"
    r"|(?<!\bDr.)(?<!\bMr.)(?<!\bMrs.)(?<!\bMs.)(?<!\bSt.)(?<!\bvs.)(?<!\bcf.)(?<!\be\.g.)(?<!\bi\.e.)"
    r"[)\]\"'”’»*_`]*+(\s++)(?![a-z]))"
)
_LINES = re.compile(r"\n((?:[^\S\n]*+\n)*+)(?=[^\S\n]*+\S)")
_NOT_SPACE = "\x1c\x1d\x1e\x1f"
"""White space to Python, not to the tokenizer."""


class _Pieces:
    """The pieces that the chunks of one document are put together from."""

    def __init__(self, text: str, flat: str, most: int, count: Callable[[str], int]) -> None:
        self.text = text
        self.flat = flat
        """The text with one kind of newline, of the same length."""
        self.most = most
        self.count = count
        self.stop = len(text.rstrip())
        self.starts: list[int] = []
        self.sizes: list[int] = []
        self.strengths: list[int] = []
        self.loose: list[bool] = []
        """Whether the boundary before a piece may be no seam."""

    def by_structure(self, made: Structure) -> list[Span]:
        """Chunks that follow the structure of the text."""
        self.fill(made.blocks)
        self.add_up()
        spans: list[Span] = []
        for low, high in self.parts():
            spans += self.spans(low, high)
        return spans

    def fill(self, blocks: Sequence[Block]) -> None:
        """Make pieces of blocks: what should stay in one chunk is one piece, if it fits."""
        text, most = self.text, self.most
        begins: list[int] = []
        strengths: list[int] = []
        heads: list[int] = []
        firsts: list[int] = []
        heading = False
        before, before_end = "", 0
        for at, (kind, start, end, level, joined) in enumerate(blocks):
            if kind == "heading" or kind == "rule":
                if not heading:
                    begins.append(start)
                    strengths.append(_RULE)
                    heads.append(at)
                    firsts.append(at + 1)
                    heading = True
                else:
                    firsts[-1] = at + 1
                if kind == "heading":
                    strengths[-1] = max(strengths[-1], 100 - 10 * level, 50)
            elif heading:
                heading = False
            elif not joined or not begins:
                strength = _BLOCK - (level if level < 15 else 15)
                if kind != before == "paragraph" and text[max(0, before_end - 4) : before_end].rstrip().endswith(":"):
                    strength = _INTRODUCED
                begins.append(start)
                strengths.append(strength)
                heads.append(at)
                firsts.append(at)
            before, before_end = kind, end
        bounds = [*islice(begins, 1, None), len(text)]
        count, long = self.count, _LONG * most
        sizes = [count(text[a:b]) if b - a <= long else -1 for a, b in zip(begins, bounds, strict=True)]
        if max(sizes, default=0) <= most and -1 not in sizes:
            self.starts, self.sizes, self.strengths, self.loose = begins, sizes, strengths, [False] * len(begins)
            return
        heads.append(len(blocks))
        for number, size in enumerate(sizes):
            strength, head, first, following = strengths[number], heads[number], firsts[number], heads[number + 1]
            if 0 <= size <= most:
                self.add(begins[number], size, strength)
                continue
            if not head < first < following:
                self.add_all(blocks[head:following], bounds[number], strength, size)
                continue
            begun = len(self.starts)
            self.add_all(blocks[head:first], blocks[first].start, strength, -1)
            then = len(self.starts)
            rest = size - sum(self.sizes[begun:]) if size >= 0 and not any(self.loose[begun:]) else -1
            self.add_all(blocks[first:following], bounds[number], _GAP, rest)
            if size >= 0 or not self.join(begun):
                self.join(then - 1, then + 1)  # the heading and the first part of what is too large

    def add_all(self, blocks: Sequence[Block], end: int, strength: int, size: int) -> None:
        """Add blocks that belong together: as one piece if they fit, else block by block, else in parts.

        Args:
            blocks: The blocks, at least one.
            end: Where the block behind them starts.
            strength: Of the boundary before them.
            size: Their tokens; -1 if they have not been counted.
        """
        start, begun = blocks[0].start, len(self.starts)
        if size < 0 and end - start <= _LONG * self.most:
            size = self.count(self.text[start:end])
        if 0 <= size <= self.most:
            self.add(start, size, strength)
            return
        if len(blocks) == 1:
            self.divide(start, end, strength, prose=blocks[0].kind in _PROSE)
        else:
            bounds = [*(block.start for block in islice(blocks, 1, None)), end]
            for block, bound in zip(blocks, bounds, strict=True):
                if block is not blocks[0]:
                    strength = _ITEM - min(block.level // 4, 1) if block.kind == "list" else _IN_ITEM
                self.add_all([block], bound, strength, -1)
        if size < 0:
            self.join(begun)

    def join(self, begun: int, end: int | None = None) -> bool:
        """Make one piece of the pieces from one on, up to another, if they fit together; say whether they do."""
        total = sum(self.sizes[begun:end])
        if total > self.most or any(self.loose[begun + 1 : end]):
            return False
        self.sizes[begun] = total
        for parts in (self.starts, self.sizes, self.strengths, self.loose):
            del parts[begun + 1 : end]
        return True

    def add(self, start: int, size: int, strength: int, loose: bool = False) -> None:
        """Add one piece."""
        self.starts.append(start)
        self.sizes.append(size)
        self.strengths.append(strength)
        self.loose.append(loose)

    def divide(self, start: int, end: int, strength: int, *, prose: bool) -> None:
        """Add the parts of a block that is too large: sentences or lines, and what is still too large in windows."""
        text, count, most = self.text, self.count, self.most
        cuts = self.sentences(start, end) if prose else self.lines(start, end, _LINE)
        position, weight, loose = start, strength, False
        for cut, following, unsafe in [*cuts, (end, 0, False)]:
            size = count(text[position:cut])
            if size <= most:
                self.add(position, size, weight, loose)
            else:
                inner, inner_weight, inner_loose = position, weight, loose
                for stop, then, _ in [*(self.lines(position, cut, _WRAPPED) if prose else ()), (cut, 0, False)]:
                    self.window(inner, stop, inner_weight, inner_loose)
                    inner, inner_weight, inner_loose = stop, then, False
            position, weight, loose = cut, following, unsafe

    def sentences(self, start: int, end: int) -> Iterable[tuple[int, int, bool]]:
        """Where sentences begin, with a strength and whether it may be no seam."""
        for match in _SENTENCE.finditer(self.flat, start, end):
            space = match[1] if match[1] is not None else match[2]
            after = match.end()
            if after >= end:
                return
            if "\n" in space:
                yield self.flat.rfind("\n", match.start(), after) + 1, _LINE, False
            elif space:
                yield after - len(space), _LINE, space[0] in _NOT_SPACE
            else:
                yield after, _LINE, True

    def lines(self, start: int, end: int, strength: int) -> Iterable[tuple[int, int, bool]]:
        """Where lines begin, with a strength and whether it may be no seam."""
        for match in _LINES.finditer(self.flat, start, end):
            if match.end() < end:
                yield match.end(), _AFTER_BLANK if match[1] and strength == _LINE else strength, False

    def window(self, start: int, end: int, strength: int, loose: bool) -> None:
        """Add the parts of a line; cuts follow what stands there, so that they come again behind an edit."""
        text, count, most = self.text, self.count, self.most
        while start < end:
            cut, unsafe = end, False
            if end - start > most:
                near = list(islice(SEAM.finditer(text, start + most // 2, start + most), 16))
                if near:
                    cut = max(near, key=lambda match: crc32(_encoded(text[match.start() : match.start() + 12]))).start()
                else:
                    cut, unsafe = _whole_character(text, start + most), True
            size = count(text[start:cut])
            while size > most:
                cut, unsafe = max(start + 1, _whole_character(text, start + (cut - start) // 2)), True
                size = count(text[start:cut])
            self.add(start, size, strength, loose)
            start, strength, loose = cut, _WINDOW, unsafe

    def add_up(self) -> None:
        """Prepare the sums that make the size of a run of pieces a subtraction."""
        self.before = list(accumulate(self.sizes, initial=0))
        self.loose_before = list(accumulate(self.loose, initial=0)) if any(self.loose) else None

    def parts(self) -> list[tuple[int, int]]:
        """Runs of pieces that become chunks, from the outside in."""
        before, most = self.before, self.most
        done: list[tuple[int, int]] = []
        todo = [(0, len(self.sizes))]
        order: list[int] = []
        while todo:
            low, high = todo.pop()
            size = before[high] - before[low]
            if size <= most or high - low == 1:
                done.append((low, high))
                continue
            if size <= 2 * most:
                cut = self.halve(low, high)
            else:
                if not order:
                    order = self.ranks()
                margin = size // 4 if size > _VAST * most else most // 2
                first = max(low + 1, bisect_left(before, before[low] + margin, low, high))
                last = min(high - 1, bisect_right(before, before[high] - margin, low, high) - 1)
                if first > last:
                    cut = self.halve(low, high)
                else:
                    ranks = order[first : last + 1]
                    best = max(ranks)
                    cut = first + ranks.index(best)
                    if (same := ranks.count(best)) > 1:
                        found = (i for i, rank in enumerate(ranks) if rank == best)
                        cut = first + next(islice(found, same // 2, None))
            todo.append((cut, high))
            todo.append((low, cut))
        return done

    def ranks(self) -> list[int]:
        """For each boundary its strength and, among equals, a hash of what follows."""
        text = self.text
        return [
            (strength << 32) | crc32(_encoded(text[start : start + _KEY]))
            for strength, start in zip(self.strengths, self.starts, strict=True)
        ]

    def halve(self, low: int, high: int) -> int:
        """The best boundary at which a stretch of up to two chunks is cut."""
        before, most, strengths = self.before, self.most, self.strengths
        left, right = before[low], before[high]
        size = right - left
        first = max(low + 1, bisect_left(before, right - most, low, high))
        last = min(high - 1, bisect_right(before, left + most, low, high) - 1)
        if first > last:  # no cut gives two chunks
            first, last = low + 1, high - 1
        best, cut = -9.0, first
        for at in range(first, last + 1):
            score = strengths[at] * _BALANCE - abs(left + right - 2 * before[at]) / size
            if score > best:
                best, cut = score, at
        return cut

    def spans(self, low: int, high: int) -> list[Span]:
        """The chunk of a run of pieces, without white space at its ends; more than one if it turns out too large."""
        start, end = self.trimmed(low, high)
        if start >= end:
            return []
        tokens = self.tokens(low, high, start, end)
        if tokens > self.most:
            full = self.starts[low], self.starts[high] if high < len(self.starts) else len(self.text)
            tokens = self.count(self.text[full[0] : full[1]])
            if tokens <= self.most:
                start, end = full
            elif high - low > 1:
                middle = (low + high) // 2
                return self.spans(low, middle) + self.spans(middle, high)
        return [(start, end, tokens, 0)]

    def trimmed(self, low: int, high: int) -> tuple[int, int]:
        """Start and end of a run of pieces without white space; the indentation of a first line stays."""
        text, start = self.text, self.starts[low]
        if high == len(self.starts):
            end = self.stop
        else:
            last = self.starts[high - 1]
            end = last + len(text[last : self.starts[high]].rstrip())
        if text[start].isspace() and start and self.flat[start - 1] != "\n":
            blank = _FIRST.match(text, start, end)
            start = blank.end() if blank else start
        return start, end

    def tokens(self, low: int, high: int, start: int, end: int) -> int:
        """The exact tokens of a run of pieces between two trimmed ends."""
        text, starts, count = self.text, self.starts, self.count
        if high - low == 1 or (self.loose_before and self.loose_before[high] > self.loose_before[low + 1]):
            return count(text[start:end])
        last = starts[high - 1]
        if end <= last or start >= starts[low + 1]:
            return count(text[start:end])
        seam = SEAM.search(text, max(last, end - _TAIL), end)
        if seam:  # only what stands behind it can change when white space behind that is taken away
            bound = starts[high] if high < len(starts) else len(text)
            near = seam.start()
            total = self.before[high] - self.before[low] + count(text[near:end]) - count(text[near:bound])
        else:
            total = self.before[high - 1] - self.before[low] + count(text[last:end])
        if start != starts[low]:
            total += count(text[start : starts[low + 1]]) - self.sizes[low]
        return total

    def in_turn(self, made: Structure, *, sentences: bool, overlap: int) -> list[Span]:
        """Chunks filled from the top with whole sentences or paragraphs, of which neighbours may share some."""
        text, most = self.text, self.most
        bounds = [block.start for block in made.blocks]
        bounds.append(len(text))
        for block, end in zip(made.blocks, islice(bounds, 1, None), strict=False):
            size = self.count(text[block.start : end])
            if size > most or (sentences and block.kind in ("paragraph", "quote", "html")):
                self.divide(block.start, end, _BLOCK, prose=block.kind in _PROSE)
            else:
                self.add(block.start, size, _BLOCK)
        self.add_up()
        before, n = self.before, len(self.sizes)
        spans: list[Span] = []
        low, end_before = 0, 0
        while low < n:
            high = max(low + 1, min(n, bisect_right(before, before[low] + most, low, n + 1) - 1))
            found = self.spans(low, high)
            while len(found) > 1 and high - low > 1:
                high = low + (high - low + 1) // 2
                found = self.spans(low, high)
            for start, end, tokens, _ in found:
                shared = self.count(text[start:end_before]) if start < end_before else 0
                spans.append((start, end, tokens, shared))
                end_before = end
            if high == n:
                break
            following = high
            if overlap:
                following = max(low + 1, bisect_left(before, before[high] - overlap, low, high))
                # the next piece must fit too, and white space that is shared no more must not count as more
                while following < high and (
                    before[high + 1] - before[following] > most
                    or self.count(text[self.trimmed(following, high)[0] : end_before]) > overlap
                ):
                    following += 1
            low = following
        return spans


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
