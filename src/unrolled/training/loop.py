"""How a recurrent network is trained, in the textbook's six steps:

    1. initialise   the weights, the optimiser and the carried state; or resume where a checkpoint left off
    2. forward      the batch goes through the network, from the state that the batch before it left
    3. loss         what the predictions cost, in nats per item
    4. backpropagate through time      the gradient of that loss for every weight, over all time steps of the batch
    5. update       clip the gradient, take a step of the optimiser; a step that is not finite is left out
    6. repeat       until a criterion is met: steps, epochs, minutes, a metric, no more progress, or Ctrl-C

`fit` is these six, in this order. What goes on around them (logging, evaluating, saving) is in `run.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unrolled.errors import StorageError
from unrolled.training.contract import Batches, Learner, LossReport
from unrolled.training.interrupt import Interrupt
from unrolled.training.optimisation.finite import read_scalars
from unrolled.training.optimisation.optimisers import clip_gradients, gradient_norm, gradients
from unrolled.training.progress import QuietReporter, Reporter
from unrolled.training.run import Run
from unrolled.training.saving.randomness import deterministic_algorithms
from unrolled.training.settings import TrainingSettings


@dataclass(frozen=True)
class FitResult:
    """How a run ended. The network then holds the weights that did best on the development data, averaged if asked for;
    without such data, the last ones.

    Attributes:
        reason: why it ended, in words.
        interrupted: True if Ctrl-C or SIGTERM ended it, so that it can be gone on with.
        step, epoch, seconds, skipped: how far it came, over all its sessions.
        best_step: the step of the best evaluation, None if there was none.
        best: that evaluation's metrics.
        last: the last evaluation's metrics.
    """

    reason: str
    interrupted: bool
    step: int
    epoch: float
    seconds: float
    skipped: int
    best_step: int | None
    best: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)


def fit(
    learner: Learner,
    batches: Batches,
    settings: TrainingSettings,
    out: str | Path,
    *,
    identity: Mapping[str, Any] | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
    options: Collection[str] | None = None,
) -> FitResult:
    """Train a network until a criterion of the settings is met.

    Writes `metrics.jsonl`, `samples.md` and `checkpoints/` into `out`. A run that is killed at any moment and resumed
    goes through the same losses, bit for bit, as one that never stopped (same machine, same number of threads; a budget
    in minutes or a schedule that follows one depends on the clock and is the exception).

    Args:
        learner: the network and how to score it. Whoever makes it initialises its weights; `seed_everything` beforehand
            makes that repeatable.
        batches: where batches come from.
        settings: how to train.
        out: the folder, created if need be.
        identity: what this run is (network, data …), as JSON can hold it; a checkpoint with another one is not resumed.
        resume: go on from the latest usable checkpoint in `out`; if none was ever saved there, begin.
        reporter: is told of everything; by default only warnings are shown.
        options: names of the options that a user can set, for advice; None where there is no command.

    Raises:
        ArgumentError: nothing says when to stop, nothing is trainable, or a metric asked for is not measured.
        OutputExistsError: `out` holds a run, and `resume` is not given.
        CheckpointError: there are checkpoints, but none of them can be resumed.
        DivergenceError: ten steps in a row were not finite.
        StorageError: `out` can't be written, or the disk is full; says what is intact.
    """
    reporter = reporter or QuietReporter()
    with ExitStack() as stack:
        stack.callback(reporter.close)
        interrupt = stack.enter_context(Interrupt())
        stack.enter_context(deterministic_algorithms(settings.deterministic))
        run = Run(learner, batches, settings, Path(out), identity or {}, reporter, options)
        stack.callback(run.close)
        try:
            run.begin(resume)  # 1 initialise, or resume
            while not (reason := run.reason_to_stop()) and not interrupt.asked:
                tally = Tally()
                for batch in next_batches(run):
                    report = forward_and_loss(run, batch, tally)  # 2 forward, 3 loss
                    backpropagate(run, report)  # 4 backpropagate through time
                update(run, tally)  # 5 update
                run.do_what_is_due()
            return conclude(run, reason, interrupt)  # 6 a criterion is met
        except StorageError as error:
            raise type(error)(f"{error}. {run.intact()}") from error


@dataclass
class Tally:
    """What the batches of one step add up to, kept on the device: summing there waits for nothing."""

    mean: float | Tensor = 0.0
    total: float | Tensor = 0.0
    count: int = 0
    started: float = field(default_factory=time.perf_counter)
    batch: Any = None
    carried: Any = None


def next_batches(run: Run) -> Iterator[Any]:
    """The batches of one step: one, or as many as gradients are accumulated over."""
    for _ in range(run.settings.accumulate):
        yield run.batches.next_batch()


def forward_and_loss(run: Run, batch: Any, tally: Tally) -> LossReport:
    """Score a batch from the carried state, and carry on the state that it leaves."""
    tally.batch, tally.carried = batch, None if batch.resets else run.carried
    with run.flow.watching(run.progress.step):
        report = run.learner.loss(batch, tally.carried)
    run.carried = report.carried
    tally.mean = tally.mean + report.mean.detach()
    tally.total = tally.total + report.total
    tally.count += report.count
    return report


def backpropagate(run: Run, report: LossReport) -> None:
    """Add a batch's gradient to what the step has gathered.

    With several batches, each counts by its items and `update` divides by all of them: the step is that of one large
    batch.
    """
    loss = report.mean if run.settings.accumulate == 1 else report.mean * report.count
    loss.backward()
    for sentence in run.flow.observe():
        run.reporter.notice(f"step {run.progress.step}: {sentence}")


def update(run: Run, tally: Tally) -> None:
    """Clip the gradient and take a step, or leave the step out if its loss or gradient is not finite.

    Raises:
        DivergenceError: that has happened ten times in a row.
    """
    grads = gradients(run.parameters)
    if run.settings.accumulate > 1 and grads:
        torch._foreach_mul_(grads, 1 / max(1, tally.count))
    # The only moment in a step at which the device is waited for.
    mean, total, norm = read_scalars(tally.mean, tally.total, gradient_norm(grads))
    run.set_learning_rate()
    if math.isfinite(mean) and math.isfinite(total) and math.isfinite(norm):
        clipped = clip_gradients(grads, norm, run.settings)
        run.optimiser.step()
        run.averaging.update()
        run.count_step(total, tally.count, norm, clipped, time.perf_counter() - tally.started)
    else:
        run.count_skipped(mean, norm, tally.batch, tally.carried, time.perf_counter() - tally.started)
    run.optimiser.zero_grad(set_to_none=True)


def conclude(run: Run, reason: str | None, interrupt: Interrupt) -> FitResult:
    """Wind the run up and say how it ended."""
    run.wind_up(evaluate=reason is not None)
    progress = run.progress
    interrupted = reason is None
    if reason is None:
        reason = f"stopped by {interrupt.asked} after step {progress.step}, all saved; go on with --resume"
    best = progress.best
    found = "" if best.step is None else f"; best {best.metric} {best.metrics[best.metric]:.4f} at step {best.step}"
    run.reporter.finished(f"{reason}{found}")
    return FitResult(
        reason=reason,
        interrupted=interrupted,
        step=progress.step,
        epoch=progress.epoch,
        seconds=progress.seconds,
        skipped=progress.skipped,
        best_step=best.step,
        best=dict(best.metrics),
        last=dict(progress.metrics),
    )
