"""The vanilla recurrent cell. Derivation of its gradient: docs/derivations/rnn.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from unrolled.cells.base import Params, State, StepGradients, Trace
from unrolled.cells.families import GatedCell
from unrolled.cells.maths import activation, masked


@dataclass(frozen=True)
class RNNCell(GatedCell):
    """h_t = φ(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), with φ one of tanh, relu and sigmoid.

    In the textbook's letters: h_t = φ(U x_t + W h_{t-1} + b), with b = b_ih + b_hh.

    Source: Elman 1990, doi:10.1207/s15516709cog1402_1.
    """

    nonlinearity: str = "tanh"

    name: ClassVar[str] = "rnn"
    state_names: ClassVar[tuple[str, ...]] = ("h",)

    def __post_init__(self) -> None:
        activation(self.nonlinearity)

    @property
    def num_gates(self) -> int:
        """One: the hidden preactivation itself."""
        return 1

    @property
    def activations(self) -> Mapping[str, str]:
        """h is the activation's own value."""
        return {"h": self.nonlinearity}

    def state_sizes(self, hidden_size: int) -> tuple[int, ...]:
        """(H,)."""
        return (hidden_size,)

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """weight_ih (H, I), weight_hh (H, H), bias_ih and bias_hh (H,)."""
        return self.gate_shapes(input_size, hidden_size, bias)

    def step(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> State:
        """The next state, (h_t,), (B, H)."""
        return self.trace(x_gates, state, params, mask)[0]

    def trace(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> tuple[State, Trace]:
        """As `step`, with the record: h_prev, preactivation, h."""
        (h_prev,) = state
        h_gates, record = self.recur(masked(h_prev, mask), params)
        preactivation = x_gates + h_gates
        h = activation(self.nonlinearity).function(preactivation)
        record |= {"h_prev": h_prev, "preactivation": preactivation, "h": h}
        if mask is not None:
            record["mask"] = mask
        return (h,), record

    def step_backward(self, trace: Trace, dstate: State, params: Params) -> StepGradients:
        """da = dh ⊙ φ'(a);  dh_{t-1} = W_hhᵀ da;  dW_hh += da h_{t-1}ᵀ: docs/derivations/rnn.md, eq. 2-4."""
        (dh,) = dstate
        dpreactivation = dh * activation(self.nonlinearity).derivative(trace["h"])
        dh_prev, dparams = self.recur_backward(dpreactivation, trace, params)
        return StepGradients(dpreactivation, (masked(dh_prev, trace.get("mask")),), dparams)
