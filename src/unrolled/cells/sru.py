"""The simple recurrent unit, with its highway. Derivation of its gradient: docs/derivations/sru.md."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unrolled.cells.base import Params, State, StepGradients, Trace
from unrolled.cells.families import ElementwiseCell
from unrolled.errors import ArgumentError


@dataclass(frozen=True)
class SRUCell(ElementwiseCell):
    """One SRU step; gate order f, r, g, u.

        f = σ(W_if x_t + v_f ⊙ c_{t-1} + b_if)       g = W_ig x_t
        r = σ(W_ir x_t + v_r ⊙ c_{t-1} + b_ir)       u = α x_t, or α W_iu x_t where I ≠ H
        c_t = f ⊙ c_{t-1} + (1 − f) ⊙ g
        h_t = r ⊙ c_t + (1 − r) ⊙ u

    v is `weight_peephole`, (2H,). c alone is carried: no step reads h. 1 − f and 1 − r are computed as σ(−·), so that
    they keep their digits where the gates are near 1.

    Options:
        highway_bias: the initial bias of r.
        rescale: α = √(1 + 2 e^highway_bias), which keeps the variance of h at that of x in a fresh network; else α = 1.

    Source: Lei et al. 2018, arXiv 1709.02755, eq. 1-4; α: section 3.2.
    """

    highway_bias: float = 0.0
    rescale: bool = False

    name: ClassVar[str] = "sru"
    state_names: ClassVar[tuple[str, ...]] = ("h", "c")
    unread_states: ClassVar[tuple[str, ...]] = ("h",)
    num_biased: ClassVar[int] = 2
    carries_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not math.isfinite(self.highway_bias):
            raise ArgumentError(f"highway_bias: expected a finite number, found {self.highway_bias}")

    @property
    def num_gates(self) -> int:
        """Four: f, r, g, u."""
        return 4

    @property
    def forget_gate(self) -> int | None:
        """The first block."""
        return 0

    @property
    def activations(self) -> Mapping[str, str]:
        """The gates f and r are sigmoids; nothing else is bent."""
        return {"f": "sigmoid", "r": "sigmoid"}

    @property
    def highway_scale(self) -> float:
        """α."""
        return math.sqrt(1 + 2 * math.exp(self.highway_bias)) if self.rescale else 1.0

    def hidden_size(self, params: Params) -> int:
        """H, half the length of `weight_peephole`."""
        return len(params["weight_peephole"]) // 2

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """weight_ih (4H, I), or (3H, I) where I = H; bias_ih (2H,); weight_peephole (2H,)."""
        return {**super().parameter_shapes(input_size, hidden_size, bias), "weight_peephole": (2 * hidden_size,)}

    def initialise(self, params: Params, hidden_size: int) -> None:
        """Weights of variance 1/I, those of the gates ½/I, peepholes ½; biases 0 but for `highway_bias`."""
        bound = math.sqrt(3 / params["weight_ih"].shape[1])
        nn.init.uniform_(params["weight_ih"], -bound, bound)
        params["weight_ih"][: 2 * hidden_size].mul_(math.sqrt(0.5))
        nn.init.uniform_(params["weight_peephole"], -math.sqrt(1.5), math.sqrt(1.5))
        if "bias_ih" in params:
            nn.init.zeros_(params["bias_ih"])
            params["bias_ih"][hidden_size:].fill_(self.highway_bias)

    def constants(self, params: Params) -> State:
        """v_f and v_r."""
        return params["weight_peephole"].chunk(2)

    def step(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> State:
        """The next state, (h_t, c_t), each (B, H)."""
        return self.trace(x_gates, state, params, mask)[0]

    def trace(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> tuple[State, Trace]:
        """As `step`, with the record: h_prev, c_prev, the gates f r, what is written g, the highway u, c, h."""
        h_prev, c_prev = state
        x_f, x_r, g, u = x_gates.chunk(4, -1)
        v_f, v_r = self.constants(params)
        a_f, a_r = x_f + v_f * c_prev, x_r + v_r * c_prev
        f, r, f_shut, r_shut = torch.sigmoid(a_f), torch.sigmoid(a_r), torch.sigmoid(-a_f), torch.sigmoid(-a_r)
        u = u * self.highway_scale
        c = f * c_prev + f_shut * g
        h = r * c + r_shut * u
        record = {"h_prev": h_prev, "c_prev": c_prev, "f": f, "r": r, "g": g, "u": u, "c": c, "h": h}
        return (h, c), {**record, "f.shut": f_shut, "r.shut": r_shut}

    def step_backward(self, trace: Trace, dstate: State, params: Params) -> StepGradients:
        """From (dh_t, dc_t) to dc_{t-1}: docs/derivations/sru.md, eq. 1-6."""
        dh, dc = dstate
        f, r, g, u, c, c_prev = (trace[k] for k in ("f", "r", "g", "u", "c", "c_prev"))
        f_shut, r_shut = trace["f.shut"], trace["r.shut"]
        v_f, v_r = self.constants(params)
        dr = dh * (c - u) * r * r_shut
        du = dh * r_shut * self.highway_scale
        dc = dc + dh * r
        df = dc * (c_prev - g) * f * f_shut
        dc_prev = dc * f + df * v_f + dr * v_r
        shares = torch.cat([(df * c_prev).sum(0), (dr * c_prev).sum(0)])
        dx_gates = torch.cat([df, dr, dc * f_shut, du], -1)
        return StepGradients(dx_gates, (torch.zeros_like(dh), dc_prev), {"weight_peephole": shares})
