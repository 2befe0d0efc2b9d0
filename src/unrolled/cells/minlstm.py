"""The minimal long short-term memory. Derivation of its gradient: docs/derivations/minlstm.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unrolled.cells.base import Params, Trace
from unrolled.cells.families import LinearCell

#: a preactivation below which σ(k) is eᵏ to the last digit, in float64 as in float32
TAIL = -40.0


@dataclass(frozen=True)
class MinLSTMCell(LinearCell):
    """One minLSTM step; gate order f, i, g.

        f̂ = σ(W_if x_t + b_if)     î = σ(W_ii x_t + b_ii)     g = W_ig x_t + b_ig
        f = f̂ / (f̂ + î)            i = î / (f̂ + î)
        h_t = f ⊙ h_{t-1} + i ⊙ g

    Where both gates are shut so far that float32 has no number for them, both preactivations are raised alike, which
    leaves their quotient as it is.

    Source: Feng et al. 2024, arXiv 2410.01201, section 3.2.
    """

    name: ClassVar[str] = "minlstm"
    num_biased: ClassVar[int] = 3

    @property
    def num_gates(self) -> int:
        """Three: f, i, g."""
        return 3

    @property
    def forget_gate(self) -> int | None:
        """The first block."""
        return 0

    @property
    def activations(self) -> Mapping[str, str]:
        """f and i are sigmoids of the difference ln f̂ − ln î, and of its negative; g is bent by nothing."""
        return {"f": "sigmoid", "i": "sigmoid"}

    def coefficients(self, x_gates: Tensor, params: Params) -> tuple[Tensor, Tensor, Trace]:
        """a = f, b = i ⊙ g, and the record f, i, g."""
        x_f, x_i, g = x_gates.chunk(3, -1)
        raised = (TAIL - torch.maximum(x_f, x_i)).clamp(min=0).detach()
        x_f, x_i = x_f + raised, x_i + raised
        raw_f, raw_i = torch.sigmoid(x_f), torch.sigmoid(x_i)
        total = raw_f + raw_i
        f, i = raw_f / total, raw_i / total
        record = {"f": f, "i": i, "g": g, "f.shut": torch.sigmoid(-x_f), "i.shut": torch.sigmoid(-x_i)}
        return f, i * g, record

    def coefficients_backward(
        self, trace: Trace, da: Tensor, db: Tensor, params: Params
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """d(ln f̂ − ln î) = (da − db ⊙ g) ⊙ f ⊙ i;  dg = db ⊙ i: docs/derivations/minlstm.md, eq. 2-4."""
        i, g = trace["i"], trace["g"]
        dquotient = (da - db * g) * trace["f"] * i
        return torch.cat([dquotient * trace["f.shut"], -dquotient * trace["i.shut"], db * i], -1), {}
