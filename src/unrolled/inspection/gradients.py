"""The error propagated back through time: how large it still is after k steps, and what each step does to it.

T steps, L layers and directions. Sources: Bengio, Simard & Frasconi 1994, doi:10.1109/72.279181; Pascanu, Mikolov &
Bengio 2013, arXiv 1211.5063.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unrolled.cells import Cell, Params, Trace
from unrolled.errors import ArgumentError
from unrolled.inspection.recorded import Floats, array, part_name, record, steps_asked, steps_of
from unrolled.layers import Recurrent
from unrolled.tasks.core.probe import Probe
from unrolled.training.gradients.verdict import NEEDED, Verdict, advice_in_place, judge
from unrolled.types import Json


@dataclass(frozen=True)
class GradientFlow:
    """How the error shrinks or grows as it flows back.

    Attributes:
        layers: the name of each layer and direction.
        norms: layer → (lags,), ‖∂L_t/∂s_{t−k}‖ for k = 0, 1, …, s being all states of the cell: the mean over those
            output steps t that reach so far back; L_t is −ln p of the step's target, nats (of a forecast, its value).
        steps: the output steps t.
        verdicts: one for each layer.
    """

    layers: tuple[str, ...]
    norms: dict[str, Floats]
    steps: tuple[int, ...]
    verdicts: tuple[Verdict, ...]

    def as_json(self) -> Json:
        """Return the flow as a JSON object."""
        return {
            "layers": list(self.layers),
            "norms": {name: norms.tolist() for name, norms in self.norms.items()},
            "steps": list(self.steps),
            "verdicts": [verdict.as_json() for verdict in self.verdicts],
        }


def gradient_flow(probe: Probe, at: Sequence[int] | None = None, most: int = 8) -> GradientFlow:
    """Return ‖∂L_t/∂s_{t−k}‖ by lag, exact, for every recurrent layer.

    Args:
        probe: the input.
        at: output steps t, from 0; by default up to `most`, evenly spread.
        most: how many, if none are named; each costs a backward pass.

    Returns:
        The norms, counted from the last step of each layer that the loss depends on: t itself where output and layer
        are synced, or in a decoder; the last step of an encoder. Calls with a single step are left out where the layer
        is also called with many, since they tell nothing about time. Reverse directions count from the first such step.

    Raises:
        ArgumentError: the input passes no recurrent layer, or a step is out of range.
    """
    recorded = record(probe)
    asked = steps_asked(probe, at, most)
    scores = probe.scores_of(recorded.logits)
    norms_of: dict[str, list[Floats]] = {}
    longest: dict[int, int] = {}
    seen_in: dict[str, tuple[Recurrent, bool]] = {}
    for call in recorded.calls:
        longest[id(call.layer)] = max(steps_of(call), longest.get(id(call.layer), 0))
    for t in asked:
        for call, flow in zip(recorded.calls, recorded.errors(-scores[t]), strict=True):
            if steps_of(call) < 2 <= longest[id(call.layer)]:
                continue
            over = recorded.over(call)
            follows = over == "output" or (over == "input" and probe.synced)
            for layer in flow.layers:
                norms = array(layer.error.double().flatten(1).norm(dim=1))
                first = _nearest(norms, t if follows else None, call.layer, layer.name.endswith("_reverse"))
                back = norms[first:] if layer.name.endswith("_reverse") else norms[: first + 1][::-1]
                name = part_name(call, layer.name)
                norms_of.setdefault(name, []).append(back)
                seen_in[name] = (call.layer, follows)
    means = {name: _mean_of_ragged(rows) for name, rows in norms_of.items()}
    verdicts = tuple(_verdict(name, norms, *seen_in[name], probe) for name, norms in means.items())
    return GradientFlow(tuple(means), means, tuple(asked), verdicts)


def _verdict(name: str, norms: Floats, layer: Recurrent, follows: bool, probe: Probe) -> Verdict:
    """Return the verdict on one layer; if it follows the output step by step, each step has a loss of its own."""
    needed, in_place = NEEDED if follows else None, advice_in_place(layer)
    return judge(name, norms.tolist(), layer.cell.name, probe.options, needed=needed, in_place=in_place)


def _nearest(norms: Floats, t: int | None, layer: Recurrent, reverse: bool) -> int:
    """Return the step at lag 0: the last step that the loss depends on; in reverse, the first. `t` where known."""
    if layer.bidirectional and layer.num_layers > 1:
        # a little error reaches every step of the lower layers, through the other direction above them
        return int(norms.argmax()) if t is None else t
    steps = np.flatnonzero(norms)
    if not len(steps):
        return 0 if reverse else len(norms) - 1
    return int(steps[0] if reverse else steps[-1])


def _mean_of_ragged(rows: list[Floats]) -> Floats:
    """Return the mean at each lag over the rows that reach it."""
    longest = max(len(row) for row in rows)
    table = np.full((len(rows), longest), np.nan)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return np.asarray(np.nanmean(table, axis=0))


@dataclass(frozen=True)
class Jacobians:
    """The recurrent Jacobian ∂s_t/∂s_{t−1} along a sequence, s being all states of a layer, concatenated.

    Attributes:
        layer: its name. Only the layer's own recurrence counts, not the outputs that a decoder is fed.
        radius: (T,) the spectral radius, the largest |eigenvalue|: the effect of a step on an error in the long run.
        norm: (T,) the spectral norm: the most that a step can amplify an error.
        product: (T,) ‖∂s_T/∂s_{T−k}‖ for k = 1 … T: the most that k steps can amplify an error.
        rate: the mean factor per step by which `product` changes (the exponential of the largest Lyapunov exponent).
    """

    layer: str
    radius: Floats
    norm: Floats
    product: Floats
    rate: float

    def as_json(self) -> Json:
        """Return the Jacobian's norms as a JSON object."""
        arrays = {name: getattr(self, name).tolist() for name in ("radius", "norm", "product")}
        return {"layer": self.layer, **arrays, "rate": self.rate}


#: the largest state, in numbers, whose Jacobian can be decomposed at every step in reasonable time
LARGEST_STATE = 2048


def jacobians(probe: Probe, last: int = 32) -> list[Jacobians]:
    """Return the recurrent Jacobian of every layer, at up to `last` of its last steps.

    Raises:
        ArgumentError: the input passes no recurrent layer, or a state is too large.
    """
    described = []
    recorded = record(probe)
    for call, unfolding in zip(recorded.calls, recorded.unfoldings, strict=True):
        blocks = call.layer.parameter_blocks()
        for name, params, (_, tape) in zip(unfolding.names, blocks, unfolding.parts, strict=True):
            width = sum(call.layer.cell.state_sizes(call.layer.hidden_size))
            if width > LARGEST_STATE:
                raise ArgumentError(f"{part_name(call, name)}: a state of {width} numbers, at most {LARGEST_STATE}")
            zoneout = tape.masks.zoneout
            matrices = [step_jacobian(call.layer.cell, trace, params, zoneout) for trace in tape.traces[-last:]]
            described.append(_described(part_name(call, name), matrices))
    return described


def step_jacobian(
    cell: Cell, trace: Trace, params: Params, zoneout: Sequence[Tensor | float | None] | None = None, sequence: int = 0
) -> Tensor:
    """Return ∂s_t/∂s_{t−1} of one sequence, (S, S) with S the sum of the state sizes, in float64.

    It is made by the cell's own `step_backward`: each row is the error that one entry of s_t sends back.

    Args:
        cell, params: those of the layer.
        trace: the record of the step, each (B, ·).
        zoneout: for each state the share of the old value that is kept in evaluation; None for none.
        sequence: the index in the batch.
    """
    with torch.no_grad():
        wide = {k: v.detach().double() for k, v in params.items()}
        size = sum(trace[name].shape[-1] for name in cell.state_names)
        rows = {k: v[sequence].double().expand(size, *v.shape[1:]) for k, v in trace.items()}
        sizes = [trace[name].shape[-1] for name in cell.state_names]
        dstate = tuple(torch.eye(size, dtype=torch.float64, device=trace["h"].device).split(sizes, dim=1))
        jacobian = torch.cat(cell.step_backward(rows, dstate, wide).dstate, dim=1)
        if zoneout is None:
            return jacobian
        # s_t = z s_{t-1} + (1 - z) proposal: the expected update
        kept = torch.cat([jacobian.new_full((n,), float(z or 0)) for n, z in zip(sizes, zoneout, strict=True)])
        return torch.diag(kept) + (1 - kept).unsqueeze(1) * jacobian


def _described(name: str, matrices: list[Tensor]) -> Jacobians:
    radius = [float(torch.linalg.eigvals(m).abs().max()) for m in matrices]
    norm = [float(torch.linalg.matrix_norm(m, 2)) for m in matrices]
    product, products = torch.eye(len(matrices[0]), dtype=torch.float64, device=matrices[0].device), []
    for matrix in reversed(matrices):
        product = product @ matrix
        products.append(float(torch.linalg.matrix_norm(product, 2)))
    rate = products[-1] ** (1 / len(products))
    return Jacobians(name, np.array(radius), np.array(norm), np.array(products), rate)
