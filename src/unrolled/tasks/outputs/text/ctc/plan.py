"""How long a flat start lasts."""

from __future__ import annotations

import math
from collections.abc import Callable

from unrolled.tasks.outputs.text.ctc.options import FLAT_START
from unrolled.training import TrainingSettings


def flat_start(
    asked: int | None, examples: int, batch_size: int, training: TrainingSettings, speed: Callable[[], float]
) -> int:
    """Return the batches at the beginning that are learned from with even alignments, for the plan's batching.

    Args:
        asked: updates; None takes a tenth of all, up to `FLAT_START`.
        examples: N of the training data.
        batch_size: B.
        training: says when training ends, and how many batches an update takes.
        speed: returns the updates a second of this machine; called where only a time says when training ends.
    """
    updates = asked
    if updates is None:
        per_epoch = math.ceil(examples / batch_size / training.accumulate)
        ends = [training.steps, training.epochs and training.epochs * per_epoch]
        if training.minutes:
            # CTC must have its turn on a slow machine too
            ends.append(training.minutes * 60 * speed())
        updates = min([FLAT_START, *(int(end / 10) for end in ends if end)])
    return updates * training.accumulate
