"""The long short-term memory cell and its variants. Derivation of its gradient: docs/derivations/lstm.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unrolled.cells.base import Params, State, StepGradients, Trace
from unrolled.cells.families import GatedCell
from unrolled.cells.maths import masked, normalise, normalise_backward
from unrolled.errors import ArgumentError


@dataclass(frozen=True)
class LSTMCell(GatedCell):
    """One LSTM step; gate order i, f, g, o.

        i, f, o = σ(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)     g = tanh(…)
        c_t = f ⊙ c_{t-1} + i ⊙ g                              h_t = o ⊙ tanh(c_t)

    Options, each of which combines with all the others:
        peephole: i and f also see c_{t-1}, and o sees c_t, through `weight_peephole`, a diagonal (order i, f, o).
        coupled: i = 1 − f, so three gates in the order f, g, o (and peepholes in the order f, o).
        proj_size: h_t = W_hr (o ⊙ tanh(c_t)), of width P = proj_size; 0 is no projection.
        layer_norm: both affine maps as in `GatedCell`, and tanh(LN(c_t) ⊙ norm_c + norm_c_bias) for tanh(c_t).

    Source: Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; forget gate: Gers, Schmidhuber & Cummins
    2000, doi:10.1162/089976600300015015; peepholes: Gers, Schraudolph & Schmidhuber 2002; coupled gate: Greff et al.
    2017, arXiv 1503.04069; projection: Sak, Senior & Beaufays 2014, arXiv 1402.1128; layer norm: Ba et al. 2016,
    eq. 20-22.
    """

    peephole: bool = False
    coupled: bool = False
    proj_size: int = 0

    name: ClassVar[str] = "lstm"
    state_names: ClassVar[tuple[str, ...]] = ("h", "c")

    def __post_init__(self) -> None:
        if self.proj_size < 0:
            raise ArgumentError(f"proj_size: expected 0 (none) or a positive width, found {self.proj_size}")

    @property
    def num_gates(self) -> int:
        """Four (i, f, g, o), or three (f, g, o) with the coupled gate."""
        return 3 if self.coupled else 4

    @property
    def activations(self) -> Mapping[str, str]:
        """The gates i, f and o are sigmoids; what is written, g, and what is read of c are tanh."""
        return {"i": "sigmoid", "f": "sigmoid", "g": "tanh", "o": "sigmoid", "tanh_c": "tanh"}

    @property
    def forget_gate(self) -> int | None:
        """The second block, the first with the coupled gate."""
        return 0 if self.coupled else 1

    def state_sizes(self, hidden_size: int) -> tuple[int, ...]:
        """(P, H): h is as wide as the projection, c as the cell."""
        return (self.proj_size or hidden_size, hidden_size)

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """weight_ih (G·H, I), weight_hh (G·H, P), biases (G·H,), weight_hr (P, H), then what the options add."""
        if self.proj_size >= hidden_size and self.proj_size:
            raise ArgumentError(f"proj_size: expected less than hidden_size={hidden_size}, found {self.proj_size}")
        shapes = self.gate_shapes(input_size, hidden_size, bias)
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, hidden_size)
        if self.peephole:
            shapes["weight_peephole"] = ((self.num_gates - 1) * hidden_size,)
        if self.layer_norm:
            shapes |= {"norm_c": (hidden_size,), "norm_c_bias": (hidden_size,)}
        return shapes

    def step(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> State:
        """The next state, (h_t, c_t), (B, P) and (B, H)."""
        return self.trace(x_gates, state, params, mask)[0]

    def trace(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> tuple[State, Trace]:
        """As `step`, with the record: c_prev, the gates i f g o, c, tanh_c, h."""
        h_prev, c_prev = state
        h_gates, record = self.recur(masked(h_prev, mask), params)
        blocks = list((x_gates + h_gates).chunk(self.num_gates, -1))
        peepholes = self._peepholes(params)
        if peepholes:
            blocks[0] = blocks[0] + peepholes[0] * c_prev
            if not self.coupled:
                blocks[1] = blocks[1] + peepholes[1] * c_prev
        f = torch.sigmoid(blocks[-3])
        i = 1 - f if self.coupled else torch.sigmoid(blocks[0])
        g = torch.tanh(blocks[-2])
        c = f * c_prev + i * g
        o = torch.sigmoid(blocks[-1] + peepholes[-1] * c if peepholes else blocks[-1])
        squashed = c
        if self.layer_norm:
            normal, inverse_std = normalise(c)
            record |= {"c.normal": normal, "c.inverse_std": inverse_std}
            squashed = normal * params["norm_c"] + params["norm_c_bias"]
        tanh_c = torch.tanh(squashed)
        h = o * tanh_c
        if self.proj_size:
            h = h @ params["weight_hr"].T
        record |= {"h_prev": h_prev, "c_prev": c_prev, "i": i, "f": f, "g": g, "o": o, "c": c, "tanh_c": tanh_c, "h": h}
        if mask is not None:
            record["mask"] = mask
        return (h, c), record

    def step_backward(self, trace: Trace, dstate: State, params: Params) -> StepGradients:
        """From (dh_t, dc_t) to (dh_{t-1}, dc_{t-1}): docs/derivations/lstm.md, eq. 1-9."""
        dh, dc = dstate
        i, f, g, o, tanh_c, c_prev = (trace[k] for k in ("i", "f", "g", "o", "tanh_c", "c_prev"))
        peepholes = self._peepholes(params)
        dparams: dict[str, Tensor] = {}
        if self.proj_size:
            dparams["weight_hr"] = dh.T @ (o * tanh_c)
            dh = dh @ params["weight_hr"]
        do = dh * tanh_c * o * (1 - o)
        dsquashed = dh * o * (1 - tanh_c * tanh_c)
        if self.layer_norm:
            normal = trace["c.normal"]
            dparams |= {"norm_c": (dsquashed * normal).sum(0), "norm_c_bias": dsquashed.sum(0)}
            dsquashed = normalise_backward(dsquashed * params["norm_c"], normal, trace["c.inverse_std"])
        dc = dc + dsquashed
        if peepholes:
            dc = dc + do * peepholes[-1]
        dg = dc * i * (1 - g * g)
        # with the coupled gate, f pulls c_{t-1} in and pushes g out: ∂c/∂f = c_{t-1} − g
        df = dc * (c_prev - g if self.coupled else c_prev) * f * (1 - f)
        di = dc * g * i * (1 - i)
        dc_prev = dc * f
        if peepholes:
            dc_prev = dc_prev + df * peepholes[-2]
            shares = [(df * c_prev).sum(0), (do * trace["c"]).sum(0)]
            if not self.coupled:
                dc_prev = dc_prev + di * peepholes[0]
                shares.insert(0, (di * c_prev).sum(0))
            dparams["weight_peephole"] = torch.cat(shares)
        dgates = torch.cat([df, dg, do] if self.coupled else [di, df, dg, do], -1)
        dh_prev, recurrent = self.recur_backward(dgates, trace, params)
        return StepGradients(dgates, (masked(dh_prev, trace.get("mask")), dc_prev), dparams | recurrent)

    def _peepholes(self, params: Params) -> tuple[Tensor, ...]:
        """The diagonals, each (H,): i, f, o, or f, o with the coupled gate; none without peepholes."""
        return tuple(params["weight_peephole"].chunk(self.num_gates - 1)) if self.peephole else ()
