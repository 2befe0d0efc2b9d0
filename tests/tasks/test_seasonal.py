"""Seasonal naive and Naive 2, by hand and by the scores published for the M4 competition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unrolled.data import Findings
from unrolled.data.series.read import SeriesOptions, read_series
from unrolled.metrics.forecasts import mase, seasonal_error, smape
from unrolled.tasks.outputs.numbers.baseline import naive2, seasonal_naive, seasonal_quantiles, seasonal_spread

NAN = float("nan")


def test_the_last_season_comes_again() -> None:
    past = np.array([[9.0, 1.0, 2.0, 3.0], [0.0, 4.0, 5.0, 6.0]])
    assert seasonal_naive(past, 5, 3).tolist() == [[1, 2, 3, 1, 2], [4, 5, 6, 4, 5]]
    assert seasonal_naive(past, 2, 1).tolist() == [[3, 3], [6, 6]]


def test_what_is_missing_comes_from_the_season_before() -> None:
    past = np.array([[1.0, 2.0, NAN, 4.0], [NAN, 2.0, NAN, 4.0], [NAN, NAN, NAN, NAN]])
    found = seasonal_naive(past, 2, 2)
    assert found[:2].tolist() == [[1, 4], [4, 4]]
    assert np.isnan(found[2]).all()


def test_a_window_shorter_than_the_season_repeats_its_last_value() -> None:
    assert seasonal_naive(np.array([[1.0, 2.0]]), 3, 7).tolist() == [[2, 2, 2]]


def test_spread_grows_with_the_seasons() -> None:
    assert seasonal_spread(np.array([0.0, 0.0, 3.0, 4.0]), 2) == pytest.approx(np.sqrt(12.5))
    assert seasonal_spread(np.array([1.0]), 2) == 0
    found = seasonal_quantiles(np.zeros((1, 3)), 2.0, 2, (0.5, 0.975))
    assert found[0, :, 0].tolist() == [0, 0, 0]
    assert found[0, :, 1].tolist() == pytest.approx([3.92, 3.92, 3.92 * np.sqrt(2)], rel=1e-3)


def test_naive2_puts_the_season_back() -> None:
    index = np.array([0.5, 1.0, 1.5])
    history = 10.0 * np.tile(index, 8)
    assert naive2(history, 4, 3).tolist() == pytest.approx([5, 10, 15, 5])
    assert naive2(np.arange(1.0, 30.0), 2, 7).tolist() == [29, 29]
    assert naive2(history - 20, 2, 3).tolist() == [-5, -5]


@pytest.mark.parametrize(("method", "published"), [("snaive", (13.912, 1.193)), ("naive2", (18.383, 2.395))])
def test_m4_hourly_scores_as_published(real_data: Path, method: str, published: tuple[float, float]) -> None:
    """Makridakis et al. 2020, and the competition's repository, for the 414 hourly series."""
    folder = real_data / "m4_hourly"
    if not folder.is_dir():
        pytest.skip("m4_hourly is not here")
    train, test = (
        read_series([folder / f"Hourly-{part}.csv.gz"], SeriesOptions(), Findings()) for part in ("train", "test")
    )
    scores = []
    for history, actual in zip(train, test, strict=True):
        past = history.values
        found = naive2(past, 48, 24) if method == "naive2" else seasonal_naive(past[None], 48, 24)[0]
        scores.append((smape(actual.values, found), mase(actual.values, found, seasonal_error(past, 24))))
    assert np.mean(scores, axis=0).tolist() == pytest.approx(published, abs=6e-4)
