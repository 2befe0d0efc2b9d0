"""Training, in the textbook's six steps (`loop.py`), for any task. A task provides a `Learner` and the `Batches` that
it scores; this room does the rest: optimiser, schedule, clipping, averaging, criteria, checkpoints and progress. A run
can be killed at any moment and resumed to the same losses.
"""

from unrolled.training.contract import Batches, Learner, LossReport, TrainingBatch
from unrolled.training.loop import FitResult, fit
from unrolled.training.plots import plot_run
from unrolled.training.progress import (
    LiveReporter,
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
    "PlainReporter",
    "QuietReporter",
    "Reporter",
    "Snapshot",
    "TrainingBatch",
    "TrainingSettings",
    "fit",
    "make_reporter",
    "plot_run",
    "read_metrics",
    "seed_everything",
    "updates_per_second",
]
