"""The rows that flow, one frozen record per table, and the single source of every column.

What belongs here: the records that stages take and give, with the SQL type and the meaning of each column. The warehouse
makes its tables from them, Dagster shows them as column schemas, and `arrow_schema` is what travels in the spool. What
does not belong: settings (`settings`), and anything that acts.

All positions are Python string indices (code points) into `text` of the document, end exclusive. All hashes are SHA-256 in
lower-case hexadecimal. All times are UTC without a zone. Tokens are cl100k's.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Protocol,
    TypeAlias,
    get_args,
    get_origin,
    get_type_hints,
)

from dataflow_assets.settings_base import DocType, Severity

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Vector: TypeAlias = NDArray[np.float32]
else:
    Vector = object  # reading a schema must not import NumPy


@dataclass(frozen=True, slots=True)
class Column:
    """How a field of a record stands in a table."""

    sql: str
    """DuckDB's type."""
    meaning: str
    """One sentence for the person who reads the table."""
    role: Literal["content", "trace", "stamp"] = "content"
    """`content`: a new value is a change of the row and moves `updated_at`. `trace`: a new value is stored, and is no
    change. `stamp`: stored only together with a change."""


ISSUES = (
    "STRUCT(validator VARCHAR, severity VARCHAR, message VARCHAR, field VARCHAR, value VARCHAR, suggestion VARCHAR)[]"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a validator has to say about a row."""

    validator: str
    """The rule's name, such as `min_characters`."""
    severity: Severity
    message: str
    field: str
    """The column that the finding is about."""
    value: str
    """What stands there, shortened."""
    suggestion: str
    """What a person can do about it."""


@dataclass(frozen=True, slots=True)
class Section:
    """A span of a document's text that something is known of: a page of a PDF, a message of a conversation.

    Sections of one kind follow each other and do not overlap; pages and messages never stand in the same document.
    """

    start: int
    """First code point."""
    end: int
    """One past the last code point."""
    page: int | None = None
    """The page's number, from 1."""
    role: str | None = None
    """Who said it; sections with a role are messages."""
    said_at: str | None = None
    """When, in ISO 8601."""
    message_id: str | None = None
    reply_to: str | None = None
    """The id of the message that it answers."""


@dataclass(frozen=True, slots=True)
class RawDocument:
    """What a source lists and what became of fetching it. The bytes lie in the document store under `content_hash`."""

    TABLE: ClassVar[str] = "raw_documents"
    KEY: ClassVar[str] = "document_id"

    library: Annotated[str, Column("VARCHAR", "The library.")]
    document_id: Annotated[
        str, Column("VARCHAR", "Identity of the item at its source: the same in every run and home.")
    ]
    item_id: Annotated[
        str,
        Column(
            "VARCHAR",
            "The listed item that it came with: its own id, or that of the archive or mail that it was in.",
            role="trace",
        ),
    ]
    source_type: Annotated[str, Column("VARCHAR", "The kind of source.")]
    source_uri: Annotated[
        str, Column("VARCHAR", "Where the item lies at its source; awkward bytes are percent-encoded.")
    ]
    media_type: Annotated[str, Column("VARCHAR", "What the source says, or the name suggests, the bytes are.")]
    content_hash: Annotated[str | None, Column("VARCHAR", "SHA-256 of the bytes; NULL where they could not be had.")]
    size_bytes: Annotated[int | None, Column("BIGINT", "Size of the bytes.")]
    fingerprint: Annotated[
        str | None,
        Column(
            "VARCHAR",
            "What the listing says of the item's version; NULL asks the next run to fetch again.",
            role="trace",
        ),
    ]
    fetch_error: Annotated[str | None, Column("VARCHAR", "Why the bytes could not be had.")]
    fetched_at: Annotated[dt.datetime | None, Column("TIMESTAMP", "When these bytes were fetched.", "stamp")]
    input_hash: Annotated[str, Column("VARCHAR", "Hash of what the row was made from.", role="trace")]


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document's text and what its reader found out; between the stages read and validate."""

    title: str
    """The document's own title, or what its name says."""
    doc_type: DocType
    language: str
    """ISO 639 code, `und` where it cannot be told."""
    text: str
    """Decoded source without front matter (text, Markdown, reStructuredText); Markdown made from it (HTML)."""
    markup: str
    """How `text` is marked up: `text`, `markdown`, `rst`, or `messages` for texts of several people in Markdown."""
    tags: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    """Its pages or messages, in order."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What else is known: `encoding`, `front_matter`, `authors`, `date` ... Values are JSON."""
    findings: tuple[Finding, ...] = ()
    """What the reader noticed, such as characters that could not be decoded."""


@dataclass(frozen=True, slots=True)
class ValidatedDocument:
    """A document's text with the verdict on it."""

    TABLE: ClassVar[str] = "validated_documents"
    KEY: ClassVar[str] = "document_id"

    library: Annotated[str, Column("VARCHAR", "The library.")]
    document_id: Annotated[str, Column("VARCHAR", "The document.")]
    uri: Annotated[
        str,
        Column(
            "VARCHAR", "Where it lies at its source; another name than in raw_documents, so that the two join by name."
        ),
    ]
    title: Annotated[str, Column("VARCHAR", "Its own title, or what its name says.")]
    doc_type: Annotated[str, Column("VARCHAR", "reference, tutorial, guide, example, changelog, message or other.")]
    language: Annotated[str, Column("VARCHAR", "ISO 639 code; und where it cannot be told.")]
    tags: Annotated[
        tuple[str, ...], Column("VARCHAR[]", "Tags from the catalog, the front matter, the path, the text.")
    ]
    markup: Annotated[str, Column("VARCHAR", "How the text is marked up: text, markdown, rst or messages.")]
    text: Annotated[str | None, Column("VARCHAR", "The text; NULL where there is none.")]
    text_hash: Annotated[str | None, Column("VARCHAR", "SHA-256 of the text.")]
    sections: Annotated[
        str | None,
        Column("JSON", "Its pages or messages: start, end, and page, or role, said_at, message_id, reply_to."),
    ]
    character_count: Annotated[int, Column("BIGINT", "Length of the text in code points.")]
    token_count: Annotated[int, Column("BIGINT", "Length of the text in cl100k tokens.")]
    quality_score: Annotated[
        float, Column("DOUBLE", "1 - 0.5 per critical, 0.3 per error, 0.1 per warning; not below 0.")
    ]
    status: Annotated[str, Column("VARCHAR", "valid, rejected or duplicate.")]
    reason: Annotated[str | None, Column("VARCHAR", "Why it is not valid.")]
    duplicate_of: Annotated[str | None, Column("VARCHAR", "The document that stays in its place.")]
    issues: Annotated[tuple[Finding, ...], Column(ISSUES, "Every finding.")]
    metadata: Annotated[str, Column("JSON", "What else the reader found out.")]
    input_hash: Annotated[str, Column("VARCHAR", "Hash of what the row was made from.", role="trace")]
    waiting: Annotated[
        bool, Column("BOOLEAN", "Pages are left that the next run asks a model to read, once more.", role="trace")
    ] = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of a document's text."""

    TABLE: ClassVar[str] = "chunks"
    KEY: ClassVar[str] = "chunk_id"

    library: Annotated[str, Column("VARCHAR", "The library.")]
    chunk_id: Annotated[
        str, Column("VARCHAR", "Follows the document, the text and a counter of repeats, never the position.")
    ]
    document_id: Annotated[str, Column("VARCHAR", "The document it is a span of.")]
    chunk_index: Annotated[int, Column("INTEGER", "Its place among the document's chunks, from 0.")]
    total_chunks: Annotated[int, Column("INTEGER", "How many chunks the document has.")]
    text: Annotated[str, Column("VARCHAR", "Exactly document.text[start_position:end_position].")]
    text_hash: Annotated[str, Column("VARCHAR", "SHA-256 of the text.")]
    token_count: Annotated[int, Column("INTEGER", "Length in cl100k tokens.")]
    character_count: Annotated[int, Column("INTEGER", "Length in code points.")]
    start_position: Annotated[int, Column("BIGINT", "First code point.")]
    end_position: Annotated[int, Column("BIGINT", "One past the last code point.")]
    overlap_tokens: Annotated[int, Column("INTEGER", "Tokens shared with the chunk before.")]
    heading_path: Annotated[tuple[str, ...], Column("VARCHAR[]", "Headings above the chunk, outermost first.")]
    strategy: Annotated[str, Column("VARCHAR", "What the boundaries follow.")]
    first_page: Annotated[int | None, Column("INTEGER", "The page it begins on, from 1; NULL where there are none.")]
    last_page: Annotated[int | None, Column("INTEGER", "The page it ends on.")]
    role: Annotated[str | None, Column("VARCHAR", "Who said it; NULL where it is no message.")]
    said_at: Annotated[str | None, Column("VARCHAR", "When it was said, in ISO 8601.")]
    reply_to: Annotated[str | None, Column("VARCHAR", "The first chunk of the message that it answers.")]
    protected_spans: Annotated[
        tuple[int, ...],
        Column(
            "INTEGER[]",
            "Start, end, start, end ...: code blocks that only the whole document shows, as positions in text.",
        ),
    ]
    issues: Annotated[tuple[Finding, ...], Column(ISSUES, "Every finding.")]
    input_hash: Annotated[str, Column("VARCHAR", "Hash of what the row was made from.", role="trace")]


@dataclass(frozen=True, slots=True)
class Correction:
    """A chunk's mended text with the verdict on it."""

    TABLE: ClassVar[str] = "corrections"
    KEY: ClassVar[str] = "chunk_id"

    library: Annotated[str, Column("VARCHAR", "The library.")]
    chunk_id: Annotated[str, Column("VARCHAR", "The chunk.")]
    document_id: Annotated[str, Column("VARCHAR", "Its document.")]
    text_hash: Annotated[str, Column("VARCHAR", "SHA-256 of the text that was asked about: the chunk's.")]
    corrected_text: Annotated[str | None, Column("VARCHAR", "The mended text; NULL unless corrected.")]
    status: Annotated[str, Column("VARCHAR", "corrected, unchanged, refused, failed or skipped.")]
    reason: Annotated[str | None, Column("VARCHAR", "Why it was refused, failed or skipped.")]
    model: Annotated[str, Column("VARCHAR", "Who corrected.")]
    waiting: Annotated[
        bool, Column("BOOLEAN", "Not asked yet, for a budget or a batch: what follows from it waits too.")
    ]
    input_hash: Annotated[str, Column("VARCHAR", "Hash of what the row was made from.", role="trace")]


@dataclass(frozen=True, slots=True)
class Embedding:
    """A vector for the text that is searched."""

    TABLE: ClassVar[str] = "embeddings"
    KEY: ClassVar[str] = "chunk_id"

    library: Annotated[str, Column("VARCHAR", "The library.")]
    chunk_id: Annotated[str, Column("VARCHAR", "The chunk.")]
    document_id: Annotated[str, Column("VARCHAR", "Its document.")]
    text_hash: Annotated[str, Column("VARCHAR", "SHA-256 of the text that was embedded: corrected where there is one.")]
    model: Annotated[str, Column("VARCHAR", "The model that made the vector.")]
    dimension: Annotated[int, Column("INTEGER", "Length of the vector.")]
    vector: Annotated[Vector | None, Column("FLOAT[]", "The vector; NULL unless embedded.", "stamp")]
    status: Annotated[str, Column("VARCHAR", "embedded, refused or failed.")]
    reason: Annotated[str | None, Column("VARCHAR", "Why there is no vector.")]
    input_hash: Annotated[str, Column("VARCHAR", "Hash of what the row was made from.", role="trace")]


@dataclass(frozen=True, slots=True)
class IndexedChunk:
    """A point that the published index holds."""

    TABLE: ClassVar[str] = "search_index"
    KEY: ClassVar[str] = "chunk_id"

    library: Annotated[str, Column("VARCHAR", "The library.")]
    chunk_id: Annotated[str, Column("VARCHAR", "The chunk; its point's id is the same 128 bits as a UUID.")]
    document_id: Annotated[str, Column("VARCHAR", "Its document.")]
    generation: Annotated[str, Column("VARCHAR", "The generation that holds the point.")]
    vector_hash: Annotated[str, Column("VARCHAR", "Hash of what the point's vectors were made from.")]
    payload_hash: Annotated[str, Column("VARCHAR", "Hash of the point's payload.")]
    input_hash: Annotated[str, Column("VARCHAR", "Hash of what the row was made from.", role="trace")]


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One paid call."""

    TABLE: ClassVar[str] = "model_calls"
    KEY: ClassVar[str] = "call_id"

    library: Annotated[str, Column("VARCHAR", "The library that it was made for.")]
    call_id: Annotated[str, Column("VARCHAR", "The call.")]
    run_id: Annotated[str, Column("VARCHAR", "The run that made it.")]
    stage: Annotated[str, Column("VARCHAR", "The stage that made it.")]
    provider: Annotated[str, Column("VARCHAR", "Who was asked.")]
    model: Annotated[str, Column("VARCHAR", "Which model.")]
    items: Annotated[int, Column("INTEGER", "Texts in the call.")]
    input_tokens: Annotated[int, Column("BIGINT", "Tokens sent, those read from the provider's cache not among them.")]
    output_tokens: Annotated[int, Column("BIGINT", "Tokens answered.")]
    cached_tokens: Annotated[int, Column("BIGINT", "Tokens read from the provider's cache.")]
    cost_usd: Annotated[float, Column("DOUBLE", "What the provider bills for the call.")]
    held_usd: Annotated[
        float, Column("DOUBLE", "What it may bill besides: the answer was lost; held against the budget.")
    ]
    seconds: Annotated[float, Column("DOUBLE", "How long it took.")]
    status: Annotated[str, Column("VARCHAR", "ok, lost (the process died), or what kept it from an answer.")]
    error: Annotated[str | None, Column("VARCHAR", "What went wrong.")]
    called_at: Annotated[dt.datetime, Column("TIMESTAMP", "When it was made.")]
    input_hash: Annotated[str, Column("VARCHAR", "Hash of what was asked.", role="trace")]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """The figures of a library after a run."""

    TABLE: ClassVar[str] = "quality_reports"
    KEY: ClassVar[str] = "run_id"

    library: Annotated[str, Column("VARCHAR", "The library.")]
    run_id: Annotated[str, Column("VARCHAR", "The run that made the report.")]
    generated_at: Annotated[dt.datetime, Column("TIMESTAMP", "When it was made.")]
    overall_score: Annotated[float, Column("DOUBLE", "Mean quality score of the documents, rejected ones as 0.")]
    documents: Annotated[int, Column("BIGINT", "Documents that the source lists.")]
    valid: Annotated[int, Column("BIGINT", "Valid ones.")]
    rejected: Annotated[int, Column("BIGINT", "Rejected ones.")]
    duplicates: Annotated[int, Column("BIGINT", "Duplicates.")]
    chunks: Annotated[int, Column("BIGINT", "Chunks.")]
    corrected: Annotated[int, Column("BIGINT", "Chunks whose text was mended.")]
    refused: Annotated[int, Column("BIGINT", "Chunks whose correction broke a rule.")]
    embedded: Annotated[int, Column("BIGINT", "Chunks with a vector.")]
    indexed: Annotated[int, Column("BIGINT", "Points in the index.")]
    cost_usd: Annotated[float, Column("DOUBLE", "What the library cost so far.")]
    report_path: Annotated[str, Column("VARCHAR", "The report, relative to the home.")]
    metrics: Annotated[str, Column("JSON", "Every other figure.")]
    input_hash: Annotated[str, Column("VARCHAR", "Hash of what the row was made from.", role="trace")]


@dataclass(frozen=True, slots=True)
class TextBands:
    """By what a text's near duplicates are found; kept so that only new texts are compared."""

    TABLE: ClassVar[str] = "text_bands"
    KEY: ClassVar[str] = "text_hash"

    library: Annotated[str, Column("VARCHAR", "The library.")]
    text_hash: Annotated[str, Column("VARCHAR", "SHA-256 of the text.")]
    bands: Annotated[tuple[int, ...], Column("BIGINT[]", "Texts that share one of these may be near duplicates.")]
    input_hash: Annotated[str, Column("VARCHAR", "Version of what made it.", role="trace")]


@dataclass(frozen=True, slots=True)
class TextPair:
    """The verdict on two texts that may be near duplicates."""

    TABLE: ClassVar[str] = "text_pairs"
    KEY: ClassVar[str] = "first_hash"

    library: Annotated[str, Column("VARCHAR", "The library.")]
    first_hash: Annotated[str, Column("VARCHAR", "SHA-256 of the one text, the lower one.")]
    second_hash: Annotated[str, Column("VARCHAR", "SHA-256 of the other text.")]
    similarity: Annotated[float, Column("DOUBLE", "Share of the runs of five words that they have in common.")]
    substance: Annotated[
        bool, Column("BOOLEAN", "Whether they differ in a number, a name of code, a link or a negation.")
    ]
    input_hash: Annotated[str, Column("VARCHAR", "Version of what made it.", role="trace")]


class Record(Protocol):
    """A record that has a table."""

    TABLE: ClassVar[str]
    KEY: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


RECORDS: tuple[type[Record], ...] = (
    RawDocument, ValidatedDocument, TextBands, TextPair, Chunk, Correction, Embedding, IndexedChunk, ModelCall, QualityReport,
)  # fmt: skip
"""Every record that has a table, in the order of the flow."""


@functools.cache
def columns_of(record: type[Record]) -> Mapping[str, Column]:
    """Give the columns of a record's table, in order, without `updated_at`, which the warehouse adds."""
    hints = get_type_hints(record, include_extras=True)
    found = {}
    for name in (f.name for f in fields(record)):
        hint = hints[name]
        if get_origin(hint) is Annotated:
            found[name] = next(x for x in get_args(hint)[1:] if isinstance(x, Column))
    return MappingProxyType(found)


@functools.cache
def arrow_schema(record: type[Record]) -> pa.Schema:
    """Give the Arrow schema of a record's table, without `updated_at`."""
    import pyarrow as pa

    finding = pa.struct([(f.name, pa.string()) for f in fields(Finding)])
    types = {
        "VARCHAR": pa.string(), "JSON": pa.string(), "BIGINT": pa.int64(), "INTEGER": pa.int32(), "DOUBLE": pa.float64(),
        "TIMESTAMP": pa.timestamp("us"), "BOOLEAN": pa.bool_(), "VARCHAR[]": pa.list_(pa.string()), "INTEGER[]": pa.list_(pa.int32()),
        "BIGINT[]": pa.list_(pa.int64()),
        "FLOAT[]": pa.list_(pa.float32()), ISSUES: pa.list_(finding),
    }  # fmt: skip
    return pa.schema([(name, types[column.sql]) for name, column in columns_of(record).items()])


def to_arrow(record: type[Record], rows: Sequence[Any]) -> pa.RecordBatch:
    """Turn rows of one record into an Arrow batch with `arrow_schema`."""
    import pyarrow as pa

    schema = arrow_schema(record)
    arrays = []
    for column in schema:
        values: list[Any] = [getattr(row, column.name) for row in rows]
        if column.name == "issues":
            values = [[_finding_dict(finding) for finding in value] for value in values]
        arrays.append(pa.array(values, type=column.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def sections_json(sections: Sequence[Section]) -> str | None:
    """Write sections as JSON, without what is not known of them; None where there are none."""
    if not sections:
        return None
    plain = ({key: value for key, value in asdict(section).items() if value is not None} for section in sections)
    return json.dumps(list(plain), separators=(",", ":"))


def sections_of(said: str | None) -> tuple[Section, ...]:
    """Read what `sections_json` wrote."""
    return tuple(Section(**section) for section in json.loads(said)) if said else ()


def text_hash(text: str) -> str:
    """Hash a text: SHA-256 of its UTF-8 bytes (lone surrogates pass through)."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def identity(*parts: str) -> str:
    """Make an id of 32 hexadecimal digits (128 bits, so that it is a UUID too) from what identifies a thing."""
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _finding_dict(finding: Finding) -> dict[str, str]:
    return {f.name: getattr(finding, f.name) for f in fields(Finding)}
