"""Streams over a WebSocket: a conversation whose messages are answered in order, and its streams."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import Field, StrictInt, StrictStr, TypeAdapter, ValidationError, create_model

from unrolled.errors import UnrolledError
from unrolled.serving.client import BEARER
from unrolled.serving.logs import log_event, loggable
from unrolled.serving.models import Message, ServedModel
from unrolled.serving.problems import Problem, problem_of, stopping
from unrolled.serving.resources import Hold
from unrolled.serving.routes.bodies import json_message
from unrolled.serving.routes.streams import counted_push
from unrolled.serving.state import ServerState
from unrolled.serving.streams import Stream, open_stream

log = logging.getLogger(__name__)

#: messages of a client that may wait, and bytes of one beyond which it waits alone
MAX_AHEAD, LARGE = 32, 64_000
#: seconds in which a message that is on its way when the server stops may still arrive
LAST_CALL = 0.25
#: close codes (RFC 6455, section 7.4.1, and IANA's list)
IDLE, REFUSED, RESTARTING, TRY_AGAIN = 1001, 1008, 1012, 1013

#: answered as it came: true is not 1, and a number is one that JavaScript can hold
_Id = Annotated[StrictInt, Field(ge=-(2**53), le=2**53)] | Annotated[StrictStr, Field(max_length=200)] | None
_Name = Annotated[str, Field(min_length=1, max_length=64)]
_ID: TypeAdapter[int | str | None] = TypeAdapter(_Id)


class Asked(Message):
    """A message of a client: an id of its choice, and one thing to do."""

    id: _Id = None
    stream: _Name | None = Field(None, description="which of its streams; none for the first")
    save: bool = False
    reset: bool = False
    restore: str | None = None
    fork: _Name | None = None
    drop: _Name | None = None


def socket_routes(served: ServedModel, state: ServerState) -> APIRouter:
    """Return the route of one model."""
    router = APIRouter()
    asked: Any = Asked
    if served.push_type is not None:
        fields: dict[str, Any] = {"push": (served.push_type | None, None)}
        asked = create_model(f"{served.name}Asked", __base__=Asked, **fields)

    @router.websocket(f"/v1/models/{served.name}/stream")
    async def talk(socket: WebSocket) -> None:
        tokens = [one for one in socket.scope.get("subprotocols", []) if one.startswith(BEARER)]
        await socket.accept(subprotocol=tokens[0] if tokens else None)
        try:
            if state.closing.is_set():
                raise stopping()
            first = open_stream(served)
            state.streams.count()
        except Problem as problem:
            await _send(socket, {"id": None, "error": problem.as_json()})
            await socket.close(TRY_AGAIN if problem.status == 503 else REFUSED, problem.detail[:120])
            return
        conversation = Conversation(socket, served, state, asked, first)
        state.conversations += 1
        try:
            await conversation.run()
        except WebSocketDisconnect:
            pass
        finally:
            state.conversations -= 1
            state.streams.count(-len(conversation.streams))

    return router


class Conversation:
    """The messages of one client.

    Args:
        socket: accepted.
        served: the model.
        state: of the process.
        asked: the type of its messages.
        first: its first stream.
    """

    def __init__(self, socket: WebSocket, served: ServedModel, state: ServerState, asked: Any, first: Stream) -> None:
        self.socket, self.served, self.state, self.asked = socket, served, state, asked
        self.streams: dict[str | None, Stream] = {None: first}
        # messages and when they arrived; None comes last
        self._messages: asyncio.Queue[tuple[str | bytes, float] | None] = asyncio.Queue(MAX_AHEAD)

    async def run(self) -> None:
        """Answer messages one by one until the client leaves, is idle, or the server stops.

        Raises:
            WebSocketDisconnect: the client left.
        """
        reading = asyncio.ensure_future(self._read())
        try:
            while (message := await self._messages.get()) is not None:
                await _send(self.socket, await self._answer(*message))
                self._messages.task_done()
            await reading
        finally:
            reading.cancel()
        if self.state.closing.is_set():
            await self._farewell()
        else:
            await _close(self.socket, IDLE, "idle")

    async def _read(self) -> None:
        """Take in messages; a client that sends many ahead is slowed down by its own connection.

        Raises:
            WebSocketDisconnect: the client left; what it sent is dropped.
        """
        closing = asyncio.ensure_future(self.state.closing.wait())
        try:
            while (message := await self._receive(closing)) is not None:
                if len(message) > LARGE:
                    await self._messages.join()
                await self._messages.put((message, time.monotonic()))
            await self._messages.put(None)
        except Exception:
            while not self._messages.empty():
                self._messages.get_nowait()
            self._messages.put_nowait(None)
            raise
        finally:
            closing.cancel()

    async def _receive(self, closing: asyncio.Future[Literal[True]]) -> str | bytes | None:
        """Return the next message; None if the client is idle, or has sent all when the server stops.

        Raises:
            WebSocketDisconnect: the client left.
        """
        receiving = asyncio.ensure_future(self.socket.receive())
        try:
            if not closing.done():
                idle = self.state.limits.stream_idle
                await asyncio.wait((receiving, closing), timeout=idle, return_when=asyncio.FIRST_COMPLETED)
            if closing.done():
                await asyncio.wait((receiving,), timeout=LAST_CALL)
            if not receiving.done():
                return None
            message = receiving.result()
        finally:
            receiving.cancel()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        data: str | bytes = message["text"] if message.get("text") is not None else message["bytes"]
        return data

    async def _answer(self, message: str | bytes, came: float) -> dict[str, Any]:
        """Return the answer to a message that came at a time of `time.monotonic`, with its id."""
        if self.state.options.log_inputs:
            request_id = self.socket.scope["state"]["request_id"]
            kind = "" if isinstance(message, bytes) else "text/plain"
            log_event("input", id=request_id, input=loggable(message, kind))
        name: int | str | None = None
        try:
            with Hold(self.state.budget, len(message)):
                if isinstance(message, bytes):
                    given = self.served.samples(message, self.socket.query_params)
                    return {"id": None, "result": await counted_push(self._stream(None), given, self.state, came)}
                try:
                    asked = json_message(message, self.asked)
                except Problem:
                    name = _id_of(message)
                    raise
                name = asked.id
                return {"id": name, **await self._do(asked, came)}
        except (Problem, UnrolledError) as error:
            return {"id": name, "error": problem_of(error).as_json()}
        except Exception:
            log.exception("a message failed")
            return {"id": name, "error": Problem(500, "a defect of the server; its log says more").as_json()}

    async def _do(self, asked: Any, came: float) -> dict[str, Any]:
        """Do what a message asks for.

        Raises:
            Problem: it asks for several things or none, or for something that can't be done.
        """
        wanted = asked.model_fields_set - {"id", "stream"}
        if len(wanted) != 1:
            raise Problem(422, "a message asks for one of push, save, restore, reset, fork and drop")
        signer = self.state.signer
        stream = self._stream(asked.stream)
        match next(iter(wanted)):
            case "push" if asked.push is not None:
                return {"result": await counted_push(stream, asked.push, self.state, came)}
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
                self.state.streams.count(-1)
                return {"result": None}
        raise Problem(422, f"{next(iter(wanted))}: nothing is asked for")

    def _stream(self, name: str | None) -> Stream:
        if name not in self.streams:
            raise Problem(404, f"stream: this connection has none of the name {name!r}")
        return self.streams[name]

    def _keep(self, name: str, stream: Stream) -> None:
        if name in self.streams:
            raise Problem(409, f"fork: there is a stream {name!r} already")
        if len(self.streams) >= self.state.limits.forks:
            raise Problem(503, f"fork: a connection keeps at most {self.state.limits.forks} streams; drop one")
        self.state.streams.count()
        self.streams[name] = stream

    async def _farewell(self) -> None:
        """Send the state of each stream, with which it can continue elsewhere, and close."""
        for name, stream in self.streams.items():
            farewell = {"closing": "the server is stopping", "state": await stream.state(self.state.signer)}
            await _send(self.socket, farewell if name is None else {**farewell, "stream": name})
        await _close(self.socket, RESTARTING, "the server is stopping")


def _id_of(message: str) -> int | str | None:
    """Return the id of a message that does not fit; None if it has none that can be sent back."""
    try:
        asked = json.loads(message)
        return _ID.validate_python(asked.get("id")) if isinstance(asked, dict) else None
    except (ValueError, RecursionError, ValidationError):
        return None


async def _send(socket: WebSocket, answer: dict[str, Any]) -> None:
    # in ASCII, since half a surrogate pair, which a model may write, is not UTF-8
    text = json.dumps(answer, separators=(",", ":"))
    try:
        await socket.send_text(text)
    except RuntimeError as error:
        # the server has closed the connection itself, such as after a message that was too large
        raise WebSocketDisconnect(1006) from error


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    with contextlib.suppress(RuntimeError):
        await socket.close(code, reason)
