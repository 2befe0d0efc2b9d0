"""`GET /v1/models`, health and counters."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, PlainTextResponse, Response

from unrolled.serving.metrics import CONTENT_TYPE
from unrolled.serving.problems import Problem
from unrolled.serving.routes.bodies import problems
from unrolled.serving.state import ServerState


class About(BaseModel):
    """A model."""

    name: str
    task: str
    summary: str
    about: str = Field(description="what the data is that it learned from; empty if nobody said so")
    shape: str = Field(description="which of the five shapes the network has")
    widget: str = Field(description="what the page shows the input with")
    view: str = Field(description="what the page shows a prediction with")
    max_characters: int = Field(description="the longest text that is read in one")
    parameters: int = Field(description="numbers that were learned")
    streams: bool
    no_streams: str | None = Field(description="why it has no streams")
    writes: bool = Field(description="whether it continues a prompt")
    media: list[str] = Field(description="content types of an input that is a whole body")
    columns: list[str] = Field(description="names of the features of a step, where it reads tables; else empty")
    labels: list[str] = Field(description="all labels that it may give; empty for a task without labels")
    options: dict[str, Any] = Field(description="JSON schema of the options of predict")
    example: dict[str, Any]
    push_example: dict[str, Any] | None
    network: dict[str, Any]
    fitted: dict[str, Any]
    result: dict[str, Any]


class Models(BaseModel):
    """All models."""

    models: list[About]


class AboutWithCard(About):
    """A model, and its card."""

    card: str = Field(description="Markdown")


def about_routes(state: ServerState) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get(
        "/v1/models", tags=["models"], summary="The models", operation_id="models", responses=problems(401, 403, 503)
    )
    async def models() -> Models:
        return Models.model_validate({"models": [served.describe() for served in state.models.values()]})

    @router.get(
        "/v1/models/{name}", tags=["models"], summary="One model", operation_id="model",
        responses=problems(401, 403, 404, 422, 503),
    )  # fmt: skip
    async def model(name: str) -> AboutWithCard:
        served = state.models.get(name)
        if served is None:
            raise Problem(404, f"no model of the name {name[:80]!r}; there are {', '.join(state.models) or 'none'}")
        folder = served.model.folder
        path = None if folder is None else folder / "card.md"
        card = ""
        if path is not None and path.is_file():
            card = await asyncio.to_thread(path.read_text, "utf-8")
        return AboutWithCard.model_validate({**served.describe(), "card": card})

    @router.get("/healthz", tags=["server"], summary="Whether it is alive", operation_id="healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @router.get(
        "/readyz", tags=["server"], summary="Whether it takes requests", operation_id="readyz", response_model=None,
        responses={503: {"description": "it is loading models, or stopping"}},
    )  # fmt: skip
    async def readyz() -> Response:
        if state.closing.is_set() or not state.ready:
            return JSONResponse({"status": "stopping" if state.closing.is_set() else "loading"}, 503)
        return JSONResponse({"status": "ready", "models": len(state.models), "workers": state.options.workers})

    @router.get(
        "/metrics", tags=["server"], summary="Counters, for Prometheus", operation_id="metrics",
        response_class=PlainTextResponse, responses=problems(401, 403),
    )  # fmt: skip
    async def metrics() -> Response:
        return Response(state.metrics.render(), media_type=CONTENT_TYPE)

    return router
