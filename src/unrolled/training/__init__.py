"""Training, in the textbook's six steps (`loop.py`), for any task. A task provides a `Learner` and the `Batches` that
it scores; this room does the rest: optimiser, schedule, clipping, averaging, criteria, checkpoints and progress. A run
can be killed at any moment and resumed to the same losses.
"""

from unrolled.training.contract import Batches, Learner, LossReport, TrainingBatch
from unrolled.training.distributed import Workers, is_leader, joined, launched_by, own_device, share_out, sharers
from unrolled.training.loop import FitResult, fit
from unrolled.training.plots import plot_run
from unrolled.training.progress import (
    LiveReporter,
    MuteReporter,
    PlainReporter,
    QuietReporter,
    Reporter,
    Snapshot,
    make_reporter,
)
from unrolled.training.saving.checkpoints import Checkpoints
from unrolled.training.saving.files import read_metrics
from unrolled.training.saving.randomness import seed_everything
from unrolled.training.settings import TrainingSettings
from unrolled.training.speed import updates_per_second

__all__ = [
    "Batches",
    "Checkpoints",
    "FitResult",
    "Learner",
    "LiveReporter",
    "LossReport",
    "MuteReporter",
    "PlainReporter",
    "QuietReporter",
    "Reporter",
    "Snapshot",
    "TrainingBatch",
    "TrainingSettings",
    "Workers",
    "fit",
    "is_leader",
    "joined",
    "launched_by",
    "make_reporter",
    "own_device",
    "plot_run",
    "read_metrics",
    "seed_everything",
    "share_out",
    "sharers",
    "updates_per_second",
]
