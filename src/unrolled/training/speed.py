"""How fast a network trains on this machine, so that a run whose end is a time can be planned."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from unrolled.training.contract import B, Batches, Learner
from unrolled.training.loop import next_batches
from unrolled.training.optimisation.optimisers import (
    clip_gradients,
    gradient_norm,
    gradients,
    make_optimiser,
    trainable_parameters,
)
from unrolled.training.saving.randomness import preserved_randomness
from unrolled.training.settings import TrainingSettings

#: steps that are timed, at most
MOST = 20


def updates_per_second(
    learner: Learner[B],
    batches: Batches[B],
    settings: TrainingSettings,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return how many steps of training this machine does in a second.

    The first step is not counted, as it allocates what the others use. The network is trained a little, so it should be
    made for this alone; random generators are put back.

    Args:
        learner, batches, settings: as for `fit`.
        seconds: ends with the first timed step after that.
        clock: returns the time, s.
    """
    parameters = trainable_parameters(learner.network)
    optimiser = make_optimiser(parameters, settings)
    learner.network.train()
    with preserved_randomness():
        carried = _step(learner, batches, settings, optimiser, parameters, None)
        began = now = clock()
        done = 0
        while done == 0 or (done < MOST and now - began < seconds):
            carried = _step(learner, batches, settings, optimiser, parameters, carried)
            now, done = clock(), done + 1
    return done / max(now - began, 1e-9)


def _step(
    learner: Learner[B],
    batches: Batches[B],
    settings: TrainingSettings,
    optimiser: torch.optim.Optimizer,
    parameters: list[nn.Parameter],
    carried: Any,
) -> Any:
    """Take one step; returns the state that it leaves."""
    for batch in next_batches(batches, settings.accumulate):
        report = learner.loss(batch, None if batch.resets else carried)
        carried = report.carried
        report.mean.backward()
    grads = gradients(parameters)
    # reading the norm waits for the device
    clip_gradients(grads, float(gradient_norm(grads)), settings)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return carried
