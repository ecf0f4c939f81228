"""Routes that have a library brought up to date: runs, and the events that ask for them."""

from __future__ import annotations

import datetime as dt
import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field, ValidationError
from starlette.responses import JSONResponse, Response

from dataflow_assets.serving.problems import Problem, unknown_library
from dataflow_assets.serving.routes_search import NOT_THERE, Here, Who, plain
from dataflow_assets.serving.run_book import AskedRun
from dataflow_assets.serving.service import Caller, Service
from dataflow_assets.serving.shapes import (
    Asked,
    Event,
    EventTaken,
    Identity,
    LibraryName,
    Progress,
    Run,
    RunRequest,
    Runs,
)
from dataflow_assets.serving.signatures import signer_of

router = APIRouter(prefix="/v1")


@router.post("/runs", status_code=202, response_model=Run, responses=NOT_THERE, summary="Ask for a run")
async def ask(service: Here, caller: Who, asked: RunRequest) -> Response:
    """Have a library brought up to date through Dagster. Who asks while a run of it waits joins that one."""

    def work() -> AskedRun:
        service.chosen(caller, [asked.library])
        if not caller.runs:
            raise Problem(403, "This key may not ask for runs. The operator makes one that may with --runs.")
        return service.book.ask(asked.library)

    run = await service.work(work)
    service.keeper.wake()
    return JSONResponse(_told(service, run), 202, {"Location": f"/v1/runs/{run.run_id}"})


class RunsAsked(Asked):
    """Which runs are listed."""

    library: list[LibraryName] = Field([], max_length=100)
    limit: Annotated[int, Query(ge=1, le=100)] = 20


@router.get("/runs", response_model=Runs, responses=NOT_THERE, summary="List runs")
async def runs(service: Here, caller: Who, asked: Annotated[RunsAsked, Query()]) -> Response:
    """List the latest runs that were asked for here, the newest first."""
    found = await service.work(lambda: service.book.runs(service.chosen(caller, asked.library), asked.limit))
    return plain({"runs": [_told(service, run) for run in found]})


@router.get("/runs/{run_id}", response_model=Run, responses=NOT_THERE, summary="Follow a run")
async def run(service: Here, caller: Who, run_id: Annotated[Identity, Path()]) -> Response:
    """See how far a run is, or how it went."""
    found = await service.work(lambda: _visible(service, caller, run_id))
    if found is None:
        raise Problem(404, f"There is no run {run_id} here.")
    return plain(_told(service, found))


def _visible(service: Service, caller: Caller, run_id: str) -> AskedRun | None:
    found = service.book.find(run_id)
    return found if found is not None and found.library in service.visible(caller) else None


_SIGNED = [
    {"name": name, "in": "header", "required": True, "description": meaning, "schema": {"type": "string"}}
    for name, meaning in (
        ("webhook-id", "The sender's id of the event; a repetition has the same."),
        ("webhook-timestamp", "When it was sent, in seconds since 1970."),
        ("webhook-signature", "v1, and the Base64 of HMAC-SHA256 over id.timestamp.body."),
    )
]


@router.post(
    "/events",
    status_code=202,
    response_model=EventTaken,
    responses={**NOT_THERE, 200: {"model": EventTaken, "description": "The event was here before."}},
    summary="Tell of a change",
    openapi_extra={
        "parameters": _SIGNED,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": Event.model_json_schema()}},
        },
    },
)
async def event(service: Here, request: Request) -> Response:
    """Tell that a document of a library was updated or deleted elsewhere; signed as Standard Webhooks has it.

    The library is brought up to date once its events have calmed down: many events make one run.
    """
    body = await request.body()
    settings = service.settings

    def work() -> tuple[AskedRun, bool, str]:
        signer, event_id = signer_of(
            request.headers, body, service.signers(), now=time.time(), tolerance=settings.event_age_seconds
        )
        try:
            said = Event.model_validate_json(body)
        except ValidationError as error:
            found = [
                {"field": ".".join(map(str, one["loc"])), "message": one["msg"]}
                for one in error.errors(include_url=False, include_input=False)
            ]
            raise Problem(422, "The event says something that is not allowed.", errors=found) from None
        if said.library not in service.visible(Caller(signer.name, signer.libraries, runs=True)):
            raise unknown_library(said.library)
        run, new = service.book.ask_by_event(
            said.library,
            signer.name,
            event_id,
            quiet=settings.event_quiet_seconds,
            longest=settings.event_wait_seconds,
        )
        return run, new, event_id

    try:
        run, new, event_id = await service.work(work)
    except Problem:
        service.metrics.events.labels("refused").inc()
        raise
    service.metrics.events.labels("accepted" if new else "duplicate").inc()
    said = EventTaken(event_id=event_id, status="accepted" if new else "duplicate", run_id=run.run_id)
    return JSONResponse(said.model_dump(), 202 if new else 200)


def _told(service: Service, run: AskedRun) -> dict[str, Any]:
    outcome = run.outcome or {}
    return {
        "run_id": run.run_id,
        "library": run.library,
        "status": run.status,
        "asked_by": run.asked_by,
        "requests": run.requests,
        "asked_at": _time(run.asked_at),
        "started_at": _time(run.started_at),
        "ended_at": _time(run.ended_at),
        "message": run.message,
        "progress": _progress(service.keeper.progress(run.run_id)) if run.status == "running" else None,
        "dagster_run_id": outcome.get("run_id"),
        "stages": outcome.get("stages"),
    }


def _progress(said: dict[str, Any] | None) -> dict[str, Any] | None:
    try:
        return Progress.model_validate(said).model_dump() if said is not None else None
    except ValidationError:
        return None


def _time(at: float | None) -> str | None:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S") if at is not None else None
