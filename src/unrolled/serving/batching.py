"""The batching worker: one thread that computes with a model, and the jobs that wait for it.

Jobs that can be computed together are: a batch is whatever jobs of one kind wait when the worker comes to them, or come
within a few milliseconds. The next batch gathers while one is computed, so batches grow with the load, and nobody waits
for others where there is none.

Who types waits for little: pushes go first, and no other batch is expected to take longer than `SLICE`. Who would wait
too long by the measured times is refused at once, and learns when to try again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

from unrolled.errors import UnrolledError
from unrolled.serving.metrics import Observer
from unrolled.serving.problems import Busy, Problem, stopping

log = logging.getLogger(__name__)

P = TypeVar("P")
R = TypeVar("R")
#: computes a batch: payloads → for each a result, or the error that it ran into
Compute = Callable[[Sequence[P]], Sequence[R | Exception]]

#: seconds that a batch may take by what is expected; a job that takes longer is a batch by itself
SLICE = 0.05
#: seconds a byte, and seconds at most, before anything was measured
FIRST_GUESS, MAX_GUESS = 25e-6, 2 * SLICE
#: seconds after which to try again, at most
MAX_AFTER = 60.0
#: share of the newest measurement in a running mean
NEWEST = 0.2


class Priority(IntEnum):
    """The order of work: people who type or speak, then short requests, then pieces of long ones."""

    PUSH, REQUEST, PIECE = range(3)


class Costs:
    """Expected seconds of a job, a running mean over earlier jobs of its kind and about its size."""

    def __init__(self) -> None:
        # by kind, and the number of binary digits of the size
        self._seconds: dict[tuple[str, int], float] = {}

    def expected(self, kind: str, size: int) -> float:
        """Return the seconds that a job should take; where nothing is known, a guess.

        Args:
            kind: of the job.
            size: of its input, in any unit that is the same for the kind, such as bytes.
        """
        return self._seconds.get((kind, size.bit_length()), min(size * FIRST_GUESS, MAX_GUESS))

    def learn(self, kind: str, size: int, seconds: float) -> None:
        """Take in how long a job took."""
        place = kind, size.bit_length()
        before = self._seconds.get(place, seconds)
        self._seconds[place] = before + NEWEST * (seconds - before)


@dataclass(eq=False)
class Admission:
    """Work that was let in.

    Attributes:
        priority: of the work.
        seconds: that are left of it, by what is expected.
    """

    priority: Priority
    seconds: float


@dataclass(eq=False)
class Job:
    """A job that waits for the worker; see `BatchingWorker.run`."""

    kind: Hashable
    payload: Any
    compute: Compute[Any, Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    deadline: float
    size: int
    seconds: float
    may_run_again: bool
    came: float = field(default_factory=time.monotonic)
    dropped: bool = False

    @property
    def name(self) -> str:
        """The kind without what tells batches apart."""
        return str(self.kind[0] if isinstance(self.kind, tuple) else self.kind)


class BatchingWorker:
    """The thread of one model.

    Args:
        name: the model's, for errors and logs.
        queue: jobs that may wait.
        max_batch: jobs computed together.
        batch_wait: seconds that a first job waits for others.
        costs: of jobs; several workers of a model share them.
        observe: called with each batch.
    """

    def __init__(
        self,
        name: str,
        *,
        queue: int = 256,
        max_batch: int = 32,
        batch_wait: float = 0.002,
        costs: Costs | None = None,
        observe: Observer | None = None,
    ) -> None:
        self.name, self.queue, self.max_batch, self.batch_wait = name, queue, max_batch, batch_wait
        self.costs = costs or Costs()
        self._observe: Observer = observe or (lambda *_: None)
        self._waiting: tuple[deque[Job], ...] = tuple(deque() for _ in Priority)
        self._admitted: set[Admission] = set()
        self._condition = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"worker {name}", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """The number of jobs that wait."""
        return sum(map(len, self._waiting))

    @contextmanager
    def admit(self, priority: Priority, seconds: float, patience: float) -> Iterator[Admission]:
        """Let in work for as long as the block takes.

        Args:
            priority: of the work.
            seconds: that it should take.
            patience: seconds within which it should be done, after all that goes first.

        Raises:
            Busy: it would not be; work is never refused while nothing waits, however long it takes.
        """
        ahead = [one.seconds for one in self._admitted if one.priority <= priority]
        if self.depth >= self.queue or (ahead and sum(ahead) + seconds > patience):
            raise Busy(f"the model {self.name!r}", min(sum(ahead), MAX_AFTER))
        admission = Admission(priority, seconds)
        self._admitted.add(admission)
        try:
            yield admission
        finally:
            self._admitted.remove(admission)

    async def run(
        self, priority: Priority, kind: Hashable, payload: P, compute: Compute[P, R], deadline: float, size: int = 1
    ) -> R:
        """Compute a job that was let in; see `admit`.

        Args:
            priority: jobs of a smaller one go first.
            kind: jobs of one kind and priority may be computed together, by the first one's `compute`. The first part
                of a tuple is the name that costs and metrics go by.
            payload: what `compute` gets of this job.
            compute: computes a batch, in the worker's thread.
            deadline: on the clock of `time.monotonic`; a job that has not begun by then is dropped.
            size: of the payload, see `Costs`.

        Raises:
            Problem: 504, not done by the deadline; 503, the server stops.
            UnrolledError: of the computation.
        """
        loop = asyncio.get_running_loop()
        # a push changes its stream, and so can't be repeated to find out which of a batch has failed
        again = priority is Priority.REQUEST
        job = Job(kind, payload, compute, loop, loop.create_future(), deadline, size, 0.0, again)
        job.seconds = self.costs.expected(job.name, size)
        with self._condition:
            if self._closed:
                raise stopping()
            self._waiting[priority].append(job)
            self._condition.notify()
        try:
            result: R = await asyncio.wait_for(job.future, max(0.0, deadline - time.monotonic()))
            return result
        except asyncio.TimeoutError:
            raise Problem(504, f"the model {self.name!r} did not answer within the deadline") from None
        finally:
            self._drop(priority, job)

    def close(self, timeout: float = 5.0) -> None:
        """Finish the jobs that wait, take no more, and end the thread."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join(timeout)

    def _drop(self, priority: Priority, job: Job) -> None:
        """Forget a job whose client has left, or has its answer."""
        job.dropped = True
        if not job.future.done() or job.future.cancelled():
            with self._condition:
                if job in self._waiting[priority]:
                    self._waiting[priority].remove(job)

    def _run(self) -> None:
        last = Priority.PIECE
        while True:
            with self._condition:
                while not self.depth:
                    if self._closed:
                        return
                    self._condition.wait()
                last = self._next(last)
                wait = self.batch_wait - (time.monotonic() - self._waiting[last][0].came)
            # nothing joins a piece
            if wait > 0 and last is not Priority.PIECE:
                time.sleep(wait)
            with self._condition:
                batch = self._gather(last)
            if not batch:
                continue
            try:
                self._compute(batch)
            except Exception as error:
                # whatever it was, its clients are answered and the thread goes on
                log.exception("worker %s: a batch failed", self.name)
                for job in batch:
                    self._deliver(job, error)

    def _next(self, last: Priority) -> Priority:
        """Return the priority whose turn it is: the first that waits, but after each the later ones have a turn."""
        waiting = [priority for priority in Priority if self._waiting[priority]]
        return next((priority for priority in waiting if priority > last), waiting[0])

    def _gather(self, priority: Priority) -> list[Job]:
        """Take the first job of a priority that is still wanted, and others of its kind for about one slice."""
        queue, now = self._waiting[priority], time.monotonic()
        batch: list[Job] = []
        rest: list[Job] = []
        seconds = 0.0
        while queue and len(batch) < self.max_batch:
            job = queue.popleft()
            if job.dropped or job.deadline < now:
                continue
            joins = priority is not Priority.PIECE and batch and job.kind == batch[0].kind
            if not batch or (joins and seconds + job.seconds <= SLICE):
                batch.append(job)
                seconds += job.seconds
            else:
                rest.append(job)
        queue.extendleft(reversed(rest))
        return batch

    def _compute(self, batch: list[Job]) -> None:
        begun = time.monotonic()
        results = _results(batch)
        took = time.monotonic() - begun
        for job in batch:
            self.costs.learn(job.name, job.size, took / len(batch))
        self._observe(batch[0].name, len(batch), begun - batch[0].came, took)
        for job, result in zip(batch, results, strict=True):
            self._deliver(job, result)

    def _deliver(self, job: Job, result: Any) -> None:
        try:
            job.loop.call_soon_threadsafe(_resolve, job.future, result)
        except RuntimeError:
            log.warning("worker %s: the event loop has closed, and a result is lost", self.name)


def _results(batch: list[Job]) -> list[Any]:
    """Return the result of each job; where a batch fails and may run again, each job runs alone."""
    try:
        results = list(batch[0].compute([job.payload for job in batch]))
        if len(results) != len(batch):
            raise RuntimeError(f"{len(batch)} jobs have {len(results)} results")
        return results
    except Exception as error:
        if len(batch) == 1 or not batch[0].may_run_again:
            if not isinstance(error, (UnrolledError, Problem)):
                log.exception("a computation failed")
            return [error] * len(batch)
        return [_results([job])[0] for job in batch]


def _resolve(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
