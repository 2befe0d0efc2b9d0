"""The real-gated linear recurrent unit. Derivation of its gradient: docs/derivations/rglru.md."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Params, State, Trace
from unrolled.cells.families import LinearCell

#: c, how much faster than its slowest a unit can forget; the paper's
SPEED = 8.0
#: the range in which the slowest aᶜ of the units begin, the paper's
SLOWEST = (0.9, 0.999)


@dataclass(frozen=True)
class RGLRUCell(LinearCell):
    """One RG-LRU step; gate order r, i, u.

        r = σ(W_ir x_t + b_ir)       i = σ(W_ii x_t + b_ii)       u = x_t, or W_iu x_t where I ≠ H
        a = σ(Λ)^(c r)               c = 8
        h_t = a ⊙ h_{t-1} + √(1 − a²) ⊙ (i ⊙ u)

    Λ is `decay`, (H,). ln a = −c r softplus(−Λ), and 1 − a² = −expm1(2 ln a), which keeps its digits where a is
    near 1. (The paper's appendix writes softplus(Λ) for it; the sign here is that of a = σ(Λ).)

    Source: De et al. 2024, arXiv 2402.19427, section 2.4 and appendix A.
    """

    name: ClassVar[str] = "rglru"
    num_biased: ClassVar[int] = 2
    carries_input: ClassVar[bool] = True

    @property
    def num_gates(self) -> int:
        """Three: r, i, u."""
        return 3

    @property
    def activations(self) -> Mapping[str, str]:
        """The gates r and i are sigmoids."""
        return {"r": "sigmoid", "i": "sigmoid"}

    def hidden_size(self, params: Params) -> int:
        """H, the length of `decay`."""
        return len(params["decay"])

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """weight_ih (3H, I), or (2H, I) where I = H; bias_ih (2H,); decay (H,)."""
        return {**super().parameter_shapes(input_size, hidden_size, bias), "decay": (hidden_size,)}

    def initialise(self, params: Params, hidden_size: int) -> None:
        """LeCun's normal weights, no biases, and Λ such that σ(Λ)ᶜ is uniform between 0.9 and 0.999."""
        nn.init.normal_(params["weight_ih"], std=1 / math.sqrt(params["weight_ih"].shape[1]))
        if "bias_ih" in params:
            nn.init.zeros_(params["bias_ih"])
        log_a = nn.init.uniform_(params["decay"], *SLOWEST).log() / SPEED
        params["decay"].copy_(log_a - torch.log(-torch.expm1(log_a)))

    def constants(self, params: Params) -> State:
        """ln a where r is 1: c ln σ(Λ)."""
        return (-SPEED * F.softplus(-params["decay"]),)

    def coefficients(self, x_gates: Tensor, params: Params) -> tuple[Tensor, Tensor, Trace]:
        """a, b = √(1 − a²) ⊙ i ⊙ u, and the record r, i, u, a."""
        x_r, x_i, u = x_gates.chunk(3, -1)
        r, i = torch.sigmoid(x_r), torch.sigmoid(x_i)
        log_a = self.constants(params)[0] * r
        # at a = 1 the root's slope has no number; what the clamp adds there is below the least normal one
        fresh = torch.sqrt(-torch.expm1(2 * log_a.clamp(max=-torch.finfo(log_a.dtype).tiny)))
        a = torch.exp(log_a)
        return a, fresh * (i * u), {"r": r, "i": i, "u": u, "a": a, "a.log": log_a, "a.fresh": fresh}

    def coefficients_backward(
        self, trace: Trace, da: Tensor, db: Tensor, params: Params
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """docs/derivations/rglru.md, eq. 1-5."""
        r, i, u, a, fresh = (trace[k] for k in ("r", "i", "u", "a", "a.fresh"))
        du, di = db * fresh * i, db * fresh * u * i * (1 - i)
        # a² / √(1 − a²), and 0 where the clamp holds
        slope = (a * a / fresh).masked_fill(trace["a.log"] > -torch.finfo(a.dtype).tiny, 0)
        dlog_a = da * a - db * i * u * slope
        dr = dlog_a * self.constants(params)[0] * r * (1 - r)
        ddecay = (dlog_a * r).sum(0) * SPEED * torch.sigmoid(-params["decay"])
        return torch.cat([dr, di, du], -1), {"decay": ddecay}
