"""The Mogrifier LSTM: input and state gate each other before the LSTM sees them.

Derivation of its gradient: docs/derivations/mogrifier.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unrolled.cells.base import Params, State, StepGradients, Trace
from unrolled.cells.lstm import LSTMCell
from unrolled.cells.maths import masked
from unrolled.errors import ArgumentError


@dataclass(frozen=True)
class MogrifierLSTMCell(LSTMCell):
    """An LSTM step over an x_t and an h_{t-1} that have scaled each other, in turn, for so many rounds.

        x ← 2σ(Q₁ h) ⊙ x,   h ← 2σ(R₂ x) ⊙ h,   x ← 2σ(Q₃ h) ⊙ x,   …
        (h_t, c_t) = LSTM(x, (h, c_{t-1}))

    Qᵣ, of odd rounds, is `weight_q1`, `weight_q3`, …, (I, P); Rᵣ, of even ones, `weight_r2`, …, (P, I). What depends on
    x_t depends on h_{t-1} too, so the input's product can't be made for all steps at once. A recurrent dropout mask
    acts on h_{t-1} before the first round.

    Options, beside those of `LSTMCell`:
        rounds: how often one of the two is scaled; 0 is the LSTM.
        rank: Q and R as products of two matrices of so many columns and rows, `weight_q1_left` (I, rank) and
            `weight_q1_right` (rank, P), …; 0 is one full matrix.

    Source: Melis, Kočiský & Blunsom 2020, arXiv 1909.01792, eq. 1-2.
    """

    rounds: int = 5
    rank: int = 0

    name: ClassVar[str] = "mogrifier"

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("rounds", "rank"):
            value = getattr(self, option)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ArgumentError(f"{option}: expected an integer of at least 0, found {value!r}")

    @property
    def projects_plainly(self) -> bool:
        """Never: the step needs x itself."""
        return False

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """Those of `LSTMCell`, then a matrix for each round, or two."""
        shapes = super().parameter_shapes(input_size, hidden_size, bias)
        width = self.state_sizes(hidden_size)[0]
        for number, name in self._rounds():
            rows, columns = (input_size, width) if number % 2 else (width, input_size)
            if self.rank:
                shapes |= {f"{name}_left": (rows, self.rank), f"{name}_right": (self.rank, columns)}
            else:
                shapes[name] = (rows, columns)
        return shapes

    def project_input(self, x: Tensor, params: Params) -> Tensor:
        """x itself, (…, I): the step needs it whole."""
        return x

    def project_input_backward(self, x: Tensor, dx_gates: Tensor, params: Params) -> tuple[Tensor, dict[str, Tensor]]:
        """dx_gates itself; the input's weights get their gradients step by step."""
        return dx_gates, {}

    def trace(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> tuple[State, Trace]:
        """As `step`, with the record of `LSTMCell.trace`, and h as the rounds left it, `h_scaled`."""
        h_prev, c_prev = state
        x, h = x_gates, masked(h_prev, mask)
        rounds: Trace = {}
        for number, name in self._rounds():
            read, scaled = (h, x) if number % 2 else (x, h)
            gate = torch.sigmoid(self._product(read, params, name))
            rounds |= {f"{name}.read": read, f"{name}.gate": gate, f"{name}.scaled": scaled}
            x, h = (2 * gate * x, h) if number % 2 else (x, 2 * gate * h)
        new, record = super().trace(super().project_input(x, params), (h, c_prev), params)
        record |= {**rounds, "h_prev": h_prev, "x.scaled": x, "h_scaled": h}
        if mask is not None:
            record["first.mask"] = mask
        return new, record

    def step_backward(self, trace: Trace, dstate: State, params: Params) -> StepGradients:
        """The LSTM's gradients, then the rounds undone from the last: docs/derivations/mogrifier.md, eq. 1-5."""
        inner = super().step_backward(trace, dstate, params)
        (dh, dc_prev), dparams = inner.dstate, inner.dparams
        dx, of_input = super().project_input_backward(trace["x.scaled"], inner.dx_gates, params)
        dparams |= of_input
        for number, name in reversed(list(self._rounds())):
            gate, scaled = trace[f"{name}.gate"], trace[f"{name}.scaled"]
            dscaled = dx if number % 2 else dh
            dsums = 2 * dscaled * scaled * gate * (1 - gate)
            dread, shares = self._product_backward(dsums, trace[f"{name}.read"], params, name)
            dparams |= shares
            dscaled = 2 * dscaled * gate
            dx, dh = (dscaled, dh + dread) if number % 2 else (dx + dread, dscaled)
        return StepGradients(dx, (masked(dh, trace.get("first.mask")), dc_prev), dparams)

    def _rounds(self) -> Iterator[tuple[int, str]]:
        """The number of each round, from 1, and the name of its matrix."""
        for number in range(1, self.rounds + 1):
            yield number, f"weight_{'q' if number % 2 else 'r'}{number}"

    def _product(self, read: Tensor, params: Params, name: str) -> Tensor:
        """Q h, or R x."""
        if self.rank:
            return read @ params[f"{name}_right"].T @ params[f"{name}_left"].T
        return read @ params[name].T

    def _product_backward(
        self, dsums: Tensor, read: Tensor, params: Params, name: str
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """From the gradient of `_product`'s result to those of what it read, and of the matrices."""
        if not self.rank:
            return dsums @ params[name], {name: dsums.T @ read}
        left, right = params[f"{name}_left"], params[f"{name}_right"]
        dinner = dsums @ left
        return dinner @ right, {f"{name}_left": dsums.T @ (read @ right.T), f"{name}_right": dinner.T @ read}
