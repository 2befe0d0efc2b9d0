"""The affine half of a step, which all our cells share: W x + b and W h + b, plain or layer-normalised."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from unrolled.cells.base import Cell, Params, Trace
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
