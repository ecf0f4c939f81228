"""Answering a search: from what was answered before, if nothing that it was read from has changed since, or anew."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence

from pydantic_core import to_json

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.search.filters import narrowing
from dataflow_assets.serving.problems import Problem
from dataflow_assets.serving.service import Caller, Service
from dataflow_assets.serving.shapes import SearchRequest


def answer(service: Service, caller: Caller, request: SearchRequest, libraries: Sequence[str]) -> tuple[bytes, bool]:
    """Answer a question.

    Args:
        service: The service.
        caller: Who asks; another caller's answers are never looked at, so that nobody learns what others ask.
        request: The question.
        libraries: Where to look; nowhere if empty.

    Returns:
        The answer as JSON, and whether it was kept from before.

    Raises:
        Problem: The question cannot be answered.
    """
    started = time.perf_counter()
    if not libraries:
        return _finished(_empty(request), started), False
    try:
        narrowing(filters := request.filters())
    except ConfigurationError as error:
        raise Problem(422, str(error)) from None
    # Read before the answer is made: what is published meanwhile has other names, and is asked for under another key.
    publications = service.search.publications(libraries)
    key = hashlib.sha256(
        json.dumps(
            [caller.name, request.model_dump(mode="json"), list(libraries), publications, service.catalog_stamp()],
            sort_keys=True,
        ).encode()
    ).hexdigest()
    kept = service.cache.get(key)
    if kept is not None:
        service.metrics.cached.labels("cache").inc()
        return _finished(kept, started), True
    made, read = service.searchers.answer(
        {
            "text": request.query,
            "libraries": list(libraries),
            "mode": request.mode,
            "top_k": request.top_k,
            "filters": filters,
            "min_similarity": request.min_similarity,
            "rerank": request.rerank,
            "per_document": request.per_document,
            "passages": request.passages,
            "explain": request.explain,
        }
    )
    if read == publications:  # else a run ended meanwhile, and what was read is known by another key
        service.cache.put(key, made)
    service.metrics.cached.labels("index").inc()
    return _finished(made, started), False


def _empty(request: SearchRequest) -> bytes:
    return to_json({"query": request.query, "mode": request.mode, "results": [], "notes": [], "understood": None})


def _finished(made: bytes, started: float) -> bytes:
    """Add how long it took to an answer that was made now or before."""
    return made[:-1] + b',"took_ms":%.3f}' % ((time.perf_counter() - started) * 1000)
