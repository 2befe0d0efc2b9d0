"""`POST /v1/models/{name}/write`: a text written on from a prompt, at once or as it comes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.responses import Response

from unrolled.errors import UnrolledError
from unrolled.serving.batching import Turn
from unrolled.serving.models import Served
from unrolled.serving.problems import Problem, problem_of
from unrolled.serving.routes.bodies import USUAL, answer, described, json_body, problems
from unrolled.serving.state import Work
from unrolled.tasks.core.api import Message

#: tokens written before others have a turn
PIECES = 8


class Written(Message):
    """A text that a model wrote."""

    prompt: str
    text: str = Field(description="what it wrote after the prompt")
    seed: int


def write_routes(served: Served, work: Work) -> APIRouter:
    """The route of one model."""
    prompt: Any = served.wire.Prompt
    work.reads.append(prompt)
    router = APIRouter(prefix=f"/v1/models/{served.name}", tags=[served.name])

    @router.post(
        "/write", summary="Write on from a prompt", operation_id=f"write_{served.name}", response_model=None,
        responses={
            200: {"model": Written, "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **problems(*USUAL),
        },
        openapi_extra=described(prompt, {"prompt": "Dear ", "max_tokens": 60, "temperature": 0.7, "seed": 1}),
    )  # fmt: skip
    async def write(request: Request) -> Response:
        asked = await json_body(request, prompt)
        pieces = _written(served, asked)
        if "text/event-stream" not in request.headers.get("accept", ""):
            text = "".join([piece async for piece in pieces])
            return answer({"prompt": asked.prompt, "text": text, "seed": asked.seed})
        # what can't be done at all is said with a status, and not in a stream
        first = await anext(pieces, None)
        return StreamingResponse(
            _events(asked, first, pieces), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    return router


async def _written(served: Served, asked: Any) -> AsyncIterator[str]:
    """Pieces of text as the lane writes them.

    Raises:
        Problem, UnrolledError: as the lane and the task say.
    """
    deadline = served.deadline()

    def begin(_: Sequence[Any]) -> list[Iterator[str]]:
        return [served.wire.write(served.model, asked, served.limits.bounds)]

    def some(iterators: Sequence[Any]) -> list[tuple[str, bool]]:
        [pieces] = iterators
        text: list[str] = []
        for _ in range(PIECES):
            piece: str | None = next(pieces, None)
            if piece is None:
                return [("".join(text), True)]
            text.append(piece)
        return [("".join(text), False)]

    pieces = await served.lane.run(Turn.PIECE, "write", None, begin, deadline)
    over = False
    while not over:
        text, over = await served.lane.run(Turn.PIECE, "write", pieces, some, deadline, further=True)
        if text:
            yield text


async def _events(asked: Any, first: str | None, pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    text = []
    try:
        if first is not None:
            text.append(first)
            yield event("piece", {"text": first})
            async for piece in pieces:
                text.append(piece)
                yield event("piece", {"text": piece})
        yield event("done", {"prompt": asked.prompt, "text": "".join(text), "seed": asked.seed})
    except (Problem, UnrolledError) as error:
        yield event("error", problem_of(error).as_json())


def event(name: str, data: Any) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
