"""The application: routes, the gate around them, and an OpenAPI document that says what they do.

What belongs here: putting together. What does not: routes (`routes_search`, `routes_runs`, `routes_site`), and what every
request passes first (`gate`).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp

from dataflow_assets import __version__
from dataflow_assets.errors import DataflowError
from dataflow_assets.serving import routes_runs, routes_search, routes_site
from dataflow_assets.serving.gate import FREE, Gate
from dataflow_assets.serving.mcp_server import PATH, Agents
from dataflow_assets.serving.problems import MEDIA_TYPE, Problem
from dataflow_assets.serving.service import Service, problem_of
from dataflow_assets.serving.shapes import SOMETHING, ProblemDetails

DESCRIPTION = """\
Libraries of documents, kept searchable. Errors are problem details (RFC 9457). A library that a key may not see does not exist
for it. Positions count code points of a document's text, from 0, ends exclusive.
"""
log = logging.getLogger(__name__)

MAX_FINDINGS = 20
ROUTES = (routes_search, routes_runs, routes_site)
_ALWAYS = {
    "400": "The request is no HTTP or no JSON.",
    "401": "The key, or the signature, is missing or not known.",
    "403": "The key may not do this, or the request comes from another site.",
    "408": "The request did not come in time.",
    "413": "The body is too large.",
    "415": "The body is not declared as JSON.",
    "422": "The request says something that is not allowed.",
    "431": "The request's line and headers are too large.",
    "429": "The key asks too often.",
    "500": "The service made a mistake.",
    "503": "The service is busy, or what is asked for cannot be had now.",
}


def build_app(service: Service) -> ASGIApp:
    """Put the application together; it closes the service when it is stopped."""
    agents = Agents(service.search)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.work(service.searchers.warm_up)
        service.keeper.start()
        async with agents.running():
            yield
        service.close()

    app = FastAPI(
        title="dataflow",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service = service
    for routes in ROUTES:
        app.include_router(routes.router)
    # No part of the description: what agents say to each other is described by their protocol.
    app.router.routes.append(Route(PATH, endpoint=agents, methods=["POST"]))
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DataflowError, _ours)
    app.add_exception_handler(Exception, _mistake)
    told: list[dict[str, Any]] = []

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        if not told:
            told.append(_openapi(app, keyless=service.settings.keyless))
        return told[0]

    return Gate(app, service)


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - it is registered for these
    return error.response()


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, DataflowError)  # noqa: S101 - it is registered for these
    log.error("%s %s: %s", request.method, request.url.path[:200], error)
    return problem_of(error).response()


async def _mistake(_: Request, error: Exception) -> Response:
    """Answer for an exception that nobody expected; the gate writes it into the log."""
    return Problem(500, "The service made a mistake; its log says which.").response()


async def _invalid(_: Request, error: Exception) -> Response:
    """Say what is wrong with a request; its values are left out, for one of them may be a secret."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for these
    found = [
        {"field": ".".join(str(part)[:100] for part in one["loc"][:10]), "message": _in_words(one)}
        for one in error.errors()[:MAX_FINDINGS]
    ]
    if any(one["type"] == "json_invalid" for one in error.errors()):
        return Problem(400, "The body is no JSON.", errors=found).response()
    detail = "; ".join(f"{one['field']}: {one['message']}" for one in found[:3])
    return Problem(422, f"The request says something that is not allowed. {detail}", errors=found).response()


def _in_words(error: Mapping[str, Any]) -> str:
    """Say what is wrong with a value; of a question, that it says nothing, since a pattern tells nobody."""
    blank = error.get("ctx", {}).get("pattern") == SOMETHING
    if blank or (error["type"] == "string_too_short" and error["loc"][-1] == "query"):
        return "Say what to look for."
    return str(error["msg"])[:300]


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    said = {
        400: "The body cannot be read.",
        404: "There is nothing at this address. GET /openapi.json lists what there is.",
        405: "This address does not take that method; the header Allow names those that it does.",
    }
    headers = dict(error.headers or {})
    if error.status_code == 405:  # an address may have several routes, and the router names the methods of the first
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return Problem(error.status_code, said.get(error.status_code, str(error.detail)), headers=headers).response()


def _methods(request: Request) -> set[str]:
    """Name the methods that an address takes."""
    every = [*request.app.routes, *(route for routes in ROUTES for route in routes.router.routes)]
    routes = [route for route in every if route.matches(request.scope)[0] != Match.NONE]
    return {method for route in routes for method in getattr(route, "methods", None) or ()}


def _openapi(app: FastAPI, *, keyless: bool) -> dict[str, Any]:
    """Describe the routes, with the errors that each may answer and the key that each asks for."""
    said = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    parts = said.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["ProblemDetails"] = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
    parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, methods in said["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
            for status, meaning in _ALWAYS.items():
                if status in ("413", "415") and method != "post":
                    continue
                content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
                answers[status] = {"description": meaning, "content": content}
            for status in ("404", "409"):
                if status in answers:
                    answers[status]["content"] = {
                        MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
                    }
            if path not in FREE:
                operation["security"] = [{}, {"key": []}] if keyless else [{"key": []}]
    return said
