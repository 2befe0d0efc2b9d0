"""Training, in the textbook's six steps (`loop.py`), for any task: it knows a `Learner` that scores batches and the
`Batches` that it scores, and takes care of the rest: optimiser, schedule, clipping, averaging, criteria, checkpoints,
progress. A run can be killed at any moment and resumed to the same losses.
"""

from unrolled.training.contract import Batch, Batches, Learner, LossReport
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

__all__ = [
    "Batch",
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
    "TrainingSettings",
    "fit",
    "make_reporter",
    "plot_run",
    "read_metrics",
    "seed_everything",
]
