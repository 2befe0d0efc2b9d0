"""Losses of forecasts: the pinball loss of quantiles, and likelihoods of values given their parameters."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError, ShapeError

#: the least spread of a likelihood, in units of the scale; that of a constant series would be 0
LEAST_SPREAD = 1e-4


class ForecastLoss(nn.Module):
    """Pinball, absolute or squared error over the known targets.

        pinball_q(y, ŷ) = max(q (y − ŷ), (q − 1) (y − ŷ))          its expectation is least at the q-quantile of y

    Args:
        kind: "quantile" for pinball, "mae" or "mse" for one point.
        levels: the quantiles' levels q, increasing; not used for points.

    Source: Koenker & Bassett 1978, doi:10.2307/1913643.
    """

    def __init__(self, kind: Literal["quantile", "mae", "mse"] = "quantile", levels: Sequence[float] = (0.5,)) -> None:
        super().__init__()
        if kind not in ("quantile", "mae", "mse"):
            raise ArgumentError(f"kind: expected quantile, mae or mse, found {kind!r}")
        if not levels or list(levels) != sorted(set(levels)) or not 0 < levels[0] <= levels[-1] < 1:
            raise ArgumentError(f"levels: expected increasing levels between 0 and 1, found {tuple(levels)}")
        self.kind = kind
        self.levels: Tensor
        self.register_buffer("levels", torch.tensor(list(levels)), persistent=False)
        #: Q, outputs per step
        self.width = len(levels) if kind == "quantile" else 1

    def forward(self, forecast: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, int]:
        """Compare forecasts with the values that occurred.

        Args:
            forecast: (…, Q), one for each level; (…, 1) for points.
            targets: (…), NaN where a value is missing.

        Returns:
            The mean to differentiate, the sum (detached), and the number of targets counted. The loss of quantiles is
            twice the mean over levels: with only the median it is the absolute error.

        Raises:
            ShapeError: the shapes do not match.
        """
        if forecast.shape != (*targets.shape, self.width):
            raise ShapeError(
                "forecast", f"{(*targets.shape, self.width)}, as targets with a level each", forecast.shape
            )
        known = ~torch.isnan(targets)
        error = torch.where(known, targets, 0).unsqueeze(-1) - torch.where(known.unsqueeze(-1), forecast, 0)
        if self.kind == "quantile":
            levels = self.levels.to(error.dtype)
            losses = 2 * torch.maximum(levels * error, (levels - 1) * error)
        else:
            losses = error.abs() if self.kind == "mae" else error.square()
        count = int(known.sum())
        total = losses.sum() / self.width
        return total / max(count, 1), total.detach(), count


class Likelihood(ABC):
    """A distribution whose parameters a network yields, in units of each series' shift and scale."""

    #: the number of parameters
    size: ClassVar[int]
    #: whether the network's scale is the mean absolute value instead of the standard deviation
    counts: ClassVar[bool] = False

    @abstractmethod
    def nats(self, raw: Tensor, target: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Return −ln p of values, nats.

        Args:
            raw: (…, size) from the output layer.
            target: (…).
            shift, scale: broadcast to (…).
        """

    @abstractmethod
    def middle(self, raw: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Return the mean or location; shapes as for `nats`."""

    @abstractmethod
    def draw(self, raw: Tensor, shift: Tensor, scale: Tensor, generators: Sequence[np.random.Generator]) -> Tensor:
        """Draw samples, (N, S).

        Args:
            raw: (N, S, size): N series, S samples of each.
            shift, scale: (N, 1).
            generators: one per series, so that no series depends on others.
        """


def _uniforms(generators: Sequence[np.random.Generator], samples: int, like: Tensor) -> Tensor:
    drawn = np.stack([g.random(samples) for g in generators])
    # keeps the logarithm finite
    return torch.from_numpy(np.clip(drawn, 1e-12, 1 - 1e-12)).to(like.device)


class Gaussian(Likelihood):
    """N(μ, σ²), σ by softplus."""

    size = 2

    def nats(self, raw: Tensor, target: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Return ½ ln 2π + ln σ + (z − μ)² / 2σ²."""
        mean, spread = _located(raw, shift, scale)
        return 0.5 * math.log(2 * math.pi) + spread.log() + 0.5 * ((target - mean) / spread).square()

    def middle(self, raw: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Return μ."""
        return _located(raw, shift, scale)[0]

    def draw(self, raw: Tensor, shift: Tensor, scale: Tensor, generators: Sequence[np.random.Generator]) -> Tensor:
        """Draw μ + σ ε."""
        mean, spread = _located(raw, shift, scale)
        noise = np.stack([g.standard_normal(raw.shape[1]) for g in generators])
        return mean + spread * torch.from_numpy(noise).to(raw)


class StudentT(Likelihood):
    """Student's t with location μ, scale σ and ν > 2 degrees of freedom: more robust to outliers than a Gaussian."""

    size = 3

    def nats(self, raw: Tensor, target: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Return −ln Γ((ν+1)/2) + ln Γ(ν/2) + ½ ln νπ + ln σ + (ν+1)/2 · ln(1 + ((z − μ)/σ)²/ν)."""
        mean, spread = _located(raw, shift, scale)
        freedom = 2 + F.softplus(raw[..., 2])
        distance = ((target - mean) / spread).square() / freedom
        constant = torch.lgamma(freedom / 2) - torch.lgamma((freedom + 1) / 2) + 0.5 * torch.log(freedom * math.pi)
        return constant + spread.log() + (freedom + 1) / 2 * torch.log1p(distance)

    def middle(self, raw: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Return μ."""
        return _located(raw, shift, scale)[0]

    def draw(self, raw: Tensor, shift: Tensor, scale: Tensor, generators: Sequence[np.random.Generator]) -> Tensor:
        """Draw by Bailey's polar method, √(ν (u^(−2/ν) − 1)) cos 2πv (Bailey 1994, doi:10.2307/2153537)."""
        mean, spread = _located(raw, shift, scale)
        freedom = (2 + F.softplus(raw[..., 2])).double()
        u, v = (_uniforms(generators, raw.shape[1], raw) for _ in range(2))
        standard = torch.sqrt(freedom * torch.expm1(-2 / freedom * u.log())) * torch.cos(2 * math.pi * v)
        return mean + spread * standard.to(raw.dtype)


class NegativeBinomial(Likelihood):
    """Counts with mean μ and variance μ + α μ² (Salinas et al. 2017, arXiv 1704.04110, section 3.1).

    As there, μ is in units of the scale, and α in units of 1 / √scale. The shift is not used.
    """

    size = 2
    counts = True

    def _parameters(self, raw: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        mean = F.softplus(raw[..., 0]) * scale + 1e-6
        alpha = F.softplus(raw[..., 1]) / scale.sqrt() + 1e-6
        return mean, 1 / alpha

    def nats(self, raw: Tensor, target: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Return −ln of Γ(z + r) / (Γ(z + 1) Γ(r)) · (r/(r + μ))^r · (μ/(r + μ))^z with r = 1/α."""
        mean, r = self._parameters(raw, scale)
        # differences of lgamma at large numbers are lost in single precision
        mean, r, z = mean.double(), r.double(), target.double()
        log = torch.lgamma(z + r) - torch.lgamma(z + 1) - torch.lgamma(r)
        log = log - r * torch.log1p(mean / r) + z * (mean.log() - (r + mean).log())
        return (-log).to(raw.dtype)

    def middle(self, raw: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Return μ."""
        return self._parameters(raw, scale)[0]

    def draw(self, raw: Tensor, shift: Tensor, scale: Tensor, generators: Sequence[np.random.Generator]) -> Tensor:
        """Draw with numpy's generator."""
        mean, r = (p.double().cpu().numpy() for p in self._parameters(raw, scale))
        drawn: list[NDArray[np.int64]] = [
            g.negative_binomial(r[n], r[n] / (r[n] + mean[n])) for n, g in enumerate(generators)
        ]
        return torch.from_numpy(np.stack(drawn)).to(raw)


def _located(raw: Tensor, shift: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    return shift + scale * raw[..., 0], scale * (F.softplus(raw[..., 1]) + LEAST_SPREAD)


LIKELIHOODS: dict[str, Callable[[], Likelihood]] = {
    "gaussian": Gaussian,
    "student-t": StudentT,
    "negative-binomial": NegativeBinomial,
}
