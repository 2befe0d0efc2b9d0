"""Models side by side: their training, size, speed and metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrolled.errors import ArgumentError
from unrolled.tasks import Model
from unrolled.tasks.core.values import Progress, silent
from unrolled.training import read_metrics
from unrolled.types import Json


@dataclass(frozen=True)
class Compared:
    """One model of a comparison.

    Attributes:
        name: its folder's name.
        task: the name of its task.
        network: the network's settings, as JSON.
        parameters: the number of trained numbers.
        bytes: the size of its weights on disk.
        steps, minutes: the length of its training.
        threads: the number of threads it was trained with.
        dev: its metrics on the development data.
        curve: (step, minutes, development loss) over the training.
        speed: seconds per prediction, the median of several; None without an input.
        evaluation: its metrics and its baseline's on the data; None without data.
    """

    name: str
    task: str
    network: Json
    parameters: int
    bytes: int
    steps: int
    minutes: float
    threads: int
    dev: dict[str, float]
    curve: list[tuple[int, float, float]]
    speed: float | None = None
    evaluation: Json | None = None

    def as_json(self) -> Json:
        """Return the row as a JSON object."""
        return {**vars(self), "curve": [list(point) for point in self.curve]}


def compare(
    models: Sequence[Model],
    *,
    given: Any = None,
    data: Sequence[str | Path] = (),
    repeats: int = 5,
    progress: Progress = silent,
) -> list[Compared]:
    """Compare models.

    Args:
        models: as loaded from their folders; all of one task where an input or data is given.
        given: an input as for `predict`, which they are timed on.
        data: files to evaluate on.
        repeats: the number of timed predictions.
        progress: called before each model.

    Raises:
        ArgumentError: there is no model, a model has no folder, or there are several tasks with an input or data.
    """
    if not models:
        raise ArgumentError("models: expected at least one to compare, found none")
    tasks = {model.task.name for model in models}
    if len(tasks) > 1 and (given is not None or data):
        raise ArgumentError(
            f"models: of the tasks {', '.join(sorted(tasks))}; an input or data can be given to one only"
        )
    compared = []
    for number, model in enumerate(models):
        if model.folder is None:
            raise ArgumentError("models: one was not loaded from a folder, so nothing is known of its training")
        progress(f"reading {model.folder.name}", number, len(models))
        result = model.config.result
        curve = [
            (int(line["step"]), float(line["seconds"]) / 60, float(line["loss"]))
            for line in read_metrics(model.folder / "metrics.jsonl")
            if line["split"] == "dev" and line.get("loss") is not None
        ]
        compared.append(
            Compared(
                name=model.folder.name,
                task=model.task.name,
                network=dict(model.config.network),
                parameters=model.parameters,
                bytes=(model.folder / "model.safetensors").stat().st_size,
                steps=int(result.get("step") or 0),
                minutes=float(result.get("seconds") or 0) / 60,
                threads=int(result.get("threads") or 0),
                dev={k: float(v) for k, v in (result.get("dev") or {}).items()},
                curve=curve,
                speed=None if given is None else _speed(model, given, repeats),
                evaluation=_evaluated(model, data) if data else None,
            )
        )
    return compared


def _speed(model: Model, given: Any, repeats: int) -> float:
    model.predict(given)
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        model.predict(given)
        times.append(time.perf_counter() - begun)
    return sorted(times)[len(times) // 2]


def _evaluated(model: Model, data: Sequence[str | Path]) -> Json:
    evaluation = model.evaluate(*data)
    return {"metrics": evaluation.metrics, "baseline": evaluation.baseline, "seconds": evaluation.seconds}
