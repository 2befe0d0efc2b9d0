"""A lane: the one thread that computes with a model, and what waits for it.

What can be computed together is: a batch is whatever of one kind was waiting when the lane came to it, or came within a
few milliseconds. While it computes, the next batch gathers, so that batches grow with the load and nobody waits for
others when there is none. What waits is bounded; who comes later is told when to come back.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from unrolled.errors import UnrolledError
from unrolled.serving.problems import Busy, Problem

log = logging.getLogger(__name__)

#: computes what several asked for: payloads → for each a result, or the error that it ran into
Work = Callable[[Sequence[Any]], Sequence[Any]]


class Turn(IntEnum):
    """What goes first: people who type or speak, then requests, then long texts, a piece at a time."""

    PUSH, REQUEST, PIECE = range(3)


@dataclass(eq=False)
class Job:
    """Something that waits for the lane."""

    kind: Hashable
    payload: Any
    work: Work
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    deadline: float
    again: bool
    came: float = field(default_factory=time.monotonic)
    dropped: bool = False


class Lane:
    """One model's thread.

    Args:
        name: the model's.
        queue: jobs that may wait.
        max_batch: jobs computed together.
        batch_wait: seconds that a first job waits for others.
        observe: told of each batch: kind, number of jobs, seconds that the first waited, seconds that it took.
    """

    def __init__(
        self,
        name: str,
        *,
        queue: int = 256,
        max_batch: int = 32,
        batch_wait: float = 0.002,
        observe: Callable[[str, int, float, float], None] | None = None,
    ) -> None:
        self.name, self.queue, self.max_batch, self.batch_wait = name, queue, max_batch, batch_wait
        self._observe = observe or (lambda *_: None)
        self._waiting: tuple[deque[Job], ...] = tuple(deque() for _ in Turn)
        self._condition = threading.Condition()
        self._closed = False
        # seconds a job, a running mean, for Retry-After
        self._pace = 0.01
        self._thread = threading.Thread(target=self._run, name=f"lane {name}", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Jobs that wait."""
        return sum(map(len, self._waiting))

    async def run(
        self, turn: Turn, kind: Hashable, payload: Any, work: Work, deadline: float, *, further: bool = False
    ) -> Any:
        """Have something computed.

        Args:
            turn: what goes first.
            kind: jobs of equal kind (and turn) may be computed together, by the first one's `work`.
            payload: what `work` gets of this job.
            work: computes a batch; runs in the lane's thread.
            deadline: on `time.monotonic`'s clock; what has not begun by then is dropped.
            further: a further part of what was let in before: however long the queue, it is not refused now.

        Raises:
            Busy: too much is waiting.
            Problem: 504, not done by the deadline; 503, the server stops.
            UnrolledError: what the computation ran into.
        """
        loop = asyncio.get_running_loop()
        job = Job(kind, payload, work, loop, loop.create_future(), deadline, turn is Turn.REQUEST)
        with self._condition:
            if self._closed:
                raise Problem(503, "the server is stopping", {"Retry-After": "1"})
            if self.depth >= self.queue and not further:
                raise Busy(f"the model {self.name!r}", self.depth * self._pace)
            self._waiting[turn].append(job)
            self._condition.notify()
        try:
            return await asyncio.wait_for(job.future, max(0.0, deadline - time.monotonic()))
        except asyncio.TimeoutError:
            raise Problem(504, f"the model {self.name!r} did not come to an answer within the deadline") from None
        finally:
            self._drop(turn, job)

    def close(self, timeout: float = 5.0) -> None:
        """Finish what waits, take nothing more, and end the thread."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join(timeout)

    def _drop(self, turn: Turn, job: Job) -> None:
        """Whoever asked has left, or has their answer."""
        job.dropped = True
        if not job.future.done() or job.future.cancelled():
            with self._condition:
                if job in self._waiting[turn]:
                    self._waiting[turn].remove(job)

    def _run(self) -> None:
        last = Turn.PIECE
        while True:
            with self._condition:
                while not self.depth:
                    if self._closed:
                        return
                    self._condition.wait()
                last = self._next(last)
                first = self._waiting[last][0]
                wait = self.batch_wait - (time.monotonic() - first.came)
            # pieces of one text can't be joined by others
            if wait > 0 and last is not Turn.PIECE:
                time.sleep(wait)
            with self._condition:
                batch = self._gather(last)
            if not batch:
                continue
            try:
                self._compute(batch)
            except Exception as error:
                # whatever it was, those who wait are told, and the thread lives on
                log.exception("lane %s: a batch was lost", self.name)
                _hand_out(self.name, [(job, error) for job in batch])

    def _next(self, last: Turn) -> Turn:
        """The most urgent that waits; but after pushes whatever else waits has a turn, so that nothing starves."""
        waiting = [turn for turn in Turn if self._waiting[turn]]
        later = [turn for turn in waiting if turn > last]
        return later[0] if later else waiting[0]

    def _gather(self, turn: Turn) -> list[Job]:
        """The first job of a turn that is still wanted, and those of its kind."""
        queue, now = self._waiting[turn], time.monotonic()
        batch: list[Job] = []
        rest: list[Job] = []
        while queue and len(batch) < self.max_batch:
            job = queue.popleft()
            if job.dropped or job.deadline < now:
                continue
            if not batch or (job.kind == batch[0].kind and turn is not Turn.PIECE):
                batch.append(job)
            else:
                rest.append(job)
        queue.extendleft(reversed(rest))
        return batch

    def _compute(self, batch: list[Job]) -> None:
        begun = time.monotonic()
        results = _results(batch)
        took = time.monotonic() - begun
        self._pace += 0.1 * (took / len(batch) - self._pace)
        kind = batch[0].kind
        self._observe(str(kind[0] if isinstance(kind, tuple) else kind), len(batch), begun - batch[0].came, took)
        _hand_out(self.name, list(zip(batch, results, strict=True)))


def _hand_out(name: str, found: list[tuple[Job, Any]]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Job, Any]]] = {}
    for job, result in found:
        by_loop.setdefault(job.loop, []).append((job, result))
    for loop, pairs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, pairs)
        except RuntimeError:
            log.warning("lane %s: the loop of %d results is closed; they are lost", name, len(pairs))


def _results(batch: list[Job]) -> list[Any]:
    """What each job came to; an error that hits a batch is looked for in each job alone, if it may run again."""
    work = batch[0].work
    try:
        found = list(work([job.payload for job in batch]))
        if len(found) != len(batch):
            raise RuntimeError(f"{len(batch)} jobs came to {len(found)} results")
        return found
    except Exception as error:
        if len(batch) == 1 or not batch[0].again:
            if not isinstance(error, (UnrolledError, Problem)):
                log.exception("a computation failed")
            return [error] * len(batch)
        return [_results([job])[0] for job in batch]


def _deliver(pairs: list[tuple[Job, Any]]) -> None:
    for job, result in pairs:
        if job.future.done():
            continue
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)
