"""uvicorn in a thread of its own, with a stop that answers what was accepted.

uvicorn takes over the signals of the main thread only. In another thread it leaves them to the caller, who can then say
good-bye to streams before uvicorn closes them, and end at once when asked twice.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable

import uvicorn

from unrolled.serving.app import Application

log = logging.getLogger(__name__)

#: bytes of a request's head
MAX_HEAD = 64 * 1024


class Server:
    """A server in a thread.

    Args:
        app: the application; its models are loaded, if they are not yet, while it answers already.
        bound: the socket that it listens on.
        on_ready: called, in the server's thread, when the models are loaded.
        name: of the thread.
    """

    def __init__(
        self,
        app: Application,
        bound: socket.socket,
        on_ready: Callable[[], None] | None = None,
        name: str = "server",
    ) -> None:
        self.app, self.bound = app, bound
        self._on_ready = on_ready
        self._uvicorn = uvicorn.Server(_config(app))
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to stop when all that was accepted is answered; `join` waits for that."""
        self._stopping.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has stopped.

        Args:
            timeout: seconds; None waits for good.

        Raises:
            UnrolledError: a model can't be served.
        """
        if timeout is not None:
            self._thread.join(timeout)
        while timeout is None and self._thread.is_alive():
            # in steps: on Windows a signal does not interrupt the wait
            self._thread.join(1.0)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error

    async def _serve(self) -> None:
        serving = asyncio.ensure_future(self._uvicorn.serve(sockets=[self.bound]))
        stopping = asyncio.ensure_future(asyncio.to_thread(self._stopping.wait))
        try:
            if not self.app.state.ready:
                self.app.add(await asyncio.to_thread(self.app.load))
            if self._on_ready is not None and not self._stopping.is_set():
                self._on_ready()
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping.set()
            await self._drain()
            self._uvicorn.should_exit = True
            await serving

    async def _drain(self) -> None:
        """Answer what still comes, and say good-bye to streams."""
        state = self.app.state
        state.closing.set()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + state.limits.grace
        # /readyz and `Connection: close` tell load balancers and clients meanwhile
        await asyncio.sleep(state.limits.drain)
        while state.conversations and loop.time() < deadline:
            await asyncio.sleep(0.02)


def _config(app: Application) -> uvicorn.Config:
    limits = app.state.limits
    return uvicorn.Config(
        app,
        http="h11",
        ws="websockets-sansio",
        ws_max_size=limits.max_message,
        # the size of a message that unpacks to more than it is would only be known when it is unpacked
        ws_per_message_deflate=False,
        # uvicorn refuses from this count on
        limit_concurrency=limits.connections + 1,
        timeout_graceful_shutdown=max(1, round(limits.grace)),
        h11_max_incomplete_event_size=MAX_HEAD,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
    )
