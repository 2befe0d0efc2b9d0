"""What a user may choose of a forecaster, and what fits how much data where they leave it open."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from unrolled.data.series.read import SeriesOptions
from unrolled.data.series.timeline import Frequency
from unrolled.errors import ArgumentError, ModelError
from unrolled.layers import STACKS
from unrolled.layers.outputs.likelihoods import LIKELIHOODS, ForecastLoss
from unrolled.networks.forecaster import AutoregressiveForecaster, DirectForecaster
from unrolled.settings import Settings
from unrolled.tasks.core.example_task import ExampleOptions
from unrolled.tasks.core.values import Plan
from unrolled.tasks.uses.forecast.fitted import SeriesEncoders
from unrolled.training import TrainingSettings

Forecaster = DirectForecaster | AutoregressiveForecaster

#: steps ahead that are asked for where nobody says: those of the M4 competition
HORIZONS = {
    ("month", 12): 6,
    ("month", 3): 8,
    ("month", 1): 18,
    ("us", 7 * 86_400_000_000): 13,
    ("us", 86_400_000_000): 14,
    ("us", 3_600_000_000): 48,
}
HORIZON = 24
#: a series must be longer than its horizon by this many steps at least
LEAST_CONTEXT = 4
LONGEST_CONTEXT = 720
#: with more series than this, a vector of its own for each is more than there is data for
MOST_CHANNELS = 1000


class ForecastOptions(SeriesOptions, ExampleOptions):
    """What a user may choose; None lets the data decide."""

    horizon: Annotated[int, Field(ge=1, le=100_000)] | None = Field(None, description="steps to forecast, H")
    context: Annotated[int, Field(ge=1, le=100_000)] | None = Field(None, description="steps of the past that are read")
    season: Annotated[int, Field(ge=1)] | None = Field(
        None, description="steps after which a series repeats itself [by its frequency]"
    )
    method: Literal["direct", "autoregressive"] = Field(
        "direct", description="all steps at once, or one after the other by sampling"
    )
    loss: Literal["quantile", "mae", "mse"] = Field("quantile", description="of the direct method")
    quantiles: list[float] = Field([0.1, 0.25, 0.5, 0.75, 0.9], description="levels, with 0.5 among them")
    likelihood: Literal["gaussian", "student-t", "negative-binomial"] = Field(
        "student-t", description="of the autoregressive method; negative-binomial is for counts"
    )
    cell: Literal["lstm", "gru", "rnn"] | None = None
    hidden_size: Annotated[int, Field(ge=2, le=65536)] | None = None
    num_layers: Annotated[int, Field(ge=1, le=64)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    segment: Annotated[int, Field(ge=1)] | None = Field(None, description="steps read at a time, of the direct method")
    normalise: Literal["last", "instance", "none"] | None = Field(
        None, description="what a window is relative to: its last value, its mean and spread, nothing; direct method"
    )
    lags: list[int] = Field(
        [], description="steps back that are read besides the last, autoregressive; may be repeated"
    )
    calendar: bool | None = Field(None, description="read hour, weekday and season of the year from the time column")
    embed_series: bool | None = Field(None, description="learn a vector for each series")
    dev_from: str | None = Field(None, description="a time, or a number of steps, where development data begins")
    test_from: str | None = Field(None, description="a time, or a number of steps, from which nothing is read")

    @field_validator("quantiles")
    @classmethod
    def _are_levels(cls, levels: list[float]) -> list[float]:
        if levels != sorted(set(levels)) or not levels or not 0 < levels[0] <= levels[-1] < 1 or 0.5 not in levels:
            raise ValueError("expected increasing levels between 0 and 1, 0.5 among them")
        return levels


class ForecastNetwork(Settings):
    """The network, completely."""

    method: Literal["direct", "autoregressive"]
    cell: Literal["lstm", "gru", "rnn"]
    hidden_size: Annotated[int, Field(ge=2)]
    num_layers: Annotated[int, Field(ge=1)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    context: Annotated[int, Field(ge=1)]
    horizon: Annotated[int, Field(ge=1)]
    # the quantiles' levels; none for a point
    levels: list[float]
    loss: Literal["quantile", "mae", "mse"]
    known: Annotated[int, Field(ge=0)]
    channels: Annotated[int, Field(ge=0)]
    static: Annotated[int, Field(ge=0)]
    masked: bool
    # of the direct method
    segment: Annotated[int, Field(ge=1)] = 1
    normalise: Literal["last", "instance", "none"] = "last"
    # of the autoregressive method
    likelihood: Literal["gaussian", "student-t", "negative-binomial"] = "student-t"
    lags: list[int] = Field([])
    embedding: Annotated[int, Field(ge=0)] = 0


def horizon_of(options: ForecastOptions, frequency: Frequency) -> int:
    """The steps to forecast: as asked for, or by the frequency."""
    return options.horizon or HORIZONS.get((frequency.unit, frequency.count), HORIZON)


def least_context(options: ForecastOptions) -> int:
    """Steps before the horizon that each series must have."""
    return options.context or LEAST_CONTEXT


def build_forecaster(network: Mapping[str, Any], encoders: SeriesEncoders) -> Forecaster:
    """The untrained network.

    Raises:
        ModelError: settings that make no network, or one for other series.
    """
    try:
        s = ForecastNetwork(**network)
        expected = (encoders.known_width, encoders.static_width, encoders.masked)
        if (s.known, s.static, s.masked) != expected or s.channels not in (0, len(encoders.names)):
            raise ArgumentError(f"made for other inputs than series.json: {s.known}, {s.static}, {s.masked}")
        dropout = s.dropout if s.num_layers > 1 else 0.0
        if s.method == "direct":
            hidden = STACKS[s.cell](s.hidden_size, s.hidden_size, s.num_layers, dropout=dropout)
            return DirectForecaster(
                hidden,
                context=s.context,
                horizon=s.horizon,
                segment=s.segment,
                loss=ForecastLoss(s.loss, s.levels or (0.5,)),
                known=s.known,
                channels=s.channels,
                static=s.static,
                normalise=s.normalise,
                masked=s.masked,
                dropout=s.dropout,
            )
        width = AutoregressiveForecaster.input_width(len(s.lags), s.known, s.embedding, s.masked)
        return AutoregressiveForecaster(
            STACKS[s.cell](width, s.hidden_size, s.num_layers, dropout=dropout),
            LIKELIHOODS[s.likelihood](),
            context=s.context,
            horizon=s.horizon,
            lags=s.lags,
            known=s.known,
            channels=s.channels,
            static=s.static,
            embedding=s.embedding,
            masked=s.masked,
            dropout=s.dropout,
        )
    except (ArgumentError, TypeError) as error:
        raise ModelError(f"network: {error}") from error


def plan_forecaster(
    encoders: SeriesEncoders, lengths: Sequence[int], options: ForecastOptions, training: Mapping[str, Any]
) -> Plan:
    """Fill in what the user left open.

    Args:
        lengths: of the training series, steps.
        options: the user's.
        training: the training settings that the user gave.

    Raises:
        ArgumentError: options that exclude each other.
    """
    season, shortest = encoders.season, min(lengths)
    horizon = horizon_of(options, encoders.frequency)
    wanted = min(LONGEST_CONTEXT, max(2 * horizon, 7 * season if season > 1 else 0, 16))
    context = options.context or max(1, min(wanted, shortest - horizon))
    reasons = [f"{horizon} {encoders.frequency.name} ahead from the last {context}"]
    windows = sum(max(0, length - context - horizon + 1) for length in lengths)
    direct = options.method == "direct"
    hidden = options.hidden_size or (64 if windows < 2_000 else 128 if windows < 20_000 or not direct else 256)
    if direct and hidden % 2:
        raise ArgumentError(f"--hidden-size: {hidden} is odd; the direct method wants an even one")
    reasons.append(f"{hidden} units for {windows:,} windows of {len(lengths):,} series")
    embeds = (1 < len(lengths) <= MOST_CHANNELS) if options.embed_series is None else options.embed_series
    dropout = (0.3 if direct else 0.1) if options.dropout is None else options.dropout
    network = ForecastNetwork(
        method=options.method,
        cell=options.cell or ("gru" if direct else "lstm"),
        hidden_size=hidden,
        num_layers=options.num_layers or (1 if direct else 2),
        dropout=dropout,
        context=context,
        horizon=horizon,
        levels=options.quantiles if options.loss == "quantile" or not direct else [],
        loss=options.loss,
        known=encoders.known_width,
        channels=len(lengths) if embeds else 0,
        static=encoders.static_width,
        masked=encoders.masked,
        segment=min(options.segment or _segment(season, context), max(context, horizon)),
        normalise=options.normalise or ("instance" if len(lengths) > 1 else "last"),
        likelihood=options.likelihood,
        lags=[] if direct else list(options.lags or _lags(season, shortest, horizon)),
        embedding=0 if direct or not (embeds or encoders.static) else min(16, 2 + len(lengths) // 4),
    )
    batch = options.batch_size or (64 if windows < 5_000 else 256 if windows < 50_000 else 1024)
    return Plan(network.model_dump(), _training(windows, batch, training), {"batch_size": batch}, reasons)


def _training(windows: int, batch: int, given: Mapping[str, Any]) -> TrainingSettings:
    """A look at the development data once an epoch, but no more than one in 25 steps nor fewer than in 2,000."""
    steps = max(1, math.ceil(windows / batch))
    every = min(max(25, steps), 2000)
    chosen: dict[str, Any] = {
        "lr": 1e-3,
        "weight_decay": 1e-3,
        "warmup_steps": min(100, every),
        "evaluate_every": every,
        "sample_every": every,
        "save_every": every,
        "log_every": 10,
    }
    own = {k: v for k, v in given.items() if v is not None}
    if not any(own.get(name) is not None for name in ("steps", "epochs", "minutes")):
        # series are short, and a pass over them a few steps
        chosen |= {"steps": min(max(1000, 20 * steps), 60_000), "patience": 8}
    return TrainingSettings(**{**chosen, **own})


def _segment(season: int, context: int) -> int:
    """Steps read at a time: a season, or about a sixth of the context."""
    if 4 <= season <= 96 and context >= 2 * season:
        return season
    return max(1, context // 6)


def _lags(season: int, shortest: int, horizon: int) -> list[int]:
    """One season back, and of hours and quarters of them a week, as far as the series reach."""
    found = [season] if season > 1 else []
    if season >= 24:
        found.append(7 * season)
    return [lag for lag in found if 2 <= lag <= (shortest - horizon) // 2]
