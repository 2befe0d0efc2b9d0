"""Forecasts of a trained model: of the windows of a past, or from where a series ends.

W windows, R reach, H horizon, K known covariates, Q levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.data import Arrays, ExampleStore
from unrolled.data.series.read import Series
from unrolled.data.series.windows import SeriesWindows, WindowArrays
from unrolled.errors import DataError
from unrolled.networks.forecaster import AutoregressiveForecaster, DirectForecaster
from unrolled.tasks.uses.forecast.fitted import SeriesEncoders, statistics

if TYPE_CHECKING:
    from unrolled.tasks.core.fitted import Fitted

Array = NDArray[np.float64]
#: windows of a backtest side by side
WINDOWS = 1024
#: paths that an autoregressive forecast is made of
SAMPLES = 200


class Drawn(NamedTuple):
    """Forecasts in the units of the data.

    Attributes:
        point: (W, H).
        quantiles: (W, H, Q); Q is 0 of a model that forecasts points.
    """

    point: Array
    quantiles: Array


class Window(NamedTuple):
    """Several windows of one series, and what the model made of them.

    Attributes:
        series: the series.
        origins: (W,) the first step of each horizon.
        past: (W, C), what the model read.
        actual: (W, H), NaN where nothing is known.
        drawn: the forecasts.
    """

    series: Series
    origins: NDArray[np.int64]
    past: Array
    actual: Array
    drawn: Drawn


class ModelWindows(SeriesWindows):
    """The windows of encoded series that a model reads and forecasts, as tensors.

    Args:
        network: the model's.
        store: series as `SeriesEncoders.encode` made them.
        stride: from one window of a series to the next.
    """

    def __init__(self, network: Any, store: ExampleStore | Sequence[Arrays], stride: int = 1) -> None:
        super().__init__(store, network.context, network.reach, network.horizon, stride)
        examples = [store[n] for n in range(len(store))]
        self._channel = np.array([int(e["channel"][0]) for e in examples], np.int64)
        self._scale = np.array([e["scale"] for e in examples]).reshape(-1, 2)

    def tensors(self, chosen: NDArray[np.int64], network: Any) -> tuple[dict[str, Tensor], WindowArrays, Array]:
        """Some windows where the network is, as arrays, and their scales (N, 2)."""
        arrays = self.gather(chosen)
        scale = window_scales(arrays, self._scale, network)
        data = as_tensors(arrays, self._channel, scale, next(network.parameters()).device)
        return data, arrays, scale


def window_scales(arrays: WindowArrays, scale: Array, network: Any) -> Array:
    """Mean and standard deviation by which each window is standardised, (N, 2).

    Args:
        scale: (series, 2) of each series of the store; NaN where a window's own context is to tell.
    """
    found = scale[arrays.series]
    for n in np.flatnonzero(np.isnan(found[:, 0])):
        found[n] = statistics(arrays.values[network.reach - network.context : network.reach, n])
    return found


def as_tensors(
    arrays: WindowArrays, channel: NDArray[np.int64], scale: Array, device: torch.device
) -> dict[str, Tensor]:
    """Windows as the network reads them.

    Args:
        arrays: of N windows.
        channel: of each series of their store.
        scale: (N, 2), as `window_scales`.

    Returns:
        values (R + H, N) standardised, known (R + H, N, K), channel (N,), static (N, S).
    """
    mean, std = scale.T
    # before it becomes single precision: a small change on a large level is not to be lost
    values = (arrays.values - mean) / std
    found = {
        "values": torch.from_numpy(values.astype(np.float32)),
        "known": torch.from_numpy(arrays.known),
        "channel": torch.from_numpy(channel[arrays.series]),
        "static": torch.from_numpy(arrays.static),
    }
    return {name: tensor.to(device) for name, tensor in found.items()}


def levels_of(model: Fitted) -> tuple[float, ...]:
    """The levels of a model's quantiles."""
    return tuple(model.config.network["levels"])


@torch.no_grad()
def draw(
    model: Fitted, data: dict[str, Tensor], scale: Array, horizon: int, *, samples: int = SAMPLES, seed: int = 0
) -> Drawn:
    """Forecasts of a batch of windows; each is the same in any other batch.

    Args:
        data: as `as_tensors` makes it; of `values` the first R steps are read.
        scale: (W, 2), mean and standard deviation of each window's series.
        horizon: H; at most that of training for a direct forecaster.
        samples, seed: of an autoregressive one.
    """
    network: Any = model.network
    levels = levels_of(model)
    if isinstance(network, DirectForecaster):
        out = network(data["values"][: network.context], data["known"], data["channel"], data["static"])
        found = out.double().cpu().numpy().transpose(1, 0, 2)[:, :horizon]
        found = found * scale[:, 1, None, None] + scale[:, 0, None, None]
        if not levels:
            return Drawn(found[..., 0], found[..., :0])
        return Drawn(found[..., levels.index(0.5)], found)
    paths = list(ancestral(network, data, horizon, samples, seed))
    return summarised(np.stack(paths, 1), scale, levels)


def ancestral(
    network: AutoregressiveForecaster, data: dict[str, Tensor], horizon: int, samples: int, seed: int
) -> Iterator[NDArray[Any]]:
    """(W, S) standardised samples for each step."""
    past, known = data["values"][: network.reach], data["known"]
    scale, whose = network.scale(past), network.who(data["channel"], data["static"])
    first = network.reach - network.context
    state = network.read(past, known[first : network.reach], whose, scale)
    # one generator a window, all of the same seed: a window's forecast does not depend on those beside it
    generators = [np.random.default_rng(seed) for _ in range(past.shape[1])]
    ahead = known[network.reach : network.reach + horizon]
    for step in network.sample(past, ahead, whose, scale, state, samples, generators):
        yield step.double().cpu().numpy()


def summarised(paths: Array, scale: Array, levels: Sequence[float]) -> Drawn:
    """Median and quantiles of sample paths (W, H, S)."""
    found = np.quantile(paths, (*levels, 0.5), axis=-1).transpose(1, 2, 0)
    found = found * scale[:, 1, None, None] + scale[:, 0, None, None]
    return Drawn(found[..., -1], found[..., :-1])


def backtest(
    model: Fitted, encoded: Arrays, series: Series, stride: int = 1, *, samples: int = SAMPLES, seed: int = 0
) -> Iterator[Window]:
    """Forecasts from every origin of a series whose horizon lies within it, some windows at a time.

    Args:
        encoded: the series as `SeriesEncoders.encode` made it; targets begin with its `first`.
        stride: from one origin to the next.
    """
    network: Any = model.network
    windows = ModelWindows(network, [encoded], stride)
    for at in range(0, len(windows), WINDOWS):
        chosen = np.arange(at, min(at + WINDOWS, len(windows)))
        data, arrays, scale = windows.tensors(chosen, network)
        drawn = draw(model, data, scale, network.horizon, samples=samples, seed=seed)
        past = arrays.values[network.reach - network.context : network.reach].T
        yield Window(series, windows.origins[chosen], past, arrays.values[network.reach :].T, drawn)


def ahead(model: Fitted, series: Series, horizon: int, *, samples: int = SAMPLES, seed: int = 0) -> Drawn:
    """The forecast from where a series ends, W = 1.

    Raises:
        DataError: the series is too short, or what must be known of the future is not.
    """
    data, scale = window_ahead(model, series, horizon)
    return draw(model, data, scale, horizon, samples=samples, seed=seed)


def window_ahead(model: Fitted, series: Series, horizon: int) -> tuple[dict[str, Tensor], Array]:
    """The window from which what comes after a series is forecast, as `as_tensors` makes it, and its scale (1, 2).

    Raises:
        DataError: the series is too short, or what must be known of the future is not.
    """
    network: Any = model.network
    encoders: SeriesEncoders = model.encoders
    require_context(series, network.context)
    device = next(network.parameters()).device
    # a direct forecaster reads covariates of its whole horizon; where fewer are known, the rest is cut off
    steps = network.horizon if isinstance(network, DirectForecaster) else horizon
    known = encoders.known_of(series, len(series) + horizon)
    reach = network.reach
    short = max(0, reach - len(series))
    values = np.concatenate([np.full(short, np.nan), series.values[-reach:]])
    around = np.concatenate([np.zeros((short, known.shape[1]), np.float32), known[max(0, len(series) - reach) :]])
    around = np.concatenate([around, np.zeros((steps - horizon, known.shape[1]), np.float32)])
    arrays = WindowArrays(values[:, None], around[:, None], encoders.static_of(series)[None], np.zeros(1, np.int64))
    scale = window_scales(arrays, np.array([encoders.scale(series)]), network)
    return as_tensors(arrays, np.array([encoders.channel(series.name)]), scale, device), scale


def require_context(series: Series, context: int) -> None:
    """See that a series is long enough to be read.

    Raises:
        DataError: it is not.
    """
    if len(series) < context:
        message = f"series {series.name!r} has {len(series)} steps, and the model reads the last {context}"
        raise DataError(f"{message}; give more of its past", series.path or None, series.line)
