"""Forecasts of a trained network, in the units of the data.

W windows, R reach, H horizon, K known covariates, Q levels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.data import Arrays
from unrolled.errors import ArgumentError
from unrolled.networks.forecaster import AutoregressiveForecaster, DirectForecaster
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.results import Shown, result_type
from unrolled.tasks.outputs.numbers.network import SeriesBatch, direct_forecast, forecaster_of, levels_of, middle_of
from unrolled.tasks.outputs.numbers.options import SAMPLES
from unrolled.tasks.outputs.numbers.results import Forecast
from unrolled.tasks.outputs.numbers.windows import as_batch, windows_of

Array = NDArray[np.float64]
#: windows of a backtest side by side
WINDOWS = 1024


class Drawn(NamedTuple):
    """Forecasts in the units of the data.

    Attributes:
        point: (W, H).
        quantiles: (W, H, Q); Q is 0 of a model that forecasts points.
    """

    point: Array
    quantiles: Array


class BacktestWindows(NamedTuple):
    """Several windows of one series, and what the model made of them.

    Attributes:
        origins: (W,) the first step of each horizon.
        past: (W, C), what the model read.
        actual: (W, H), NaN where nothing is known.
        drawn: the forecasts.
    """

    origins: NDArray[np.int64]
    past: Array
    actual: Array
    drawn: Drawn


@torch.no_grad()
def draw(
    model: AnyFitted, batch: SeriesBatch, scale: Array, horizon: int, *, samples: int = SAMPLES, seed: int = 0
) -> Drawn:
    """Forecast a batch of windows; each forecast is the same in any other batch.

    Args:
        model: the model.
        batch: of its values the first R steps are read.
        scale: (W, 2), mean and standard deviation of each window.
        horizon: H; at most that of training for a direct forecaster.
        samples, seed: of an autoregressive one.
    """
    network = forecaster_of(model)
    if isinstance(network, DirectForecaster):
        steps = direct_forecast(network, batch).double().cpu().numpy().transpose(1, 0, 2)[:, :horizon]
        steps = steps * scale[:, 1, None, None] + scale[:, 0, None, None]
        return Drawn(steps[..., middle_of(model)], steps if levels_of(model) else steps[..., :0])
    reach, past = network.reach, batch.values[: network.reach]
    own, whose = network.scale(past), network.who(batch.channel, batch.static)
    state = network.read(past, batch.known[reach - network.context : reach], whose, own)
    ahead = batch._replace(values=past, known=batch.known[reach : reach + horizon])
    return sampled(model, ahead, own, state, scale, samples, seed)


@torch.no_grad()
def sampled(
    model: AnyFitted,
    ahead: SeriesBatch,
    own: tuple[torch.Tensor, torch.Tensor],
    state: Any,
    scale: Array,
    samples: int,
    seed: int,
) -> Drawn:
    """Return median and quantiles of paths that an autoregressive forecaster draws from a state.

    Args:
        model: the model.
        ahead: its values are the last of the past, as far as lags reach back, its covariates (H, W, K) those to come.
        own: shift and scale of each window, as the network finds them.
        state: the network's, after the past.
        scale: (W, 2), mean and standard deviation by which the values were standardised.
        samples: paths.
        seed: of each window's generator, so that a forecast does not depend on those beside it.
    """
    network, levels = forecaster_of(model), levels_of(model)
    if not isinstance(network, AutoregressiveForecaster):
        raise TypeError("model: expected an autoregressive forecaster")
    whose = network.who(ahead.channel, ahead.static)
    generators = [np.random.default_rng(seed) for _ in range(ahead.values.shape[1])]
    steps = network.sample(ahead.values, ahead.known, whose, own, state, samples, generators)
    paths = np.stack([step.double().cpu().numpy() for step in steps], 1)
    quantiles = np.quantile(paths, (*levels, 0.5), axis=-1).transpose(1, 2, 0)
    quantiles = quantiles * scale[:, 1, None, None] + scale[:, 0, None, None]
    return Drawn(quantiles[..., -1], quantiles[..., :-1])


def backtest(
    model: AnyFitted, series: Arrays, stride: int = 1, *, samples: int = SAMPLES, seed: int = 0
) -> Iterator[BacktestWindows]:
    """Yield forecasts from every origin of an encoded series whose horizon lies within it, some windows at a time.

    Args:
        model: the model.
        series: targets begin with its `first`.
        stride: from one origin to the next.
        samples, seed: of an autoregressive forecaster.
    """
    network = forecaster_of(model)
    windows = windows_of(network, [series], stride)
    for at in range(0, len(windows), WINDOWS):
        chosen = np.arange(at, min(at + WINDOWS, len(windows)))
        arrays = windows.gather(chosen)
        batch, scale = as_batch(network, arrays)
        drawn = draw(model, batch, scale, network.horizon, samples=samples, seed=seed)
        past = arrays.values[network.reach - network.context : network.reach].T
        yield BacktestWindows(windows.origins[chosen], past, arrays.values[network.reach :].T, drawn)


def forecast_of(model: AnyFitted, shown: Shown, drawn: Drawn) -> Forecast:
    """Return the forecast of one window as it is shown."""
    result: Any = result_type(model.input.Shown, Forecast)
    levels, by_step = levels_of(model), drawn.quantiles[0]
    quantiles = {f"{level:g}": by_step[:, n].tolist() for n, level in enumerate(levels)}
    forecast: Forecast = result(**dict(shown), point=drawn.point[0].tolist(), quantiles=quantiles)
    return forecast


def check_horizon(model: AnyFitted, horizon: int | None) -> int:
    """Return the steps to forecast; None is as in training.

    Raises:
        ArgumentError: below 1, or more than a direct forecaster was trained for.
    """
    network = forecaster_of(model)
    if horizon is None:
        return network.horizon
    if isinstance(network, DirectForecaster) and not 1 <= horizon <= network.horizon:
        possible = f"1 to {network.horizon}, for which it was trained"
        raise ArgumentError(f"--horizon: expected {possible}, found {horizon}")
    if horizon < 1:
        raise ArgumentError(f"--horizon: expected 1 or more, found {horizon}")
    return horizon
