"""What is asked over HTTP and what is answered, as the OpenAPI document tells it.

One class checks a request and describes it, so that the description cannot be wrong. What a search answers is described by the
search's own records.
"""

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dataflow_assets.search.results import LibraryInfo, Passage, SearchResult, Understood
from dataflow_assets.search.searcher import MAX_QUERY
from dataflow_assets.settings import LIBRARY_NAME
from dataflow_assets.settings_base import DocType

MAX_WINDOW = 200_000
"""Code points of a document that one answer holds."""

MAX_VALUES = 20
"""Values of a filter, so that a search fits into an address."""

SOMETHING = r"\S"
"""What a question must have in it."""

LibraryName = Annotated[str, Field(pattern=LIBRARY_NAME, max_length=64)]
Identity = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Words = Annotated[str, Field(min_length=1, max_length=200)]
Uri = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^*]*(\*[^*]*){0,5}$")]
Whole = BeforeValidator(lambda said: int(said) if isinstance(said, float) and said.is_integer() else said)
"""JSON knows one kind of number: 10.0 is a whole one."""
Day = Annotated[dt.date, BeforeValidator(lambda said: _day(said))]
Mode = Literal["hybrid", "semantic", "keyword"]


def _day(said: Any) -> Any:
    """Take a date as it is described; the number of a day, or a time, is none."""
    if isinstance(said, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", said):
        with suppress(ValueError):
            return dt.date.fromisoformat(said)
    raise ValueError("write the day as 2026-11-21")


class Asked(BaseModel):
    """A request; what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class SearchRequest(Asked):
    """A question. Filters narrow the results to those that have one of the values of each."""

    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY, pattern=SOMETHING)] = Field(
        description="What to look for."
    )
    mode: Mode = Field("hybrid", description="By meaning and words, by meaning, or by words.")
    top_k: Annotated[int, Field(ge=1, le=100), Whole] | None = Field(
        None, description="How many results; the libraries' setting if left out."
    )
    min_similarity: Annotated[float, Field(ge=-1, le=1)] | None = Field(
        None, description="Cosine similarity below which a chunk is no answer, unless it has words of the question."
    )
    rerank: bool = Field(True, description="Whether hybrid results are reranked.")
    per_document: Annotated[int, Field(ge=1, le=100), Whole] | None = Field(
        None, description="How many results one document may have."
    )
    passages: bool = Field(False, description="Whether each result comes with its neighbours as a passage.")
    explain: bool = Field(False, description="Whether each result says how it came by its place.")
    document_id: list[Identity] = Field([], max_length=MAX_VALUES, description="Only of these documents.")
    doc_type: list[DocType] = Field([], max_length=7, description="Only of these kinds of page.")
    language: list[Annotated[str, Field(pattern="^[a-z]{2,3}$")]] = Field(
        [], max_length=MAX_VALUES, description="Only in these languages, by their ISO 639 codes."
    )
    tags: list[Words] = Field([], max_length=MAX_VALUES, description="Only with one of these tags.")
    source_uri: list[Uri] = Field(
        [], max_length=MAX_VALUES, description="Only from these places; * and ? stand for any characters and for one."
    )
    role: list[Words] = Field([], max_length=MAX_VALUES, description="Only messages of these people.")
    since: Day | None = Field(None, description="Only what is dated, on this day or later.")
    until: Day | None = Field(None, description="Only what is dated, on this day or earlier.")

    def filters(self) -> dict[str, list[str]]:
        """Give the filters as a search takes them."""
        said: dict[str, list[str]] = {
            name: [*map(str, values)]
            for name in ("document_id", "doc_type", "language", "tags", "source_uri", "role")
            if (values := getattr(self, name))
        }
        said |= {name: [str(day)] for name in ("since", "until") if (day := getattr(self, name)) is not None}
        return said


class SearchBody(SearchRequest):
    """A question in a body."""

    model_config = ConfigDict(strict=True)

    libraries: list[LibraryName] = Field([], max_length=100, description="Where to look; everywhere if left out.")


class SearchParameters(SearchRequest):
    """A question in an address."""

    library: list[LibraryName] = Field(
        [], max_length=100, description="Where to look; may be repeated; everywhere if left out."
    )


class Answer(BaseModel):
    """What a search found, best first."""

    query: str
    mode: Mode
    results: list[SearchResult]
    took_ms: float
    notes: list[str] = []
    understood: Understood | None = None


class Quality(BaseModel):
    """How good a library is, after its last run that changed anything."""

    generated_at: str
    overall_score: float
    """Mean quality score of the documents, rejected ones as 0."""
    documents: int
    valid: int
    rejected: int
    duplicates: int
    chunks: int
    corrected: int
    refused: int
    embedded: int
    indexed: int


class Library(BaseModel):
    """A library."""

    name: str
    points: int
    documents: int
    generation: str | None
    fresh_as_of: str | None
    retired: bool
    quality: Quality | None

    @classmethod
    def of(cls, info: LibraryInfo, quality: dict[str, Any] | None) -> dict[str, Any]:
        """Put a library together, as plain JSON."""
        return {**info.to_dict(), "quality": quality}


class Libraries(BaseModel):
    """The libraries that exist for the caller."""

    libraries: list[Library]


class DocumentHead(BaseModel):
    """A document without its text."""

    document_id: str
    library: str
    title: str
    source_uri: str
    doc_type: str
    language: str
    tags: list[str]
    status: str
    reason: str | None
    quality_score: float
    character_count: int
    token_count: int
    updated_at: str


class Documents(BaseModel):
    """A page of a library's documents, by id."""

    documents: list[DocumentHead]
    next: str | None
    """What to send as `after` for the next page; null where there is none."""


class Issue(BaseModel):
    """Something that a validator has to say."""

    validator: str
    severity: str
    message: str
    field: str
    value: str
    suggestion: str


class DocumentChunk(BaseModel):
    """A chunk of a document. Positions are code points of the document's text."""

    chunk_id: str
    chunk_index: int
    start_position: int
    end_position: int
    heading_path: list[str]
    first_page: int | None
    last_page: int | None
    role: str | None
    said_at: str | None
    correction: str | None
    """corrected, unchanged, refused, failed or skipped; null where it was not decided yet."""
    correction_reason: str | None
    corrected_text: str | None
    """The mended text; null unless corrected."""


class Document(DocumentHead):
    """A document with a stretch of its text and the chunks that stand in it."""

    markup: str
    issues: list[Issue]
    start: int
    end: int
    text: str | None
    """document.text[start:end]; null where the document has no text."""
    chunks: list[DocumentChunk]


class Around(Passage):
    """A chunk with its neighbours."""


class RunRequest(Asked):
    """A wish that a library be brought up to date."""

    model_config = ConfigDict(strict=True)

    library: LibraryName


class Progress(BaseModel):
    """What a run is doing."""

    partition: str
    stage: str
    done: int
    total: int


class Run(BaseModel):
    """A run that was asked for. Times are UTC."""

    run_id: str
    library: str
    status: Literal["waiting", "running", "ok", "failed"]
    asked_by: Literal["request", "event"]
    requests: int
    """How many wishes and events it answers."""
    asked_at: str
    started_at: str | None
    ended_at: str | None
    message: str | None
    progress: Progress | None
    dagster_run_id: str | None
    """The run in the Dagster UI."""
    stages: dict[str, dict[str, float]] | None
    """Asset -> new, changed, unchanged, deleted, failed, seconds, cost_usd."""


class Runs(BaseModel):
    """The latest runs that were asked for, the newest first."""

    runs: list[Run]


class Event(BaseModel):
    """Something that happened to a document in another system. What else it says is not looked at."""

    type: Literal["document.updated", "document.deleted"]
    library: LibraryName


class EventTaken(BaseModel):
    """What became of an event."""

    event_id: str
    status: Literal["accepted", "duplicate"]
    """`duplicate`: an event with this id was here before; nothing was done again."""
    run_id: str
    """The run that will look at the library."""


class Report(Quality):
    """The figures of a library after one run."""

    run_id: str
    cost_usd: float
    metrics: dict[str, Any]
    """Every other figure, those of the retrieval among them."""


class Evaluation(BaseModel):
    """The figures of a library over time, the newest first."""

    library: str
    reports: list[Report]


class Health(BaseModel):
    """Whether the process answers."""

    status: Literal["ok"]


class ProblemDetails(BaseModel):
    """Why a request was not answered as wished (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] = []
    """What is wrong with the request: `field` and `message`."""
