"""Streams over plain requests: kept by the server under an id, or carried by the client in a token."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field, create_model

from unrolled.errors import UnrolledError
from unrolled.serving.models import Served
from unrolled.serving.problems import Problem, problem_of
from unrolled.serving.routes.bodies import USUAL, answer, described, json_body, problems
from unrolled.serving.state import Work
from unrolled.serving.streams import Stream, opened
from unrolled.tasks.core.api import Message

ONE_PROCESS = "streams by id need a single process; use /step, which carries the state, or a WebSocket"


class Begin(Message):
    """How a stream begins."""

    state: str | None = Field(None, description="a token; without one the stream begins empty")


class Begun(Message):
    """A stream that the server keeps."""

    stream: str = Field(description="its id")
    expires_in: float = Field(description="seconds without a push after which it ends")


class Saved(Message):
    """The state of a stream."""

    state: str = Field(description="a signed token")


def stream_routes(served: Served, work: Work) -> APIRouter:
    """The routes of one model."""
    base = f"/v1/models/{served.name}"
    router = APIRouter(prefix=base, tags=[served.name])
    wire = served.wire
    if served.no_streams:

        @router.post(
            "/streams", operation_id=f"streams_{served.name}", response_model=None, responses=problems(401, 403, 409)
        )
        async def refused(request: Request) -> None:
            opened(served)

        return router
    pushed: Any = wire.Pushed
    given: Any = wire.Push
    pushable = wire.push_example_of(served.model)
    task = served.model.task.name.capitalize()
    stepped: Any = create_model(
        f"{task}Step",
        __base__=Message,
        push=(given, ...),
        state=(str | None, Field(None, description="the token of the last answer; none at the beginning")),
    )
    answered: Any = create_model(f"{task}Stepped", __base__=Message, result=(pushed, ...), state=(str, ...))

    work.reads += [Begin, given, stepped]

    def alone() -> None:
        if work.workers > 1:
            raise Problem(409, ONE_PROCESS)

    @router.post(
        "/streams", status_code=201, summary="Begin a stream", operation_id=f"streams_{served.name}",
        responses=problems(*USUAL, 409), openapi_extra=described(Begin, {}),
    )  # fmt: skip
    async def begin(request: Request, response: Response) -> Begun:
        alone()
        body = await json_body(request, Begin) if await request.body() else Begin(state=None)
        stream = opened(served)
        if body.state is not None:
            await stream.restore(body.state, work.signer)
        name = work.streams.add(stream)
        response.headers["Location"] = f"{base}/streams/{name}"
        return Begun(stream=name, expires_in=work.limits.stream_idle)

    @router.post(
        "/streams/{stream}", summary="Push to a stream", operation_id=f"push_{served.name}", response_model=None,
        responses={200: {"model": pushed}, **problems(*USUAL, 404, 409, 410)},
        openapi_extra=described(given, pushable),
    )  # fmt: skip
    async def push(stream: str, request: Request) -> Any:
        alone()
        body = await json_body(request, given)
        return answer(await pushing(work.streams.get(served, stream), body, work))

    @router.get(
        "/streams/{stream}/state", summary="Save a stream", operation_id=f"state_{served.name}",
        responses=problems(401, 403, 404, 409, 410, 422),
    )  # fmt: skip
    async def state(stream: str) -> Saved:
        alone()
        return Saved(state=await work.streams.get(served, stream).state(work.signer))

    @router.post(
        "/streams/{stream}/fork", status_code=201, summary="A second stream from here",
        operation_id=f"fork_{served.name}", responses=problems(401, 403, 404, 409, 410, 422, 503),
    )  # fmt: skip
    async def fork(stream: str) -> Begun:
        alone()
        name = work.streams.add(await work.streams.get(served, stream).fork())
        return Begun(stream=name, expires_in=work.limits.stream_idle)

    @router.delete(
        "/streams/{stream}", status_code=204, summary="End a stream", operation_id=f"end_{served.name}",
        responses=problems(401, 403, 404, 409, 410, 422),
    )  # fmt: skip
    async def end(stream: str) -> None:
        alone()
        work.streams.get(served, stream)
        work.streams.end(stream)

    @router.post(
        "/step", summary="A push whose state the client carries", operation_id=f"step_{served.name}",
        response_model=None, responses={200: {"model": answered}, **problems(*USUAL, 409)},
        openapi_extra=described(stepped, {"push": pushable}),
    )  # fmt: skip
    async def step(request: Request) -> Any:
        body: Any = await json_body(request, stepped)
        stream = opened(served)
        if body.state is not None:
            await stream.restore(body.state, work.signer)
        result = await pushing(stream, body.push, work)
        return answer({"result": result, "state": await stream.state(work.signer)})

    return router


async def pushing(stream: Stream, given: Any, work: Work) -> Any:
    """Push, and count it.

    Raises:
        Problem, UnrolledError: as `Stream.push`.
    """
    begun, outcome = time.perf_counter(), "ok"
    try:
        return await stream.push(given)
    except (Problem, UnrolledError) as error:
        outcome = str(problem_of(error).status)
        raise
    except BaseException as error:
        outcome = "500" if isinstance(error, Exception) else "left"
        raise
    finally:
        work.metrics.push(stream.served.name, outcome, time.perf_counter() - begun)
