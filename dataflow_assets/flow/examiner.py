"""Having questions about a library written by a language model: about which excerpts, on whose account, and what if it cannot be.

What belongs here: reading the documents that excerpts are taken from, asking for what was not asked before, and saying why
not. What does not: which excerpts are taken (`stages.excerpts`), what is asked and what of an answer counts
(`models.examiner`), and what a library without such questions is measured by (`evaluate`).

Nothing here fails: the questions are a means to measure, and headings are another one. What was written stands in the ledger,
under a hash of the excerpt: a second evaluation, another generation and another library with the same text ask nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataflow_assets.catalog import split_partition
from dataflow_assets.errors import DataflowError
from dataflow_assets.flow.booking import book_calls
from dataflow_assets.flow.generation_memory import read_memory
from dataflow_assets.flow.paid import budget_of, credential_problem, language_model, open_ledger, pace_of, price_of
from dataflow_assets.known_models import provider_of
from dataflow_assets.model_settings import CorrectionSettings
from dataflow_assets.models.asking import Asking
from dataflow_assets.models.examiner import ExamQuestion, Written, judge
from dataflow_assets.models.ledger import Ledger
from dataflow_assets.models.prices import price_known
from dataflow_assets.models.question import Account, Manners, Tally
from dataflow_assets.settings import LibrarySettings
from dataflow_assets.stages.evaluation import Questions, written_items
from dataflow_assets.stages.excerpts import MOST, READ_CHARACTERS, Excerpt, choose, excerpts, in_order
from dataflow_assets.warehouse.changes import literal
from dataflow_assets.warehouse.store import Warehouse

if TYPE_CHECKING:
    from dataflow_assets.flow.evaluate import Library
    from dataflow_assets.flow.library_run import LibraryRun

logger = logging.getLogger(__name__)

MANNERS = Manners(concurrency=4, max_concurrency=8, retries=2, timeout_seconds=60.0)
"""A run waits with its index, so what takes long is left for the next time."""
READ_AT_ONCE = 64
"""Documents whose texts are read in one query."""


@dataclass(frozen=True, slots=True)
class Exam:
    """What came of having questions written."""

    questions: Questions | None
    """None where there are too few to measure by."""
    note: str | None
    """Why there are none, or fewer than there could be."""


def exam_of(library: Library, documents: Collection[str], tally: Tally) -> Exam:
    """Give the questions that a model wrote about a library, having those written that are not there yet.

    Args:
        library: The library; its settings name the model.
        documents: Ids of the documents that may be asked for.
        tally: Is added to.
    """
    model = library.settings.evaluation.question_model
    try:
        chosen = chosen_excerpts(library.warehouse, library.name, documents, library.settings.evaluation.questions)
        if not chosen:
            return Exam(
                None, f"No document has enough text for {model} to ask about: the questions are made from headings."
            )
        ledger = open_ledger(library.home)
        question = exam_question(library.settings, ledger)
        written, reason = _written(library, question, ledger, [excerpt.text for excerpt in chosen], tally)
    except DataflowError as error:
        return Exam(None, f"{_without_end(str(error))}. So {model} writes no questions; they are made from headings.")
    made = written_items(
        (excerpt.document_id, said.question, said.quote)
        for excerpt in chosen
        if (said := written.get(excerpt.text)) is not None and said.question
    )
    note = None
    if reason is not None:
        note = f"{model} wrote {len(made.asked):,} of {len(chosen):,} questions: {_without_end(reason)}."
    if 2 * len(made.asked) >= len(chosen):
        return Exam(made, note)
    note = note or f"{model} wrote questions about {len(made.asked):,} of {len(chosen):,} excerpts."
    return Exam(None, f"{note} That is too few, so the questions are made from headings.")


def upcoming(run: LibraryRun) -> tuple[ExamQuestion, list[Excerpt]] | None:
    """Say what the gate of a run will ask about, as far as the documents are there already; None where it will ask nobody.

    The gate of a library in buckets asks once: the first bucket tells.
    """
    from dataflow_assets.flow.publish import generation_of

    settings = run.settings
    if not settings.evaluation.paid or split_partition(run.partition)[1] not in (None, 0):
        return None
    use = run.index.usage(run.library)
    if use is None or problem_of(settings) is not None:
        return None
    wanted = generation_of(run).name
    refused = read_memory(run.home, run.library).refused.get(wanted)
    if use.generation == wanted or (refused is not None and refused["by"] == "person"):
        return None
    documents: set[str] = set()
    for partition in run.index.in_use(run.library):
        with run.index.read(partition) as reader:
            documents |= reader.document_ids()
    chosen = chosen_excerpts(run.warehouse, run.library, documents, settings.evaluation.questions)
    return exam_question(settings, open_ledger(run.home)), chosen


def problem_of(settings: LibrarySettings) -> str | None:
    """Say why the model cannot be asked for questions: a key or a price that is missing; None where nothing is known."""
    model = settings.evaluation.question_model
    problem = credential_problem(model)
    if problem is not None:
        return problem
    limits = settings.limits
    budget = limits.budget_usd is not None or limits.monthly_budget_usd is not None
    if budget and not price_known(provider_of(model) or "", model, settings.prices):
        return f"The library has a budget, and the price of {model} is not known: say it in the catalog under prices"
    return None


def exam_question(settings: LibrarySettings, ledger: Ledger) -> ExamQuestion:
    """Give the question that a library's settings ask about excerpts."""
    model = language_model(_calling(settings))
    return ExamQuestion(
        model,
        learned=ledger.learned(model.provider, model.name, ExamQuestion.stage),
        price=price_of(model.provider, model.name, settings.prices),
    )


def chosen_excerpts(warehouse: Warehouse, library: str, documents: Collection[str], count: int) -> list[Excerpt]:
    """Choose excerpts of a library's documents; no more texts are read than it takes."""
    ordered = in_order(documents)
    each = min(MOST, max(1, -(-2 * count // max(1, len(ordered)))))
    found: dict[str, list[str]] = {}
    for start in range(0, len(ordered), READ_AT_ONCE):
        for document_id, text in _texts(warehouse, library, ordered[start : start + READ_AT_ONCE]):
            if taken := excerpts(text, each):
                found[document_id] = taken
        if len(found) >= count:
            break
    return choose(found, count)


def _texts(warehouse: Warehouse, library: str, documents: list[str]) -> list[tuple[str, str]]:
    listed = ", ".join(map(literal, documents))
    with warehouse.reading() as connection:
        return connection.execute(
            f"SELECT document_id, left(text, {READ_CHARACTERS}) FROM validated_documents "
            f"WHERE library = {literal(library)} AND status = 'valid' AND text IS NOT NULL AND document_id IN ({listed})"
        ).fetchall()


def _calling(settings: LibrarySettings) -> CorrectionSettings:
    """Give how the model is called. A limit that the catalog sets on calls a minute holds for all calls of the same model."""
    model, mine = settings.evaluation.question_model, settings.corrections
    changed = {"model": model, "timeout_seconds": MANNERS.timeout_seconds}
    if mine.model != model:
        changed |= {"requests_per_minute": None, "tokens_per_minute": None}
    return mine.model_copy(update=changed)


def _written(
    library: Library, question: ExamQuestion, ledger: Ledger, texts: list[str], tally: Tally
) -> tuple[dict[str, Written | None], str | None]:
    """Give what was written about texts, None where it is no question; and why some were not asked about."""
    written, missing = _remembered(ledger, question, texts)
    if not missing:
        return written, None
    reason = problem_of(library.settings)
    if reason is not None:
        return written, reason
    asking: Asking[str] = Asking(
        question,
        ledger=ledger,
        pace=pace_of(library.home, question.provider, question.model, _calling(library.settings)),
        account=Account(library.name, library.run_id, budget_of(library.name, library.settings)),
        manners=MANNERS,
        check=lambda text, payload: judge(text, payload)[1],
        tally=tally,
    )
    try:
        for text, outcome in asking.run((text, text) for text in missing):
            if outcome.status == "answered":
                written[text] = judge(text, outcome.payload)[0]
            elif outcome.status == "refused":
                written[text] = None
            else:
                reason = reason or outcome.reason
    except DataflowError as error:  # a key that is not accepted, a request that is refused: what was written counts
        reason = str(error)
    finally:
        _quietly(lambda: book_calls(library.home, library.warehouse))
    return written, reason


def _remembered(
    ledger: Ledger, question: ExamQuestion, texts: list[str]
) -> tuple[dict[str, Written | None], list[str]]:
    """Give what was written before, and the texts about which somebody has to be asked."""
    written: dict[str, Written | None] = {}
    missing = []
    found = (
        ledger.find([question.key(text, again=again) for text in texts for again in (False, True)])
        if ledger.exists
        else {}
    )
    for text in texts:
        last = found.get(question.key(text, again=True))
        said = last or found.get(question.key(text))
        if said is None:
            missing.append(text)
            continue
        if said.kind == "refused":
            written[text] = None
            continue
        made, problem = judge(text, said.payload)
        if problem is not None and last is None:
            missing.append(text)  # a first answer that is no good is one of two
        else:
            written[text] = made
    return written, missing


def _quietly(book: Callable[[], object]) -> None:
    """Book calls; what cannot be booked now is booked at the next run's start, so nothing fails for it."""
    try:
        book()
    except DataflowError as error:
        logger.warning("Calls for questions are booked later: %s", error)


def _without_end(sentence: str) -> str:
    return sentence.rstrip(". ")
