"""The network unfolded over the steps of a real input: what goes forwards at each step, and what comes back.

Letters: T steps of the input, S steps of the output, H units, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from unrolled.inspection.recorded import Floats, Over, array, part_name, record, step_names, steps_asked
from unrolled.tasks.core.probe import Probe

#: the textbook's letters for our parameters
TEXTBOOK = {"weight_ih": "U", "weight_hh": "W", "bias_ih": "b", "bias_hh": "b"}


@dataclass(frozen=True)
class UnfoldedLayer:
    """One layer in one direction, every step laid open.

    Attributes:
        name: e.g. "hidden.l0_reverse".
        cell: in words, e.g. "LSTMCell()".
        over: whose steps they are: the input's, the output's as in a decoder, or its own.
        steps: what they are called (T).
        activations: quantity of `values` → the activation that it is the result of.
        values: gate or state → (T, H), forwards; of passes side by side, as over the segments of a forecast, the first.
        errors: state → (T, H), backwards: ∂L/∂ of the state after each step.
        error_norms: (T,), of h.
        shares: parameter → (T,), the norm of each step's contribution to its gradient.
        gradients: parameter → the norm of its gradient, all steps together.
        weights: parameter → its shape; the same weights at every step.
    """

    name: str
    cell: str
    over: Over
    steps: tuple[str, ...]
    activations: dict[str, str]
    values: dict[str, Floats]
    errors: dict[str, Floats]
    error_norms: Floats
    shares: dict[str, Floats]
    gradients: dict[str, float]
    weights: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class UnfoldedNetwork:
    """A network over one input.

    Attributes:
        steps: what each step of the input is called (T).
        outputs: what each step of the output is called (S).
        layers: from the input upwards; one entry for each pass, where a layer is passed several times.
        asked: for each step of the output, the class that it is asked about.
        likeliest: for each step of the output, the most probable classes with their probabilities; of a forecast,
            values, the one asked about first.
        losses: (S,), −ln p of each step's target, nats (of a forecast: minus its value).
        looked_at: the output steps whose losses are sent back, added up.
        parameters: name → shape of every parameter outside the recurrent layers (the textbook's V and c among them).
        note: what was left out of the input.
        values: whether the outputs are values, as of a forecast, and no probabilities.
        synced: whether step t of the output is said when step t of the input has been read.
    """

    steps: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: tuple[UnfoldedLayer, ...]
    asked: tuple[str, ...]
    likeliest: tuple[tuple[tuple[str, float], ...], ...]
    losses: Floats
    looked_at: tuple[int, ...]
    parameters: dict[str, tuple[int, ...]]
    note: str = ""
    values: bool = False
    synced: bool = False

    def said(self, step: int, written: Callable[[str], str]) -> str:
        """The first of what is likeliest at a step of the output, its name written in some way."""
        name, share = self.likeliest[step][0]
        return f"{written(name)} {share:.3g}" if self.values else f"{written(name)} {share:.0%}"

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "steps": list(self.steps),
            "outputs": list(self.outputs),
            "layers": [
                {
                    "name": layer.name,
                    "cell": layer.cell,
                    "over": layer.over,
                    "steps": list(layer.steps),
                    "activations": layer.activations,
                    "values": {k: v.tolist() for k, v in layer.values.items()},
                    "errors": {k: v.tolist() for k, v in layer.errors.items()},
                    "error_norms": layer.error_norms.tolist(),
                    "shares": {k: v.tolist() for k, v in layer.shares.items()},
                    "gradients": layer.gradients,
                    "weights": {k: list(v) for k, v in layer.weights.items()},
                }
                for layer in self.layers
            ],
            "asked": list(self.asked),
            "likeliest": [[list(pair) for pair in step] for step in self.likeliest],
            "losses": self.losses.tolist(),
            "looked_at": list(self.looked_at),
            "parameters": {k: list(v) for k, v in self.parameters.items()},
            "note": self.note,
            "values": self.values,
            "synced": self.synced,
        }


def unfold_network(probe: Probe, at: Sequence[int] | None = None, likeliest: int = 5) -> UnfoldedNetwork:
    """Run a network over an input and back, and keep everything.

    Args:
        probe: the input.
        at: output steps whose losses are sent back; all of them by default, as in training.
        likeliest: how many classes are named at each output step.

    Raises:
        ArgumentError: there is nothing recurrent to unfold, or a step is out of range.
    """
    recorded = record(probe)
    asked = steps_asked(probe, at if at is not None else range(len(probe.targets)), len(probe.targets))
    losses = -probe.scores_of(recorded.logits)
    flows = recorded.errors(losses[torch.tensor(asked, device=losses.device)].sum(), shares=True)
    layers = []
    for call, unfolding, flow in zip(recorded.calls, recorded.unfoldings, flows, strict=True):
        traces = unfolding.traces()
        over = recorded.over(call)
        blocks = call.layer.parameter_blocks()
        for part, params in zip(flow.layers, blocks, strict=True):
            errors = {name: array(e[:, 0]) for name, e in part.errors.items()}
            layers.append(
                UnfoldedLayer(
                    name=part_name(call, part.name),
                    cell=str(call.layer.cell),
                    over=over,
                    steps=step_names(probe, over, len(errors["h"])),
                    activations=dict(call.layer.cell.activations),
                    values={k: array(v[:, 0]) for k, v in traces[part.name].items() if not k.endswith("_prev")},
                    errors=errors,
                    error_norms=np.linalg.norm(array(part.error[:, 0]), axis=1),
                    shares={k: array(v) for k, v in part.shares.items()},
                    gradients={k: float(v.norm()) for k, v in part.dparams.items()},
                    weights={k: tuple(v.shape) for k, v in params.items()},
                )
            )
    recurrent = {id(parameter) for call in recorded.calls for parameter in call.layer.parameters()}
    others = {n: tuple(p.shape) for n, p in probe.network.named_parameters() if id(p) not in recurrent}
    targets = probe.targets.tolist()
    said = recorded.logits.detach() if probe.values else recorded.logits.detach().softmax(-1)
    order = said.argsort(-1, descending=True)[:, :likeliest].tolist()
    if probe.values:
        order = [[target, *(k for k in range(said.shape[1]) if k != target)][:likeliest] for target in targets]
    named = tuple(
        tuple((probe.classes(k), float(row[k])) for k in chosen) for row, chosen in zip(said, order, strict=True)
    )
    return UnfoldedNetwork(
        probe.steps,
        probe.outputs,
        tuple(layers),
        tuple(map(probe.classes, targets)),
        named,
        array(losses),
        tuple(asked),
        others,
        probe.note,
        probe.values,
        probe.synced,
    )
