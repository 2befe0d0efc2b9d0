"""`POST /v1/models/{name}/write`: a text that continues a prompt, at once or as it is written."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.responses import Response

from unrolled.errors import UnrolledError
from unrolled.serving.models import Message, ServedModel
from unrolled.serving.problems import Problem, problem_of
from unrolled.serving.routes.bodies import USUAL, described, json_body, json_response, problems


class WrittenMessage(Message):
    """A text that a model wrote."""

    prompt: str
    text: str = Field(description="what it wrote after the prompt")
    seed: int


def write_routes(served: ServedModel, body_types: list[type[BaseModel]]) -> APIRouter:
    """Return the route of one model, and add the type of its body."""
    prompt: Any = served.prompt_type
    body_types.append(prompt)
    router = APIRouter(prefix=f"/v1/models/{served.name}", tags=[served.name])

    @router.post(
        "/write", summary="Continue a prompt", operation_id=f"write_{served.name}", response_model=None,
        responses={
            200: {"model": WrittenMessage, "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **problems(*USUAL),
        },
        openapi_extra=described(prompt, {"prompt": "Dear ", "max_tokens": 60, "temperature": 0.7, "seed": 1}),
    )  # fmt: skip
    async def write(request: Request) -> Response:
        asked = await json_body(request, prompt)
        pieces = served.write(asked, served.deadline())
        if "text/event-stream" not in request.headers.get("accept", ""):
            text = "".join([piece async for piece in pieces])
            return json_response({"prompt": asked.prompt, "text": text, "seed": asked.seed})
        # an error before the first piece has a status of its own, later ones are events
        first = await anext(pieces, "")
        return StreamingResponse(
            _events(asked, first, pieces), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    return router


async def _events(asked: Any, first: str, pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    text = [first]
    try:
        if first:
            yield sent_event("piece", {"text": first})
        async for piece in pieces:
            text.append(piece)
            yield sent_event("piece", {"text": piece})
        yield sent_event("done", {"prompt": asked.prompt, "text": "".join(text), "seed": asked.seed})
    except (Problem, UnrolledError) as error:
        yield sent_event("error", problem_of(error).as_json())


def sent_event(name: str, data: Any) -> str:
    """Return one server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
