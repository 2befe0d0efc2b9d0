"""Networks that forecast numbers, what they read of a batch, and their loss."""

from __future__ import annotations

from typing import NamedTuple, cast

from torch import Tensor, nn

from unrolled.layers import STACKS
from unrolled.layers.outputs.likelihoods import LIKELIHOODS, ForecastLoss
from unrolled.networks.forecaster import AutoregressiveForecaster, DirectForecaster
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.values import Scored
from unrolled.tasks.outputs.numbers.options import ForecasterNetwork

Forecaster = DirectForecaster | AutoregressiveForecaster


class SeriesBatch(NamedTuple):
    """Windows of series as a forecaster reads them: R reach, H horizon, N windows, K known covariates.

    Attributes:
        values: (R + H, N) standardised, NaN where nothing is known.
        known: (R + H, N, K).
        channel: (N,) int64, which of the training series each is of, −1 for none.
        static: (N, S), what describes its series.
    """

    values: Tensor
    known: Tensor
    channel: Tensor
    static: Tensor


def forecaster(chosen: ForecasterNetwork) -> Forecaster:
    """Return the untrained network.

    Raises:
        ArgumentError: sizes that don't fit each other.
    """
    s = chosen
    dropout = s.dropout if s.num_layers > 1 else 0.0
    shared = {name: getattr(s, name) for name in ("context", "horizon", "known", "channels", "static", "masked")}
    if s.method == "direct":
        return DirectForecaster(
            STACKS[s.cell](s.hidden_size, s.hidden_size, s.num_layers, dropout=dropout),
            segment=s.segment,
            loss=ForecastLoss(s.loss, s.levels or (0.5,)),
            normalise=s.normalise,
            dropout=s.dropout,
            **shared,
        )
    width = AutoregressiveForecaster.input_width(len(s.lags), s.known, s.embedding, s.masked)
    return AutoregressiveForecaster(
        STACKS[s.cell](width, s.hidden_size, s.num_layers, dropout=dropout),
        LIKELIHOODS[s.likelihood](),
        lags=s.lags,
        embedding=s.embedding,
        dropout=s.dropout,
        **shared,
    )


def forecaster_of(model: AnyFitted) -> Forecaster:
    """Return a model's network as what it is."""
    return cast(Forecaster, model.network)


def levels_of(model: AnyFitted) -> tuple[float, ...]:
    """Return the levels of a model's quantiles; () of one that forecasts points."""
    return tuple(model.config.network["levels"])


def middle_of(model: AnyFitted) -> int:
    """Return which output of a step is its point forecast: the median where there are quantiles."""
    levels = levels_of(model)
    return levels.index(0.5) if levels else 0


def direct_forecast(network: DirectForecaster, batch: SeriesBatch) -> Tensor:
    """Return forecasts of a batch, (H, N, Q)."""
    past = batch.values[: network.context]
    forecast: Tensor = network(past, batch.known, batch.channel, batch.static)
    return forecast


def loss_of(network: nn.Module, batch: SeriesBatch) -> Scored:
    """Score a batch: pinball, absolute or squared error of a direct forecaster, nats of an autoregressive one, a value.

    Raises:
        TypeError: it is no forecaster, which is a defect of the caller.
    """
    if isinstance(network, DirectForecaster):
        mean, total, count = network.loss(direct_forecast(network, batch), batch.values[network.context :])
        return Scored(mean, total, count)
    if not isinstance(network, AutoregressiveForecaster):
        raise TypeError(f"network: expected a forecaster, found {type(network).__name__}")
    nats, seen = network.nats(*batch)
    count = int(seen.sum())
    total = nats.sum()
    return Scored(total / max(count, 1), total.detach(), count)
