"""The gated recurrent unit, both ways of resetting. Derivation of its gradient: docs/derivations/gru.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unrolled.cells.base import Params, State, StepGradients, Trace
from unrolled.cells.families import GatedCell
from unrolled.cells.maths import masked


@dataclass(frozen=True)
class GRUCell(GatedCell):
    """One GRU step; gate order r, z, n.

        r, z = σ(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)
        n = tanh(W_in x_t + b_in + r ⊙ (W_hn h_{t-1} + b_hn))        reset_after=True, torch's and cuDNN's
        n = tanh(W_in x_t + b_in + W_hn (r ⊙ h_{t-1}) + b_hn)        reset_after=False, Cho et al.'s
        h_t = (1 − z) ⊙ n + z ⊙ h_{t-1}

    The recurrent dropout mask acts on h_{t-1} inside the products, not on the h_{t-1} that z carries over.
    With layer norm and reset_after=False, the r, z block and the n block of the recurrent map are normalised apart,
    since n's input is not known before r.

    Source: Cho et al. 2014, arXiv 1406.1078 (v1 resets after, v3 before the product).
    """

    reset_after: bool = True

    name: ClassVar[str] = "gru"
    state_names: ClassVar[tuple[str, ...]] = ("h",)

    @property
    def num_gates(self) -> int:
        """Three: r, z, n."""
        return 3

    @property
    def activations(self) -> Mapping[str, str]:
        """The gates r and z are sigmoids, the proposal n is tanh."""
        return {"r": "sigmoid", "z": "sigmoid", "n": "tanh"}

    def state_sizes(self, hidden_size: int) -> tuple[int, ...]:
        """(H,)."""
        return (hidden_size,)

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """weight_ih (3H, I), weight_hh (3H, H), bias_ih and bias_hh (3H,)."""
        return self.gate_shapes(input_size, hidden_size, bias)

    def step(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> State:
        """The next state, (h_t,), (B, H)."""
        return self.trace(x_gates, state, params, mask)[0]

    def trace(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> tuple[State, Trace]:
        """As `step`, with the record: h_prev, r, z, n, h, and h_n, the recurrent share of n (reset_after only)."""
        (h_prev,) = state
        h_in = masked(h_prev, mask)
        x_r, x_z, x_n = x_gates.chunk(3, -1)
        if self.reset_after:
            h_gates, record = self.recur(h_in, params)
            h_r, h_z, h_n = h_gates.chunk(3, -1)
            r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
            n = torch.tanh(x_n + r * h_n)
            record["h_n"] = h_n
        else:
            split = 2 * h_prev.shape[-1]
            h_rz, record = self.recur(h_in, params, slice(0, split), "hh_rz")
            h_r, h_z = h_rz.chunk(2, -1)
            r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
            h_n, record_n = self.recur(r * h_in, params, slice(split, None), "hh_n")
            n = torch.tanh(x_n + h_n)
            record |= record_n
        h = n + z * (h_prev - n)
        record |= {"h_prev": h_prev, "r": r, "z": z, "n": n, "h": h}
        if mask is not None:
            record["mask"] = mask
        return (h,), record

    def step_backward(self, trace: Trace, dstate: State, params: Params) -> StepGradients:
        """From dh_t to dh_{t-1}: docs/derivations/gru.md, eq. 1-7."""
        (dh,) = dstate
        r, z, n, h_prev = (trace[k] for k in ("r", "z", "n", "h_prev"))
        mask = trace.get("mask")
        dz = dh * (h_prev - n) * z * (1 - z)
        dn = dh * (1 - z) * (1 - n * n)
        dh_carried = dh * z
        if self.reset_after:
            dr = dn * trace["h_n"] * r * (1 - r)
            dh_in, dparams = self.recur_backward(torch.cat([dr, dz, dn * r], -1), trace, params)
        else:
            split = 2 * h_prev.shape[-1]
            dreset, dparams_n = self.recur_backward(dn, trace, params, slice(split, None), "hh_n")
            dr = dreset * trace["hh_rz.h"] * r * (1 - r)
            dh_in, dparams_rz = self.recur_backward(torch.cat([dr, dz], -1), trace, params, slice(0, split), "hh_rz")
            dh_in = dh_in + dreset * r
            dparams = {k: torch.cat([dparams_rz[k], dparams_n[k]]) for k in dparams_n}
        return StepGradients(torch.cat([dr, dz, dn], -1), (dh_carried + masked(dh_in, mask),), dparams)
