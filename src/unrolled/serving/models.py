"""The models that are served: each with its wire, its lane and what is said of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from unrolled.errors import ArgumentError, UnrolledError
from unrolled.serving.lanes import Lane, Turn
from unrolled.serving.limits import Limits
from unrolled.settings import Settings
from unrolled.tasks import Model, load
from unrolled.tasks.wires import Wire, served_options


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
        self.wire: Wire = model.task.wire()
        self.options: type[Settings] = served_options(model.task)
        self.lane = Lane(
            name, queue=limits.queue, max_batch=limits.max_batch, batch_wait=limits.batch_wait, observe=observe
        )
        self.no_streams = "" if self.wire.Push is not None else f"the task {model.task.name!r} has no streams"
        if not self.no_streams:
            try:
                self.wire.open(model)
            except ArgumentError as error:
                self.no_streams = str(error)

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
            "options": self.options.model_json_schema(),
            "example": self.wire.example,
            "push_example": self.wire.push_example if not self.no_streams else None,
            "network": config.network,
            "fitted": {k: v for k, v in config.fitted.items() if isinstance(v, (bool, int, float, str)) or v is None},
            "result": config.result,
        }

    def deadline(self) -> float:
        """By when what is asked now has to be answered, on `time.monotonic`'s clock."""
        return time.monotonic() + self.limits.deadline

    async def predict(self, given: list[Any], options: Settings, deadline: float) -> list[dict[str, Any]]:
        """Predictions as JSON, in order; inputs of requests with equal options go through the network together.

        Args:
            given: as the wire's `read` makes them.
            options: of `self.options`.
            deadline: on `time.monotonic`'s clock.

        Raises:
            Problem, UnrolledError: as `Lane.run`, and what the task says of an input.
        """
        chosen = options.model_dump(exclude_unset=True)
        kind = ("predict", repr(sorted(chosen.items()))) if self.wire.together else ("predict", id(given))

        def work(payloads: Sequence[list[Any]]) -> list[list[dict[str, Any]]]:
            together = [one for payload in payloads for one in payload]
            if not self.wire.together:
                return [self._each(together, chosen)]
            found = iter(self._each(together, chosen))
            return [[next(found) for _ in payload] for payload in payloads]

        answers: list[dict[str, Any]] = await self.lane.run(Turn.REQUEST, kind, given, work, deadline)
        return answers

    def _each(self, given: list[Any], options: dict[str, Any]) -> list[dict[str, Any]]:
        wire, model = self.wire, self.model
        if wire.together:
            predictions = list(model.predictions(given, **options))
            return [wire.answer(model, p, one) for p, one in zip(predictions, given, strict=True)]
        return [wire.answer(model, p, one) for one in given for p in model.predictions([one], **options)]

    def close(self) -> None:
        """End its lane when what waits is done."""
        self.lane.close(self.limits.grace)


def named_models(given: Sequence[str]) -> dict[str, Path]:
    """Names and folders of `unrolled serve [NAME=]FOLDER …`.

    Raises:
        ArgumentError: two of one name.
    """
    found: dict[str, Path] = {}
    for one in given:
        name, equals, folder = one.partition("=")
        path = Path(folder if equals else one)
        name = name if equals else path.resolve().name
        if name in found:
            raise ArgumentError(f"{one}: there is a model {name!r} already; give another name, as in NAME={path}")
        found[name] = path
    return found


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
    for name, folder in named_models(given).items():
        try:
            served[name] = Served(name, load(folder, device), limits, observe(name))
        except UnrolledError:
            for one in served.values():
                one.close()
            raise
    return served
