"""The figures of a library: everything that its quality report shows, as frozen records that JSON can carry.

What belongs here: the records, their way to JSON and back, and the word diff that a sample of a correction is made of. What
does not: getting the numbers out of the tables (`warehouse.figures`) and drawing them (`report`). They stand apart so that a
report can be drawn again from what is stored of it, and compared with the next one, without the tables.

Every list is bounded and every text is clipped, so that the figures of a large library are as small as those of a small one.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

from dataflow_assets.records import QualityReport

FIGURES_VERSION = 1
"""Stored with the figures. Fields are only ever added, so older ones can still be read."""

DiffKind: TypeAlias = Literal["same", "gone", "new", "cut"]

_MAX_CHANGES = 4
_CONTEXT = 60
_MAX_SEGMENT = 240
_MAX_WORDS = 800
_MAX_DEPTH = 4
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Funnel:
    """How many documents and chunks reached each stage."""

    listed: int = 0
    """Documents that the source lists."""
    fetched: int = 0
    """Those whose bytes could be had."""
    size_bytes: int = 0
    valid: int = 0
    rejected: int = 0
    duplicates: int = 0
    chunked: int = 0
    """Documents with at least one chunk."""
    chunks: int = 0
    distinct_texts: int = 0
    """Different texts among the chunks."""
    corrected: int = 0
    unchanged: int = 0
    refused: int = 0
    skipped: int = 0
    failed: int = 0
    """Corrections that are asked again by the next run."""
    waiting: int = 0
    """Of these, the ones that were not asked yet, for a budget or a batch."""
    embedded: int = 0
    embedding_refused: int = 0
    embedding_failed: int = 0
    embedding_waiting: int = 0
    """Of these, the ones that were not asked yet, for a budget or since their correction waits."""
    indexed: int = 0
    """Points in the search index."""
    missing_points: int = 0
    """Chunks without a point in the search index."""
    searchable_documents: int = 0
    """Documents whose text a search can find; a duplicate counts where the document that stays is searchable."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A document, as an example of something."""

    title: str = ""
    source_uri: str = ""


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """Rows that share a reason, numbers in it apart."""

    reason: str = ""
    count: int = 0
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class FindingGroup:
    """What one validator said of the rows of one table."""

    table: str = ""
    validator: str = ""
    severity: str = "warning"
    count: int = 0
    rows: int = 0
    """Rows that it was said of."""
    message: str = ""
    """One of the messages."""
    suggestion: str = ""
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """A text that several documents share."""

    kept: Sample = field(default_factory=Sample)
    count: int = 0
    """Documents that stand behind the kept one."""
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class Histogram:
    """How a number is distributed.

    Bin `i` counts the values in `edges[i] <= value < edges[i + 1]`. Where `discrete`, `edges` has one entry per bin, which is
    the value itself.
    """

    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    discrete: bool = False
    total: int = 0
    minimum: float = 0.0
    median: float = 0.0
    p90: float = 0.0
    maximum: float = 0.0
    mean: float = 0.0


@dataclass(frozen=True, slots=True)
class Share:
    """One value of a category."""

    name: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the valid documents' text stands in chunks."""

    characters: int = 0
    """Of all valid documents."""
    covered: int = 0
    """Of these, within at least one chunk."""
    lost: int = 0
    """Outside every chunk and not whitespace; seams of a few characters between chunks count as whitespace."""
    share: float = 1.0
    """1 - lost / characters."""
    documents_without_chunks: int = 0
    """Valid documents that have none."""


@dataclass(frozen=True, slots=True)
class WeakDocument:
    """A valid document with a low score."""

    document: Sample = field(default_factory=Sample)
    quality_score: float = 0.0
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DiffSegment:
    """A piece of a word diff: the same in both, gone, new, or `cut` where equal text was left out."""

    kind: DiffKind = "same"
    text: str = ""


@dataclass(frozen=True, slots=True)
class CorrectionSample:
    """One corrected chunk, as a word diff."""

    document: Sample = field(default_factory=Sample)
    chunk_index: int = 0
    heading_path: tuple[str, ...] = ()
    diff: tuple[DiffSegment, ...] = ()
    model: str = ""
    """Who corrected."""


@dataclass(frozen=True, slots=True)
class EmbeddingFigures:
    """The vectors of one model."""

    model: str = ""
    dimension: int = 0
    vectors: int = 0
    not_finite: int = 0
    """Vectors with a NaN or an infinity."""
    norm_min: float = 0.0
    norm_mean: float = 0.0
    norm_max: float = 0.0


@dataclass(frozen=True, slots=True)
class CallFigures:
    """The paid calls of one stage to one model, over the library's life."""

    stage: str = ""
    provider: str = ""
    model: str = ""
    calls: int = 0
    failed: int = 0
    """Those without an answer."""
    items: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    seconds: float = 0.0
    cost_usd: float = 0.0
    held_usd: float = 0.0
    """What may have been billed besides: the answer was lost."""


@dataclass(frozen=True, slots=True)
class FailedCalls:
    """The calls that one kind of failure kept from an answer, over the library's life."""

    status: str = ""
    """As it stands in `model_calls`: throttled, overloaded, timeout, lost ..."""
    calls: int = 0
    held_usd: float = 0.0
    error: str = ""
    """What one of them was told."""


@dataclass(frozen=True, slots=True)
class AskingFigures:
    """What one stage's asking of a paid model took in the run that made the report."""

    stage: str = ""
    texts: int = 0
    """Texts that wanted an answer; those that repeat another one of the run among them."""
    asked: int = 0
    """Texts that the model was asked about."""
    from_store: int = 0
    """Texts whose answers were there."""
    calls: int = 0
    asked_again: int = 0
    """Texts whose first answer was no good, asked about once more, alone."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float = 0.0
    saved_usd: float = 0.0
    """What the answers from the store had cost."""
    held_usd: float = 0.0
    """What calls without an answer may have cost."""
    retries: tuple[Share, ...] = ()
    """Further tries, by what made them necessary."""
    refused: tuple[Share, ...] = ()
    """Texts that will have no answer, by reason."""
    left: int = 0
    """Texts that were not asked about, or wait for a batch."""
    left_for: str = ""
    """What they wait for."""
    unpriced: bool = False
    """Whether the model's price is not known: its calls count as 0."""


@dataclass(frozen=True, slots=True)
class BudgetFigures:
    """One budget of the library."""

    setting: str = ""
    """Its key in the catalog's `limits`: `budget_usd` or `monthly_budget_usd`."""
    limit_usd: float = 0.0
    used_usd: float = 0.0
    """What is spent, reserved for calls in flight, or held for calls whose answer was lost."""

    @property
    def left_usd(self) -> float:
        """What may still be spent."""
        return max(0.0, self.limit_usd - self.used_usd)

    @property
    def share(self) -> float:
        """Share of the limit that is used, 0 to 1."""
        return min(1.0, self.used_usd / self.limit_usd) if self.limit_usd > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the next report needs of this one to tell what changed."""

    generated_at: str = ""
    """ISO 8601, or empty where it is not known."""
    headline: dict[str, float] = field(default_factory=dict)
    rejections: dict[str, int] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EvaluationFigures:
    """How well a generation of the index found what it should."""

    at: str
    """When it was measured; UTC."""
    generation: str
    kind: str
    """`golden` for golden queries, `headings` for questions made from headings."""
    questions: int
    k: int
    """Results of a question that count."""
    recall: float
    mrr: float
    ndcg: float
    semantic: float = 0.0
    """nDCG of semantic search alone."""
    in_use: bool = False
    """Whether searches read this generation when the report was made."""
    refused: bool = False
    """Whether the gate kept it from taking over then."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that a quality report shows of a library."""

    version: int = FIGURES_VERSION
    library: str = ""
    overall_score: float = 0.0
    """Mean quality score over the documents, rejected ones as 0; 0 for a library without documents."""
    characters: int = 0
    """Of all valid documents."""
    tokens: int = 0
    """Of all valid documents."""
    chunk_tokens: int = 0
    """Of all chunks."""
    funnel: Funnel = field(default_factory=Funnel)
    rejections: tuple[ReasonGroup, ...] = ()
    findings: tuple[FindingGroup, ...] = ()
    weakest: tuple[WeakDocument, ...] = ()
    duplicate_groups: int = 0
    duplicates: tuple[DuplicateGroup, ...] = ()
    """The largest groups."""
    document_characters: Histogram = field(default_factory=Histogram)
    document_tokens: Histogram = field(default_factory=Histogram)
    chunk_token_counts: Histogram = field(default_factory=Histogram)
    quality_scores: Histogram = field(default_factory=Histogram)
    content_quality: Histogram = field(default_factory=Histogram)
    languages: tuple[Share, ...] = ()
    """Of the valid documents; the last entry may be `other`."""
    doc_types: tuple[Share, ...] = ()
    media_types: tuple[Share, ...] = ()
    """Of all documents that the source lists."""
    coverage: Coverage = field(default_factory=Coverage)
    corrections: tuple[CorrectionSample, ...] = ()
    refusals: tuple[ReasonGroup, ...] = ()
    """Corrections that were refused, by reason."""
    unanswered: tuple[ReasonGroup, ...] = ()
    """Corrections and embeddings that failed, and embeddings that were refused, by reason."""
    correctors: tuple[Share, ...] = ()
    embeddings: tuple[EmbeddingFigures, ...] = ()
    generations: int = 0
    """Index generations that hold points; more than one only while a model is being changed."""
    evaluations: tuple[EvaluationFigures, ...] = ()
    """How well searches found what they should, oldest first."""
    calls: tuple[CallFigures, ...] = ()
    failed_calls: tuple[FailedCalls, ...] = ()
    cost_usd: float = 0.0
    """What the library cost so far."""
    held_usd: float = 0.0
    """What may have been billed besides: answers that were lost."""
    saved_texts: int = 0
    """Texts that were not asked about so far, since their answers were in the store."""
    saved_usd: float = 0.0
    """What those answers had cost."""
    asking: tuple[AskingFigures, ...] = ()
    """What asking took in this run; only stages that had something to ask."""
    budgets: tuple[BudgetFigures, ...] = ()
    previous: Snapshot | None = None
    """What the report before said; None for the first."""

    @property
    def searchable_share(self) -> float:
        """Share of the listed documents whose text a search can find."""
        return _ratio(self.funnel.searchable_documents, self.funnel.listed)

    @property
    def failed(self) -> int:
        """Rows that the next run asks for again."""
        return self.funnel.failed + self.funnel.embedding_failed

    @property
    def waiting(self) -> int:
        """Of these, the rows that were not asked yet, for a budget or a batch."""
        return self.funnel.waiting + self.funnel.embedding_waiting

    @property
    def waiting_chunks(self) -> int:
        """Chunks that were not asked about yet; one whose correction waits waits for its embedding too."""
        return max(self.funnel.waiting, self.funnel.embedding_waiting)

    @property
    def paid(self) -> bool:
        """Whether paid models have a part in the library; without them nothing is said of money."""
        return bool(self.calls or self.asking or self.budgets or self.saved_texts)

    @property
    def cost_per_1000_documents(self) -> float:
        """What the library cost so far for each 1,000 documents that its source lists, in US dollars."""
        return 1000 * _ratio(self.cost_usd, self.funnel.listed)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can say."""
        return cast(dict[str, Any], _plain(self))

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Figures:
        """Read what `to_dict` gave, now or in an earlier version: unknown keys are left out, missing ones get defaults.

        Raises:
            ValueError: A value has another type than its field.
        """
        return cast(Figures, _restored(cls, stored, "figures"))

    def snapshot(self, generated_at: str = "") -> Snapshot:
        """Give what the next report compares itself with."""
        findings: dict[str, int] = {}
        for group in self.findings:
            findings[group.validator] = findings.get(group.validator, 0) + group.count
        return Snapshot(
            generated_at=generated_at,
            headline={name: float(value) for name, value in headline(self).items()},
            rejections={group.reason: group.count for group in self.rejections},
            findings=findings,
        )

    def quality_report(
        self, *, run_id: str, generated_at: dt.datetime, report_path: str, input_hash: str
    ) -> QualityReport:
        """Give the row of `quality_reports` that holds these figures.

        Args:
            run_id: The run that made the report.
            generated_at: When; UTC without a zone.
            report_path: The HTML file, relative to the home.
            input_hash: Hash of what the report was made from.
        """
        return QualityReport(
            library=self.library,
            run_id=run_id,
            generated_at=generated_at,
            overall_score=self.overall_score,
            documents=self.funnel.listed,
            valid=self.funnel.valid,
            rejected=self.funnel.rejected,
            duplicates=self.funnel.duplicates,
            chunks=self.funnel.chunks,
            corrected=self.funnel.corrected,
            refused=self.funnel.refused,
            embedded=self.funnel.embedded,
            indexed=self.funnel.indexed,
            cost_usd=self.cost_usd,
            report_path=report_path,
            metrics=json.dumps(self.to_dict(), ensure_ascii=True, allow_nan=False),
            input_hash=input_hash,
        )


def headline(figures: Figures) -> dict[str, int | float]:
    """Give the numbers that are worth plotting over time, by name; the names stay.

    Those of paid models beside the cost are there only for a library that has to do with them, and those of searches where
    the generation in use was measured.
    """
    funnel = figures.funnel
    numbers: dict[str, int | float] = {
        "overall_score": figures.overall_score,
        "searchable_share": round(figures.searchable_share, 6),
        "coverage": figures.coverage.share,
        "documents": funnel.listed,
        "valid": funnel.valid,
        "rejected": funnel.rejected,
        "duplicates": funnel.duplicates,
        "tokens": figures.tokens,
        "chunks": funnel.chunks,
        "corrected": funnel.corrected,
        "refused": funnel.refused,
        "failed": figures.failed,
        "embedded": funnel.embedded,
        "indexed": funnel.indexed,
        "findings": sum(group.count for group in figures.findings),
        "cost_usd": figures.cost_usd,
    }
    measured = [one for one in figures.evaluations if one.in_use]
    if measured:
        numbers |= {"recall_at_k": measured[-1].recall, "mrr": measured[-1].mrr, "ndcg_at_k": measured[-1].ndcg}
    if figures.paid:
        numbers |= {
            "cost_usd_per_1000_documents": round(figures.cost_per_1000_documents, 6),
            "held_usd": figures.held_usd,
            "saved_texts": figures.saved_texts,
            "saved_usd": figures.saved_usd,
            "waiting": figures.waiting_chunks,
        }
    return numbers


def word_diff(before: str, after: str) -> tuple[DiffSegment, ...]:
    """Tell two texts apart word by word, showing a few changes with a little of what stands around them.

    Lines are matched first and words only within lines that differ; where that is much, words that occur once in both texts
    are matched before the others. So the time stays near linear, also for a paragraph of thousands of words in one line; a
    passage of many hundred words without any in common is shown as replaced.

    Returns:
        At most `_MAX_CHANGES` changes in their context; empty for equal texts.
    """
    if before == after:
        return ()
    raw: list[tuple[DiffKind, str]] = []
    old_lines, new_lines = before.splitlines(keepends=True), after.splitlines(keepends=True)
    for tag, a, b, c, d in _opcodes(old_lines, new_lines):
        old, new = "".join(old_lines[a:b]), "".join(new_lines[c:d])
        if tag == "equal":
            raw.append(("same", old))
            continue
        old_words, new_words = _WORDS.findall(old), _WORDS.findall(new)
        for kind, e, f, g, h in _opcodes(old_words, new_words):
            if kind == "equal":
                raw.append(("same", "".join(old_words[e:f])))
                continue
            raw.append(("gone", "".join(old_words[e:f])))
            raw.append(("new", "".join(new_words[g:h])))
    return _excerpt(_joined(raw))


def _opcodes(old: Sequence[str], new: Sequence[str], depth: int = 0) -> list[tuple[str, int, int, int, int]]:
    """Match two sequences, their equal ends first; what is long between them, around the words that occur once in both."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    found: list[tuple[str, int, int, int, int]] = [("equal", 0, head, 0, head)] if head else []
    if max(len(middle_old), len(middle_new)) <= _MAX_WORDS:
        matcher = difflib.SequenceMatcher(None, middle_old, middle_new, autojunk=False)
        within: Sequence[tuple[str, int, int, int, int]] = matcher.get_opcodes()
    else:
        within = _around_anchors(middle_old, middle_new, depth)
    found.extend((tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in within)
    if tail:
        found.append(("equal", len(old) - tail, len(old), len(new) - tail, len(new)))
    return found


def _around_anchors(old: Sequence[str], new: Sequence[str], depth: int) -> list[tuple[str, int, int, int, int]]:
    anchors = _anchors(old, new) if depth < _MAX_DEPTH else []
    if not anchors:
        return [("replace", 0, len(old), 0, len(new))]
    found: list[tuple[str, int, int, int, int]] = []
    start, begin = 0, 0
    for at, to in [*anchors, (len(old), len(new))]:
        if at > start or to > begin:
            inner = _opcodes(old[start:at], new[begin:to], depth + 1)
            found.extend((tag, a + start, b + start, c + begin, d + begin) for tag, a, b, c, d in inner)
        if at < len(old):
            found.append(("equal", at, at + 1, to, to + 1))
        start, begin = at + 1, to + 1
    return found


def _anchors(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Give the places of what occurs exactly once in both sequences, as many as stand in the same order ("patience" diff)."""
    once_old, once_new = _once(old), _once(new)
    pairs = [(at, once_new[word]) for word, at in once_old.items() if word in once_new]
    ends: list[int] = []
    chosen: list[int] = []
    before: list[int] = []
    for number, (_, to) in enumerate(pairs):
        place = bisect_left(ends, to)
        before.append(chosen[place - 1] if place else -1)
        if place == len(ends):
            ends.append(to)
            chosen.append(number)
        else:
            ends[place], chosen[place] = to, number
    longest: list[tuple[int, int]] = []
    number = chosen[-1] if chosen else -1
    while number >= 0:
        longest.append(pairs[number])
        number = before[number]
    return longest[::-1]


def _once(words: Sequence[str]) -> dict[str, int]:
    counts = Counter(words)
    return {word: at for at, word in enumerate(words) if counts[word] == 1}


def _joined(raw: Sequence[tuple[DiffKind, str]]) -> list[tuple[DiffKind, str]]:
    joined: list[tuple[DiffKind, str]] = []
    for kind, text in raw:
        if not text:
            continue
        if joined and joined[-1][0] == kind:
            joined[-1] = (kind, joined[-1][1] + text)
        else:
            joined.append((kind, text))
    return joined


def _excerpt(segments: Sequence[tuple[DiffKind, str]]) -> tuple[DiffSegment, ...]:
    shown: list[DiffSegment] = []
    changes, last = 0, len(segments) - 1
    for place, (kind, text) in enumerate(segments):
        if kind != "same":
            # A word that is replaced is one change of two segments.
            changes += not (kind == "new" and place > 0 and segments[place - 1][0] == "gone")
            if changes > _MAX_CHANGES:
                shown.append(DiffSegment("cut"))
                break
            shown.append(DiffSegment(kind, text if len(text) <= _MAX_SEGMENT else text[: _MAX_SEGMENT - 1] + "…"))
            continue
        before = _start(text) if place > 0 else ""
        after = _end(text) if place < last else ""
        if len(before) + len(after) >= len(text):
            shown.append(DiffSegment("same", text))
            continue
        shown.extend(
            part
            for part in (DiffSegment("same", before), DiffSegment("cut"), DiffSegment("same", after))
            if part.kind == "cut" or part.text
        )
    return tuple(shown)


def _start(text: str) -> str:
    """Give what follows a change: a few words, not beyond the paragraph."""
    if len(text) > _CONTEXT:
        text = text[:_CONTEXT]
        text = text[: max(text.rfind(" "), text.rfind("\n")) + 1] or text
    return text.split("\n\n", 1)[0]


def _end(text: str) -> str:
    """Give what leads to a change: a few words, not from before the paragraph."""
    if len(text) > _CONTEXT:
        text = text[-_CONTEXT:]
        gap = min((place for place in (text.find(" "), text.find("\n")) if place >= 0), default=-1)
        text = text[gap + 1 :] or text
    return text.rsplit("\n\n", 1)[-1]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return 0.0
    return value


@cache
def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record)


def _restored(kind: Any, value: Any, path: str) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return None if value is None else _restored(next(arg for arg in args if arg is not type(None)), value, path)
    if is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ValueError(f"{path} is not an object")
        hints = _hints(cast(type, kind))
        return cast(Any, kind)(
            **{name: _restored(hints[name], value[name], f"{path}.{name}") for name in hints if name in value}
        )
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{path} is not a list")
        return tuple(_restored(args[0], item, f"{path}[{place}]") for place, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ValueError(f"{path} is not an object")
        return {str(key): _restored(args[1], item, f"{path}.{key}") for key, item in value.items()}
    if origin is Literal:
        if value not in args:
            raise ValueError(f"{path} is not one of {', '.join(map(str, args))}")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{path} is not of type {kind.__name__}")
    return value
