"""Models side by side: how they were trained, how large and how fast they are, how good."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrolled.errors import ArgumentError
from unrolled.tasks import Model
from unrolled.training import read_metrics


@dataclass(frozen=True)
class Compared:
    """One model of a comparison.

    Attributes:
        name: its folder's name.
        task: what it does.
        network: its settings, as JSON.
        parameters: how many numbers were learned.
        bytes: of its weights on disk.
        steps, minutes: of training.
        threads: with which it was trained.
        dev: its metrics on the development data.
        curve: (step, minutes, development loss), as it trained.
        speed: seconds that one prediction took, the median of several; None if no input was given.
        evaluation: its metrics on the data given, and those of its baseline; None if none was given.
    """

    name: str
    task: str
    network: dict[str, Any]
    parameters: int
    bytes: int
    steps: int
    minutes: float
    threads: int
    dev: dict[str, float]
    curve: list[tuple[int, float, float]]
    speed: float | None = None
    evaluation: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {**vars(self), "curve": [list(point) for point in self.curve]}


def compare(
    models: Sequence[Model],
    *,
    given: Any = None,
    data: Sequence[str | Path] = (),
    repeats: int = 5,
    told: Callable[[str, int, int | None], None] | None = None,
) -> list[Compared]:
    """Put models side by side.

    Args:
        models: as loaded from their folders; of one task, if they are to be given an input or data.
        given: an input as for `predict`, by which they are timed.
        data: files to evaluate on.
        repeats: timed predictions.
        told: about progress.

    Raises:
        ArgumentError: no model, one without a folder, or several tasks with an input or data.
    """
    if not models:
        raise ArgumentError("models: at least one is needed to compare")
    tasks = {model.task.name for model in models}
    if len(tasks) > 1 and (given is not None or data):
        raise ArgumentError(
            f"models: of the tasks {', '.join(sorted(tasks))}; an input or data can be given to one only"
        )
    found = []
    for number, model in enumerate(models):
        if model.folder is None:
            raise ArgumentError("models: one was not loaded from a folder, so nothing is known of its training")
        if told is not None:
            told(f"looking at {model.folder.name}", number, len(models))
        result = model.config.result
        curve = [
            (int(line["step"]), float(line["seconds"]) / 60, float(line["loss"]))
            for line in read_metrics(model.folder / "metrics.jsonl")
            if line["split"] == "dev" and line.get("loss") is not None
        ]
        found.append(
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
    return found


def _speed(model: Model, given: Any, repeats: int) -> float:
    model.predict(given)
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        model.predict(given)
        times.append(time.perf_counter() - begun)
    return sorted(times)[len(times) // 2]


def _evaluated(model: Model, data: Sequence[str | Path]) -> dict[str, Any]:
    evaluation = model.evaluate(*data)
    return {"metrics": evaluation.metrics, "baseline": evaluation.baseline, "seconds": evaluation.seconds}
