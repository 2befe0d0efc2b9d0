"""Streams over plain requests: kept by the server under an id, or carried by the client in a token."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, create_model

from unrolled.errors import UnrolledError
from unrolled.serving.models import Message, ServedModel
from unrolled.serving.problems import Problem, problem_of
from unrolled.serving.routes.bodies import USUAL, described, json_body, json_response, problems
from unrolled.serving.state import ServerState
from unrolled.serving.streams import Stream, open_stream

ONE_PROCESS = "streams by id need a single process; use /step, which carries the state, or a WebSocket"


class Begin(Message):
    """The beginning of a stream."""

    state: str | None = Field(None, description="a token; without one the stream has read nothing")


class Begun(Message):
    """A stream that the server keeps."""

    stream: str = Field(description="its id")
    expires_in: float = Field(description="seconds without a push after which it ends")


class SavedStream(Message):
    """The state of a stream."""

    state: str = Field(description="a signed token")


def stream_routes(served: ServedModel, state: ServerState, body_types: list[type[BaseModel]]) -> APIRouter:
    """Return the routes of one model, and add the types of their bodies."""
    router = APIRouter(prefix=f"/v1/models/{served.name}", tags=[served.name])
    if served.no_streams:

        @router.post(
            "/streams", operation_id=f"streams_{served.name}", response_model=None, responses=problems(401, 403, 409)
        )
        async def refuse(request: Request) -> None:
            open_stream(served)

        return router
    _add_kept(router, served, state, body_types)
    _add_step(router, served, state, body_types)
    return router


def _add_kept(router: APIRouter, served: ServedModel, state: ServerState, body_types: list[type[BaseModel]]) -> None:
    """Add the routes of streams that the server keeps."""
    push_type: Any = served.push_type
    body_types += [Begin, push_type]

    def check_alone() -> None:
        if state.options.workers > 1:
            raise Problem(409, ONE_PROCESS)

    def begun(stream: Stream) -> Begun:
        return Begun(stream=state.streams.add(stream), expires_in=state.limits.stream_idle)

    @router.post(
        "/streams", status_code=201, summary="Begin a stream", operation_id=f"streams_{served.name}",
        responses=problems(*USUAL, 409), openapi_extra=described(Begin, {}),
    )  # fmt: skip
    async def begin(request: Request, response: Response) -> Begun:
        check_alone()
        body = await json_body(request, Begin) if await request.body() else Begin(state=None)
        stream = open_stream(served)
        if body.state is not None:
            await stream.restore(body.state, state.signer)
        answer = begun(stream)
        response.headers["Location"] = f"{router.prefix}/streams/{answer.stream}"
        return answer

    @router.post(
        "/streams/{stream}", summary="Push to a stream", operation_id=f"push_{served.name}", response_model=None,
        responses={200: {"model": served.pushed_type}, **problems(*USUAL, 404, 409, 410)},
        openapi_extra=described(push_type, served.push_example),
    )  # fmt: skip
    async def push(stream: str, request: Request) -> Any:
        check_alone()
        body = await json_body(request, push_type)
        return json_response(await counted_push(state.streams.get(served, stream), body, state))

    @router.get(
        "/streams/{stream}/state", summary="Save a stream", operation_id=f"state_{served.name}",
        responses=problems(401, 403, 404, 409, 410, 422),
    )  # fmt: skip
    async def save(stream: str) -> SavedStream:
        check_alone()
        return SavedStream(state=await state.streams.get(served, stream).state(state.signer))

    @router.post(
        "/streams/{stream}/fork", status_code=201, summary="A second stream from here",
        operation_id=f"fork_{served.name}", responses=problems(401, 403, 404, 409, 410, 422, 503),
    )  # fmt: skip
    async def fork(stream: str) -> Begun:
        check_alone()
        return begun(await state.streams.get(served, stream).fork())

    @router.delete(
        "/streams/{stream}", status_code=204, summary="End a stream", operation_id=f"end_{served.name}",
        responses=problems(401, 403, 404, 409, 410, 422),
    )  # fmt: skip
    async def end(stream: str) -> None:
        check_alone()
        state.streams.get(served, stream)
        state.streams.end(stream)


def _add_step(router: APIRouter, served: ServedModel, state: ServerState, body_types: list[type[BaseModel]]) -> None:
    """Add the route of a push whose state the client carries."""
    task = served.model.task.name.capitalize()
    token = Field(None, description="the token of the last answer; none at the beginning")
    fields: dict[str, Any] = {"push": (served.push_type, ...), "state": (str | None, token)}
    asked: Any = create_model(f"{task}Step", __base__=Message, **fields)
    fields = {"result": (served.pushed_type, ...), "state": (str, ...)}
    answered: Any = create_model(f"{task}Stepped", __base__=Message, **fields)
    body_types.append(asked)

    @router.post(
        "/step", summary="A push whose state the client carries", operation_id=f"step_{served.name}",
        response_model=None, responses={200: {"model": answered}, **problems(*USUAL, 409)},
        openapi_extra=described(asked, {"push": served.push_example}),
    )  # fmt: skip
    async def step(request: Request) -> Any:
        body: Any = await json_body(request, asked)
        stream = open_stream(served)
        if body.state is not None:
            await stream.restore(body.state, state.signer)
        result = await counted_push(stream, body.push, state)
        return json_response({"result": result, "state": await stream.state(state.signer)})


async def counted_push(stream: Stream, given: Any, state: ServerState, came: float | None = None) -> Any:
    """Push, and count it.

    Args:
        stream, given: see `Stream.push`.
        state: of the process.
        came: when the push arrived, on the clock of `time.monotonic`; now, if not given.

    Raises:
        Problem, UnrolledError: as `Stream.push`.
    """
    begun, outcome = time.monotonic() if came is None else came, "ok"
    try:
        return await stream.push(given, begun)
    except (Problem, UnrolledError) as error:
        outcome = str(problem_of(error).status)
        raise
    except BaseException as error:
        outcome = "500" if isinstance(error, Exception) else "left"
        raise
    finally:
        state.metrics.push(stream.served.name, outcome, time.monotonic() - begun)
