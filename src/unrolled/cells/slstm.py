"""The scalar LSTM with exponential gates. Derivation of its gradient: docs/derivations/slstm.md."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Cell, Params, State, StepGradients, Trace
from unrolled.cells.maths import masked
from unrolled.errors import ArgumentError

FORGET_GATES = ("sigmoid", "exp")
#: between these the biases of the forget gate begin, evenly spread: memories of 20 to 400 steps
FORGET_BIASES = (3.0, 6.0)


@dataclass(frozen=True)
class SLSTMCell(Cell):
    """One sLSTM step; gate order i, f, z, o.

        k = W_ih x_t + b_ih + R h_{t-1}           R is block-diagonal: a unit sees the units of its own head
        log f = ln σ(k_f), or k_f                 z = tanh(k_z)       o = σ(k_o)
        m_t = max(log f + m_{t-1}, k_i)           i = exp(k_i − m_t)  f = exp(log f + m_{t-1} − m_t)
        c_t = f ⊙ c_{t-1} + i ⊙ z                 n_t = f ⊙ n_{t-1} + i
        h_t = o ⊙ c_t / n_t

    c and n are the sums of what was written and of the weights it was written with, both divided by eᵐ, so that no
    exponential overflows. h does not depend on m. Where nothing was written yet, n_{t-1} = 0, there is nothing to keep:
    m_t = k_i and f = 0, however far k_i is below 0. `weight_hh` is (4H, H / num_heads): the rows of a gate are those of
    its units, and the columns the units of the row's head.

    Options:
        num_heads: of how many blocks R is made; divides H.
        forget_gate_by: "sigmoid", or "exp"; the paper has both.

    Source: Beck et al. 2024, arXiv 2405.04517, section 2.2 and appendix A.
    """

    num_heads: int = 1
    forget_gate_by: str = "sigmoid"

    name: ClassVar[str] = "slstm"
    state_names: ClassVar[tuple[str, ...]] = ("h", "c", "n", "m")
    joint_states: ClassVar[tuple[str, ...]] = ("c", "n", "m")
    accepts_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.num_heads, int) or isinstance(self.num_heads, bool) or self.num_heads < 1:
            raise ArgumentError(f"num_heads: expected an integer of at least 1, found {self.num_heads!r}")
        if self.forget_gate_by not in FORGET_GATES:
            raise ArgumentError(
                f"forget_gate_by: expected one of {', '.join(FORGET_GATES)}, found {self.forget_gate_by!r}"
            )

    @property
    def num_gates(self) -> int:
        """Four: i, f, z, o."""
        return 4

    @property
    def forget_gate(self) -> int | None:
        """The second block."""
        return 1

    @property
    def activations(self) -> Mapping[str, str]:
        """Return the activations: tanh of z, which is written, and σ of the output gate. i and f are exponentials."""
        return {"z": "tanh", "o": "sigmoid"}

    def state_sizes(self, hidden_size: int) -> tuple[int, ...]:
        """H for each of h, c, n, m."""
        return (hidden_size,) * 4

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """weight_ih (4H, I), weight_hh (4H, H / num_heads), bias_ih (4H,)."""
        if hidden_size % self.num_heads:
            raise ArgumentError(
                f"num_heads: expected a divisor of hidden_size={hidden_size}, found {self.num_heads}; "
                "choose one, or another hidden_size"
            )
        rows = 4 * hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, hidden_size // self.num_heads),
        }
        return {**shapes, "bias_ih": (rows,)} if bias else shapes

    def initialise(self, params: Params, hidden_size: int) -> None:
        """As `Cell.initialise`, with no biases but the forget gate's, from 3 to 6, evenly spread over each head."""
        super().initialise(params, hidden_size)
        if "bias_ih" in params:
            nn.init.zeros_(params["bias_ih"])
            spread = torch.linspace(*FORGET_BIASES, hidden_size // self.num_heads)
            params["bias_ih"][hidden_size : 2 * hidden_size].copy_(spread.repeat(self.num_heads))

    def step(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> State:
        """The next state, (h_t, c_t, n_t, m_t), each (B, H)."""
        return self.trace(x_gates, state, params, mask)[0]

    def trace(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> tuple[State, Trace]:
        """As `step`, with the record: every previous and new state, and the gates i f z o as they act on c and n."""
        h_prev, c_prev, n_prev, m_prev = state
        h_in = masked(h_prev, mask)
        k_i, k_f, k_z, k_o = (x_gates + self._mix(h_in, params["weight_hh"])).chunk(4, -1)
        log_f = F.logsigmoid(k_f) if self.forget_gate_by == "sigmoid" else k_f
        kept = (log_f + m_prev).masked_fill(n_prev == 0, -math.inf)
        m = torch.maximum(kept, k_i)
        i, f = torch.exp(k_i - m), torch.exp(kept - m)
        z, o = torch.tanh(k_z), torch.sigmoid(k_o)
        c, n = f * c_prev + i * z, f * n_prev + i
        h = o * (c / n)
        record = {"h_prev": h_prev, "c_prev": c_prev, "n_prev": n_prev, "m_prev": m_prev}
        record |= {"i": i, "f": f, "z": z, "o": o, "c": c, "n": n, "m": m, "h": h}
        record |= {"hh.h": h_in, "f.shut": torch.sigmoid(-k_f), "m.is_kept": (kept > k_i).to(h.dtype)}
        if mask is not None:
            record["mask"] = mask
        return (h, c, n, m), record

    def step_backward(self, trace: Trace, dstate: State, params: Params) -> StepGradients:
        """From (dh_t, dc_t, dn_t, dm_t) to those of t − 1: docs/derivations/slstm.md, eq. 1-9."""
        dh, dc, dn, dm = dstate
        i, f, z, o, n, h = (trace[k] for k in ("i", "f", "z", "o", "n", "h"))
        c_prev, n_prev = trace["c_prev"], trace["n_prev"]
        do = dh * (trace["c"] / n) * o * (1 - o)
        dc, dn = dc + dh * o / n, dn - dh * h / n
        dz = dc * i * (1 - z * z)
        # of the exponents: k_i − m, and log f + m_{t-1} − m
        dwritten, dkept = (dc * z + dn) * i, (dc * c_prev + dn * n_prev) * f
        dm = dm - dwritten - dkept
        di = dwritten + dm * (1 - trace["m.is_kept"])
        dkept = dkept + dm * trace["m.is_kept"]
        df = dkept * trace["f.shut"] if self.forget_gate_by == "sigmoid" else dkept
        dgates = torch.cat([di, df, dz, do], -1)
        dh_prev, dweight = self._mix_backward(dgates, trace["hh.h"], params["weight_hh"])
        return StepGradients(
            dgates, (masked(dh_prev, trace.get("mask")), dc * f, dn * f, dkept), {"weight_hh": dweight}
        )

    def _mix(self, h: Tensor, weight: Tensor) -> Tensor:
        """R h, (B, H) → (B, 4H), one product for each head and gate."""
        if self.num_heads == 1:
            return F.linear(h, weight)
        heads, blocks = h.unflatten(-1, (self.num_heads, -1)), self._blocks(weight)
        return torch.einsum("bki,gkoi->bgko", heads, blocks).flatten(1)

    def _mix_backward(self, dgates: Tensor, h: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """From the gradient of `_mix`'s result, (B, 4H), to those of h and weight."""
        if self.num_heads == 1:
            return dgates @ weight, dgates.T @ h
        heads, dheads = h.unflatten(-1, (self.num_heads, -1)), dgates.unflatten(-1, (4, self.num_heads, -1))
        dweight = torch.einsum("bgko,bki->gkoi", dheads, heads)
        return torch.einsum("bgko,gkoi->bki", dheads, self._blocks(weight)).flatten(1), dweight.flatten(0, 2)

    def _blocks(self, weight: Tensor) -> Tensor:
        """weight_hh as (gate, head, unit, unit of the head)."""
        return torch.unflatten(weight, 0, (4, self.num_heads, -1))
