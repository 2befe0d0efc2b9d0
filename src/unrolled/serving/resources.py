"""The resources that all requests share: memory, and threads that decode images, sounds and tables."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from unrolled.serving.problems import Busy, Problem

T = TypeVar("T")
#: inputs that are decoded at a time, and that may wait or be decoded
THREADS, MAX_PENDING = 2, 64


class MemoryBudget:
    """Counts the bytes that requests hold together.

    Args:
        most: bytes, at most.
    """

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0

    def take(self, count: int) -> None:
        """Count more bytes.

        Raises:
            Problem: 413, more than all requests together may hold.
            Busy: others hold too much at the moment.
        """
        if count > self.most:
            raise Problem(413, f"the request takes {count:,} bytes, and all requests together may hold {self.most:,}")
        if self.held + count > self.most:
            raise Busy("the server's memory for requests", 1.0)
        self.held += count

    def give(self, count: int) -> None:
        """Count fewer bytes."""
        self.held -= count


class Hold:
    """The bytes that one request holds of a budget; given back at the end of a `with`.

    Args:
        budget: the budget of all requests.
        count: bytes held from the start.

    Raises:
        Problem, Busy: as `Budget.take`.
    """

    def __init__(self, budget: MemoryBudget, count: int = 0) -> None:
        self._budget, self._count = budget, 0
        self.take(count)

    def take(self, count: int) -> None:
        """Hold more bytes.

        Raises:
            Problem, Busy: as `Budget.take`.
        """
        self._budget.take(count)
        self._count += count

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._budget.give(self._count)
        self._count = 0


class DecodingThreads:
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
