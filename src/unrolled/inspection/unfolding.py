"""The network unfolded over the steps of a real input: the values that go forwards, and the errors that come back.

Letters: T steps of the input, S steps of the output, H units, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrolled.inspection.recorded import Floats, Over, array, part_name, record, step_names, steps_asked
from unrolled.layers import Recurrent
from unrolled.layers.recurrent.unfolding import LayerFlow
from unrolled.tasks.core.probe import Probe
from unrolled.types import Json

#: the textbook's letters for our parameters
TEXTBOOK = {"weight_ih": "U", "weight_hh": "W", "bias_ih": "b", "bias_hh": "b"}


@dataclass(frozen=True)
class UnfoldedLayer:
    """One layer in one direction, unfolded.

    Attributes:
        name: e.g. "hidden.l0_reverse".
        cell: in words, e.g. "LSTMCell()".
        over: whose steps the layer runs over: the input's, the output's as in a decoder, or its own.
        steps: their names (T).
        activations: quantity of `values` → the activation that produced it.
        values: gate or state → (T, H), forwards; of a batch, as over the segments of a forecast, the first sequence.
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
        steps: the name of each step of the input (T).
        outputs: the name of each step of the output (S).
        layers: from the input upwards; one entry for each call, where a layer is called several times.
        asked: the target class of each step of the output.
        likeliest: for each step of the output, the most probable classes with their probabilities; of a forecast,
            the values, the target first.
        losses: (S,), −ln p of each step's target, nats (of a forecast: minus its value).
        looked_at: the output steps whose summed losses are propagated back.
        parameters: name → shape of every parameter outside the recurrent layers (the textbook's V and c among them).
        note: what was left out of the input.
        values: whether the outputs are values, as of a forecast, rather than probabilities.
        synced: whether step t of the output follows step t of the input.
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
        """Return the likeliest class at a step of the output with its probability, the name formatted by `written`."""
        name, share = self.likeliest[step][0]
        return f"{written(name)} {share:.3g}" if self.values else f"{written(name)} {share:.0%}"

    def as_json(self) -> Json:
        """Return the unfolding as a JSON object."""
        whole: Json = _plain(asdict(self))
        return whole


def _plain(value: Any) -> Any:
    """Return a nest with lists in place of arrays and tuples."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def unfold_network(probe: Probe, at: Sequence[int] | None = None, likeliest: int = 5) -> UnfoldedNetwork:
    """Run a network over an input and back, and return every value and error.

    Args:
        probe: the input.
        at: output steps whose losses are propagated back; all of them by default, as in training.
        likeliest: the number of classes to name at each output step.

    Raises:
        ArgumentError: the input passes no recurrent layer, or a step is out of range.
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
                    error_norms=np.linalg.norm(array(_shown(part, call.layer)[:, 0]), axis=1),
                    shares={k: array(v) for k, v in part.shares.items()},
                    gradients={k: float(v.norm()) for k, v in part.dparams.items()},
                    weights={k: tuple(v.shape) for k, v in params.items()},
                )
            )
    recurrent = {id(parameter) for call in recorded.calls for parameter in call.layer.parameters()}
    others = {n: tuple(p.shape) for n, p in probe.network.named_parameters() if id(p) not in recurrent}
    targets = probe.targets.tolist()
    outputs = recorded.logits.detach() if probe.values else recorded.logits.detach().softmax(-1)
    order = outputs.argsort(-1, descending=True)[:, :likeliest].tolist()
    if probe.values:
        order = [[target, *(k for k in range(outputs.shape[1]) if k != target)][:likeliest] for target in targets]
    named = tuple(
        tuple((probe.classes(k), float(row[k])) for k in chosen) for row, chosen in zip(outputs, order, strict=True)
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


def _shown(flow: LayerFlow, layer: Recurrent) -> Tensor:
    """Return the error that pictures show: that at h or, where no step reads h, that at all states."""
    return flow.error if layer.cell.unread_states else flow.errors["h"]
