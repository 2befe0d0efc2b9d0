"""Threads that decode images, sounds and tables beside the loop that answers everybody: few, with a bounded queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

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
    try:
        running = asyncio.get_running_loop().run_in_executor(_pool, read)
        return await asyncio.wait_for(running, max(0.0, deadline - time.monotonic()))
    except asyncio.TimeoutError:
        raise Problem(504, "the input was not decoded within the deadline") from None
    finally:
        _waiting -= 1
