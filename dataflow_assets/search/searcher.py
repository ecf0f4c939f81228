"""From a question to ranked results, over the published indexes of a home.

What belongs here: the steps of an answer and what may go wrong between them. What does not: what the question means (`query`),
fetching (`candidates`), the features that reorder (`reranking`), opening a home (`api`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dataflow_assets.errors import ConfigurationError, DataflowError, ModelError, SearchIndexError
from dataflow_assets.index.base import IndexQuery, IndexReader, Mode, Publication, SearchIndex
from dataflow_assets.index.points import is_chunk_id
from dataflow_assets.models.base import Asked, Embedder
from dataflow_assets.search.candidates import RERANKED, Found, Wish, at_most, fetch, space_of
from dataflow_assets.search.evidence import result_of
from dataflow_assets.search.filters import check, names_of, narrowing
from dataflow_assets.search.passages import neighbours, passage_of
from dataflow_assets.search.query import understand
from dataflow_assets.search.readers import Opened, Readers
from dataflow_assets.search.reranking import Judged, question_of, rerank
from dataflow_assets.search.results import Passage, Scores, SearchAnswer, SearchResult
from dataflow_assets.settings import SearchSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)
Made = TypeVar("Made")

MAX_QUERY = 8_000
"""Characters of a query that are looked at; a longer one is cut."""
MOST_RERANKED = 200
"""Candidates that are reranked here at most."""
MANY = 2_000
"""Candidates of a side that are looked through at most for what the engine cannot filter."""


class ModelReranker(Protocol):
    """A reranking model, and who pays for it."""

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """Give how well texts answer a question, a score for each.

        Raises:
            DataflowError: It cannot be asked, or did not judge every text.
        """


class Searcher:
    """Answers questions from the published indexes; safe to keep, and for threads: a new publication is seen by the next question.

    Args:
        index: The index of the home.
        libraries: Library -> its search settings; or what gives them, and is asked with every question.
        embedder_for: Makes the embedder that an index's description names.
        reranker_for: Gives the reranking model of a library; None where its results are reranked here.
    """

    def __init__(
        self,
        index: SearchIndex,
        libraries: Mapping[str, SearchSettings] | Callable[[], Mapping[str, SearchSettings]],
        embedder_for: Callable[[Mapping[str, Any]], Embedder],
        reranker_for: Callable[[str], ModelReranker | None] = lambda library: None,
    ) -> None:
        self._libraries = libraries if callable(libraries) else lambda: libraries
        self._embedder_for = embedder_for
        self._reranker_for = reranker_for
        self._embedders: dict[str, Embedder] = {}
        self._readers = Readers(index)

    def __enter__(self) -> Searcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the indexes."""
        self._readers.close()

    def forget_models(self) -> None:
        """Make embedders anew when they are needed next, since settings changed."""
        self._embedders = {}

    def in_use(self, library: str) -> dict[str, Publication]:
        """Give what is in use of a library, by partition."""
        return self._readers.in_use(library)

    def publications(self, libraries: str | Sequence[str] = ()) -> dict[str, str]:
        """Name the published states of libraries, by partition; of all if none is named."""
        known = self._libraries()
        names = [name for name in names_of(libraries) if name in known] if libraries else list(known)
        return {p: said.name for name in names for p, said in self._readers.in_use(name).items()}

    def search(
        self,
        text: str,
        *,
        libraries: str | Sequence[str] = (),
        mode: Mode = "hybrid",
        top_k: int | None = None,
        filters: Mapping[str, str | Sequence[str]] | None = None,
        min_similarity: float | None = None,
        rerank: bool = True,
        per_document: int | None = None,
        passages: bool = False,
        explain: bool = False,
    ) -> SearchAnswer:
        """Answer a question.

        Args:
            text: The question.
            libraries: Where to look, a text being the name of one; everywhere if empty.
            mode: By meaning and words, by meaning, or by words.
            top_k: How many results; the libraries' setting if left out.
            filters: Key -> the value a result must have, or values of which it must have one; see `filters.FILTERS`.
            min_similarity: Below this cosine similarity a chunk is no answer, unless words of the question stand in it; the
                libraries' setting if left out.
            rerank: Whether hybrid results are reranked. The other modes show what one side alone says.
            per_document: How many results one document may have; any number if left out.
            passages: Whether each result comes with its neighbours as a `passage`.
            explain: Whether each result says how it came by its place.

        Raises:
            ConfigurationError: An empty question, an unknown library or filter, or an argument that is nothing of its kind.
        """
        started = time.perf_counter()
        check(text, mode, top_k, min_similarity, per_document)

        def answered(again: bool) -> tuple[Wish, tuple[SearchResult, ...]]:
            asked = self._understood(text, libraries, mode, top_k, filters, min_similarity, without_lost=again)
            found = self._ranked(asked, rerank=rerank, per_document=per_document)
            words = asked.question.words
            around = _passages(found) if passages else {}
            return asked, tuple(
                result_of(
                    each.payload,
                    each.final,
                    words,
                    passage=around.get(each.candidate.chunk_id),
                    scores=_scores(each) if explain else None,
                )
                for each in found
            )

        asked, results = self._again_if_gone(answered)
        return SearchAnswer(
            query=text,
            mode=mode,
            results=results,
            took_ms=round((time.perf_counter() - started) * 1000, 3),
            notes=tuple(asked.notes),
            understood=asked.understood,
            publications={opened.partition: opened.name for opened in asked.opened},
        )

    def around(
        self, chunk_id: str, *, before: int = 1, after: int = 1, libraries: str | Sequence[str] = ()
    ) -> Passage | None:
        """Read around a chunk; None where the libraries have no such chunk."""
        known = self._libraries()
        names = [name for name in names_of(libraries) if name in known] if libraries else list(known)
        if not is_chunk_id(chunk_id):
            return None

        def read(again: bool) -> Passage | None:
            for opened in self._opened(names, without_lost=again)[0]:
                payload = opened.reader.payloads([chunk_id]).get(chunk_id)
                if payload is not None:
                    return passage_of(neighbours(opened.reader, [payload], before, after)[0])
            return None

        return self._again_if_gone(read)

    def _again_if_gone(self, act: Callable[[bool], Made]) -> Made:
        """Do something once more where what was opened is gone: a run or a takeover replaced it, and it was removed.

        Args:
            act: What to do; is told whether it is done again.
        """
        try:
            return act(False)
        except SearchIndexError:
            self._readers.close()
            return act(True)

    def _opened(self, names: Sequence[str], *, without_lost: bool) -> tuple[list[Opened], list[str]]:
        """Open what is in use of libraries.

        Args:
            names: The libraries.
            without_lost: Whether a library that cannot be opened is left out where there are others.

        Returns:
            What is open, and which libraries were left out.
        """
        if not without_lost or len(names) == 1:
            return self._readers.of(names), []
        found: list[Opened] = []
        lost: dict[str, SearchIndexError] = {}
        for name in names:
            try:
                found += self._readers.of([name])
            except SearchIndexError as error:
                logger.warning("%s is left out of a search: %s", name, error)
                lost[name] = error
        if lost and not found:
            raise next(iter(lost.values()))
        return found, list(lost)

    # ---- what is asked

    def _understood(
        self,
        text: str,
        libraries: str | Sequence[str],
        mode: Mode,
        top_k: int | None,
        filters: Mapping[str, str | Sequence[str]] | None,
        min_similarity: float | None,
        *,
        without_lost: bool,
    ) -> Wish:
        asked = text[:MAX_QUERY]
        if not asked.strip():
            raise ConfigurationError("The query is empty: say what to look for.")
        known = self._libraries()
        narrowed = narrowing({} if filters is None else filters)
        names = names_of(libraries) or list(known)
        for name in names:
            if name not in known:
                listed = ", ".join(list(known)[:20]) or "none"
                raise ConfigurationError(f"There is no library {name[:100]!r}. There are: {listed}.")
        if narrowed.libraries is not None:
            if unknown := sorted(narrowed.libraries.difference(names)):
                raise ConfigurationError(
                    f"There is no library {unknown[0][:100]!r} among those that are searched: {', '.join(names[:20])}."
                )
            names = [name for name in names if name in narrowed.libraries]
        settings = {name: known[name] for name in names}
        limit = top_k or max((each.top_k for each in settings.values()), default=10)
        semantic = sum(each.semantic_weight for each in settings.values()) or 0.6
        keyword = sum(each.keyword_weight for each in settings.values()) or (0.4 if not settings else 0.0)
        understood = understand(asked, semantic, keyword)
        opened, lost = self._opened(names, without_lost=without_lost)
        there = {each.library for each in opened}
        return Wish(
            text=asked,
            query=IndexQuery(
                asked,
                None,
                mode,
                limit,
                semantic_weight=understood.semantic_weight,
                keyword_weight=understood.keyword_weight,
                filters=narrowed.engine,
                since=narrowed.since,
                until=narrowed.until,
            ),
            understood=understood,
            question=question_of(asked, understood),
            narrowing=narrowed,
            libraries=settings,
            opened=opened,
            limit=limit,
            min_similarity=min_similarity,
            notes=([] if len(text) <= MAX_QUERY else [f"Only the first {MAX_QUERY:,} characters were looked at."])
            # Who asks everywhere wants what is there, and need not hear each time of what is not.
            + [
                f"{name} has no index yet: run `dataflow run {name}`."
                for name in names
                if name not in there and name not in lost and (libraries or not there)
            ]
            + [f"{name} is left out, since its index cannot be opened: run `dataflow run {name}`." for name in lost],
        )

    # ---- candidates

    def _ranked(self, asked: Wish, *, rerank: bool, per_document: int | None) -> list[Found]:
        """Fetch, rank and rerank; where what the caller wants leaves too little, look further."""
        most = per_document or MANY
        vectors = self._vectors(asked)
        picky = per_document is not None or asked.narrowing.late
        wanted = asked.limit * 2 + RERANKED if picky else None
        while True:
            found, more = fetch(asked, vectors, wanted)
            if wanted is None or not more or wanted >= MANY or len(at_most(found, most)) >= asked.limit:
                break
            wanted = min(5 * wanted, MANY)
        if rerank and asked.query.mode == "hybrid":
            found = self._reranked(asked, _enough(found, asked.limit, most))
        return at_most(found, most)[: asked.limit]

    def _reranked(self, asked: Wish, found: list[Found]) -> list[Found]:
        judged = self._judged_by_models(asked, found)
        if judged is None:
            # What comes after these has a lower score already, and no feature lowers one.
            first = [(each.score, each.payload) for each in found[:MOST_RERANKED]]
            judged = rerank(asked.question, first)
        for each, judgement in zip(found, judged, strict=False):
            each.judged = judgement
        found.sort(key=lambda each: (-each.final, each.candidate.chunk_id))
        return found

    # ---- models

    def _judged_by_models(self, asked: Wish, found: Sequence[Found]) -> list[Judged] | None:
        """Have a model rerank, where every library asked names the same one; None where that cannot be."""
        names = {settings.rerank for settings in asked.libraries.values()}
        if len(names) != 1 or not found or names == {"local"}:
            return None
        judged: dict[int, Judged] = {}
        for library in dict.fromkeys(each.payload["library"] for each in found):
            places = [n for n, each in enumerate(found) if each.payload["library"] == library]
            texts = [_whole(found[n].payload) for n in places]
            try:
                reranker = self._reranker_for(library)
                if reranker is None:
                    return None
                scores = reranker.scores(asked.text, texts)
            except DataflowError as error:
                note = f"Results are reranked here, without {', '.join(names)}: {error}"
                if note not in asked.notes:
                    asked.notes.append(note)
                return None
            judged.update((n, Judged(score, {"rerank": score})) for n, score in zip(places, scores, strict=True))
        return [judged[n] for n in range(len(found))]

    def _vectors(self, asked: Wish) -> dict[str, NDArray[np.float32] | None]:
        """Embed a question once for each model; where a paid model cannot be asked, words have to do."""
        vectors: dict[str, NDArray[np.float32] | None] = {}
        if asked.query.mode == "keyword":
            return vectors
        for opened in asked.opened:
            space = space_of(opened.reader)
            if space not in vectors:
                vectors[space], problem = self._vector(opened.reader, asked.text, asked.query.mode)
                if problem is not None:
                    asked.notes.append(f"{opened.library} is searched by words alone: {problem}")
        return vectors

    def _vector(self, reader: IndexReader, text: str, mode: Mode) -> tuple[NDArray[np.float32] | None, str | None]:
        try:
            embedder = self._embedder(reader)
            found = next(iter(embedder.vectors([Asked("question", text)], kind="query")))
        except DataflowError as error:
            if mode == "semantic":
                raise
            return None, str(error)
        if found.vector is None:
            reason = found.reason or "the model gave no vector"
            if mode == "semantic":
                raise ModelError(f"The question cannot be embedded: {reason}")
            return None, reason
        # NaN: a question without tokens has no vector
        return (found.vector if found.vector[0] == found.vector[0] else None), None

    def _embedder(self, reader: IndexReader) -> Embedder:
        embedders, space = self._embedders, space_of(reader)
        if space not in embedders:
            embedders[space] = self._embedder_for(reader.generation.description)
        return embedders[space]


def _enough(found: list[Found], limit: int, per_document: int) -> list[Found]:
    """Give so many of the first that reranking can choose among them, and the limits of the caller leave enough."""
    end = max(limit, RERANKED)
    while end < len(found) and len(at_most(found[:end], per_document)) < limit:
        end += RERANKED
    return found[:end]


def _passages(found: Sequence[Found]) -> dict[str, Passage]:
    """Read around results, by chunk id."""
    passages = {}
    for reader in {id(each.reader): each.reader for each in found}.values():
        mine = [each for each in found if each.reader is reader]
        for each, around in zip(mine, neighbours(reader, [m.payload for m in mine], 1, 1), strict=True):
            passages[each.candidate.chunk_id] = passage_of(around)
    return passages


def _scores(found: Found) -> Scores:
    return Scores(
        semantic=found.candidate.semantic,
        keyword=found.candidate.keyword,
        fused=found.score,
        final=found.final,
        features=found.judged.features if found.judged is not None else {},
    )


def _whole(payload: Mapping[str, Any]) -> str:
    """Give a chunk as a reranking model reads it: under its headings."""
    above = " > ".join([str(payload["title"]), *payload["heading_path"]])
    return f"{above}\n\n{payload['corrected_text'] or payload['text']}"
