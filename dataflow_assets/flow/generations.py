"""Which generation of a library is in use: the takeover and its gate, going back, and what becomes of those that are kept.

What belongs here: decisions about generations. What does not: filling one (`publish`), measuring one (`evaluate`), judging
two (`stages.evaluation`), remembering what was decided (`generation_memory`), and the one write that puts one into use (`index`).

The decision is made for a whole library, whatever its number of buckets: searches merge the buckets, and a bucket that went
ahead would mix vectors of two models in one answer for as long as the others take. So the run that completes the generation
puts it into use for all of them, in one write.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.flow.evaluate import Library, evaluate, golden_questions, questions_of
from dataflow_assets.flow.generation_memory import Memory, read_memory, write_memory
from dataflow_assets.flow.kept_generations import forget_deleted, partitions_of, remove_expired
from dataflow_assets.home import exclusively
from dataflow_assets.index.base import Publication, SearchIndex
from dataflow_assets.models.question import Tally
from dataflow_assets.settings import fingerprint_of
from dataflow_assets.stages.evaluation import Evaluation, Questions, Verdict, compare
from dataflow_assets.warehouse.store import now


def deciding(home: Path, library: str) -> AbstractContextManager[None]:
    """Hold the library's generations for the length of a block: one decides at a time."""
    return exclusively(home / "locks" / f"{library}~generations.lock")


def settle(library: Library, partition: str, wanted: str) -> dict[str, Any]:
    """Put the generation that the settings ask for into use if it may be, and look after the others.

    Args:
        library: The library.
        partition: The partition whose state of `wanted` was just brought up to date; its lock is held.
        wanted: The generation.

    Returns:
        `withheld`: why it is not in use; `took_over`: that it now is; `evaluation`: how it measured; `asking`: what having
        questions written took. Each only where there is something to say.
    """
    with deciding(library.home, library.name):
        forget_deleted(library, partition, wanted)
        use = library.index.usage(library.name)
        told: dict[str, Any] = {}
        if use is None or use.generation == wanted:
            _forget_refusals(library)
            told = _measure(library, wanted)
        else:
            tally = Tally()
            told = _consider(library, wanted, use.generation, tally)
            if tally.calls:
                told["asking"] = tally
        remove_expired(library, partition, wanted)
        return told


def _consider(library: Library, wanted: str, used: str, tally: Tally) -> dict[str, Any]:
    """Decide whether a whole generation takes over from the one in use."""
    index, name = library.index, library.name
    found = {partition: index.generations(partition).get(wanted) for partition in partitions_of(library)}
    states = [state for state in found.values() if state is not None]
    if len(states) < len(found):
        return {}  # the runs of the other buckets follow, and the last one decides
    waiting = sum(state.generation.description.get("waiting", 0) for state in states)
    if waiting:
        return {
            "withheld": f"{name} is searched as before until the new generation covers it: {waiting:,} chunks have no "
            "vector yet."
        }
    memory = read_memory(library.home, name)
    refused = memory.refused.get(wanted)
    if refused is not None and refused["by"] == "person":
        return {"withheld": refused["message"]}
    there = index.in_use(name)
    verdict, note = None, ""
    if sum(publication.points for publication in there.values()):
        questions = questions_of(library, used, tally)
        note = f" {questions.note}" if questions.note else ""
        key = _key([*there.values(), *states], questions, library)
        if refused is not None and refused["key"] == key:
            return {"withheld": refused["message"]}
        if questions.asked:
            verdict = compare(
                evaluate(library, used, questions),
                evaluate(library, wanted, questions),
                library.settings.evaluation.allowed_loss,
                library.settings.evaluation.allowed_semantic_loss,
            )
            _remember(memory, wanted, questions, verdict.after, verdict=verdict)
        if verdict is not None and not verdict.passed:
            message = (
                f"The new generation of {name} does not take over, for it finds less: {verdict.sentence()}{note} Searches go "
                f"on as before. Change the settings back, or take it nevertheless: dataflow generations {name} --use {wanted}"
            )
            memory.refused[wanted] = {"by": "gate", "at": _at(), "key": key, "message": message}
            write_memory(library.home, name, memory)
            return {"withheld": message, "evaluation": memory.evaluations[-1], "lost": list(verdict.lost)}
    memory.refused.clear()  # whatever was refused, the settings ask for something else now
    _take_over(library.home, index, name, memory, wanted, by="gate")
    said = "It passed the gate: " + verdict.sentence() if verdict else "There was nothing to compare it by."
    told: dict[str, Any] = {"took_over": f"A new generation of {name} took over. {said}{note}"}
    if verdict is not None:
        told["evaluation"] = memory.evaluations[-1]
    return told


def _measure(library: Library, wanted: str) -> dict[str, Any]:
    """Ask the golden queries again where the index changed since; questions of our own making are asked by the gate alone."""
    questions = golden_questions(library.name, library.settings, library.base)
    there = library.index.in_use(library.name)
    if questions is None or not set(partitions_of(library)) <= there.keys():
        return {}
    memory = read_memory(library.home, library.name)
    key = _key(list(there.values()), questions, library)
    if memory.evaluations and memory.evaluations[-1].get("key") == key:
        return {}
    _remember(memory, wanted, questions, evaluate(library, wanted, questions), key=key)
    write_memory(library.home, library.name, memory)
    return {"evaluation": memory.evaluations[-1]}


def _forget_refusals(library: Library) -> None:
    """The settings ask for what is in use: if they ask for another generation again, that is a new question."""
    memory = read_memory(library.home, library.name)
    if memory.refused:
        memory.refused.clear()
        write_memory(library.home, library.name, memory)


def _key(states: list[Publication], questions: Questions, library: Library) -> str:
    settings = library.settings
    names = sorted(state.name for state in states)
    return fingerprint_of(names, questions.key, settings.evaluation, settings.search.semantic_weight,
                          settings.search.keyword_weight, settings.search.prefetch_factor)  # fmt: skip


def _remember(
    memory: Memory,
    generation: str,
    questions: Questions,
    measured: Evaluation,
    *,
    verdict: Verdict | None = None,
    key: str | None = None,
) -> None:
    told = {"at": _at(), "generation": generation, "kind": questions.kind, **measured.to_dict(), "key": key}
    if questions.note:
        told["note"] = questions.note
    if verdict is not None:
        told |= {
            "passed": verdict.passed,
            "allowed_loss": verdict.allowed_loss,
            "before": verdict.before.to_dict(),
            "lost": list(verdict.lost[:50]),
        }
    memory.evaluations.append(told)


def remember_evaluation(library: Library, generation: str, questions: Questions, measured: Evaluation) -> None:
    """Note how the generation in use measured, when somebody asked by hand."""
    with deciding(library.home, library.name):
        memory = read_memory(library.home, library.name)
        _remember(memory, generation, questions, measured)
        write_memory(library.home, library.name, memory)


def _take_over(home: Path, index: SearchIndex, library: str, memory: Memory, generation: str, *, by: str) -> None:
    use = index.usage(library)
    memory.refused.pop(generation, None)
    memory.takeovers.append({"at": _at(), "from": use.generation if use else None, "to": generation, "by": by})
    # Remembered first: a process that dies in between has remembered one takeover too many, which harms nobody.
    write_memory(home, library, memory)
    index.use(library, generation)


def describe(home: Path, index: SearchIndex, library: str) -> list[dict[str, Any]]:
    """List the generations of a library, the one in use first.

    Returns:
        For each `generation`, `state` (`in use`, `kept`, `refused` or `new`), `points`, `waiting`, `model`, `dimension`,
        `left_at`, `note`.
    """
    use, memory = index.usage(library), read_memory(home, library)
    found: dict[str, dict[str, Any]] = {}
    for partition in [p for p in index.partitions() if p.partition(".")[0] == library]:
        for name, state in index.generations(partition).items():
            described = state.generation.description
            told = found.setdefault(
                name,
                {
                    "generation": name,
                    "state": "new",
                    "points": 0,
                    "waiting": 0,
                    "model": described.get("embedding_model"),
                    "dimension": state.generation.dimension,
                    "left_at": None,
                    "note": None,
                },
            )
            told["points"] += state.points
            told["waiting"] += described.get("waiting", 0)
    for name, told in found.items():
        if use is not None and name == use.generation:
            told["state"] = "in use"
        elif use is not None and name in use.left:
            told |= {"state": "kept", "left_at": use.left[name]}
        if name in memory.refused and told["state"] != "in use":
            told |= {"state": "refused", "note": memory.refused[name]["message"]}
    return sorted(
        found.values(), key=lambda told: (told["state"] != "in use", told["left_at"] or "9", told["generation"])
    )


def go_back(home: Path, index: SearchIndex, library: str) -> tuple[str, str]:
    """Put the generation into use that was in use before.

    Runs leave it at that: the generation that was left is refused until the settings ask for another one, or a person puts it
    into use.

    Returns:
        The generation that was left, and the one that is in use now.

    Raises:
        ConfigurationError: There is none to go back to.
    """
    with deciding(home, library):
        use = index.usage(library)
        if use is None:
            raise ConfigurationError(f"{library} has no index: there is nothing to go back to.")
        kept = {name for partition in index.in_use(library) for name in index.generations(partition)}
        former = [name for name, _ in sorted(use.left.items(), key=lambda item: item[1]) if name in kept]
        # One that a person left by going back is not one to go back to.
        memory = read_memory(home, library)
        former = [name for name in former if name not in memory.refused]
        if not former:
            raise ConfigurationError(
                f"{library} has no former generation to go back to: none took over from another, or its grace period "
                "(evaluation.grace_days) is over."
            )
        target = former[-1]
        memory.refused[use.generation] = {
            "by": "person",
            "at": _at(),
            "key": None,
            "message": f"{library} is searched with the generation that a person went back to on {_at()} UTC; it loses "
            "deleted documents and gets no new ones. Change the settings in the catalog back to what they were, or take the "
            f"newer one again: dataflow generations {library} --use {use.generation}",
        }
        _take_over(home, index, library, memory, target, by="person")
        return use.generation, target


def choose(home: Path, index: SearchIndex, library: str, generation: str) -> None:
    """Put a generation into use because a person says so.

    Raises:
        ConfigurationError: There is no such generation, or it is not whole.
    """
    with deciding(home, library):
        told = {one["generation"]: one for one in describe(home, index, library)}
        if generation not in told:
            listed = ", ".join(told) or "none"
            raise ConfigurationError(f"{library} has no generation {generation!r}. It has: {listed}.")
        use, there = index.usage(library), index.in_use(library)
        lacking = [partition for partition in there if generation not in index.generations(partition)]
        if told[generation]["waiting"] or lacking:
            raise ConfigurationError(
                f"The generation {generation} does not cover {library} yet: run the library until it does."
            )
        if use is not None and use.generation == generation:
            return
        memory = read_memory(home, library)
        memory.refused.clear()
        _take_over(home, index, library, memory, generation, by="person")


def _at() -> str:
    return now().isoformat(sep=" ", timespec="seconds")
