"""Windows of encoded series, as a forecaster reads them. N windows, R reach, H horizon."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.data import Arrays, ExampleStore
from unrolled.data.series.windows import SeriesWindows, WindowArrays
from unrolled.networks.forecaster import DirectForecaster
from unrolled.tasks.outputs.numbers.network import Forecaster, SeriesBatch

Array = NDArray[np.float64]


def windows_of(network: Forecaster, store: ExampleStore | Sequence[Arrays], stride: int = 1) -> SeriesWindows:
    """Return the windows of encoded series that a network reads and forecasts."""
    return SeriesWindows(store, network.context, network.reach, network.horizon, stride)


def as_batch(network: Forecaster, arrays: WindowArrays) -> tuple[SeriesBatch, Array]:
    """Return N windows as a network reads them, where it is, and mean and standard deviation of each, (N, 2).

    A window of a series whose scale is not known is standardised by its own context.
    """
    scale = arrays.scale.copy()
    for n in np.flatnonzero(np.isnan(scale[:, 0])):
        scale[n] = statistics(arrays.values[network.reach - network.context : network.reach, n])
    mean, std = scale.T
    # before it becomes single precision: a small change on a large level is not to be lost
    values = ((arrays.values - mean) / std).astype(np.float32)
    device = next(network.parameters()).device
    parts = (values, arrays.known, arrays.channel, arrays.static)
    return SeriesBatch(*(torch.from_numpy(part).to(device) for part in parts)), scale


def window_ahead(network: Forecaster, series: Arrays) -> tuple[SeriesBatch, Array]:
    """Return the window from which what comes after an encoded series is forecast, N = 1, and its scale (1, 2).

    `known` of the series reaches as far as is forecast.
    """
    values, known, reach = series["values"], series["known"], network.reach
    ahead = len(known) - len(values)
    # a direct forecaster reads covariates of its whole horizon; where fewer are known, the rest is cut off
    steps = network.horizon if isinstance(network, DirectForecaster) else ahead
    short = max(0, reach - len(values))
    past = np.concatenate([np.full(short, np.nan), values[-reach:]])
    around = np.pad(known[max(0, len(values) - reach) :], ((short, steps - ahead), (0, 0)))
    about = (series["static"][None], series["channel"], series["scale"][None])
    return as_batch(network, WindowArrays(past[:, None], around[:, None], *about))


def statistics(values: Array) -> tuple[float, float]:
    """Return mean and standard deviation of what is known; a constant series is divided by its size, or by 1."""
    seen = values[~np.isnan(values)]
    if not len(seen):
        return 0.0, 1.0
    mean, std = float(seen.mean()), float(seen.std())
    # of a constant, rounding leaves a spread that is none
    return mean, std if std > 1e-9 * abs(mean) and std > 0 else (abs(mean) or 1.0)
