"""Steps as they might have been as well."""

from __future__ import annotations

import numpy as np

from unrolled.data import Arrays
from unrolled.data.core.examples import Array


def paced(example: Arrays, draw: np.random.Generator, strength: float) -> Arrays:
    """Return an encoded example a little slower or faster, with steps lost.

    Args:
        example: `x`, and what else has an entry for each step, such as labels.
        draw: for all that is random.
        strength: 0 changes nothing, 1 is usual.
    """
    if strength <= 0:
        return example
    count = len(example["x"])
    # a step is held or left out now and then, and with it its label
    pace = draw.choice([0, 1, 2], size=count, p=[0.04 * strength, 1 - 0.08 * strength, 0.04 * strength])
    places = np.cumsum(pace) - pace[0]
    places = places[places < count]
    kept = {name: array[places] for name, array in example.items()}
    # a step that is lost shows the one before
    lost = draw.random(len(places)) < 0.05 * strength
    lost[0] = False
    shown = np.maximum.accumulate(np.where(lost, 0, np.arange(len(places))))
    return {**kept, "x": kept["x"][shown]}


def warped(x: Array, draw: np.random.Generator, strength: float) -> Array:
    """Return steps (T, F) a little slower or faster from place to place, larger or smaller, with noise.

    Args:
        x: the steps.
        draw: for all that is random.
        strength: 0 changes nothing, 1 is usual.

    Source: Um et al. 2017, arXiv 1706.00527: time warping, magnitude scaling and jittering of sensor data.
    """
    if strength <= 0 or len(x) < 2:
        return x
    # the pace at a few places, and between them
    knots = np.exp(draw.normal(0, 0.2 * strength, size=5))
    pace = np.interp(np.linspace(0, 4, len(x)), np.arange(5), knots)
    places = np.cumsum(pace) - pace[0]
    places *= (len(x) - 1) / places[-1]
    steps = np.arange(len(x))
    moved = np.stack([np.interp(places, steps, column) for column in x.T], 1)
    spread = x.std(axis=0)
    size = np.exp(draw.normal(0, 0.1 * strength, size=x.shape[1]))
    noise = draw.normal(0, 0.03 * strength, size=x.shape) * spread
    return (moved * size + noise).astype(x.dtype)
