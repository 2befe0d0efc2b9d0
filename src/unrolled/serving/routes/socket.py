"""Streams over a WebSocket: one conversation, its streams kept with it, answers in the order of the messages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from typing import Annotated, Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ConfigDict, Field, StrictInt, StrictStr, create_model

from unrolled.errors import UnrolledError
from unrolled.serving.logs import happened, shown
from unrolled.serving.middleware import BEARER
from unrolled.serving.models import Served
from unrolled.serving.problems import Busy, Problem, problem_of
from unrolled.serving.routes.bodies import json_message
from unrolled.serving.routes.streams import pushing
from unrolled.serving.state import Work
from unrolled.serving.streams import Stream, opened
from unrolled.tasks.core.api import Message

log = logging.getLogger(__name__)

#: messages of one client that may wait; then it is not read from until some are done
AHEAD = 32
#: bytes of a message that waits alone
LARGE = 64_000
#: told before a stop, so that a client can come back elsewhere
RESTARTING = 1012

#: answered as it came: true is not 1; and a number is one that JavaScript can hold
_Id = Annotated[StrictInt, Field(ge=-(2**53), le=2**53)] | Annotated[StrictStr, Field(max_length=200)] | None
_Name = Annotated[str, Field(min_length=1, max_length=64)]


class Asked(Message):
    """A message of a client: an id of its choice, and one thing to be done."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    id: _Id = None
    stream: _Name | None = Field(None, description="which of its streams; none for the first")
    save: bool = False
    reset: bool = False
    restore: str | None = None
    fork: _Name | None = None
    drop: _Name | None = None


def socket_routes(served: Served, work: Work) -> APIRouter:
    """The route of one model."""
    router = APIRouter()
    asked: Any = Asked
    if served.wire.Push is not None:
        fields: dict[str, Any] = {"push": (served.wire.Push | None, None)}
        asked = create_model(f"{served.name}Asked", __base__=Asked, **fields)

    @router.websocket(f"/v1/models/{served.name}/stream")
    async def talk(socket: WebSocket) -> None:
        offered = [p for p in socket.scope.get("subprotocols", []) if p.startswith(BEARER)]
        await socket.accept(subprotocol=offered[0] if offered else None)
        try:
            if work.closing.is_set():
                raise Problem(503, "the server is stopping")
            first = opened(served)
            work.streams.hold()
        except Problem as problem:
            await _send(socket, {"id": None, "error": problem.as_json()})
            await socket.close(1013 if problem.status == 503 else 1008, problem.detail[:120])
            return
        conversation = Conversation(socket, served, work, asked, first)
        work.conversations += 1
        try:
            await conversation.run()
        finally:
            work.conversations -= 1
            work.streams.hold(-len(conversation.streams))

    return router


class Conversation:
    """One client.

    Args:
        socket: accepted.
        served: the model.
        work: what the routes share.
        asked: the type of its messages.
        first: its first stream.
    """

    def __init__(self, socket: WebSocket, served: Served, work: Work, asked: Any, first: Stream) -> None:
        self.socket, self.served, self.work, self.asked = socket, served, work, asked
        self.streams: dict[str | None, Stream] = {None: first}
        #: messages, and whether each is to be done or was one too many
        self._waiting: asyncio.Queue[tuple[str | bytes, bool]] = asyncio.Queue(AHEAD)
        self._query = dict(socket.query_params)
        self._busy = False
        self._heard = time.monotonic()

    async def run(self) -> None:
        """Until one side ends it."""
        reading = asyncio.ensure_future(self._read())
        answering = asyncio.ensure_future(self._answer())
        closing = asyncio.ensure_future(self.work.closing.wait())
        idling = asyncio.ensure_future(self._idle())
        tasks = (reading, answering, closing, idling)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if closing.done():
                reading.cancel()
                await self._farewell(answering)
        finally:
            for task in tasks:
                task.cancel()
            for done in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(done, Exception) and not isinstance(done, (WebSocketDisconnect, RuntimeError)):
                    log.error("a conversation failed", exc_info=done)
            while not self._waiting.empty():
                _, let_in = self._waiting.get_nowait()
                self.served.pushes -= let_in

    async def _read(self) -> None:
        """Take messages in. What is more than the server can do soon is refused, each in its turn."""
        served = self.served
        while True:
            message = await self.socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            self._heard = time.monotonic()
            text = message.get("text")
            data = text if text is not None else message.get("bytes") or b""
            if len(data) > LARGE:
                await self._waiting.join()
            let_in = served.pushes < served.limits.queue
            served.pushes += let_in
            try:
                await self._waiting.put((data, let_in))
            except asyncio.CancelledError:
                served.pushes -= let_in
                raise

    async def _idle(self) -> None:
        """An idle client is let go."""
        limit = self.work.limits.stream_idle
        while (left := self._heard + limit - time.monotonic()) > 0:
            await asyncio.sleep(left)
        await self.socket.close(1001, "idle")

    async def _answer(self) -> None:
        while True:
            message, let_in = await self._waiting.get()
            self._busy = True
            try:
                await _send(self.socket, await self._one(message, let_in))
            finally:
                self.served.pushes -= let_in
                self._waiting.task_done()
            self._busy = False

    async def _one(self, message: str | bytes, let_in: bool) -> dict[str, Any]:
        """The answer to a message."""
        name: Any = None
        if self.work.log_inputs:
            identity = self.socket.scope["state"]["request_id"]
            happened("input", id=identity, input=shown(message, "" if isinstance(message, bytes) else "text/plain"))
        try:
            if isinstance(message, bytes):
                self._see(let_in)
                given = self.served.wire.samples(message, self._query, self.served.limits.bounds)
                return {"id": None, "result": await pushing(self._stream(None), given, self.work)}
            request = json_message(message, self.asked)
            name = request.id
            self._see(let_in)
            return {"id": name, **await self._do(request)}
        except (Problem, UnrolledError) as error:
            return {"id": name, "error": problem_of(error).as_json()}
        except Exception:
            log.exception("a message failed")
            return {"id": name, "error": Problem(500, "a defect of ours; the server's log says more").as_json()}

    def _see(self, let_in: bool) -> None:
        if not let_in:
            raise Busy(f"the model {self.served.name!r}", 1.0)

    async def _do(self, asked: Any) -> dict[str, Any]:
        """The one thing that was asked for.

        Raises:
            Problem: it is not one thing, or can't be done.
        """
        wanted = asked.model_fields_set - {"id", "stream"}
        if len(wanted) != 1:
            raise Problem(422, "a message asks for one of push, save, restore, reset, fork and drop")
        signer = self.work.signer
        stream = self._stream(asked.stream)
        match next(iter(wanted)):
            case "push" if asked.push is not None:
                return {"result": await pushing(stream, asked.push, self.work)}
            case "save" if asked.save:
                return {"state": await stream.state(signer)}
            case "restore" if asked.restore is not None:
                await stream.restore(asked.restore, signer)
                return {"result": None}
            case "reset" if asked.reset:
                await stream.reset()
                return {"result": None}
            case "fork" if asked.fork is not None:
                self._keep(asked.fork, await stream.fork())
                return {"stream": asked.fork}
            case "drop" if asked.drop is not None:
                self._stream(asked.drop)
                del self.streams[asked.drop]
                self.work.streams.hold(-1)
                return {"result": None}
        raise Problem(422, f"{next(iter(wanted))}: nothing is asked for")

    def _stream(self, name: str | None) -> Stream:
        if name not in self.streams:
            raise Problem(404, f"stream: this connection has none of the name {name!r}")
        return self.streams[name]

    def _keep(self, name: str, stream: Stream) -> None:
        if name in self.streams:
            raise Problem(409, f"fork: there is a stream {name!r} already")
        if len(self.streams) >= self.work.limits.forks:
            raise Problem(503, f"fork: a connection keeps at most {self.work.limits.forks} streams; drop one")
        self.work.streams.hold()
        self.streams[name] = stream

    async def _farewell(self, answering: asyncio.Future[None]) -> None:
        """Answer what has come in, say where each stream is, and close."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            for _ in range(int(20 * self.work.limits.grace)):
                if self._waiting.empty() and not self._busy:
                    break
                await asyncio.sleep(0.05)
            answering.cancel()
            for name, stream in self.streams.items():
                told = {"closing": "the server is stopping", "state": await stream.state(self.work.signer)}
                await _send(self.socket, told if name is None else {**told, "stream": name})
            await self.socket.close(RESTARTING, "the server is stopping")


async def _send(socket: WebSocket, answer: dict[str, Any]) -> None:
    # ASCII: half a surrogate pair, which a model may write, is no UTF-8
    await socket.send_text(json.dumps(answer, separators=(",", ":")))
