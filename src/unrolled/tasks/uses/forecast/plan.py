"""Which forecaster fits how many windows of series, and how it is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from unrolled.errors import ArgumentError
from unrolled.tasks.core.examples import Material
from unrolled.tasks.core.tuning.space import DROPOUT, LR, Among, Between, Space
from unrolled.tasks.core.values import Plan
from unrolled.tasks.outputs.numbers.encode import NumbersOutput
from unrolled.tasks.outputs.numbers.options import ForecasterNetwork
from unrolled.tasks.uses.forecast.encode import HistoryInput
from unrolled.tasks.uses.forecast.options import ForecastOptions
from unrolled.training import TrainingSettings

#: what a search for better settings tries
SPACE: Space = {
    "lr": LR,
    "dropout": DROPOUT,
    "hidden_size": Between(16, 256, log=True),
    "num_layers": Between(1, 2),
    "cell": Among(("gru", "lstm")),
    "batch_size": Among((16, 32, 64)),
}

LONGEST_CONTEXT = 720
#: with more series than this, a vector of its own for each is more than there is data for
MOST_CHANNELS = 1000


def plan_forecaster(
    material: Material[HistoryInput, NumbersOutput], options: ForecastOptions, training: Mapping[str, Any]
) -> Plan:
    """Choose what was left open, by how many windows there are.

    Raises:
        ArgumentError: options that exclude each other.
    """
    source, lengths = material.parts.input, [int(n) for n in material.train.sizes("values")]
    season, shortest = source.season, min(lengths)
    horizon = options.horizon_of(source.frequency)
    wanted = min(LONGEST_CONTEXT, max(2 * horizon, 7 * season if season > 1 else 0, 16))
    context = options.context or max(1, min(wanted, shortest - horizon))
    windows = sum(max(0, length - context - horizon + 1) for length in lengths)
    direct = options.method == "direct"
    hidden = options.hidden_size or (64 if windows < 2_000 else 128 if windows < 20_000 or not direct else 256)
    if direct and hidden % 2:
        raise ArgumentError(f"--hidden-size: {hidden} is odd; the direct method wants an even one")
    reasons = [
        f"{horizon} {source.frequency.name} ahead from the last {context}",
        f"{hidden} units for {windows:,} windows of {len(lengths):,} series",
    ]
    embeds = (1 < len(lengths) <= MOST_CHANNELS) if options.embed_series is None else options.embed_series
    dropout = (0.3 if direct else 0.1) if options.dropout is None else options.dropout
    network = ForecasterNetwork(
        method=options.method,
        cell=options.cell or ("gru" if direct else "lstm"),
        hidden_size=hidden,
        num_layers=options.num_layers or (1 if direct else 2),
        dropout=dropout,
        context=context,
        horizon=horizon,
        levels=options.quantiles if options.loss == "quantile" or not direct else [],
        loss=options.loss,
        known=source.known_width,
        channels=len(lengths) if embeds else 0,
        static=source.static_width,
        masked=source.masked,
        segment=min(options.segment or _segment(season, context), max(context, horizon)),
        normalise=options.normalise or ("instance" if len(lengths) > 1 else "last"),
        likelihood=options.likelihood,
        lags=[] if direct else list(options.lags or _lags(season, shortest, horizon)),
        embedding=0 if direct or not (embeds or source.static) else min(16, 2 + len(lengths) // 4),
    )
    batch = options.batch_size or (64 if windows < 5_000 else 256 if windows < 50_000 else 1024)
    return Plan(network.model_dump(), _training(windows, batch, training), {"batch_size": batch}, reasons)


def _training(windows: int, batch: int, given: Mapping[str, Any]) -> TrainingSettings:
    """Return settings with an evaluation once an epoch, but no more than one in 25 steps nor fewer than in 2,000."""
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
    if not own.keys() & {"steps", "epochs", "minutes"}:
        # series are short, and a pass over them a few steps
        chosen |= {"steps": min(max(1000, 20 * steps), 60_000), "patience": 8}
    return TrainingSettings(**{**chosen, **own})


def _segment(season: int, context: int) -> int:
    """Return the steps read at a time: a season, or about a sixth of the context."""
    if 4 <= season <= 96 and context >= 2 * season:
        return season
    return max(1, context // 6)


def _lags(season: int, shortest: int, horizon: int) -> list[int]:
    """Return one season, and of hours and quarters of them a week, as far as the series reach."""
    lags = [season] * (season > 1) + [7 * season] * (season >= 24)
    return [lag for lag in lags if 2 <= lag <= (shortest - horizon) // 2]
