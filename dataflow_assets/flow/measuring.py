"""`dataflow evaluate`: what the gate does, by hand and without its consequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dataflow_assets.catalog import Catalog
from dataflow_assets.flow.evaluate import Library, evaluate, questions_of
from dataflow_assets.flow.generations import describe, remember_evaluation
from dataflow_assets.index.base import SearchIndex
from dataflow_assets.models.question import Tally
from dataflow_assets.settings import EvaluationSettings
from dataflow_assets.stages.evaluation import Evaluation, compare
from dataflow_assets.warehouse.store import Warehouse


def measure(
    name: str,
    catalog: Catalog,
    *,
    home: Path,
    warehouse: Warehouse,
    index: SearchIndex,
    golden: Path | None = None,
    k: int | None = None,
) -> dict[str, Any]:
    """Measure the generation in use, and a new one that covers the library; nothing is put into use.

    Args:
        name: The library.
        catalog: The catalog.
        home: The home.
        warehouse: The tables.
        index: The index.
        golden: Golden queries to ask in place of the library's own; what they tell is not kept.
        k: Results that count.

    Returns:
        `questions` (`kind`: `golden`, `headings` or `model`; `count`, `k`, `note`: what is to be known of them, or None,
        `cost_usd`: what having them written cost now), `generations` (each `generation`, `state`, `questions`, `k`, `recall`, `mrr`,
        `ndcg`, `semantic`), `passed` (whether the gate would let the new one take over, true where there is none), `lost`, `not_found`
        (queries to which the one in use gives nothing that was expected) and `message`, a sentence or None.
    """
    settings = catalog.library(name)
    changed: dict[str, Any] = {}
    if golden is not None:
        changed["golden"] = str(golden.absolute())
    if k is not None:
        changed["k"] = k
    measured_by: EvaluationSettings = settings.evaluation.model_copy(update=changed)
    settings = settings.model_copy(update={"evaluation": measured_by})
    library = Library(name, settings, catalog.folder, home, warehouse, index)
    use = index.usage(name)
    if use is None:
        return _nothing(measured_by.k, f"There is no index yet: run `dataflow run {name}`.")
    tally = Tally()
    questions = questions_of(library, use.generation, tally)
    if not questions.asked:
        note = f"{questions.note} " if questions.note else ""
        return _nothing(measured_by.k, f"{note}No question can be made from its headings: write golden queries.")
    before = evaluate(library, use.generation, questions)
    if not changed:
        remember_evaluation(library, use.generation, questions, before)
    told = [_figures(use.generation, "in use", before)]
    passed, lost, message = True, list[str](), None
    for other in describe(home, index, name):
        if other["state"] in ("new", "refused") and not other["waiting"]:
            after = evaluate(library, other["generation"], questions)
            told.append(_figures(other["generation"], other["state"], after))
            verdict = compare(before, after, measured_by.allowed_loss, measured_by.allowed_semantic_loss)
            if other["left_at"] is None and not verdict.passed:
                passed, lost, message = (
                    False,
                    list(verdict.lost),
                    f"{other['generation']} finds less: {verdict.sentence()}",
                )
    if questions.note:
        message = f"{questions.note} {message}" if message else questions.note
    return {
        "questions": {
            "kind": questions.kind,
            "count": len(questions.asked),
            "k": measured_by.k,
            "note": questions.note,
            "cost_usd": tally.cost_usd,
        },
        "generations": told,
        "passed": passed,
        "lost": lost,
        "not_found": [one.query for one in before.each if not one.recall],
        "message": message,
    }


def _figures(generation: str, state: str, measured: Evaluation) -> dict[str, Any]:
    return {"generation": generation, "state": state, **measured.to_dict()}


def _nothing(k: int, message: str) -> dict[str, Any]:
    return {
        "questions": {"kind": None, "count": 0, "k": k, "note": None, "cost_usd": 0.0},
        "generations": [],
        "passed": True,
        "lost": [],
        "not_found": [],
        "message": message,
    }
