"""How far each contestant remembers: it trains on a problem for a limited time, and its gradients are measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch

from unrolled.errors import ArgumentError
from unrolled.inspection.lab.contestants import CONTESTANTS, Contestant, LabNetwork, check_training
from unrolled.inspection.lab.contestants import clip as clip_gradient
from unrolled.inspection.lab.problems import MemoryProblem, ProblemBatch
from unrolled.layers.recurrent.unfolding import RecordedCall, recording
from unrolled.training.gradients.flow import norms_by_lag
from unrolled.training.gradients.verdict import Verdict, advice_in_place, judge
from unrolled.types import Json

#: the number of steps that a point of the loss curve averages
POINT = 50
#: called with a contestant's name, its share of the time used, and its loss
LabProgress = Callable[[str, float, float], None]


@dataclass
class MemoryRun:
    """The result of one contestant.

    Attributes:
        contestant: its name.
        problem, length, unit, chance, limit: the problem, its length, the unit of its loss, the best loss without
            memory, and the loss below which it is solved.
        steps, losses: the loss curve: the mean loss over the steps up to each point, every 50 steps and at the end.
        flows: (step, norms) of the gradient by lag, ‖∂L_T/∂s_{T−k}‖, at the beginning, in between, and at the end.
        verdicts: for each of `flows`.
        solved_at: the step at which the loss fell below the limit, or None.
        seconds: the training time.
        reason: why it ended.
    """

    contestant: str
    problem: str
    length: int
    unit: str
    chance: float
    limit: float
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    flows: list[tuple[int, list[float]]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    solved_at: int | None = None
    seconds: float = 0.0
    reason: str = ""

    @property
    def best(self) -> float:
        """The lowest loss of the curve; a last point of fewer than 50 steps counts only where there is no other."""
        whole = [loss for step, loss in zip(self.steps, self.losses, strict=True) if step % POINT == 0]
        return min(whole or self.losses, default=float("nan"))

    def add_point(self, step: int, window: list[float]) -> float:
        """Add the mean of a window of losses to the curve, empty the window, and return the mean."""
        mean = float(np.mean(window))
        window.clear()
        self.steps.append(step)
        self.losses.append(mean)
        return mean

    def as_json(self) -> Json:
        """Return the run as a JSON object."""
        return {**vars(self), "flows": [list(f) for f in self.flows], "verdicts": [v.as_json() for v in self.verdicts]}


@dataclass(frozen=True)
class _Conditions:
    """The conditions that all contestants share: the arguments of `memory_lab`.

    Raises:
        ArgumentError: a size or a time is too small, or a rate, norm or seed is out of range.
    """

    hidden_size: int
    batch_size: int
    lr: float
    clip: float
    seconds: float
    steps: int | None
    seed: int

    def __post_init__(self) -> None:
        for name, value, least in (
            *(("hidden_size", self.hidden_size, 1), ("batch_size", self.batch_size, 1), ("seconds", self.seconds, 0)),
            ("steps", 1 if self.steps is None else self.steps, 1),
        ):
            if value < least or value != value:
                raise ArgumentError(f"{name}: expected at least {least}, found {value}")
        check_training(self.lr, self.clip, self.seed)

    def used(self, seconds: float, step: int) -> float:
        """Return the used fraction of the time or of the steps, whichever is larger."""
        if self.steps is None:
            return min(1.0, seconds / self.seconds)
        return min(1.0, max(seconds / max(self.seconds, 1e-9), step / self.steps))

    def reason_to_stop(self, seconds: float, step: int) -> str:
        """Return why a contestant must stop; empty if it may go on."""
        if seconds >= self.seconds:
            return "time is up"
        return "steps are used up" if self.steps is not None and step >= self.steps else ""


def memory_lab(
    problem: MemoryProblem,
    contestants: Sequence[Contestant] = CONTESTANTS,
    *,
    hidden_size: int = 64,
    batch_size: int = 32,
    lr: float = 2e-3,
    clip: float = 1.0,
    seconds: float = 60.0,
    steps: int | None = None,
    seed: int = 0,
    progress: LabProgress | None = None,
) -> list[MemoryRun]:
    """Train each contestant on a problem, all on the same sequences.

    Args:
        problem: the problem.
        contestants: the cells and initialisations to compare.
        hidden_size: H of each.
        batch_size: B.
        lr: the learning rate of Adam.
        clip: the norm that gradients are scaled down to.
        seconds: the time limit of each contestant.
        steps: the step limit of each contestant; None for none.
        seed: of weights and sequences.
        progress: called every 50 steps.

    Returns:
        A run for each contestant; a run ends early when the problem is solved.

    Raises:
        ArgumentError: a size or a time is too small, or a rate, norm or seed is out of range.
    """
    conditions = _Conditions(hidden_size, batch_size, lr, clip, seconds, steps, seed)
    return [_run(problem, contestant, conditions, progress) for contestant in contestants]


def _run(
    problem: MemoryProblem, contestant: Contestant, conditions: _Conditions, progress: LabProgress | None
) -> MemoryRun:
    torch.manual_seed(conditions.seed)
    draw = np.random.default_rng(conditions.seed)
    network = contestant.build(problem.input_size, conditions.hidden_size, problem.output_size)
    parameters = list(network.parameters())
    optimiser = torch.optim.Adam(parameters, lr=conditions.lr, foreach=True)
    run = MemoryRun(contestant.name, problem.name, problem.length, problem.unit, problem.chance, problem.solved)
    begun = time.perf_counter()
    window: list[float] = []
    # measured after 0, 100, 200, 400, … steps: the gradient changes most at the beginning
    step = measured_next = 0
    while not run.reason:
        measured = step == measured_next
        if measured:
            measured_next = max(100, 2 * measured_next)
        optimiser.zero_grad()
        loss, call = _backward(network, problem, problem.batch(conditions.batch_size, draw), measured)
        if call is not None:
            _measure(run, step, call)
        if np.isfinite(clip_gradient(parameters, conditions.clip)):
            optimiser.step()
        step += 1
        window.append(loss)
        run.seconds = time.perf_counter() - begun
        if step % POINT == 0:
            mean = run.add_point(step, window)
            if progress is not None:
                progress(contestant.name, conditions.used(run.seconds, step), mean)
            if mean < problem.solved:
                run.solved_at, run.reason = step, "solved"
        run.reason = run.reason or conditions.reason_to_stop(run.seconds, step)
    if window:
        run.add_point(step, window)
    _, call = _backward(network, problem, problem.batch(conditions.batch_size, draw), True)
    if call is not None:
        _measure(run, step, call)
    return run


def _backward(
    network: LabNetwork, problem: MemoryProblem, batch: ProblemBatch, recorded: bool
) -> tuple[float, RecordedCall | None]:
    """Run a batch forwards and backwards; return its loss, and the layer's call if it is to be recorded."""
    context: AbstractContextManager[list[RecordedCall]] = nullcontext([])
    with recording(network, retain=True) if recorded else context as calls:
        loss = problem.loss(network(batch.x), batch.target)
    loss.backward()
    return float(loss.detach()), calls[0] if calls else None


def _measure(run: MemoryRun, step: int, call: RecordedCall) -> None:
    norms = norms_by_lag(call, lags=run.length)["l0"]
    run.flows.append((step, norms))
    in_place = advice_in_place(call.layer)
    run.verdicts.append(judge(f"{run.contestant} at step {step}", norms, call.layer.cell.name, in_place=in_place))
