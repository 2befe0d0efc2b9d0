"""How long a flat start lasts."""

from __future__ import annotations

import math

from unrolled.tasks.outputs.text.ctc.options import FLAT_START
from unrolled.training import TrainingSettings

#: supposed where time alone says when training ends
UPDATES_A_SECOND = 5


def flat_start(asked: int | None, examples: int, batch_size: int, training: TrainingSettings) -> int:
    """Return the batches at the beginning that are learned from with even alignments, for the plan's batching.

    Args:
        asked: updates; None takes a tenth of all, up to `FLAT_START`.
        examples: N of the training data.
        batch_size: B.
        training: says when training ends, and how many batches an update takes.
    """
    updates = asked
    if updates is None:
        per_epoch = math.ceil(examples / batch_size / training.accumulate)
        # whichever end comes first; how fast it will be is not known, and CTC must have its turn on a slow machine too
        ends = (
            training.steps,
            training.epochs and training.epochs * per_epoch,
            training.minutes and training.minutes * 60 * UPDATES_A_SECOND,
        )
        updates = min([FLAT_START, *(int(end / 10) for end in ends if end)])
    return updates * training.accumulate
