"""Pieces of a text that chunks are put together from: what stands together stays together.

What belongs here: the strategies that follow the text's own blocks, sentences and lines. What does not: finding blocks
(`stages.markup`), and sentences and lines in them (`stages.sentences`), windows over tokens (`stages.windows`), and the rows
(`stages.chunk`).

No text is tokenised to try something out. Pieces begin at seams of the tokenizer (see `stages.tokens`), so their tokens
add up; only the trimmed ends of a chunk are counted again, and chunks that had to be put together from pieces without
seams between them, as in Chinese sentences.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, islice
from zlib import crc32

from dataflow_assets.stages.markup import Block, Structure
from dataflow_assets.stages.sentences import (
    LINE,
    TITLE_LENGTH,
    WRAPPED,
    Place,
    clauses,
    lines,
    reads_like_title,
    sentences,
)
from dataflow_assets.stages.tokens import SEAM
from dataflow_assets.stages.windows import BLANK, Span, whole_character

_RULE = 40
_TITLE = 35
_BLOCK = 30
_INTRODUCED = 12
_ITEM = 10
_IN_ITEM = 8
_WINDOW = 1
_GAP = 0
"""Strengths of boundaries: a rule; a paragraph that reads like a title; between blocks (less where they are indented);
between a block and the line with a colon that introduces it; in a block that is too large: between list items, inside of
one, in a line (others in `stages.sentences`); between a heading and what it heads. Headings have 50 to 90."""

_BALANCE = 0.012
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


class Pieces:
    """The pieces that the chunks of one document are put together from."""

    def __init__(self, text: str, most: int, count: Callable[[str], int]) -> None:
        self.text = text
        self.flat = text.replace("\r\n", " \n").replace("\r", "\n") if "\r" in text else text
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
            titled = end - start <= TITLE_LENGTH + 2 and self.heads(blocks, at)
            if kind == "heading" or kind == "rule" or (titled and not heading):
                if not heading:
                    begins.append(start)
                    strengths.append(_TITLE if titled else _RULE)
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

    def heads(self, blocks: Sequence[Block], at: int) -> bool:
        """Whether a block reads like a title of the next one, though nothing marks it as a heading."""
        kind, start, end, _, joined = blocks[at]
        if kind != "paragraph" or joined or at + 1 == len(blocks):
            return False
        following = blocks[at + 1]
        if following.kind in ("heading", "rule") or following.end - following.start < 2 * (end - start):
            return False
        return reads_like_title(self.text[start:end])

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
        cuts = sentences(self.flat, start, end) if prose else lines(self.flat, start, end, LINE)
        for begin, stop, weight, loose in _between(start, end, strength, cuts, loose=False):
            size = self.count(self.text[begin:stop])
            if size <= self.most // (2 if prose else 1):
                self.add(begin, size, weight, loose)
            elif not prose:
                self.window(begin, stop, weight, loose)
            else:
                for then, until, inner, unsafe in _between(begin, stop, weight, clauses(self.flat, begin, stop), loose):
                    self.clause(then, until, inner, unsafe)

    def clause(self, start: int, end: int, strength: int, loose: bool) -> None:
        """Add a part of prose that has no better places inside: as one piece if it fits, else line by line."""
        size = self.count(self.text[start:end])
        if size <= self.most:
            self.add(start, size, strength, loose)
            return
        for begin, stop, weight, unsafe in _between(start, end, strength, lines(self.flat, start, end, WRAPPED), loose):
            self.window(begin, stop, weight, unsafe)

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
                    cut, unsafe = whole_character(text, start + most), True
            size = count(text[start:cut])
            while size > most:
                cut, unsafe = max(start + 1, whole_character(text, start + (cut - start) // 2)), True
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
            blank = BLANK.match(text, start, end)
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
                if end <= end_before:
                    continue  # white space that had to stay in the chunk before hid that nothing is left to say
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


def _between(
    start: int, end: int, strength: int, places: Iterable[Place], loose: bool
) -> Iterator[tuple[int, int, int, bool]]:
    """The parts that places divide a stretch into: start, end, and what is known of the boundary before each."""
    for at, following, unsafe in places:
        yield start, at, strength, loose
        start, strength, loose = at, following, unsafe
    yield start, end, strength, loose


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
