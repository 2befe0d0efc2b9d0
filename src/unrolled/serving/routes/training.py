"""`GET /v1/training`: the runs that are watched, and what they report."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from unrolled.serving.problems import Busy, Problem, stopping
from unrolled.serving.routes.bodies import problems
from unrolled.serving.routes.write import sent_event
from unrolled.serving.state import ServerState
from unrolled.serving.training.run import RunAbout, RunWatch, about_run

log = logging.getLogger(__name__)

#: seconds between two polls of a run's files, and without news after which a comment keeps the connection alive
EVERY, ALIVE = 0.5, 15.0
EVENTS = """As server-sent events, from the beginning of the run (thinned to 2,000 lines) and then as it goes:

- `run`: its description, as in the list of runs, whenever it changes
- `metrics`: `{"lines": […], "anew": false}`, lines of metrics.jsonl; where `anew`, those before are void
- `samples`: `{"samples": [{"step", "epoch", "loss", "text"}, …], "anew": false}`
- `done`: `{"result": {…}, "interrupted": false}`; the stream stays open, for a run that is resumed
- `error`: a problem; the stream goes on"""


class Runs(BaseModel):
    """All runs that are watched."""

    runs: list[RunAbout]


def training_routes(state: ServerState) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1/training", tags=["training"])

    @router.get("", summary="The runs that are watched", operation_id="runs", responses=problems(401, 403))
    async def runs() -> Runs:
        abouts = [await asyncio.to_thread(about_run, name, folder) for name, folder in state.options.runs.items()]
        return Runs.model_validate({"runs": abouts})

    @router.get(
        "/{run}/events", summary="What a run reports, as it goes", description=EVENTS, operation_id="run_events",
        response_model=None, response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
                   **problems(401, 403, 404, 422, 503)},
    )  # fmt: skip
    async def events(run: str) -> StreamingResponse:
        if run not in state.options.runs:
            raise Problem(404, f"no run of the name {run[:80]!r}; there are {', '.join(state.options.runs) or 'none'}")
        if state.closing.is_set():
            raise stopping()
        if state.watchers >= state.limits.watchers:
            raise Busy("the watching of runs", 10.0)
        return _CountedResponse(state, RunWatch(run, state.options.runs[run]))

    return router


class _CountedResponse(StreamingResponse):
    """The events of a run; while they are sent, the client counts as a watcher."""

    def __init__(self, state: ServerState, watch: RunWatch) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(run_events(watch, state.closing), media_type="text/event-stream", headers=headers)
        self._state = state
        state.watchers += 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._state.watchers -= 1


async def run_events(
    watch: RunWatch, closing: asyncio.Event, every: float = EVERY, alive: float = ALIVE
) -> AsyncIterator[str]:
    """Yield the server-sent events of a run, until the server stops.

    Args:
        watch: the run.
        closing: set when the server begins to stop; what was written by then is still sent.
        every: seconds between two polls.
        alive: seconds without news after which a comment is sent.
    """
    last, failure = time.monotonic(), ""
    while True:
        stops = closing.is_set()
        try:
            events = await asyncio.to_thread(watch.poll)
            failure = ""
        except OSError as error:
            events = []
            if str(error) != failure:
                failure = str(error)
                log.warning("run %s can't be read: %s", watch.name, error)
                detail = f"the files of the run {watch.name!r} can't be read now: {error.strerror}"
                events = [("error", Problem(503, detail).as_json())]
        for name, data in events:
            yield sent_event(name, data)
        if stops:
            return
        if events:
            last = time.monotonic()
        elif time.monotonic() - last >= alive:
            last = time.monotonic()
            yield ": alive\n\n"
        try:
            await asyncio.wait_for(closing.wait(), every)
        except asyncio.TimeoutError:
            continue
