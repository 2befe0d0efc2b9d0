"""What mattered: how much each step of the input moved an output, by three methods that fail in different ways.

Everything is in nats of ln p of the class asked about (of a forecast: in its own unit), in evaluation, on whatever
engine serves the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.inspection.recorded import Floats, array
from unrolled.tasks.core.probe import Probe


@dataclass(frozen=True)
class Attribution:
    """How much each step of the input matters to one step of the output.

    Attributes:
        method: saliency, integrated gradients or occlusion.
        steps: what each step of the input is called.
        output: what the step of the output is called.
        target: the class that is asked about.
        log_prob: ln p of it, nats; of a forecast, its value, standardised.
        values: (T,), one for each step of the input; what they mean is the method's.
        unit: their unit.
        error: for integrated gradients, by how many nats the values' sum misses ln p − ln p of the baseline.
    """

    method: str
    steps: tuple[str, ...]
    output: str
    target: str
    log_prob: float
    values: Floats
    unit: str
    error: float | None = None

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {**vars(self), "steps": list(self.steps), "values": self.values.tolist()}


def saliency(probe: Probe, at: int = -1) -> Attribution:
    """‖∂ ln p / ∂x_s‖ for each step s of the input: how much a small change there would matter.

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
    """The gradient's integral along the straight way from a baseline to x, times that way: shares of ln p, with a sign.

    The shares' sum is ln p(x) − ln p(baseline) but for the error of the sum over points, which is told.

    Args:
        probe: the input.
        at: the step of the output.
        tolerance: points are tripled, from 27 on, until the error is below this share of the difference; where shares
            cancel each other, below this share of a tenth of their sizes' sum.
        most: points, however large the error still is.
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
    # what rounding alone makes of a difference
    least = 32 * torch.finfo(x.dtype).eps * max(1.0, abs(score))
    points, total = min(27, most), torch.zeros_like(x, dtype=torch.float64)
    fresh: Sequence[int] = range(points)
    while True:
        for k in fresh:
            total += _gradient(probe, start + (k + 0.5) / points * (x - start), index)[1]
        values = _sums((x - start) * total / points, probe.axis)
        error = float(values.sum()) - difference
        allowed = max(tolerance * abs(difference), 0.1 * tolerance * float(np.abs(values).sum()), least)
        if abs(error) <= allowed or 3 * points > most:
            return _attribution(probe, index, "integrated gradients", score, values, probe.unit, error)
        points *= 3
        # the middle of each third that is in the middle is where a gradient was taken already
        fresh = [k for k in range(points) if k % 3 != 1]


def occlusion(probe: Probe, at: int = -1, baseline: Tensor | None = None) -> Attribution:
    """ln p − ln p with step s taken out (its vector replaced): what is lost without it.

    Args:
        probe: the input.
        at: the step of the output.
        baseline: what stands in its place, shaped as x; zeros by default.

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
