"""Who remembers how far: each contestant trains on a problem for a bounded time, and is watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from unrolled.errors import ArgumentError
from unrolled.inspection.lab.contestants import CONTESTANTS, Contestant, check_training, clipped
from unrolled.inspection.lab.problems import Problem
from unrolled.layers.recurrent.unfolding import recording
from unrolled.training.gradients.flow import norms_by_lag
from unrolled.training.gradients.verdict import Verdict, judge

#: steps that a point of the course is the mean of
POINT = 50
#: told which contestant is at it, its share of the time used, and its loss
Told = Callable[[str, float, float], None]


@dataclass
class MemoryRun:
    """How one contestant did.

    Attributes:
        contestant: its name.
        problem, length, unit, chance, limit: the problem, its length, its loss's unit, the loss of who remembers
            nothing, and that below which it is solved.
        steps, losses: the course: the mean loss over the steps up to each point, every 50 steps and at the end.
        flows: (step, norms) of the gradient by lag, ‖∂L_T/∂h_{T−k}‖, at the beginning, in between, and at the end.
        verdicts: for each of `flows`.
        solved_at: the step at which the loss fell below the limit, or None.
        seconds: of training.
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
        """The lowest loss on the course; the mean of a few last steps counts only where there are no others."""
        whole = [loss for step, loss in zip(self.steps, self.losses, strict=True) if step % POINT == 0]
        return min(whole or self.losses, default=float("nan"))

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {**vars(self), "flows": [list(f) for f in self.flows], "verdicts": [v.as_json() for v in self.verdicts]}


def memory_lab(
    problem: Problem,
    contestants: Sequence[Contestant] = CONTESTANTS,
    *,
    hidden_size: int = 64,
    batch_size: int = 32,
    lr: float = 2e-3,
    clip: float = 1.0,
    seconds: float = 60.0,
    steps: int | None = None,
    seed: int = 0,
    told: Told | None = None,
) -> list[MemoryRun]:
    """Let each contestant train on a problem, all on the same sequences.

    Args:
        problem: what is to be remembered.
        contestants: who tries.
        hidden_size: H of each.
        batch_size: B.
        lr: Adam's.
        clip: the norm that gradients are scaled down to.
        seconds: for each contestant, at most.
        steps: for each contestant, at most; None is as many as the time allows.
        seed: of weights and sequences.
        told: about progress.

    Returns:
        A run for each; one ends early when it has solved the problem.

    Raises:
        ArgumentError: a size or a time below its least, or a rate, norm or seed out of range.
    """
    for name, value, least in (
        *(("hidden_size", hidden_size, 1), ("batch_size", batch_size, 1), ("seconds", seconds, 0)),
        ("steps", 1 if steps is None else steps, 1),
    ):
        if value < least or value != value:
            raise ArgumentError(f"{name}: expected at least {least}, found {value}")
    check_training(lr, clip, seed)
    return [
        _run(problem, one, hidden_size, batch_size, lr, clip, seconds, steps, seed, told or (lambda *_: None))
        for one in contestants
    ]


def _run(
    problem: Problem,
    contestant: Contestant,
    hidden_size: int,
    batch_size: int,
    lr: float,
    clip: float,
    seconds: float,
    steps: int | None,
    seed: int,
    told: Told,
) -> MemoryRun:
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    network = contestant.build(problem.input_size, hidden_size, problem.output_size)
    parameters = list(network.parameters())
    optimiser = torch.optim.Adam(parameters, lr=lr, foreach=True)
    run = MemoryRun(contestant.name, problem.name, problem.length, problem.unit, problem.chance, problem.solved)
    begun = time.perf_counter()
    window: list[float] = []
    # looks at 0, 1, 2, 4, … hundred steps: the gradient changes most at the beginning
    look_at = 0
    step = 0
    while not run.reason:
        batch = problem.batch(batch_size, draw)
        looks = step == look_at
        if looks:
            look_at = max(100, 2 * look_at)
            with recording(network, retain=True) as calls:
                loss = problem.loss(network(batch.x), batch.target)
        else:
            loss = problem.loss(network(batch.x), batch.target)
        optimiser.zero_grad()
        loss.backward()
        if looks:
            _look(run, step, calls[0], problem.length)
        norm = clipped(parameters, clip)
        if np.isfinite(norm):
            optimiser.step()
        step += 1
        window.append(float(loss.detach()))
        run.seconds = time.perf_counter() - begun
        if step % POINT == 0:
            mean = float(np.mean(window))
            window.clear()
            run.steps.append(step)
            run.losses.append(mean)
            used = run.seconds / seconds if steps is None else max(run.seconds / max(seconds, 1e-9), step / steps)
            told(contestant.name, min(1.0, used), mean)
            if mean < problem.solved:
                run.solved_at, run.reason = step, "solved"
        if not run.reason and run.seconds >= seconds:
            run.reason = "time is up"
        if not run.reason and steps is not None and step >= steps:
            run.reason = "steps are used up"
    if window:
        run.steps.append(step)
        run.losses.append(float(np.mean(window)))
    with recording(network, retain=True) as calls:
        problem.loss(network(problem.batch(batch_size, draw).x), batch.target).backward()
    _look(run, step, calls[0], problem.length)
    return run


def _look(run: MemoryRun, step: int, call: Any, length: int) -> None:
    norms = norms_by_lag(call, lags=length)["l0"]
    run.flows.append((step, norms))
    run.verdicts.append(judge(f"{run.contestant} at step {step}", norms, call.layer.cell.name))
