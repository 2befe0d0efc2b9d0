"""Reading a request's body, and describing it in the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from unrolled.serving.problems import MEDIA_TYPE, Problem, invalid

M = TypeVar("M", bound=BaseModel)


def content_type(request: Request) -> str:
    """Of the body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def json_body(request: Request, model: type[M]) -> M:
    """The body as a model.

    Raises:
        Problem: 415, it is not said to be JSON; 400, it is none; 422, it does not fit.
    """
    if content_type(request) != "application/json":
        raise Problem(415, "Content-Type: expected application/json")
    return json_message(await request.body(), model)


def json_message(data: bytes | str, model: type[M]) -> M:
    """JSON as a model.

    Raises:
        Problem: 400, it is none; 422, it does not fit.
    """
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise invalid(error) from None


def answer(
    content: Any, status: int = 200, headers: Mapping[str, str] | None = None, kind: str = "application/json"
) -> Response:
    """JSON as a response. In ASCII: half a surrogate pair, which a model may write, is no UTF-8."""
    body = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Response(body, status, headers, kind)


class ProblemBody(BaseModel):
    """What a client is told when something can't be done (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: list[dict[str, str]] | None = None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may end in these."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    return {status: {"description": _WHEN[status], "content": content} for status in statuses}


def described(model: type[BaseModel], example: Any = None, media: tuple[str, ...] = ()) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads a body by itself; its schema is in what `Work.reads` lists."""
    json: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    if example is not None:
        json["example"] = example
    content: dict[str, Any] = {"application/json": json}
    content |= {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media}
    return {"requestBody": {"required": True, "content": content}}


_WHEN = {
    400: "no JSON",
    401: "no token, or a wrong one",
    403: "another origin, or a name that this server does not go by",
    404: "no such thing",
    408: "the body did not come in time",
    409: "this model has no streams, or several processes answer",
    410: "the stream has ended",
    413: "larger than what is read",
    415: "a content type that is not read",
    422: "it does not fit, or can't be used",
    429: "too much is waiting; Retry-After says when to come back",
    501: "a library that this needs is not installed",
    503: "stopping, or no room for a stream",
    504: "not done within the deadline",
}
USUAL = (400, 401, 403, 408, 413, 415, 422, 429, 503, 504)
