"""Seasonal naive, which needs no model: what was one season ago comes again; and Naive 2 of the M competitions."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def seasonal_naive(past: Array, horizon: int, season: int) -> Array:
    """Repeat the last season.

    Args:
        past: (W, C) windows, NaN where nothing is known: then the season before it is asked, and at last the last
            known value.
        horizon: H.
        season: m; windows shorter than it repeat what they have of their last value.

    Returns:
        (W, H); NaN for a window without any value.

    >>> seasonal_naive(np.array([[1.0, 2.0, 3.0, 4.0]]), 3, 2)
    array([[3., 4., 3.]])
    """
    windows, length = past.shape
    result = np.full((windows, horizon), np.nan)
    if season <= length:
        template = np.full((windows, season), np.nan)
        for back in range(length // season):
            end = length - back * season
            template = np.where(np.isnan(template), past[:, end - season : end], template)
        result = template[:, np.arange(horizon) % season]
    seen = ~np.isnan(past)
    last = past[np.arange(windows), length - 1 - np.argmax(seen[:, ::-1], axis=1)]
    return np.where(np.isnan(result), last[:, None], result)


def seasonal_spread(history: Array, season: int) -> float:
    """Return the root mean square of y_t − y_{t−m}, seasonal naive's error one season ahead; 0 if none is known."""
    if len(history) <= season:
        return 0.0
    errors = history[season:] - history[:-season]
    errors = errors[~np.isnan(errors)]
    return float(np.sqrt(np.mean(errors**2))) if len(errors) else 0.0


def seasonal_quantiles(point: Array, spread: float, season: int, levels: Sequence[float]) -> Array:
    """Return normal quantiles around seasonal naive, whose errors grow with the root of the seasons gone by.

    Args:
        point: (W, H).
        spread: `seasonal_spread`.

    Returns:
        (W, H, Q).

    Source: Hyndman & Athanasopoulos, Forecasting: Principles and Practice, section 5.5.
    """
    ahead = np.sqrt(np.arange(point.shape[1]) // season + 1)
    normal = np.array([NormalDist().inv_cdf(level) for level in levels])
    quantiles: Array = point[..., None] + spread * ahead[:, None] * normal
    return quantiles


def naive2(history: Array, horizon: int, season: int) -> Array:
    """Return the last value of the seasonally adjusted series, put back into season, (H,); naive where no season shows.

    Adjusted by classical multiplicative decomposition, if the autocorrelation at the season is significant at 90 %.

    Source: Makridakis et al. 2020, doi:10.1016/j.ijforecast.2019.04.014, section 2.
    """
    if season < 2 or len(history) < 3 * season or not _is_seasonal(history, season):
        return np.repeat(history[-1:], horizon)
    trend = _moving_average(history, season)
    ratio = history / trend
    index = np.array([np.nanmean(ratio[k::season]) for k in range(season)])
    index = index / index.mean()
    adjusted = history / index[np.arange(len(history)) % season]
    forecast: Array = adjusted[-1] * index[np.arange(len(history), len(history) + horizon) % season]
    return forecast


def _is_seasonal(history: Array, season: int) -> bool:
    deviation = history - history.mean()
    total = float((deviation**2).sum())
    if total == 0 or (history <= 0).any():
        return False
    acf = [float((deviation[k:] * deviation[: len(deviation) - k]).sum()) / total for k in range(1, season + 1)]
    limit = 1.645 * np.sqrt((1 + 2 * sum(a * a for a in acf[:-1])) / len(history))
    return bool(abs(acf[-1]) > limit)


def _moving_average(values: Array, season: int) -> Array:
    """Return the centred average over one season (half weights at the ends of an even one); NaN beyond its reach."""
    weights = np.full(season, 1 / season) if season % 2 else np.r_[0.5, np.ones(season - 1), 0.5] / season
    half = len(weights) // 2
    result = np.full(len(values), np.nan)
    result[half : len(values) - half] = np.convolve(values, weights, "valid")
    return result
