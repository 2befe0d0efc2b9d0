"""`GET /v1/training`: runs that are watched, and what they report as they go."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from unrolled.serving.problems import Busy, Problem
from unrolled.serving.routes.bodies import problems
from unrolled.serving.routes.write import event
from unrolled.serving.state import Work
from unrolled.serving.training.run import RunAbout, Watch, about_run

log = logging.getLogger(__name__)

#: seconds between two looks at a run's files, and without news after which a comment keeps the connection alive
EVERY, ALIVE = 0.5, 15.0
EVENTS = """As server-sent events, from the beginning of the run (thinned to 2,000 lines) and then as it goes:

- `run`: what is known of it, as in the list of runs, whenever it changes
- `metrics`: `{"lines": […], "anew": false}`, lines of metrics.jsonl; where `anew`, those before are void
- `samples`: `{"samples": [{"step", "epoch", "loss", "text"}, …], "anew": false}`
- `done`: `{"result": {…}, "interrupted": false}`; the stream stays open, for a run that is resumed
- `error`: a problem; the stream goes on"""


class Runs(BaseModel):
    """All that are watched."""

    runs: list[RunAbout]


def training_routes(work: Work) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/training", tags=["training"])

    @router.get("", summary="The runs that are watched", operation_id="runs", responses=problems(401, 403))
    async def runs() -> Runs:
        found = [await asyncio.to_thread(about_run, name, folder) for name, folder in work.runs.items()]
        return Runs.model_validate({"runs": found})

    @router.get(
        "/{run}/events", summary="What a run reports, as it goes", description=EVENTS, operation_id="run_events",
        response_model=None, response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
                   **problems(401, 403, 404, 422, 429, 503)},
    )  # fmt: skip
    async def events(run: str) -> StreamingResponse:
        if run not in work.runs:
            raise Problem(404, f"no run of the name {run[:80]!r}; there are {', '.join(work.runs) or 'none'}")
        if work.closing.is_set():
            raise Problem(503, "the server is stopping", {"Retry-After": "1"})
        if work.watchers >= work.limits.watchers:
            raise Busy("the watching of runs", 10.0)
        return _Counted(work, Watch(run, work.runs[run]))

    return router


class _Counted(StreamingResponse):
    """A watcher, which counts as long as it is there."""

    def __init__(self, work: Work, watch: Watch) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(told(watch, work.closing), media_type="text/event-stream", headers=headers)
        self._work = work
        work.watchers += 1

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._work.watchers -= 1


async def told(watch: Watch, closing: asyncio.Event, every: float = EVERY, alive: float = ALIVE) -> AsyncIterator[str]:
    """Server-sent events of a run, until the server stops.

    Args:
        watch: the run.
        closing: set when the server begins to stop; what has been written by then is still told.
        every: seconds between two looks.
        alive: seconds without news after which a comment is sent.
    """
    last, failed = time.monotonic(), ""
    while True:
        stops = closing.is_set()
        try:
            found = await asyncio.to_thread(watch.poll)
            failed = ""
        except OSError as error:
            found = []
            if str(error) != failed:
                failed = str(error)
                log.warning("run %s can't be read: %s", watch.name, error)
                detail = f"the files of the run {watch.name!r} can't be read now: {error.strerror}"
                found = [("error", Problem(503, detail).as_json())]
        for name, data in found:
            yield event(name, data)
        if stops:
            return
        if found:
            last = time.monotonic()
        elif time.monotonic() - last >= alive:
            last = time.monotonic()
            yield ": alive\n\n"
        try:
            await asyncio.wait_for(closing.wait(), every)
        except asyncio.TimeoutError:
            continue
