"""Threads that decode images, sounds and tables beside the loop that answers everybody: few, with a bounded queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar, cast

from unrolled.serving.problems import Busy, Problem

T = TypeVar("T")
#: inputs that are decoded at the same time, and that may wait for it
THREADS, WAITING = 2, 64

_pool = ThreadPoolExecutor(THREADS, "reader")
_waiting = 0


async def reading(read: Callable[[], T], deadline: float) -> T:
    """Decode something in a thread.

    Args:
        read: does it.
        deadline: on `time.monotonic`'s clock.

    Raises:
        Busy: too much waits.
        Problem: 504, not done by the deadline.
        UnrolledError: what can't be decoded.
    """
    global _waiting
    if _waiting >= WAITING:
        raise Busy("the reader of inputs", 1.0)
    _waiting += 1
    loop, wanted = asyncio.get_running_loop(), True

    def over(_: Future[Any]) -> None:
        global _waiting
        _waiting -= 1

    # it stays in the queue when nobody waits for it any more, and counts until a thread has come to it
    running = _pool.submit(lambda: read() if wanted else None)
    running.add_done_callback(lambda future: _call(loop, over, future))
    try:
        waited = asyncio.shield(asyncio.wrap_future(running))
        found: Any = await asyncio.wait_for(waited, max(0.0, deadline - time.monotonic()))
    except asyncio.TimeoutError:
        raise Problem(504, "the input was not decoded within the deadline") from None
    finally:
        wanted = False
    return cast(T, found)


def _call(loop: asyncio.AbstractEventLoop, done: Callable[[Future[Any]], None], future: Future[Any]) -> None:
    try:
        loop.call_soon_threadsafe(done, future)
    except RuntimeError:
        # the loop is closed, and nobody asks any more
        done(future)
