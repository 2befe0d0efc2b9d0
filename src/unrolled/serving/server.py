"""What uvicorn lacks: a bound on how long a request's head may take, and streams that are told before a stop."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

from uvicorn import Config
from uvicorn import Server as _Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from unrolled.serving.guard import Guard
from unrolled.serving.limits import Limits
from unrolled.serving.work import Work

log = logging.getLogger(__name__)


class Server(_Server):
    """A server whose streams are told before their connections are closed.

    Args:
        app: the application.
    """

    def __init__(self, app: Guard) -> None:
        self.work: Work = app.app.state.work
        super().__init__(configured(app, self.work.limits))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that it stops, wait until streams have said good-bye, and stop as usual."""
        for listening in self.servers:
            listening.close()
        self.work.closing.set()
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.work.limits.grace
        while self.work.conversations and clock() < deadline:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)


class Patient(H11Protocol):
    """HTTP/1.1 with a bound on how long a connection may take to send a request's head."""

    #: seconds; set for each server by `configured`
    header_timeout = 10.0

    def connection_made(self, transport: Any) -> None:
        """A client has come; its first request's head has to follow."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Bytes; once a head is whole, the wait for it is over."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head_came()
        elif self._waiting is None and not self.transport.is_closing():
            # the beginning of a further request on the same connection
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._head_came()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """The connection becomes a WebSocket, which has its own bounds."""
        self._head_came()
        super().handle_websocket_upgrade(event)

    _waiting: asyncio.TimerHandle | None = None

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


def configured(app: Guard, limits: Limits) -> Config:
    """uvicorn's settings for an application and its limits."""
    protocol = type("Patient", (Patient,), {"header_timeout": limits.header_timeout})
    return Config(
        app,
        http=protocol,
        ws="websockets-sansio",
        ws_max_size=limits.max_body,
        # a message that unpacks to more than it is would have to be unpacked to know
        ws_per_message_deflate=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=max(1, round(limits.grace)),
        h11_max_incomplete_event_size=64 * 1024,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
    )
