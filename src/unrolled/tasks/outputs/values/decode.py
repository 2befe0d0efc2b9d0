"""Encoded signals through a network that answers to each step.

T steps, K numbers, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.data import Arrays, ExampleStore
from unrolled.tasks.core.fitted import AnyFitted

#: steps of the network at a time, where it reads in one direction: memory does not depend on how long a signal is
STEPS = 1 << 15


@torch.no_grad()
def answers(model: AnyFitted, inputs: Sequence[Arrays] | ExampleStore) -> list[NDArray[np.float32]]:
    """Return what the network answers to each step of each encoded input, in the units of the target, (T, K, Q)."""
    return [_answer(model, inputs[n]["x"]) for n in range(len(inputs))]


def _answer(model: AnyFitted, x: NDArray[np.float32]) -> NDArray[np.float32]:
    network: Any = model.network
    device = next(network.parameters()).device
    steps = network.inputs(torch.from_numpy(np.array(x))[:, None].to(device))
    size = max(1, len(steps)) if network.hidden.bidirectional else STEPS
    state, parts = None, []
    for part in steps.split(size):
        h, state = network.hidden(part, state)
        parts.append(network.loss.unstacked(network.output(h))[:, 0].float().cpu().numpy())
    output = model.output
    return output.unscaled(np.concatenate(parts)[output.delay : len(x)])
