"""Series that repeat themselves, and small forecasters of them, for the tests of `forecast`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.tasks import Model, train

TINY = {"horizon": 6, "context": 12, "season": 6, "calendar": False}
TINY |= {"hidden_size": 12, "num_layers": 1, "dropout": 0.0, "batch_size": 16}
FAST = {"lr": 0.01, "log_every": 1, "evaluate_every": 20, "sample_every": 0, "seed": 7}
METHODS = ("direct", "autoregressive")
Trained = Callable[[str], Model]


def wave(steps: int, phase: float = 0.0, level: float = 20.0) -> np.ndarray[Any, Any]:
    t = np.arange(steps)
    values: np.ndarray[Any, Any] = level + 5 * np.sin(2 * np.pi * (t + phase) / 6) + 0.02 * t
    return values


def hours(count: int) -> list[str]:
    begin = np.datetime64("2020-01-01T00", "h")
    return [str(begin + np.timedelta64(k, "h")).replace("T", " ") + ":00" for k in range(count)]


def wide(steps: int = 120) -> str:
    a, b = wave(steps), wave(steps, 2, 300.0)
    return "time,a,b\n" + "".join(f"{t},{x:.4f},{y:.4f}\n" for t, x, y in zip(hours(steps), a, b, strict=True))


def learn(path: Path, out: Path, *, options: dict[str, Any] | None = None, **given: Any) -> Model:
    dev = given.pop("dev", ())
    return train("forecast", path, out, dev=dev, options={**TINY, **(options or {})}, **{**FAST, "steps": 3, **given})


def losses(folder: Path) -> dict[int, float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines if line["split"] == "train"}
