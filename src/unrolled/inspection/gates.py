"""Gates and states over time: how open, how saturated, and at which points of their curves the units operate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unrolled.cells import Cell
from unrolled.errors import ArgumentError
from unrolled.inspection.recorded import Floats, Over, array, part_name, record, step_names, steps_of
from unrolled.tasks.core.probe import Probe
from unrolled.types import Json

#: a gate counts as shut below the first and as open above the second; Karpathy, Johnson & Li 2015, arXiv 1506.02078
SHUT, OPEN = 0.1, 0.9


@dataclass(frozen=True)
class GateStatistics:
    """One layer's gates and states over one input.

    Attributes:
        layer: its name.
        over: whose steps the layer runs over: the input's, the output's as in a decoder, or its own.
        steps: their names (T).
        values: gate or state → (T, H), over time.
        shut, open: sigmoid gate → (H,), the share of steps at which the unit's gate is below 0.1, above 0.9.
        saturated: quantity → the share of its values at which the activation's derivative is below a tenth of its
            largest, so that hardly any gradient passes.
        histograms: quantity → (counts, edges), 40 bins over its range.
        activations: quantity → sigmoid, tanh or relu, as the cell declares; an RNN's h is called activation here, since
            h is also the state. Empty for a cell that declares none.
        operating: quantity → (T·H,) preactivations, from the value by the activation's inverse, for drawing on curves.
    """

    layer: str
    over: Over
    steps: tuple[str, ...]
    values: dict[str, Floats]
    shut: dict[str, Floats]
    open: dict[str, Floats]
    saturated: dict[str, float]
    histograms: dict[str, tuple[Floats, Floats]]
    activations: dict[str, str]
    operating: dict[str, Floats]

    def as_json(self) -> Json:
        """Return the statistics as a JSON object, without the preactivations."""
        return {
            "layer": self.layer,
            "over": self.over,
            "steps": list(self.steps),
            "values": {k: v.tolist() for k, v in self.values.items()},
            "shut": {k: v.tolist() for k, v in self.shut.items()},
            "open": {k: v.tolist() for k, v in self.open.items()},
            "saturated": self.saturated,
            "histograms": {k: {"counts": c.tolist(), "edges": e.tolist()} for k, (c, e) in self.histograms.items()},
        }


def gate_statistics(probe: Probe) -> list[GateStatistics]:
    """Return the gates and states of every recurrent layer over one input.

    Raises:
        ArgumentError: the input passes no recurrent layer.
    """
    recorded = record(probe)
    statistics = []
    for call, unfolding in zip(recorded.calls, recorded.unfoldings, strict=True):
        over = recorded.over(call)
        steps = step_names(probe, over, steps_of(call))
        for name, traces in unfolding.traces().items():
            values = {k: array(v[:, 0]) for k, v in traces.items() if not k.endswith("_prev")}
            statistics.append(_statistics(part_name(call, name), over, steps, values, call.layer.cell))
    return statistics


def _statistics(
    layer: str, over: Over, steps: tuple[str, ...], values: dict[str, Floats], cell: Cell
) -> GateStatistics:
    shown, activations = dict(values), {k: v for k, v in cell.activations.items() if k in values}
    if "preactivation" in shown and "h" in activations:
        shown["activation"], activations["activation"] = shown["h"], activations.pop("h")
    shut, opened, saturated, histograms, operating = {}, {}, {}, {}, {}
    for name, value in shown.items():
        activation = activations.get(name)
        low, high = (0.0, 1.0) if activation == "sigmoid" else _range(value)
        histograms[name] = _histogram(value, low, high)
        if activation is None:
            continue
        if activation == "sigmoid":
            shut[name], opened[name] = (value < SHUT).mean(0), (value > OPEN).mean(0)
        slope, point = derivative(activation, value)
        saturated[name] = float((slope < 0.1).mean())
        operating[name] = values["preactivation"].ravel() if name == "activation" else point.ravel()
    return GateStatistics(layer, over, steps, values, shut, opened, saturated, histograms, activations, operating)


def derivative(activation: str, value: Floats) -> tuple[Floats, Floats]:
    """Return an activation's derivative at the point where it takes a value, as a share of its largest, and that point.

    >>> derivative("sigmoid", np.array([0.5]))[0], derivative("tanh", np.array([0.0]))[0]
    (array([1.]), array([1.]))

    Raises:
        ArgumentError: an activation other than sigmoid, tanh or relu.
    """
    if activation == "sigmoid":
        inside = value.clip(1e-12, 1 - 1e-12)
        return 4 * value * (1 - value), np.log(inside / (1 - inside))
    if activation == "tanh":
        return 1 - value**2, np.arctanh(value.clip(-1 + 1e-12, 1 - 1e-12))
    if activation == "relu":
        return (value > 0).astype(np.float64), value
    raise ArgumentError(f"activation: expected sigmoid, tanh or relu, found {activation!r}")


def _range(value: Floats) -> tuple[float, float]:
    """Return the range from −1 to 1, or as far as the values go."""
    most = float(np.abs(value).max(initial=1.0))
    return (-most, most)


def _histogram(value: Floats, low: float, high: float) -> tuple[Floats, Floats]:
    counts, edges = np.histogram(value, bins=40, range=(low, high))
    return counts.astype(np.float64), edges
