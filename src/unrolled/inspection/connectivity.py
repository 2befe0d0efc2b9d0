"""Which steps of the input each step of the output depends on: a row of saliencies for every output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from unrolled.inspection.recorded import Floats, array
from unrolled.tasks.core.probe import Probe
from unrolled.types import Json


@dataclass(frozen=True)
class Connectivity:
    """How strongly outputs depend on inputs.

    Attributes:
        steps: the name of each step of the input (T).
        outputs: the name of each step of the output (S).
        strength: (S, T), ‖∂ ln p_s / ∂x_t‖, nats per unit of x.
    """

    steps: tuple[str, ...]
    outputs: tuple[str, ...]
    strength: Floats

    @property
    def shares(self) -> Floats:
        """The strengths (S, T), each row divided by its sum; rows of zeros stay."""
        sums = self.strength.sum(1, keepdims=True)
        return np.divide(self.strength, sums, out=np.zeros_like(self.strength), where=sums > 0)

    def as_json(self) -> Json:
        """Return the connections as a JSON object."""
        return {"steps": list(self.steps), "outputs": list(self.outputs), "strength": self.strength.tolist()}


def connectivity(probe: Probe) -> Connectivity:
    """Return how strongly each output depends on each input, by one backward pass for each step of the output.

    Source: as used in Madsen 2019, "Visualizing memorization in RNNs", doi:10.23915/distill.00016.
    """
    x = probe.vectors().requires_grad_()
    with torch.enable_grad():
        scores = probe.scores(x)
        rows = []
        for score in scores:
            (grad,) = torch.autograd.grad(score, x, retain_graph=True)
            rows.append(array(grad.double().movedim(probe.axis, 0).flatten(1).norm(dim=1)))
    return Connectivity(probe.steps, probe.outputs, np.stack(rows))
