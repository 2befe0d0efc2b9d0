"""The independently recurrent cell. Derivation of its gradient: docs/derivations/indrnn.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from unrolled.cells.base import Params, State, StepGradients, Trace
from unrolled.cells.families import ElementwiseCell
from unrolled.cells.maths import activation, masked


@dataclass(frozen=True)
class IndRNNCell(ElementwiseCell):
    """h_t = φ(W_ih x_t + b_ih + w_hh ⊙ h_{t-1}), with φ one of relu, tanh and sigmoid.

    `weight_hh` is a vector, (H,), the paper's u: each unit sees its own past alone. With relu an error that is followed
    back over T steps is multiplied by at most |w_hh|ᵀ.

    Source: Li et al. 2018, arXiv 1803.04831, section 3.
    """

    nonlinearity: str = "relu"

    name: ClassVar[str] = "indrnn"
    state_names: ClassVar[tuple[str, ...]] = ("h",)
    num_biased: ClassVar[int] = 1
    accepts_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        activation(self.nonlinearity)

    @property
    def num_gates(self) -> int:
        """One."""
        return 1

    @property
    def activations(self) -> Mapping[str, str]:
        """The state itself, of `preactivation`."""
        return {"h": self.nonlinearity}

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """weight_ih (H, I), weight_hh (H,), bias_ih (H,)."""
        shapes = super().parameter_shapes(input_size, hidden_size, bias)
        return {"weight_ih": shapes.pop("weight_ih"), "weight_hh": (hidden_size,), **shapes}

    def initialise(self, params: Params, hidden_size: int) -> None:
        """Input weights as a torch.nn.Linear's; recurrent ones from U(0, 1), so that memories of all lengths begin."""
        super().initialise(params, hidden_size)
        nn.init.uniform_(params["weight_hh"], 0, 1)

    def constants(self, params: Params) -> State:
        """weight_hh."""
        return (params["weight_hh"],)

    def step(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> State:
        """The next state, (h_t,), (B, H)."""
        return self.trace(x_gates, state, params, mask)[0]

    def trace(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> tuple[State, Trace]:
        """As `step`, with the record: h_prev, preactivation, h."""
        (h_prev,) = state
        preactivation = x_gates + params["weight_hh"] * masked(h_prev, mask)
        h = activation(self.nonlinearity).function(preactivation)
        record = {"h_prev": h_prev, "preactivation": preactivation, "h": h}
        if mask is not None:
            record["mask"] = mask
        return (h,), record

    def step_backward(self, trace: Trace, dstate: State, params: Params) -> StepGradients:
        """da = dh ⊙ φ'(a);  dh_{t-1} = w_hh ⊙ da;  dw_hh += da ⊙ h_{t-1}: docs/derivations/indrnn.md, eq. 1-3."""
        (dh,) = dstate
        mask = trace.get("mask")
        da = dh * activation(self.nonlinearity).derivative(trace["h"])
        share = (da * masked(trace["h_prev"], mask)).sum(0)
        return StepGradients(da, (masked(da * params["weight_hh"], mask),), {"weight_hh": share})
