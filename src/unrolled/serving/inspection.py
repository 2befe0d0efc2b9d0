"""Looking inside models that are at work: on copies of them, in one thread of its own, a part at a time.

What is looked into is recorded by hooks on a network's modules, which predictions on the same network would run into,
and it takes far longer than a prediction. Pictures are drawn in the same thread: matplotlib's settings are global.
"""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from unrolled.errors import ArgumentError
from unrolled.serving.batching import Lane, Turn
from unrolled.serving.inspection_schema import MAKERS, PARTS, Part, about
from unrolled.serving.limits import Limits
from unrolled.serving.models import Served
from unrolled.serving.problems import Busy
from unrolled.tasks import Model
from unrolled.tasks.core.probe import Probe

T = TypeVar("T")


class Inspector:
    """The one thread that looks into models.

    Args:
        limits: of the server.
        observe: told of each piece of work, see `Lane`.
    """

    def __init__(self, limits: Limits, observe: Callable[[str, int, float, float], None] | None = None) -> None:
        self.limits = limits
        # requests are counted before they come here, and each has one piece at a time in the lane
        self.lane = Lane("inspection", queue=2 * limits.inspections, observe=observe)
        self._copies: dict[str, Model] = {}
        self._copying = asyncio.Lock()
        self._under_way = 0
        # seconds a request, a running mean, for Retry-After
        self._pace = 1.0

    async def inspect(
        self, served: Served, given: Any, *, at: int, limit: int, units: int, parts: Sequence[Part], deadline: float
    ) -> bytes:
        """Everything that was asked for about one input, as the JSON of `Inspected`.

        Args:
            served: the model.
            given: as the wire's `read` makes it.
            at: the step of the output that `mattered` is about, from the end if negative.
            limit: steps that are looked at, the last ones of a longer input.
            units: of each layer that are sent, the first ones.
            parts: what is asked for.
            deadline: on `time.monotonic`'s clock; looked at before each part.

        Raises:
            Busy: too many are being answered.
            ArgumentError: this model or input can't be looked into; or none of the parts can be had.
            Problem: 503, 504, as `Lane.run`.
        """
        with _Admitted(self):
            model = await self._copy(served, deadline)
            probe = await self._do(lambda: model.probe(given, limit), deadline)
            index = step_asked(probe, at)
            found: dict[str, Any] = {}
            refused: dict[str, str] = {}
            for part in [part for part in PARTS if part in parts]:
                try:
                    found[part] = await self._do(lambda part=part: MAKERS[part](probe, index, units), deadline)  # type: ignore[misc]
                except ArgumentError as error:
                    refused[part] = str(error)
            if not found:
                raise ArgumentError("; ".join(dict.fromkeys(refused.values())))
            told = {"model": served.name, "task": model.task.name, **about(probe, index)}
            whole = {**told, "parts": found, "refused": refused}
            return await self._do(lambda: json.dumps(whole, ensure_ascii=False, allow_nan=False).encode(), deadline)

    async def report(self, served: Served, given: Any, *, at: int, limit: int, deadline: float) -> str:
        """The whole report as one HTML file.

        Args:
            served, given, at, limit, deadline: as for `inspect`.

        Raises:
            Busy, ArgumentError, Problem: as `inspect`.
            MissingDependencyError: matplotlib is not installed.
        """
        from unrolled.inspection.report import inspect

        with _Admitted(self):
            model = await self._copy(served, deadline)
            made = await self._do(lambda: inspect(model, given, at=at, limit=limit), deadline)
            return await self._do(made.as_html, deadline)

    def close(self) -> None:
        """End the thread when what waits is done."""
        self.lane.close(self.limits.grace)

    async def _do(self, work: Callable[[], T], deadline: float) -> T:
        """One piece, after what other requests have waiting."""
        found: T = await self.lane.run(Turn.PIECE, "inspect", None, lambda _: [work()], deadline)
        return found

    async def _copy(self, served: Served, deadline: float) -> Model:
        """The copy of a model that hooks may be put on; made the first time."""
        async with self._copying:
            if served.name not in self._copies:
                # in the model's own lane, where nothing runs beside it
                def work(_: Sequence[Any]) -> list[Model]:
                    return [copied(served.model)]

                self._copies[served.name] = await served.lane.run(Turn.REQUEST, "copy", None, work, deadline)
            return self._copies[served.name]


class _Admitted:
    """A request that is being answered; while it is, it counts.

    Raises:
        Busy: there are enough.
    """

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector

    def __enter__(self) -> None:
        one = self._inspector
        if one._under_way >= one.limits.inspections:
            raise Busy("looking inside", one._under_way * one._pace)
        one._under_way += 1
        self._begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        one = self._inspector
        one._under_way -= 1
        one._pace += 0.2 * (time.monotonic() - self._begun - one._pace)


def copied(model: Model) -> Model:
    """A model with a network of its own, whose gradients can be asked for; what was fitted and encoders are shared."""
    network = copy.deepcopy(model.network).eval().requires_grad_(True)
    return Model(model.task, model.config, model.parts, network, model.folder, model.cache)


def step_asked(probe: Probe, at: int) -> int:
    """The step of the output, from 0.

    Raises:
        ArgumentError: there is no such step.
    """
    count = len(probe.targets)
    if not -count <= at < count:
        raise ArgumentError(f"at: the output has {count} steps, found {at}")
    return at % count
