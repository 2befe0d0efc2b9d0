"""What happens inside, as JSON: the arrays of `unrolled.inspection`, typed, bounded and rounded to five digits.

Letters: T steps of the input, S of the output, U units that are sent of a layer's H. null stands where a number is not
finite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, Field

from unrolled.inspection import (
    connectivity,
    gate_statistics,
    gradient_flow,
    integrated_gradients,
    occlusion,
    saliency,
    unfold_network,
)
from unrolled.storage import plain_json
from unrolled.tasks.core.probe import Probe

Part = Literal["unfolding", "gates", "gradients", "mattered", "connectivity"]
PARTS: tuple[Part, ...] = get_args(Part)
#: recurrent layers that are sent, the last ones of more
LAYERS = 8
#: points of integrated gradients at most; by how much they miss is told
POINTS = 243

Values = dict[str, list[list[float | None]]]
Numbers = list[float | None]
Over = Literal["input", "output", "own"]


class LayerInside(BaseModel):
    """One recurrent layer in one direction, every step laid open."""

    name: str
    cell: str
    over: Over = Field(description="whose steps its steps are: the input's, the output's as in a decoder, or its own")
    steps: list[str] = Field(description="(T) what they are called")
    activations: dict[str, str] = Field(description="quantity of values → the activation that it is the result of")
    hidden_size: int = Field(description="H, of which the first U units are sent")
    values: Values = Field(description="gate or state → (T, U), forwards")
    means: dict[str, Numbers] = Field(description="gate or state → (T), the mean over all H units")
    norms: Numbers = Field(description="(T), ‖h‖ over all H units")
    errors: Values = Field(description="state → (T, U), backwards: ∂L/∂ of it after each step, nats per unit of it")
    error_norms: Numbers = Field(description="(T), ‖∂L/∂h‖ over all H units, nats per unit of h")
    shares: dict[str, Numbers] = Field(
        description="parameter → (T), the norm of what each step adds to its gradient, nats per unit of it"
    )
    gradients: dict[str, float | None] = Field(description="parameter → the norm of its gradient, all steps together")
    weights: dict[str, list[int]] = Field(description="parameter → its shape; the same weights at every step")


class Unfolded(BaseModel):
    """The network unfolded over the input, forwards and backwards."""

    layers: list[LayerInside] = Field(description=f"from the input upwards, the last {LAYERS} of more")
    layers_left_out: int
    likeliest: list[list[tuple[str, float | None]]] = Field(
        description="(S) the most probable classes with their probabilities; of a forecast, values (standardised)"
    )
    losses: Numbers = Field(description="(S), −ln p of each step's target, nats; of a forecast, minus its value")
    looked_at: list[int] = Field(description="the output steps whose losses are sent back, added up")
    parameters: dict[str, list[int]] = Field(description="name → shape of the parameters outside the recurrent layers")


class Histogram(BaseModel):
    """How values are spread."""

    counts: Numbers = Field(description="(40)")
    edges: Numbers = Field(description="(41)")


class Gates(BaseModel):
    """One layer's gates and states through time."""

    layer: str
    over: Over
    steps: list[str] = Field(description="(T)")
    values: Values = Field(description="gate or state → (T, U)")
    shut: dict[str, Numbers] = Field(description="sigmoid gate → (U), the share of steps at which it is below 0.1")
    open: dict[str, Numbers] = Field(description="sigmoid gate → (U), the share of steps at which it is above 0.9")
    saturated: dict[str, float | None] = Field(
        description="quantity → the share of its values where the activation's slope is below a tenth of its largest"
    )
    histograms: dict[str, Histogram] = Field(description="quantity → how all its values are spread")


class LayerVerdict(BaseModel):
    """Whether gradients vanish or explode in a layer."""

    layer: str
    kind: Literal["healthy", "vanishing", "exploding", "unknown"]
    lag: int | None = Field(description="steps back from which it holds")
    rate: float | None = Field(description="by what factor the error changes a step, on average")
    evidence: str
    remedies: list[str] = Field(description="what to try, the likeliest first")


class Gradients(BaseModel):
    """The error on its way back through time."""

    layers: list[str]
    norms: dict[str, Numbers] = Field(
        description="layer → ‖∂L_t/∂h_{t−k}‖ for k = 0, 1, …, nats per unit of h, the mean over the steps looked at"
    )
    steps: list[int] = Field(description="the output steps t that were looked at")
    verdicts: list[LayerVerdict]


class Mattered(BaseModel):
    """How much each step of the input matters to one step of the output, by one method."""

    method: Literal["integrated gradients", "occlusion", "saliency"]
    steps: list[str] = Field(description="(T)")
    output: str = Field(description="the step of the output")
    target: str = Field(description="the class that is asked about")
    log_prob: float | None = Field(description="ln p of it, nats; of a forecast, its value (standardised)")
    values: Numbers = Field(description="(T); with a sign for all methods but saliency")
    unit: str
    error: float | None = Field(
        description="of integrated gradients: by how much the sum of values misses ln p − ln p of an empty input"
    )


class Connected(BaseModel):
    """Which steps of the input each step of the output leans on."""

    steps: list[str] = Field(description="(T)")
    outputs: list[str] = Field(description="(S)")
    strength: list[Numbers] = Field(description="(S, T), ‖∂ ln p_s/∂x_t‖, nats per unit of x")


class Parts(BaseModel):
    """What was asked for, and could be had."""

    unfolding: Unfolded | None = None
    gates: list[Gates] | None = Field(None, description="a layer each")
    gradients: Gradients | None = None
    mattered: list[Mattered] | None = Field(None, description="three methods that fail in different ways")
    connectivity: Connected | None = None


class Inspected(BaseModel):
    """One input on its way through a model."""

    model: str
    task: str
    steps: list[str] = Field(description="(T) what each step of the input is called")
    outputs: list[str] = Field(description="(S) what each step of the output is called")
    targets: list[str] = Field(description="(S) the class that is asked about at each step of the output")
    at: int = Field(description="the step of the output that `mattered` is about")
    separator: str | None = Field(description="what stands between the steps where they are a text")
    synced: bool = Field(description="whether step t of the output is said when step t of the input has been read")
    values: bool = Field(description="whether outputs are values (of a forecast), and no probabilities")
    note: str = Field(description="what was left out of the input")
    parts: Parts
    refused: dict[Part, str] = Field(description="parts that were asked for and can't be had for this input, and why")


def about(probe: Probe, at: int) -> dict[str, Any]:
    """What is said of the input, besides the parts.

    Args:
        probe: the input.
        at: the step of the output, from 0.
    """
    named = probe.outputs if probe.values else tuple(probe.classes(int(k)) for k in probe.targets)
    return {
        "steps": list(probe.steps),
        "outputs": list(probe.outputs),
        "targets": list(named),
        "at": at,
        "separator": probe.separator,
        "synced": probe.synced,
        "values": probe.values,
        "note": probe.note,
    }


def unfolding(probe: Probe, at: int, units: int) -> dict[str, Any]:
    """As `Unfolded`."""
    found = unfold_network(probe)
    layers = [
        {
            "name": layer.name,
            "cell": layer.cell,
            "over": layer.over,
            "steps": list(layer.steps),
            "activations": layer.activations,
            "hidden_size": layer.values["h"].shape[1],
            "values": _first_units(layer.values, units),
            "means": {k: numbers(v.mean(1)) for k, v in layer.values.items()},
            "norms": numbers(np.linalg.norm(layer.values["h"], axis=1)),
            "errors": _first_units(layer.errors, units),
            "error_norms": numbers(layer.error_norms),
            "shares": {k: numbers(v) for k, v in layer.shares.items()},
            "gradients": plain_json(layer.gradients),
            "weights": {k: list(v) for k, v in layer.weights.items()},
        }
        for layer in found.layers[-LAYERS:]
    ]
    return {
        "layers": layers,
        "layers_left_out": max(0, len(found.layers) - LAYERS),
        "likeliest": plain_json([[[name, p] for name, p in step] for step in found.likeliest]),
        "losses": numbers(found.losses),
        "looked_at": list(found.looked_at),
        "parameters": {k: list(v) for k, v in found.parameters.items()},
    }


def gates(probe: Probe, at: int, units: int) -> list[dict[str, Any]]:
    """As a list of `Gates`."""
    return [
        {
            "layer": one.layer,
            "over": one.over,
            "steps": list(one.steps),
            "values": _first_units(one.values, units),
            "shut": {k: numbers(v[:units]) for k, v in one.shut.items()},
            "open": {k: numbers(v[:units]) for k, v in one.open.items()},
            "saturated": plain_json(one.saturated),
            "histograms": {
                k: {"counts": numbers(counts), "edges": numbers(edges)} for k, (counts, edges) in one.histograms.items()
            },
        }
        for one in gate_statistics(probe)[-LAYERS:]
    ]


def gradients(probe: Probe, at: int, units: int) -> dict[str, Any]:
    """As `Gradients`."""
    found = gradient_flow(probe)
    return {
        "layers": list(found.layers),
        "norms": {name: numbers(norms) for name, norms in found.norms.items()},
        "steps": list(found.steps),
        "verdicts": plain_json([verdict.as_json() for verdict in found.verdicts]),
    }


def mattered(probe: Probe, at: int, units: int) -> list[dict[str, Any]]:
    """As a list of `Mattered`."""
    shares = [integrated_gradients(probe, at, most=POINTS), occlusion(probe, at), saliency(probe, at)]
    return [plain_json(one.as_json() | {"values": numbers(one.values)}) for one in shares]


def connected(probe: Probe, at: int, units: int) -> dict[str, Any]:
    """As `Connected`."""
    found = connectivity(probe)
    return {"steps": list(found.steps), "outputs": list(found.outputs), "strength": numbers(found.strength)}


#: how each part is made: of the input, the step of the output that is asked about, and the units that are sent
MAKERS: Mapping[Part, Callable[[Probe, int, int], Any]] = {
    "unfolding": unfolding,
    "gates": gates,
    "gradients": gradients,
    "mattered": mattered,
    "connectivity": connected,
}


def numbers(values: Any) -> Any:
    """An array as lists, five significant digits, null for what is not finite.

    >>> numbers(np.array([[0.123456, 2.0], [np.inf, -1e-7]]))
    [[0.12346, 2.0], [None, -1e-07]]
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim > 1:
        return [numbers(row) for row in array]
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in array.tolist()]


def _first_units(values: Mapping[str, Any], units: int) -> dict[str, Any]:
    return {name: numbers(array[:, :units]) for name, array in values.items()}
