"""The base classes of families of cells.

A `GatedCell` has two affine maps, W x + b and W h + b, plain or layer-normalised. An `ElementwiseCell` has no W_hh:
each unit sees its own past alone, and a step costs O(H). Of these a `LinearCell` is

    h_t = a_t ⊙ h_{t-1} + b_t

with a_t and b_t that depend on x alone: `coefficients` makes them for any number of steps at once, the same numbers to
rounding as step by step, and only the line above is left for the loop. Everything stays in linear space: a sum of
logarithms of a_t is exact neither where they are near 1 nor where they are 0.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Cell, Params, State, StepGradients, Trace
from unrolled.cells.maths import add_bias, normalise, normalise_backward


@dataclass(frozen=True)
class GatedCell(Cell):
    """A cell whose gates are an affine function of x plus one of h, each layer-normalised on request.

    With `layer_norm`, W_ih x and W_hh h are normalised separately over all G·H gate inputs, scaled by `norm_ih` and
    `norm_hh`; the biases stay where they were and serve as the shifts.
    Source: Ba, Kiros & Hinton 2016, arXiv 1607.06450, eq. 20.
    """

    layer_norm: bool = False

    accepts_mask = True

    @property
    def projects_plainly(self) -> bool:
        """Without layer norm."""
        return not self.layer_norm

    def gate_shapes(self, input_size: int, hidden_size: int, bias: bool) -> dict[str, tuple[int, ...]]:
        """The parameters of both affine maps, in torch.nn's order."""
        rows = self.num_gates * hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, self.state_sizes(hidden_size)[0]),
        }
        if bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.layer_norm:
            shapes |= {"norm_ih": (rows,), "norm_hh": (rows,)}
        return shapes

    def project_input(self, x: Tensor, params: Params) -> Tensor:
        """W_ih x + b_ih, (…, I) → (…, G·H); with layer norm, LN(W_ih x) ⊙ norm_ih + b_ih."""
        if not self.layer_norm:
            return super().project_input(x, params)
        normal, _ = normalise(F.linear(x, params["weight_ih"]))
        return add_bias(normal * params["norm_ih"], params.get("bias_ih"))

    def project_input_backward(self, x: Tensor, dx_gates: Tensor, params: Params) -> tuple[Tensor, dict[str, Tensor]]:
        """The gradient of `project_input`; shapes as in `Cell.project_input_backward`."""
        if not self.layer_norm:
            return super().project_input_backward(x, dx_gates, params)
        normal, inverse_std = normalise(F.linear(x, params["weight_ih"]))
        dsums = normalise_backward(dx_gates * params["norm_ih"], normal, inverse_std)
        dx, dparams = super().project_input_backward(x, dsums, params)
        dparams["norm_ih"] = (dx_gates * normal).flatten(0, -2).sum(0)
        if "bias_ih" in params:
            dparams["bias_ih"] = dx_gates.flatten(0, -2).sum(0)
        return dx, dparams

    def recur(self, h: Tensor, params: Params, rows: slice = slice(None), key: str = "hh") -> tuple[Tensor, Trace]:
        """W_hh h + b_hh for the gates in `rows`, and the record that `recur_backward` reads under `key`."""
        weight, bias = params["weight_hh"][rows], params.get("bias_hh")
        sums = F.linear(h, weight)
        record: Trace = {f"{key}.h": h}
        if self.layer_norm:
            normal, inverse_std = normalise(sums)
            record |= {f"{key}.normal": normal, f"{key}.inverse_std": inverse_std}
            sums = normal * params["norm_hh"][rows]
        return add_bias(sums, None if bias is None else bias[rows]), record

    def recur_backward(
        self, dgates: Tensor, trace: Trace, params: Params, rows: slice = slice(None), key: str = "hh"
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """From the gradient of `recur`'s result, (B, gates), to dh and this step's share of the parameters'.

        Where `rows` picks some of the gates, the shares returned have that many rows.
        """
        dparams = {"bias_hh": dgates.sum(0)} if "bias_hh" in params else {}
        dsums = dgates
        if self.layer_norm:
            normal = trace[f"{key}.normal"]
            dparams["norm_hh"] = (dgates * normal).sum(0)
            dsums = normalise_backward(dgates * params["norm_hh"][rows], normal, trace[f"{key}.inverse_std"])
        dparams["weight_hh"] = dsums.T @ trace[f"{key}.h"]
        return dsums @ params["weight_hh"][rows], dparams


@dataclass(frozen=True)
class ElementwiseCell(Cell):
    """A cell whose only products are those with x: blocks of H rows of weight_ih, the first `num_biased` with a bias.

    With `carries_input` the last of the G blocks is x itself where I = H, and has no rows in weight_ih; where I ≠ H it
    is a product as the others are.
    """

    num_biased: ClassVar[int]
    carries_input: ClassVar[bool] = False

    def constants(self, params: Params) -> State:
        """The vectors, (H,) each, that every step multiplies the state by and that depend on parameters alone."""
        return ()

    @property
    def projects_plainly(self) -> bool:
        """Where every block is a product, and all have a bias or none has."""
        return not self.carries_input and self.num_biased in (0, self.num_gates)

    def state_sizes(self, hidden_size: int) -> tuple[int, ...]:
        """H for each state."""
        return (hidden_size,) * len(self.state_names)

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """weight_ih (G·H, I), or ((G − 1)·H, I) where x itself is the last block; bias_ih for the biased blocks."""
        blocks = self.num_gates - int(self.carries_input and input_size == hidden_size)
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (blocks * hidden_size, input_size)}
        if bias:
            shapes["bias_ih"] = (self.num_biased * hidden_size,)
        return shapes

    def initialise(self, params: Params, hidden_size: int) -> None:
        """weight_ih and bias_ih as a torch.nn.Linear's, from U(−1/√I, 1/√I)."""
        bound = 1 / math.sqrt(params["weight_ih"].shape[1])
        for name in ("weight_ih", "bias_ih"):
            if name in params:
                nn.init.uniform_(params[name], -bound, bound)

    def project_input(self, x: Tensor, params: Params) -> Tensor:
        """W_ih x, with the biases of the first blocks, and x itself where it is carried; (…, I) → (…, G·H)."""
        weight, bias = params["weight_ih"], params.get("bias_ih")
        if bias is not None and len(bias) < len(weight):
            bias = F.pad(bias, (0, len(weight) - len(bias)))
        sums = F.linear(x, weight, bias)
        return torch.cat([sums, x], -1) if self.is_carrying(params) else sums

    def project_input_backward(self, x: Tensor, dx_gates: Tensor, params: Params) -> tuple[Tensor, dict[str, Tensor]]:
        """The gradient of `project_input`; shapes as in `Cell.project_input_backward`."""
        dsums, carried = dx_gates, None
        if self.is_carrying(params):
            dsums, carried = dx_gates.split([len(params["weight_ih"]), x.shape[-1]], -1)
        dx, dparams = super().project_input_backward(x, dsums, params)
        if "bias_ih" in params:
            dparams["bias_ih"] = dparams["bias_ih"][: len(params["bias_ih"])]
        return dx if carried is None else dx + carried, dparams

    def is_carrying(self, params: Params) -> bool:
        """Whether x itself is the last block."""
        rows, columns = params["weight_ih"].shape
        return self.carries_input and rows == (self.num_gates - 1) * columns and self.hidden_size(params) == columns


@dataclass(frozen=True)
class LinearCell(ElementwiseCell):
    """h_t = a_t ⊙ h_{t-1} + b_t with a_t and b_t functions of x_t: a first-order linear recurrence for each unit."""

    state_names: ClassVar[tuple[str, ...]] = ("h",)

    @abstractmethod
    def coefficients(self, x_gates: Tensor, params: Params) -> tuple[Tensor, Tensor, Trace]:
        """a, b and a record of the gates, each (…, H), for any number of leading dimensions of x_gates."""

    @abstractmethod
    def coefficients_backward(
        self, trace: Trace, da: Tensor, db: Tensor, params: Params
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """From the gradients of a and b, (B, H), to that of x_gates and this step's share of the parameters'."""

    def step(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> State:
        """The next state, (h_t,), (B, H)."""
        return self.trace(x_gates, state, params, mask)[0]

    def trace(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> tuple[State, Trace]:
        """As `step`, with the record: h_prev, h, and what `coefficients` records."""
        (h_prev,) = state
        a, b, record = self.coefficients(x_gates, params)
        h = a * h_prev + b
        return (h,), {**record, "kept.a": a, "h_prev": h_prev, "h": h}

    def step_backward(self, trace: Trace, dstate: State, params: Params) -> StepGradients:
        """da = dh ⊙ h_{t-1};  db = dh;  dh_{t-1} = dh ⊙ a: docs/derivations/mingru.md, eq. 1-3."""
        (dh,) = dstate
        dx_gates, dparams = self.coefficients_backward(trace, dh * trace["h_prev"], dh, params)
        return StepGradients(dx_gates, (dh * trace["kept.a"],), dparams)
