"""Windows of encoded series, as a forecaster reads them. N windows, T steps of a series, R reach, H horizon.

A series is encoded as `values` (T,), `known` (T + F, K) covariates that are known ahead of time, `static` (S,),
`channel` (1,), `first` (1,), the first step that may be a target, and `scale` (2,), mean and standard deviation by
which it is standardised: NaN where each window is standardised by its own context.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.data import Arrays, ExampleStore
from unrolled.data.series.windows import SeriesWindows, WindowArrays
from unrolled.networks.forecaster import DirectForecaster
from unrolled.tasks.outputs.numbers.network import Forecaster, SeriesBatch

Array = NDArray[np.float64]


class SeriesSource(Protocol):
    """An input whose continuation is forecast.

    Attributes:
        names: of the series that training saw, by channel.
        season: steps after which they repeat themselves.
        known_width, static_width: numbers that are known ahead of time at each step, and those that describe a series.
        masked: whether values may be missing.
    """

    names: list[str]
    season: int
    masked: bool

    @property
    def known_width(self) -> int: ...

    @property
    def static_width(self) -> int: ...


class ModelWindows(SeriesWindows):
    """The windows of encoded series that a network reads and forecasts.

    Args:
        network: of a model.
        store: encoded series.
        stride: from one window of a series to the next.
    """

    def __init__(self, network: Forecaster, store: ExampleStore | Sequence[Arrays], stride: int = 1) -> None:
        super().__init__(store, network.context, network.reach, network.horizon, stride)
        examples = [store[n] for n in range(len(store))]
        self._network = network
        self._channel = np.array([int(e["channel"][0]) for e in examples], np.int64)
        self._scale = np.array([e["scale"] for e in examples]).reshape(-1, 2)

    def read(self, chosen: NDArray[np.int64]) -> tuple[SeriesBatch, WindowArrays, Array]:
        """Return some windows where the network is, as arrays, and their scales (N, 2)."""
        arrays = self.gather(chosen)
        batch, scale = as_batch(self._network, arrays, self._channel, self._scale)
        return batch, arrays, scale


def as_batch(
    network: Forecaster, arrays: WindowArrays, channel: NDArray[np.int64], scale: Array
) -> tuple[SeriesBatch, Array]:
    """Return windows as a network reads them, and mean and standard deviation of each, (N, 2).

    Args:
        network: whose context and device.
        arrays: of N windows.
        channel, scale: of each series of their store, (series,) and (series, 2).
    """
    scales = scale[arrays.series]
    for n in np.flatnonzero(np.isnan(scales[:, 0])):
        scales[n] = statistics(arrays.values[network.reach - network.context : network.reach, n])
    mean, std = scales.T
    # before it becomes single precision: a small change on a large level is not to be lost
    values = ((arrays.values - mean) / std).astype(np.float32)
    device = next(network.parameters()).device
    parts = (values, arrays.known, channel[arrays.series], arrays.static)
    return SeriesBatch(*(torch.from_numpy(part).to(device) for part in parts)), scales


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
    around = known[max(0, len(values) - reach) :]
    around = np.pad(around, ((short, steps - ahead), (0, 0)))
    arrays = WindowArrays(past[:, None], around[:, None], series["static"][None], np.zeros(1, np.int64))
    return as_batch(network, arrays, series["channel"], series["scale"][None])


def statistics(values: Array) -> tuple[float, float]:
    """Return mean and standard deviation of what is known; a constant series is divided by its size, or by 1."""
    seen = values[~np.isnan(values)]
    if not len(seen):
        return 0.0, 1.0
    mean, std = float(seen.mean()), float(seen.std())
    # of a constant, rounding leaves a spread that is none
    return mean, std if std > 1e-9 * abs(mean) and std > 0 else (abs(mean) or 1.0)
