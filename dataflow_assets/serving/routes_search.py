"""Routes that read: search, libraries, documents, chunks, evaluation."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic_core import to_json
from starlette.responses import Response

from dataflow_assets.serving import tables
from dataflow_assets.serving.answers import answer
from dataflow_assets.serving.problems import Problem
from dataflow_assets.serving.service import Caller, Service
from dataflow_assets.serving.shapes import (
    MAX_WINDOW,
    Answer,
    Around,
    Asked,
    Document,
    Documents,
    Evaluation,
    Identity,
    Libraries,
    Library,
    LibraryName,
    SearchBody,
    SearchParameters,
)

router = APIRouter(prefix="/v1")

NOT_THERE: dict[int | str, dict[str, Any]] = {404: {"description": "It does not exist for this caller."}}


async def service_of(request: Request) -> Service:
    """Give the service that a request came to."""
    service: Service = request.app.state.service
    return service


async def caller_of(request: Request) -> Caller:
    """Give who asks, as the gate found out."""
    caller: Caller = request.state.caller
    return caller


Here = Annotated[Service, Depends(service_of)]
Who = Annotated[Caller, Depends(caller_of)]


def plain(said: Any) -> Response:
    """Answer with JSON; what the tables hold was checked when it was written."""
    return Response(to_json(said, inf_nan_mode="null"), media_type="application/json")


@router.get("/search", response_model=Answer, responses=NOT_THERE, summary="Search libraries")
async def search(service: Here, caller: Who, asked: Annotated[SearchParameters, Query()]) -> Response:
    """Search by meaning and by words. The same as POST, with everything in the address."""
    return await _search(service, caller, asked, asked.library)


@router.post("/search", response_model=Answer, responses=NOT_THERE, summary="Search libraries")
async def search_by_body(service: Here, caller: Who, asked: SearchBody) -> Response:
    """Search by meaning and by words."""
    return await _search(service, caller, asked, asked.libraries)


async def _search(
    service: Service, caller: Caller, asked: SearchBody | SearchParameters, libraries: list[str]
) -> Response:
    def work() -> tuple[bytes, bool]:
        return answer(service, caller, asked, service.chosen(caller, libraries))

    made, kept = await service.work(work)
    headers = {"Cache-Control": "no-store", "X-Cache": "hit" if kept else "miss"}
    return Response(made, headers=headers, media_type="application/json")


@router.get("/libraries", response_model=Libraries, summary="List libraries")
async def libraries(service: Here, caller: Who) -> Response:
    """List the libraries that exist for the caller, with their figures."""
    return plain({"libraries": await service.work(lambda: _libraries(service, caller))})


@router.get("/libraries/{library}", response_model=Library, responses=NOT_THERE, summary="Look at a library")
async def library(service: Here, caller: Who, library: Annotated[LibraryName, Path()]) -> Response:
    """Look at one library."""

    def work() -> dict[str, Any]:
        service.chosen(caller, [library])
        return next(found for found in _libraries(service, caller) if found["name"] == library)

    return plain(await service.work(work))


def _libraries(service: Service, caller: Caller) -> list[dict[str, Any]]:
    infos = service.infos(caller)
    quality = tables.quality_of(service.warehouse, [info.name for info in infos])
    return [Library.of(info, quality.get(info.name)) for info in infos]


class DocumentsAsked(Asked):
    """Which documents are listed."""

    library: LibraryName
    after: Annotated[str, Query(max_length=32, pattern="^[0-9a-f]*$")] = ""
    limit: Annotated[int, Query(ge=1, le=1000)] = 100


@router.get("/documents", response_model=Documents, responses=NOT_THERE, summary="List a library's documents")
async def documents(service: Here, caller: Who, asked: Annotated[DocumentsAsked, Query()]) -> Response:
    """List the documents of a library by their ids, whatever became of them."""

    def work() -> dict[str, Any]:
        service.chosen(caller, [asked.library])
        return tables.documents_of(service.warehouse, asked.library, after=asked.after, limit=asked.limit)

    return plain(await service.work(work))


class WindowAsked(Asked):
    """Which stretch of a document is read."""

    start: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0
    length: Annotated[int, Query(ge=1, le=MAX_WINDOW)] = 100_000


@router.get("/documents/{document_id}", response_model=Document, responses=NOT_THERE, summary="Read a document")
async def document(
    service: Here, caller: Who, document_id: Annotated[Identity, Path()], asked: Annotated[WindowAsked, Query()]
) -> Response:
    """Read a stretch of a document, with its chunks and their corrections."""

    def work() -> dict[str, Any] | None:
        return tables.document(
            service.warehouse, document_id, service.visible(caller), start=asked.start, length=asked.length
        )

    found = await service.work(work)
    if found is None:
        raise Problem(404, f"There is no document {document_id} here.")
    return plain(found)


class AroundAsked(Asked):
    """How far around a chunk is read."""

    before: Annotated[int, Query(ge=0, le=50)] = 1
    after: Annotated[int, Query(ge=0, le=50)] = 1


@router.get("/chunks/{chunk_id}", response_model=Around, responses=NOT_THERE, summary="Read around a chunk")
async def around(
    service: Here, caller: Who, chunk_id: Annotated[Identity, Path()], asked: Annotated[AroundAsked, Query()]
) -> Response:
    """Read a chunk with its neighbours in the same document."""

    def work() -> dict[str, Any] | None:
        visible = service.visible(caller)
        if not visible:
            return None
        found = service.search.around(chunk_id, before=asked.before, after=asked.after, libraries=visible)
        return found.to_dict() if found is not None else None

    found = await service.work(work)
    if found is None:
        raise Problem(404, f"There is no chunk {chunk_id} here.")
    return plain(found)


class EvaluationAsked(Asked):
    """Whose figures, and how many."""

    library: LibraryName
    limit: Annotated[int, Query(ge=1, le=100)] = 20


@router.get("/evaluation", response_model=Evaluation, responses=NOT_THERE, summary="See how good a library is")
async def evaluation(service: Here, caller: Who, asked: Annotated[EvaluationAsked, Query()]) -> Response:
    """See the figures of a library over time, as its runs noted them."""

    def work() -> dict[str, Any]:
        service.chosen(caller, [asked.library])
        return {
            "library": asked.library,
            "reports": tables.reports_of(service.warehouse, asked.library, limit=asked.limit),
        }

    return plain(await service.work(work))
