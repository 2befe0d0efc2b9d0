"""The linear recurrent unit, with a complex diagonal. Derivation of its gradient: docs/derivations/lru.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unrolled.cells.base import Params, State, StepGradients, Trace
from unrolled.cells.families import ElementwiseCell

#: the ring in which the eigenvalues begin, and their largest phase in radians
RING, PHASE = (0.9, 0.999), math.tau


@dataclass(frozen=True)
class LRUCell(ElementwiseCell):
    """One LRU step: H complex units, each turned and shrunk by its own λ, and a real output.

        λ = exp(−exp(ν) + i exp(θ))
        s_t = λ ⊙ s_{t-1} + exp(γ) ⊙ (B x_t)         complex
        h_t = Re(C s_t) + D x_t

    B and D are the three blocks of weight_ih, in the order Re B, Im B, D; C is `weight_out`, (H, 2H), Re C beside Im C;
    ν, θ and γ are `nu_log`, `theta_log` and `gamma_log`, (H,). s is carried as two real states, s_re and s_im, and no
    step reads h. There are no biases. |λ| < 1 whatever ν is.

    The cell is linear in x, and so is a stack of nothing else; the paper puts a nonlinear map between layers.

    Source: Orvieto et al. 2023, arXiv 2303.06349, section 3 and appendix A.
    """

    name: ClassVar[str] = "lru"
    state_names: ClassVar[tuple[str, ...]] = ("h", "s_re", "s_im")
    unread_states: ClassVar[tuple[str, ...]] = ("h",)
    num_biased: ClassVar[int] = 0

    @property
    def num_gates(self) -> int:
        """Three blocks: Re B x, Im B x, D x."""
        return 3

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """weight_ih (3H, I), weight_out (H, 2H), nu_log, theta_log and gamma_log (H,)."""
        vectors = dict.fromkeys(("nu_log", "theta_log", "gamma_log"), (hidden_size,))
        shapes = super().parameter_shapes(input_size, hidden_size, False)
        return {**shapes, "weight_out": (hidden_size, 2 * hidden_size), **vectors}

    def initialise(self, params: Params, hidden_size: int) -> None:
        """λ uniform in a ring of radii 0.9 to 0.999, exp(γ) = √(1 − |λ|²), normal matrices that keep the variance."""
        nu, theta, gamma = params["nu_log"], params["theta_log"], params["gamma_log"]
        inner, outer = RING
        # ln |λ|, of numbers that are uniform in area
        log_modulus = nn.init.uniform_(nu, inner**2, outer**2).log() / 2
        nu.copy_(torch.log(-log_modulus))
        # the phase 0 has no logarithm
        nn.init.uniform_(theta, 0, PHASE).clamp_(min=torch.finfo(theta.dtype).eps).log_()
        gamma.copy_(torch.log(-torch.expm1(2 * log_modulus)) / 2)
        width = params["weight_ih"].shape[1]
        nn.init.normal_(params["weight_ih"], std=1 / math.sqrt(width))
        params["weight_ih"][: 2 * hidden_size].mul_(math.sqrt(0.5))
        nn.init.normal_(params["weight_out"], std=1 / math.sqrt(hidden_size))

    def step(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> State:
        """The next state, (h_t, Re s_t, Im s_t), each (B, H)."""
        return self.trace(x_gates, state, params, mask)[0]

    def trace(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> tuple[State, Trace]:
        """As `step`, with the record: every new and previous state."""
        h_prev, re_prev, im_prev = state
        in_re, in_im, through = x_gates.chunk(3, -1)
        lambda_re, lambda_im, scale = self.constants(params)
        re = lambda_re * re_prev - lambda_im * im_prev + scale * in_re
        im = lambda_re * im_prev + lambda_im * re_prev + scale * in_im
        out_re, out_im = params["weight_out"].chunk(2, -1)
        h = re @ out_re.T - im @ out_im.T + through
        record = {"h_prev": h_prev, "s_re_prev": re_prev, "s_im_prev": im_prev, "h": h, "s_re": re, "s_im": im}
        return (h, re, im), {**record, "in.re": in_re, "in.im": in_im}

    def constants(self, params: Params) -> State:
        """Re λ, Im λ and exp(γ)."""
        return (*self.eigenvalues(params), torch.exp(params["gamma_log"]))

    def eigenvalues(self, params: Params) -> tuple[Tensor, Tensor]:
        """Re λ and Im λ, each (H,)."""
        modulus, phase = torch.exp(-torch.exp(params["nu_log"])), torch.exp(params["theta_log"])
        return modulus * torch.cos(phase), modulus * torch.sin(phase)

    def step_backward(self, trace: Trace, dstate: State, params: Params) -> StepGradients:
        """From (dh_t, dRe s_t, dIm s_t) to those of t − 1: docs/derivations/lru.md, eq. 1-7."""
        dh, dre, dim = dstate
        re_prev, im_prev, in_re, in_im = (trace[k] for k in ("s_re_prev", "s_im_prev", "in.re", "in.im"))
        lambda_re, lambda_im, scale = self.constants(params)
        out_re, out_im = params["weight_out"].chunk(2, -1)
        dre, dim = dre + dh @ out_re, dim - dh @ out_im
        dlambda_re = (dre * re_prev + dim * im_prev).sum(0)
        dlambda_im = (dim * re_prev - dre * im_prev).sum(0)
        dparams = {
            "weight_out": torch.cat([dh.T @ trace["s_re"], -(dh.T @ trace["s_im"])], -1),
            "nu_log": -(dlambda_re * lambda_re + dlambda_im * lambda_im) * torch.exp(params["nu_log"]),
            "theta_log": (dlambda_im * lambda_re - dlambda_re * lambda_im) * torch.exp(params["theta_log"]),
            "gamma_log": (dre * in_re + dim * in_im).sum(0) * scale,
        }
        back = (torch.zeros_like(dh), lambda_re * dre + lambda_im * dim, lambda_re * dim - lambda_im * dre)
        return StepGradients(torch.cat([scale * dre, scale * dim, dh], -1), back, dparams)
