"""Plans: training settings, networks and schedules that fit how much data there is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from unrolled.training import TrainingSettings


def plan_epochs(
    examples: int, batch_size: int, training: Mapping[str, Any], *, epochs: float, patience: int, **chosen: Any
) -> TrainingSettings:
    """Training settings in which an epoch is the measure: evaluated, sampled and saved once in each.

    Args:
        examples: N of the training data.
        batch_size: B.
        training: the settings that the user gave; they overrule everything.
        epochs: at most so many, and with `patience`, where the user named no end.
        patience: evaluations without a better metric after which it ends.
        chosen: further settings, e.g. lr, dropout's companions, monitor.
    """
    given = {k: v for k, v in training.items() if v is not None}
    steps = max(1, math.ceil(examples / batch_size))
    settings: dict[str, Any] = {
        "warmup_steps": min(200, max(1, steps // 2)),
        "evaluate_every": steps,
        "sample_every": steps,
        "save_every": steps,
        "log_every": 10,
        **chosen,
    }
    if not any(given.get(name) is not None for name in ("steps", "epochs", "minutes")):
        settings |= {"epochs": epochs, "patience": patience}
    return TrainingSettings(**{**settings, **given})
