"""The models that are served: each with its wire, its lane and what is said of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from unrolled.errors import ArgumentError, UnrolledError
from unrolled.serving.batching import Lane, Turn
from unrolled.serving.decoding import reading
from unrolled.serving.http.naming import named_folders
from unrolled.serving.limits import Limits
from unrolled.settings import Settings
from unrolled.tasks import Model, load
from unrolled.tasks.core.api import Api, Wire, api_of, served_options

#: inputs of a request that are computed in one go
PART = 8


class Served:
    """One model at work.

    Args:
        name: in addresses.
        model: loaded; its weights do not change any more.
        limits: of the server.
        observe: told of each batch, see `Lane`.

    Raises:
        ArgumentError: a name that is none, or a task that can't be served.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        limits: Limits,
        observe: Callable[[str, int, float, float], None] | None = None,
    ) -> None:
        if not name or not name.isascii() or not all(c.isalnum() or c in "-_." for c in name) or name[0] == ".":
            raise ArgumentError(f"name: expected letters, digits, -, _ and ., found {name!r}")
        self.name, self.model, self.limits = name, model.freeze(), limits
        self.wire: Api | Wire = api_of(model.task)
        self.options: type[Settings] = served_options(model.task)
        self.lane = Lane(
            name, queue=limits.queue, max_batch=limits.max_batch, batch_wait=limits.batch_wait, observe=observe
        )
        #: messages of WebSockets that are waiting or being answered
        self.pushes = 0
        self._fresh: Any = None
        self.no_streams = "" if self.wire.Push is not None else f"the task {model.task.name!r} has no streams"
        if not self.no_streams:
            try:
                self._fresh = self.wire.open(model)
            except ArgumentError as error:
                self.no_streams = str(error)

    def open(self) -> Any:
        """A new stream, as the wire opens it: a fork of one that has read nothing, which costs no step."""
        return self._fresh.fork()

    async def check(self, given: Any, deadline: float) -> None:
        """See that what is pushed is within the bounds.

        Raises:
            TooLarge: it isn't.
            Problem: as `reading`.
        """
        wire, bounds = self.wire, self.limits.bounds
        if wire.light:
            wire.check(given, bounds)
        else:
            # images are decoded for it, which is not for the loop that answers everybody
            await reading(lambda: wire.check(given, bounds), deadline)

    @property
    def writes(self) -> bool:
        """Whether it writes on from a prompt."""
        return self.wire.Prompt is not None

    def describe(self) -> dict[str, Any]:
        """What is said of it."""
        task, config = self.model.task, self.model.config
        return {
            "name": self.name,
            "task": task.name,
            "summary": task.summary,
            "shape": task.shape,
            "view": self.wire.view,
            "parameters": self.model.parameters,
            "streams": not self.no_streams,
            "no_streams": self.no_streams or None,
            "writes": self.writes,
            "media": list(self.wire.media),
            "columns": self.wire.columns(self.model),
            "labels": self.wire.labels(self.model),
            "options": self.options.model_json_schema(),
            "example": self.wire.example_of(self.model),
            "push_example": self.wire.push_example_of(self.model) if not self.no_streams else None,
            "network": config.network,
            "fitted": {k: v for k, v in config.fitted.items() if isinstance(v, (bool, int, float, str)) or v is None},
            "result": config.result,
        }

    def deadline(self) -> float:
        """By when what is asked now has to be answered, on `time.monotonic`'s clock."""
        return time.monotonic() + self.limits.deadline

    async def predict(self, given: list[Any], options: Settings, deadline: float) -> list[dict[str, Any]]:
        """Predictions as JSON, in order; inputs of requests with equal options go through the network together.

        A long request is done in parts, so that who types is answered in between.

        Raises:
            Problem: 429, 503 or 504, as the lane says.
            UnrolledError: what the task says of an input.
        """
        chosen = options.model_dump(exclude_unset=True)
        kind = ("predict", repr(sorted(chosen.items())))
        size = PART if self.wire.together else 1

        def work(parts: Sequence[list[Any]]) -> list[Any]:
            return list(self._answers(parts, chosen))

        answers: list[dict[str, Any]] = []
        for start in range(0, len(given), size):
            part = given[start : start + size]
            answers += await self.lane.run(Turn.REQUEST, kind, part, work, deadline, further=start > 0)
        return answers

    def _answers(self, parts: Sequence[list[Any]], options: dict[str, Any]) -> Iterator[Any]:
        """For each part its answers, or the error that it ran into."""
        wire, model = self.wire, self.model
        if wire.together:
            together = [one for part in parts for one in part]
            predictions = iter(list(model.predictions(together, **options)))
            for part in parts:
                yield [wire.answer(model, next(predictions), one) for one in part]
            return
        for part in parts:
            try:
                yield [wire.answer(model, p, one) for one in part for p in model.predictions([one], **options)]
            except UnrolledError as error:
                yield error

    def close(self) -> None:
        """End its lane when what waits is done."""
        self.lane.close(self.limits.grace)


def loaded_models(
    given: Sequence[str],
    limits: Limits,
    observe: Callable[[str], Callable[[str, int, float, float], None]],
    device: str = "cpu",
) -> dict[str, Served]:
    """Load what the command line names.

    Args:
        given: folders, each with or without a name before it.
        limits: of the server.
        observe: makes what is told of a model's batches.
        device: where the networks are.

    Raises:
        UnrolledError: naming the model that can't be served.
    """
    served = {}
    for name, folder in named_folders(given, "model").items():
        try:
            served[name] = Served(name, load(folder, device), limits, observe(name))
        except UnrolledError:
            for one in served.values():
                one.close()
            raise
    return served
