"""Bodies of requests and responses: JSON, and its description in the OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from unrolled.serving.problems import MEDIA_TYPE, Problem, invalid

M = TypeVar("M", bound=BaseModel)
#: how JSON spells half a surrogate pair, or a whole one
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def content_type(request: Request) -> str:
    """Return the content type of a body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def json_body(request: Request, model: type[M]) -> M:
    """Return the body of a request as a model.

    Raises:
        Problem: 415, its content type is not JSON; 400 or 422, as `json_message`.
    """
    if content_type(request) != "application/json":
        raise Problem(415, "Content-Type: expected application/json")
    return json_message(await request.body(), model)


def json_message(data: bytes | str, model: type[M]) -> M:
    """Return JSON as a model, with U+FFFD for each half of a surrogate pair.

    Raises:
        Problem: 400, it is not JSON; 422, it does not fit.
    """
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        whole = _whole_characters(data)
        if whole is None:
            raise invalid(error) from None
    try:
        return model.model_validate_json(whole)
    except ValidationError as error:
        raise invalid(error) from None


def _whole_characters(data: bytes | str) -> str | None:
    """Return JSON in which no text has half a surrogate pair, as editors cut them; None if that is not its fault."""
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        if not _SURROGATE.search(text):
            return None
        again = json.dumps(json.loads(text), ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return again.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def json_response(
    content: Any, status: int = 200, headers: Mapping[str, str] | None = None, kind: str = "application/json"
) -> Response:
    """Return JSON as a response; in ASCII, since half a surrogate pair, which a model may write, is not UTF-8."""
    body = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Response(body, status, headers, kind)


class ProblemBody(BaseModel):
    """Why a request could not be answered (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: list[dict[str, str]] | None = None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that may end in these problems."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    return {status: {"description": _WHEN[status], "content": content} for status in statuses}


def described(model: type[BaseModel], example: Any = None, media: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that parses its body itself; `Application` adds the schema."""
    as_json: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    if example is not None:
        as_json["example"] = example
    content: dict[str, Any] = {"application/json": as_json}
    content |= {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media}
    return {"requestBody": {"required": True, "content": content}}


_WHEN = {
    400: "not JSON",
    401: "no token, or a wrong one",
    403: "another origin, or a name that is not this server's",
    404: "no such model, stream or address",
    408: "the body did not arrive in time",
    409: "the model has no streams, or several processes serve",
    410: "the stream has ended",
    413: "larger than what is read",
    415: "a content type that is not read",
    422: "it does not fit, or can't be used",
    501: "a library that this needs is not installed",
    503: "at capacity, loading or stopping; Retry-After says when to try again",
    504: "not done within the deadline",
}
#: problems of every route that computes
USUAL = (400, 401, 403, 408, 413, 415, 422, 503, 504)
