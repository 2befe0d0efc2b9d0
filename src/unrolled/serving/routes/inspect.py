"""`POST /v1/models/{name}/inspect`: what happens inside for one input, as arrays or as a report."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, create_model
from starlette.responses import Response

from unrolled.serving.inspection_schema import PARTS, InspectionResult, Part
from unrolled.serving.models import Message, ServedModel, size_of
from unrolled.serving.resources import Hold
from unrolled.serving.routes.bodies import USUAL, described, json_body, problems
from unrolled.serving.routes.predict import type_name
from unrolled.serving.state import ServerState

#: steps that are inspected, and units that are sent, by default
STEPS, UNITS = 64, 64
MAX_UNITS = 1024
#: a report is a document about a stranger's text: it may run its own script, and load nothing
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def inspect_routes(served: ServedModel, state: ServerState, body_types: list[type[BaseModel]]) -> APIRouter:
    """Return the route of one model, and add the type of its body."""
    limits, inspector = served.limits, state.inspector
    router = APIRouter(prefix=f"/v1/models/{served.name}", tags=[served.name])
    fields: dict[str, Any] = {
        "input": (served.input_type, Field(description="as for predict")),
        "at": (
            Annotated[int, Field(ge=-(2**31), lt=2**31)],
            Field(-1, description="the output step that `mattered` is about; −1 is the last"),
        ),
        "limit": (
            Annotated[int, Field(ge=1, le=limits.inspect_steps)],
            Field(min(STEPS, limits.inspect_steps), description="steps that are inspected: the last ones of more"),
        ),
        "units": (
            Annotated[int, Field(ge=1, le=MAX_UNITS)],
            Field(UNITS, description="units of each layer that are sent: the first ones; means and norms are of all"),
        ),
        "parts": (
            Annotated[list[Part], Field(min_length=1, max_length=len(PARTS))],
            Field(list(PARTS), description="parts of the result; a report has all of them"),
        ),
    }
    asked: Any = create_model(f"{type_name(served)}Inspect", __base__=Message, **fields)
    body_types.append(asked)
    html = {"text/html": {"schema": {"type": "string", "description": "the whole report in one file"}}}

    @router.post(
        "/inspect", summary=f"What happens inside {served.name}", operation_id=f"inspect_{served.name}",
        response_model=None, responses={200: {"model": InspectionResult, "content": html}, **problems(*USUAL, 501)},
        openapi_extra=described(asked, {"input": served.example["inputs"][0], "limit": 32}),
    )  # fmt: skip
    async def inspect(request: Request) -> Response:
        deadline = served.deadline()
        body = await json_body(request, asked)
        given = await served.decode(served.reader(body.input), deadline)
        with Hold(state.budget, size_of(given)):
            if "text/html" in request.headers.get("accept", ""):
                report = await inspector.report(served, given, at=body.at, limit=body.limit, deadline=deadline)
                headers = {"Content-Security-Policy": REPORT_POLICY, "Cache-Control": "no-store"}
                return Response(report, media_type="text/html; charset=utf-8", headers=headers)
            result = await inspector.inspect(
                served, given, at=body.at, limit=body.limit, units=body.units, parts=body.parts, deadline=deadline
            )
            return Response(result, media_type="application/json")

    return router
