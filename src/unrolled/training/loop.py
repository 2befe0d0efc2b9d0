"""How a recurrent network is trained, in the textbook's six steps:

    1. initialise   the weights, the optimiser and the carried state; or resume where a checkpoint left off
    2. forward      the batch goes through the network, from the state that the batch before it left
    3. loss         the cost of the predictions, in nats per item
    4. backpropagate through time      the gradient of that loss for every weight, over all time steps of the batch
    5. update       clip the gradient and take a step of the optimiser; a step that is not finite is skipped
    6. repeat       until a criterion is met: steps, epochs, minutes, a metric, no more progress, or Ctrl-C

`fit` does these six, in this order. The work around them (logging, evaluating, saving) is in `run.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

import torch
from torch import Tensor

from unrolled.errors import StorageError
from unrolled.storage import locked
from unrolled.training.contract import B, Batches, Learner, LossReport
from unrolled.training.distributed import workers
from unrolled.training.interrupt import Interrupt
from unrolled.training.optimisation.finite import read_scalars
from unrolled.training.optimisation.optimisers import clip_gradients, gradient_norm, gradients
from unrolled.training.progress import QuietReporter, Reporter
from unrolled.training.run import Run
from unrolled.training.saving.packing import Nest
from unrolled.training.saving.randomness import deterministic_algorithms
from unrolled.training.settings import TrainingSettings


@dataclass(frozen=True)
class FitResult:
    """How a run ended. The network then holds the weights that did best on the development data, averaged if the
    settings say so; without such data, the last ones.

    Attributes:
        reason: why it ended, in words.
        interrupted: True if Ctrl-C or SIGTERM ended it, so that it can be resumed.
        step, epoch, seconds, skipped: how far it came, over all its sessions.
        best_step: the step of the best evaluation; None without evaluations.
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
    learner: Learner[B],
    batches: Batches[B],
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
    goes through the same losses, bit for bit, as an uninterrupted run (same machine, same number of threads; limits in
    minutes and the schedules that follow them depend on the clock and are the exception).

    Args:
        learner: the network and how to score it. Its maker initialises the weights; `seed_everything` beforehand makes
            that repeatable.
        batches: the source of batches.
        settings: how to train.
        out: the folder, created if need be.
        identity: what this run is (network, data …), as a JSON object; a checkpoint with another identity is refused.
        resume: continue from the latest usable checkpoint in `out`; if none was ever saved there, begin.
        reporter: receives every event; by default only warnings are shown.
        options: names of the options that a user can set, for advice; None where there is no command.

    Raises:
        ArgumentError: no criterion is set, nothing is trainable, or a metric of the settings is not measured.
        OutputExistsError: `out` holds a run, and `resume` is False.
        CheckpointError: there are checkpoints, but none of them can be resumed.
        DivergenceError: ten steps in a row were not finite.
        StorageError: `out` can't be written, or another process writes there; or the disk is full: says what is intact.
    """
    reporter = reporter or QuietReporter()
    with ExitStack() as stack:
        stack.callback(reporter.close)
        if workers().leads:
            stack.enter_context(locked(out))
        interrupt = stack.enter_context(Interrupt())
        stack.enter_context(deterministic_algorithms(settings.deterministic))
        run = Run(learner, batches, settings, Path(out), identity or {}, reporter, options)
        stack.callback(run.close)
        try:
            run.begin(resume)  # 1 initialise, or resume
            while not (reason := run.reason_to_stop(interrupt.asked)):
                tally: Tally[B] = Tally()
                for batch in next_batches(run.batches, settings.accumulate):
                    report = forward_and_loss(run, batch, tally)  # 2 forward, 3 loss
                    backpropagate(run, report)  # 4 backpropagate through time
                update(run, tally)  # 5 update
                run.do_what_is_due()
            return conclude(run, reason)  # 6 a criterion is met
        except StorageError as error:
            raise type(error)(f"{error}. {run.intact()}") from error


@dataclass
class Tally(Generic[B]):
    """Sums over the batches of one step, kept on the device so that adding to them does not synchronise."""

    mean: float | Tensor = 0.0
    total: float | Tensor = 0.0
    count: int = 0
    started: float = field(default_factory=time.perf_counter)
    batch: B | None = None
    carried: Nest = None


def next_batches(batches: Batches[B], accumulate: int) -> Iterator[B]:
    """Yield the batches of one step: as many as gradients are accumulated over, without empty shares."""
    for _ in range(accumulate):
        if (batch := batches.next_batch()) is not None:
            yield batch


def forward_and_loss(run: Run[B], batch: B, tally: Tally[B]) -> LossReport:
    """Score a batch from the carried state, and keep the state that it leaves."""
    tally.batch, tally.carried = batch, None if batch.resets else run.carried
    with run.flow.watching(run.progress.step), run.precision.autocast():
        report = run.learner.loss(batch, tally.carried)
    run.carried = report.carried
    tally.mean = tally.mean + report.mean.detach()
    tally.total = tally.total + report.total
    tally.count += report.count
    return report


def backpropagate(run: Run[B], report: LossReport) -> None:
    """Add a batch's gradient to the gradients of the step.

    Several batches, or workers' shares of one, are weighted by their items, and `update` divides by all of them: the
    step is that of one large batch.
    """
    loss = report.mean * report.count if run.weighs_batches else report.mean
    torch.autograd.backward(loss)
    for sentence in run.flow.observe():
        run.reporter.notice(f"step {run.progress.step}: {sentence}")


def update(run: Run[B], tally: Tally[B]) -> None:
    """Clip the gradient and take a step, or skip the step if its loss or gradient is not finite.

    Raises:
        DivergenceError: the tenth skipped step in a row.
    """
    sums = run.workers.add_up(run.parameters, (tally.mean, tally.total, tally.count))
    grads = gradients(run.parameters)
    if run.weighs_batches and grads:
        dtype = torch.promote_types(grads[0].dtype, torch.float32)
        torch._foreach_div_(grads, torch.as_tensor(sums[-1], dtype=dtype, device=grads[0].device).clamp(min=1))
    # The only synchronisation with the device in a step.
    mean, total, counted, norm = read_scalars(*sums, gradient_norm(grads))
    count = round(counted)
    run.set_learning_rate()
    if math.isfinite(mean) and math.isfinite(total) and math.isfinite(norm):
        clipped = clip_gradients(grads, norm, run.settings)
        run.optimiser.step()
        run.averaging.update()
        run.count_step(total, count, norm, clipped, time.perf_counter() - tally.started)
    else:
        run.count_skipped(mean, norm, tally.batch, tally.carried, time.perf_counter() - tally.started)
    run.optimiser.zero_grad(set_to_none=True)


def conclude(run: Run[B], reason: str) -> FitResult:
    """Finish the run and return how it ended."""
    run.finish(evaluate=not run.interrupted)
    progress = run.progress
    best = progress.best
    summary = "" if best.step is None else f"; best {best.metric} {best.metrics[best.metric]:.4f} at step {best.step}"
    run.reporter.finished(f"{reason}{summary}")
    return FitResult(
        reason=reason,
        interrupted=run.interrupted,
        step=progress.step,
        epoch=progress.epoch,
        seconds=progress.seconds,
        skipped=progress.skipped,
        best_step=best.step,
        best=dict(best.metrics),
        last=dict(progress.metrics),
    )
