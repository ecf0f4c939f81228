"""The page, and what tells of the service itself: health, readiness, metrics."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from dataflow_assets.errors import DataflowError
from dataflow_assets.serving.metrics import MEDIA_TYPE
from dataflow_assets.serving.problems import Problem
from dataflow_assets.serving.routes_search import Here, Who, plain
from dataflow_assets.serving.shapes import Health

router = APIRouter()

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing from elsewhere, nothing inline, and no way to turn text into markup."""


@cache
def _file(name: str) -> bytes:
    return files("dataflow_assets.serving").joinpath("page", name).read_bytes()


def _page(name: str, media_type: str) -> Response:
    headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
    return Response(_file(name), headers=headers, media_type=media_type)


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """Give the page."""
    return _page("index.html", "text/html")


@router.get("/page.css", include_in_schema=False)
async def style() -> Response:
    """Give the page's looks."""
    return _page("page.css", "text/css")


@router.get("/page.js", include_in_schema=False)
async def script() -> Response:
    """Give what the page does."""
    return _page("page.js", "text/javascript")


@router.get("/reader.js", include_in_schema=False)
async def reader() -> Response:
    """Give how the page shows a document."""
    return _page("reader.js", "text/javascript")


@router.get("/service.js", include_in_schema=False)
async def asking() -> Response:
    """Give how the page asks the service."""
    return _page("service.js", "text/javascript")


@router.get("/text.js", include_in_schema=False)
async def texts() -> Response:
    """Give how the page makes what is seen from text."""
    return _page("text.js", "text/javascript")


@router.get("/health", response_model=Health, summary="See whether the process answers")
async def health() -> Response:
    """See whether the process answers at all; looks at nothing."""
    return plain({"status": "ok"})


@router.get("/ready", response_model=Health, summary="See whether questions can be answered")
async def ready(service: Here) -> Response:
    """See whether the index can be read; a service that was told to stop takes no new connection."""
    try:
        await service.work(lambda: service.search.publications())
    except DataflowError:
        raise Problem(503, "Questions cannot be answered now.", headers={"Retry-After": "5"}) from None
    return plain({"status": "ok"})


TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Counters and gauges.", "content": {MEDIA_TYPE.split(";")[0]: {"schema": {"type": "string"}}}}
}


@router.get("/metrics", response_class=Response, responses=TEXT, summary="See the metrics, for Prometheus")
async def metrics(service: Here, caller: Who) -> Response:
    """See what the service counts. They are about every library, so a key for some of them may not."""
    if caller.libraries is not None:
        raise Problem(403, "The metrics are about every library: this takes a key that is not limited to some.")

    def work() -> bytes:
        service.metrics.points.clear()
        for info in service.infos(caller):
            service.metrics.points.labels(info.name).set(info.points)
        counts = service.book.counts()
        for status in ("waiting", "running", "ok", "failed"):
            service.metrics.runs.labels(status).set(counts.get(status, 0))
        return service.metrics.text()

    return Response(await service.work(work), media_type=MEDIA_TYPE)
