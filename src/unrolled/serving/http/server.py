"""What uvicorn lacks: bounds on how slow a client may be, and a stop that loses nothing and is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import socket
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import h11
from uvicorn import Config
from uvicorn import Server as _Server
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from unrolled.serving.budget import Budget
from unrolled.serving.limits import Limits
from unrolled.serving.middleware import Guard
from unrolled.serving.problems import MEDIA_TYPE, Busy, Problem
from unrolled.serving.state import Work

log = logging.getLogger(__name__)

#: seconds in which a request that is on its way when the server stops may still come in
LAST_CALL = 0.25
#: why a WebSocket is closed (RFC 6455, section 7.4.1, and IANA's list)
TOO_BIG, TRY_AGAIN = 1009, 1013
#: pieces that one message of a WebSocket may come in: empty ones are not counted by its bytes
MOST_FRAMES = 1_000
#: messages of a connection, and bytes of one, beyond which it is not read from until they are taken
AHEAD, LARGE = 8, 64_000


class Server(_Server):
    """A server that stops when all it has taken on is done, and tells streams before it closes them.

    Args:
        app: the application.
        ready: called when requests are taken.
    """

    def __init__(self, app: Guard, ready: Callable[[], None] | None = None) -> None:
        self.work: Work = app.app.state.work
        self._ready = ready or (lambda: None)
        super().__init__(configured(app, self.work.limits))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As its parent; and say so."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that it stops, wait until streams have said good-bye, and stop as usual."""
        # the system would reset those that have connected and wait to be accepted
        last = [found for listening in sockets or [] for found in _accepted(listening)]
        for listening in self.servers:
            listening.close()
        self.work.closing.set()
        loop = asyncio.get_running_loop()
        for found in last:
            await loop.connect_accepted_socket(self._protocol, found)
        deadline = loop.time() + self.work.limits.grace
        while self.work.conversations and loop.time() < deadline:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As its parent; but a stop that was asked for and went well is no death by a signal."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    def _protocol(self) -> asyncio.Protocol:
        found: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return found


class _Reading:
    """A connection whose client has to take what it is sent within a time."""

    #: seconds; set for each server by `configured`
    write_timeout: ClassVar[float] = 20.0
    transport: Any
    loop: asyncio.AbstractEventLoop
    _stuck: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """More is waiting to be sent than is kept without worry."""
        super().pause_writing()  # type: ignore[misc]
        self._stuck = self.loop.call_later(self.write_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has taken some of it."""
        self._taken()
        super().resume_writing()  # type: ignore[misc]

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._taken()
        super().connection_lost(exc)  # type: ignore[misc]

    def _taken(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None


class Patient(_Reading, H11Protocol):
    """HTTP/1.1 with bounds: on the time for a request's head, on connections, on what a client leaves unread."""

    #: set for each server by `configured`; seconds
    header_timeout: ClassVar[float] = 10.0
    most: ClassVar[int] = 2_000

    _waiting: asyncio.TimerHandle | None = None
    _ending = _upgraded = False

    def connection_made(self, transport: Any) -> None:
        """A client has come; its first request's head has to follow."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            problem = Problem(503, f"{self.most:,} connections are open already", {"Retry-After": "1"})
            transport.write(_response(problem))
            transport.close()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Bytes; once a head is whole, the wait for it is over."""
        super().data_received(data)
        if self._upgraded:
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._head_came()
            if self._ending:
                self.cycle.keep_alive = False
        elif self._waiting is None and not self.transport.is_closing():
            # the beginning of a further request on the same connection
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._head_came()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """The connection becomes a WebSocket, which has its own bounds."""
        self._upgraded = True
        self._head_came()
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered with a problem, too."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(_response(Problem(400, "this is no HTTP/1.1")))
        self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more came; what the client did not take by then it will not take."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(self.write_timeout, self.transport.abort)

    def shutdown(self) -> None:
        """The server stops; a request that the client has sent already is still answered."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif not self._ending:
            self._ending = True
            self.loop.call_later(LAST_CALL, self._end)

    def _end(self) -> None:
        if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            super().shutdown()

    def _expect_head(self) -> None:
        self._waiting = self.loop.call_later(self.header_timeout, self._too_slow)

    def _head_came(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _too_slow(self) -> None:
        self._waiting = None
        if not self.transport.is_closing():
            log.info("a request's head did not come within %g s; its connection is closed", self.header_timeout)
            self.transport.abort()


class Bounded(_Reading, WebSocketsSansIOProtocol):
    """A WebSocket with bounds: on the pieces of a message, on what all of them hold, on what a client leaves unread."""

    #: set for each server by `configured`
    budget: ClassVar[Budget]

    _held = 0

    def data_received(self, data: bytes) -> None:
        """Bytes; those of a message that is not whole are counted."""
        super().data_received(data)
        waiting = len(self.conn.reader.buffer) + sum(map(len, self.frames))
        self.budget.give(self._held)
        self._held = 0
        try:
            self.budget.take(waiting)
        except Busy:
            self._fail(TRY_AGAIN, "too much is waiting")
        else:
            self._held = waiting

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self.budget.give(self._held)
        self._held = 0
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """A client that does not read is not read from: pings would be answered without end."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def handle_cont(self, event: Any) -> None:
        """A further piece of a message."""
        if len(self.frames) >= MOST_FRAMES:
            self._fail(TOO_BIG, "a message in too many pieces")
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """A message is whole. Not to be read from after each one, as its parent does, costs two calls of the system."""
        large = sum(map(len, self.frames)) > LARGE
        if self.read_paused or large or self.queue.qsize() >= AHEAD:
            super().send_receive_event_to_app()
            return
        # its parent then takes it for paused already
        self.read_paused = True
        super().send_receive_event_to_app()
        self.read_paused = False

    async def send(self, message: Any) -> None:
        """As its parent, which forgets that a handshake that was answered with a problem is over."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True

    def _fail(self, code: int, reason: str) -> None:
        self.frames = []
        if not self.close_sent:
            self.conn.fail(code, reason)
            self.handle_parser_exception()


def configured(app: Guard, limits: Limits) -> Config:
    """uvicorn's settings for an application and its limits."""
    given = {"header_timeout": limits.header_timeout, "write_timeout": limits.body_timeout, "most": limits.connections}
    talking = {"write_timeout": limits.body_timeout, "budget": app.budget}
    return Config(
        app,
        http=type("Patient", (Patient,), given),
        ws=type("Bounded", (Bounded,), talking),
        ws_max_size=limits.max_message,
        # a message that unpacks to more than it is would have to be unpacked to know
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=max(1, round(limits.grace)),
        h11_max_incomplete_event_size=64 * 1024,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
    )


def _accepted(listening: socket.socket) -> Iterator[socket.socket]:
    """The connections that wait to be accepted."""
    while True:
        try:
            found, _ = listening.accept()
        except OSError:
            return
        found.setblocking(False)
        yield found


def _response(problem: Problem) -> bytes:
    """A problem as a whole response, for what never becomes a request."""
    body = json.dumps(problem.as_json(secrets.token_hex(8))).encode()
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), "connection": "close", **problem.headers}
    lines = [f"HTTP/1.1 {problem.status} {problem.as_json()['title']}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
