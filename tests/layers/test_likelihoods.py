"""Pinball and likelihoods, held to hand-worked values and to torch.distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import distributions
from torch.nn import functional as F

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers.outputs.likelihoods import (
    LEAST_SPREAD,
    LIKELIHOODS,
    ForecastLoss,
    Gaussian,
    NegativeBinomial,
    StudentT,
)

NAN = float("nan")


def test_pinball_by_hand() -> None:
    loss = ForecastLoss("quantile", (0.1, 0.5, 0.9))
    forecast = torch.tensor([[[8.0, 10.0, 13.0]], [[1.0, 1.0, 1.0]]], requires_grad=True)
    mean, total, count = loss(forecast, torch.tensor([[11.0], [NAN]]))
    # 0.1 · 3 + 0.5 · 1 + 0.1 · 2 = 1.0, doubled and divided by three levels
    assert (mean.item(), total.item(), count) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 1)
    mean.backward()
    assert forecast.grad is not None
    assert forecast.grad[0, 0].tolist() == pytest.approx([-0.2 / 3, -1 / 3, 0.2 / 3])
    assert forecast.grad[1].abs().max() == 0


def test_the_median_alone_is_the_absolute_error() -> None:
    forecast, target = torch.randn(5, 3, 1), torch.randn(5, 3)
    median, absolute = (ForecastLoss(kind)(forecast, target)[0] for kind in ("quantile", "mae"))
    torch.testing.assert_close(median, absolute)
    torch.testing.assert_close(absolute, (forecast[..., 0] - target).abs().mean())
    torch.testing.assert_close(ForecastLoss("mse")(forecast, target)[0], F.mse_loss(forecast[..., 0], target))


def test_nothing_known_costs_nothing() -> None:
    mean, total, count = ForecastLoss("mae")(torch.ones(2, 1), torch.full((2,), NAN))
    assert (mean.item(), total.item(), count) == (0, 0, 0)


@pytest.mark.parametrize("levels", [(), (0.5, 0.1), (0.0, 0.5), (0.5, 1.0), (0.5, 0.5)])
def test_levels_that_are_none(levels: tuple[float, ...]) -> None:
    with pytest.raises(ArgumentError, match="levels: expected increasing levels between 0 and 1"):
        ForecastLoss("quantile", levels)


def test_refused() -> None:
    with pytest.raises(ArgumentError, match="kind: expected quantile, mae or mse, found 'huber'"):
        ForecastLoss("huber")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"forecast: expected shape \(4, 2, 1\)"):
        ForecastLoss("mae")(torch.zeros(4, 2, 3), torch.zeros(4, 2))


def test_gaussian_and_student_are_torchs() -> None:
    torch.manual_seed(0)
    raw, target = torch.randn(4, 6, 3), torch.randn(4, 6)
    shift, scale = torch.randn(6), torch.rand(6) + 0.5
    mean, spread = shift + scale * raw[..., 0], scale * (F.softplus(raw[..., 1]) + LEAST_SPREAD)
    expected = -distributions.Normal(mean, spread).log_prob(target)
    torch.testing.assert_close(Gaussian().nats(raw[..., :2], target, shift, scale), expected)
    student = -distributions.StudentT(2 + F.softplus(raw[..., 2]), mean, spread).log_prob(target)
    torch.testing.assert_close(StudentT().nats(raw, target, shift, scale), student)


def test_negative_binomial_is_torchs() -> None:
    torch.manual_seed(0)
    raw, target = torch.randn(5, 4, 2), torch.randint(0, 30, (5, 4)).float()
    scale = torch.rand(4) * 10 + 1
    mean = F.softplus(raw[..., 0]) * scale + 1e-6
    r = 1 / (F.softplus(raw[..., 1]) / scale.sqrt() + 1e-6)
    expected = -distributions.NegativeBinomial(r.double(), probs=(mean / (mean + r)).double()).log_prob(target.double())
    found = NegativeBinomial().nats(raw, target, torch.zeros(4), scale)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(LIKELIHOODS))
def test_samples_have_the_distributions_moments(name: str) -> None:
    likelihood = LIKELIHOODS[name]()
    raw = torch.tensor([0.7, 0.2, 8.0][: likelihood.size]).expand(2, 40_000, -1)
    shift, scale = torch.tensor([[3.0], [0.0]]), torch.tensor([[2.0], [5.0]])
    drawn = likelihood.draw(raw, shift, scale, [np.random.default_rng(1), np.random.default_rng(2)]).double()
    assert drawn.shape == (2, 40_000)
    for row in range(2):
        if likelihood.counts:
            mean = math.log1p(math.exp(0.7)) * scale[row].item()
            alpha = math.log1p(math.exp(0.2)) / math.sqrt(scale[row].item())
            variance = mean + alpha * mean**2
        else:
            mean = shift[row].item() + 0.7 * scale[row].item()
            variance = (scale[row].item() * math.log1p(math.exp(0.2))) ** 2
            if name == "student-t":
                freedom = 2 + math.log1p(math.exp(8.0))
                variance *= freedom / (freedom - 2)
        assert drawn[row].mean().item() == pytest.approx(mean, abs=4 * math.sqrt(variance / 40_000))
        assert drawn[row].var().item() == pytest.approx(variance, rel=0.06)


@pytest.mark.parametrize("name", sorted(LIKELIHOODS))
def test_a_series_draws_the_same_whatever_is_beside_it(name: str) -> None:
    likelihood = LIKELIHOODS[name]()
    raw = torch.randn(3, 7, likelihood.size)
    shift, scale = torch.zeros(3, 1), torch.ones(3, 1)
    together = likelihood.draw(raw, shift, scale, [np.random.default_rng(5) for _ in range(3)])
    alone = likelihood.draw(raw[1:2], shift[1:2], scale[1:2], [np.random.default_rng(5)])
    assert torch.equal(together[1:2], alone)
