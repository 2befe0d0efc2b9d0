"""How much each step of the input matters to an output, by three methods that fail in different ways.

Values are in nats of ln p of the target class (of a forecast: in its own unit), in evaluation mode, on whatever engine
serves the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.inspection.recorded import Floats, array
from unrolled.tasks.core.probe import Probe
from unrolled.types import Json


@dataclass(frozen=True)
class Attribution:
    """How much each step of the input matters to one step of the output.

    Attributes:
        method: saliency, integrated gradients or occlusion.
        steps: the name of each step of the input.
        output: the name of the step of the output.
        target: the class whose probability is explained.
        log_prob: its ln p, nats; of a forecast, its value, standardised.
        values: (T,), one for each step of the input, with the meaning that the method gives them.
        unit: their unit.
        error: for integrated gradients, the sum of the values minus the difference of ln p to the baseline, nats.
    """

    method: str
    steps: tuple[str, ...]
    output: str
    target: str
    log_prob: float
    values: Floats
    unit: str
    error: float | None = None

    def as_json(self) -> Json:
        """Return the attribution as a JSON object."""
        return {**vars(self), "steps": list(self.steps), "values": self.values.tolist()}


def saliency(probe: Probe, at: int = -1) -> Attribution:
    """Return ‖∂ ln p / ∂x_s‖ for each step s of the input: how much a small change there matters.

    Args:
        probe: the input.
        at: the step of the output.

    Raises:
        ArgumentError: the output has no such step.

    Source: Simonyan, Vedaldi & Zisserman 2013, arXiv 1312.6034; for text Li et al. 2016, arXiv 1506.01066.
    """
    index = _step(probe, at)
    x = probe.vectors()
    score, grad = _gradient(probe, x, index)
    return _attribution(probe, index, "saliency", score, _norms(grad, probe.axis), f"{probe.unit} per unit of x")


def integrated_gradients(
    probe: Probe, at: int = -1, tolerance: float = 0.01, most: int = 1024, baseline: Tensor | None = None
) -> Attribution:
    """Return signed shares of ln p: the gradient's integral along the straight path from a baseline to x, times x minus
    the baseline.

    The shares sum to ln p(x) − ln p(baseline), up to the error of the numerical integral, which is returned with them.

    Args:
        probe: the input.
        at: the step of the output.
        tolerance: points are tripled, from 27 on, until the error is below this share of the difference; where shares
            cancel, below this share of a tenth of the sum of their sizes.
        most: the largest number of points, however large the error still is.
        baseline: shaped as x; zeros by default.

    Raises:
        ArgumentError: the output has no such step, or fewer than one point.

    Source: Sundararajan, Taly & Yan 2017, arXiv 1703.01365, eq. 1 and 3.
    """
    if most < 1:
        raise ArgumentError(f"most: expected at least 1 point, found {most}")
    index = _step(probe, at)
    x = probe.vectors()
    start = torch.zeros_like(x) if baseline is None else baseline
    with torch.no_grad():
        score = float(probe.scores(x)[index])
        difference = score - float(probe.scores(start)[index])
    # the difference that rounding alone can make
    least = 32 * torch.finfo(x.dtype).eps * max(1.0, abs(score))
    points, total = min(27, most), torch.zeros_like(x, dtype=torch.float64)
    added: Sequence[int] = range(points)
    while True:
        for k in added:
            total += _gradient(probe, start + (k + 0.5) / points * (x - start), index)[1]
        values = _sums((x - start) * total / points, probe.axis)
        error = float(values.sum()) - difference
        allowed = max(tolerance * abs(difference), 0.1 * tolerance * float(np.abs(values).sum()), least)
        if abs(error) <= allowed or 3 * points > most:
            return _attribution(probe, index, "integrated gradients", score, values, probe.unit, error)
        points *= 3
        # the middle third of each interval has its midpoint where a gradient was taken already
        added = [k for k in range(points) if k % 3 != 1]


def occlusion(probe: Probe, at: int = -1, baseline: Tensor | None = None) -> Attribution:
    """Return ln p − ln p with the vector of step s replaced, for each step s of the input.

    Args:
        probe: the input.
        at: the step of the output.
        baseline: the vectors that replace those of the input, shaped as x; zeros by default.

    Raises:
        ArgumentError: the output has no such step.

    Source: Zeiler & Fergus 2013, arXiv 1311.2901; for text Li, Monroe & Jurafsky 2016, arXiv 1612.08220.
    """
    index = _step(probe, at)
    x = probe.vectors()
    empty = torch.zeros_like(x) if baseline is None else baseline
    losses = torch.zeros(x.shape[probe.axis], dtype=torch.float64)
    with torch.no_grad():
        score = float(probe.scores(x)[index])
        for s in range(len(losses)):
            without = x.clone()
            without.select(probe.axis, s).copy_(empty.select(probe.axis, s))
            losses[s] = score - float(probe.scores(without)[index])
    return _attribution(probe, index, "occlusion", score, losses.numpy(), probe.unit)


def _gradient(probe: Probe, x: Tensor, index: int) -> tuple[float, Tensor]:
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        score = probe.scores(leaf)[index]
        (grad,) = torch.autograd.grad(score, leaf)
    return float(score.detach()), grad


def _step(probe: Probe, at: int) -> int:
    count = len(probe.targets)
    if not -count <= at < count:
        raise ArgumentError(f"at: the output has {count} steps, found {at}")
    return at % count


def _norms(x: Tensor, axis: int) -> Floats:
    return array(x.double().movedim(axis, 0).flatten(1).norm(dim=1))


def _sums(x: Tensor, axis: int) -> Floats:
    return array(x.double().movedim(axis, 0).flatten(1).sum(1))


def _attribution(
    probe: Probe, index: int, method: str, score: float, values: Floats, unit: str, error: float | None = None
) -> Attribution:
    target = probe.classes(int(probe.targets[index]))
    return Attribution(method, probe.steps, probe.outputs[index], target, score, values, unit, error)
