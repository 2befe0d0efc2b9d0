"""Inspection of models that are at work: on copies of them, in one thread, a part at a time.

Inspection records by hooks on a network's modules, which predictions of the same network would run into, and it takes
far longer than a prediction. Pictures are drawn in the same thread, since the settings of matplotlib are global.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from unrolled.errors import ArgumentError
from unrolled.serving.batching import BatchingWorker, Priority
from unrolled.serving.inspection_schema import MAKERS, PARTS, InspectedParts, InspectionResult, Part, summary
from unrolled.serving.limits import Limits
from unrolled.serving.metrics import Observer
from unrolled.serving.models import ServedModel
from unrolled.serving.problems import Busy
from unrolled.tasks import Model
from unrolled.tasks.core.probe import Probe

R = TypeVar("R")


class Inspector:
    """The one thread that inspects models.

    Args:
        limits: of the server.
        observe: called with each piece of work.
    """

    def __init__(self, limits: Limits, observe: Observer | None = None) -> None:
        self.limits = limits
        self.worker = BatchingWorker("inspection", queue=2 * limits.inspections, observe=observe)
        self._copies: dict[str, Model] = {}
        self._copying = asyncio.Lock()
        self._running = 0
        # seconds of a request, a running mean, for Retry-After
        self._pace = 1.0

    async def inspect(
        self,
        served: ServedModel,
        given: Any,
        *,
        at: int,
        limit: int,
        units: int,
        parts: Sequence[Part],
        deadline: float,
    ) -> bytes:
        """Return the inspection result of one input, as the JSON of `InspectionResult`.

        Args:
            served: the model.
            given: a decoded input.
            at: the step of the output that `mattered` is about, from the end if negative.
            limit: steps that are inspected, the last ones of a longer input.
            units: of each layer that are sent, the first ones.
            parts: of the result.
            deadline: on the clock of `time.monotonic`; it is looked at before each part.

        Raises:
            Busy: too many requests are being answered.
            ArgumentError: this model or input can't be inspected, or has none of the parts.
            Problem: 503 or 504, as `BatchingWorker.run`.
        """
        with self._admitted():
            model = await self._copy(served, deadline)
            probe = await self._run(lambda: model.probe(given, limit), deadline)
            index = output_step(probe, at)
            made: dict[str, Any] = {}
            refused: dict[Part, str] = {}
            for part in [part for part in PARTS if part in parts]:
                try:
                    made[part] = await self._run(partial(MAKERS[part], probe, index, units), deadline)
                except ArgumentError as error:
                    refused[part] = str(error)
            if not made:
                raise ArgumentError("; ".join(dict.fromkeys(refused.values())))
            result = InspectionResult(
                model=served.name,
                task=model.task.name,
                parts=InspectedParts(**made),
                refused=refused,
                **summary(probe, index),
            )
            return await self._run(lambda: result.model_dump_json(exclude_unset=True).encode(), deadline)

    async def report(self, served: ServedModel, given: Any, *, at: int, limit: int, deadline: float) -> str:
        """Return the whole report of one input as one HTML file.

        Args:
            served, given, at, limit, deadline: as for `inspect`.

        Raises:
            Busy, ArgumentError, Problem: as `inspect`.
            MissingDependencyError: matplotlib is not installed.
        """
        from unrolled.inspection.report import inspect

        with self._admitted():
            model = await self._copy(served, deadline)
            report = await self._run(lambda: inspect(model, given, at=at, limit=limit), deadline)
            return await self._run(report.as_html, deadline)

    def close(self) -> None:
        """End the thread when the work that waits is done."""
        self.worker.close(self.limits.grace)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        """Count a request for as long as it is answered.

        Raises:
            Busy: there are enough.
        """
        if self._running >= self.limits.inspections:
            raise Busy("inspection", self._running * self._pace)
        begun = time.monotonic()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._pace += 0.2 * (time.monotonic() - begun - self._pace)

    async def _run(self, work: Callable[[], R], deadline: float) -> R:
        """Run one piece of work, after those of other requests that wait."""

        def compute(_: Sequence[None]) -> list[R | Exception]:
            return [work()]

        return await self.worker.run(Priority.PIECE, "inspect", None, compute, deadline)

    async def _copy(self, served: ServedModel, deadline: float) -> Model:
        """Return the copy of a model that may have hooks; it is made the first time."""
        async with self._copying:
            if served.name not in self._copies:
                self._copies[served.name] = await served.network_copy(deadline, requires_grad=True)
            return self._copies[served.name]


def output_step(probe: Probe, at: int) -> int:
    """Return a step of the output, counted from 0.

    Raises:
        ArgumentError: there is no such step.
    """
    count = len(probe.targets)
    if not -count <= at < count:
        raise ArgumentError(f"at: the output has {count} steps, found {at}")
    return at % count
