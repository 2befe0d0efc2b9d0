"""Metrics of numeric forecasts. Targets that are NaN are left out.

W windows, H steps of a horizon, Q levels of quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def mse(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Return the mean squared error.

    >>> mse([1.0, 2.0, float("nan")], [1.0, 4.0, 9.0])
    2.0
    """
    return _mean(np.square(_minus(actual, forecast)))


def rmse(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Return the root of the mean squared error."""
    return float(np.sqrt(mse(actual, forecast)))


def mae(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Return the mean absolute error."""
    return _mean(np.abs(_minus(actual, forecast)))


def smape(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Return the symmetric mean absolute percentage error, 0 to 200: the mean of 200 |y − ŷ| / (|y| + |ŷ|), as in M4.

    >>> smape([100.0, 50.0], [100.0, 150.0])
    50.0
    """
    return _mean(_percentages(np.asarray(actual, float), np.asarray(forecast, float)))


def seasonal_error(history: ArrayLike, season: int) -> float:
    """Return the mean |y_t − y_{t−m}| over a history, the divisor of MASE; NaN if there is none or it is 0.

    >>> seasonal_error([1.0, 2.0, 4.0, 6.0], 2)
    3.5
    """
    values = np.asarray(history, float)
    error = _mean(np.abs(values[season:] - values[:-season])) if len(values) > season else np.nan
    return error if error > 0 else float("nan")


def mase(actual: ArrayLike, forecast: ArrayLike, scale: float) -> float:
    """Return the mean absolute scaled error: the mean absolute error in units of the history's `seasonal_error`.

    Source: Hyndman & Koehler 2006, doi:10.1016/j.ijforecast.2006.03.001.
    """
    return mae(actual, forecast) / scale


def owa(smape_: float, mase_: float, smape_naive2: float, mase_naive2: float) -> float:
    """Return the overall weighted average of M4: sMAPE and MASE in units of Naive 2's, averaged."""
    return (smape_ / smape_naive2 + mase_ / mase_naive2) / 2


def pinball(actual: ArrayLike, quantiles: ArrayLike, levels: Sequence[float]) -> float:
    """Return the mean over targets and levels of max(q (y − ŷ_q), (q − 1)(y − ŷ_q)).

    Args:
        actual: (…).
        quantiles: (…, Q).
        levels: the Q levels.

    >>> pinball([10.0], [[8.0, 11.0]], [0.1, 0.9])            # 0.1 · 2 and 0.1 · 1
    0.15
    """
    return float(_mean(_pinballs(np.asarray(actual, float), np.asarray(quantiles, float), levels)))


def crps(actual: ArrayLike, quantiles: ArrayLike, levels: Sequence[float]) -> float:
    """Return the continuous ranked probability score, approximated by twice the mean pinball loss over quantiles.

    The integral over all levels is the CRPS itself (Gneiting & Ranjan 2011, doi:10.1198/jbes.2010.08110).
    """
    return 2 * pinball(actual, quantiles, levels)


def crps_of_samples(actual: ArrayLike, samples: ArrayLike) -> float:
    """Return the CRPS of an ensemble: E|X − y| − ½ E|X − X'|, averaged over targets.

    Args:
        actual: (…).
        samples: (…, S).

    >>> crps_of_samples([0.0], [[0.0, 2.0]])
    0.5
    """
    y, x = np.asarray(actual, float), np.sort(np.asarray(samples, float), -1)
    count = x.shape[-1]
    # Σ |x_i − x_j| of sorted numbers, in one pass
    weights = 2 * np.arange(1, count + 1) - count - 1
    spread = (x * weights).sum(-1) / count**2
    return _mean(np.abs(x - y[..., None]).mean(-1) - spread)


def coverage(actual: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> float:
    """Return the share of targets within an interval, ends included."""
    y = np.asarray(actual, float)
    inside = (np.asarray(lower, float) <= y) & (y <= np.asarray(upper, float))
    return _mean(np.where(np.isnan(y), np.nan, inside))


def rse(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Return the root relative squared error: √ Σ(y − ŷ)² / √ Σ(y − ȳ)², with ȳ the mean over everything.

    Source: Lai et al. 2018, arXiv 1703.07015.
    """
    y = np.asarray(actual, float)
    return float(np.sqrt(np.nansum(np.square(_minus(y, forecast))) / np.nansum(np.square(y - np.nanmean(y)))))


def corr(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Return the correlation of each series with its forecasts, averaged over the series that vary (Lai et al. 2018).

    Args:
        actual, forecast: (T, series).
    """
    y, f = np.asarray(actual, float), np.asarray(forecast, float)
    dy, df = y - y.mean(0), f - f.mean(0)
    size = np.sqrt(np.square(dy).sum(0) * np.square(df).sum(0))
    varies = size > 0
    return float(((dy * df).sum(0)[varies] / size[varies]).mean()) if varies.any() else float("nan")


class ForecastScores:
    """The metrics of many windows, accumulated window by window; the result is as if all were scored at once.

    Args:
        levels: the levels of the quantiles; none where only points are forecast.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = tuple(levels)
        self._sums: dict[str, list[float]] = {}
        self.windows = 0
        self.unscaled = 0

    def add(
        self,
        actual: ArrayLike,
        point: ArrayLike,
        quantiles: ArrayLike,
        *,
        std: float = 1.0,
        seasonal: float = float("nan"),
    ) -> None:
        """Add the windows of one series.

        Args:
            actual, point: (W, H).
            quantiles: (W, H, Q).
            std: the standard deviation of the series in training, the unit of `scaled_mse` and `scaled_mae`.
            seasonal: `seasonal_error` of the series before these windows; NaN leaves it out of MASE.
        """
        y, f, q = (np.asarray(a, float) for a in (actual, point, quantiles))
        error = y - f
        self._add("mse", error**2)
        self._add("mae", np.abs(error))
        self._add("scaled_mse", (error / std) ** 2)
        self._add("scaled_mae", np.abs(error / std))
        self._add("smape", _percentages(y, f))
        if np.isfinite(seasonal):
            self._add("mase", np.abs(error) / seasonal)
        else:
            self.unscaled += len(y)
        if self.levels:
            self._add("pinball", _pinballs(y, q, self.levels))
            for low, high in self._intervals():
                inside = (q[..., low] <= y) & (y <= q[..., high])
                share = round(100 * (self.levels[high] - self.levels[low]))
                self._add(f"coverage_{share}", np.where(np.isnan(y), np.nan, inside))
        self.windows += len(y)

    def result(self) -> dict[str, float]:
        """Return every metric: errors in the unit of the data, `scaled_` errors in standard deviations of each series,
        sMAPE in percent, and coverages as shares, whose nominal value is in their name.
        """
        means = {name: total / count for name, (total, count) in self._sums.items() if count}
        if "mse" in means:
            means = {"mse": means["mse"], "rmse": means["mse"] ** 0.5, **means}
        if "pinball" in means:
            means["crps"] = 2 * means["pinball"]
        metrics: dict[str, float] = {**means, "windows": self.windows}
        if self.unscaled:
            metrics["windows_without_mase"] = self.unscaled
        return metrics

    def _intervals(self) -> list[tuple[int, int]]:
        """Return the symmetric pairs of levels, the widest first."""
        pairs = []
        for low, level in enumerate(self.levels):
            for high in range(low + 1, len(self.levels)):
                if abs(level + self.levels[high] - 1) < 1e-9:
                    pairs.append((low, high))
        return pairs

    def _add(self, name: str, values: Array) -> None:
        known = ~np.isnan(values)
        sums = self._sums.setdefault(name, [0.0, 0])
        sums[0] += float(values[known].sum())
        sums[1] += int(known.sum())


def _minus(actual: ArrayLike, forecast: ArrayLike) -> Array:
    return np.asarray(actual, float) - np.asarray(forecast, float)


def _mean(values: ArrayLike) -> float:
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else float("nan")


def _percentages(actual: Array, forecast: Array) -> Array:
    size = np.abs(actual) + np.abs(forecast)
    # a forecast of 0 for a target of 0 is right
    return 200 * np.abs(actual - forecast) / np.where(size == 0, 1, size)


def _pinballs(actual: Array, quantiles: Array, levels: Sequence[float]) -> Array:
    error, q = actual[..., None] - quantiles, np.asarray(levels, float)
    losses: Array = np.maximum(q * error, (q - 1) * error).mean(-1)
    return losses
