"""How good forecasts are: while training on windows of the development data, in evaluation from every origin."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from unrolled.data import Arrays, Example, ExampleStore
from unrolled.errors import DataError
from unrolled.metrics.forecasts import ForecastScores, seasonal_error
from unrolled.networks.forecaster import DirectForecaster
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.outputs.numbers.baseline import seasonal_naive, seasonal_quantiles, seasonal_spread
from unrolled.tasks.outputs.numbers.decode import WINDOWS, backtest
from unrolled.tasks.outputs.numbers.network import direct_forecast, forecaster_of, levels_of, loss_of, middle_of
from unrolled.tasks.outputs.numbers.options import NumbersEvaluation
from unrolled.tasks.outputs.numbers.results import sparkline
from unrolled.tasks.outputs.numbers.windows import as_batch, statistics, windows_of
from unrolled.training import share_out
from unrolled.types import Json

#: development windows that are scored while training, evenly spread if there are more
DEV_WINDOWS = 20_000


def dev_metrics(model: AnyFitted, dev: ExampleStore) -> dict[str, float]:
    """Return the loss, and of a direct forecaster the errors of its point forecast, in standard deviations."""
    network = forecaster_of(model)
    windows = windows_of(network, dev)
    if not len(windows):
        return {}
    chosen = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), DEV_WINDOWS)).astype(np.int64))

    def compute(at: int) -> tuple[float, int, float, float, int]:
        batch, _ = as_batch(network, windows.gather(chosen[at : at + WINDOWS]))
        with torch.no_grad():
            scored = loss_of(network, batch)
            if not isinstance(network, DirectForecaster):
                return float(scored.total), scored.count, 0.0, 0.0, 0
            error = direct_forecast(network, batch)[..., middle_of(model)] - batch.values[network.context :]
        error = error[~torch.isnan(error)]
        return float(scored.total), scored.count, float(error.square().sum()), float(error.abs().sum()), len(error)

    scores = [*share_out(range(0, len(chosen), WINDOWS), compute)]
    loss, counted, square, absolute, targets = map(sum, zip(*scores, strict=True))
    errors = {"scaled_mse": square / targets, "scaled_mae": absolute / targets} if targets else {}
    return {"loss": loss / max(1, counted), **errors}


def sample(model: AnyFitted, dev: ExampleStore) -> str | None:
    """Return the last development window of the first series: what was read, what came, and what was forecast."""
    network = forecaster_of(model)
    windows = windows_of(network, dev)
    if not len(windows) or not isinstance(network, DirectForecaster):
        return None
    batch, _ = as_batch(network, windows.gather(np.flatnonzero(windows.series == windows.series[0])[-1:]))
    with torch.no_grad():
        middle = direct_forecast(network, batch)[:, 0, middle_of(model)]
    values, channel = batch.values[:, 0], int(batch.channel[0])
    past, future = values[-3 * network.horizon : -network.horizon], values[network.context :]
    came, forecast = (sparkline(tuple(torch.cat([past, part]).tolist())) for part in (future, middle))
    name = model.input.series_names[channel] if channel >= 0 else "a series"
    return f"{name}\n  came      {came}\n  forecast  {forecast}"


def evaluate(
    model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], chosen: NumbersEvaluation
) -> tuple[Json, Json]:
    """Return errors of forecasts from every origin, and those of seasonal naive on the same windows.

    Raises:
        DataError: no series leaves anything to forecast.
    """
    network, levels, season = forecaster_of(model), levels_of(model), model.input.season
    stride = chosen.stride or (1 if isinstance(network, DirectForecaster) else network.horizon)
    own, beside = ForecastScores(levels), ForecastScores(levels)
    count, path = 0, ""
    for example, series in examples:
        count, path = count + 1, path or example.path
        before = series["values"][: int(series["first"][0])]
        std = float(series["scale"][1])
        if series["channel"][0] < 0:
            std = statistics(before if len(before) else series["values"])[1]
        scale = {"std": std, "seasonal": seasonal_error(before, season)}
        spread = seasonal_spread(before, season)
        for window in backtest(model, series, stride, samples=chosen.samples, seed=chosen.seed):
            own.add(window.actual, window.drawn.point, window.drawn.quantiles, **scale)
            naive = seasonal_naive(window.past, network.horizon, season)
            beside.add(window.actual, naive, seasonal_quantiles(naive, spread, season, levels), **scale)
    if not own.windows:
        raise DataError(
            f"nothing to forecast: no series goes on for {network.horizon} steps after what training saw, with "
            f"{network.context} before; give what came later, or --start",
            path or None,
        )
    metrics = {**own.result(), "series": count}
    return metrics, {"model": f"seasonal naive, season {season}", **beside.result()}
