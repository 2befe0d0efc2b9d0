"""`POST /v1/models/{name}/inspect`: what happens inside for one input, as arrays or as a report."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field, create_model
from starlette.responses import Response

from unrolled.serving.decoding import reading
from unrolled.serving.inspection import Inspector
from unrolled.serving.inspection_schema import PARTS, Inspected, Part
from unrolled.serving.models import Served
from unrolled.serving.routes.bodies import USUAL, described, json_body, problems
from unrolled.serving.state import Work
from unrolled.tasks.core.api import Message

#: steps that are looked at, and units that are sent, if nobody says otherwise
STEPS, UNITS = 64, 64
MOST_UNITS = 1024
#: a report is a document of a stranger's text: it may run its own script, and ask nobody for anything
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def inspect_routes(served: Served, work: Work, inspector: Inspector) -> APIRouter:
    """The route of one model."""
    wire, limits = served.wire, served.limits
    router = APIRouter(prefix=f"/v1/models/{served.name}", tags=[served.name])
    fields: dict[str, Any] = {
        "input": (wire.Input, Field(description="as for predict")),
        "at": (
            Annotated[int, Field(ge=-(2**31), lt=2**31)],
            Field(-1, description="the step of the output that `mattered` is about; −1 is the last"),
        ),
        "limit": (
            Annotated[int, Field(ge=1, le=limits.inspect_steps)],
            Field(min(STEPS, limits.inspect_steps), description="steps that are looked at: the last ones of more"),
        ),
        "units": (
            Annotated[int, Field(ge=1, le=MOST_UNITS)],
            Field(UNITS, description="units of each layer that are sent: the first ones; means and norms are of all"),
        ),
        "parts": (
            Annotated[list[Part], Field(min_length=1, max_length=len(PARTS))],
            Field(list(PARTS), description="what is wanted; a report has all of it"),
        ),
    }
    title = "".join(part.capitalize() for part in re.split("[-_.]", served.name))
    asked: Any = create_model(f"{title}Inspect", __base__=Message, **fields)
    work.reads.append(asked)
    html = {"text/html": {"schema": {"type": "string", "description": "the whole report in one file"}}}

    @router.post(
        "/inspect", summary=f"What happens inside {served.name}", operation_id=f"inspect_{served.name}",
        response_model=None, responses={200: {"model": Inspected, "content": html}, **problems(*USUAL, 501)},
        openapi_extra=described(asked, {"input": wire.example_of(served.model)["inputs"][0], "limit": 32}),
    )  # fmt: skip
    async def inspect(request: Request) -> Response:
        deadline = served.deadline()
        body = await json_body(request, asked)
        given = await reading(lambda: wire.read(served.model, body.input, limits.bounds), deadline)
        if "text/html" in request.headers.get("accept", ""):
            report = await inspector.report(served, given, at=body.at, limit=body.limit, deadline=deadline)
            headers = {"Content-Security-Policy": REPORT_POLICY, "Cache-Control": "no-store"}
            return Response(report, media_type="text/html; charset=utf-8", headers=headers)
        found = await inspector.inspect(
            served, given, at=body.at, limit=body.limit, units=body.units, parts=body.parts, deadline=deadline
        )
        return Response(found, media_type="application/json")

    return router
