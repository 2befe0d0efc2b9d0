"""Threads that decode images, sounds and tables, so that the event loop goes on answering."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from unrolled.serving.problems import Busy, Problem

T = TypeVar("T")
#: inputs that are decoded at a time, and that may wait or be decoded
THREADS, MAX_PENDING = 2, 64


class Decoder:
    """Decodes inputs, a few at a time."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "decoder")
        self._lock = threading.Lock()
        self.pending = 0

    async def run(self, read: Callable[[], T], deadline: float) -> T:
        """Decode an input in a thread.

        Args:
            read: decodes it.
            deadline: on the clock of `time.monotonic`.

        Raises:
            Busy: too many inputs are waiting.
            Problem: 504, not decoded by the deadline.
            UnrolledError: the input can't be decoded.
        """
        if self.pending >= MAX_PENDING:
            raise Busy("the decoder of inputs", 1.0)
        with self._lock:
            self.pending += 1
        job = self._pool.submit(read)
        # an input whose client has left counts until a thread is done with it, or it leaves the queue
        job.add_done_callback(self._finished)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(job), max(0.0, deadline - time.monotonic()))
        except asyncio.TimeoutError:
            raise Problem(504, "the input was not decoded within the deadline") from None

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _finished(self, _: Future[T]) -> None:
        with self._lock:
            self.pending -= 1
