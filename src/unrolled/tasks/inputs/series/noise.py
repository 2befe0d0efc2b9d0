"""Steps as they might have been as well."""

from __future__ import annotations

import numpy as np

from unrolled.data import Arrays


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
