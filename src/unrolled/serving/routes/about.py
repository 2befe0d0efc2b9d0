"""What there is: models, health, counters."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, PlainTextResponse, Response

from unrolled.serving.metrics import CONTENT_TYPE
from unrolled.serving.problems import Problem
from unrolled.serving.routes.bodies import problems
from unrolled.serving.state import Work


class About(BaseModel):
    """A model that is served."""

    name: str
    task: str
    summary: str
    shape: str = Field(description="which of the five shapes the network has")
    view: str = Field(description="the page's tab")
    parameters: int = Field(description="numbers that were learned")
    streams: bool
    no_streams: str | None = Field(description="why it has none")
    writes: bool = Field(description="whether it writes on from a prompt")
    media: list[str] = Field(description="content types that an input may be sent in as it is")
    columns: list[str] = Field(description="names of the features of a step, where it reads tables; else empty")
    labels: list[str] = Field(description="all that it may call a thing, where it gives names to things; else empty")
    options: dict[str, Any] = Field(description="JSON schema of what predict takes")
    example: dict[str, Any]
    push_example: dict[str, Any] | None
    network: dict[str, Any]
    fitted: dict[str, Any]
    result: dict[str, Any]


class Models(BaseModel):
    """All that are served."""

    models: list[About]


class AboutWithCard(About):
    """A model, and its card."""

    card: str = Field(description="Markdown")


def about_routes(work: Work) -> APIRouter:
    """The routes."""
    router = APIRouter()

    @router.get(
        "/v1/models", tags=["models"], summary="The models", operation_id="models", responses=problems(401, 403)
    )
    async def models() -> Models:
        return Models.model_validate({"models": [served.describe() for served in work.models.values()]})

    @router.get(
        "/v1/models/{name}", tags=["models"], summary="One model", operation_id="model",
        responses=problems(401, 403, 404, 422),
    )  # fmt: skip
    async def model(name: str) -> AboutWithCard:
        served = work.models.get(name)
        if served is None:
            raise Problem(404, f"no model of the name {name[:80]!r}; there are {', '.join(work.models) or 'none'}")
        folder = served.model.folder
        path = None if folder is None else folder / "card.md"
        card = ""
        if path is not None and path.is_file():
            card = await asyncio.to_thread(path.read_text, "utf-8")
        return AboutWithCard.model_validate({**served.describe(), "card": card})

    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz", tags=["server"], summary="Whether it is alive", operation_id="healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @router.head("/readyz", include_in_schema=False)
    @router.get(
        "/readyz", tags=["server"], summary="Whether it takes requests", operation_id="readyz", response_model=None,
        responses={503: {"description": "it is stopping"}},
    )  # fmt: skip
    async def readyz() -> Response:
        if work.closing.is_set():
            return JSONResponse({"status": "stopping"}, 503)
        return JSONResponse({"status": "ready", "models": len(work.models), "workers": work.workers})

    @router.get(
        "/metrics", tags=["server"], summary="Counters, for Prometheus", operation_id="metrics",
        response_class=PlainTextResponse, responses=problems(401, 403),
    )  # fmt: skip
    async def metrics() -> Response:
        return Response(work.metrics.render(), media_type=CONTENT_TYPE)

    return router
