"""Streams that the server keeps: bounded in number, in size and in idle time."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from unrolled.serving.batching import Turn
from unrolled.serving.limits import Limits
from unrolled.serving.models import Served
from unrolled.serving.problems import Busy, Problem
from unrolled.serving.security import Signer

#: ids of streams that have ended are remembered, so that 410 can be told from 404
REMEMBERED = 10_000
#: pushes to one stream that may wait for each other
AHEAD = 32


class Stream:
    """One stream: what a wire opened, and whose turn it is.

    Args:
        served: the model.
        inner: what the wire opened.
    """

    def __init__(self, served: Served, inner: Any) -> None:
        self.served, self.inner = served, inner
        self.touched = time.monotonic()
        # pushes to one stream come one after the other, in the order in which they were sent
        self.lock = asyncio.Lock()
        #: a push was cut off half way
        self.broken = False
        #: the lane is at it
        self.busy = False
        #: pushes that wait for their turn
        self.waiting = 0

    async def push(self, given: Any) -> Any:
        """Push, and wait for the answer.

        Raises:
            Problem, UnrolledError: as the lane and the wire say.
        """
        served = self.served
        deadline = served.deadline()
        await served.check(given, deadline)
        if self.waiting >= AHEAD:
            raise Busy("this stream", 1.0)
        self.waiting += 1
        try:
            async with self.lock:
                answer = await self._pushed(given, deadline)
        finally:
            self.waiting -= 1
        held = served.wire.held(self.inner)
        if held > served.limits.stream_bytes:
            self.broken = True
            raise Problem(413, f"the stream holds {held:,} bytes, and at most {served.limits.stream_bytes:,} are kept")
        return answer

    async def _pushed(self, given: Any, deadline: float) -> Any:
        self._whole()
        self.touched = time.monotonic()
        try:
            return await self.served.lane.run(Turn.PUSH, "push", (self, given), _push, deadline)
        except BaseException:
            # it may have been read, or not
            self.broken, self.busy = self.busy, False
            raise
        finally:
            self.touched = time.monotonic()

    def _whole(self) -> None:
        if self.broken:
            raise Problem(410, "a push to this stream was cut off half way; begin a new one, or restore a state")

    async def state(self, signer: Signer) -> str:
        """A token of where it is.

        Raises:
            Problem: 410, a push was cut off half way.
        """
        async with self.lock:
            self._whole()
            return signer.token(self.served.wire.save(self.inner))

    async def restore(self, token: str, signer: Signer) -> None:
        """Go on from a token's state.

        Raises:
            StateError: it is none, or not of this model.
        """
        served = self.served
        saved = signer.state(token, served.limits.stream_bytes)
        async with self.lock:
            self.inner, self.broken = served.wire.restore(served.model, saved), False

    async def reset(self) -> None:
        """Begin again."""
        async with self.lock:
            self.inner, self.broken = self.served.open(), False

    async def fork(self) -> Stream:
        """A second one that goes on from here.

        Raises:
            Problem: 410, a push was cut off half way.
        """
        async with self.lock:
            self._whole()
            return Stream(self.served, self.inner.fork())


def _push(pairs: Any) -> list[Any]:
    """In the lane's thread: one push to each of several streams of a model."""
    for stream, _ in pairs:
        stream.busy = True
    served = pairs[0][0].served
    found = served.wire.push(served.model, [(stream.inner, given) for stream, given in pairs])
    for stream, _ in pairs:
        stream.busy = False
    return list(found)


def opened(served: Served) -> Stream:
    """A new stream of a model.

    Raises:
        Problem: 409, this model has none.
    """
    if served.no_streams:
        raise Problem(409, f"{served.name}: {served.no_streams}")
    return Stream(served, served.open())


class Streams:
    """All of them.

    Args:
        limits: of the server.
        changed: told how many there are.
    """

    def __init__(self, limits: Limits, changed: Callable[[int], None] | None = None) -> None:
        self.limits, self._changed = limits, changed or (lambda _: None)
        self._kept: OrderedDict[str, Stream] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._elsewhere = 0

    def __len__(self) -> int:
        return len(self._kept) + self._elsewhere

    def hold(self, count: int = 1) -> None:
        """Take room for streams of a WebSocket, which keeps them itself; negative gives it back.

        Raises:
            Problem: 503, there is none.
        """
        if count > 0:
            self._room()
        self._elsewhere += count
        self._changed(len(self))

    def add(self, stream: Stream) -> str:
        """Keep a stream; returns its id, which can't be guessed.

        Raises:
            Problem: 503, there is no room.
        """
        self._room()
        name = secrets.token_urlsafe(16)
        self._kept[name] = stream
        self._changed(len(self))
        return name

    def get(self, served: Served, name: str) -> Stream:
        """A stream of a model.

        Raises:
            Problem: 404, there is none; 410, it has ended.
        """
        self.expire()
        stream = self._kept.get(name)
        if stream is None or stream.served is not served:
            if name in self._ended:
                raise Problem(410, "this stream has ended; begin a new one, or restore a state")
            raise Problem(404, f"{served.name}: no such stream")
        return stream

    def end(self, name: str) -> None:
        """Forget a stream."""
        if self._kept.pop(name, None) is not None:
            self._ended[name] = None
            while len(self._ended) > REMEMBERED:
                self._ended.popitem(last=False)
            self._changed(len(self))

    def expire(self) -> None:
        """Forget those that nobody pushed to for a while."""
        before = time.monotonic() - self.limits.stream_idle
        for name in [name for name, s in self._kept.items() if s.touched < before and not s.lock.locked()]:
            self.end(name)

    def _room(self) -> None:
        self.expire()
        if len(self) >= self.limits.streams:
            raise Problem(
                503, f"{self.limits.streams:,} streams are kept already; end one, or come back", {"Retry-After": "10"}
            )
