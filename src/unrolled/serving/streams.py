"""Streams: pushes to one are answered in order, and all of them are bounded in number, size and idle time."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from unrolled.serving.limits import Limits
from unrolled.serving.models import ServedModel
from unrolled.serving.problems import Busy, Problem
from unrolled.serving.security import StateSigner

#: ids of ended streams that are remembered, so that 410 can be told from 404
MAX_ENDED = 10_000
#: pushes that may wait for each other
MAX_AHEAD = 32


class Stream:
    """One stream.

    Args:
        served: the model.
        session: as `ServedModel.open` returns it.
    """

    def __init__(self, served: ServedModel, session: Any) -> None:
        self.served, self.session = served, session
        self.touched = time.monotonic()
        self.lock = asyncio.Lock()
        #: whether a push was cut off half way
        self.broken = False
        #: whether the worker is reading a push
        self.busy = False
        self._ahead = 0

    async def push(self, given: Any, came: float) -> Any:
        """Push, and return the answer as JSON.

        Args:
            given: of the model's `push_type`, or as its `samples` returns it.
            came: when it arrived, on the clock of `time.monotonic`.

        Raises:
            Problem: 503 or 504, as `ServedModel.push`; 410, an earlier push was cut off; 413, it keeps too much.
            UnrolledError: the push can't be used.
        """
        served = self.served
        await served.check_push(given, came + served.limits.deadline)
        if self._ahead >= MAX_AHEAD:
            raise Busy("this stream", 1.0)
        self._ahead += 1
        try:
            async with self.lock:
                answer = await self._push(given, came)
        finally:
            self._ahead -= 1
        held = served.held(self.session)
        if held > served.limits.stream_bytes:
            self.broken = True
            raise Problem(413, f"the stream holds {held:,} bytes, and at most {served.limits.stream_bytes:,} are kept")
        return answer

    async def _push(self, given: Any, came: float) -> Any:
        self._check_whole()
        self.touched = time.monotonic()
        try:
            return await self.served.push((self, given), _push_together, came)
        except BaseException:
            # where the worker was reading it, nobody knows how far it came
            self.broken, self.busy = self.busy, False
            raise
        finally:
            self.touched = time.monotonic()

    def _check_whole(self) -> None:
        if self.broken:
            raise Problem(410, "a push to this stream was cut off half way; begin a new one, or restore a state")

    async def state(self, signer: StateSigner) -> str:
        """Return the stream's state as a token.

        Raises:
            Problem: 410, a push was cut off half way.
        """
        async with self.lock:
            self._check_whole()
            return signer.token(self.served.save(self.session))

    async def restore(self, token: str, signer: StateSigner) -> None:
        """Continue from the state of a token.

        Raises:
            StateError: the token was not signed by this server, or is of another model.
        """
        state = signer.state(token, self.served.limits.stream_bytes)
        async with self.lock:
            self.session, self.broken = self.served.restore(state), False

    async def reset(self) -> None:
        """Begin again, with nothing read."""
        async with self.lock:
            self.session, self.broken = self.served.open(), False

    async def fork(self) -> Stream:
        """Return a second stream that continues from here by itself.

        Raises:
            Problem: 410, a push was cut off half way.
        """
        async with self.lock:
            self._check_whole()
            return Stream(self.served, self.session.fork())


def _push_together(pushes: Sequence[tuple[Stream, Any]]) -> list[Any]:
    """Push to several streams of a model; runs in the worker's thread."""
    for stream, _ in pushes:
        stream.busy = True
    served = pushes[0][0].served
    answers = served.push_all([(stream.session, given) for stream, given in pushes])
    for stream, _ in pushes:
        stream.busy = False
    return answers


def open_stream(served: ServedModel) -> Stream:
    """Return a new stream of a model.

    Raises:
        Problem: 409, the model has no streams.
    """
    if served.no_streams:
        raise Problem(409, f"{served.name}: {served.no_streams}")
    return Stream(served, served.open())


class Streams:
    """All streams of a process.

    Args:
        limits: of the server.
        on_change: called with the number of streams whenever it changes.
    """

    def __init__(self, limits: Limits, on_change: Callable[[int], None] | None = None) -> None:
        self.limits, self._on_change = limits, on_change or (lambda _: None)
        self._by_id: OrderedDict[str, Stream] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._of_sockets = 0

    def __len__(self) -> int:
        return len(self._by_id) + self._of_sockets

    def count(self, change: int = 1) -> None:
        """Count streams that a WebSocket opened, or with a negative number those that it closed.

        Raises:
            Problem: 503, there are too many.
        """
        if change > 0:
            self._check_room()
        self._of_sockets += change
        self._on_change(len(self))

    def add(self, stream: Stream) -> str:
        """Keep a stream, and return its id, which can't be guessed.

        Raises:
            Problem: 503, there are too many.
        """
        self._check_room()
        name = secrets.token_urlsafe(16)
        self._by_id[name] = stream
        self._on_change(len(self))
        return name

    def get(self, served: ServedModel, name: str) -> Stream:
        """Return a stream of a model.

        Raises:
            Problem: 404, there is none of that id; 410, it has ended.
        """
        self.expire()
        stream = self._by_id.get(name)
        if stream is None or stream.served is not served:
            if name in self._ended:
                raise Problem(410, "this stream has ended; begin a new one, or restore a state")
            raise Problem(404, f"{served.name}: no such stream")
        return stream

    def end(self, name: str) -> None:
        """End a stream."""
        if self._by_id.pop(name, None) is not None:
            self._ended[name] = None
            while len(self._ended) > MAX_ENDED:
                self._ended.popitem(last=False)
            self._on_change(len(self))

    def expire(self) -> None:
        """End the streams that were idle for too long."""
        before = time.monotonic() - self.limits.stream_idle
        for name in [name for name, s in self._by_id.items() if s.touched < before and not s.lock.locked()]:
            self.end(name)

    def _check_room(self) -> None:
        self.expire()
        if len(self) >= self.limits.streams:
            raise Problem(
                503, f"{self.limits.streams:,} streams are open already; end one, or try again", {"Retry-After": "10"}
            )
