"""The minimal gated recurrent unit. Derivation of its gradient: docs/derivations/mingru.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unrolled.cells.base import Params, Trace
from unrolled.cells.families import LinearCell


@dataclass(frozen=True)
class MinGRUCell(LinearCell):
    """One minGRU step; gate order z, n.

        z = σ(W_iz x_t + b_iz)       n = W_in x_t + b_in
        h_t = (1 − z) ⊙ h_{t-1} + z ⊙ n

    z weighs the new against the old, the other way round from torch's GRU. 1 − z is computed as σ(−·), so that it
    keeps its digits where z is near 1.

    Source: Feng et al. 2024, arXiv 2410.01201, section 3.1.
    """

    name: ClassVar[str] = "mingru"
    num_biased: ClassVar[int] = 2

    @property
    def num_gates(self) -> int:
        """Two: z, n."""
        return 2

    @property
    def activations(self) -> Mapping[str, str]:
        """z is a sigmoid; n is bent by nothing."""
        return {"z": "sigmoid"}

    def coefficients(self, x_gates: Tensor, params: Params) -> tuple[Tensor, Tensor, Trace]:
        """a = 1 − z, b = z ⊙ n, and the record z, n."""
        x_z, n = x_gates.chunk(2, -1)
        z = torch.sigmoid(x_z)
        return torch.sigmoid(-x_z), z * n, {"z": z, "n": n}

    def coefficients_backward(
        self, trace: Trace, da: Tensor, db: Tensor, params: Params
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """dz = (db ⊙ n − da) ⊙ z ⊙ (1 − z);  dn = db ⊙ z: docs/derivations/mingru.md, eq. 4-5."""
        z, n = trace["z"], trace["n"]
        return torch.cat([(db * n - da) * z * trace["kept.a"], db * z], -1), {}
