"""Asking a generation of a library its questions, and counting what it finds.

What belongs here: where the questions come from, and searching one generation as hybrid search does, before reranking: a
reranker is the same for every generation, may cost money, and would hide what the index itself has lost. What does not: the
figures and the verdict (`stages.evaluation`), and what follows from them (`flow.generations`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow_assets.errors import ConfigurationError, DataflowError
from dataflow_assets.flow.query_embedder import query_embedder
from dataflow_assets.index.base import Candidate, IndexQuery, IndexReader, Mode, SearchIndex
from dataflow_assets.index.fusion import rank
from dataflow_assets.models.base import Asked
from dataflow_assets.settings import LibrarySettings
from dataflow_assets.stages.evaluation import (
    Evaluation,
    Found,
    Question,
    QuestionFigures,
    Questions,
    judge,
    known_items,
    read_golden,
    summarise,
)
from dataflow_assets.warehouse.changes import literal
from dataflow_assets.warehouse.store import Warehouse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dataflow_assets.models.question import Tally

GOLDEN_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class Library:
    """A library that can be asked."""

    name: str
    settings: LibrarySettings
    base: Path
    """The folder that the golden file's path starts from."""
    home: Path
    warehouse: Warehouse
    index: SearchIndex
    run_id: str = ""


def golden_questions(name: str, settings: LibrarySettings, base: Path) -> Questions | None:
    """Read a library's golden queries; None where it has none.

    Raises:
        ConfigurationError: The file is not there, or a line of it is wrong.
    """
    if settings.evaluation.golden is None:
        return None
    path = base / settings.evaluation.golden
    try:
        if path.stat().st_size > GOLDEN_BYTES:
            raise ConfigurationError(f"The golden queries of {name} ({path}) are larger than {GOLDEN_BYTES:,} bytes.")
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise ConfigurationError(
            f"The golden queries of {name}, {path}, cannot be read: {why}. Name a file of yours in the catalog, by "
            "evaluation.golden, or with --golden."
        ) from None
    return read_golden(lines, str(path))


def questions_of(library: Library, generation: str, tally: Tally | None = None) -> Questions:
    """Give what a library is asked: its golden queries, or what a model wrote, or what its own headings make.

    Never a mixture, so that what is measured says by which kind of question.

    Args:
        library: The library.
        generation: Only documents that it has are asked for, so that what came later counts for nobody.
        tally: Is added to, where somebody has to be asked for questions.
    """
    golden = golden_questions(library.name, library.settings, library.base)
    if golden is not None:
        return golden
    there: set[str] = set()
    for partition in _partitions(library, generation):
        with library.index.read(partition, generation) as reader:
            there |= reader.document_ids()
    if not library.settings.evaluation.paid:
        return _from_headings(library, there)
    from dataflow_assets.flow.examiner import exam_of
    from dataflow_assets.models.question import Tally

    exam = exam_of(library, there, tally if tally is not None else Tally())
    return replace(exam.questions or _from_headings(library, there), note=exam.note)


def _from_headings(library: Library, there: Collection[str]) -> Questions:
    mine = f"library = {literal(library.name)}"
    for table, columns in (("chunks", "document_id, heading_path"), ("validated_documents", "document_id, [title]")):
        with library.warehouse.reading() as connection:
            rows = connection.execute(f"SELECT DISTINCT {columns} FROM {table} WHERE {mine}").fetchall()
        headings = ((document, path or ()) for document, path in rows if document in there)
        made = known_items(headings, library.settings.evaluation.questions)
        if made.asked:
            return made
    return made


def evaluate(library: Library, generation: str, questions: Questions, *, k: int | None = None) -> Evaluation:
    """Ask a generation of a library all questions.

    Args:
        library: The library.
        generation: The name of the generation, in use or not.
        questions: What to ask.
        k: How many results count; the library's setting if left out.
    """
    k = k or library.settings.evaluation.k
    with ExitStack() as stack:
        readers = [
            stack.enter_context(library.index.read(partition, generation))
            for partition in _partitions(library, generation)
        ]
        vectors = _vectors(library, readers, questions.asked)
        return summarise(
            [
                _ask(library, readers, question, vector, k)
                for question, vector in zip(questions.asked, vectors, strict=True)
            ],
            k,
        )


def _partitions(library: Library, generation: str) -> list[str]:
    names = (p for p in library.index.partitions() if p.partition(".")[0] == library.name)
    return [partition for partition in names if generation in library.index.generations(partition)]


def _vectors(
    library: Library, readers: Sequence[IndexReader], asked: Sequence[Question]
) -> list[NDArray[np.float32] | None]:
    """Embed all questions; None where that cannot be had, as for those who search: words have to do."""
    import numpy as np

    found: list[NDArray[np.float32] | None] = [None] * len(asked)
    if not readers:
        return found
    try:
        made_by = readers[0].generation.description
        embedder = query_embedder(made_by, library.name, library.settings, library.home, run_id=library.run_id)
        texts = [Asked(str(number), question.query) for number, question in enumerate(asked)]
        for made in embedder.vectors(texts, kind="query"):
            if made.vector is not None and np.isfinite(made.vector).all():
                found[int(made.key)] = made.vector
    except DataflowError:
        return found
    return found


def _ask(
    library: Library,
    readers: Sequence[IndexReader],
    question: Question,
    vector: NDArray[np.float32] | None,
    k: int,
) -> QuestionFigures:
    settings = library.settings.search
    query = IndexQuery(
        question.query,
        vector,
        "hybrid",
        k,
        semantic_weight=settings.semantic_weight,
        keyword_weight=settings.keyword_weight,
        prefetch=settings.prefetch_factor * k,
    )
    unique: dict[str, tuple[Candidate, IndexReader]] = {}
    for reader in readers:
        for candidate in reader.candidates(query):
            unique.setdefault(candidate.chunk_id, (candidate, reader))
    candidates = [candidate for candidate, _ in unique.values()]
    # What both sides fetched has the best of each side, so semantic search need not be asked again.
    orders = [[candidates[n].chunk_id for n, _ in rank(candidates, replace(query, mode=mode))] for mode in _MODES]
    wanted = {chunk_id for order in orders for chunk_id in order}
    payloads: dict[str, Mapping[str, Any]] = {}
    for reader in readers:
        payloads.update(reader.payloads([i for i, (_, its) in unique.items() if its is reader and i in wanted]))
    hybrid, semantic = (judge(question, [_found(payloads[i]) for i in order if i in payloads], k) for order in orders)
    return replace(hybrid, semantic=semantic.ndcg)


_MODES: tuple[Mode, ...] = ("hybrid", "semantic")


def _found(said: Mapping[str, Any]) -> Found:
    text = f"{said.get('text') or ''}\n{said.get('corrected_text') or ''}"
    return Found(str(said.get("document_id", "")), str(said.get("source_uri", "")), text)
