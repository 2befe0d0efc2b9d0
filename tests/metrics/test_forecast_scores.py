"""Metrics of forecasts, by hand and against other ways to the same number."""

from __future__ import annotations

import numpy as np
import pytest

from unrolled.metrics import forecasts as m

NAN = float("nan")
Y, F = np.array([10.0, 20.0, NAN, 40.0]), np.array([12.0, 15.0, 3.0, 40.0])


def test_errors_by_hand() -> None:
    assert m.mse(Y, F) == pytest.approx((4 + 25) / 3)
    assert m.rmse(Y, F) == pytest.approx(np.sqrt(29 / 3))
    assert m.mae(Y, F) == pytest.approx(7 / 3)
    assert m.smape(Y, F) == pytest.approx((200 * 2 / 22 + 200 * 5 / 35) / 3)
    assert m.smape([0.0], [0.0]) == 0
    assert m.smape([1.0], [-1.0]) == 200


def test_scaled_errors_by_hand() -> None:
    # |3−1|, |5−2|, |7−3| → mean 3
    history = [1.0, 2.0, 3.0, 5.0, 7.0]
    assert m.seasonal_error(history, 2) == pytest.approx((2 + 3 + 4) / 3)
    assert m.seasonal_error([1.0, NAN, 3.0, 4.0], 2) == 2
    assert np.isnan(m.seasonal_error([1.0, 2.0], 2))
    assert np.isnan(m.seasonal_error([4.0] * 9, 2))
    assert m.mase([10.0, 12.0], [7.0, 12.0], 3.0) == pytest.approx(0.5)
    assert m.owa(10.0, 1.0, 20.0, 4.0) == pytest.approx((0.5 + 0.25) / 2)


def test_pinball_by_hand() -> None:
    assert m.pinball([10.0, NAN], [[8.0, 9.0, 12.0], [0.0, 0.0, 0.0]], [0.1, 0.5, 0.9]) == pytest.approx(
        (0.1 * 2 + 0.5 * 1 + 0.1 * 2) / 3
    )
    assert m.pinball(Y[:2], F[:2, None], [0.5]) == pytest.approx(m.mae(Y[:2], F[:2]) / 2)


def test_coverage_counts_the_ends() -> None:
    assert m.coverage([1.0, 2.0, 3.0, NAN], [1.0, 0.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0]) == pytest.approx(2 / 3)


def test_crps_of_samples_is_the_double_sum() -> None:
    draw = np.random.default_rng(0)
    y, x = draw.normal(size=6), draw.normal(size=(6, 9))
    expected = np.abs(x - y[:, None]).mean(1) - 0.5 * np.abs(x[:, :, None] - x[:, None, :]).mean((1, 2))
    assert m.crps_of_samples(y, x) == pytest.approx(expected.mean(), rel=1e-12)


def test_crps_of_many_quantiles_is_that_of_the_normal_distribution() -> None:
    from statistics import NormalDist

    normal = NormalDist()
    levels = (np.arange(2000) + 0.5) / 2000
    quantiles = np.array([[normal.inv_cdf(level) for level in levels]])
    # Gneiting & Raftery 2007, eq. 21, at y = 0.7
    y = 0.7
    exact = y * (2 * normal.cdf(y) - 1) + 2 * normal.pdf(y) - 1 / np.sqrt(np.pi)
    assert m.crps([y], quantiles, list(levels)) == pytest.approx(exact, rel=1e-3)


def test_rse_and_corr_by_hand() -> None:
    y = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    f = np.array([[1.0, 5.0], [2.0, 6.0], [2.0, 5.0]])
    assert m.rse(y, f) == pytest.approx(np.sqrt(2) / np.sqrt(((y - y.mean()) ** 2).sum()))
    # the second series does not vary and has no correlation
    assert m.corr(y, f) == pytest.approx(np.corrcoef(y[:, 0], f[:, 0])[0, 1])
    assert np.isnan(m.corr(np.ones((3, 1)), f[:, :1]))


def test_windows_added_up_are_windows_at_once() -> None:
    draw = np.random.default_rng(1)
    levels = (0.1, 0.25, 0.5, 0.75, 0.9)
    y, f = draw.normal(size=(7, 4)) + 3, draw.normal(size=(7, 4)) + 3
    y[2, 1] = NAN
    q = np.sort(draw.normal(size=(7, 4, 5)), -1) + 3
    scores = m.ForecastScores(levels)
    scores.add(y[:3], f[:3], q[:3], std=2.0, seasonal=0.5)
    scores.add(y[3:], f[3:], q[3:], std=2.0, seasonal=0.5)
    found = scores.result()
    assert found["mse"] == pytest.approx(m.mse(y, f))
    assert found["rmse"] == pytest.approx(m.rmse(y, f))
    assert found["scaled_mse"] == pytest.approx(m.mse(y / 2, f / 2))
    assert found["scaled_mae"] == pytest.approx(m.mae(y / 2, f / 2))
    assert found["smape"] == pytest.approx(m.smape(y, f))
    assert found["mase"] == pytest.approx(m.mase(y, f, 0.5))
    assert found["pinball"] == pytest.approx(m.pinball(y, q, levels))
    assert found["crps"] == pytest.approx(2 * found["pinball"])
    assert found["coverage_80"] == pytest.approx(m.coverage(y, q[..., 0], q[..., 4]))
    assert found["coverage_50"] == pytest.approx(m.coverage(y, q[..., 1], q[..., 3]))
    assert found["windows"] == 7
    assert "windows_without_mase" not in found


def test_a_series_that_never_varied_has_no_mase() -> None:
    scores = m.ForecastScores(())
    scores.add(np.ones((2, 3)), np.zeros((2, 3)), np.zeros((2, 3, 0)))
    found = scores.result()
    assert ("mase" in found, found["windows_without_mase"], found["mse"]) == (False, 2, 1)
    assert "pinball" not in found
