"""The inspection result as JSON: the arrays of `unrolled.inspection`, typed, bounded and rounded to five digits.

Letters: T steps of the input, S of the output, U units that are sent of a layer's H. null stands where a number is not
finite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from unrolled.inspection import (
    connectivity,
    gate_statistics,
    gradient_flow,
    integrated_gradients,
    occlusion,
    saliency,
    unfold_network,
)
from unrolled.tasks.core.probe import Probe

Part = Literal["unfolding", "gates", "gradients", "mattered", "connectivity"]
PARTS: tuple[Part, ...] = get_args(Part)
#: recurrent layers that are sent: the last ones of more
LAYERS = 8
#: points of integrated gradients, at most; the result says how exact they are
POINTS = 243


def numbers(values: Any) -> Any:
    """Return an array as lists, with five significant digits, and null for what is not finite.

    >>> numbers(np.array([[0.123456, 2.0], [np.inf, -1e-7]]))
    [[0.12346, 2.0], [None, -1e-07]]
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim > 1:
        return [numbers(row) for row in array]
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in array.tolist()]


def _first_units(values: Mapping[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """Return arrays (…, H) as lists, of the first units that the context of the validation names."""
    units = (info.context or {}).get("units")
    return {name: numbers(np.asarray(array)[..., :units]) for name, array in values.items()}


Number = Annotated[float | None, BeforeValidator(lambda v: v if v is not None and np.isfinite(v) else None)]
Numbers = Annotated[list[float | None], BeforeValidator(numbers)]
Rows = Annotated[list[list[float | None]], BeforeValidator(numbers)]
#: by quantity: one number a unit, and one a step and unit
Units = Annotated[dict[str, list[float | None]], BeforeValidator(_first_units)]
Values = Annotated[dict[str, list[list[float | None]]], BeforeValidator(_first_units)]
Over = Literal["input", "output", "own"]


class _Read(BaseModel):
    """A result of `unrolled.inspection`, of which it reads the attributes of the same names."""

    model_config = ConfigDict(from_attributes=True)


class InspectedLayer(_Read):
    """One recurrent layer in one direction, with all its steps."""

    name: str
    cell: str
    over: Over = Field(description="whose steps the layer takes: the input's, the output's as in a decoder, or its own")
    steps: list[str] = Field(description="(T) the names of the steps")
    activations: dict[str, str] = Field(description="quantity of `values` → the activation that made it")
    hidden_size: int = Field(description="H, of which the first U units are sent")
    values: Values = Field(description="gate or state → (T, U), forwards")
    means: dict[str, Numbers] = Field(description="gate or state → (T), the mean over all H units")
    norms: Numbers = Field(description="(T), ‖h‖ over all H units")
    errors: Values = Field(description="state → (T, U), backwards: ∂L/∂ of it after each step, nats per unit of it")
    error_norms: Numbers = Field(description="(T), ‖∂L/∂h‖ over all H units, nats per unit of h")
    shares: dict[str, Numbers] = Field(
        description="parameter → (T), the norm of what each step adds to its gradient, nats per unit of it"
    )
    gradients: dict[str, Number] = Field(description="parameter → the norm of its gradient, all steps together")
    weights: dict[str, list[int]] = Field(description="parameter → its shape; the same weights at every step")


class Unfolded(_Read):
    """The network unfolded over the input, forwards and backwards."""

    layers: list[InspectedLayer] = Field(description=f"from the input upwards, the last {LAYERS} of more")
    layers_left_out: int
    likeliest: list[list[tuple[str, Number]]] = Field(
        description="(S) the most probable classes with their probabilities; of a forecast, values (standardised)"
    )
    losses: Numbers = Field(description="(S), −ln p of each step's target, nats; of a forecast, minus its value")
    looked_at: list[int] = Field(description="the output steps whose losses are sent back, added up")
    parameters: dict[str, list[int]] = Field(description="name → shape of the parameters outside the recurrent layers")


class Histogram(BaseModel):
    """A histogram of values."""

    counts: Numbers = Field(description="(40)")
    edges: Numbers = Field(description="(41)")

    @model_validator(mode="before")
    @classmethod
    def _of_pair(cls, given: Any) -> Any:
        return {"counts": given[0], "edges": given[1]} if isinstance(given, tuple) else given


class Gates(_Read):
    """One layer's gates and states through time."""

    layer: str
    over: Over
    steps: list[str] = Field(description="(T)")
    values: Values = Field(description="gate or state → (T, U)")
    shut: Units = Field(description="sigmoid gate → (U), the share of steps at which it is below 0.1")
    open: Units = Field(description="sigmoid gate → (U), the share of steps at which it is above 0.9")
    saturated: dict[str, Number] = Field(
        description="quantity → the share of its values where the activation's slope is below a tenth of its largest"
    )
    histograms: dict[str, Histogram] = Field(description="quantity → histogram of all its values")


class LayerVerdict(_Read):
    """The verdict on the gradients of a layer."""

    layer: str
    kind: Literal["healthy", "vanishing", "exploding", "unknown"]
    lag: int | None = Field(description="steps back from which on it holds")
    rate: Number = Field(description="factor by which the error changes in a step, on average")
    evidence: str
    remedies: list[str] = Field(description="what to try, most promising first")


class InspectedGradients(_Read):
    """The flow of gradients back through time."""

    layers: list[str]
    norms: dict[str, Numbers] = Field(
        description="layer → ‖∂L_t/∂s_{t−k}‖ for k = 0, 1, …, s being all states, nats per unit, the mean over `steps`"
    )
    steps: list[int] = Field(description="the output steps t whose errors are followed")
    verdicts: list[LayerVerdict]


class Mattered(_Read):
    """The contribution of each input step to one output step, by one method."""

    method: Literal["integrated gradients", "occlusion", "saliency"]
    steps: list[str] = Field(description="(T)")
    output: str = Field(description="the step of the output")
    target: str = Field(description="the class whose probability is explained")
    log_prob: Number = Field(description="ln p of the target, nats; of a forecast, its value (standardised)")
    values: Numbers = Field(description="(T), signed except for saliency")
    unit: str
    error: Number = Field(
        description="of integrated gradients: how far the sum of values is from ln p − ln p of an empty input"
    )


class Connected(_Read):
    """The dependence of each output step on each input step."""

    steps: list[str] = Field(description="(T)")
    outputs: list[str] = Field(description="(S)")
    strength: Rows = Field(description="(S, T), ‖∂ ln p_s/∂x_t‖, nats per unit of x")


class InspectedParts(BaseModel):
    """The parts that were asked for."""

    unfolding: Unfolded | None = None
    gates: list[Gates] | None = Field(None, description="a layer each")
    gradients: InspectedGradients | None = None
    mattered: list[Mattered] | None = Field(None, description="by three methods, which fail in different ways")
    connectivity: Connected | None = None


class InspectionResult(BaseModel):
    """The inspection result of one input."""

    model: str
    task: str
    steps: list[str] = Field(description="(T) the name of each input step")
    outputs: list[str] = Field(description="(S) the name of each output step")
    targets: list[str] = Field(description="(S) the class whose probability is explained at each output step")
    at: int = Field(description="the output step that `mattered` is about")
    separator: str | None = Field(description="what separates the steps where they are a text")
    synced: bool = Field(description="whether output step t follows input step t")
    values: bool = Field(description="whether outputs are values (of a forecast) rather than probabilities")
    note: str = Field(description="what was left out of the input, if anything")
    parts: InspectedParts
    refused: dict[Part, str] = Field(description="parts that this input has not, and why")


def summary(probe: Probe, at: int) -> dict[str, Any]:
    """Return the fields of `InspectionResult` that describe the input.

    Args:
        probe: the input.
        at: the output step, from 0.
    """
    targets = probe.outputs if probe.values else tuple(probe.classes(int(k)) for k in probe.targets)
    own = {name: getattr(probe, name) for name in ("steps", "outputs", "separator", "synced", "values", "note")}
    return {**own, "targets": targets, "at": at}


def unfolding(probe: Probe, at: int, units: int) -> Unfolded:
    """Return the network unfolded over an input."""
    unfolded = unfold_network(probe)
    layers = [
        {
            **vars(layer),
            "hidden_size": layer.values["h"].shape[1],
            "means": {name: values.mean(1) for name, values in layer.values.items()},
            "norms": np.linalg.norm(layer.values["h"], axis=1),
        }
        for layer in unfolded.layers[-LAYERS:]
    ]
    left_out = max(0, len(unfolded.layers) - LAYERS)
    return Unfolded.model_validate(
        {**vars(unfolded), "layers": layers, "layers_left_out": left_out}, context={"units": units}
    )


def gates(probe: Probe, at: int, units: int) -> list[Gates]:
    """Return the gates of each layer."""
    return [Gates.model_validate(one, context={"units": units}) for one in gate_statistics(probe)[-LAYERS:]]


def gradients(probe: Probe, at: int, units: int) -> InspectedGradients:
    """Return the flow of gradients."""
    return InspectedGradients.model_validate(gradient_flow(probe))


def mattered(probe: Probe, at: int, units: int) -> list[Mattered]:
    """Return the contributions of input steps to the output step `at`, by each method."""
    shares = [integrated_gradients(probe, at, most=POINTS), occlusion(probe, at), saliency(probe, at)]
    return [Mattered.model_validate(share) for share in shares]


def connected(probe: Probe, at: int, units: int) -> Connected:
    """Return the dependence of output steps on input steps."""
    return Connected.model_validate(connectivity(probe))


#: makes each part, of the input, the output step from 0, and the units that are sent
MAKERS: Mapping[Part, Callable[[Probe, int, int], BaseModel | list[Gates] | list[Mattered]]] = {
    "unfolding": unfolding,
    "gates": gates,
    "gradients": gradients,
    "mattered": mattered,
    "connectivity": connected,
}
