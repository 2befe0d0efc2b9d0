"""Which steps of the input each step of the output leans on: a row of saliencies for every output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from unrolled.inspection.recorded import Floats, array
from unrolled.tasks.core.probe import Probe


@dataclass(frozen=True)
class Connectivity:
    """How strongly outputs and inputs are connected.

    Attributes:
        steps: what each step of the input is called (T).
        outputs: what each step of the output is called (S).
        strength: (S, T), ‖∂ ln p_s / ∂x_t‖, nats per unit of x.
    """

    steps: tuple[str, ...]
    outputs: tuple[str, ...]
    strength: Floats

    @property
    def shares(self) -> Floats:
        """(S, T), each row divided by its sum; a row of zeros stays."""
        sums = self.strength.sum(1, keepdims=True)
        return np.divide(self.strength, sums, out=np.zeros_like(self.strength), where=sums > 0)

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {"steps": list(self.steps), "outputs": list(self.outputs), "strength": self.strength.tolist()}


def connectivity(probe: Probe) -> Connectivity:
    """One backward pass for each step of the output.

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
