"""Control charts of six kinds, to learn to tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unrolled.tasks.core.contract.demonstration import Demonstration, write_rows
from unrolled.tasks.core.values import Sources

KINDS = ("normal", "cyclic", "rising", "falling", "shift up", "shift down")
STEPS, CHARTS = 60, 600
#: one chart in this many is held out
HELD_OUT = 6


def write_charts(folder: Path) -> Sources:
    """Write two tables with a chart a row, its kind in the first column."""
    draw = np.random.default_rng(0)
    header = ("label", *(f"t{step}" for step in range(STEPS)))
    rows: tuple[list[tuple[object, ...]], ...] = ([header], [header])
    for number in range(CHARTS):
        kind = KINDS[number % len(KINDS)]
        values = (f"{value:.2f}" for value in chart(kind, draw))
        rows[number // len(KINDS) % HELD_OUT == 0].append((kind, *values))
    train, dev = (write_rows(folder / name, some) for name, some in zip(("train.csv", "dev.csv"), rows, strict=True))
    return Sources((train,), (dev,))


def chart(kind: str, draw: np.random.Generator) -> NDArray[np.float64]:
    """Return a chart, (STEPS,).

    Source: Alcock & Manolopoulos 1999, Time-series similarity queries employing a feature-based approach.
    """
    time, sign = np.arange(STEPS), -1 if kind in ("falling", "shift down") else 1
    values = 30 + 2 * draw.uniform(-3, 3, STEPS)
    if kind == "cyclic":
        values += draw.uniform(10, 15) * np.sin(2 * np.pi * time / draw.uniform(10, 15))
    elif kind in ("rising", "falling"):
        values += sign * draw.uniform(0.2, 0.5) * time
    elif kind != "normal":
        values += sign * draw.uniform(7.5, 20) * (time >= draw.uniform(STEPS / 3, 2 * STEPS / 3))
    return values


DEMONSTRATIONS = (
    Demonstration(
        name="control-charts",
        origin="made",
        about="control charts of six kinds, after Alcock and Manolopoulos (1999).",
        write=write_charts,
        share=0.5,
    ),
)
